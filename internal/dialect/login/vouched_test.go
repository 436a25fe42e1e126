package login_test

import (
	"testing"
	"time"

	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

// TestVouchedObeysTheRules: who comes through an identity provider is let in from where, and for as long as, the domain
// says, like everybody else.
func TestVouchedObeysTheRules(t *testing.T) {
	k := kerneltest.Start(t, nil)
	create(t, k, "identity/user", "", "fay", `{"password":"correct-horse"}`)
	fay := k.LogIn(t, "fay", "correct-horse")
	fay.Method = ident.ByFederation
	_, err := k.Door.Do(t.Context(), &call.Call{Kind: k.Door.KindOf("identity/security-policy"), Verb: call.Update, Target: "rules", Principal: k.Root,
		Spec: []byte(`{"api_networks":[{"address":"192.0.2.0/24"}],"console_networks":[{"address":"198.51.100.0/24"}],"login":{"session_minutes":30}}`)})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		source  string
		console bool
		kind    fail.Kind
		most    time.Duration
	}{
		"API":                        {"192.0.2.7", false, "", 24 * time.Hour},
		"API from elsewhere":         {"203.0.113.1", false, fail.Denied, 0},
		"API from the console's":     {"198.51.100.7", false, fail.Denied, 0},
		"console":                    {"198.51.100.7", true, "", 30 * time.Minute},
		"console from the API's":     {"192.0.2.7", true, fail.Denied, 0},
		"console from somewhere far": {"203.0.113.1", true, fail.Denied, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := fay
			p.Expires = time.Time{}
			s, err := login.Vouched(t.Context(), k.Door, p, "identity provider x", login.Scope{}, login.From{Source: c.source, Dialect: "federation", RequestID: "r-" + name}, c.console)
			if fail.KindOf(err) != c.kind {
				t.Fatalf("%v, want %q", err, c.kind)
			}
			e := newest(t, k)
			if want := map[bool]ledger.Outcome{true: ledger.Succeeded, false: ledger.Failed}[err == nil]; e.Outcome != want || e.RequestID != "r-"+name {
				t.Errorf("audited as %+v", e)
			}
			if left := s.Token.Expires.Sub(k.Clock.Now()); err == nil && (left > c.most || left < c.most-time.Minute) {
				t.Errorf("it lives %s, not %s", left, c.most)
			}
		})
	}
}
