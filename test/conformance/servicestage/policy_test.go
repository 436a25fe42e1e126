package servicestage_test

import (
	"testing"

	"github.com/awancloud/awan/internal/adminenv"
)

// as logs in as a new user of the account whose only policy has these statements.
func (s *stage) as(name string, statements ...any) *stage {
	s.t.Helper()
	const in, password = "/awan/v1/domains/-/identity/", "Correct-Horse-7-Battery"
	s.ask("POST", in+"users", object{"name": name, "spec": object{"password": password}}, 201)
	s.ask("POST", in+"policies", object{"name": "of-" + name, "spec": object{"document": object{"Version": "5.0", "Statement": statements}}}, 201)
	s.ask("POST", in+"grants", object{"spec": object{"policy": "of-" + name, "user": name}}, 201)
	other := *s
	other.token = ""
	other.token = other.ask("POST", "/awan/v1/login", object{"domain": s.admin[adminenv.Domain], "user": name, "password": password, "project": s.project}, 201)["token"].(string)
	return &other
}

func allow(actions ...any) object { return object{"Effect": "Allow", "Action": actions} }
func deny(actions ...any) object  { return object{"Effect": "Deny", "Action": actions} }

// TestPoliciesSayItInServiceStagesWords: its finer names, its older coarse ones, and our own beside them.
func TestPoliciesSayItInServiceStagesWords(t *testing.T) {
	s := open(t)
	env, app := s.shop()
	web := s.deploy(app, env, "web", nil)
	one := "applications/" + app + "/components/" + web

	viewer := s.as("viewer", allow("servicestage:app:getComponent", "servicestage:app:listComponent"))
	s.has(viewer.cas("GET", one, nil), "name", "web")
	if l := viewer.cas("GET", "applications/"+app+"/components", nil); l["count"] != 1.0 {
		t.Errorf("components: %v", l)
	}
	viewer.refused("GET", "applications/"+app, nil, 403)
	viewer.refused("PUT", one, object{"replica": 2}, 403)
	viewer.refused("POST", one+"/action", object{"action": "restart"}, 403)
	viewer.refused("GET", "environments", nil, 403)

	old := s.as("old", allow("servicestage:app:get", "servicestage:app:modify", "servicestage:environment:get"))
	s.has(old.cas("GET", "applications/"+app, nil), "name", "shop")
	s.has(old.cas("GET", "environments/"+env, nil), "name", "live")
	old.finish(old.cas("POST", one+"/action", object{"action": "scale", "parameters": object{"replica": 2}}), "SUCCEEDED")
	old.refused("DELETE", one, nil, 403)

	careful := s.as("careful", allow("app:*", "identity:*:get"), deny("servicestage:app:deleteComponent", "servicestage::modifyLaneGroup"))
	s.has(careful.cas("GET", one, nil), "name", "web")
	careful.refused("DELETE", one, nil, 403)

	other := s.deploy(app, env, "cart", nil)
	all := func(action string, ids ...string) object {
		of := list{}
		for _, id := range ids {
			of = append(of, object{"id": id})
		}
		return object{"action": action, "parameters": object{"components": of}}
	}
	viewer.refused("POST", "applications/"+app+"/action", all("stop", web), 403)
	old.refused("POST", "applications/"+app+"/action", all("fly", web), 400, "action")
	old.refused("POST", "applications/"+app+"/action", all("stop"), 400, "components")
	old.refused("POST", "applications/"+app+"/action", all("stop", web, app), 404)
	old.cas("POST", "applications/"+app+"/action!", all("stop", web, other))
	for _, c := range []string{web, other} {
		s.until("a stopped component", func() bool {
			return s.cas("GET", "applications/"+app+"/components/"+c, nil)["status"].(object)["available_replica"] == 0.0
		})
	}
}
