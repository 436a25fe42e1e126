package token_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// terraform is what Huawei's Terraform provider sends.
const terraform = `{"auth":{"identity":{"methods":["password"],"password":{"user":{"domain":{"name":"awan"},"name":"alice","password":"pw"}}},"scope":{"project":{"domain":{"name":"awan"},"name":"cn-north-4"}}}}`

func identity(s string) string { return `{"auth":{"identity":` + s + `}}` }

func scoped(s string) string {
	return `{"auth":{"identity":{"methods":["token"],"token":{"id":"t"}},"scope":` + s + `}}`
}

func TestParse(t *testing.T) {
	for body, want := range map[string]string{
		terraform: "[password] alice@awan pw project cn-north-4@awan",
		identity(`{"methods":["password"],"password":{"user":{"id":"u1","password":""}}}`):                                                       "[password] #u1  default",
		identity(`{"methods":["password"],"password":{"user":{"name":"a","domain":{"id":"d"},"password":"p"}}}`):                                 "[password] a@#d p default",
		identity(`{"methods":["token","token"],"token":{"id":"t"}}`):                                                                             "[token] t default",
		identity(`{"methods":["password","token"],"password":{"user":{"id":"u","password":"p"}},"token":{"id":"t"}}`):                            "[password token] #u p t default",
		identity(`{"methods":["application_credential"],"application_credential":{"id":"c","secret":"s"}}`):                                      "[application_credential] c//s default",
		identity(`{"methods":["application_credential"],"application_credential":{"name":"n","secret":"s","user":{"id":"u","extra":[]}}}`):       "[application_credential] /n/s#u default",
		identity(`{"methods":["password","totp"],"password":{"user":{"id":"u","password":"p"}},"totp":{"user":{"id":"u","passcode":"123456"}}}`): "[password totp] #u p code 123456 default",
		identity(`{"methods":["assume_role"],"assume_role":{"agency_name":"a","domain_name":"d","duration_seconds":900}}`):                       "[assume_role] agency a@d 900 default",
		identity(`{"methods":["assume_role"],"assume_role":{"xrole_name":"a","domain_id":"d"}}`):                                                 "[assume_role] agency a@#d 0 default",
		scoped(`{"system":{"all":true}}`):                    "[token] t system",
		scoped(`"unscoped"`):                                 "[token] t unscoped",
		scoped(`{"unscoped":{}}`):                            "[token] t unscoped",
		scoped(`null`):                                       "[token] t default",
		scoped(`{"project":{"id":"p"}}`):                     "[token] t project #p",
		scoped(`{"project":{"name":"awan-1"}}`):              "[token] t project awan-1",
		scoped(`{"domain":{"name":"d"}}`):                    "[token] t domain d",
		scoped(`{"domain":{"id":"d"}}`):                      "[token] t domain #d",
		scoped(`{"project":{"id":"p","domain":{"id":"d"}}}`): "[token] t project #p",
	} {
		r, err := token.Parse([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
		} else if got := show(r); got != want {
			t.Errorf("%s:\n got %s\nwant %s", body, got, want)
		}
	}
}

func show(r *token.Request) string {
	domain := func(d token.Domain) string {
		if d.ID != "" {
			return "@#" + d.ID
		} else if d.Name != "" {
			return "@" + d.Name
		}
		return ""
	}
	named := func(id, name string, d token.Domain) string {
		if id != "" {
			return "#" + id
		}
		return name + domain(d)
	}
	s := fmt.Sprint(r.Methods)
	if p := r.Password; p != nil {
		s += " " + named(p.User.ID, p.User.Name, p.User.Domain) + " " + p.Password
	}
	if r.Token != "" {
		s += " " + r.Token
	}
	if c := r.Credential; c != nil {
		s += " " + c.ID + "/" + c.Name + "/" + c.Secret + named(c.User.ID, c.User.Name, c.User.Domain)
	}
	if r.Code != "" {
		s += " code " + r.Code
	}
	if a := r.Agency; a != nil {
		s += fmt.Sprintf(" agency %s%s %d", a.Name, domain(a.Domain), a.Seconds)
	}
	switch r.Scope.Kind {
	case token.SystemScope:
		s += " system"
	case token.DefaultScope:
		s += " default"
	case token.Unscoped:
		s += " unscoped"
	case token.ProjectScope:
		s += " project " + named(r.Scope.Project.ID, r.Scope.Project.Name, r.Scope.Project.Domain)
	case token.DomainScope:
		s += " domain " + strings.TrimPrefix(domain(r.Scope.Domain), "@")
	}
	return s
}

func TestParseRefuses(t *testing.T) {
	for body, says := range map[string]string{
		``:               "not a token request",
		`[]`:             "not a token request",
		`{"auth":`:       "not a token request",
		terraform + `{}`: "goes on after",
		`{}`:             "auth: it is missing",
		`{"auth":{}}`:    "auth.identity: it is missing",
		identity(`{}`):   "auth.identity.methods",
		identity(`{"methods":["totp"],"totp":{"user":{"id":"u","passcode":"123456"}}}`):                                                          "totp alone",
		identity(`{"methods":["password","totp"],"password":{"user":{"id":"u","password":"p"}},"totp":{"user":{"id":"u"}}}`):                     "passcode: it is missing",
		identity(`{"methods":["password","totp"],"password":{"user":{"id":"u","password":"p"}},"totp":{"user":{"id":"v","passcode":"123456"}}}`): "another user",
		identity(`{"methods":["assume_role"]}`):                                                                                                       "assume_role: it is missing",
		identity(`{"methods":["assume_role"],"assume_role":{"agency_name":"a"}}`):                                                                     "domain_name: it is missing",
		identity(`{"methods":["assume_role","token"],"assume_role":{"agency_name":"a","domain_id":"d"}}`):                                             "stands alone",
		identity(`{"methods":["external"]}`):                                                                                                          "not known here",
		identity(`{"methods":"password"}`):                                                                                                            "not a token request",
		identity(`{"methods":["password"]}`):                                                                                                          "auth.identity.password.user",
		identity(`{"methods":["password"],"password":{"user":{"password":"p"}}}`):                                                                     "user.name: it is missing",
		identity(`{"methods":["password"],"password":{"user":{"name":"a","password":"p"}}}`):                                                          "user.domain: it is missing",
		identity(`{"methods":["password"],"password":{"user":{"name":"a","domain":{},"password":"p"}}}`):                                              "user.domain.name: it is missing",
		identity(`{"methods":["password"],"password":{"user":{"id":"","password":"p"}}}`):                                                             "user.id: it is missing",
		identity(`{"methods":["password"],"password":{"user":{"id":"u"}}}`):                                                                           "user.password: it is missing",
		identity(`{"methods":["password"],"password":{"user":{"id":"u","password":null}}}`):                                                           "user.password: it is missing",
		identity(`{"methods":["password"],"password":{"user":{"id":7,"password":"p"}}}`):                                                              "not a token request",
		identity(`{"methods":["password"],"password":{"user":{"id":"a\u0000b","password":"p"}}}`):                                                     "control characters",
		identity(`{"methods":["password"],"password":{"user":{"id":"` + strings.Repeat("x", 256) + `","password":"p"}}}`):                             "over 255 bytes",
		identity(`{"methods":["token"]}`):                                                                                                             "auth.identity.token.id",
		identity(`{"methods":["token"],"token":{"id":""}}`):                                                                                           "auth.identity.token.id",
		identity(`{"methods":["application_credential"]}`):                                                                                            "application_credential: it is missing",
		identity(`{"methods":["application_credential"],"application_credential":{"id":"c"}}`):                                                        "secret: it is missing",
		identity(`{"methods":["application_credential"],"application_credential":{"name":"c","secret":"s"}}`):                                         "user: it is missing",
		`{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"id":"c","secret":"s"}},"scope":{"domain":{"id":"d"}}}}`: "scope it was made with",
		scoped(`"all"`): "unscoped",
		scoped(`{}`):    "exactly one",
		scoped(`7`):     "exactly one",
		scoped(`{"project":{"id":"p"},"domain":{"id":"d"}}`): "exactly one",
		scoped(`{"project":"p"}`):                            "auth.scope.project",
		scoped(`{"project":{}}`):                             "auth.scope.project.name",
		scoped(`{"domain":{}}`):                              "auth.scope.domain.name",
		scoped(`{"system":{"all":false}}`):                   "the only scope on the system",
		scoped(`{"system":"all"}`):                           "the only scope on the system",
		scoped(`{"OS-TRUST:trust":{}}`):                      "OS-TRUST:trust.id",
		scoped(`{"OS-FEDERATION:x":{"id":"x"}}`):             "neither project nor domain",
		strings.Repeat(" ", token.MaxRequest) + terraform:    "at most",
	} {
		r, err := token.Parse([]byte(body))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.200s: %+v, %v; want %q", body, r, err, says)
		} else if k := fail.KindOf(err); k != fail.Invalid && k != fail.Unsupported && k != fail.TooLarge {
			t.Errorf("%.200s: kind %s", body, k)
		}
	}
}

func TestNoCatalog(t *testing.T) {
	for query, want := range map[string]bool{"": true, "nocatalog": false, "nocatalog=true": false, "nocatalog=": false, "nocatalog=false": true, "x=1": true} {
		q, _ := url.ParseQuery(query)
		if token.WantsCatalog(q) != want {
			t.Errorf("%q: %v", query, !want)
		}
	}
}

// TestWire compares answers with their text: what clients parse.
func TestWire(t *testing.T) {
	at := token.Time(time.Date(2026, 11, 22, 8, 10, 0, 123456789, time.FixedZone("", 3600)))
	no := false
	for name, tc := range map[string]struct {
		write  func(*httptest.ResponseRecorder)
		status int
		body   string
	}{
		"token": {func(w *httptest.ResponseRecorder) {
			token.WriteToken(w, 201, "secret", token.Token{
				Methods: []token.Method{token.ByPassword}, AuditIDs: []string{"a"}, Issued: at, Expires: at,
				User:     token.TokenUser{ScopedRef: token.ScopedRef{ID: "u", Name: "alice", Domain: token.Ref{ID: "d", Name: "awan"}}},
				Project:  &token.ScopedRef{ID: "p", Name: "awan-1", Domain: token.Ref{ID: "d", Name: "awan"}},
				IsDomain: &no, Roles: []token.Ref{{ID: "r", Name: "admin"}},
				Catalog: []token.Service{{ID: "s", Type: "identity", Name: "keystone", Endpoints: []token.Endpoint{{ID: "e", Interface: "public", Region: "awan-1", RegionID: "awan-1", URL: "https://iam.awan-1.awan.localhost/v3"}}}},
			})
		}, 201, `{"token":{"methods":["password"],"user":{"id":"u","name":"alice","domain":{"id":"d","name":"awan"},"password_expires_at":null},"audit_ids":["a"],"issued_at":"2026-11-22T07:10:00.123456Z","expires_at":"2026-11-22T07:10:00.123456Z","project":{"id":"p","name":"awan-1","domain":{"id":"d","name":"awan"}},"is_domain":false,"roles":[{"id":"r","name":"admin"}],"catalog":[{"id":"s","type":"identity","name":"keystone","endpoints":[{"id":"e","interface":"public","region":"awan-1","region_id":"awan-1","url":"https://iam.awan-1.awan.localhost/v3"}]}]}}`},
		"versions": {func(w *httptest.ResponseRecorder) { token.WriteVersions(w, token.Keystone("https://x/v3/")) }, 300,
			`{"versions":{"values":[{"id":"v3.14","status":"stable","updated":"2020-04-07T00:00:00Z","links":[{"rel":"self","href":"https://x/v3/"}],"media-types":[{"base":"application/json","type":"application/vnd.openstack.identity-v3+json"}]}]}}`},
		"service versions": {func(w *httptest.ResponseRecorder) {
			token.WriteServiceVersions(w, token.Version{ID: "v2.1", Status: "CURRENT", Links: []token.Link{{Rel: "self", Href: "https://x/v2.1/"}}, Version: "2.1", MinVersion: "2.1"})
		}, 200, `{"versions":[{"id":"v2.1","status":"CURRENT","links":[{"rel":"self","href":"https://x/v2.1/"}],"version":"2.1","min_version":"2.1"}]}`},
		"empty list": {func(w *httptest.ResponseRecorder) {
			token.WriteList[token.ProjectView](w, "projects", nil, token.Links{Self: "https://x/v3/projects"})
		}, 200, `{"links":{"self":"https://x/v3/projects","previous":null,"next":null},"projects":[]}`},
		"error": {func(w *httptest.ResponseRecorder) {
			token.WriteError(w, fail.New(fail.Unauthenticated, "the password is wrong").Because(fmt.Errorf("internal detail")))
		}, 401, `{"error":{"code":401,"message":"the password is wrong","title":"Unauthorized"}}`},
		"foreign error": {func(w *httptest.ResponseRecorder) { token.WriteError(w, fmt.Errorf("internal detail")) }, 500,
			`{"error":{"code":500,"message":"something went wrong inside the cloud; the operator finds the reason in the log under the request's id","title":"Internal Server Error"}}`},
	} {
		w := httptest.NewRecorder()
		tc.write(w)
		if w.Code != tc.status || w.Body.String() != tc.body {
			t.Errorf("%s: %d\n got %s\nwant %s", name, w.Code, w.Body, tc.body)
		}
	}
	for _, k := range fail.Kinds() {
		if s := token.Status(k); s < 400 || s == 500 && k != fail.Internal && k != fail.DataLoss {
			t.Errorf("%s is answered with %d", k, s)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(terraform))
	f.Add([]byte(scoped(`{"project":{"id":"p"}}`)))
	f.Add([]byte(identity(`{"methods":["application_credential"],"application_credential":{"name":"n","secret":"s","user":{"name":"u","domain":{"id":"d"}}}}`)))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := token.Parse(body)
		if err != nil {
			if k := fail.KindOf(err); k != fail.Invalid && k != fail.Unsupported && k != fail.TooLarge {
				t.Fatal(err)
			}
			return
		}
		if !json.Valid(body) || len(r.Methods) == 0 {
			t.Fatalf("%q gave %+v", body, r)
		}
		for _, m := range r.Methods {
			if m == token.ByPassword && (r.Password == nil || r.Password.User.ID == "" && (r.Password.User.Name == "" || r.Password.User.Domain == token.Domain{})) ||
				m == token.ByToken && r.Token == "" || m == token.ByCredential && (r.Credential == nil || r.Credential.Secret == "") {
				t.Fatalf("%q gave %+v: a method without its part", body, r)
			}
		}
		if r.Scope.Kind == token.ProjectScope && r.Scope.Project.ID+r.Scope.Project.Name == "" || r.Scope.Kind == token.DomainScope && r.Scope.Domain == (token.Domain{}) {
			t.Fatalf("%q gave %+v: a scope of nothing", body, r)
		}
	})
}
