package console_test

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/pquerna/otp/totp"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/ident"
)

// TestTheConsoleWantsASecondFactor is the first visit of an administrator: nothing but the enrolment is open.
func TestTheConsoleWantsASecondFactor(t *testing.T) {
	w := start(t)
	_, err := w.Door.Do(t.Context(), &call.Call{Kind: w.Ident.Kinds.Rules.D, Verb: call.Update, Target: ident.RulesName, Principal: w.Root, Spec: []byte(`{"mfa":"writers"}`)})
	if err != nil {
		t.Fatal(err)
	}
	form := func() url.Values {
		return url.Values{"domain": {w.Admin.Domain}, "user": {w.Admin.User}, "password": {w.Admin.Password}, "next": {"/apps"}}
	}
	a := w.post(t, "/login", "/login", form())
	if a.url.Path != "/complete" || !strings.Contains(a.body, "Enrol a second factor") {
		t.Fatalf("the log-in leads to %s", a.url)
	}
	for _, path := range []string{"/", "/apps", "/audit", "/k/identity/users"} {
		if a := w.get(t, path); a.url.Path != "/complete" {
			t.Errorf("%s is open: %s", path, a.url)
		}
	}
	a = w.post(t, "/complete", "/complete/device", nil)
	secret := regexp.MustCompile(`<code class="wrap">([A-Z2-7]+)</code>`).FindStringSubmatch(a.body)
	device := regexp.MustCompile(`name="device" value="([0-9a-f]{32})"`).FindStringSubmatch(a.body)
	if secret == nil || device == nil || !strings.Contains(a.body, "data:image/png;base64,") {
		t.Fatalf("no secret is shown: %s", a.body)
	}
	if a = w.post(t, "/complete", "/complete/confirm", url.Values{"device": {device[1]}, "code": {"000000"}}); a.status != 400 {
		t.Errorf("a wrong code gives %d", a.status)
	}
	code, err := totp.GenerateCode(secret[1], w.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	a = w.post(t, "/complete", "/complete/confirm", url.Values{"device": {device[1]}, "code": {code}})
	backup := regexp.MustCompile(`<code>([A-Z0-9-]{19})</code>`).FindAllStringSubmatch(a.body, -1)
	if len(backup) != 10 {
		t.Fatalf("%d backup codes: %s", len(backup), a.body)
	}
	if a = w.get(t, "/apps"); a.url.Path != "/login" {
		t.Errorf("the session without a factor goes on: %s", a.url)
	}
	if a = w.post(t, "/login", "/login", form()); a.status != 401 || !strings.Contains(a.body, `name="code"`) {
		t.Fatalf("no code is asked for: %d %s", a.status, html.UnescapeString(a.body))
	}
	again := form()
	again.Set("code", code)
	if a = w.post(t, "/login", "/login", again); a.status != 401 {
		t.Errorf("a used code works again: %d", a.status)
	}
	again = form()
	again.Set("code", backup[0][1])
	if a = w.post(t, "/login", "/login", again); a.url.Path != "/apps" {
		t.Errorf("a backup code leads to %s", a.url)
	}
}
