package servicestage_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// operations are all that ServiceStage's API reference of version 3 has; an id is {}. Those of which nobody published the
// path (making a resource of an environment, target services by a gateway's id) are not among them.
const operations = `
POST GET                /environments
GET                     /environments/resources
GET PUT DELETE          /environments/{}
GET PUT                 /environments/{}/resources
GET                     /environments/{}/iac-resources
PUT DELETE              /environments/{}/iac-resources/{}
POST GET                /environments/{}/addons
GET                     /environments/{}/addons-metadata
GET DELETE              /environments/{}/addons/{}
POST                    /environments/{}/addons/{}/action
POST GET                /applications
GET PUT DELETE          /applications/{}
GET PUT DELETE          /applications/{}/configuration
POST GET                /applications/{}/components
GET PUT DELETE          /applications/{}/components/{}
POST                    /applications/{}/components/{}/action
GET                     /applications/{}/components/{}/records
PUT                     /applications/{}/components/{}/refresh
GET POST                /components
GET                     /components/filterOptions
POST                    /components/parse-template-package
POST GET                /runtimestacks
GET PUT DELETE          /runtimestacks/{}
POST                    /runtimestacks/action
GET                     /innerimages
POST GET                /config-groups
GET DELETE              /config-groups/{}
POST GET                /configs
GET PUT DELETE          /configs/{}
GET                     /configs/{}/histories
GET                     /configs/{}/histories/{}
POST GET                /swimlane-group
GET PUT DELETE          /swimlane-group/{}
PUT                     /swimlane-group/{}/route
POST GET                /swimlane-group/{}/swimlane
GET PUT DELETE          /swimlane-group/{}/swimlane/{}
POST                    /swimlane-group/{}/swimlane/{}/action
PUT                     /swimlane-group/{}/swimlane/{}/instances
POST                    /swimlane-group/{}/swimlane/{}/components-action
PUT                     /swimlane-group/{}/swimlane/{}/component-instances
POST                    /swimlane-group/{}/swimlane/{}/components-instances
GET                     /jobs/{}`

// never are the operations that no body makes succeed here, with a word of the reason that the answer gives.
var never = map[string]string{
	"POST /components":                        "Kubernetes", // a template is a package of Kubernetes resources
	"POST /components/parse-template-package": "Kubernetes",
	"POST /environments/{}/addons":            "add-ons", // nothing is installed into an environment
}

// TestEveryOperation: each operation is there. A list answers; what is about a thing that does not exist says so, what
// lacks its body names the field, and nothing answers that the path or the method is unknown.
func TestEveryOperation(t *testing.T) {
	s := open(t)
	env, _ := s.shop()
	unknown, _ := s.operation("GET", "/nowhere")["error_msg"].(string)
	if !strings.Contains(unknown, "/nowhere") {
		t.Fatalf("an unknown path: %q", unknown)
	}
	count := 0
	for line := range strings.Lines(operations) {
		words := strings.Fields(line)
		for i := 0; i+1 < len(words); i++ {
			count++
			method, pattern := words[i], words[len(words)-1]
			path := strings.Replace(pattern, "/environments/{}/", "/environments/"+env+"/", 1)
			got := s.operation(method, strings.ReplaceAll(path, "{}", "none"))
			status, message := got["status"].(int), text(got["error_msg"])
			lists := method == "GET" && !strings.Contains(strings.ReplaceAll(path, env, ""), "{}")
			switch reason := never[method+" "+pattern]; {
			case status >= 500 || status == http.StatusMethodNotAllowed || strings.Contains(message, strings.ReplaceAll(path, "{}", "none")):
				t.Errorf("%s %s: %d %s", method, pattern, status, message)
			case reason != "" && (status != 400 || !strings.Contains(message, reason)):
				t.Errorf("%s %s: %d %q, want 400 and the reason, %s", method, pattern, status, message, reason)
			case lists && status != 200:
				t.Errorf("%s %s: %d %s", method, pattern, status, message)
			case status >= 400 && (!strings.HasPrefix(text(got["error_code"]), "SVCSTG.00100") || message == ""):
				t.Errorf("%s %s: %d is no error of ServiceStage: %v", method, pattern, status, got)
			}
		}
	}
	if count < 70 {
		t.Errorf("only %d operations were asked", count)
	}
}

func text(v any) string {
	t, _ := v.(string)
	return t
}

// operation sends a request with an empty body and gives the answer with its status.
func (s *stage) operation(method, path string) object {
	s.t.Helper()
	var in *strings.Reader = strings.NewReader("")
	if method == "POST" || method == "PUT" {
		in = strings.NewReader("{}")
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.URL()+"/v3/"+s.project+"/cas"+path, in)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("X-Auth-Token", s.token)
	res, err := s.http.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	out := object{}
	_ = json.NewDecoder(res.Body).Decode(&out) // of 204 there is nothing to read
	out["status"] = res.StatusCode
	return out
}

// TestWhereInstancesRun: there is one machine. What a component requires of its place is held against it, what it
// prefers is kept, and a workload of a cluster that is not there cannot be taken over.
func TestWhereInstancesRun(t *testing.T) {
	s := open(t)
	env, app := s.shop()
	all := "applications/" + app + "/components"
	rule := func(kind, condition, key, operation, value string) list {
		return list{object{"kind": kind, "condition": condition, "weight": 1, "match_expressions": list{object{"key": key, "operation": operation, "value": value}}}}
	}
	linux := rule("node", "required", "kubernetes.io/os", "In", "linux,plan9")
	web := s.deploy(app, env, "web", object{"affinity": linux, "anti_affinity": rule("pod", "required", "app", "In", "web"), "labels": list{object{"key": "team", "value": "a"}}})
	s.has(s.cas("GET", all+"/"+web, nil), "affinity", linux)
	s.refused("POST", all+"/"+web+"/action", object{"action": "scale", "parameters": object{"replica": 2}}, 400, "anti_affinity[0]", "2 instances of web", "one machine")
	s.refused("PUT", all+"/"+web, object{"replica": 3}, 400, "anti_affinity[0]", "3 instances")
	for name, c := range map[string]struct {
		in    object
		words []string
	}{
		"another node":       {object{"affinity": rule("node", "required", "disk", "In", "ssd")}, []string{"affinity[0]", "kubernetes.io/os=linux", "preferred"}},
		"not this node":      {object{"anti_affinity": rule("node", "required", "kubernetes.io/os", "Exists", "")}, []string{"anti_affinity[0]", "one machine"}},
		"apart from another": {object{"anti_affinity": rule("pod", "required", "team", "Exists", "")}, []string{"anti_affinity[0]", "apart from web"}},
		"a wrong operation":  {object{"affinity": rule("node", "preferred", "disk", "Is", "ssd")}, []string{"affinity[0].match_expressions[0].operation", "NotIn"}},
		"a wrong kind":       {object{"affinity": rule("rack", "preferred", "disk", "In", "ssd")}, []string{"affinity[0].kind", "rack"}},
		"a wrong condition":  {object{"affinity": rule("node", "must", "disk", "In", "ssd")}, []string{"affinity[0].condition", "must"}},
		"no list":            {object{"affinity": "here"}, []string{"affinity", "list"}},
		"an import":          {object{"create_mode": "import"}, []string{"create_mode", "workload_content"}},
	} {
		in := object{"name": "new", "environment_id": env, "source": image("1")}
		for k, v := range c.in {
			in[k] = v
		}
		t.Run(name, func(t *testing.T) {
			s := *s
			s.t = t
			s.refused("POST", all, in, 400, c.words...)
		})
	}
	s.deploy(app, env, "cart", object{"replica": 2, "affinity": rule("node", "preferred", "disk", "In", "ssd"), "anti_affinity": rule("pod", "preferred", "app", "In", "cart")})
}
