package login_test

import (
	"context"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

// newest gives the newest audit entry of the first domain.
func newest(t *testing.T, k *kerneltest.Kernel) ledger.Entry {
	t.Helper()
	entries, _, err := k.Door.Audit(t.Context(), &call.Call{Principal: k.Root, Source: "127.0.0.1"}, ledger.Query{Limit: 1})
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	return entries[0]
}

func create(t *testing.T, k *kerneltest.Kernel, kind, domain, name, spec string) {
	t.Helper()
	if _, err := k.Door.Do(t.Context(), &call.Call{Kind: k.Door.KindOf(kind), Verb: call.Create, Principal: k.Root, Domain: domain, Name: &name, Spec: []byte(spec)}); err != nil {
		t.Fatal(err)
	}
}

// TestIn: who gets a token, for what, and what the audit log says of it.
func TestIn(t *testing.T) {
	k := kerneltest.Start(t, nil)
	create(t, k, "identity/domain", "", "other", `{}`)
	create(t, k, "identity/project", "other", "theirs", `{}`)
	create(t, k, "identity/project", "", "mine", `{}`)
	create(t, k, "identity/user", "", "alice", `{"password":"correct-horse","default_project":"mine"}`)
	create(t, k, "identity/user", "", "off", `{"password":"correct-horse","disabled":true}`)
	alice := login.Request{Domain: "awan", User: "alice", Password: "correct-horse"}
	with := func(r login.Request, edit func(*login.Request)) login.Request { edit(&r); return r }
	admin := login.Request{Domain: "awan", User: k.Admin.User, Password: k.Admin.Password}

	for name, c := range map[string]struct {
		r       login.Request
		kind    fail.Kind // "" = a token
		project string
		actor   string
	}{
		"domain":                 {alice, "", "", "user alice"},
		"own domain by name":     {with(alice, func(r *login.Request) { r.Scope.Domain = "awan" }), "", "", "user alice"},
		"default project":        {with(alice, func(r *login.Request) { r.Scope.Default = true }), "", "mine", "user alice"},
		"a project":              {with(alice, func(r *login.Request) { r.Scope.Project = "mine" }), "", "mine", "user alice"},
		"another's domain":       {with(alice, func(r *login.Request) { r.Scope.Domain = "other" }), fail.Invalid, "", "user alice"},
		"another's project":      {with(alice, func(r *login.Request) { r.Scope.Project = "theirs" }), fail.Invalid, "", "user alice"},
		"another's, named":       {with(alice, func(r *login.Request) { r.Scope.Project, r.Scope.ProjectDomain = "theirs", "other" }), fail.Invalid, "", "user alice"},
		"operator elsewhere":     {with(admin, func(r *login.Request) { r.Scope.Project, r.Scope.ProjectDomain = "theirs", "other" }), "", "theirs", "user admin"},
		"wrong password":         {with(alice, func(r *login.Request) { r.Password = "guess" }), fail.Unauthenticated, "", "user alice"},
		"unknown user":           {with(alice, func(r *login.Request) { r.User = "zoe" }), fail.Unauthenticated, "", "user zoe"},
		"disabled user":          {with(alice, func(r *login.Request) { r.User = "off" }), fail.Unauthenticated, "", "user off"},
		"nobody":                 {login.Request{Domain: "awan"}, fail.Unauthenticated, "", "anonymous"},
		"a token that is none":   {login.Request{Token: "awt1.none", Domain: "awan"}, fail.Unauthenticated, "", "anonymous"},
		"a token and a stranger": {with(alice, func(r *login.Request) { r.Token = adminToken(t, k) }), fail.Unauthenticated, "", "user alice"},
	} {
		t.Run(name, func(t *testing.T) {
			c.r.From = login.From{Source: "192.0.2.7", Agent: "test", Dialect: "test", RequestID: "r-" + name}
			s, err := login.In(t.Context(), k.Door, c.r)
			if fail.KindOf(err) != c.kind {
				t.Fatalf("%v, want %q", err, c.kind)
			}
			e := newest(t, k)
			want := ledger.Succeeded
			if err != nil {
				want = ledger.Failed
			}
			if e.Action != login.Issue || e.Outcome != want || e.Actor != c.actor || e.Source != "192.0.2.7" || e.Dialect != "test" || e.RequestID != "r-"+name {
				t.Errorf("audited as %+v", e)
			}
			if err != nil {
				return
			}
			p, _, err := k.Ident.ByToken(t.Context(), s.Text)
			if err != nil {
				t.Fatal(err)
			}
			if got := projectName(t, k, p); got != c.project {
				t.Errorf("the token is for project %q, not %q", got, c.project)
			}
			if err := login.Out(t.Context(), k.Door, p, s.Text, nil, c.r.From); err != nil {
				t.Fatal(err)
			}
			if _, _, err := k.Ident.ByToken(t.Context(), s.Text); !fail.Is(err, fail.Unauthenticated) {
				t.Errorf("after the log-out: %v", err)
			}
			if e := newest(t, k); e.Action != login.Revoke || e.Outcome != ledger.Succeeded {
				t.Errorf("the log-out is audited as %+v", e)
			}
		})
	}
}

func adminToken(t *testing.T, k *kerneltest.Kernel) string {
	t.Helper()
	s, err := login.In(context.Background(), k.Door, login.Request{Domain: "awan", User: k.Admin.User, Password: k.Admin.Password, Life: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return s.Text
}

func projectName(t *testing.T, k *kerneltest.Kernel, p ident.Principal) string {
	t.Helper()
	if p.Project == "" {
		return ""
	}
	r, err := k.Door.Do(t.Context(), &call.Call{Kind: k.Door.KindOf("identity/project"), Verb: call.Get, Principal: k.Root, Target: string(p.Project)})
	if err != nil {
		t.Fatal(err)
	}
	return r.Row.M().Name
}
