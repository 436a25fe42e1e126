package servicestage_test

import (
	"strconv"
	"strings"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

// shop makes an environment and an application.
func (s *stage) shop() (environment, application string) {
	s.t.Helper()
	e := s.cas("POST", "environments", object{"name": "live", "vpc_id": "vpc-1", "deploy_mode": "container", "description": "the real one",
		"enterprise_project_id": "0", "labels": list{object{"key": "tier", "value": "one"}}})
	s.has(e, "name", "live", "vpc_id", "vpc-1", "deploy_mode", "container", "enterprise_project_id", "0", "labels", list{object{"key": "tier", "value": "one"}})
	a := s.cas("POST", "applications", object{"name": "shop", "description": "sells"})
	return e["id"].(string), a["id"].(string)
}

func image(tag string) object {
	return object{"kind": "image", "storage": "swr", "url": "swr.awan-1.awan.test/library/web:" + tag}
}

// deploy makes a component and waits until it runs.
func (s *stage) deploy(application, environment, name string, more object) string {
	s.t.Helper()
	in := object{"name": name, "environment_id": environment, "version": "2.5.1", "replica": 1, "source": image("1"),
		"runtime_stack":   object{"name": "Docker", "type": "Docker", "deploy_mode": "container"},
		"readiness_probe": object{"type": "command", "command": list{"true"}}}
	for k, v := range more {
		in[k] = v
	}
	made := s.cas("POST", "applications/"+application+"/components", in)
	s.finish(made, "SUCCEEDED")
	return made["component_id"].(string)
}

// TestComponents: an image is deployed, changed, acted on and rolled back.
func TestComponents(t *testing.T) {
	s := open(t)
	env, app := s.shop()
	all := "applications/" + app + "/components"
	web := s.deploy(app, env, "web", object{"limit_cpu": 0.25, "limit_memory": 0.125, "envs": list{object{"name": "COLOR", "value": "red"}}, "timezone": "Asia/Kuala_Lumpur",
		"custom_metric":  object{"path": "/metrics", "port": 9100, "dimensions": "cpu"},
		"affinity":       list{object{"kind": "node", "condition": "required", "weight": 100}},
		"liveness_probe": object{"type": "command", "command": list{"true"}, "delay": 5}, "labels": list{object{"key": "team", "value": "a"}},
		"external_accesses": list{object{"protocol": "HTTP", "address": "shop.example.org", "forward_port": 9000}}})
	one := all + "/" + web

	r := s.cas("GET", one, nil)
	s.has(r, "name", "web", "version", "2.5.1", "application_name", "shop", "environment_id", env, "replica", 1, "limit_cpu", 0.25, "limit_memory", 0.125,
		"request_cpu", 0.25, "affinity", list{object{"kind": "node", "condition": "required", "weight": 100}}, "source", image("1"), "enterprise_project_id", "0",
		"liveness_probe", object{"type": "command", "command": list{"true"}, "delay": 5}, "labels", list{object{"key": "team", "value": "a"}})
	s.has(r["status"].(object), "component_status", "RUNNING", "available_replica", 1)
	native := s.spec("/awan/v1/projects/" + s.project + "/app/components/web")
	s.has(native, "liveness", object{"type": "command", "command": list{"true"}, "delay": "5s"}, "port", 9000, "metrics", object{"path": "/metrics", "port": 9100})
	domain := "/awan/v1/projects/" + s.project + "/access/custom-domains/"
	s.has(s.spec(domain+"shop.example.org"), "component", "web")

	s.finish(s.cas("PUT", one, object{"version": "2.5.7", "source": image("2"), "envs": list{object{"name": "COLOR", "value": "blue"}},
		"external_accesses": list{object{"protocol": "HTTP", "address": "store.example.org", "forward_port": 9000}}}), "SUCCEEDED")
	s.ask("GET", domain+"shop.example.org", nil, 404)
	s.ask("GET", domain+"store.example.org", nil, 200)
	records := s.cas("GET", one+"/records", nil)
	if rs := records["records"].(list); len(rs) != 2 || rs[0].(object)["version"] != "2.5.7" || rs[0].(object)["current_used"] != true {
		t.Errorf("records: %v", records)
	}
	s.refused("POST", one+"/action", object{"action": "rollback", "parameters": object{"version": "9.9.9"}}, 400, "parameters.version", "9.9.9")
	s.finish(s.cas("POST", one+"/action", object{"action": "rollback", "parameters": object{"version": "2.5.1"}}), "SUCCEEDED")
	s.has(s.cas("GET", one, nil), "envs", list{object{"name": "COLOR", "value": "red"}, object{"name": "TZ", "value": "Asia/Kuala_Lumpur", "inner": true}})
	s.ask("GET", domain+"shop.example.org", nil, 200)
	s.ask("GET", domain+"store.example.org", nil, 404)
	s.finish(s.cas("POST", one+"/action", object{"action": "scale", "parameters": object{"replica": 2}}), "SUCCEEDED")
	s.finish(s.cas("POST", one+"/action", object{"action": "stop"}), "SUCCEEDED")
	s.has(s.cas("GET", one, nil)["status"].(object), "component_status", "STOPPED")
	s.finish(s.cas("POST", one+"/action", object{"action": "start"}), "SUCCEEDED")
	s.cas("PUT", one+"/refresh", nil)

	s.deploy(app, env, "cart", nil)
	page := s.cas("GET", "components?limit=1&offset=1", nil)
	if got := page["components"].(list); len(got) != 1 || page["count"] != 2.0 {
		t.Errorf("page: %v", page)
	}
	s.has(s.cas("GET", "components/filterOptions", nil)["filter_options"].(object), "applications", list{object{"id": app, "label": "shop"}},
		"enterprise_projects", list{"0"})

	for name, c := range map[string]struct {
		in    object
		words []string
	}{
		"a taken name":          {object{"name": "web", "environment_id": env, "source": image("1")}, []string{"web"}},
		"no source":             {object{"name": "new", "environment_id": env}, []string{"source", "required"}},
		"a package by http":     {object{"name": "new", "environment_id": env, "source": object{"kind": "package", "storage": "http", "url": "http://a.example/b.jar"}}, []string{"source.url", "https"}},
		"an unknown upload":     {object{"name": "new", "environment_id": env, "source": object{"kind": "package", "url": "sha256:" + zeros}}, []string{"source.digest", "no upload"}},
		"a Kubernetes workload": {object{"name": "new", "environment_id": env, "source": image("1"), "config_mode": "helm"}, []string{"config_mode", "helm"}},
		"a host's folder":       {object{"name": "new", "environment_id": env, "source": image("1"), "storages": list{object{"type": "HostPath", "name": "a"}}}, []string{"storages[0].type", "ConfigMap"}},
		"a foreign cluster":     {object{"name": "new", "environment_id": env, "source": image("1"), "refer_resources": list{object{"id": "x", "type": "cce"}}}, []string{"refer_resources[0].id"}},
		"too little memory":     {object{"name": "new", "environment_id": env, "source": image("1"), "limit_memory": 0.001}, []string{"limit_memory"}},
	} {
		t.Run(name, func(t *testing.T) {
			status := 400
			if name == "a taken name" {
				status = 409
			}
			s := *s
			s.t = t
			s.refused("POST", all, c.in, status, c.words...)
		})
	}
	made := s.ask("POST", "/v3/"+s.project+"/cas/"+all, object{"name": "late", "environment_id": env, "source": image("1"),
		"external_accesses": list{object{"protocol": "HTTP", "address": "shop.example.org", "forward_port": 80}}}, 409)
	s.has(made, "error_code", "SVCSTG.00100409")
	s.refused("DELETE", "applications/"+app, nil, 409, "web")
	s.refused("GET", "applications/"+app+"/components/none", nil, 404, "none")
	s.refused("POST", "environments", object{"name": "vm", "deploy_mode": "virtualmachine"}, 400, "containers")
	s.finish(s.cas("DELETE", one, nil), "SUCCEEDED")
	s.refused("GET", one, nil, 404)
	s.ask("GET", domain+"shop.example.org", nil, 404)
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

// TestStacks: a stack of one's own is made, released and built with.
func TestStacks(t *testing.T) {
	s := open(t)
	env, app := s.shop()
	s.refused("POST", "runtimestacks", object{"name": "mine", "type": "Java", "version": "1.0.1", "deploy_mode": "virtualmachine"}, 400, "deploy_mode", "container")
	s.refused("POST", "runtimestacks", object{"name": "mine", "type": "COBOL", "version": "1.0.1", "deploy_mode": "container",
		"spec": object{"parameters": object{"base_image": "x:1"}}}, 400, "type", "COBOL")
	s.refused("POST", "runtimestacks", object{"name": "mine", "type": "Java", "version": "1.0.1", "deploy_mode": "container",
		"spec": object{"parameters": object{"jdk_url": "obs://b/jdk.tgz"}}}, 400, "jdk_url", "base_image")
	spec := object{"parameters": object{"base_image": "my-node:1"}}
	mine := s.cas("POST", "runtimestacks", object{"name": "mine", "type": "Nodejs", "version": "1.0.1", "deploy_mode": "container", "spec": spec})
	s.has(mine, "type", "Nodejs", "status", "Disable", "system", 0, "spec", spec, "component_count", 0)
	one := "runtimestacks/" + mine["id"].(string)
	s.has(s.cas("PUT", one, object{"name": "mine", "version": "1.0.2", "description": "ours"}), "version", "1.0.2", "description", "ours")
	s.cas("POST", "runtimestacks/action!", object{"action": "Supported", "parameters": object{"runtimestacks": list{object{"id": mine["id"]}}}})
	s.has(s.cas("GET", one, nil), "status", "Supported")
	if n := len(s.cas("GET", "runtimestacks", nil)["runtime_stacks"].(list)); n < 2 {
		t.Errorf("only %d stacks", n)
	}
	if n := len(s.cas("GET", "innerimages", nil)["runtime_stacks"].(list)); n < 1 {
		t.Errorf("no images of the cloud's")
	}

	// A package is an upload's digest, with the stack that was asked for.
	s.deploy(app, env, "web", nil)
	up := s.ask("POST", "/awan/v1/projects/"+s.project+"/app/components/actions/upload", "anything", 200)
	source := object{"kind": "package", "storage": "upload", "url": up["digest"]}
	c := s.deploy(app, env, "site", object{"source": source, "runtime_stack": object{"name": "mine", "type": "Nodejs", "deploy_mode": "container"}})
	s.has(s.cas("GET", "applications/"+app+"/components/"+c, nil), "source", source, "runtime_stack", object{"name": "mine", "type": "Nodejs", "deploy_mode": "container"})
	s.has(s.cas("GET", one, nil), "component_count", 1)
	for version, words := range map[string]string{"3": "there are", "": ""} {
		in := object{"name": "more", "environment_id": env, "source": source, "runtime_stack": object{"name": "NodeJS8", "type": "Nodejs", "version": version},
			"readiness_probe": object{"type": "command", "command": list{"true"}}}
		if words != "" {
			s.refused("POST", "applications/"+app+"/components", in, 400, "runtime_stack.version", words)
			continue
		}
		s.finish(s.cas("POST", "applications/"+app+"/components", in), "SUCCEEDED")
	}
	s.refused("POST", "applications/"+app+"/components", object{"name": "git", "environment_id": env, "source": object{"kind": "code", "storage": "github",
		"repo_url": "file:///etc"}}, 400, "source.git.url")
	code := object{"kind": "code", "storage": "github", "repo_url": "https://127.0.0.1:1/shop.git", "repo_ref": "main"}
	made := s.cas("POST", "applications/"+app+"/components", object{"name": "git", "environment_id": env, "source": code})
	s.finish(made, "FAILED") // nothing answers there
	s.has(s.cas("GET", "applications/"+app+"/components/"+made["component_id"].(string), nil), "source", code)
	s.cas("DELETE", one+"!", nil)
	s.refused("GET", one, nil, 404)
}

// TestConfigs: configs with their versions are mounted; an application has variables in an environment.
func TestConfigs(t *testing.T) {
	s := open(t)
	env, app := s.shop()
	group := s.cas("POST", "config-groups", object{"name": "shop", "description": "all"})
	s.has(group, "name", "shop", "description", "all")
	in := object{"config_group_id": group["id"], "name": "settings", "type": "properties", "content": "a=1", "sensitive": false}
	made := s.cas("POST", "configs", in)
	s.has(made, "config_group_id", group["id"], "content", "a=1", "version", "v1", "components", list{})
	one := "configs/" + made["id"].(string)
	in["content"] = "a=2"
	s.has(s.cas("PUT", one, in), "content", "a=2", "version", "v2")
	s.refused("POST", "configs", object{"config_group_id": group["id"], "name": "bad", "type": "yaml", "content": "a: [", "sensitive": false}, 400, "content")

	histories := s.cas("GET", one+"/histories?limit=1&offset=1", nil)
	first := histories["histories"].(list)[0].(object)
	s.has(first, "version", "v1", "content", "a=1")
	s.has(s.cas("GET", one+"/histories/"+first["config_history_id"].(string), nil), "content", "a=1", "config_name", "settings")
	s.refused("GET", one+"/histories/none", nil, 404)
	hidden := s.cas("POST", "configs", object{"config_group_id": group["id"], "name": "hush", "type": "yaml", "content": "a: 1", "sensitive": true})
	s.has(hidden, "content", "", "sensitive", true)
	s.ask("POST", "/awan/v1/projects/"+s.project+"/config/secrets", object{"name": "db", "spec": object{"values": object{"password": "hush"}}}, 201)

	web := s.deploy(app, env, "web", object{"storages": list{
		object{"type": "ConfigMap", "name": "c", "parameters": object{"name": "settings"}, "mounts": list{object{"path": "/etc/shop"}}},
		object{"type": "Secret", "name": "db", "parameters": object{}, "mounts": list{object{"path": "/etc/password", "sub_path": "password"}}},
		object{"type": "EmptyDir", "name": "tmp", "mounts": list{object{"path": "/scratch"}}}}})
	mounts := s.spec("/awan/v1/projects/" + s.project + "/app/components/web")["mounts"].(list)
	if len(mounts) != 2 {
		t.Fatalf("mounts: %v", mounts)
	}
	s.has(mounts[0].(object), "config", "settings", "path", "/etc/shop/settings")
	s.has(mounts[1].(object), "secret", "db", "key", "password", "path", "/etc/password")
	s.has(s.cas("GET", one, nil), "components", list{object{"component_id": web, "component_name": "web", "application_id": app, "environment_id": env}})
	s.refused("DELETE", one, nil, 409, "web")
	s.refused("DELETE", "config-groups/"+group["id"].(string), nil, 409)

	conf := "applications/" + app + "/configuration"
	s.cas("PUT", conf, object{"environment_id": env, "configuration": object{"env": list{object{"name": "A", "value": "1"}, object{"name": "B", "value": "2"}}, "assign_strategy": true}})
	s.cas("PUT", conf, object{"environment_id": env, "configuration": object{"env": list{object{"name": "A", "value": "3"}}, "assign_strategy": true}})
	s.has(s.cas("GET", conf, nil), "configuration", list{object{"application_id": app, "environment_id": env,
		"configuration": object{"env": list{object{"name": "A", "value": "3"}}, "assign_strategy": true}}})
	s.cas("DELETE", conf+"?environment_id="+env+"!", nil)
	s.cas("DELETE", conf+"?environment_id="+env+"!", nil)
	s.has(s.cas("GET", conf, nil), "configuration", list{})
}

// TestLanes: requests travel along a lane by weight or by what is in them.
func TestLanes(t *testing.T) {
	s := open(t)
	env, app := s.shop()
	s.deploy(app, env, "web", nil)
	next := s.deploy(app, env, "web-next", nil)
	gateways := list{object{"engine_id": "e", "id": "g", "target_services": list{object{"host": "web.live.shop.servicecomb"}}}}
	s.refused("POST", "swimlane-group", object{"name": "paths"}, 400, "gateways")
	group := s.cas("POST", "swimlane-group", object{"name": "paths", "description": "all", "gateways": gateways})
	s.has(group, "gateways", gateways, "description", "all", "engine_ids", list{"e"}, "gray_release_type", "WEIGHT")
	one := "swimlane-group/" + group["id"].(string)
	s.refused("POST", one+"/swimlane", object{"name": "tests", "tag": "t", "type": "GRAY"}, 400, "baseline")
	base := s.cas("POST", one+"/swimlane", object{"name": "base", "tag": "b", "type": "BASE"})
	lane := s.cas("POST", one+"/swimlane", object{"name": "tests", "tag": "t", "type": "GRAY"})
	s.has(lane, "tag", "t", "type", "GRAY", "route_status", "ENABLE", "swimlane_group_id", group["id"])
	at := one + "/swimlane/" + lane["id"].(string)
	s.has(s.cas("PUT", at+"/instances", object{"action": "ADD", "instance_ids": list{next}}), "instance_count", 1,
		"instances", list{object{"id": next, "name": "web-next", "instead_of": "web"}})
	s.cas("PUT", one+"/route", object{"gray_release_type": "WEIGHT", "swimlanes": list{object{"id": base["id"], "weight": 70}, object{"id": lane["id"], "weight": 30}}})
	s.has(s.cas("GET", at, nil), "weight", 30)
	s.has(s.cas("PUT", one+"/route", object{"gray_release_type": "CONTENT", "swimlanes": list{object{"id": lane["id"], "rule_match_mode": "ANY",
		"rules": list{object{"type": "header", "key": "X-Tester", "operation": "exact", "value": "yes"}}}}}), "gray_release_type", "CONTENT")
	s.has(s.cas("GET", at, nil), "weight", 0, "rule_match_mode", "ANY", "rules", list{object{"key": "X-Tester", "operation": "exact", "type": "header", "value": "yes"}})
	s.has(s.cas("POST", at+"/action", object{"action": "DISABLED"}), "route_status", "DISABLED")
	s.has(s.cas("POST", at+"/components-action", object{"action": "REMOVE", "instance_ids": list{next}}), "instance_count", 0)
	s.has(s.cas("POST", at+"/components-action", object{"action": "ADD", "instance_ids": list{next}}), "instance_count", 1)
	for _, way := range []string{"PUT " + at + "/component-instances", "POST " + at + "/components-instances"} {
		method, path, _ := strings.Cut(way, " ")
		s.has(s.cas(method, path, object{"action": "REMOVE", "instance_ids": list{next}}), "instance_count", 0)
		s.has(s.cas(method, path, object{"action": "ADD", "instance_ids": list{next}}), "instance_count", 1)
	}
	s.has(s.cas("PUT", at+"/instances", object{"action": "REMOVE", "instance_ids": list{next}}), "instance_count", 0)
	if lanes := s.cas("GET", one+"/swimlane", nil); lanes["count"] != 2.0 {
		t.Errorf("lanes: %v", lanes)
	}
	s.refused("DELETE", one+"/swimlane/"+base["id"].(string), nil, 409, "tests")
	for _, l := range []object{lane, base} {
		s.cas("DELETE", one+"/swimlane/"+l["id"].(string)+"!", nil)
	}
	s.cas("DELETE", one+"!", nil)
	s.refused("GET", one, nil, 404)
}
