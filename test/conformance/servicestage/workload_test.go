package servicestage_test

import (
	"strings"
	"testing"
)

// manifest is a Deployment as people have them.
const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  selector: {}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  template:
    spec:
      imagePullSecrets: [{name: default-secret}]
      volumes:
        - {name: settings, configMap: {name: settings}}
        - {name: scratch, emptyDir: {}}
      containers:
        - name: web
          image: swr.awan-1.awan.test/library/web:1
          command: [/bin/web]
          args: [--loud]
          ports: [{name: http, containerPort: 9000}]
          env:
            - {name: COLOR, value: red}
            - {name: PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}
          envFrom: [{configMapRef: {name: more}}]
          resources: {limits: {cpu: 250m, memory: 128Mi}, requests: {cpu: "0"}}
          readinessProbe: {exec: {command: ["true"]}, initialDelaySeconds: 5}
          livenessProbe: {httpGet: {path: /alive, port: http}, timeoutSeconds: 2}
          lifecycle: {preStop: {exec: {command: ["true"]}}}
          volumeMounts: [{name: settings, mountPath: /etc/shop}, {name: scratch, mountPath: /scratch}]
`

// TestWorkload: a component that is described as a Kubernetes Deployment runs as it says.
func TestWorkload(t *testing.T) {
	s := open(t)
	env, app := s.shop()
	group := s.cas("POST", "config-groups", object{"name": "shop"})
	for name, content := range map[string]string{"settings": "a=1", "more": "b=2"} {
		s.cas("POST", "configs", object{"config_group_id": group["id"], "name": name, "content": content, "type": "properties"})
	}
	s.ask("POST", "/awan/v1/projects/"+s.project+"/config/secrets", object{"name": "db", "spec": object{"values": object{"password": "x"}}}, 201)
	all := "applications/" + app + "/components"
	in := object{"name": "web", "environment_id": env, "version": "1.0.1", "config_mode": "yaml", "workload_content": manifest,
		"runtime_stack": object{"name": "Docker", "type": "Docker", "deploy_mode": "container"}}
	made := s.cas("POST", all, in)
	s.finish(made, "SUCCEEDED")
	one := all + "/" + made["component_id"].(string)
	s.has(s.cas("GET", one, nil), "replica", 2, "limit_cpu", 0.25, "limit_memory", 0.125, "config_mode", "yaml", "envs", list{object{"name": "COLOR", "value": "red"}})
	native := s.spec("/awan/v1/projects/" + s.project + "/app/components/web")
	s.has(native, "port", 9000, "command", list{"/bin/web", "--loud"}, "rolling", object{"batches": 0, "batch_size": 0, "surge": 1, "pause": "0s"},
		"liveness", object{"type": "http", "path": "/alive", "port": 9000, "timeout": "2s"},
		"mounts", list{object{"config": "settings", "path": "/etc/shop/settings", "as": "file", "reload": "roll", "signal": "HUP"},
			object{"secret": "db", "key": "password", "variable": "PASSWORD", "as": "variables", "reload": "roll", "signal": "HUP"},
			object{"config": "more", "as": "variables", "reload": "roll", "signal": "HUP"}})
	in["workload_content"] = strings.Replace(manifest, "value: red", "value: blue", 1)
	s.finish(s.cas("PUT", one, in), "SUCCEEDED")
	s.has(s.cas("GET", one, nil), "envs", list{object{"name": "COLOR", "value": "blue"}})

	status := s.cas("POST", "components/action", object{"action": "query", "components": list{object{"id": made["component_id"], "application_id": app}}})
	s.has(status["components"].(list)[0].(object), "name", "web", "application_id", app)
	s.refused("POST", "components/action", object{"action": "delete", "components": list{object{"id": "x"}}}, 400, "sync_workload")
	s.refused("POST", "components/action", object{"action": "query"}, 400, "components")
	s.refused("POST", "components/action", object{"action": "query", "components": list{object{"id": made["component_id"], "application_id": "other"}}}, 400, "other")

	for name, c := range map[string]struct{ old, new, words string }{
		"no YAML":           {"apiVersion", "\t:", "workload_content"},
		"another kind":      {"kind: Deployment", "kind: DaemonSet", "DaemonSet"},
		"two documents":     {"apiVersion", "a: 1\n---\napiVersion", "more than one document"},
		"no container":      {"- name: web", "- name: web\n        - name: two", "2 containers"},
		"a host's folder":   {"emptyDir: {}", "hostPath: {path: /}", "volume scratch"},
		"a wrong amount":    {"128Mi", "lots", "limits.memory"},
		"a field's value":   {"secretKeyRef", "fieldRef", "valueFrom"},
		"a hook over HTTP":  {"preStop: {exec: {command: [\"true\"]}}", "preStop: {httpGet: {port: 1}}", "preStop"},
		"a container first": {"      containers:", "      initContainers: [{name: a}]\n      containers:", "initContainers"},
	} {
		t.Run(name, func(t *testing.T) {
			s := *s
			s.t = t
			s.refused("POST", all, object{"name": "new", "environment_id": env, "config_mode": "yaml", "workload_content": strings.Replace(manifest, c.old, c.new, 1)}, 400, c.words)
		})
	}
	s.refused("POST", all, object{"name": "new", "environment_id": env, "config_mode": "yaml"}, 400, "workload_content", "required")
}

// TestNothingToInstall: what ServiceStage installs into a cluster, or makes for an environment, is not here: lists say so,
// and who asks for one is told why.
func TestNothingToInstall(t *testing.T) {
	s := open(t)
	env, _ := s.shop()
	at := "environments/" + env
	for path, list := range map[string]string{"/addons": "addons", "/addons-metadata": "addons", "/iac-resources": "iac_resources"} {
		if got := s.cas("GET", at+path, nil)[list]; len(got.([]any)) != 0 {
			t.Errorf("%s: %v", path, got)
		}
	}
	s.refused("POST", at+"/addons", object{"name": "sermantInjector", "cce_id": "x"}, 400, "add-ons", "lanes")
	s.refused("POST", at+"/iac-resources", object{}, 400, "Terraform")
	for _, way := range []string{"GET /addons/x", "DELETE /addons/x", "POST /addons/x/action", "PUT /iac-resources/x", "DELETE /iac-resources/x"} {
		method, path, _ := strings.Cut(way, " ")
		s.refused(method, at+path, object{"action": "restart"}, 404, "x")
	}
	s.refused("GET", "environments/none/addons", nil, 404, "none")
}
