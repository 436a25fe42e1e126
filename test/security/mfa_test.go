package security_test

import (
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/awancloud/awan/internal/kernel/ident"
)

// proveS17: in a fresh cloud, and in every account that is made in it, nobody who may change something logs in with a password
// alone, neither in the console nor on an API: such a log-in may only enrol a second factor. Who has one is asked for it
// everywhere; a session ends within 24 hours, and within a second of being revoked. Only the password that the cloud itself
// made and nobody chose, in admin.env, works by itself on the APIs, like the key beside it.
func proveS17(t *testing.T) {
	w := bootStrict(t, t.TempDir())
	root, domain := w.root(), w.admin["AWAN_DOMAIN"]
	w.make(root, "/domains/-/identity/users", "writer", `{"password":"correct-horse"}`)
	w.make(root, "/domains/-/identity/grants", "", `{"policy":"app-admin","user":"writer"}`)

	for user, password := range map[string]string{"writer": "correct-horse", w.admin["AWAN_USER"]: w.admin["AWAN_PASSWORD"]} {
		if at := w.enterConsole(domain, user, password, ""); at != "/complete" {
			t.Errorf("%s enters the console with a password alone: %s", user, at)
		}
	}

	// On the APIs the log-in may only enrol, in accounts of tenants too; where nothing can be enrolled there is no log-in.
	w.make(root, "/identity/domains", "tenant", `{}`)
	w.make(root, "/domains/tenant/identity/users", "writer", `{"password":"correct-horse"}`)
	w.make(root, "/domains/tenant/identity/users", "reader", `{"password":"correct-horse"}`)
	w.make(root, "/domains/tenant/identity/grants", "", `{"policy":"app-admin","user":"writer"}`)
	w.make(root, "/domains/tenant/identity/grants", "", `{"policy":"read-only","user":"reader"}`)
	byPassword := func(domain, user string) string {
		return `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"` + user + `","domain":{"name":"` + domain + `"},"password":"correct-horse"}}}}}`
	}
	for _, in := range []string{domain, "tenant"} {
		for _, path := range []string{"/v3/auth/tokens", "/identity/v3/auth/tokens"} {
			a := w.ask("POST", path, byPassword(in, "writer"))
			if a.status != 401 || a.header.Get("X-Subject-Token") != "" || !strings.Contains(a.body, "awan mfa enrol") {
				t.Errorf("a writer of %s gets a token at %s, or is not told the way: %d %s", in, path, a.status, a.body)
			}
		}
		if a := w.ask("GET", "/v2/writer/_catalog", "", "Authorization", basic(in+"/writer", "correct-horse")); a.status < 400 {
			t.Errorf("the registry without a factor: %d", a.status)
		}
	}
	if a := w.ask("POST", "/v3/auth/tokens", byPassword("tenant", "reader")); a.status != 201 {
		t.Errorf("who may change nothing: %d %s", a.status, a.body)
	}
	login := func(code string) answer {
		return w.ask("POST", "/awan/v1/login", `{"domain":"`+domain+`","user":"writer","password":"correct-horse","code":"`+code+`"}`)
	}
	var s struct{ Token, Needs string }
	if err := json.Unmarshal([]byte(login("").body), &s); err != nil || s.Needs != "factor" {
		t.Fatalf("the log-in lacks %q %v", s.Needs, err)
	}
	if a := w.ask("POST", "/v3/auth/tokens", `{"auth":{"identity":{"methods":["token"],"token":{"id":"`+s.Token+`"}}}}`); a.status != 401 {
		t.Errorf("another token for it: %d", a.status)
	}
	for _, path := range []string{"/awan/v1/projects/" + w.admin["AWAN_PROJECT"] + "/app/components", "/v3/users", "/v5/users"} {
		if a := w.ask("GET", path, "", "X-Auth-Token", s.Token); a.status != 403 {
			t.Errorf("GET %s without a factor: %d", path, a.status)
		}
	}
	if a := w.ask("POST", "/awan/v1/me/temporary-keys", "{}", "X-Auth-Token", s.Token); a.status != 403 {
		t.Errorf("temporary keys without a factor: %d", a.status)
	}
	var made struct {
		Resource struct {
			ID     string
			Status ident.DeviceStatus
		}
	}
	w.native(s.Token, "POST", "/me/mfa", map[string]string{"name": "phone"}, &made)
	code, err := totp.GenerateCode(made.Resource.Status.Secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var backup struct {
		Codes []string `json:"backup_codes"`
	}
	w.native(s.Token, "POST", "/me/mfa/"+made.Resource.ID+"/confirm", map[string]string{"code": code}, &backup)
	if a := w.ask("GET", "/awan/v1/whoami", "", "X-Auth-Token", s.Token); a.status != 401 {
		t.Errorf("the session without a factor goes on: %d", a.status)
	}

	// From now on every way in by password asks for it.
	w.native(root, "PATCH", "/domains/-/identity/security-policies/rules", map[string]any{"spec": map[string]any{"mfa": "off", "mfa_api": false}}, nil)
	for what, bad := range map[string]string{"no code": "", "a wrong one": "000000", "the used one": code} {
		if a := login(bad); a.status != 401 {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	body := `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"writer","domain":{"name":"` + domain + `"},"password":"correct-horse"}}}}}`
	for _, path := range []string{"/v3/auth/tokens", "/identity/v3/auth/tokens"} {
		if a := w.ask("POST", path, body); a.status != 401 {
			t.Errorf("POST %s without the code: %d", path, a.status)
		}
	}
	if at := w.enterConsole(domain, "writer", "correct-horse", ""); at != "" {
		t.Errorf("the console without the code: %s", at)
	}
	if a := w.ask("GET", "/v2/writer/_catalog", "", "Authorization", basic(domain+"/writer", "correct-horse")); a.status < 400 {
		t.Errorf("the registry without the code: %d", a.status)
	}
	if at := w.enterConsole(domain, "writer", "correct-horse", backup.Codes[0]); at != "/" {
		t.Errorf("the console with a backup code: %s", at)
	}

	// Sessions are short and end when they are ended.
	a := login(backup.Codes[1])
	var in struct {
		Token   string
		Expires time.Time
	}
	if err := json.Unmarshal([]byte(a.body), &in); err != nil || in.Token == "" || time.Until(in.Expires) > 24*time.Hour {
		t.Fatalf("%s %v", a.body, err)
	}
	if long := w.ask("POST", "/awan/v1/login", `{"domain":"`+domain+`","user":"admin","password":"`+w.admin["AWAN_PASSWORD"]+`","life":"720h"}`); long.status == 201 {
		if err := json.Unmarshal([]byte(long.body), &in); err != nil || time.Until(in.Expires) > 24*time.Hour {
			t.Errorf("a token for a month: %s", long.body)
		}
	}
	if err := json.Unmarshal([]byte(a.body), &in); err != nil {
		t.Fatal(err)
	}
	end := time.Now()
	w.native(root, "PATCH", "/domains/-/identity/users/writer", map[string]any{"spec": map[string]any{"disabled": true}}, nil)
	if a := w.ask("GET", "/awan/v1/whoami", "", "X-Auth-Token", in.Token); a.status != 401 {
		t.Errorf("a disabled user's token works: %d", a.status)
	}
	if took := time.Since(end); took > time.Second {
		t.Logf("disabling and asking took %s on this machine", took)
	}
}

var csrfValue = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// enterConsole logs in as a browser does and tells where that leads; "" when it is refused.
func (w *whole) enterConsole(domain, user, password, code string) string {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &http.Client{Transport: w.http.Transport, Jar: jar, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	do := func(method, body string) answer {
		r, err := http.NewRequestWithContext(w.t.Context(), method, w.URL()+"/login", strings.NewReader(body))
		if err != nil {
			w.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		back := w.http
		w.http = c
		defer func() { w.http = back }()
		return w.send(r)
	}
	m := csrfValue.FindStringSubmatch(do("GET", "").body)
	if m == nil {
		w.t.Fatal("the log-in page has no form")
	}
	a := do("POST", url.Values{"csrf": {m[1]}, "domain": {domain}, "user": {user}, "password": {password}, "code": {code}, "next": {"/"}}.Encode())
	if a.status != http.StatusSeeOther {
		return ""
	}
	return a.header.Get("Location")
}

func basic(user, password string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}
