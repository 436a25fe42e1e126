package ident_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
)

const console = "https://cloud.test:7443"

// key is an authenticator with one key for a console.
type key struct {
	party virtualwebauthn.RelyingParty
	auth  virtualwebauthn.Authenticator
	cred  virtualwebauthn.Credential
}

func newKey(origin string) *key {
	return &key{virtualwebauthn.RelyingParty{Name: "Awan", ID: "cloud.test", Origin: origin}, virtualwebauthn.NewAuthenticator(), virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)}
}

func (k *key) create(t *testing.T, options []byte) string {
	t.Helper()
	o, err := virtualwebauthn.ParseAttestationOptions(fmt.Sprintf(`{"publicKey":%s}`, options))
	if err != nil {
		t.Fatal(err)
	}
	return virtualwebauthn.CreateAttestationResponse(k.party, k.auth, k.cred, *o)
}

func (k *key) get(t *testing.T, ask *ident.PasskeyAsk) string {
	t.Helper()
	o, err := virtualwebauthn.ParseAssertionOptions(fmt.Sprintf(`{"publicKey":%s}`, ask.Options))
	if err != nil {
		t.Fatal(err)
	}
	k.cred.Counter++
	return virtualwebauthn.CreateAssertionResponse(k.party, k.auth, k.cred, *o)
}

// passkey registers a key for a user.
func (w world) passkey(user string, k *key) {
	w.t.Helper()
	r := w.must(w.do(call.Create, "passkey", "laptop", m{"user": user, "origin": console}))
	st := r.Row.StatusPtr().(*ident.PasskeyStatus)
	confirm := func(answer string) error {
		c := &call.Call{Kind: w.Door.KindOf("identity/passkey"), Verb: "confirm", Target: string(r.Row.M().ID), Principal: w.Root, In: []byte(fmt.Sprintf(`{"answer":%q}`, answer))}
		_, err := w.Door.Do(w.t.Context(), c)
		return err
	}
	elsewhere := newKey("https://cloud.test.evil.example")
	for what, answer := range map[string]string{"nonsense": "{}", "another site's": elsewhere.create(w.t, st.Options)} {
		if err := confirm(answer); !fail.Is(err, fail.Invalid) {
			w.t.Errorf("%s answer: %v", what, err)
		}
	}
	if err := confirm(k.create(w.t, st.Options)); err != nil {
		w.t.Fatal(err)
	}
}

func TestAPasskeyIsASecondFactor(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct horse"}))
	w.must(w.do(call.Create, "grant", "", m{"policy": "read-only", "user": "alice"}))
	for _, origin := range []string{"https://127.0.0.1:7443", "http://cloud.test", "https://cloud.test/path", "cloud.test"} {
		if _, err := w.do(call.Create, "passkey", "k", m{"user": "alice", "origin": origin}); !fail.Is(err, fail.Invalid) {
			t.Errorf("%s: %v", origin, err)
		}
	}
	k := newKey(console)
	w.passkey("alice", k)
	alice := w.logIn("awan", "alice")
	if alice.Restricted != ident.NeedsCode || w.may(alice) {
		t.Fatalf("a password alone is enough: %+v", alice)
	}
	ask := func(origin string) *ident.PasskeyAsk {
		t.Helper()
		a, err := w.Ident.AskPasskey(t.Context(), alice, origin, "browser")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := ask("https://other.test"); a != nil {
		t.Error("a key of another host is asked for")
	}
	for _, c := range []struct {
		what string
		try  func() (ident.Principal, error)
	}{
		{"no answer", func() (ident.Principal, error) {
			return w.Ident.ByPasskey(t.Context(), ask(console).State, "browser", "", home)
		}},
		{"another browser", func() (ident.Principal, error) {
			a := ask(console)
			return w.Ident.ByPasskey(t.Context(), a.State, "another", k.get(t, a), home)
		}},
		{"the answer to another question", func() (ident.Principal, error) {
			return w.Ident.ByPasskey(t.Context(), ask(console).State, "browser", k.get(t, ask(console)), home)
		}},
		{"another key", func() (ident.Principal, error) {
			a, other := ask(console), newKey(console)
			other.cred.ID = k.cred.ID
			return w.Ident.ByPasskey(t.Context(), a.State, "browser", other.get(t, a), home)
		}},
		{"another site", func() (ident.Principal, error) {
			a, there := ask(console), *k
			there.party.Origin = "https://cloud.test.evil.example"
			return w.Ident.ByPasskey(t.Context(), a.State, "browser", there.get(t, a), home)
		}},
		{"too late", func() (ident.Principal, error) {
			a := ask(console)
			w.Clock.Add(6 * time.Minute)
			return w.Ident.ByPasskey(t.Context(), a.State, "browser", k.get(t, a), home)
		}},
	} {
		if p, err := c.try(); !fail.Is(err, fail.Unauthenticated) || p.User != "" {
			t.Errorf("%s: %v %+v", c.what, err, p)
		}
	}
	a := ask(console)
	answer := k.get(t, a)
	p, err := w.Ident.ByPasskey(t.Context(), a.State, "browser", answer, home)
	if err != nil || !p.MFA || p.Restricted != "" || !w.may(p) {
		t.Fatalf("%+v %v", p, err)
	}
	if _, err := w.Ident.ByPasskey(t.Context(), a.State, "browser", answer, home); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("an answer works twice: %v", err)
	}
	k.cred.Counter = 0
	a = ask(console)
	if _, err := w.Ident.ByPasskey(t.Context(), a.State, "browser", k.get(t, a), home); err == nil || !strings.Contains(err.Error(), "backwards") {
		t.Errorf("a copy of the key: %v", err)
	}
	a = ask(console)
	k.cred.Counter = 20
	w.must(w.do(call.Update, "user", "alice", m{"disabled": true}))
	if _, err := w.Ident.ByPasskey(t.Context(), a.State, "browser", k.get(t, a), home); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("who was disabled meanwhile: %v", err)
	}
}
