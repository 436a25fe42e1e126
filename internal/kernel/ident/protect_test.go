package ident_test

import (
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
)

// session gives what a user's token says now.
func (w world) session(text string) ident.Principal {
	w.t.Helper()
	p, _, err := w.Ident.ByToken(w.t.Context(), text)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w world) token(p ident.Principal, methods ...string) string {
	w.t.Helper()
	text, _, err := w.Ident.IssueToken(w.t.Context(), ident.TokenFor(p, "", methods...), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// TestCriticalOperations: where the account wants it, people confirm what is dangerous by the second factor given lately.
func TestCriticalOperations(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	w.Door.Critical = []string{"identity:user:delete", "identity:mfa-device:delete"}
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct horse"}))
	w.must(w.do(call.Create, "user", "robot", m{"password": "correct horse", "access_mode": "programmatic"}))
	w.must(w.do(call.Create, "user", "plain", m{"password": "correct horse"}))
	for _, u := range []string{"alice", "robot", "plain"} {
		w.must(w.do(call.Create, "grant", "", m{"policy": "full-access", "user": u}))
	}
	secret := w.enrol("alice")
	in := func() ident.Principal {
		p, err := w.Ident.Complete(t.Context(), w.logIn("awan", "alice"), w.code(secret, 0), home, false)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	text := w.token(in(), "password", "totp")
	remove := func(p ident.Principal) error { // an attempt on somebody who is not there is decided before it is looked up
		w.must(w.do(call.Create, "user", "victim", m{}))
		_, err := w.Door.Do(t.Context(), &call.Call{Kind: w.Door.KindOf("identity/user"), Verb: call.Delete, Target: "victim", Principal: p, Source: home})
		if err != nil {
			w.must(w.do(call.Delete, "user", "victim", nil))
		}
		return err
	}
	w.Clock.Add(20 * time.Minute)
	if err := remove(w.session(text)); err != nil {
		t.Fatalf("protection is off: %v", err)
	}
	w.must(w.do(call.Update, "security-policy", ident.RulesName, m{"protection": m{"operations": true}}))

	err := remove(w.session(text))
	if e := fail.From(err); e == nil || e.Kind != fail.Denied || e.Field != ident.Unconfirmed {
		t.Fatalf("without the code: %v", err)
	}
	if err := w.Ident.Confirm(t.Context(), w.session(text), "000000", home); err == nil {
		t.Fatal("a wrong code confirms")
	}
	if err := w.Ident.Confirm(t.Context(), w.session(text), w.code(secret, 0), home); err != nil {
		t.Fatal(err)
	}
	if err := remove(w.session(text)); err != nil {
		t.Errorf("with the code: %v", err)
	}
	again := w.token(w.session(text), "token") // exchanged for another: it was given as long ago
	w.Clock.Add(14 * time.Minute)
	if err := remove(w.session(again)); err != nil {
		t.Errorf("after 14 minutes: %v", err)
	}
	w.Clock.Add(2 * time.Minute)
	for what, p := range map[string]ident.Principal{"after 16 minutes": w.session(text), "by a token for it": w.session(again), "who has no second factor": w.session(w.token(w.logIn("awan", "plain"), "password"))} {
		if e := fail.From(remove(p)); e == nil || e.Field != ident.Unconfirmed {
			t.Errorf("%s: %v", what, e)
		}
	}
	own := &call.Call{Kind: w.Door.KindOf("identity/mfa-device"), Verb: call.Delete, Target: "phone", Principal: ident.OnBehalf(w.session(text), "own second factor")}
	if _, err := w.Door.Do(t.Context(), own); fail.From(err).Field != ident.Unconfirmed {
		t.Errorf("what the cloud does for her is hers: %v", err)
	}
	if err := remove(w.session(w.token(w.logIn("awan", "robot"), "password"))); err != nil {
		t.Errorf("a user for programs: %v", err)
	}
	w.Clock.Add(time.Minute)
	if err := remove(w.session(w.token(in(), "password", "totp"))); err != nil {
		t.Errorf("a new log-in with the code: %v", err)
	}
}

// TestWhatUsersManageOfTheirOwn: an account may keep its users from changing their own things.
func TestWhatUsersManageOfTheirOwn(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct horse"}))
	w.must(w.do(call.Create, "grant", "", m{"policy": "full-access", "user": "alice"}))
	alice := w.session(w.token(w.logIn("awan", "alice"), "password"))
	do := func(verb, kind, target string, spec string) error {
		_, err := w.Door.Do(t.Context(), &call.Call{Kind: w.Door.KindOf("identity/" + kind), Verb: verb, Target: target, Principal: alice, Source: home, Spec: []byte(spec)})
		return err
	}
	tries := func() []error {
		return []error{do(call.Update, "user", "alice", `{"email":"`+time.Now().Format("150405.000000")+`@example.org"}`), do(call.Update, "user", "alice", `{"phone":"0062-8`+w.Clock.Now().Format("150405")+`"}`),
			do(call.Create, "access-key", "", `{}`)}
	}
	for i, err := range tries() {
		if err != nil {
			t.Errorf("%d, before: %v", i, err)
		}
	}
	w.Clock.Add(time.Minute)
	w.must(w.do(call.Update, "security-policy", ident.RulesName, m{"protection": m{"own_keys": false, "own_email": false, "own_phone": false, "own_password": false}}))
	for i, err := range tries() {
		if !fail.Is(err, fail.Denied) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if err := do(call.Update, "user", "alice", `{"description":"still me"}`); err != nil {
		t.Errorf("what is not forbidden: %v", err)
	}
	w.must(w.do(call.Update, "user", "alice", m{"email": "by-the-administrator@example.org"}))
}
