package servicestage

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
)

func (a *API) actionRoutes() []route {
	k, one := a.App.Component.D, base+"/applications/{application_id}/components/{component_id}"
	return []route{
		{Method: "POST", Path: one + "/action", Kind: k, Verb: call.Update, Do: a.act},
		{Method: "POST", Path: base + "/applications/{application_id}/action", Kind: k, Verb: call.Update, Do: a.actOnMany},
		{Method: "POST", Path: base + "/components/action", Kind: k, Verb: call.Update, Do: a.actOnComponents},
		{Method: "PUT", Path: one + "/refresh", Kind: k, Verb: call.Get, Do: a.refresh},
		{Method: "GET", Path: base + "/jobs/{job_id}", Do: a.showJob},
	}
}

type actionBody struct {
	Action     string           `json:"action"`
	Parameters actionParameters `json:"parameters"`
}

type actionParameters struct {
	Replica    *int    `json:"replica"`
	Version    string  `json:"version"`
	Weight     *int    `json:"weight"` // percent
	Conditions *[]rule `json:"conditions"`
	Match      string  `json:"match"`
}

// act runs an action of a component.
func (a *API) act(x *exchange) error {
	if err := a.may(x, a.App.Component.D, call.Update, x.Param("component_id")); err != nil {
		return err
	}
	old, _, err := a.component(x)
	if err != nil {
		return err
	}
	var b actionBody
	if err := body(x, &b); err != nil {
		return err
	}
	var in wire.Spec
	verb := b.Action
	switch b.Action {
	case "start", "stop", "restart":
	case "scale":
		if b.Parameters.Replica == nil {
			return fail.Field("parameters.replica", "is required to scale").Then(`send {"action": "scale", "parameters": {"replica": 3}}`)
		}
		kept := componentWords{}
		recall(old.Spec.Foreign, &kept)
		if err := a.place(x, kept, placed{old.ID, old.Name, old.Spec.Environment, old.Tags, *b.Parameters.Replica}); err != nil {
			return err
		}
		in = wire.Spec{"replicas": *b.Parameters.Replica}
	case "rollback":
		number, err := a.releaseOf(x, old, b.Parameters.Version)
		if err != nil {
			return err
		}
		in = wire.Spec{}
		if number > 0 {
			in = wire.Spec{"release": number}
		}
	case "check_gray_release":
		return a.checkGray(x, old)
	case "continue_deploy", "modify_gray_rule", "rollback_current":
		if verb, in, err = grayAction(b.Action, &b.Parameters); err != nil {
			return err
		}
	case "sync_workload": // what is shown is what runs: there is no second copy to bring up to date
		return a.refresh(x)
	case "":
		return fail.Field("action", "is required").Then("one of %s", actionNames)
	default:
		return fail.Field("action", "%q is no action of a component", b.Action).Then("one of %s", actionNames)
	}
	out, err := a.send(x, verb, old.ID, func(c *call.Call) {
		if in != nil {
			c.In = in.JSON()
		}
	})
	if err == nil && verb == "rollback" {
		err = a.settle(x, old.ID, a.said(old.Spec.Foreign))
	}
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, out)
	return nil
}

const actionNames = "start, stop, restart, scale, rollback, rollback_current, continue_deploy, check_gray_release, modify_gray_rule, sync_workload"

// refresh answers with how the component is now: the app service looks after its instances by itself.
func (a *API) refresh(x *exchange) error {
	r, _, err := a.component(x)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"component_id": r.ID, "status": a.statusOf(r)})
	return nil
}

// executionStatus is a job's state in this API's words.
func executionStatus(j *job.Job) string {
	switch j.State {
	case job.Succeeded:
		return "SUCCEEDED"
	case job.Failed:
		return "FAILED"
	}
	return "RUNNING"
}

func (a *API) showJob(x *exchange) error {
	jobID, ok := id.Parse(x.Param("job_id"))
	if !ok {
		return fail.New(fail.NotFound, "there is no job %q", x.Param("job_id"))
	}
	j, err := a.Door.JobAs(x.R.Context(), x.Who, jobID, actionNamesOf("/components", call.Get))
	if err != nil {
		return err
	}
	tasks := []map[string]any{}
	for i, s := range j.Steps {
		status := "INIT"
		switch {
		case !s.Ended.IsZero():
			status = "SUCCEEDED"
		case i == j.Step:
			status = executionStatus(j)
		}
		t := map[string]any{"task_index": i, "task_name": s.Name, "task_status": status, "created_at": stamp(j.Created), "owner_id": j.Row, "owner_type": "Component"}
		if i == j.Step {
			t["message"] = j.Note
		}
		tasks = append(tasks, t)
	}
	v := map[string]any{"id": j.ID, "job_id": j.ID, "job_name": j.Flow, "job_type": j.Flow, "execution_status": executionStatus(j), "project_id": j.Project,
		"component_id": j.Row, "created_at": stamp(j.Created), "creator": j.By}
	if !j.Ended.IsZero() {
		v["end_time"] = stamp(j.Ended)
	}
	if j.Error != nil {
		v["job_desc"], v["error_message"] = j.Error.Message, j.Error.Err().Error()
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"job": v, "task_count": len(tasks), "tasks": tasks})
	return nil
}
