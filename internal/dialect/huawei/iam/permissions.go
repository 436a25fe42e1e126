package iam

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func permissionRoutes(a *wire.API) []wire.Route {
	return []wire.Route{
		{Method: "GET", Path: "/v3.0/OS-PERMISSION/role-assignments", Kind: a.Kinds.Grant.D, Verb: call.List, Do: listAssignments},
	}
}

// listAssignments lists the account's grants.
func listAssignments(x *wire.Exchange) error {
	q := func(names ...string) (v string) {
		for _, n := range names {
			if v == "" {
				v = x.Query(n)
			}
		}
		return v
	}
	project, domain, ep := q("scope.project_id"), q("scope.domain_id"), q("scope.enterprise_projects_id", "scope.enterprise_project_id")
	role, user, group, agency := q("role_id"), q("subject.user_id"), q("subject.group_id"), q("subject.agency_id")
	subject, scope, inherited := q("subject"), q("scope"), q("is_inherited")
	account := q("domain_id", "scope.domain_id")
	if project != "" {
		row, err := wire.Get(x, x.API.Kinds.Project, project)
		if err != nil {
			return err
		}
		account = string(row.Domain)
	}
	rows, _, err := wire.Rows(x, x.API.Kinds.Grant, account, kind.Filter{Where: func(r kind.AnyRow) bool {
		g := r.(*keystone.GrantRow)
		of, _, at, _ := parts(g)
		fits := func(asked, is string) bool { return asked == "" || asked == is }
		return fits(role, g.Spec.Policy) && fits(user, g.Spec.User) && fits(group, g.Spec.Group) && fits(agency, g.Spec.Agency) &&
			fits(project, g.Spec.Project) && fits(ep, g.Spec.EnterpriseProject) && fits(subject, of) && fits(scope, at) &&
			(domain == "" || at == "domain") && (inherited == "" || (inherited == "true") == (at == "domain"))
	}})
	if err != nil {
		return err
	}
	from, to, err := slice(x, len(rows))
	if err != nil {
		return err
	}
	items := make([]any, 0, to-from)
	for _, g := range rows[from:to] {
		of, who, at, where := parts(g)
		items = append(items, map[string]any{of: ref(who), "role": ref(g.Spec.Policy), "scope": map[string]any{at: ref(where)}, "is_inherited": at == "domain"})
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"role_assignments": items, "total_num": len(rows)})
	return nil
}

// parts names whom a grant is for and where it holds.
func parts(g *keystone.GrantRow) (of, who, at, where string) {
	of, who, at, where = "user", g.Spec.User, "domain", string(g.Domain)
	switch {
	case g.Spec.Group != "":
		of, who = "group", g.Spec.Group
	case g.Spec.Agency != "":
		of, who = "agency", g.Spec.Agency
	}
	switch {
	case g.Spec.Project != "":
		at, where = "project", g.Spec.Project
	case g.Spec.EnterpriseProject != "":
		at, where = "enterprise_project", g.Spec.EnterpriseProject
	}
	return of, who, at, where
}

func ref(row string) map[string]string { return map[string]string{"id": row} }

// slice gives the part of a list that page and per_page ask for.
func slice(x *wire.Exchange, n int) (from, to int, err error) {
	skip, limit, err := keystone.Page(x)
	if err != nil {
		return 0, 0, err
	}
	to = n
	if limit > 0 {
		to = min(limit, n)
	}
	return min(skip, to), to, nil
}
