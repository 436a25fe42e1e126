package ident_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"testing"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// TestAPolicyImpliesOthers: over any number of steps, while each step is there, never in a circle.
func TestAPolicyImpliesOthers(t *testing.T) {
	k := kerneltest.Start(t, nil)
	w := world{k, t}
	nothing := m{"document": json.RawMessage(`{"Version":"1.1","Statement":[{"Effect":"Deny","Action":["none:none:none"]}]}`)}
	for _, name := range []string{"crew", "lead"} {
		w.must(w.do(call.Create, "policy", name, nothing))
	}
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct-horse"}))
	w.must(w.do(call.Create, "grant", "", m{"policy": "lead", "user": "alice"}))
	alice := k.LogIn(t, "alice", "correct-horse")
	if w.may(alice) {
		t.Fatal("alice may list groups by a policy that allows nothing")
	}
	w.must(w.do(call.Create, "implied-policy", "", m{"policy": "lead", "implied": "crew"}))
	second := w.must(w.do(call.Create, "implied-policy", "", m{"policy": "crew", "implied": "read-only"}))
	if !w.may(alice) {
		t.Error("what is implied over two steps does not hold")
	}
	for name, spec := range map[string]m{"itself": {"policy": "lead", "implied": "lead"}, "a circle": {"policy": "read-only", "implied": "lead"}} {
		if _, err := w.do(call.Create, "implied-policy", "", spec); !fail.Is(err, fail.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.do(call.Create, "implied-policy", "", m{"policy": "lead", "implied": "crew"}); !fail.Is(err, fail.Exists) {
		t.Errorf("the same again: %v", err)
	}
	w.must(w.do(call.Delete, "implied-policy", string(second.Row.M().ID), nil))
	if w.may(alice) {
		t.Error("what is not implied any more still holds")
	}
	w.must(w.do(call.Delete, "policy", "crew", nil))
	if r := w.must(w.do(call.List, "implied-policy", "", nil)); len(r.Rows) != 0 {
		t.Errorf("the rule outlives its policy: %v", r.Rows)
	}
}

// TestAnEC2KeySignsForOneProject: until it, its project or its user is gone; it is shown again to who may, and audited.
func TestAnEC2KeySignsForOneProject(t *testing.T) {
	k := kerneltest.Start(t, nil)
	w := world{k, t}
	w.must(w.do(call.Create, "project", "shop", m{}))
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct-horse"}))
	w.must(w.do(call.Create, "grant", "", m{"policy": "read-only", "user": "alice"}))
	blob := func(access string) string { return `{"access":"` + access + `","secret":"battery-staple"}` }
	for name, c := range map[string]struct {
		spec m
		want fail.Kind
	}{
		"no project":      {m{"type": "ec2", "user": "alice"}, fail.Invalid},
		"a short secret":  {m{"type": "ec2", "user": "alice", "project": "shop", "blob": `{"access":"ALICE","secret":"abc"}`}, fail.Invalid},
		"no key pair":     {m{"type": "ec2", "user": "alice", "project": "shop", "blob": "hello"}, fail.Invalid},
		"nothing to keep": {m{"type": "cert", "user": "alice"}, fail.Invalid},
	} {
		if _, err := w.do(call.Create, "user-credential", "", c.spec); fail.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	made := w.must(w.do(call.Create, "user-credential", "", m{"type": "ec2", "user": "alice", "project": "shop", "blob": blob("ALICE")})).Row.M()
	if _, err := w.do(call.Create, "user-credential", "", m{"type": "ec2", "user": "alice", "project": "shop", "blob": blob("ALICE")}); !fail.Is(err, fail.Exists) {
		t.Errorf("the same access key id again: %v", err)
	}
	p, secret, err := k.Ident.ByKey(t.Context(), "ALICE")
	if err != nil || secret != "battery-staple" || p.UserName != "alice" || p.Project == "" || !p.Bound() {
		t.Fatalf("signing: %v %q %+v", err, secret, p)
	}
	shown := ""
	c := &call.Call{Kind: w.Door.KindOf("identity/user-credential"), Verb: ident.Reveal, Target: string(made.ID), Principal: k.Root,
		Stream: kind.Stream{Emit: func(v any) error { shown = v.(map[string]string)["blob"]; return nil }}}
	if _, err := w.Door.Do(t.Context(), c); err != nil || shown != blob("ALICE") {
		t.Errorf("revealed: %v %q", err, shown)
	}
	c.Principal = k.LogIn(t, "alice", "correct-horse") // read-only: not even its own, but through a dialect that says so
	if _, err := w.Door.Do(t.Context(), c); !fail.Is(err, fail.Denied) {
		t.Errorf("revealed to a reader: %v", err)
	}
	w.must(w.do(call.Update, "user-credential", string(made.ID), m{"blob": blob("OTHER")}))
	if _, _, err := k.Ident.ByKey(t.Context(), "ALICE"); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("the old key: %v", err)
	}
	if _, _, err := k.Ident.ByKey(t.Context(), "OTHER"); err != nil {
		t.Errorf("the new key: %v", err)
	}
	w.must(w.do(call.Delete, "project", "shop", nil))
	if _, _, err := k.Ident.ByKey(t.Context(), "OTHER"); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("a key of a project that is gone: %v", err)
	}
	generated := w.must(w.do(call.Create, "user-credential", "", m{"type": "ec2", "user": "alice", "project": "awan-1"})).Row.StatusPtr().(*ident.UserCredentialStatus)
	if _, _, err := k.Ident.ByKey(t.Context(), generated.Access); err != nil {
		t.Errorf("a key that was made: %v", err)
	}
	w.must(w.do(call.Delete, "user", "alice", nil))
	if _, _, err := k.Ident.ByKey(t.Context(), generated.Access); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("a key of a user that is gone: %v", err)
	}
}

// TestATokenOfARevokedToken: who asks for a token with another gets none once that one is revoked, also between the
// check and the answer.
func TestATokenOfARevokedToken(t *testing.T) {
	k := kerneltest.Start(t, nil)
	text, _, err := k.Ident.IssueToken(t.Context(), ident.TokenFor(k.Root, ""), 0)
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := k.Ident.ByToken(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Ident.IssueToken(t.Context(), ident.TokenFor(p, id.ID("")), 0); err != nil {
		t.Errorf("while it holds: %v", err)
	}
	if err := k.Ident.RevokeToken(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Ident.IssueToken(t.Context(), ident.TokenFor(p, ""), 0); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("after it was revoked: %v", err)
	}
}

// TestProjectsNest: what is inherited from a project holds in those below it, at any depth, and not in it.
func TestProjectsNest(t *testing.T) {
	k := kerneltest.Start(t, nil)
	w := world{k, t}
	ids := map[string]id.ID{"": ""}
	for _, p := range [][2]string{{"top", ""}, {"middle", "top"}, {"low", "middle"}, {"other", ""}} {
		ids[p[0]] = w.must(w.do(call.Create, "project", p[0], m{"parent": p[1]})).Row.M().ID
	}
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct-horse"}))
	grant := w.must(w.do(call.Create, "grant", "", m{"policy": "read-only", "user": "alice", "project": "top", "inherited": true})).Row.M().ID
	alice := k.LogIn(t, "alice", "correct-horse")
	holds := func() (out []string) {
		t.Helper()
		err := k.Door.Store.View(t.Context(), func(tx store.Tx) error {
			for _, p := range []string{"top", "middle", "low", "other"} {
				roles, err := k.Ident.Roles(tx, alice, alice.Domain, ids[p])
				if err != nil {
					return err
				}
				if len(roles) > 0 {
					out = append(out, p)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := holds(); !slices.Equal(got, []string{"middle", "low"}) {
		t.Errorf("the inherited policy holds in %v", got)
	}
	if _, err := w.do(call.Delete, "project", "middle", nil); !fail.Is(err, fail.Precondition) {
		t.Errorf("deleting a project with one below: %v", err)
	}
	if _, err := w.do(call.Create, "grant", "", m{"policy": "read-only", "user": "alice", "inherited": true}); !fail.Is(err, fail.Invalid) {
		t.Errorf("inherited from no project: %v", err)
	}
	if _, err := w.do(call.Update, "project", "middle", m{"parent": "other"}); err == nil {
		t.Error("a project moved")
	}
	w.must(w.do(call.Delete, "project", "low", nil))
	ids["low"] = w.must(w.do(call.Create, "project", "low", m{"parent": "middle"})).Row.M().ID
	if got := holds(); !slices.Equal(got, []string{"middle", "low"}) {
		t.Errorf("in a project that came later: %v", got)
	}
	w.must(w.do(call.Delete, "grant", string(grant), nil))
	if got := holds(); len(got) != 0 {
		t.Errorf("after it was taken away: %v", got)
	}
	for i, above := 3, "low"; i < 7; i++ {
		name := "deep" + strconv.Itoa(i)
		if _, err := w.do(call.Create, "project", name, m{"parent": above}); (err != nil) != (i > 4) {
			t.Errorf("project %d deep: %v", i, err)
		}
		above = name
	}
}
