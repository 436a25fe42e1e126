package servicestage

import (
	"strings"

	"github.com/awancloud/awan/internal/kernel/kind"
)

// componentView is a component as this API shows it: the client's words where they still hold, the row's truth over them.
func (a *API) componentView(r *componentRow, ids *names) map[string]any {
	words := componentWords{}
	recall(r.Spec.Foreign, &words)
	v := map[string]any{}
	for k, raw := range words {
		v[k] = raw
	}
	if !a.sourceHolds(words, r) {
		v["source"] = sourceOf(r.Spec.Source)
	}
	if _, ok := v["runtime_stack"]; !ok {
		v["runtime_stack"] = stackOf(r.Status.Stack)
	}
	if _, ok := v["version"]; !ok {
		v["version"] = "1.0." + itoa(max(r.Status.Release, 1))
	}
	if _, ok := v["refer_resources"]; !ok {
		v["refer_resources"] = []refer{{ID: clusterID(string(r.Project)), Type: "cce"}}
	}
	cpu, memory := float64(r.Spec.CPU)/1000, float64(r.Spec.Memory)/1024
	for name, value := range map[string]any{
		"id": r.ID, "name": r.Name, "description": r.Spec.Description, "application_id": ids.application[r.Spec.Application],
		"application_name": r.Spec.Application, "environment_id": ids.environment[r.Spec.Environment], "environment_name": r.Spec.Environment,
		"enterprise_project_id": enterpriseOf(&r.Meta), "creator": r.CreatedBy, "labels": labels(r.Tags), "replica": r.Spec.Replicas, "limit_cpu": cpu,
		"limit_memory": memory, "envs": envsOf(r), "status": a.statusOf(r)} {
		v[name] = value
	}
	for name, value := range map[string]float64{"request_cpu": cpu, "request_memory": memory} { // what is not promised is what is allowed
		if _, ok := v[name]; !ok {
			v[name] = value
		}
	}
	if len(r.Spec.Command) > 0 && v["command"] == nil {
		v["command"] = command{Command: r.Spec.Command, Args: []string{}}
	}
	return v
}

// sourceHolds says whether the client's words about the source still say what runs.
func (a *API) sourceHolds(words componentWords, r *componentRow) bool {
	var b componentBody
	recall(remember(words), &b)
	return b.Source != nil && b.Source.holds(r.Spec.Source)
}

// stackOf is what a component was built with, a stack or one version of it (node-22).
func stackOf(name string) stack {
	switch name {
	case "", "image", "dockerfile":
		return stack{Name: "Docker", Type: "Docker", DeployMode: "container"}
	}
	recipe, version, _ := strings.Cut(name, "-")
	return stack{Name: name, Type: stackType(recipe), DeployMode: "container", Version: version}
}

func envsOf(r *componentRow) []env {
	out := []env{}
	for _, k := range sorted(r.Spec.Env) {
		out = append(out, env{Name: k, Value: r.Spec.Env[k], Inner: k == zoneVariable || k == jvmVariable})
	}
	return out
}

// statusOf is the row's state in this API's words.
func (a *API) statusOf(r *componentRow) map[string]any {
	word := "RUNNING"
	switch {
	case r.State == kind.Creating:
		word = "INITIALIZING"
	case r.State == kind.Updating:
		word = "UPGRADING"
	case r.State == kind.Deleting:
		word = "DELETING"
	case r.State == kind.Failed:
		word = "FAILED"
	case r.Spec.Stopped:
		word = "STOPPED"
	case r.Status.Gray != nil:
		word = "GRAYING"
	case r.Status.Ready < r.Spec.Replicas:
		word = "NOT_READY"
	}
	return map[string]any{"gray_release": shares(r), "component_status": word, "available_replica": r.Status.Ready, "replica": r.Spec.Replicas, "fail_detail": r.Reason,
		"last_job_id": r.Job, "create_time": stamp(r.Created), "update_time": stamp(r.Updated), "create_by": r.CreatedBy}
}
