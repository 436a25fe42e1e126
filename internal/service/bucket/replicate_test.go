package bucket_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/service/bucket"
)

// replication tells the state of an object's copies.
func (w *world) replication(name, key string) string {
	c, err := w.Get(w.t.Context(), w.me, &bucket.GetInput{Bucket: name, Key: key, Head: true})
	if err != nil {
		return code(err)
	}
	return c.Replication
}

func (w *world) replicated(name, key, want string) {
	w.t.Helper()
	waitFor(w.t, key+" "+want, func() (string, bool) { got := w.replication(name, key); return got, got == want })
}

// TestReplication copies within the cloud: content, metadata, tags, parts and delete markers, and no copy of a copy.
func TestReplication(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("here", bucket.BucketSpec{Versioning: "enabled"})
	w.bucket("there", bucket.BucketSpec{Versioning: "enabled"})
	w.bucket("third", bucket.BucketSpec{})
	rule := func(name string, rules ...bucket.Replication) {
		t.Helper()
		if err := w.Change(ctx, w.me, name, "", func(r *bucket.Row) error { r.Spec.Replication = rules; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	w.put("here", "doc/before", "x")
	rule("here", bucket.Replication{ID: "docs", Prefix: "doc/", Bucket: "there", Deletes: true}, bucket.Replication{ID: "more", Prefix: "doc/2", Bucket: "third", Class: "warm", Deletes: true})
	rule("there", bucket.Replication{ID: "back", Bucket: "here", Deletes: true})

	if _, err := w.Put(ctx, w.me, &bucket.PutInput{Bucket: "here", Key: "doc/1", Body: strings.NewReader("hello"), Size: 5, Compute: "crc32c", Tags: map[string]string{"a": "b"},
		Attributes: bucket.Attributes{ContentType: "text/x", User: map[string]string{"who": "me"}}}); err != nil {
		t.Fatal(err)
	}
	w.put("here", "other", "x")
	w.put("here", "doc/2", "two")
	w.replicated("here", "doc/1", "COMPLETED")
	w.replicated("here", "doc/2", "COMPLETED")
	got, err := w.Get(ctx, w.me, &bucket.GetInput{Bucket: "there", Key: "doc/1", Head: true})
	if err != nil || got.Replication != "REPLICA" || got.ContentType != "text/x" || got.User["who"] != "me" || got.Tags["a"] != "b" || got.Sums["crc32c"] == "" {
		t.Errorf("%+v, %v", got, err)
	}
	if body, err := w.get(bucket.GetInput{Bucket: "third", Key: "doc/2"}); body != "two" {
		t.Errorf("%q, %v", body, err)
	}
	w.has("third", "doc/2:warm")

	part := bytes.Repeat([]byte("p"), bucket.MinPart)
	up, err := w.Begin(ctx, w.me, &bucket.UploadInput{PutInput: bucket.PutInput{Bucket: "here", Key: "doc/large"}})
	if err != nil {
		t.Fatal(err)
	}
	var parts []bucket.Part
	for n, body := range [][]byte{part, []byte("end")} {
		p, err := w.PutPart(ctx, w.me, &bucket.PartInput{Bucket: "here", Key: "doc/large", Upload: up.ID, Number: n + 1, Body: bytes.NewReader(body), Size: int64(len(body))})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, *p)
	}
	large, err := w.Complete(ctx, w.me, &bucket.CompleteInput{Bucket: "here", Key: "doc/large", Upload: up.ID, Parts: parts, Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	w.replicated("here", "doc/large", "COMPLETED")
	if c, err := w.Get(ctx, w.me, &bucket.GetInput{Bucket: "there", Key: "doc/large", Part: 2}); err != nil || c.ETag != large.ETag || c.PartCount != 2 || c.Count != 3 {
		t.Errorf("%+v, %v", c, err)
	}
	for _, key := range []string{"doc/1", "doc/2"} {
		if _, err := w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "here", Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the deletes", func() ([]string, bool) {
		all := append(w.versions("there"), w.versions("third")...)
		return all, fmt.Sprint(all) == "[doc/1! doc/1 doc/2! doc/2 doc/large]"
	})
	w.has("here", "doc/1!", "doc/1", "doc/2!", "doc/2", "doc/before", "doc/large", "other") // nothing came back
	if got := w.replication("here", "other") + w.replication("here", "doc/before"); got != "" {
		t.Errorf("what no rule is about says %q", got)
	}
	waitFor(t, "an empty outbox", func() ([]string, bool) {
		k := append(w.keys("bucket/copy/"), w.keys("bucket/copies/")...)
		return k, len(k) == 0
	})

	if err := w.Change(ctx, w.me, "here", "", func(r *bucket.Row) error {
		r.Spec.Replication = []bucket.Replication{{Bucket: "x", Endpoint: "http://s3.example", AccessKey: "a", SecretKey: "b"}}
		return nil
	}); code(err) != "InvalidArgument" {
		t.Errorf("%v", err)
	}
}

// otherStore answers what a client sends that copies objects, and notes it.
type otherStore struct {
	*httptest.Server
	mu    sync.Mutex
	down  bool
	calls []string
}

func (o *otherStore) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.down:
		rw.WriteHeader(http.StatusServiceUnavailable)
	case req.URL.Query().Has("location"):
		_, _ = io.WriteString(rw, `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">elsewhere</LocationConstraint>`)
	case strings.Contains(req.URL.Path, "refused"):
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(rw, `<Error><Code>InvalidRequest</Code><Message>not this one</Message></Error>`)
	default:
		signed := strings.Contains(req.Header.Get("Authorization"), "Credential=AK/")
		o.calls = append(o.calls, fmt.Sprint(req.Method, " ", req.URL.Path, " ", strings.Contains(string(body), "hello"), " ", req.Header.Get("X-Amz-Meta-Who"), " ", req.Header.Get("X-Amz-Tagging"), " ", signed))
		rw.Header().Set("ETag", `"1"`)
		if req.Method == http.MethodDelete {
			rw.WriteHeader(http.StatusNoContent)
		}
	}
}

// TestReplicationElsewhere copies to another store, which is down at times and refuses at others.
func TestReplicationElsewhere(t *testing.T) {
	w, ctx := start(t), t.Context()
	o := &otherStore{down: true}
	o.Server = httptest.NewTLSServer(o)
	t.Cleanup(o.Close)
	w.bucket("here", bucket.BucketSpec{Replication: []bucket.Replication{{ID: "out", Bucket: "mine", Endpoint: o.URL, AccessKey: "AK", SecretKey: "SK", Deletes: true}}})
	if _, err := w.Put(ctx, w.me, &bucket.PutInput{Bucket: "here", Key: "a", Body: strings.NewReader("hello"), Size: 5, Tags: map[string]string{"t": "1"}, Attributes: bucket.Attributes{User: map[string]string{"who": "me"}}}); err != nil {
		t.Fatal(err)
	}
	w.put("here", "refused", "x")
	if _, err := w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "here", Key: "gone"}); err != nil {
		t.Fatal(err)
	}
	w.put("here", "gone", "x")
	if _, err := w.Delete(ctx, w.me, &bucket.DeleteInput{Bucket: "here", Key: "gone"}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the owner to be told", func() (any, bool) { w.Clock.Add(day / 1440); return nil, w.told("here", "ReplicationWaits") })
	r, err := w.Door.Do(ctx, &call.Call{Kind: w.Rows.D, Verb: call.Get, Target: "here", Principal: w.Root})
	if err != nil || r.Row.(*bucket.Row).Status.Waiting != 3 || r.Row.(*bucket.Row).Spec.Replication[0].SecretKey == "SK" {
		t.Errorf("%+v, %v", r.Row, err)
	}
	if got := w.replication("here", "a"); got != "PENDING" {
		t.Errorf("state %q", got)
	}
	o.mu.Lock()
	o.down = false
	o.mu.Unlock()
	w.Clock.Add(day / 24)
	w.replicated("here", "a", "COMPLETED")
	w.replicated("here", "refused", "FAILED")
	w.event("here", "ReplicationFailed", "not this one")
	waitFor(t, "the calls", func() (any, bool) {
		o.mu.Lock()
		defer o.mu.Unlock()
		slices.Sort(o.calls) // names are copied beside each other
		return o.calls, strings.Join(o.calls, "\n") == "DELETE /mine/gone false   true\nPUT /mine/a true me t=1 true"
	})
	o.mu.Lock()
	o.down = true
	o.mu.Unlock()
	w.put("here", "late", "x")
	waitFor(t, "the end of the day", func() (string, bool) {
		w.Clock.Add(day / 24)
		got := w.replication("here", "late")
		return got, got == "FAILED"
	})
}

// TestReplicationInOrder: names are copied beside each other, the versions of one in their order.
func TestReplicationInOrder(t *testing.T) {
	w, ctx := start(t), t.Context()
	w.bucket("there", bucket.BucketSpec{Versioning: "enabled"})
	w.bucket("here", bucket.BucketSpec{Versioning: "enabled", Replication: []bucket.Replication{{Bucket: "there", Deletes: true}}})
	for i := range 120 {
		w.put("here", fmt.Sprintf("k%d", i%7), fmt.Sprint(i))
	}
	waitFor(t, "the copies", func() (int, bool) { n := len(w.keys("bucket/copy/")); return n, n == 0 })
	for k := range 7 {
		key := fmt.Sprintf("k%d", k)
		l, err := w.List(ctx, w.me, &bucket.ListInput{Bucket: "there", Prefix: key, Versions: true, Max: 1000})
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, o := range l.Objects {
			body, err := w.get(bucket.GetInput{Bucket: "there", Key: key, Version: o.Version})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, body)
		}
		for i := 119; i >= 0; i-- {
			if i%7 == k {
				want = append(want, fmt.Sprint(i))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

// TestReplicasKeepWhatTheyMay: a copy has its source's lock, hold and grants where the other bucket takes them, and never a
// weaker lock than that bucket gives by itself.
func TestReplicasKeepWhatTheyMay(t *testing.T) {
	w, ctx := start(t), t.Context()
	until := w.Clock.Now().UTC().AddDate(0, 0, 10).Truncate(time.Second)
	w.bucket("plain", bucket.BucketSpec{})
	w.bucket("locked", bucket.BucketSpec{Versioning: "enabled", ObjectLock: true})
	w.bucket("stricter", bucket.BucketSpec{Versioning: "enabled", ObjectLock: true, Ownership: "enforced", Retention: bucket.Retention{Mode: "compliance", Days: 1}})
	w.bucket("here", bucket.BucketSpec{Versioning: "enabled", ObjectLock: true, PublicAccess: bucket.PublicAccess{AllowACLs: true},
		Replication: []bucket.Replication{{Bucket: "plain"}, {Bucket: "locked"}, {Bucket: "stricter"}}})
	grants := []bucket.Grant{{To: string(w.Admin.DomainID), Permission: "full"}, {To: bucket.Everyone, Permission: "read"}}
	if _, err := w.Put(ctx, w.me, &bucket.PutInput{Bucket: "here", Key: "a", Body: strings.NewReader("x"), Size: 1, Hold: true, Lock: bucket.Lock{Mode: "governance", Until: until},
		ACL: &bucket.ACL{Grants: grants}}); err != nil {
		t.Fatal(err)
	}
	w.replicated("here", "a", "COMPLETED")
	for name, want := range map[string]string{
		"plain": " 0001-01-01 00:00:00 +0000 UTC false 1", "locked": fmt.Sprint("governance ", until, " true 1"), "stricter": fmt.Sprint("compliance ", until, " true 0"),
	} {
		c, err := w.Get(ctx, w.me, &bucket.GetInput{Bucket: name, Key: "a", Head: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(c.Lock.Mode, " ", c.Lock.Until, " ", c.Hold, " ", len(c.ACL.Grants)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
