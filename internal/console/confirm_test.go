package console_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/ident"
)

// TestTheConsoleConfirms: a critical operation is answered by a page that asks for the code, and is then done.
func TestTheConsoleConfirms(t *testing.T) {
	w := start(t)
	w.Door.Critical = []string{"identity:user:delete"}
	k := w.Ident.Kinds
	do := func(c call.Call) call.Reply {
		t.Helper()
		c.Principal = w.Root
		r, err := w.Door.Do(t.Context(), &c)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	code := func(secret string, ahead time.Duration) string {
		t.Helper()
		c, err := totp.GenerateCode(secret, w.Clock.Now().Add(ahead))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	device := do(call.Call{Kind: k.Device.D, Verb: call.Create, Spec: json.RawMessage(`{"user":"` + w.Admin.User + `"}`)}).Row
	secret := device.StatusPtr().(*ident.DeviceStatus).Secret
	do(call.Call{Kind: k.Device.D, Verb: "confirm", Target: string(device.M().ID), In: json.RawMessage(`{"code":"` + code(secret, 0) + `"}`)})
	do(call.Call{Kind: k.Rules.D, Verb: call.Update, Target: ident.RulesName, Spec: json.RawMessage(`{"protection":{"operations":true}}`)})
	name := "victim"
	victim := string(do(call.Call{Kind: k.User.D, Verb: call.Create, Name: &name, Spec: json.RawMessage(`{}`)}).Row.M().ID)

	w.Clock.Add(2 * time.Minute)
	a := w.post(t, "/login", "/login", url.Values{"domain": {w.Admin.Domain}, "user": {w.Admin.User}, "password": {w.Admin.Password}, "code": {code(secret, 0)}, "next": {"/"}})
	if a.url.Path != "/" {
		t.Fatalf("the log-in leads to %s", a.url)
	}
	w.Clock.Add(20 * time.Minute)
	path := "/k/identity/users/" + victim
	form := url.Values{"confirm": {name}}
	a = w.post(t, path, path+"/delete", form)
	if a.status != 403 || !strings.Contains(a.body, `name="second-factor-code"`) || !strings.Contains(a.body, `action="`+path+`/delete"`) {
		t.Fatalf("no code is asked for: %d %s", a.status, a.body)
	}
	form.Set("second-factor-code", "000000")
	if a = w.post(t, path, path+"/delete", form); a.status != 403 || !strings.Contains(a.body, "the code is wrong") || !strings.Contains(a.body, `name="second-factor-code"`) {
		t.Fatalf("a wrong code: %d %s", a.status, a.body)
	}
	form.Set("second-factor-code", code(secret, 0))
	if a = w.post(t, path, path+"/delete", form); a.status != 200 {
		t.Fatalf("with the code: %d %s", a.status, a.body)
	}
	if a = w.get(t, path); a.status != 404 {
		t.Errorf("the user is there still: %d", a.status)
	}
}
