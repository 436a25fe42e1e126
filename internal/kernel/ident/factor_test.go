package ident_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
)

const home = "192.0.2.1"

// enrol gives a user a device that works, and the device's secret.
func (w world) enrol(user string) (secret string) {
	w.t.Helper()
	r := w.must(w.do(call.Create, "mfa-device", "phone", m{"user": user}))
	st := r.Row.StatusPtr().(*ident.DeviceStatus)
	if st.Active || !strings.HasPrefix(st.URI, "otpauth://totp/Awan:") {
		w.t.Fatalf("%+v", st)
	}
	c := &call.Call{Kind: w.Door.KindOf("identity/mfa-device"), Verb: "confirm", Target: string(r.Row.M().ID), Principal: w.Root}
	c.In = []byte(`{"code":"` + w.code(st.Secret, 0) + `","next_code":"` + w.code(st.Secret, 30*time.Second) + `"}`)
	w.must(w.Door.Do(w.t.Context(), c))
	w.Clock.Add(2 * time.Minute)
	return st.Secret
}

func (w world) code(secret string, ahead time.Duration) string {
	w.t.Helper()
	c, err := totp.GenerateCode(secret, w.Clock.Now().Add(ahead))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestACodeWorksOnce(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct horse"}))
	w.must(w.do(call.Create, "grant", "", m{"policy": "read-only", "user": "alice"}))
	secret := w.enrol("alice")
	alice := w.logIn("awan", "alice")
	if alice.Restricted != ident.NeedsCode || w.may(alice) {
		t.Fatalf("a password alone is enough: %+v", alice)
	}
	try := func(code string) error {
		p, err := w.Ident.Complete(t.Context(), w.logIn("awan", "alice"), code, home, false)
		if err == nil && (!p.MFA || !w.may(p)) {
			t.Errorf("%s: the log-in is not complete", code)
		}
		return err
	}
	good := w.code(secret, 0)
	for _, c := range []struct {
		what, code string
		ok         bool
	}{{"none", "", false}, {"a wrong one", "000000", false}, {"one of an hour ago", w.code(secret, -time.Hour), false},
		{"the right one", good, true}, {"the same again", good, false}, {"an older one", w.code(secret, -30*time.Second), false}} {
		if err := try(c.code); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	codes, err := w.Ident.NewBackupCodes(t.Context(), alice.User)
	if err != nil || len(codes) != 10 {
		t.Fatal(codes, err)
	}
	if err := try(strings.ToLower(codes[3])); err != nil {
		t.Errorf("a backup code: %v", err)
	}
	if err := try(codes[3]); err == nil {
		t.Error("a backup code works twice")
	}
	w.Clock.Add(time.Hour)
	for range 10 {
		_ = try("000000")
	}
	p, err := w.Ident.ByPassword(t.Context(), "awan", "alice", "correct horse", home)
	if !fail.Is(err, fail.RateLimited) {
		t.Errorf("codes can be guessed for ever: %+v %v", p, err)
	}
	if _, err := w.Ident.ByPassword(t.Context(), "awan", "alice", "correct horse", "198.51.100.1"); err != nil {
		t.Errorf("one source locks her out everywhere: %v", err)
	}
}

// TestWhoNeedsASecondFactor is the table of the rule "mfa".
func TestWhoNeedsASecondFactor(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	for name, spec := range map[string]m{"writer": {}, "reader": {}, "robot": {"access_mode": "programmatic"}, "careful": {"login_protection": true}} {
		spec["password"] = "correct horse"
		w.must(w.do(call.Create, "user", name, spec))
		pol := "app-developer"
		if name == "reader" || name == "careful" {
			pol = "read-only"
		}
		w.must(w.do(call.Create, "grant", "", m{"policy": pol, "user": name}))
	}
	const refused = "refused"
	for _, c := range []struct {
		rules                  m
		user, inConsole, onAPI string
	}{
		{m{}, "writer", "factor", ""}, {m{}, "reader", "", ""}, {m{}, "robot", refused, ""}, {m{}, "careful", "factor", ""},
		{m{"mfa": "off"}, "writer", "", ""}, {m{"mfa": "off"}, "careful", "factor", ""},
		{m{"mfa": "all", "mfa_api": true}, "reader", "factor", "factor"}, {m{"mfa": "all", "mfa_api": true}, "robot", refused, ""},
		{m{"mfa": "writers", "mfa_api": true}, "writer", "factor", "factor"}, {m{"mfa": "writers", "mfa_api": true}, "reader", "", ""},
	} {
		w.must(w.do(call.Update, "security-policy", ident.RulesName, c.rules))
		for where, by := range map[string]struct {
			want string
			log  func(user string) (ident.Principal, error)
		}{
			"console": {c.inConsole, func(u string) (ident.Principal, error) {
				return w.Ident.ByPasswordInConsole(t.Context(), "awan", u, "correct horse", home)
			}},
			"api": {c.onAPI, func(u string) (ident.Principal, error) {
				return w.Ident.ByPassword(t.Context(), "awan", u, "correct horse", home)
			}},
		} {
			p, err := by.log(c.user)
			got := string(p.Restricted)
			if fail.Is(err, fail.Unauthenticated) {
				got = refused
			} else if err != nil {
				t.Fatal(err)
			}
			if got != by.want {
				t.Errorf("%v: %s on the %s lacks %q, not %q", c.rules, c.user, where, got, by.want)
			}
			if got == "factor" && fail.From(w.lists(p, "")).Kind != fail.Denied {
				t.Errorf("%s may do things without a factor", c.user)
			}
		}
	}
	admin, err := w.Ident.ByPasswordInConsole(t.Context(), "awan", w.Admin.User, w.Admin.Password, home)
	if err != nil || admin.Restricted != ident.NeedsFactor {
		t.Errorf("the first administrator enters the console without a factor: %+v %v", admin.Restricted, err)
	}
	if admin, err = w.Ident.ByPassword(t.Context(), "awan", w.Admin.User, w.Admin.Password, home); err != nil || admin.Restricted != "" {
		t.Errorf("programs cannot use admin.env: %+v %v", admin.Restricted, err)
	}
}

func TestPasswordRules(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	w.must(w.do(call.Update, "security-policy", ident.RulesName, m{"password": m{"min_length": 10, "classes": 3, "max_repeat": 2, "reuse": 2, "max_age_days": 30}}))
	w.must(w.do(call.Create, "user", "caroline", m{"password": "Correct horse 1"}))
	set := func(p string) error {
		_, err := w.do(call.Update, "user", "caroline", m{"password": p})
		return err
	}
	for p, why := range map[string]string{"Short 1x": "characters", "only lower case": "kinds", "Enough but 111 repeats": "repeats", "My Caroline 12": "name", "my enilorac 12X": "name",
		"Correct horse 1": "last 2"} {
		if err := set(p); !fail.Is(err, fail.Invalid) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", p, err)
		}
	}
	for _, p := range []string{"Correct horse 2", "Correct horse 3", "Correct horse 1"} {
		if err := set(p); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	in := func() ident.Principal {
		t.Helper()
		p, err := w.Ident.ByPasswordInConsole(t.Context(), "awan", "caroline", "Correct horse 1", home)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := in(); p.Restricted != "" {
		t.Errorf("a fresh password lacks %q", p.Restricted)
	}
	w.Clock.Add(31 * 24 * time.Hour)
	if p := in(); p.Restricted != ident.NeedsPassword {
		t.Errorf("an old password lacks %q", p.Restricted)
	}
	w.must(w.do(call.Update, "security-policy", ident.RulesName, m{"login": m{"validity_days": 20}}))
	if _, err := w.Ident.ByPassword(t.Context(), "awan", "caroline", "Correct horse 1", home); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("a user who did not log in for a month does: %v", err)
	}
}

func TestSourcesAreAdmitted(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	w.must(w.do(call.Create, "user", "alice", m{"password": "correct horse"}))
	w.must(w.do(call.Create, "grant", "", m{"policy": "read-only", "user": "alice"}))
	alice := w.logIn("awan", "alice")
	w.must(w.do(call.Update, "security-policy", ident.RulesName, m{"api_networks": []m{{"address": "192.0.2.0/28"}, {"address": "198.51.100.5-198.51.100.9"}, {"address": "2001:db8::/32"}}}))
	for source, ok := range map[string]bool{"192.0.2.1": true, "192.0.2.15": true, "192.0.2.16": false, "198.51.100.5": true, "198.51.100.10": false,
		"2001:db8::1": true, "127.0.0.1": true, "2001:db9::1": false, "::ffff:192.0.2.3": true, "nonsense": false} {
		_, err := w.Door.Do(t.Context(), &call.Call{Kind: w.Door.KindOf("identity/user"), Verb: call.List, Principal: alice, Source: source})
		if (err == nil) != ok {
			t.Errorf("from %s: %v", source, err)
		}
	}
	_, err := w.Door.Do(t.Context(), &call.Call{Kind: w.Door.KindOf("identity/security-policy"), Verb: call.Update, Target: ident.RulesName, Principal: w.Root,
		Source: "192.0.2.1", Spec: []byte(`{"api_networks":[{"address":"192.0.2.300"}]}`)})
	if !fail.Is(err, fail.Invalid) {
		t.Errorf("a wrong address is taken: %v", err)
	}
}
