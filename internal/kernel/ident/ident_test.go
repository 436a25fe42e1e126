package ident_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
)

func ptr[T any](v T) *T { return &v }

type world struct {
	*kerneltest.Kernel
	t *testing.T
}

func (w world) do(verb, kind, target string, spec any) (call.Reply, error) {
	c := &call.Call{Kind: w.Door.KindOf("identity/" + kind), Verb: verb, Target: target, Principal: w.Root}
	if spec != nil {
		c.Spec, _ = json.Marshal(spec)
	}
	if verb == call.Create {
		c.Name, c.Target = ptr(target), ""
	}
	return w.Door.Do(w.t.Context(), c)
}

func (w world) must(r call.Reply, err error) call.Reply {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// apps is any action of a kind that needs a grant.
func (w world) may(p ident.Principal) bool {
	_, err := w.Door.Do(w.t.Context(), &call.Call{Kind: w.Door.KindOf("identity/group"), Verb: call.List, Principal: p})
	return err == nil
}

type m = map[string]any

func TestATokenEndsWhenItShould(t *testing.T) {
	k := kerneltest.Start(t, nil)
	w := world{k, t}
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct horse"}))
	w.must(w.do(call.Create, "grant", "", m{"policy": "read-only", "user": "alice"}))
	issue := func() (string, ident.Principal) {
		t.Helper()
		alice := k.LogIn(t, "alice", "correct horse")
		text, tok, err := k.Ident.IssueToken(t.Context(), ident.Token{User: alice.User, Domain: alice.Domain, Methods: []string{"password"}}, 0)
		if err != nil || tok.Expires.Sub(tok.Issued) > ident.MaxTokenLife {
			t.Fatal(err, tok)
		}
		p, _, err := k.Ident.ByToken(t.Context(), text)
		if err != nil || !w.may(p) {
			t.Fatal(err)
		}
		return text, p
	}
	dead := func(why, text string) {
		t.Helper()
		if _, _, err := k.Ident.ByToken(t.Context(), text); !fail.Is(err, fail.Unauthenticated) {
			t.Errorf("%s: the token still works: %v", why, err)
		}
	}
	text, _ := issue()
	if err := k.Ident.RevokeToken(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	dead("revoked", text)

	text, _ = issue()
	k.Clock.Add(ident.MaxTokenLife + time.Second)
	dead("expired", text)
	if n, err := k.Ident.Sweep(t.Context()); err != nil || n != 1 {
		t.Errorf("swept %d, %v", n, err)
	}

	text, _ = issue()
	w.must(w.do(call.Update, "user", "alice", m{"description": "of accounting"}))
	if _, _, err := k.Ident.ByToken(t.Context(), text); err != nil {
		t.Errorf("a new description ended the token: %v", err)
	}
	w.must(w.do(call.Update, "user", "alice", m{"password": "another horse"}))
	dead("password changed", text)
	w.must(w.do(call.Update, "user", "alice", m{"password": "correct horse"}))

	text, _ = issue()
	w.must(w.do(call.Update, "user", "alice", m{"disabled": true}))
	dead("disabled", text)
	w.must(w.do(call.Update, "user", "alice", m{"disabled": false}))

	text, p := issue()
	w.must(w.do(call.Delete, "user", "alice", nil))
	dead("deleted", text)
	if w.may(p) {
		t.Error("what was granted to a deleted user still holds")
	}
	dead("made up", "awt1.nonsense")
}

func TestAKeySignsUntilItIsDisabled(t *testing.T) {
	k := kerneltest.Start(t, nil)
	w := world{k, t}
	p, secret, err := k.Ident.ByKey(t.Context(), k.Admin.AccessKey)
	if err != nil || secret != k.Admin.SecretKey || p.UserName != "admin" || p.Method != ident.ByKey {
		t.Fatalf("%+v %q %v", p, secret, err)
	}
	r := w.must(w.do(call.Create, "access-key", "", nil))
	b, _ := json.Marshal(r.Row)
	var key struct {
		ID     string
		Status ident.KeyStatus
	}
	_ = json.Unmarshal(b, &key)
	if _, secret, err := k.Ident.ByKey(t.Context(), key.Status.Access); err != nil || secret != key.Status.Secret {
		t.Errorf("the key shown at its creation does not sign: %v", err)
	}
	again := w.must(w.do(call.Get, "access-key", key.ID, nil))
	if b, _ := json.Marshal(again.Row); string(b) == "" || json.Unmarshal(b, &key) != nil || key.Status.Secret != "********" {
		t.Errorf("the secret is shown again: %s", b)
	}
	w.must(w.do(call.Update, "access-key", key.ID, m{"disabled": true}))
	if _, _, err := k.Ident.ByKey(t.Context(), key.Status.Access); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("a disabled key signs: %v", err)
	}
	w.must(w.do(call.Delete, "access-key", key.ID, nil))
	if _, _, err := k.Ident.ByKey(t.Context(), key.Status.Access); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("a deleted key signs: %v", err)
	}
}

func TestGrantsHoldAtOnceAndWhereTheySay(t *testing.T) {
	k := kerneltest.Start(t, nil)
	w := world{k, t}
	w.must(w.do(call.Create, "group", "readers", nil))
	w.must(w.do(call.Create, "user", "bob", m{"password": "correct horse", "groups": []string{"readers"}}))
	bob := k.LogIn(t, "bob", "correct horse")
	if w.may(bob) {
		t.Fatal("a new user may read")
	}
	g := w.must(w.do(call.Create, "grant", "", m{"policy": "read-only", "group": "readers"}))
	if !w.may(bob) {
		t.Error("a grant to the group does not hold")
	}
	w.must(w.do(call.Create, "policy", "no-groups", m{"document": m{"Version": "1.1", "Statement": []m{{"Effect": "Deny", "Action": []string{"identity:group:*"}}}}}))
	deny := w.must(w.do(call.Create, "grant", "", m{"policy": "no-groups", "user": "bob"}))
	if w.may(bob) {
		t.Error("a deny does not win")
	}
	w.must(w.do(call.Delete, "grant", string(deny.Row.M().ID), nil))
	w.must(w.do(call.Delete, "grant", string(g.Row.M().ID), nil))
	if w.may(bob) {
		t.Error("a grant that was taken back still holds")
	}
	if _, err := w.do(call.Delete, "policy", "full-access", nil); !fail.Is(err, fail.Denied) && !fail.Is(err, fail.Precondition) {
		t.Errorf("a system policy was deleted: %v", err)
	}
	if _, err := w.do(call.Create, "grant", "", m{"policy": "read-only", "user": "nobody"}); !fail.Is(err, fail.Invalid) {
		t.Errorf("a grant to nobody: %v", err)
	}
	bobAsAdmin := w.must(w.do(call.Create, "grant", "", m{"policy": "identity-admin", "user": "bob"}))
	c := &call.Call{Kind: k.Door.KindOf("identity/grant"), Verb: call.Create, Principal: bob, Spec: json.RawMessage(`{"policy":"full-access","user":"bob","cloud":true}`)}
	if _, err := k.Door.Do(t.Context(), c); !fail.Is(err, fail.Invalid) {
		t.Errorf("an administrator of a domain made himself operator of the cloud: %v (grant %s)", err, bobAsAdmin.Row.M().ID)
	}
	c.Principal = k.LogIn(t, k.Admin.User, k.Admin.Password) // who is one, by its own token, can make another
	w.must(k.Door.Do(t.Context(), c))
	c = &call.Call{Kind: k.Door.KindOf("identity/domain"), Verb: call.List, Principal: bob}
	if r := w.must(k.Door.Do(t.Context(), c)); len(r.Rows) != 1 {
		t.Errorf("the new operator sees the domains %v", r.Rows)
	}
}

func TestGuessingPasswordsIsLimited(t *testing.T) {
	k := kerneltest.Start(t, nil)
	guess := func(source string) error {
		_, err := k.Ident.ByPassword(t.Context(), "awan", "admin", "wrong", source)
		return err
	}
	for range 10 {
		if err := guess("10.0.0.1"); !fail.Is(err, fail.Unauthenticated) {
			t.Fatal(err)
		}
	}
	if err := guess("10.0.0.1"); !fail.Is(err, fail.RateLimited) {
		t.Errorf("the eleventh guess: %v", err)
	}
	if err := guess("10.0.0.2"); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("one source locks the user out for another: %v", err)
	}
	k.Clock.Add(11 * time.Minute)
	if _, err := k.Ident.ByPassword(t.Context(), "awan", "admin", k.Admin.Password, "10.0.0.1"); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

func TestOneDomainDoesNotSeeAnother(t *testing.T) {
	k := kerneltest.Start(t, nil)
	w := world{k, t}
	other := w.must(w.do(call.Create, "domain", "acme", nil)).Row.M()
	inAcme := func(kind, name string, spec any) call.Reply {
		c := &call.Call{Kind: k.Door.KindOf("identity/" + kind), Verb: call.Create, Principal: w.Root, Domain: "acme", Name: ptr(name)}
		c.Spec, _ = json.Marshal(spec)
		return w.must(k.Door.Do(t.Context(), c))
	}
	inAcme("user", "carol", m{"password": "correct horse"})
	inAcme("grant", "", m{"policy": "full-access", "user": "carol"})
	carol, err := k.Ident.ByPassword(t.Context(), "acme", "carol", "correct horse", "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if !w.may(carol) {
		t.Error("carol may not even see her own domain")
	}
	for what, c := range map[string]*call.Call{
		"its users by the domain's name": {Kind: k.Door.KindOf("identity/user"), Verb: call.List, Domain: "awan"},
		"its admin by id":                {Kind: k.Door.KindOf("identity/user"), Verb: call.Get, Target: string(k.Admin.UserID)},
		"its domain":                     {Kind: k.Door.KindOf("identity/domain"), Verb: call.Get, Target: "awan"},
		"its project by id":              {Kind: k.Door.KindOf("identity/project"), Verb: call.Get, Target: string(k.Admin.ProjectID)},
	} {
		c.Principal = carol
		if _, err := k.Door.Do(t.Context(), c); !fail.Is(err, fail.NotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	r, err := k.Door.Do(t.Context(), &call.Call{Kind: k.Door.KindOf("identity/domain"), Verb: call.List, Principal: carol})
	if err != nil || len(r.Rows) != 1 || r.Rows[0].M().ID != other.ID {
		t.Errorf("domains that carol sees: %v %v", r.Rows, err)
	}
}
