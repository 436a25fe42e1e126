package bucket_test

import (
	"slices"
	"testing"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/service/bucket"
)

// TestWhoMay: policies of the caller and of the bucket, ACLs, other domains and nobody.
func TestWhoMay(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("shop", bucket.BucketSpec{})
	w.put("shop", "public/logo", "logo")
	w.put("shop", "private/list", "list")
	nobody := &bucket.Caller{}
	if _, err := w.Door.Do(ctx, &call.Call{Kind: w.Ident.Kinds.User.D, Verb: call.Create, Name: ptr("alice"), Spec: []byte(`{"password":"correct horse"}`), Principal: w.Root}); err != nil {
		t.Fatal(err)
	}
	alice := &bucket.Caller{Principal: w.LogIn(t, "alice", "correct horse")}
	stranger := &bucket.Caller{Principal: ident.Principal{User: id.New(), UserName: "eve", Domain: id.New(), DomainName: "other", Method: ident.ByKey}}
	read := func(c *bucket.Caller, key string) string {
		content, err := w.Get(ctx, c, &bucket.GetInput{Bucket: "shop", Key: key})
		if err == nil {
			_ = content.Body.Close()
		}
		return code(err)
	}
	for _, c := range []*bucket.Caller{nobody, alice, stranger} {
		if got := read(c, "public/logo"); got != "AccessDenied" {
			t.Errorf("%s: %q", c.Principal, got)
		}
		if got := read(c, "no such"); got != "AccessDenied" {
			t.Errorf("%s learns what is not there: %q", c.Principal, got)
		}
	}
	set := func(edit func(*bucket.BucketSpec)) error {
		return w.Change(ctx, w.me, "shop", "obs:bucket:PutBucketPolicy", func(r *bucket.Row) error { edit(&r.Spec); return nil })
	}
	open := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::shop/public/*"}]}`
	if err := set(func(s *bucket.BucketSpec) { s.Policy = open }); code(err) != "AccessDenied" {
		t.Errorf("a public policy by mistake: %v", err)
	}
	if err := set(func(s *bucket.BucketSpec) {
		s.PublicAccess = bucket.PublicAccess{AllowPolicy: true, HonorPolicy: true}
		s.Policy = open
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*bucket.Caller{nobody, alice} {
		if got := read(c, "public/logo"); got != "" {
			t.Errorf("%s may not read what is public: %q", c.Principal, got)
		}
		if got := read(c, "private/list"); got != "AccessDenied" {
			t.Errorf("%s reads what is not: %q", c.Principal, got)
		}
	}
	w.put("shop", "private/secret-1", "x")
	// OBS's form, for one user of ours.
	if err := set(func(s *bucket.BucketSpec) {
		s.Policy = `{"Statement":[{"Effect":"Allow","Principal":{"ID":["domain/` + string(w.Admin.DomainID) + `:user/` + string(alice.Principal.User) + `"]},"Action":["GetObject"],"Resource":["shop/private/*"]},
			{"Effect":"Deny","Principal":{"ID":"*"},"Action":"*","Resource":["shop/private/secret*"]}]}`
	}); err != nil {
		t.Fatal(err)
	}
	w.put("shop", "private/also", "x")
	if got := read(alice, "private/list"); got != "" {
		t.Errorf("alice by the bucket's policy: %q", got)
	}
	if got := read(w.me, "private/secret-1"); got != "AccessDenied" {
		t.Errorf("what is denied is denied to root too: %q", got)
	}
	for _, bad := range []string{`{}`, `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::other/*"}]}`,
		`{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"shop/*"}]}`, `{"Statement":[{"Effect":"Maybe","Principal":"*","Action":"s3:GetObject","Resource":"shop/*"}]}`, `nonsense`,
		`{"Statement":[{"Effect":"Allow","NotPrincipal":{"AWS":"` + string(w.Admin.DomainID) + `"},"Action":"s3:GetObject","Resource":"shop/*"}]}`} {
		if err := set(func(s *bucket.BucketSpec) { s.Policy = bad }); code(err) != "MalformedPolicy" {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestOperatorsLeaveATrace: who has rights in the whole cloud reads in the buckets of others, and they see it.
func TestOperatorsLeaveATrace(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("diary", bucket.BucketSpec{})
	w.put("diary", "today", "dear diary")
	operator := w.Root
	operator.Domain, operator.Project = id.New(), ""
	for _, c := range []*bucket.Caller{w.me, {Principal: operator, Source: "192.0.2.7"}} {
		got, err := w.Get(ctx, c, &bucket.GetInput{Bucket: "diary", Key: "today"})
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
	}
	entries, _, err := w.Door.Audit(ctx, &call.Call{Principal: w.Root}, ledger.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, e := range entries {
		if e.Action == "bucket:object:get" {
			seen = append(seen, e.Name+" from "+e.Source)
		}
	}
	if !slices.Equal(seen, []string{"diary/today from 192.0.2.7"}) {
		t.Errorf("the log says %q", seen)
	}
}
