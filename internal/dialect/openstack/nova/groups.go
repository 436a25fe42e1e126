package nova

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/compute"
)

func (a *API) groupRoutes() []route {
	d := a.o.Compute.Group.D
	return []route{
		{"GET", "/os-server-groups", d, call.List, listGroups},
		{"POST", "/os-server-groups", d, call.Create, createGroup},
		{"GET", "/os-server-groups/{server_group_id}", d, call.Get, showGroup},
		{"DELETE", "/os-server-groups/{server_group_id}", d, call.Delete, deleteGroup},
	}
}

func (x *exchange) groupView(r *groupRow) map[string]any {
	members := []string{}
	for _, m := range r.Status.Members {
		members = append(members, id.ID(m).Dashed())
	}
	v := map[string]any{"id": r.ID.Dashed(), "name": r.Name, "members": members}
	if x.Since(64) {
		v["policy"], v["rules"] = r.Spec.Policy, map[string]any{}
	} else {
		v["policies"], v["metadata"] = []string{r.Spec.Policy}, map[string]any{}
	}
	if x.Since(13) {
		v["project_id"] = string(r.Project)
		v["user_id"] = x.User(&r.Meta)
	}
	return v
}

func listGroups(x *exchange) error {
	q := rest.Query[compute.GroupSpec, compute.GroupStatus]{}
	var err error
	if q.Everywhere, _, err = rest.Flag(x.Exchange, "all_projects"); err != nil {
		return err
	}
	rows, _, err := rest.Part(x.Exchange, x.api.o.Compute.Group, q)
	if err != nil {
		return err
	}
	items := []any{}
	for _, r := range rows {
		items = append(items, x.groupView(r))
	}
	return x.One(http.StatusOK, "server_groups", items)
}

func createGroup(x *exchange) error {
	var in struct {
		Name     string         `json:"name"`
		Policies []string       `json:"policies"`
		Policy   string         `json:"policy"`
		Rules    map[string]any `json:"rules"`
	}
	if err := rest.Body(x.Exchange, "server_group", &in); err != nil {
		return err
	}
	if in.Policy == "" && len(in.Policies) == 1 {
		in.Policy = in.Policies[0]
	}
	switch {
	case in.Name == "":
		return fail.Field("server_group.name", "is required")
	case in.Policy == "":
		return fail.Field("server_group.policies", "exactly one is required").Then("say affinity, anti-affinity, soft-affinity or soft-anti-affinity")
	case len(in.Rules) > 0:
		return fail.Field("server_group.rules", "rules are not offered")
	}
	row, err := x.Do(x.api.o.Compute.Group.D, call.Create, "", func(c *call.Call) { c.Name, c.Spec = &in.Name, rest.Spec{"policy": in.Policy}.JSON() })
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "server_group", x.groupView(row.(*groupRow)))
}

func showGroup(x *exchange) error {
	r, err := rest.Get(x.Exchange, x.api.o.Compute.Group, x.Param("server_group_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "server_group", x.groupView(r))
}

func deleteGroup(x *exchange) error {
	if _, err := rest.Do(x.Exchange, x.api.o.Compute.Group.D, call.Delete, x.Param("server_group_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}
