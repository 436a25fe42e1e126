package ecs

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

func (a *API) groupRoutes() []route {
	g, s := a.Compute.Group.D, a.Compute.Server.D
	base := all + "/os-server-groups"
	on := base + "/{server_group_id}"
	const member = "ecs:serverGroups:manage"
	return []route{
		{Method: "POST", Path: base, Kind: g, Verb: call.Create, Alias: "ecs:serverGroups:manage ecs:serverGroups:create ecs:cloudServers:createServerGroup", Do: a.createGroup},
		{Method: "GET", Path: base, Kind: g, Verb: call.List, Alias: "ecs:serverGroups:list ecs:cloudServers:listServerGroups", Do: a.listGroups},
		{Method: "GET", Path: on, Kind: g, Verb: call.Get, Alias: "ecs:serverGroups:get ecs:cloudServers:showServerGroup", Do: a.showGroup},
		{Method: "DELETE", Path: on, Kind: g, Verb: call.Delete, Alias: "ecs:serverGroups:manage ecs:serverGroups:delete ecs:cloudServers:deleteServerGroup", Do: a.deleteGroup},
		{Method: "POST", Path: on + "/action", Kind: s, Verb: "set-group", Alias: member, Do: a.groupMember},
		{Method: "POST", Path: on + "/add_members", Kind: s, Verb: "set-group", Alias: member, Do: func(x *exchange) error { return a.groupMembers(x, true) }},
		{Method: "POST", Path: on + "/remove_members", Kind: s, Verb: "set-group", Alias: member, Do: func(x *exchange) error { return a.groupMembers(x, false) }},
	}
}

func groupView(r *groupRow) map[string]any {
	members := []string{}
	for _, m := range r.Status.Members {
		members = append(members, rest.ID(id.ID(m)))
	}
	return map[string]any{"id": rest.ID(r.ID), "name": r.Name, "policies": []string{r.Spec.Policy}, "members": members, "metadata": map[string]string{}}
}

// createGroup makes a group. Huawei knows one policy for new groups, anti-affinity, and keeps it as far as it can.
func (a *API) createGroup(x *exchange) error {
	var b struct {
		Group struct {
			Name     string   `json:"name"`
			Policies []string `json:"policies"`
		} `json:"server_group"`
	}
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, a.Compute.Group.D, call.Create, "*", err)
	}
	s := wire.Spec{}
	if len(b.Group.Policies) > 1 {
		return rest.Refuse(x, a.Compute.Group.D, call.Create, "*", fail.Field("server_group.policies", "a group has one policy"))
	}
	for _, p := range b.Group.Policies {
		s["policy"] = p
	}
	r, err := rest.Send(x, a.Compute.Group.D, call.Create, "", func(c *call.Call) { c.Name, c.Spec = &b.Group.Name, s.JSON() })
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "server_group", groupView(r.Row.(*groupRow)))
}

func (a *API) listGroups(x *exchange) error {
	l, err := rest.Listed(x, a.Compute.Group.D, 1000, 1000)
	if err != nil {
		return err
	}
	l.Limit = l.Count
	rows, more, err := wire.Rows(x, a.Compute.Group, "", l.Filter)
	if err != nil {
		return err
	}
	out := []any{}
	for _, r := range rows {
		out = append(out, groupView(r))
	}
	page := map[string]any{"current_count": len(out)}
	if more {
		page["next_marker"] = rest.ID(rows[len(rows)-1].ID)
	}
	return rest.OK(x, map[string]any{"server_groups": out, "page_info": page})
}

func (a *API) showGroup(x *exchange) error {
	r, err := wire.Get(x, a.Compute.Group, x.Param("server_group_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "server_group", groupView(r))
}

func (a *API) deleteGroup(x *exchange) error {
	if _, err := rest.Send(x, a.Compute.Group.D, call.Delete, x.Param("server_group_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}

type memberBody struct {
	Server string `json:"instance_uuid"`
}

func (a *API) groupMember(x *exchange) error {
	var b struct {
		Add    *memberBody `json:"add_member"`
		Remove *memberBody `json:"remove_member"`
	}
	k := a.Compute.Server.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, "set-group", "*", err)
	}
	switch {
	case b.Add != nil:
		return a.member(x, []memberBody{*b.Add}, true)
	case b.Remove != nil:
		return a.member(x, []memberBody{*b.Remove}, false)
	}
	return rest.Refuse(x, k, "set-group", "*", fail.New(fail.Invalid, "the action is missing").Then(`send {"add_member" | "remove_member": {"instance_uuid": …}}`))
}

func (a *API) groupMembers(x *exchange, add bool) error {
	var b struct {
		Add    []memberBody `json:"add_members"`
		Remove []memberBody `json:"remove_members"`
	}
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, a.Compute.Server.D, "set-group", "*", err)
	}
	if add {
		return a.member(x, b.Add, true)
	}
	return a.member(x, b.Remove, false)
}

// member lets servers join the path's group or leave it.
func (a *API) member(x *exchange, servers []memberBody, add bool) error {
	k := a.Compute.Server.D
	if len(servers) == 0 {
		return rest.Refuse(x, k, "set-group", "*", fail.New(fail.Invalid, "no server is named"))
	}
	g, err := wire.Get(x, a.Compute.Group, x.Param("server_group_id"))
	if err != nil {
		return err
	}
	for _, m := range servers {
		r, err := wire.Get(x, a.Compute.Server, m.Server)
		if err != nil {
			return err
		}
		in := wire.Spec{"group": string(g.ID)}
		if !add {
			if r.Status.GroupID != g.ID {
				return fail.New(fail.NotFound, "server %s is not in the group", rest.ID(r.ID))
			}
			in["group"] = ""
		}
		if _, err := rest.Send(x, k, "set-group", string(r.ID), func(c *call.Call) { c.In = in.JSON() }); err != nil {
			return err
		}
	}
	return rest.OK(x, struct{}{})
}
