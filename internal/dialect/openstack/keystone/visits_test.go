package keystone_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

// TestVisits: an operator gives a user and a group of the domain "guests" roles in the domain awan. They work there as far as the
// roles go, and not further; neither domain's own administrators can let anybody in, and the guests' cannot widen what they have.
func TestVisits(t *testing.T) {
	a := start(t)
	const password = "correct-horse"
	guests := string(a.row("domain", "", "guests", `{}`).Row.M().ID)
	made := func(kind, name, spec string) string {
		return string(a.row(kind, guests, name, spec).Row.M().ID)
	}
	group := made("group", "crew", `{}`)
	ann := made("user", "ann", `{"password":"`+password+`"}`)
	made("user", "cid", `{"password":"`+password+`","groups":["crew"]}`)
	made("user", "chief", `{"password":"`+password+`"}`)
	made("grant", "", `{"policy":"full-access","user":"chief"}`)
	reads := made("policy", "reads", `{"document":{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["identity:user:list","identity:user:get"]}]}}`)
	own := string(a.row("policy", "", "sees-projects", `{"document":{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["identity:project:*"]}]}}`).Row.M().ID)
	a.row("user", "", "boss", `{"password":"`+password+`"}`)
	a.row("grant", "", "", `{"policy":"full-access","user":"boss"}`)

	home := string(a.Admin.DomainID)
	in := func(domain, user, scope string) string {
		w := a.ask("POST", "/v3/auth/tokens", fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"domain":{"name":%q},"password":%q}}}%s}}`,
			user, domain, password, scope))
		if w.Code != 201 {
			return fmt.Sprint(w.Code)
		}
		return w.Header().Get("X-Subject-Token")
	}
	atHome := `,"scope":{"domain":{"id":"` + home + `"}}`
	inProject := `,"scope":{"project":{"id":"` + string(a.Admin.ProjectID) + `"}}`
	if got := in("guests", "ann", atHome); got != "401" {
		t.Errorf("before anybody lets her in: %s", got)
	}
	chief, boss := in("guests", "chief", `,"scope":{"domain":{"name":"guests"}}`), in("awan", "boss", atHome)
	path := "/v3/domains/" + home + "/users/" + ann + "/roles/" + reads
	for who, token := range map[string]string{"the guests' administrator": chief, "the hosts'": boss} {
		if w := a.ask("PUT", path, "", "X-Auth-Token", token); w.Code != 404 && w.Code != 403 {
			t.Errorf("%s lets her in: %d %s", who, w.Code, w.Body)
		}
	}
	for what, at := range map[string]string{"her": path, "the crew": "/v3/projects/" + string(a.Admin.ProjectID) + "/groups/" + group + "/roles/" + own} {
		for range 2 { // again is as good as once
			if w := a.ask("PUT", at, ""); w.Code != 204 {
				t.Fatalf("%s: %d %s", what, w.Code, w.Body)
			}
		}
	}

	visiting := in("guests", "ann", atHome)
	v := into[tokenView](a, a.ask("GET", "/v3/auth/tokens", "", "X-Auth-Token", visiting, "X-Subject-Token", visiting), 200).Token
	if v.Domain == nil || v.Domain.ID != home || len(v.Roles) != 1 || v.Roles[0].Name != "reads" || v.User.ID != ann {
		t.Errorf("her token: %+v", v)
	}
	for _, c := range []struct {
		what, token, method, path, body string
		want                            int
	}{
		{"the hosts' users", visiting, "GET", "/v3/users", "", 200},
		{"not her own domain's, with that token", visiting, "GET", "/v3/users?domain_id=" + guests, "", 404},
		{"no more than the role", visiting, "POST", "/v3/users", `{"user":{"name":"x"}}`, 403},
		{"her domains", visiting, "GET", "/v3/auth/domains", "", 200},
		{"a widening of the role by her administrator", chief, "PATCH", "/v3/roles/" + reads, `{"role":{"options":{"document":{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["*:*:*"]}]}}}}`, 403},
		{"nor by what it implies", chief, "PUT", "/v3/roles/" + reads + "/implies/" + own, "", 404},
		{"nor its end", chief, "DELETE", "/v3/roles/" + reads, "", 409},
	} {
		if w := a.ask(c.method, c.path, c.body, "X-Auth-Token", c.token); w.Code != c.want {
			t.Errorf("%s: %d %s", c.what, w.Code, w.Body)
		}
	}
	list := a.ask("GET", "/v3/users", "", "X-Auth-Token", visiting).Body.String()
	if !strings.Contains(list, `"boss"`) || strings.Contains(list, `"ann"`) {
		t.Errorf("she sees %s", list)
	}
	crew := in("guests", "cid", inProject)
	if v := into[tokenView](a, a.ask("GET", "/v3/auth/tokens", "", "X-Auth-Token", crew, "X-Subject-Token", crew), 200).Token; v.Project == nil || len(v.Roles) != 1 || v.Roles[0].Name != "sees-projects" {
		t.Errorf("the crew's token: %+v", v)
	}
	if got := in("guests", "ann", `,"scope":{"domain":{"name":"guests"}}`); len(got) < 10 {
		t.Errorf("at home: %s", got)
	}

	// The hosts see who was let in, under whose name things happened, and show her out.
	type assignments struct {
		All []struct {
			User  struct{ ID string }
			Group struct{ ID string }
			Scope struct{ Domain struct{ ID string } }
		} `json:"role_assignments"`
	}
	seen := into[assignments](a, a.ask("GET", "/v3/role_assignments?include_names", "", "X-Auth-Token", boss), 200)
	found := 0
	for _, r := range seen.All {
		if r.User.ID == ann || r.Group.ID == group {
			found++
		}
	}
	if found != 2 {
		t.Errorf("the hosts' list: %+v", seen)
	}
	if got := into[assignments](a, a.ask("GET", "/v3/role_assignments?user.id="+ann, ""), 200); len(got.All) != 1 || got.All[0].Scope.Domain.ID != home {
		t.Errorf("hers: %+v", got)
	}
	entries, _, err := a.Door.Audit(t.Context(), &call.Call{Principal: a.Root}, ledger.Query{})
	if err != nil {
		t.Fatal(err)
	}
	told := false
	for _, e := range entries {
		told = told || e.Actor == "user guests/ann" && e.Action == "identity:user:create" && e.Outcome == ledger.Denied
	}
	if !told {
		t.Errorf("the hosts' audit log does not tell her from a user of their own: %+v", entries)
	}
	if w := a.ask("DELETE", path, ""); w.Code != 204 {
		t.Fatalf("shown out: %d %s", w.Code, w.Body)
	}
	if w := a.ask("GET", "/v3/users", "", "X-Auth-Token", visiting); w.Code != 401 {
		t.Errorf("with the token of before: %d %s", w.Code, w.Body)
	}
	if got := in("guests", "ann", atHome); got != "401" {
		t.Errorf("again: %s", got)
	}
	if w := a.ask("DELETE", "/v3/roles/"+reads, "", "X-Auth-Token", chief); w.Code != 204 {
		t.Errorf("the role is the guests' own again: %d %s", w.Code, w.Body)
	}
	if w := a.ask("DELETE", "/v3/groups/"+group, ""); w.Code != 204 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if seen := into[assignments](a, a.ask("GET", "/v3/role_assignments?group.id="+group, ""), 404); len(seen.All) > 0 {
		t.Error("a group that is no more")
	}
	if w := a.ask("GET", "/v3/auth/projects", "", "X-Auth-Token", in("guests", "cid", "")); strings.Contains(w.Body.String(), "awan-1") {
		t.Errorf("the group's end takes its roles elsewhere along: %s", w.Body)
	}
}
