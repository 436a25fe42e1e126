package keystone_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
)

type trustView struct {
	Trust struct {
		ID            string
		Trustor       string `json:"trustor_user_id"`
		Trustee       string `json:"trustee_user_id"`
		Impersonation bool
		Left          *int64 `json:"remaining_uses"`
		Roles         []struct{ ID, Name string }
	}
}

type trustToken struct {
	Token struct {
		User    struct{ ID, Name string }
		Project struct{ Name string }
		Roles   []struct{ Name string }
		Expires time.Time `json:"expires_at"`
		Trust   struct {
			ID            string
			Impersonation bool
			Trustor       struct{ ID string } `json:"trustor_user"`
			Trustee       struct{ ID string } `json:"trustee_user"`
		} `json:"OS-TRUST:trust"`
	}
}

// trusted asks for a token of a trust with bob's password.
func (a *api) trusted(trust string) (status int, v trustToken, token string) {
	a.t.Helper()
	w := a.logIn("bob", "correct-horse", fmt.Sprintf(`,"scope":{"OS-TRUST:trust":{"id":%q}}`, trust))
	if w.Code == 201 {
		v = into[trustToken](a, w, 201)
	}
	return w.Code, v, w.Header().Get("X-Subject-Token")
}

// TestTrusts: alice lends bob one of her roles in a project, and takes it back.
func TestTrusts(t *testing.T) {
	a := start(t)
	alice := string(a.row("user", "", "alice", `{"password":"correct-horse"}`).Row.M().ID)
	bob := string(a.row("user", "", "bob", `{"password":"correct-horse"}`).Row.M().ID)
	a.row("user", "", "eve", `{"password":"correct-horse"}`)
	held := a.row("grant", "", "", `{"policy":"read-only","user":"alice","project":"awan-1"}`).Row.M().ID
	a.row("grant", "", "", `{"policy":"app-admin","user":"alice"}`)
	a.row("project", "", "other", `{}`)
	as := func(user string) string { return a.logIn(user, "correct-horse", "").Header().Get("X-Subject-Token") }
	hers, eves := as("alice"), as("eve")
	lend := func(more string) string {
		return fmt.Sprintf(`{"trust":{"trustor_user_id":%q,"trustee_user_id":%q,"project_id":%q,"roles":[{"name":"read-only"}]%s}}`, alice, bob, a.Admin.ProjectID, more)
	}
	make := func(more string) trustView {
		t.Helper()
		return into[trustView](a, a.ask("POST", "/v3/OS-TRUST/trusts", lend(more), "X-Auth-Token", hers), 201)
	}

	end := a.Clock.Now().Add(time.Hour).UTC().Truncate(time.Second)
	tr := make(`,"impersonation":false,"remaining_uses":2,"expires_at":"` + end.Format(time.RFC3339) + `"`).Trust
	if tr.Trustor != alice || tr.Trustee != bob || tr.Left == nil || *tr.Left != 2 || len(tr.Roles) != 1 {
		t.Errorf("the trust: %+v", tr)
	}
	status, v, token := a.trusted(tr.ID)
	if status != 201 || v.Token.User.ID != bob || len(v.Token.Roles) != 1 || v.Token.Roles[0].Name != "read-only" || v.Token.Trust.ID != tr.ID ||
		v.Token.Trust.Trustor.ID != alice || v.Token.Trust.Trustee.ID != bob || v.Token.Expires.After(end) || v.Token.Project.Name != "awan-1" {
		t.Fatalf("bob with alice's role: %d %+v", status, v)
	}
	for _, c := range []struct {
		what, method, path, body string
		want                     int
	}{
		{"his token says what it is", "GET", "/v3/auth/tokens", "", 200},
		{"its roles hold in the project only, not in the domain", "GET", "/v3/users", "", 403},
		{"nor does alice's other role come with it", "POST", "/v3/projects", `{"project":{"name":"mine"}}`, 403},
		{"it makes no application credential", "POST", "/v3/users/" + bob + "/application_credentials", `{"application_credential":{"name":"c"}}`, 403},
		{"nor EC2 keys", "POST", "/v3/users/" + bob + "/credentials/OS-EC2", `{"tenant_id":"` + string(a.Admin.ProjectID) + `"}`, 403},
		{"nor another trust", "POST", "/v3/OS-TRUST/trusts", lend(""), 403},
		{"nor another token", "POST", "/v3/auth/tokens", `{"auth":{"identity":{"methods":["token"],"token":{"id":"` + token + `"}}}}`, 403},
	} {
		if w := a.ask(c.method, c.path, c.body, "X-Auth-Token", token, "X-Subject-Token", token); w.Code != c.want {
			t.Errorf("%s: %d %s", c.what, w.Code, w.Body)
		}
	}
	if got := into[trustView](a, a.ask("GET", "/v3/OS-TRUST/trusts/"+tr.ID, "", "X-Auth-Token", hers), 200).Trust; *got.Left != 1 {
		t.Errorf("uses left: %d", *got.Left)
	}
	if status, _, _ := a.trusted(tr.ID); status != 201 {
		t.Errorf("the second use: %d", status)
	}
	if status, _, _ := a.trusted(tr.ID); status != 403 {
		t.Errorf("a third use: %d", status)
	}

	// Others neither see nor use it, and nobody lends what is another's or what they do not have.
	for what, w := range map[string]int{
		"eve looks":            a.ask("GET", "/v3/OS-TRUST/trusts/"+tr.ID, "", "X-Auth-Token", eves).Code - 403,
		"eve uses":             a.logIn("eve", "correct-horse", `,"scope":{"OS-TRUST:trust":{"id":"`+tr.ID+`"}}`).Code - 401,
		"the administrator":    a.ask("POST", "/v3/OS-TRUST/trusts", lend("")).Code - 400,
		"more than she has":    a.ask("POST", "/v3/OS-TRUST/trusts", strings.Replace(lend(""), "read-only", "full-access", 1), "X-Auth-Token", hers).Code - 400,
		"lending on":           a.ask("POST", "/v3/OS-TRUST/trusts", lend(`,"allow_redelegation":true`), "X-Auth-Token", hers).Code - 400,
		"no uses":              a.ask("POST", "/v3/OS-TRUST/trusts", lend(`,"remaining_uses":0`), "X-Auth-Token", hers).Code - 400,
		"over before it began": a.ask("POST", "/v3/OS-TRUST/trusts", lend(`,"expires_at":"2001-01-01T00:00:00Z"`), "X-Auth-Token", hers).Code - 400,
		"bob ends it":          a.ask("DELETE", "/v3/OS-TRUST/trusts/"+tr.ID, "", "X-Auth-Token", as("bob")).Code - 403,
		"the trustee sees it":  a.ask("GET", "/v3/OS-TRUST/trusts?trustee_user_id="+bob, "", "X-Auth-Token", as("bob")).Code - 200,
	} {
		if w != 0 {
			t.Errorf("%s: off by %d", what, w)
		}
	}

	// In alice's name, until she does not have the role any more.
	named := make(`,"impersonation":true`).Trust
	status, v, token = a.trusted(named.ID)
	if status != 201 || v.Token.User.ID != alice || !v.Token.Trust.Impersonation || v.Token.Trust.Trustee.ID != bob {
		t.Fatalf("bob as alice: %d %+v", status, v)
	}
	if w := a.ask("GET", "/v3/users/"+alice+"/credentials/OS-EC2", "", "X-Auth-Token", token); w.Code != 403 {
		t.Errorf("bob reads alice's keys: %d %s", w.Code, w.Body)
	}
	check := func(token string) int {
		return a.ask("GET", "/v3/auth/projects", "", "X-Auth-Token", token).Code
	}
	if got := check(token); got != 200 {
		t.Errorf("the token works: %d", got)
	}
	if _, err := a.Door.Do(t.Context(), &call.Call{Kind: a.Door.KindOf("identity/grant"), Verb: call.Delete, Target: string(held), Principal: a.Root}); err != nil {
		t.Fatal(err)
	}
	if got := check(token); got != 401 {
		t.Errorf("alice lost the role, the token works on: %d", got)
	}
	if status, _, _ := a.trusted(named.ID); status != 401 {
		t.Errorf("a new one: %d", status)
	}
	a.row("grant", "", "", `{"policy":"read-only","user":"alice","project":"awan-1"}`)
	if got := check(token); got != 200 {
		t.Errorf("she has it again: %d", got)
	}
	if w := a.ask("DELETE", "/v3/OS-TRUST/trusts/"+named.ID, "", "X-Auth-Token", hers); w.Code != 204 {
		t.Fatalf("ending it: %d %s", w.Code, w.Body)
	}
	if got := check(token); got != 401 {
		t.Errorf("the trust is no more, the token works on: %d", got)
	}
	short := make(`,"impersonation":true,"expires_at":"` + end.Format(time.RFC3339) + `"`).Trust
	_, _, token = a.trusted(short.ID)
	a.Clock.Add(2 * time.Hour)
	if got := check(token); got != 401 {
		t.Errorf("the trust is over, the token works on: %d", got)
	}
	if w := a.ask("GET", "/v3/OS-TRUST/trusts/"+short.ID, "", "X-Auth-Token", as("alice")); w.Code != 404 {
		t.Errorf("a trust that is over: %d", w.Code)
	}
}

// TestAccessRules: a program's credential may make the requests that it was made for, and no others.
func TestAccessRules(t *testing.T) {
	a := start(t)
	user := string(a.Admin.UserID)
	path := "/v3/users/" + user + "/application_credentials"
	body := `{"application_credential":{"name":"watch","secret":"correct-horse","access_rules":[{"service":"identity","method":"GET","path":"/v3/projects"},
		{"service":"identity","method":"GET","path":"/v3/users/*/groups"},{"service":"monitoring","method":"PUT","path":"/v2.0/**"}]}}`
	c := into[struct {
		C struct {
			ID    string
			Rules []struct{ ID, Service, Method, Path string } `json:"access_rules"`
		} `json:"application_credential"`
	}](a, a.ask("POST", path, body), 201).C
	if len(c.Rules) != 3 || c.Rules[2].Path != "/v2.0/**" {
		t.Fatalf("the rules: %+v", c.Rules)
	}
	w := a.ask("POST", "/v3/auth/tokens", `{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"id":"`+c.ID+`","secret":"correct-horse"}}}}`)
	said := into[struct {
		Token struct {
			Roles []struct{ Name string }
			C     struct {
				Restricted bool
				Rules      []struct{ Service string } `json:"access_rules"`
			} `json:"application_credential"`
		}
	}](a, w, 201).Token
	if len(said.Roles) == 0 || !said.C.Restricted || len(said.C.Rules) != 3 {
		t.Errorf("what the token says: %s", w.Body)
	}
	token := w.Header().Get("X-Subject-Token")
	for _, r := range []struct {
		method, path string
		want         int
	}{{"GET", "/v3/projects", 200}, {"GET", "/v3/users/" + user + "/groups", 200}, {"GET", "/v3/users", 403}, {"GET", "/v3/users/" + user, 403},
		{"POST", "/v3/projects", 403}, {"GET", "/v3/projects/" + string(a.Admin.ProjectID), 403}, {"GET", "/v3/auth/tokens", 200}} {
		if w := a.ask(r.method, r.path, "", "X-Auth-Token", token, "X-Subject-Token", token); w.Code != r.want {
			t.Errorf("%s %s: %d %s", r.method, r.path, w.Code, w.Body)
		}
	}
	p, _, err := a.Ident.ByToken(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Door.Do(t.Context(), &call.Call{Kind: a.Door.KindOf("identity/project"), Verb: call.List, Principal: p}); err == nil {
		t.Error("a way in that knows no access rules lets it in")
	}

	rules := "/v3/users/" + user + "/access_rules"
	list := func() int {
		return len(into[struct {
			Rules []struct{ ID string } `json:"access_rules"`
		}](a, a.ask("GET", rules, ""), 200).Rules)
	}
	if w := a.ask("DELETE", rules+"/"+c.Rules[0].ID, ""); w.Code != 409 {
		t.Errorf("a rule that is in use is deleted: %d %s", w.Code, w.Body)
	}
	if again := into[struct{}](a, a.ask("POST", path, strings.Replace(body, "watch", "again", 1)), 201); list() != 3 {
		t.Errorf("the same rules are made again: %v", again)
	}
	if w := a.ask("POST", path, `{"application_credential":{"name":"bad","access_rules":[{"service":"identity","method":"GET","path":"projects"}]}}`); w.Code != 400 || !strings.Contains(w.Body.String(), "path") {
		t.Errorf("a path that is none: %d %s", w.Code, w.Body)
	}
}

// TestPolicyBlobsAndEndpoints: operators keep documents for other services, and choose what a project's tokens show.
func TestPolicyBlobsAndEndpoints(t *testing.T) {
	a := start(t)
	type blob struct {
		Policy struct{ ID, Type, Blob, Description string }
	}
	p := into[blob](a, a.ask("POST", "/v3/policies", `{"policy":{"type":"application/json","blob":"{'a': 'b'}","description":"first"}}`), 201).Policy
	if p.Blob != "{'a': 'b'}" || p.Description != "first" {
		t.Errorf("the policy: %+v", p)
	}
	if p := into[blob](a, a.ask("PATCH", "/v3/policies/"+p.ID, `{"policy":{"blob":{"c":1},"description":"second"}}`), 200).Policy; p.Blob != `{"c":1}` || p.Description != "second" {
		t.Errorf("changed: %+v", p)
	}
	for filter, want := range map[string]string{"type__contains=json": p.ID, "type__contains=yaml": ""} {
		if w := a.ask("GET", "/v3/policies?"+filter, ""); strings.Contains(w.Body.String(), p.ID) != (want != "") {
			t.Errorf("%s: %s", filter, w.Body)
		}
	}
	if w := a.ask("DELETE", "/v3/policies/"+p.ID, ""); w.Code != 204 {
		t.Errorf("deleting: %d", w.Code)
	}

	type ends struct {
		Endpoints []struct{ ID, Interface string }
	}
	all := into[ends](a, a.ask("GET", "/v3/endpoints", ""), 200).Endpoints
	at := "/v3/OS-EP-FILTER/projects/" + string(a.Admin.ProjectID) + "/endpoints"
	if w := a.ask("PUT", at+"/"+all[0].ID, ""); w.Code != 204 {
		t.Fatalf("choosing: %d %s", w.Code, w.Body)
	}
	if got := into[ends](a, a.ask("GET", at, ""), 200).Endpoints; len(got) != 1 || got[0].ID != all[0].ID {
		t.Errorf("chosen: %v", got)
	}
	catalog := into[struct {
		Token struct{ Catalog []ends }
	}](a, a.ask("GET", "/v3/auth/tokens", "", "X-Subject-Token", a.token), 200).Token.Catalog
	if len(catalog) != 1 || len(catalog[0].Endpoints) != 1 {
		t.Errorf("the catalog shows %v", catalog)
	}
	if w := a.ask("PUT", at+"/none", ""); w.Code != 404 {
		t.Errorf("an endpoint that is none: %d", w.Code)
	}
	for _, want := range []int{204, 404} {
		if w := a.ask("DELETE", at+"/"+all[0].ID, ""); w.Code != want {
			t.Errorf("taking it away: %d", w.Code)
		}
	}
}

// TestTheFirstDomain: a domain that is called Default has the id "default" for Keystone's clients, and domains are projects
// for those that treat them so.
func TestTheFirstDomain(t *testing.T) {
	a := start(t)
	name := "Default"
	if _, err := a.Door.Do(t.Context(), &call.Call{Kind: a.Door.KindOf("identity/domain"), Verb: call.Update, Target: "awan", Principal: a.Root, Name: &name}); err != nil {
		t.Fatal(err)
	}
	type project struct {
		Project struct {
			ID, Name string
			Domain   string `json:"domain_id"`
			Parent   string `json:"parent_id"`
			IsDomain bool   `json:"is_domain"`
			Enabled  bool
		}
	}
	p := into[project](a, a.ask("POST", "/v3/projects", `{"project":{"name":"shop","domain_id":"default"}}`), 201).Project
	if p.Domain != "default" || p.Parent != "default" {
		t.Errorf("the project: %+v", p)
	}
	if w := a.ask("GET", "/v3/domains/default", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"id":"default"`) {
		t.Errorf("the domain: %s", w.Body)
	}
	if w := a.ask("GET", "/v3/projects?parent_id=default&name=shop", ""); !strings.Contains(w.Body.String(), p.ID) {
		t.Errorf("by its parent: %s", w.Body)
	}
	d := into[project](a, a.ask("POST", "/v3/projects", `{"project":{"name":"acting","is_domain":true}}`), 201).Project
	if !d.IsDomain || d.Domain != "" {
		t.Errorf("the domain as a project: %+v", d)
	}
	in := into[project](a, a.ask("POST", "/v3/projects", `{"project":{"name":"in","domain_id":"`+d.ID+`"}}`), 201).Project
	if in.Domain != d.ID {
		t.Errorf("a project in it: %+v", in)
	}
	if got := into[project](a, a.ask("PATCH", "/v3/projects/"+d.ID, `{"project":{"enabled":false}}`), 200).Project; got.Enabled || !got.IsDomain {
		t.Errorf("disabled: %+v", got)
	}
	if w := a.ask("DELETE", "/v3/projects/"+in.ID, ""); w.Code != 204 {
		t.Errorf("its project: %d %s", w.Code, w.Body)
	}
	if w := a.ask("DELETE", "/v3/projects/"+d.ID, ""); w.Code != 204 {
		t.Errorf("deleting it: %d %s", w.Code, w.Body)
	}
	if w := a.ask("GET", "/v3/projects/"+d.ID, ""); w.Code != 404 {
		t.Errorf("it is there still: %d", w.Code)
	}
}
