package iam

import (
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// enterpriseRoutes are what version 3 tells of permissions in enterprise projects, beside the grants of sites.
func enterpriseRoutes(a *wire.API) []wire.Route {
	k, base, many := a.Kinds.Grant.D, "/v3.0/OS-PERMISSION", "/v3.0/OS-PERMISSION/subjects/agency/scopes/enterprise-project/role-assignments"
	return []wire.Route{
		{Method: "GET", Path: base + "/enterprise-projects/{enterprise_project_id}/users", Kind: k, Verb: call.List, Do: usersOf},
		{Method: "GET", Path: base + "/enterprise-projects/{enterprise_project_id}/groups", Kind: k, Verb: call.List, Do: groupsOf},
		{Method: "GET", Path: base + "/users/{user_id}/enterprise-projects", Kind: k, Verb: call.List, Do: site{subject: "user"}.enterprises},
		{Method: "GET", Path: base + "/groups/{group_id}/enterprise-projects", Kind: k, Verb: call.List, Do: site{subject: "group"}.enterprises},
		{Method: "PUT", Path: many, Kind: k, Verb: call.Create, Do: giveAgencies},
		{Method: "DELETE", Path: many, Kind: k, Verb: call.Delete, Do: takeAgencies},
	}
}

// within reads the grants of an enterprise project.
func within(x *wire.Exchange) ([]*keystone.GrantRow, error) {
	ep, err := enterpriseID(x, x.Param("enterprise_project_id"))
	if err != nil {
		return nil, err
	}
	rows, _, err := wire.Rows(x, x.API.Kinds.Grant, "", kind.Filter{Where: func(r kind.AnyRow) bool {
		return r.(*keystone.GrantRow).Spec.EnterpriseProject == ep
	}})
	return rows, err
}

func usersOf(x *wire.Exchange) error {
	rows, err := within(x)
	if err != nil {
		return err
	}
	items, at := []map[string]any{}, map[string]int{}
	for _, g := range rows {
		if g.Spec.User == "" {
			continue
		}
		i, known := at[g.Spec.User]
		if !known {
			u, err := wire.Get(x, x.API.Kinds.User, g.Spec.User)
			if err != nil {
				return err
			}
			i = len(items)
			at[g.Spec.User] = i
			items = append(items, map[string]any{"id": u.ID, "name": u.Name, "domain_id": u.Domain, "enabled": !u.Spec.Disabled,
				"description": u.Spec.Description, "policy_num": 0})
		}
		items[i]["policy_num"] = items[i]["policy_num"].(int) + 1
		items[i]["lastest_policy_time"] = g.Created.UnixMilli() // sic
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"users": items})
	return nil
}

func groupsOf(x *wire.Exchange) error {
	rows, err := within(x)
	if err != nil {
		return err
	}
	items, seen := []any{}, []string{}
	for _, g := range rows {
		if g.Spec.Group == "" || slices.Contains(seen, g.Spec.Group) {
			continue
		}
		seen = append(seen, g.Spec.Group)
		row, err := wire.Get(x, x.API.Kinds.Group, g.Spec.Group)
		if err != nil {
			return err
		}
		items = append(items, map[string]any{"id": row.ID, "name": row.Name, "domainId": row.Domain, "description": row.Spec.Description,
			"createTime": row.Created.UnixMilli()})
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"groups": items})
	return nil
}

// enterprises lists the enterprise projects in which a user or a group has a policy.
func (s site) enterprises(x *wire.Exchange) error {
	row, err := x.Do(s.kind(x), call.Get, x.Param(s.subject+"_id"), nil)
	if err != nil {
		return err
	}
	rows, _, err := wire.Rows(x, x.API.Kinds.Grant, string(row.M().Domain), kind.Filter{Index: "subject", Value: string(row.M().ID),
		Where: func(r kind.AnyRow) bool { return r.(*keystone.GrantRow).Spec.EnterpriseProject != "" }})
	if err != nil {
		return err
	}
	items, seen := []any{}, []string{}
	for _, g := range rows {
		if ep := g.Spec.EnterpriseProject; !slices.Contains(seen, ep) {
			seen = append(seen, ep)
			items = append(items, map[string]string{"projectId": ep})
		}
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"enterprise-projects": items})
	return nil
}

// assignment is a policy of an agency in an enterprise project.
type assignment struct {
	Agency     string `json:"agency_id"`
	Enterprise string `json:"enterprise_project_id"`
	Role       string `json:"role_id"`
}

// assignments reads what is to be given or taken. A list without entries is refused, to those who might.
func assignments(x *wire.Exchange, verb string) ([]assignment, error) {
	var b struct {
		Assignments []assignment `json:"role_assignments"`
	}
	if err := x.Plain(&b); err != nil {
		return nil, err
	}
	if len(b.Assignments) > 0 {
		return b.Assignments, nil
	}
	c := x.Call
	if _, _, err := x.API.Door.Permit(x.R.Context(), &c, x.API.Kinds.Grant.D, verb, "*"); err != nil {
		return nil, err
	}
	return nil, fail.Field("role_assignments", "is required")
}

func (a assignment) spot(x *wire.Exchange) (spot, error) {
	ep, err := enterpriseID(x, a.Enterprise)
	if err != nil {
		return spot{}, err
	}
	row, err := wire.Get(x, x.API.Kinds.Agency, a.Agency)
	if err != nil {
		return spot{}, err
	}
	return spot{domain: string(row.Domain), subject: string(row.ID), enterprise: ep, called: "agency " + row.Name}, nil
}

// giveAgencies answers 200: to this PUT, Huawei's Terraform provider takes no 204.
func giveAgencies(x *wire.Exchange) error {
	all, err := assignments(x, call.Create)
	if err != nil {
		return err
	}
	for _, a := range all {
		p, err := a.spot(x)
		if err != nil {
			return err
		}
		if err := (site{subject: "agency", where: "enterprise"}).grant(x, p, a.Role); err != nil {
			return err
		}
	}
	wire.Write(x.W, http.StatusOK, struct{}{})
	return nil
}

func takeAgencies(x *wire.Exchange) error {
	all, err := assignments(x, call.Delete)
	if err != nil {
		return err
	}
	for _, a := range all {
		p, err := a.spot(x)
		if err != nil {
			return err
		}
		rows, err := site{subject: "agency", where: "enterprise"}.grants(x, p)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(rows, func(g *keystone.GrantRow) bool { return g.Spec.Policy == a.Role })
		if i < 0 {
			return fail.New(fail.NotFound, "%s does not have the role %s there", p.called, a.Role)
		}
		if _, err := x.Do(x.API.Kinds.Grant.D, call.Delete, string(rows[i].ID), func(c *call.Call) { c.Domain = p.domain }); err != nil {
			return err
		}
	}
	return x.NoContent()
}
