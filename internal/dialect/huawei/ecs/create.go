package ecs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func (a *API) createRoutes() []route {
	k := a.Compute.Server.D
	return []route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Alias: "ecs:cloudServers:create ecs:cloudServers:createServers", Do: a.create},
		{Method: "POST", Path: "/v1.1/{project_id}/cloudservers", Kind: k, Verb: call.Create, Alias: "ecs:cloudServers:create ecs:cloudServers:createServers", Do: a.create},
		{Method: "POST", Path: all + "/delete", Kind: k, Verb: call.Delete, Alias: "ecs:cloudServers:delete ecs:cloudServers:deleteServers", Do: a.remove},
	}
}

// create makes one server or several of a kind: all of them are accepted, or none.
func (a *API) create(x *exchange) error {
	var b struct {
		DryRun bool        `json:"dry_run"`
		Server *serverBody `json:"server"`
	}
	k := a.Compute.Server.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Create, "*", err)
	}
	if b.Server == nil {
		b.Server = &serverBody{}
	}
	spec, err := b.Server.spec()
	if err != nil {
		return rest.Refuse(x, k, call.Create, "*", err)
	}
	count := max(1, b.Server.Count)
	if count > 1 && b.Server.PublicIP != nil && b.Server.PublicIP.ID != "" {
		return rest.Refuse(x, k, call.Create, "*", fail.Field("server.publicip.id", "%d servers cannot have one address", count).Then("say what new addresses are to be like, with eip"))
	}
	var made []call.Reply
	for i := range count {
		r, err := a.createOne(x, b.Server, spec, i, count, b.DryRun)
		if err != nil {
			return errors.Join(err, a.undo(x, made))
		}
		made = append(made, r)
	}
	if b.DryRun {
		wire.Write(x.W, http.StatusAccepted, struct{}{})
		return nil
	}
	servers := []string{}
	for _, r := range made {
		servers = append(servers, rest.ID(r.Row.M().ID))
	}
	job, err := rest.Begin(x, k, "createServer", nil, made...)
	if err != nil {
		return err
	}
	return rest.OK(x, map[string]any{"job_id": job, "serverIds": servers})
}

func (a *API) createOne(x *exchange, b *serverBody, spec wire.Spec, i, count int, dry bool) (call.Reply, error) {
	return rest.Send(x, a.Compute.Server.D, call.Create, "", func(c *call.Call) {
		name, tags := b.Name, b.tags()
		if count > 1 {
			name = fmt.Sprintf("%s-%04d", b.Name, i+1)
			foreign := map[string]string{ordinal: strconv.Itoa(i), reserved: "r-" + x.Call.RequestID}
			for k, v := range spec["foreign"].(map[string]string) {
				foreign[k] = v
			}
			mine := wire.Spec{}
			for k, v := range spec {
				mine[k] = v
			}
			mine["foreign"] = foreign
			c.Spec = mine.JSON()
		} else {
			c.Spec = spec.JSON()
		}
		c.DryRun, c.Name, c.Tags = dry, &name, &tags
		if b.Extend != nil && b.Extend.Enterprise != "" {
			c.EnterpriseProject = &b.Extend.Enterprise
		}
	})
}

// undo deletes servers whose siblings could not be made.
func (a *API) undo(x *exchange, made []call.Reply) error {
	var errs []error
	for _, r := range made {
		if r.Row == nil || r.Row.M().ID == "" {
			continue
		}
		c := x.Call
		c.Kind, c.Verb, c.Target = a.Compute.Server.D, call.Delete, string(r.Row.M().ID)
		_, err := a.Door.Do(context.WithoutCancel(x.R.Context()), &c)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// remove deletes servers. Whether data disks and public addresses go with them is said here, not in the rows.
func (a *API) remove(x *exchange) error {
	var b struct {
		Servers  []idBody `json:"servers"`
		PublicIP bool     `json:"delete_publicip"`
		Volume   bool     `json:"delete_volume"`
	}
	k := a.Compute.Server.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Delete, "*", err)
	}
	rows, err := a.servers(x, call.Delete, ids(b.Servers), 1000)
	if err != nil {
		return err
	}
	var replies []call.Reply
	for _, r := range rows {
		if err := a.doomed(x, r, b.Volume, b.PublicIP); err != nil {
			return err
		}
		reply, err := rest.Send(x, k, call.Delete, string(r.ID), nil)
		if err != nil {
			return err
		}
		reply.Row = r
		replies = append(replies, reply)
	}
	job, err := rest.Begin(x, k, "deleteServer", nil, replies...)
	if err != nil {
		return err
	}
	return rest.OK(x, map[string]any{"job_id": job})
}

// server gives the row of the path's server.
func (a *API) server(x *exchange) (*serverRow, error) {
	return wire.Get(x, a.Compute.Server, x.Param("server_id"))
}

// servers gives the rows that a request names; each of them must be there.
func (a *API) servers(x *exchange, verb string, named []string, most int) ([]*serverRow, error) {
	if len(named) == 0 || len(named) > most {
		return nil, rest.Refuse(x, a.Compute.Server.D, verb, "*", fail.Field("servers", "%d servers are named; want 1 to %d", len(named), most))
	}
	var rows []*serverRow
	for _, n := range named {
		r, err := wire.Get(x, a.Compute.Server, n)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// doomed says in a server's row what is to go with it.
func (a *API) doomed(x *exchange, r *serverRow, volumes, addresses bool) error {
	if !r.Made || !volumes && !addresses {
		return nil
	}
	in := wire.Spec{}
	if volumes {
		in["volumes"] = true
	}
	if addresses {
		in["public_ip"] = true
	}
	_, err := rest.Send(x, a.Compute.Server.D, "delete-with", string(r.ID), func(c *call.Call) { c.In = in.JSON() })
	return err
}
