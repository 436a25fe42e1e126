package ident_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// in does a call in a domain as the operator.
func (w world) in(domain, verb, kind, target string, spec any) call.Reply {
	w.t.Helper()
	c := &call.Call{Kind: w.Door.KindOf("identity/" + kind), Verb: verb, Target: target, Domain: domain, Principal: w.Root}
	c.Spec, _ = json.Marshal(spec)
	if verb == call.Create {
		c.Name, c.Target = ptr(target), ""
	}
	return w.must(w.Door.Do(w.t.Context(), c))
}

func (w world) logIn(domain, user string) ident.Principal {
	w.t.Helper()
	p, err := w.Ident.ByPassword(w.t.Context(), domain, user, "correct horse", "192.0.2.1")
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// allowed asks whether p may list users.
func (w world) lists(p ident.Principal, domain string) error {
	_, err := w.Door.Do(w.t.Context(), &call.Call{Kind: w.Door.KindOf("identity/user"), Verb: call.List, Domain: domain, Principal: p, Source: "192.0.2.1"})
	return err
}

func (w world) assume(p ident.Principal, domain, agency string) (ident.Principal, error) {
	return w.Door.Assume(w.t.Context(), &call.Call{Principal: p, Source: "192.0.2.1"}, domain, agency, time.Hour)
}

// TestAnAgencyLendsRights: account "partner" acts in "awan" through an agency, as far as both sides allow it.
func TestAnAgencyLendsRights(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	w.in("", call.Create, "domain", "partner", m{})
	w.in("", call.Create, "domain", "stranger", m{})
	for _, d := range []string{"partner", "stranger"} {
		w.in(d, call.Create, "user", "bob", m{"password": "correct horse"})
		w.in(d, call.Create, "grant", "", m{"policy": "agency-operator", "user": "bob"})
	}
	w.in("partner", call.Create, "user", "eve", m{"password": "correct horse"})
	w.in("", call.Create, "agency", "helpers", m{"trust_domain": "partner", "duration": "ONEDAY"})
	bob := w.logIn("partner", "bob")
	if _, err := w.assume(w.logIn("stranger", "bob"), "awan", "helpers"); !fail.Is(err, fail.NotFound) {
		t.Errorf("another account sees the agency: %v", err)
	}
	if _, err := w.assume(w.logIn("partner", "eve"), "awan", "helpers"); !fail.Is(err, fail.Denied) {
		t.Errorf("a user without the right assumes it: %v", err)
	}
	p, err := w.assume(bob, "awan", "helpers")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.lists(p, ""); !fail.Is(err, fail.Denied) {
		t.Errorf("an agency that was granted nothing may list users: %v", err)
	}
	w.in("", call.Create, "grant", "", m{"policy": "read-only", "agency": "helpers"})
	if err := w.lists(p, ""); err != nil {
		t.Errorf("what was granted does not hold: %v", err)
	}
	if err := w.lists(p, "partner"); !fail.Is(err, fail.NotFound) {
		t.Errorf("an agency reaches another account: %v", err)
	}
	if _, err := w.assume(p, "awan", "helpers"); !fail.Is(err, fail.Denied) {
		t.Errorf("who acts through an agency assumes another: %v", err)
	}
	text, _, err := w.Ident.IssueToken(t.Context(), ident.TokenFor(p, "", "assume_role"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := w.Ident.IssueTemporary(t.Context(), p, time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	works := func() (byToken, byKey error) {
		p, _, err := w.Ident.ByToken(t.Context(), text)
		if err == nil && (p.By.Name != "bob" || p.By.DomainName != "partner" || !strings.Contains(p.String(), "agency helpers by user partner/bob")) {
			t.Errorf("the token tells of %s", p)
		}
		_, secret, err2 := w.Ident.ByTemporary(t.Context(), keys.Access, keys.Token)
		if err2 == nil && secret != keys.Secret {
			t.Error("the key has another secret")
		}
		return err, err2
	}
	if a, b := works(); a != nil || b != nil {
		t.Fatal(a, b)
	}
	for _, d := range []string{"awan", "partner"} { // both accounts' auditors see it
		if !w.audited(d, ident.Assume, "bob") {
			t.Errorf("the audit log of %s does not tell who assumed the agency", d)
		}
	}
	w.in("partner", call.Update, "user", "bob", m{"disabled": true})
	if a, b := works(); a == nil || b == nil {
		t.Error("a disabled user goes on acting through the agency")
	}
	w.in("partner", call.Update, "user", "bob", m{"disabled": false})
	if a, b := works(); a != nil || b != nil {
		t.Fatal(a, b)
	}
	w.Clock.Add(24 * time.Hour)
	if a, b := works(); a == nil || b == nil {
		t.Error("the agency ended, and a session through it goes on")
	}
	w.in("", call.Create, "agency", "forever", m{"trust_domain": "partner"})
	p, err = w.assume(w.logIn("partner", "bob"), "awan", "forever")
	if err != nil {
		t.Fatal(err)
	}
	if text, _, err = w.Ident.IssueToken(t.Context(), ident.TokenFor(p, "", "assume_role"), time.Hour); err != nil {
		t.Fatal(err)
	}
	w.must(w.do(call.Delete, "agency", "forever", nil))
	if a, _ := works(); a == nil {
		t.Error("the agency was deleted, and a session through it goes on")
	}
}

func (w world) audited(domain, action, who string) bool {
	w.t.Helper()
	entries, _, err := w.Door.Audit(w.t.Context(), &call.Call{Principal: w.Root, Domain: domain}, ledger.Query{Action: action, Actor: who, Outcome: ledger.Succeeded, Limit: 10})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(entries) > 0
}

func TestATemporaryKeyIsNarrowAndShort(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct horse"}))
	w.must(w.do(call.Create, "grant", "", m{"policy": "identity-admin", "user": "alice"}))
	alice := w.logIn("awan", "alice")
	if _, err := w.Ident.IssueTemporary(t.Context(), alice, time.Minute, nil); !fail.Is(err, fail.Invalid) {
		t.Errorf("a minute is too short: %v", err)
	}
	narrow := json.RawMessage(`{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["identity:user:list","app:*:*"]}]}`)
	keys, err := w.Ident.IssueTemporary(t.Context(), alice, 15*time.Minute, narrow)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Ident.ByKey(t.Context(), keys.Access); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("it works without its token: %v", err)
	}
	if _, _, err := w.Ident.ByTemporary(t.Context(), keys.Access, "awk1.other"); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("it works with another token: %v", err)
	}
	p, _, err := w.Ident.ByTemporary(t.Context(), keys.Access, keys.Token)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.lists(p, ""); err != nil {
		t.Errorf("what it was narrowed to is refused: %v", err)
	}
	if w.may(p) { // lists groups: alice may, the key may not
		t.Error("it may more than it was narrowed to")
	}
	if _, err := w.Ident.IssueTemporary(t.Context(), p, time.Hour, nil); !fail.Is(err, fail.Denied) {
		t.Errorf("it makes itself a wider one: %v", err)
	}
	w.Clock.Add(16 * time.Minute)
	if _, _, err := w.Ident.ByTemporary(t.Context(), keys.Access, keys.Token); err == nil {
		t.Error("it outlives its time")
	}
	if n, err := w.Ident.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if keys, err = w.Ident.IssueTemporary(t.Context(), w.logIn("awan", "alice"), time.Hour, nil); err != nil {
		t.Fatal(err)
	}
	w.must(w.do(call.Update, "user", "alice", m{"password": "another horse"}))
	if _, _, err := w.Ident.ByTemporary(t.Context(), keys.Access, keys.Token); err == nil {
		t.Error("it survives the change of the password")
	}
}

func TestAnApplicationCredentialIsPartOfItsUser(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct horse"}))
	for _, p := range []string{"read-only", "identity-admin"} {
		w.must(w.do(call.Create, "grant", "", m{"policy": p, "user": "alice"}))
	}
	r := w.must(w.do(call.Create, "application-credential", "robot", m{"user": "alice", "project": "awan-1", "policies": []string{"read-only"}, "secret": "a secret of my own"}))
	if st := r.Row.StatusPtr().(*ident.CredentialStatus); st.Secret != "a secret of my own" {
		t.Errorf("the secret shown is %q", st.Secret)
	}
	p, err := w.Ident.ByCredential(t.Context(), "robot", "awan", "alice", "a secret of my own", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	if p.Project != w.Admin.ProjectID || !w.may(p) {
		t.Errorf("it may not read, or works in project %q", p.Project)
	}
	_, err = w.Door.Do(t.Context(), &call.Call{Kind: w.Door.KindOf("identity/group"), Verb: call.Create, Name: ptr("g"), Spec: []byte(`{}`), Principal: p})
	if !fail.Is(err, fail.Denied) {
		t.Errorf("it may what it was not given: %v", err)
	}
	text, _, err := w.Ident.IssueToken(t.Context(), ident.TokenFor(p, p.Project, "application_credential"), 0)
	if err != nil {
		t.Fatal(err)
	}
	q, _, err := w.Ident.ByToken(t.Context(), text)
	if err != nil || len(q.Only) != 1 || q.Application == "" {
		t.Errorf("its token forgets what it is: %+v %v", q, err)
	}
	if _, err := w.Ident.ByCredential(t.Context(), string(r.Row.M().ID), "", "", "wrong", "192.0.2.1"); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("a wrong secret works: %v", err)
	}
	w.must(w.do(call.Delete, "application-credential", string(r.Row.M().ID), nil))
	if _, _, err := w.Ident.ByToken(t.Context(), text); err == nil {
		t.Error("its token outlives it")
	}
}

func TestVersionsOfAPolicy(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	doc := func(action string) m {
		return m{"Version": "5.0", "Statement": []m{{"Effect": "Allow", "Action": []string{action}}}}
	}
	w.must(w.do(call.Create, "policy", "p", m{"document": doc("app:*:get")}))
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct horse"}))
	w.must(w.do(call.Create, "grant", "", m{"policy": "p", "user": "alice"}))
	alice := w.logIn("awan", "alice")
	v2 := w.must(w.do(call.Create, "policy-version", "", m{"policy": "p", "document": doc("identity:group:list")})).Row.M()
	if v2.Name != "v2" || w.may(alice) {
		t.Errorf("%s holds before it is the default: %v", v2.Name, w.may(alice))
	}
	w.must(w.do(call.Update, "policy-version", string(v2.ID), m{"default": true}))
	if !w.may(alice) {
		t.Error("the new default does not hold")
	}
	if _, err := w.do(call.Delete, "policy-version", string(v2.ID), nil); !fail.Is(err, fail.Precondition) {
		t.Errorf("the default version is deleted: %v", err)
	}
	for range 3 {
		w.must(w.do(call.Create, "policy-version", "", m{"policy": "p", "document": doc("app:*:list")}))
	}
	if _, err := w.do(call.Create, "policy-version", "", m{"policy": "p", "document": doc("app:*:list")}); !fail.Is(err, fail.Quota) {
		t.Errorf("a sixth version: %v", err)
	}
	err := w.Store.View(t.Context(), func(tx store.Tx) error {
		p, err := w.Ident.Kinds.Policy.Find(tx, string(w.Admin.DomainID), "p")
		if err != nil {
			return err
		}
		all, err := w.Ident.Kinds.Versions(tx, p)
		if len(all) != 5 || all[0].Spec.Default || !all[1].Spec.Default {
			t.Errorf("%d versions, the defaults are wrong", len(all))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAnAgencyNamesAServiceThatExists: the refusal says which there are.
func TestAnAgencyNamesAServiceThatExists(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	w.Ident.Kinds.Services = map[string]string{"compute": "compute", "ecs": "compute"}
	for service, there := range map[string]bool{"compute": true, "ecs": true, "nonesuch": false} {
		_, err := w.do(call.Create, "agency", service, m{"trust_service": service})
		if (err == nil) != there || !there && !strings.Contains(fail.From(err).Public(), "name one of compute; or, as clients of another cloud call them, ecs") {
			t.Errorf("%s: %v", service, err)
		}
	}
}
