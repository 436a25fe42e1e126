package iam

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/kernel/call"
)

func permissionRoutes(a *keystone.API) []keystone.Route {
	return []keystone.Route{
		{Method: "GET", Path: "/v3.0/OS-PERMISSION/role-assignments", Kind: a.Kinds.Grant.D, Verb: call.List, Do: listAssignments},
	}
}

// listAssignments lists the account's grants.
func listAssignments(x *keystone.Exchange) error {
	a := keystone.Asked{Role: x.Query("role_id"), User: x.Query("subject.user_id"), Group: x.Query("subject.group_id"),
		Project: x.Query("scope.project_id"), Domain: x.Query("scope.domain_id")}
	if a == (keystone.Asked{}) || a == (keystone.Asked{Role: a.Role}) {
		a.Account = x.Query("domain_id")
	}
	grants, err := x.Assignments(a)
	if err != nil {
		return err
	}
	var items []any
	subject, scope := x.Query("subject"), x.Query("scope")
	for _, g := range grants {
		of, at := "user", "domain"
		if g.Spec.User == "" {
			of = "group"
		}
		if g.Spec.Project != "" {
			at = "project"
		}
		if subject != "" && subject != of || scope != "" && scope != at {
			continue
		}
		where := map[string]any{"id": g.Domain}
		if at == "project" {
			where["id"] = g.Spec.Project
		}
		items = append(items, map[string]any{of: ref(g.Spec.User + g.Spec.Group), "role": ref(g.Spec.Policy), "scope": map[string]any{at: where},
			"is_inherited": at == "domain"})
	}
	from, to, err := slice(x, len(items))
	if err != nil {
		return err
	}
	token.Write(x.W, http.StatusOK, map[string]any{"role_assignments": append([]any{}, items[from:to]...), "total_num": len(items)})
	return nil
}

func ref(row string) map[string]string { return map[string]string{"id": row} }

// slice gives the part of a list that page and per_page ask for.
func slice(x *keystone.Exchange, n int) (from, to int, err error) {
	skip, limit, err := keystone.Page(x.R.URL.Query())
	if err != nil {
		return 0, 0, err
	}
	to = n
	if limit > 0 {
		to = min(limit, n)
	}
	return min(skip, to), to, nil
}
