package rest

import (
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// JobPath is where servers, disks and images let their jobs be asked for.
const JobPath = "/v1/{project_id}/jobs/{job_id}"

// Begin writes down that the jobs of replies are one operation for the client, and gives its id. Facts are entities that the
// job's answer is to name, "server_id" say.
func Begin(x *Exchange, k *kind.Def, typ string, facts map[string]string, replies ...call.Reply) (id.ID, error) {
	b := job.Bundle{Kind: k.FullName(), Type: typ, Facts: facts, Domain: x.Who.Domain, Project: id.ID(x.Call.Project)}
	for _, r := range replies {
		if r.Row != nil {
			b.Domain, b.Project = r.Row.M().Domain, r.Row.M().Project
		}
		if r.Job != nil {
			b.Jobs = append(b.Jobs, r.Job.ID)
		}
	}
	return x.API.Door.Bundle(x.R.Context(), b)
}

// Look makes what a job's answer names of its row: the entities.
type Look func(x *Exchange, b *job.Bundle, j *job.Job) map[string]any

// ShowJob answers with an operation. Entities are those of look, by the rows' kind.
func ShowJob(code func(*fail.Error) (int, string), looks map[string]Look) func(*Exchange) error {
	return func(x *Exchange) error {
		bundle, ok := id.Parse(x.Param("job_id"))
		if !ok {
			return fail.New(fail.NotFound, "there is no job %q", x.Param("job_id"))
		}
		b, jobs, err := x.API.Door.BundleAs(x.R.Context(), x.Who, bundle, x.Call.Alias)
		if err != nil {
			return err
		}
		if p := x.Param("project_id"); p != "" && p != string(b.Project) {
			return fail.New(fail.NotFound, "there is no job %q", x.Param("job_id"))
		}
		wire.Write(x.W, http.StatusOK, jobView(x, b, jobs, code, looks[b.Kind]))
		return nil
	}
}

func jobView(x *Exchange, b *job.Bundle, jobs []*job.Job, code func(*fail.Error) (int, string), look Look) map[string]any {
	v := map[string]any{"job_id": b.ID, "job_type": b.Type, "begin_time": instant(b.Created), "end_time": "", "status": "SUCCESS", "error_code": nil, "fail_reason": nil}
	entities := map[string]any{}
	for k, f := range Said(b) {
		entities[k] = f
	}
	subs := []any{}
	var ended time.Time
	for _, j := range jobs {
		s := map[string]any{"job_id": j.ID, "job_type": single(b.Type), "begin_time": instant(j.Created), "end_time": instant(j.Ended), "status": state(j), "error_code": nil, "fail_reason": nil}
		of := map[string]any{}
		if look != nil {
			of = look(x, b, j)
		}
		if j.Error != nil {
			_, c := code(fail.From(j.Error.Err()))
			reason := fail.From(j.Error.Err()).Public()
			s["error_code"], s["fail_reason"], v["error_code"], v["fail_reason"] = c, reason, c, reason
			of["errorcode_message"] = reason
		}
		s["entities"] = of
		subs = append(subs, s)
		if len(jobs) == 1 {
			for k, e := range of {
				entities[k] = e
			}
		}
		if j.Ended.After(ended) {
			ended = j.Ended
		}
		v["status"] = worse(v["status"].(string), state(j))
	}
	if len(jobs) == 0 { // it was done at once
		subs = append(subs, map[string]any{"job_id": b.ID, "job_type": single(b.Type), "begin_time": instant(b.Created), "end_time": instant(b.Created),
			"status": "SUCCESS", "error_code": nil, "fail_reason": nil, "entities": Said(b)})
		ended = b.Created
	}
	if v["status"] != "RUNNING" {
		v["end_time"] = instant(ended)
	}
	entities["sub_jobs_total"], entities["sub_jobs"] = len(subs), subs
	v["entities"] = entities
	return v
}

// Said are the facts of an operation that its answer shows: all but those with a slash in their name.
func Said(b *job.Bundle) map[string]string {
	out := map[string]string{}
	for k, f := range b.Facts {
		if !strings.Contains(k, "/") {
			out[k] = f
		}
	}
	return out
}

// single is the name of one part of an operation on several things.
func single(typ string) string {
	if strings.HasSuffix(typ, "Server") && strings.HasPrefix(typ, "create") {
		return "createSingleServer"
	}
	return typ
}

// worse is the state of two operations together: what still runs runs, and what failed failed.
func worse(a, b string) string {
	for _, s := range []string{"RUNNING", "FAIL"} {
		if a == s || b == s {
			return s
		}
	}
	return "SUCCESS"
}

func state(j *job.Job) string {
	switch j.State {
	case job.Succeeded:
		return "SUCCESS"
	case job.Failed:
		return "FAIL"
	}
	return "RUNNING"
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
