package keystone_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/ident"
)

// row makes a row as the administrator.
func (a *api) row(kind, domain, name, spec string) call.Reply {
	a.t.Helper()
	r, err := a.Door.Do(a.t.Context(), &call.Call{Kind: a.Door.KindOf("identity/" + kind), Verb: call.Create, Principal: a.Root, Domain: domain, Name: &name, Spec: json.RawMessage(spec)})
	if err != nil {
		a.t.Fatal(err)
	}
	return r
}

func code(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	c, err := totp.GenerateCode(secret, at)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestLogInWithACode: a user with a second factor sends methods password and totp.
func TestLogInWithACode(t *testing.T) {
	a := start(t)
	a.row("user", "", "alice", `{"password":"correct-horse"}`)
	made := a.row("mfa-device", "", "phone", `{"user":"alice"}`)
	secret := made.Row.StatusPtr().(*ident.DeviceStatus).Secret
	now := a.Clock.Now()
	_, err := a.Door.Do(t.Context(), &call.Call{Kind: a.Door.KindOf("identity/mfa-device"), Verb: "confirm", Target: string(made.Row.M().ID), Principal: a.Root,
		In: fmt.Appendf(nil, `{"code":%q,"next_code":%q}`, code(t, secret, now), code(t, secret, now.Add(30*time.Second)))})
	if err != nil {
		t.Fatal(err)
	}
	a.Clock.Add(2 * time.Minute)
	try := func(methods, passcode string) *httptest.ResponseRecorder {
		who := `"name":"alice","domain":{"name":"awan"}`
		return a.ask("POST", "/v3/auth/tokens", `{"auth":{"identity":{"methods":`+methods+`,"password":{"user":{`+who+`,"password":"correct-horse"}},"totp":{"user":{`+who+`,"passcode":"`+passcode+`"}}}}}`)
	}
	good := code(t, secret, a.Clock.Now())
	if w := try(`["password"]`, good); w.Code != 401 || !strings.Contains(w.Body.String(), "second factor") {
		t.Errorf("without the code: %d %s", w.Code, w.Body)
	}
	if w := try(`["password","totp"]`, "000000"); w.Code != 401 {
		t.Errorf("a wrong code: %d %s", w.Code, w.Body)
	}
	v := into[tokenView](a, try(`["password","totp"]`, good), 201).Token
	if v.User.Name != "alice" || strings.Join(v.Methods, " ") != "password totp" {
		t.Errorf("the token: %+v", v)
	}
	if w := try(`["password","totp"]`, good); w.Code != 401 {
		t.Errorf("the same code again: %d %s", w.Code, w.Body)
	}
}

// TestUnfinishedLogIn: who may change something and has no second factor is told how to get one; a session that may do nothing
// but enrol one is worth nothing here.
func TestUnfinishedLogIn(t *testing.T) {
	a := start(t)
	a.row("user", "", "wendy", `{"password":"correct-horse"}`)
	a.row("grant", "", "", `{"policy":"full-access","user":"wendy"}`)
	a.row("user", "", "robot", `{"password":"correct-horse","access_mode":"programmatic"}`)
	a.row("grant", "", "", `{"policy":"full-access","user":"robot"}`)
	if _, err := a.Door.Do(t.Context(), &call.Call{Kind: a.Door.KindOf("identity/security-policy"), Verb: call.Update, Target: "rules", Principal: a.Root, Spec: json.RawMessage(`{"mfa_api":true}`)}); err != nil {
		t.Fatal(err)
	}
	w := a.logIn("wendy", "correct-horse", `,"scope":{"domain":{"name":"awan"}}`)
	if w.Code != 401 || w.Header().Get("X-Subject-Token") != "" || !strings.Contains(w.Body.String(), "awan mfa enrol") {
		t.Errorf("a writer without a factor: %d %s", w.Code, w.Body)
	}
	if w := a.logIn("robot", "correct-horse", `,"scope":{"domain":{"name":"awan"}}`); w.Code != 201 {
		t.Errorf("a program: %d %s", w.Code, w.Body)
	}
	p, err := a.Ident.ByPassword(t.Context(), "awan", "wendy", "correct-horse", "127.0.0.1")
	if err != nil || p.Restricted != ident.NeedsFactor {
		t.Fatalf("%v %v", p.Restricted, err)
	}
	tok, _, err := a.Ident.IssueToken(t.Context(), ident.TokenFor(p, "", "password"), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v3/auth/projects", "/v3/auth/domains", "/v3/auth/system", "/v3/auth/catalog", "/v3/endpoints", "/v3/users"} {
		if w := a.ask("GET", path, "", "X-Auth-Token", tok); w.Code != 401 && w.Code != 403 {
			t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := a.ask("POST", "/v3/auth/tokens", `{"auth":{"identity":{"methods":["token"],"token":{"id":"`+tok+`"}}}}`); w.Code != 401 {
		t.Errorf("another token for it: %d %s", w.Code, w.Body)
	}
	if w := a.ask("DELETE", "/v3/auth/tokens", "", "X-Auth-Token", tok, "X-Subject-Token", tok); w.Code != 204 {
		t.Errorf("logging out: %d %s", w.Code, w.Body)
	}
}

// TestAssumeRole: a user of another account acts through an agency that trusts it.
func TestAssumeRole(t *testing.T) {
	a := start(t)
	a.row("domain", "", "partner", `{}`)
	a.row("user", "partner", "bob", `{"password":"correct-horse"}`)
	a.row("grant", "partner", "", `{"policy":"agency-operator","user":"bob"}`)
	a.row("agency", "", "helpers", `{"trust_domain":"partner"}`)
	a.row("grant", "", "", `{"policy":"read-only","agency":"helpers"}`)
	in := `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"bob","domain":{"name":"partner"},"password":"correct-horse"}}}}}`
	bob := a.ask("POST", "/v3/auth/tokens", in).Header().Get("X-Subject-Token")
	assume := func(of, agency, token string) *httptest.ResponseRecorder {
		return a.ask("POST", "/v3/auth/tokens", fmt.Sprintf(`{"auth":{"identity":{"methods":["assume_role"],"assume_role":{"domain_name":%q,"agency_name":%q,"duration_seconds":900}},"scope":{"project":{"name":"awan-1"}}}}`, of, agency), "X-Auth-Token", token)
	}
	w := assume("awan", "helpers", bob)
	v := into[struct {
		Token struct {
			Expires time.Time                            `json:"expires_at"`
			User    struct{ Name string }                `json:"user"`
			Project struct{ Name string }                `json:"project"`
			Assumed struct{ User struct{ Name string } } `json:"assumed_by"`
		}
	}](a, w, 201).Token
	if v.User.Name != "helpers" || v.Assumed.User.Name != "bob" || v.Project.Name != "awan-1" || v.Expires.Sub(a.Clock.Now()) > 15*time.Minute {
		t.Errorf("the token: %s", w.Body)
	}
	tok := w.Header().Get("X-Subject-Token")
	if w := a.ask("GET", "/v3/users", "", "X-Auth-Token", tok); w.Code != 200 || !strings.Contains(w.Body.String(), `"admin"`) {
		t.Errorf("users of the other account: %d %s", w.Code, w.Body)
	}
	if w := a.ask("POST", "/v3/groups", `{"group":{"name":"x"}}`, "X-Auth-Token", tok); w.Code != 403 {
		t.Errorf("more than the agency may: %d %s", w.Code, w.Body)
	}
	for name, w := range map[string]*httptest.ResponseRecorder{"an unknown agency": assume("awan", "none", bob), "nobody": assume("awan", "helpers", ""), "another account": assume("awan", "helpers", a.token)} {
		if w.Code < 400 || w.Code >= 500 || w.Header().Get("X-Subject-Token") != "" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// TestOperators: the scope of the system is for who has a role on it, and an operator makes another.
func TestOperators(t *testing.T) {
	a := start(t)
	uma := string(a.row("user", "", "uma", `{"password":"correct-horse"}`).Row.M().ID)
	const system = `,"scope":{"system":{"all":true}}`
	if w := a.logIn("uma", "correct-horse", system); w.Code != 401 {
		t.Errorf("the system's scope without a role there: %d %s", w.Code, w.Body)
	}
	tok := a.logIn("uma", "correct-horse", "").Header().Get("X-Subject-Token")
	if w := a.ask("GET", "/v3/auth/system", "", "X-Auth-Token", tok); !strings.Contains(w.Body.String(), `"system":[]`) {
		t.Errorf("uma's systems: %s", w.Body)
	}
	roles := into[struct{ Roles []struct{ ID string } }](a, a.ask("GET", "/v3/roles?name=read-only", ""), 200).Roles
	path := "/v3/system/users/" + uma + "/roles/" + roles[0].ID
	if w := a.ask("PUT", path, "", "X-Auth-Token", tok); w.Code < 400 {
		t.Errorf("uma makes herself an operator: %d", w.Code)
	}
	if w := a.ask("PUT", path, ""); w.Code != 204 {
		t.Fatalf("an operator makes another: %d %s", w.Code, w.Body)
	}
	w := a.logIn("uma", "correct-horse", system)
	v := into[struct {
		Token struct {
			System struct{ All bool }
			Roles  []struct{ Name string }
		}
	}](a, w, 201).Token
	if !v.System.All || len(v.Roles) != 1 || v.Roles[0].Name != "read-only" {
		t.Errorf("the token: %s", w.Body)
	}
	tok = w.Header().Get("X-Subject-Token")
	if w := a.ask("GET", "/v3/auth/tokens", "", "X-Subject-Token", tok); !strings.Contains(w.Body.String(), `"system":{"all":true}`) {
		t.Errorf("validated: %s", w.Body)
	}
	if w := a.ask("GET", "/v3/auth/system", "", "X-Auth-Token", tok); !strings.Contains(w.Body.String(), `"all":true`) {
		t.Errorf("uma's systems: %s", w.Body)
	}
	a.row("domain", "", "Default", `{}`)
	if w := a.ask("GET", "/v3/domains/default", "", "X-Auth-Token", tok); w.Code != 200 || !strings.Contains(w.Body.String(), `"Default"`) {
		t.Errorf("the domain called Default: %d %s", w.Code, w.Body)
	}
}

// TestFieldsOfOthers: what Keystone keeps without knowing it comes back, and never takes the place of what is known.
func TestFieldsOfOthers(t *testing.T) {
	a := start(t)
	for _, one := range []string{"user", "group", "role", "project"} {
		t.Run(one, func(t *testing.T) {
			made := into[map[string]map[string]any](a, a.ask("POST", "/v3/"+one+"s", fmt.Sprintf(`{%q:{"name":"x","shoe":43,"team":"a"}}`, one)), 201)[one]
			if made["shoe"] != 43.0 || made["team"] != "a" {
				t.Fatalf("made: %v", made)
			}
			path := fmt.Sprintf("/v3/%ss/%s", one, made["id"])
			got := into[map[string]map[string]any](a, a.ask("PATCH", path, fmt.Sprintf(`{%q:{"shoe":44,"team":null,"description":"new"}}`, one)), 200)[one]
			if _, still := got["team"]; still || got["shoe"] != 44.0 || got["description"] != "new" || got["name"] != "x" {
				t.Errorf("changed: %v", got)
			}
			if got = into[map[string]map[string]any](a, a.ask("GET", path, ""), 200)[one]; got["shoe"] != 44.0 {
				t.Errorf("read: %v", got)
			}
			if w := a.ask("GET", "/v3/"+one+"s?name=x", ""); !strings.Contains(w.Body.String(), `"shoe":44`) {
				t.Errorf("listed: %s", w.Body)
			}
			if w := a.ask("POST", "/v3/"+one+"s", fmt.Sprintf(`{%q:{"name":7}}`, one)); w.Code != 400 {
				t.Errorf("a known field of another type: %d %s", w.Code, w.Body)
			}
		})
	}
	if w := a.ask("POST", "/v3/users", `{"user":{"name":"y","options":{"ignore_lockout_failure_attempts":true}}}`); w.Code != 400 || !strings.Contains(w.Body.String(), "user.options.ignore_lockout") {
		t.Errorf("an option that is not possible: %d %s", w.Code, w.Body)
	}
}
