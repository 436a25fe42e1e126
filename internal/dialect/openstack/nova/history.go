package nova

import (
	"math"
	"net/http"
	"time"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/compute"
)

func (a *API) historyRoutes() []route {
	d := a.o.Compute.Server.D
	return []route{
		{"GET", "/servers/{server_id}/os-instance-actions", d, call.Events, listActions},
		{"GET", "/servers/{server_id}/os-instance-actions/{request_id}", d, call.Events, showAction},
		{"GET", "/os-simple-tenant-usage", nil, "", listUsage},
		{"GET", "/os-simple-tenant-usage/{usage_project}", nil, "", showUsage},
	}
}

// verbs are what Nova calls what was done to a server.
func verbs() map[string]string {
	return map[string]string{"create": "create", "delete": "delete", "start": "start", "stop": "stop", "reboot": "reboot", "rebuild": "rebuild", "resize": "resize",
		"confirm-resize": "confirmResize", "revert-resize": "revertResize", "pause": "pause", "unpause": "unpause", "lock": "lock", "unlock": "unlock",
		"attach-volume": "attach_volume", "detach-volume": "detach_volume", "attach-interface": "attach_interface", "detach-interface": "detach_interface",
		"set-password": "changePassword"}
}

// audited reads what was done to the server, newest first, from the audit log. Whoever may see the server's events may.
func (x *exchange) audited() ([]ledger.Entry, error) {
	if _, err := rest.Do(x.Exchange, x.api.o.Compute.Server.D, call.Events, x.Param("server_id"), nil); err != nil {
		return nil, err
	}
	row, err := rest.Target(x.Exchange, x.api.o.Compute.Server.D, x.Param("server_id"))
	if err != nil {
		return nil, err
	}
	var out []ledger.Entry
	err = x.View(func(tx store.Tx) error {
		server, err := x.api.o.Compute.Server.Get(tx, row)
		if err != nil || server == nil {
			return err
		}
		out, _, err = ledger.Search(tx, ledger.Query{Domain: server.Domain, Resource: string(row), Action: "compute:server:*", Since: server.Created.Add(-time.Second), Limit: call.MaxPage})
		return err
	})
	return out, err
}

// actionOf is one line of the history; "" in its action says that it is none of Nova's.
func (x *exchange) actionOf(e *ledger.Entry) map[string]any {
	verb := e.Action[len("compute:server:"):]
	if e.Outcome == ledger.Denied || verbs()[verb] == "" {
		return nil
	}
	v := map[string]any{"action": verbs()[verb], "instance_uuid": x.Param("server_id"), "request_id": "req-" + e.RequestID, "project_id": string(e.Project),
		"user_id": string(e.ActorID), "start_time": rest.Micro(e.At), "message": nil}
	if e.Outcome == ledger.Failed {
		v["message"] = "Error"
	}
	if x.Since(58) {
		v["updated_at"] = rest.Micro(laterOf(e.At, e.Ended))
	}
	return v
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func listActions(x *exchange) error {
	all, err := x.audited()
	if err != nil {
		return err
	}
	since, err := updatedSince(x, "changes-since")
	if err != nil {
		return err
	}
	before, err := updatedSince(x, "changes-before")
	if err != nil {
		return err
	}
	limit, err := x.Number("limit", 0, 0, math.MaxInt)
	if err != nil {
		return err
	}
	marker, items, more, last := x.Query("marker"), []any{}, false, ""
	for i := range all {
		e := &all[i]
		v := x.actionOf(e)
		at := laterOf(e.At, e.Ended)
		if v == nil || !since.IsZero() && at.Before(since) || !before.IsZero() && at.After(before) {
			continue
		}
		if marker != "" {
			if v["request_id"] == marker {
				marker = ""
			}
			continue
		}
		if more = limit > 0 && len(items) == limit && x.Since(58); more {
			break
		}
		items, last = append(items, v), v["request_id"].(string)
	}
	out := map[string]any{"instanceActions": items}
	if more {
		out["links"] = []map[string]string{{"rel": "next", "href": x.API.Base(x.R) + rest.Next(x.Exchange, last)}}
	}
	writeJSON(x, out)
	return nil
}

func showAction(x *exchange) error {
	all, err := x.audited()
	if err != nil {
		return err
	}
	for i := range all {
		v := x.actionOf(&all[i])
		if v == nil || v["request_id"] != x.Param("request_id") {
			continue
		}
		v["events"] = x.steps(&all[i])
		return x.One(http.StatusOK, "instanceAction", v)
	}
	return fail.New(fail.NotFound, "Action for request_id %s on instance %s not found", x.Param("request_id"), x.Param("server_id"))
}

// steps are those of the action's job.
func (x *exchange) steps(e *ledger.Entry) []any {
	out := []any{}
	if e.Job == "" {
		return out
	}
	var j *job.Job
	if err := x.View(func(tx store.Tx) (err error) { j, err = job.Get(tx, e.Job); return err }); err != nil {
		return out
	}
	for _, s := range j.Steps {
		if s.Started.IsZero() {
			continue
		}
		v := map[string]any{"event": "compute_" + s.Name, "start_time": rest.Micro(s.Started), "finish_time": rest.Micro(s.Ended), "result": nil, "traceback": nil}
		switch {
		case j.Error != nil && j.Error.Step == s.Name:
			v["result"] = "Error"
		case !s.Ended.IsZero():
			v["result"] = "Success"
		}
		if x.Since(51) {
			v["hostId"] = ""
		}
		if x.Since(84) {
			v["details"] = nil
		}
		out = append(out, v)
	}
	return out
}

// period reads start and end.
func (x *exchange) period() (from, to time.Time, err error) {
	if to, err = updatedSince(x, "end"); err != nil {
		return from, to, err
	}
	if to.IsZero() {
		to = time.Now().UTC()
	}
	if from, err = updatedSince(x, "start"); err != nil {
		return from, to, err
	}
	if from.IsZero() {
		from = to.Add(-24 * time.Hour)
	}
	if !from.Before(to) {
		return from, to, fail.Field("start", "it must be before end")
	}
	return from, to, nil
}

// usageOf is what a project's servers held in a time, from the ledger that bills are made of.
func (x *exchange) usageOf(project string, from, to time.Time, detailed bool) (map[string]any, error) {
	c := x.Call
	c.Project = project
	all, err := x.API.Door.Usage(x.R.Context(), &c, from, to)
	if err != nil {
		return nil, err
	}
	hours := map[ledger.Dim]float64{}
	each, order := map[string]map[string]any{}, []string{}
	for _, u := range all {
		if u.Kind != "compute/server" {
			continue
		}
		hours[u.Dim] += u.Hours
		row := string(u.Resource)
		if each[row] == nil {
			each[row] = map[string]any{"instance_id": u.Resource.Dashed(), "name": u.Name, "tenant_id": project, "flavor": "", "hours": 0.0, "vcpus": 0, "memory_mb": 0, "local_gb": 0,
				"started_at": rest.Micro(from), "ended_at": nil, "state": "terminated", "uptime": 0}
			order = append(order, row)
		}
	}
	servers := []any{}
	total := 0.0
	_ = x.View(func(tx store.Tx) error {
		for _, row := range order {
			v := each[row]
			if i, err := rest.Target(x.Exchange, x.api.o.Compute.Server.D, row); err == nil {
				r, err := x.api.o.Compute.Server.Get(tx, i)
				if err != nil {
					return err
				}
				x.lived(v, r, from, to)
			}
			servers, total = append(servers, v), total+v["hours"].(float64)
		}
		return nil
	})
	out := map[string]any{"tenant_id": project, "start": rest.Micro(from), "stop": rest.Micro(to), "total_hours": total,
		"total_vcpus_usage": hours["compute.cpus"], "total_memory_mb_usage": hours["compute.memory"], "total_local_gb_usage": 0.0}
	if detailed {
		out["server_usages"] = servers
	}
	return out, nil
}

// lived fills in what a server is that still exists.
func (x *exchange) lived(v map[string]any, r *serverRow, from, to time.Time) {
	if r == nil {
		return
	}
	_, _, vm := state(r)
	begin := laterOf(from, r.Created)
	if now := time.Now(); to.After(now) {
		to = now
	}
	v["flavor"], v["vcpus"], v["memory_mb"], v["state"], v["started_at"] = r.Spec.Flavor, r.Spec.CPUs, r.Spec.Memory, vm, rest.Micro(r.Created)
	if to.After(begin) {
		v["hours"], v["uptime"] = to.Sub(begin).Hours(), int(to.Sub(begin).Seconds())
	}
}

func showUsage(x *exchange) error {
	from, to, err := x.period()
	if err != nil {
		return err
	}
	u, err := x.usageOf(x.Param("usage_project"), from, to, true)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "tenant_usage", u)
}

func listUsage(x *exchange) error {
	from, to, err := x.period()
	if err != nil {
		return err
	}
	detailed := x.Query("detailed") == "1"
	projects, err := rest.Projects(x.Exchange)
	if err != nil {
		return err
	}
	items := []any{}
	for _, p := range projects {
		u, err := x.usageOf(p, from, to, detailed)
		if fail.Is(err, fail.Denied) && p != string(x.Who.Project) {
			continue
		}
		if err != nil {
			return err
		}
		items = append(items, u)
	}
	return x.One(http.StatusOK, "tenant_usages", items)
}

func diagnostics(x *exchange) error {
	var u compute.Usage
	_, err := rest.Do(x.Exchange, x.api.o.Compute.Server.D, "measure", x.Param("server_id"), func(c *call.Call) {
		c.Stream.Emit = func(v any) error {
			if got, ok := v.(compute.Usage); ok {
				u = got
			}
			return nil
		}
	})
	if err != nil {
		return err
	}
	r, err := x.get()
	if err != nil {
		return err
	}
	writeJSON(x, x.measured(r, u))
	return nil
}

func (x *exchange) measured(r *serverRow, u compute.Usage) map[string]any {
	if !x.Since(48) {
		return map[string]any{"cpu0_time": int64(u.CPUSeconds * 1e9), "memory": r.Spec.Memory * 1024, "memory-rss": u.Memory / 1024,
			"vda_read": u.ReadBytes, "vda_write": u.WriteBytes, "vda_read_req": u.ReadOps, "vda_write_req": u.WriteOps, "vda_errors": -1}
	}
	nics := []any{}
	for i := range r.Status.Cards {
		nics = append(nics, map[string]any{"mac_address": r.Status.Cards[i].MAC, "rx_octets": nil, "tx_octets": nil})
	}
	up := 0
	if !r.Status.Launched.IsZero() && u.Power == compute.On {
		up = int(time.Since(r.Status.Launched).Seconds())
	}
	return map[string]any{"state": map[compute.Power]string{compute.On: "running", compute.Off: "shutdown", compute.Paused: "paused", compute.Crashed: "crashed"}[u.Power],
		"driver": "qemu", "hypervisor": r.Status.Accelerator, "hypervisor_os": "linux", "uptime": up, "config_drive": true, "num_cpus": r.Spec.CPUs, "num_nics": len(nics), "num_disks": len(r.Status.Disks),
		"cpu_details":    []any{map[string]any{"id": 0, "time": int64(u.CPUSeconds * 1e9), "utilisation": nil}},
		"nic_details":    nics,
		"disk_details":   []any{map[string]any{"read_bytes": u.ReadBytes, "read_requests": u.ReadOps, "write_bytes": u.WriteBytes, "write_requests": u.WriteOps, "errors_count": nil}},
		"memory_details": map[string]any{"maximum": r.Spec.Memory, "used": u.Memory >> 20}}
}
