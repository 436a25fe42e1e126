package keystone_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
)

// api is the dialect over a kernel, without a listener.
type api struct {
	t *testing.T
	*kerneltest.Kernel
	*keystone.API
	token string // the administrator's
}

func start(t *testing.T) *api {
	t.Helper()
	k := kerneltest.Start(t, nil)
	a := &api{t: t, Kernel: k, API: keystone.New(keystone.Options{Options: wire.Options{Door: k.Door, Region: "awan-1", Auth: &auth.Authenticator{Ident: k.Ident, Now: k.Clock.Now,
		Services: func(*http.Request) []string { return []string{"identity"} }}}})}
	a.token = a.logIn(k.Admin.User, k.Admin.Password, `,"scope":{"project":{"name":"awan-1","domain":{"name":"awan"}}}`).Header().Get("X-Subject-Token")
	if a.token == "" {
		t.Fatal("the administrator gets no token")
	}
	return a
}

func (a *api) logIn(user, password, scope string) *httptest.ResponseRecorder {
	a.t.Helper()
	return a.ask("POST", "/v3/auth/tokens", fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"domain":{"name":"awan"},"password":%q}}}%s}}`,
		user, password, scope))
}

// ask sends a request as the administrator; headers are pairs of name and value.
func (a *api) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	a.t.Helper()
	r := httptest.NewRequest(method, "https://cloud.test"+path, strings.NewReader(body))
	r.Header.Set("X-Auth-Token", a.token)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

// into reads an answer that must have the status.
func into[T any](a *api, w *httptest.ResponseRecorder, status int) (v T) {
	a.t.Helper()
	if w.Code != status {
		a.t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		a.t.Fatalf("%v in %s", err, w.Body)
	}
	return v
}

type tokenView struct {
	Token struct {
		Methods []string
		Expires time.Time `json:"expires_at"`
		Project *struct{ ID, Name string }
		Domain  *struct{ ID, Name string }
		Roles   []struct{ ID, Name string }
		Catalog []struct {
			Type      string
			Endpoints []struct{ Interface, URL string }
		}
		User struct{ ID, Name string }
	}
}

func TestTokens(t *testing.T) {
	a := start(t)
	for name, c := range map[string]struct {
		scope                    string
		project, domain, catalog bool
	}{
		"project":           {`,"scope":{"project":{"id":"` + string(a.Admin.ProjectID) + `"}}`, true, false, true},
		"project by name":   {`,"scope":{"project":{"name":"awan-1"}}`, true, false, true},
		"domain":            {`,"scope":{"domain":{"name":"awan"}}`, false, true, true},
		"unscoped":          {`,"scope":"unscoped"`, false, false, false},
		"no scope":          {``, false, false, false},
		"project by domain": {`,"scope":{"project":{"name":"awan-1","domain":{"id":"` + string(a.Admin.DomainID) + `"}}}`, true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := a.logIn(a.Admin.User, a.Admin.Password, c.scope)
			v := into[tokenView](a, w, 201).Token
			if (v.Project != nil) != c.project || (v.Domain != nil) != c.domain || (len(v.Catalog) > 0) != c.catalog {
				t.Errorf("token: %s", w.Body)
			}
			if scoped := c.project || c.domain; scoped != (len(v.Roles) == 1 && v.Roles[0].Name == "full-access") {
				t.Errorf("roles: %v", v.Roles)
			}
			if left := v.Expires.Sub(a.Clock.Now()); left <= 0 || left > 24*time.Hour {
				t.Errorf("expires at %s", v.Expires)
			}
			got := into[tokenView](a, a.ask("GET", "/v3/auth/tokens", "", "X-Subject-Token", w.Header().Get("X-Subject-Token")), 200).Token
			if (got.Project != nil) != c.project || (got.Domain != nil) != c.domain || !got.Expires.Equal(v.Expires) {
				t.Errorf("validated: %+v", got)
			}
		})
	}
	for name, c := range map[string]struct {
		user, password, scope string
		status                int
	}{
		"a wrong password":       {a.Admin.User, "guess", ``, 401},
		"an unknown user":        {"nobody", "guess", ``, 401},
		"an unknown project":     {a.Admin.User, a.Admin.Password, `,"scope":{"project":{"name":"none","domain":{"name":"awan"}}}`, 401},
		"a domain not one's own": {a.Admin.User, a.Admin.Password, `,"scope":{"domain":{"name":"other"}}`, 401},
		"a part of the system":   {a.Admin.User, a.Admin.Password, `,"scope":{"system":{"all":false}}`, 400},
		"two scopes":             {a.Admin.User, a.Admin.Password, `,"scope":{"domain":{"name":"awan"},"project":{"name":"awan-1"}}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			w := a.logIn(c.user, c.password, c.scope)
			v := into[struct {
				Error struct {
					Code           int
					Title, Message string
				}
			}](a, w, c.status)
			if v.Error.Code != c.status || v.Error.Message == "" || v.Error.Title != http.StatusText(c.status) || w.Header().Get("X-Subject-Token") != "" {
				t.Errorf("error: %s", w.Body)
			}
		})
	}
}

func TestTokenByToken(t *testing.T) {
	a := start(t)
	first := a.logIn(a.Admin.User, a.Admin.Password, ``)
	old := into[tokenView](a, first, 201).Token
	a.Clock.Add(time.Hour)
	body := `{"auth":{"identity":{"methods":["token"],"token":{"id":"` + first.Header().Get("X-Subject-Token") + `"}},"scope":{"domain":{"name":"awan"}}}}`
	w := a.ask("POST", "/v3/auth/tokens", body)
	v := into[tokenView](a, w, 201).Token
	if v.Domain == nil || !v.Expires.Equal(old.Expires) || strings.Join(v.Methods, " ") != "password token" {
		t.Errorf("a token by a token lives until %s, not %s; methods %v", v.Expires, old.Expires, v.Methods)
	}
	if w := a.ask("DELETE", "/v3/auth/tokens", "", "X-Subject-Token", first.Header().Get("X-Subject-Token")); w.Code != 204 {
		t.Errorf("revoke: %d %s", w.Code, w.Body)
	}
	if w := a.ask("POST", "/v3/auth/tokens", body); w.Code != 401 {
		t.Errorf("a token by a revoked token: %d", w.Code)
	}
	if w := a.ask("GET", "/v3/auth/tokens", "", "X-Subject-Token", first.Header().Get("X-Subject-Token")); w.Code != 404 {
		t.Errorf("a revoked token is validated: %d", w.Code)
	}
	if w := a.ask("GET", "/v3/auth/tokens", ""); w.Code != 400 {
		t.Errorf("no subject: %d", w.Code)
	}
}

// TestAddresses: clients are sent on to the address they came by.
func TestAddresses(t *testing.T) {
	a := start(t)
	for _, c := range []struct {
		host, path, cut string
		secure          bool
		want            string
	}{
		{"127.0.0.1:8443", "/v3", "/v3", true, "https://127.0.0.1:8443/v3/"},
		{"127.0.0.1:8443", "/", "/", true, "https://127.0.0.1:8443/v3/"},
		{"127.0.0.1:8443", "/identity/v3/", "/v3/", true, "https://127.0.0.1:8443/identity/v3/"},
		{"127.0.0.1:8443", "/identity", "/", true, "https://127.0.0.1:8443/identity/v3/"},
		{"keystone.awan-1.awan.test", "/v3", "/v3", false, "http://keystone.awan-1.awan.test/v3/"},
	} {
		r := httptest.NewRequest("GET", "http://"+c.host+c.cut, nil)
		r = r.WithContext(front.With(r.Context(), front.Info{Path: c.path, Secure: c.secure}))
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if !strings.Contains(w.Body.String(), `"href":"`+c.want+`"`) {
			t.Errorf("%s%s: %s, want %s", c.host, c.path, w.Body, c.want)
		}
		if want := map[string]int{"/": 300, "/v3": 200, "/v3/": 200}[c.cut]; w.Code != want {
			t.Errorf("%s%s: %d, want %d", c.host, c.path, w.Code, want)
		}
	}
}

type projectList struct {
	Projects []struct {
		ID, Name string
		Enabled  bool
	}
	Links struct {
		Self, Next string
	}
	Truncated bool
}

func (l projectList) names() string {
	var out []string
	for _, p := range l.Projects {
		out = append(out, p.Name)
	}
	return strings.Join(out, " ")
}

func TestLists(t *testing.T) {
	a := start(t)
	for _, name := range []string{"b", "c", "d"} {
		into[any](a, a.ask("POST", "/v3/projects", `{"project":{"name":"`+name+`","enabled":`+fmt.Sprint(name != "c")+`}}`), 201)
	}
	for query, want := range map[string]string{
		"":                        "awan-1 b c d",
		"?name=c":                 "c",
		"?name=none":              "",
		"?enabled=true":           "awan-1 b d",
		"?enabled=false":          "c",
		"?enabled":                "awan-1 b d",
		"?name=c&enabled=true":    "",
		"?is_domain=true":         "awan",
		"?limit=2":                "awan-1 b",
		"?page=2&per_page=3":      "d",
		"?per_page=1":             "awan-1",
		"?domain_id=awan&limit=0": "awan-1 b c d",
	} {
		if l := into[projectList](a, a.ask("GET", "/v3/projects"+query, ""), 200); l.names() != want {
			t.Errorf("%s: %q, want %q", query, l.names(), want)
		}
	}
	var seen []string
	for next := "/v3/projects?limit=1"; next != ""; {
		l := into[projectList](a, a.ask("GET", next, ""), 200)
		seen = append(seen, l.names())
		next = strings.TrimPrefix(l.Links.Next, "https://cloud.test")
	}
	if strings.Join(seen, " ") != "awan-1 b c d" {
		t.Errorf("by next links: %v", seen)
	}
	for query, want := range map[string]int{"?limit=x": 400, "?limit=-1": 400, "?marker=x": 400, "?domain_id=none": 404} {
		if w := a.ask("GET", "/v3/projects"+query, ""); w.Code != want {
			t.Errorf("%s: %d, want %d", query, w.Code, want)
		}
	}
}

func TestWrongRequests(t *testing.T) {
	a := start(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "/v3/projects", `{`, 400, "not a JSON object"},
		{"POST", "/v3/projects", `{"projekt":{}}`, 400, "project: it is missing"},
		{"POST", "/v3/domains", `{"domain":{"name":"x","colour":"red"}}`, 400, "domain.colour"},
		{"POST", "/v3/projects", `{"project":{"name":"x","enabled":"yes"}}`, 400, "project.enabled"},
		{"POST", "/v3/projects", `{"project":{"name":"a/b"}}`, 400, "name"},
		{"POST", "/v3/projects", `{"project":{"name":"x","is_domain":true,"parent_id":"p"}}`, 400, "below nothing"},
		{"POST", "/v3/projects", `{"project":{"name":"x","parent_id":"0123456789abcdef0123456789abcdef"}}`, 404, "there is no project"},
		{"POST", "/v3/projects", `{}`, 400, "name: is required"},
		{"POST", "/v3/users", `{"user":{"name":"u","default_project_id":"none"}}`, 400, "default_project"},
		{"POST", "/v3/users", `{"user":{"name":"u","password":"password"}}`, 400, "easy to guess"},
		{"GET", "/v3/users/0123456789abcdef0123456789abcdef", ``, 404, "there is no user"},
		{"PUT", "/v3/projects/" + string(a.Admin.ProjectID) + "/users/" + string(a.Admin.UserID) + "/roles/none", ``, 404, "there is no policy"},
		{"PUT", "/v3/groups/none/users/" + string(a.Admin.UserID), ``, 404, "there is no group"},
		{"DELETE", "/v3/users/" + string(a.Admin.UserID), ``, 409, "cannot delete yourself"},
		{"DELETE", "/v3/regions/awan-1", ``, 404, "use GET"},
		{"GET", "/v3/nonsense", ``, 404, "has no /v3/nonsense"},
		{"POST", "/v3/auth/tokens", `{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"id":"x","secret":"y"}}}}`, 401, "application credential or its secret is wrong"},
		{"POST", "/v3/users/" + string(a.Admin.UserID) + "/password", `{"user":{"password":"staple-battery"}}`, 400, "original_password"},
	} {
		w := a.ask(c.method, c.path, c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %s %s: %d %s, want %d with %q", c.method, c.path, c.body, w.Code, w.Body, c.status, c.says)
		}
	}
	a.token = ""
	if w := a.ask("GET", "/v3/users", ""); w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("without a token: %d %v", w.Code, w.Header())
	}
	a.token = "awt1.nonsense"
	if w := a.ask("GET", "/v3/users", ""); w.Code != 401 {
		t.Errorf("with a token made up: %d", w.Code)
	}
}

// TestMembershipsMeet: several administrators add one user to groups at once, and none of it is lost.
func TestMembershipsMeet(t *testing.T) {
	a := start(t)
	user := into[struct{ User struct{ ID string } }](a, a.ask("POST", "/v3/users", `{"user":{"name":"alice"}}`), 201).User.ID
	var groups []string
	for i := range 4 {
		g := into[struct{ Group struct{ ID string } }](a, a.ask("POST", "/v3/groups", fmt.Sprintf(`{"group":{"name":"g%d"}}`, i)), 201)
		groups = append(groups, g.Group.ID)
	}
	codes := make(chan int)
	for _, g := range groups {
		go func() { codes <- a.ask("PUT", "/v3/groups/"+g+"/users/"+user, "").Code }()
	}
	for range groups {
		if code := <-codes; code != 204 {
			t.Errorf("adding: %d", code)
		}
	}
	in := into[struct{ Groups []any }](a, a.ask("GET", "/v3/users/"+user+"/groups", ""), 200)
	if len(in.Groups) != len(groups) {
		t.Errorf("the user is in %d groups, not %d", len(in.Groups), len(groups))
	}
}
