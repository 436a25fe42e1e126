// Package kerneltest starts a kernel in a test: a store, identity with its first administrator, and the door. It may
// import every kernel package; only tests import it.
package kerneltest

import (
	"context"
	"crypto/rand"
	"log/slog"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
)

// Kernel is a running kernel.
type Kernel struct {
	Store store.Store
	Ident *ident.Service
	Door  *call.Door
	Admin *ident.Admin
	Clock *clock.Manual
	Root  ident.Principal // the first administrator, logged in
}

// Cheap is a password cost for tests.
var Cheap = secret.Cost{Memory: 64, Time: 1, Lanes: 1}

// Start makes a kernel with the given kinds beside identity's. It is closed with the test.
func Start(t testing.TB, limits ledger.Limits, kinds ...*kind.Def) *Kernel {
	t.Helper()
	return StartOn(t, mem.New(), limits, kinds...)
}

// StartOn is Start over a store of the caller's, which it closes.
func StartOn(t testing.TB, on store.Store, limits ledger.Limits, kinds ...*kind.Def) *Kernel {
	t.Helper()
	c := clock.NewManual(time.Now())
	k := start(t, on, c.Now, limits, kinds)
	k.Clock = c
	return k
}

// StartNow is StartOn with the time of day, for flows that nap. There is no Clock.
func StartNow(t testing.TB, on store.Store, limits ledger.Limits, kinds ...*kind.Def) *Kernel {
	t.Helper()
	return start(t, on, time.Now, limits, kinds)
}

func start(t testing.TB, on store.Store, now clock.Clock, limits ledger.Limits, kinds []*kind.Def) *Kernel {
	t.Helper()
	k := &Kernel{Store: on}
	sealer, err := secret.OpenSealer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	k.Ident = ident.New(k.Store, secret.NewPasswords(Cheap), sealer, now)
	k.Ident.PasswordOnAPIs = true // tests that are about factors say so
	if k.Admin, err = k.Ident.Bootstrap(t.Context(), "awan", "awan-1"); err != nil {
		t.Fatal(err)
	}
	private, public, err := note.GenerateKey(rand.Reader, "cloud.test/audit")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	k.Door = call.NewDoor(call.Options{AuditSigner: signer, AuditKey: public, Store: k.Store, Ident: k.Ident, Kinds: append(k.Ident.Kinds.All(), kinds...), Region: "awan-1",
		Limits: limits, Now: now, Log: slog.New(slog.DiscardHandler)})
	if err := k.Door.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.Door.Close()
		_ = k.Store.Close()
	})
	k.Root = k.LogIn(t, k.Admin.User, k.Admin.Password)
	return k
}

// LogIn gives the principal of a user of the first domain.
func (k *Kernel) LogIn(t testing.TB, user, password string) ident.Principal {
	t.Helper()
	p, err := k.Ident.ByPassword(context.Background(), k.Admin.Domain, user, password, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	p.Project = k.Admin.ProjectID
	return p
}

// NoFactors lets people log in to the console without a second factor, for tests that are about something else.
func (k *Kernel) NoFactors(t testing.TB) {
	t.Helper()
	_, err := k.Door.Do(t.Context(), &call.Call{Kind: k.Ident.Kinds.Rules.D, Verb: call.Update, Target: ident.RulesName, Principal: k.Root,
		Spec: []byte(`{"mfa":"off"}`)})
	if err != nil {
		t.Fatal(err)
	}
}

// Token describes a token of the administrator for the first project.
func Token(k *Kernel) ident.Token {
	return ident.Token{User: k.Admin.UserID, Domain: k.Admin.DomainID, Project: k.Admin.ProjectID, Methods: []string{"password"}}
}
