package ident_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// ask runs a reading action of a collection and reads what it answers.
func ask[T any](w world, kindName, verb string, in any) (out T, err error) {
	w.t.Helper()
	b, _ := json.Marshal(in)
	c := &call.Call{Kind: w.Door.KindOf("identity/" + kindName), Verb: verb, In: b, Principal: w.Root}
	c.Stream.Emit = func(v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &out)
	}
	_, err = w.Door.Do(w.t.Context(), c)
	return out, err
}

type verdicts struct{ Items []ident.Verdict }

func TestSimulate(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	w.must(w.do(call.Create, "group", "crew", m{}))
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct horse", "groups": []string{"crew"}}))
	w.must(w.do(call.Create, "policy", "only-home", m{"document": m{"Version": "5.0", "Statement": []m{{"Sid": "home", "Effect": "Allow", "Action": []string{"app:component:create"},
		"Condition": m{"IpAddress": m{"g:SourceIp": []string{"192.0.2.0/24"}}, "StringEquals": m{"g:RequestTag/team": []string{"shop"}}}}}}}))
	w.must(w.do(call.Create, "grant", "", m{"policy": "only-home", "group": "crew"}))
	for _, c := range []struct {
		q       m
		allowed bool
		says    string
	}{
		{m{"user": "alice", "actions": []string{"app:component:create"}, "facts": m{"g:SourceIp": "192.0.2.7", "g:RequestTag/team": "shop"}}, true, `statement 1 "home" of policy only-home (group crew)`},
		{m{"user": "alice", "actions": []string{"app:component:create"}, "facts": m{"g:SourceIp": "192.0.2.7", "g:RequestTag/team": "toys"}}, false, "its condition StringEquals on g:RequestTag/team does not hold"},
		{m{"user": "alice", "actions": []string{"app:component:delete"}}, false, "no statement allows"},
		{m{"user": "alice", "actions": []string{"app:component:delete"}, "documents": []m{{"Version": "5.0", "Statement": []m{{"Effect": "Allow", "Action": []string{"app:*:delete"},
			"Resource": []string{"app:*:*:component:web*"}}}}}, "resources": []string{"web1"}}, true, "document 1"},
	} {
		v, err := ask[verdicts](w, "policy", "simulate", c.q)
		if err != nil || len(v.Items) != 1 || v.Items[0].Allowed != c.allowed || !strings.Contains(v.Items[0].Reason, c.says) {
			t.Errorf("%v: %+v %v", c.q, v.Items, err)
		}
	}
	for action, says := range map[string]string{"app:*": "is not one action", "users": "is not one action", "app:a:create,app:a:delete": "are several", "identity:user:creat": `there is no action "identity:user:creat"`,
		"identity:users:create": "there is no action"} {
		if _, err := ask[verdicts](w, "policy", "simulate", m{"actions": []string{action}}); !fail.Is(err, fail.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", action, err, says)
		}
	}
}

func TestExplainAPastCall(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct horse"}))
	doc := func(effect string) m {
		return m{"document": m{"Version": "1.1", "Statement": []m{{"Effect": effect, "Action": []string{"identity:group:create"}}}}}
	}
	w.must(w.do(call.Create, "policy", "makers", doc("Allow")))
	w.must(w.do(call.Create, "grant", "", m{"policy": "makers", "user": "alice"}))
	alice := w.logIn("awan", "alice")
	make := func(verb, name string) error {
		_, err := w.Door.Do(t.Context(), &call.Call{Kind: w.Door.KindOf("identity/group"), Verb: verb, Name: ptr(name), Target: name, Spec: []byte(`{}`), Principal: alice, Source: home})
		return err
	}
	if err := make(call.Create, "one"); err != nil {
		t.Fatal(err)
	}
	if err := make(call.Delete, "one"); !fail.Is(err, fail.Denied) {
		t.Fatal(err)
	}
	entries, _, err := w.Door.Audit(t.Context(), &call.Call{Principal: w.Root}, ledger.Query{Actor: "alice", Limit: 10})
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	x, err := ask[ident.Explanation](w, "policy", "explain", m{"entry": entries[1].ID})
	if err != nil || !x.Allowed || x.Deciding == nil || x.Deciding.Policy != "makers" || x.Deciding.Held != "user alice" || x.Changed || !x.Now.Allowed ||
		!strings.Contains(string(x.Deciding.Statement), "identity:group:create") {
		t.Errorf("the allowed call: %+v %v", x, err)
	}
	w.must(w.do(call.Update, "policy", "makers", doc("Deny")))
	if x, err = ask[ident.Explanation](w, "policy", "explain", m{"entry": entries[1].ID}); err != nil || !x.Allowed || !x.Changed || x.Now.Allowed ||
		!x.Then || !strings.Contains(string(x.Deciding.Statement), `"Allow"`) || !strings.Contains(string(x.Now.Deciding.Statement), `"Deny"`) {
		t.Errorf("after the policy was changed: %+v %v", x, err)
	}
	if x, err = ask[ident.Explanation](w, "policy", "explain", m{"entry": entries[0].ID}); err != nil || x.Allowed || x.Deciding != nil || !strings.Contains(x.Reason, "no statement allows identity:group:delete") {
		t.Errorf("the denied call: %+v %v", x, err)
	}
	if _, err := ask[ident.Explanation](w, "policy", "explain", m{"entry": strings.Repeat("0", 32)}); !fail.Is(err, fail.NotFound) {
		t.Errorf("no such entry: %v", err)
	}
}

func TestUnusedRights(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct horse"}))
	w.must(w.do(call.Create, "grant", "", m{"policy": "read-only", "user": "alice"}))
	w.must(w.do(call.Create, "grant", "", m{"policy": "app-admin", "user": "alice"}))
	if !w.may(w.logIn("awan", "alice")) {
		t.Fatal("alice may not read")
	}
	type report struct{ Items []ident.UnusedRights }
	of := func() ident.UnusedRights {
		t.Helper()
		r, err := ask[report](w, "policy", "unused", m{"user": "alice", "days": 30})
		if err != nil || len(r.Items) != 1 {
			t.Fatal(r, err)
		}
		return r.Items[0]
	}
	r := of()
	if slices.ContainsFunc(r.Policies, func(p ident.UnusedPolicy) bool { return p.Policy == "read-only" }) || len(r.Policies) != 1 ||
		slices.Contains(r.Actions, "identity:group:list") || !slices.Contains(r.Actions, "identity:user:list") {
		t.Errorf("%+v", r)
	}
	if err := w.Ident.FlushUses(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := of(); !slices.Equal(s.Actions, r.Actions) {
		t.Error("what was used is forgotten when it is stored")
	}
	w.Clock.Add(31 * 24 * time.Hour)
	if r = of(); len(r.Policies) != 2 || !slices.Contains(r.Services, "identity") {
		t.Errorf("after a month: %+v", r)
	}
	err := w.Store.View(t.Context(), func(tx store.Tx) error {
		pol, err := w.Ident.Kinds.Policy.Find(tx, string(w.Admin.DomainID), "read-only")
		if err != nil {
			return err
		}
		at, err := w.Ident.PolicyUsed(tx, pol.ID)
		if at.IsZero() {
			t.Error("the policy's last use is not known")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// boxes are resources of projects.
func boxes() *kind.Def {
	return kind.Kind[ident.None, ident.None]{Service: "test", Name: "box", Plural: "boxes", Scope: kind.InProject}.Def()
}

// TestEnterpriseProjects: rights that hold for the resources of one enterprise project only.
func TestEnterpriseProjects(t *testing.T) {
	box := boxes()
	w := world{kerneltest.Start(t, nil, box), t}
	shop := w.must(w.do(call.Create, "enterprise-project", "shop", m{})).Row.M().ID
	w.must(w.do(call.Create, "enterprise-project", "toys", m{}))
	w.must(w.do(call.Create, "policy", "boxer", m{"document": m{"Version": "5.0", "Statement": []m{{"Effect": "Allow", "Action": []string{"test:box:*"}}}}}))
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct horse"}))
	w.must(w.do(call.Create, "grant", "", m{"policy": "boxer", "user": "alice", "enterprise_project": "shop"}))
	alice := w.logIn("awan", "alice")
	alice.Project = w.Admin.ProjectID
	do := func(p ident.Principal, verb, name string, ep *string) (call.Reply, error) {
		return w.Door.Do(t.Context(), &call.Call{Kind: box, Verb: verb, Name: ptr(name), Target: name, EnterpriseProject: ep, Spec: []byte(`{}`), Principal: p})
	}
	for name, ep := range map[string]*string{"plain": nil, "toy": ptr("toys"), "till": ptr("shop")} {
		w.must(do(w.Root, call.Create, name, ep))
	}
	for name, ok := range map[string]bool{"plain": false, "toy": false, "till": true} {
		if _, err := do(alice, call.Get, name, nil); (err == nil) != ok {
			t.Errorf("get %s: %v", name, err)
		}
	}
	r := w.must(do(alice, call.List, "", nil))
	if len(r.Rows) != 1 || r.Rows[0].M().Name != "till" || r.Rows[0].M().EnterpriseProject != shop {
		t.Errorf("the list shows %d", len(r.Rows))
	}
	if _, err := do(alice, call.Create, "mine", nil); !fail.Is(err, fail.Denied) {
		t.Errorf("a box in the default one: %v", err)
	}
	w.must(do(alice, call.Create, "mine", ptr("shop")))
	if _, err := do(alice, call.Update, "mine", ptr("toys")); !fail.Is(err, fail.Denied) {
		t.Errorf("she moves a box to where she may nothing: %v", err)
	}
	w.must(do(w.Root, call.Update, "mine", ptr("toys")))
	if _, err := do(alice, call.Get, "mine", nil); !fail.Is(err, fail.Denied) {
		t.Errorf("she sees it after it was moved away: %v", err)
	}
	c := &call.Call{Kind: box, Verb: call.List, Principal: w.Root, Filter: kind.Filter{Enterprise: "toys"}}
	if r := w.must(w.Door.Do(t.Context(), c)); len(r.Rows) != 2 {
		t.Errorf("the filter gives %d", len(r.Rows))
	}
	w.must(w.do(call.Update, "enterprise-project", "toys", m{"disabled": true}))
	if _, err := do(w.Root, call.Create, "late", ptr("toys")); !fail.Is(err, fail.Precondition) {
		t.Errorf("a disabled one takes a box: %v", err)
	}
	if _, err := w.do(call.Delete, "enterprise-project", "toys", nil); !fail.Is(err, fail.Precondition) {
		t.Errorf("one with boxes is deleted: %v", err)
	}
}
