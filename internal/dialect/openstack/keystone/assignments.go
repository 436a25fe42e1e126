package keystone

import (
	"cmp"
	"slices"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Asked is what a list of role assignments is narrowed to; "" = not.
type Asked struct {
	Role, User, Group, Project, Domain string
	Account                            string // the domain whose grants, when nothing else says
	System, Effective, Inherited       bool
	Subtree                            bool // with Project: those of the projects below it too
	Projects                           bool // those of projects only
}

// listAssignments answers GET /v3/role_assignments.
func listAssignments(x *exchange) error {
	a := Asked{Role: x.Query("role.id"), User: x.Query("user.id"), Group: x.Query("group.id"), Project: x.Query("scope.project.id"),
		Domain: x.Query("scope.domain.id"), System: x.Query("scope.system") != "", Effective: x.flag("effective"),
		Inherited: x.Query("scope.OS-INHERIT:inherited_to") != ""}
	if a.Domain != "" {
		a.Domain = x.API.domainNamed(x.R.Context(), a.Domain)
	}
	if a.Subtree = x.flag("include_subtree"); a.Subtree && a.Project != "" {
		if d := x.API.domainNamed(x.R.Context(), a.Project); d != a.Project { // a domain, in Keystone's words a project too
			a.Project, a.Account, a.Subtree, a.Projects = "", d, false, true
		}
	}
	grants, err := x.Assignments(a)
	if err != nil {
		return err
	}
	n := &names{x: x, on: x.flag("include_names"), seen: map[string]map[string]any{}}
	items := make([]any, 0, len(grants))
	for _, g := range grants {
		v, err := n.assignment(g, a)
		if err != nil {
			return err
		}
		items = append(items, v)
	}
	token.WriteList(x.W, "role_assignments", items, token.Links{Self: x.Self(x.R.URL.RequestURI()).Self})
	return nil
}

// Assignments lists grants. With Effective, a group's are given as its members', and a project's include the domain's.
func (x *exchange) Assignments(a Asked) ([]GrantRow, error) {
	domain, groups, err := x.assignmentDomain(a)
	if err != nil {
		return nil, err
	}
	below, err := x.below(a)
	if err != nil {
		return nil, err
	}
	above, err := x.above(a)
	if err != nil {
		return nil, err
	}
	rows, _, err := wire.Rows(&x.Exchange, x.API.Kinds.Grant, domain, kind.Filter{Where: func(r kind.AnyRow) bool {
		g := r.(*GrantRow).Spec
		switch {
		case g.Agency != "", g.EnterpriseProject != "": // Keystone knows neither
			return false
		case a.Role != "" && g.Policy != a.Role, a.Group != "" && g.Group != a.Group, a.System && !g.Cloud,
			a.Domain != "" && (g.Project != "" || g.Cloud), a.Inherited && (g.Project != "" && !g.Inherited || g.Cloud):
			return false
		case a.User != "" && g.User != a.User && (!a.Effective || !slices.Contains(groups, g.Group)):
			return false
		case a.Projects && g.Project == "":
			return false
		case a.Subtree && a.Project != "" && !a.Effective:
			return g.Project == a.Project || slices.Contains(below, g.Project)
		case a.Project != "" && a.Effective && g.Inherited:
			return slices.Contains(above, g.Project)
		case a.Project != "" && g.Project != a.Project && (!a.Effective || g.Project != ""):
			return false
		}
		return true
	}})
	if err != nil {
		return nil, err
	}
	if a.Domain == "" && a.Project == "" {
		abroad, err := x.visits(append(groupsIf(a.Effective, groups), a.User, a.Group), a)
		if err != nil {
			return nil, err
		}
		rows = append(rows, abroad...)
	}
	out := make([]GrantRow, 0, len(rows))
	for _, g := range rows {
		if a.Effective && a.Project != "" {
			g.Spec.Project, g.Spec.Cloud, g.Spec.Inherited = a.Project, false, false
		}
		if !a.Effective || g.Spec.Group == "" {
			out = append(out, *g)
			continue
		}
		members, _, err := wire.Rows(&x.Exchange, x.API.Kinds.User, cmp.Or(g.Spec.Home, string(g.Domain)), kind.Filter{Index: "group", Value: g.Spec.Group})
		if g.Spec.Home != "" && fail.Is(err, fail.NotFound) { // who is in it is for its own domain to know
			out = append(out, *g)
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, u := range members {
			if a.User == "" || a.User == string(u.ID) {
				each := *g
				each.Spec.User, each.Spec.Group = string(u.ID), ""
				out = append(out, each)
			}
		}
	}
	return out, nil
}

func groupsIf(on bool, groups []string) []string {
	if on {
		return slices.Clone(groups)
	}
	return nil
}

// visits are what some users and groups were given in other domains, as far as the caller may see it.
func (x *exchange) visits(subjects []string, a Asked) (out []*GrantRow, err error) {
	var ids []*GrantRow
	err = x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error {
		ids = nil
		for _, s := range subjects {
			if s == "" {
				continue
			}
			rows, err := x.API.Kinds.Visits(tx, s)
			if err != nil {
				return err
			}
			ids = append(ids, rows...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, g := range ids {
		row, err := x.Do(x.API.Kinds.Grant.D, call.Get, string(g.ID), func(c *call.Call) { c.Domain = string(g.Domain) })
		switch {
		case fail.Is(err, fail.NotFound), fail.Is(err, fail.Denied):
		case err != nil:
			return nil, err
		case (a.Role == "" || a.Role == g.Spec.Policy) && !a.System && (!a.Projects || g.Spec.Project != "") && g.Spec.EnterpriseProject == "" && (!a.Inherited || g.Spec.Project == "" || g.Spec.Inherited):
			out = append(out, row.(*GrantRow))
		}
	}
	return out, nil
}

// below are the projects below the one asked for, where they count too.
func (x *exchange) below(a Asked) (out []string, err error) {
	if a.Project == "" || !a.Subtree {
		return nil, nil
	}
	if a.Effective {
		return nil, fail.Field("include_subtree", "does not go with effective here").Then("ask for each project, or without effective")
	}
	row, err := wire.Get(&x.Exchange, x.API.Kinds.Project, a.Project)
	if err != nil {
		return nil, err
	}
	err = x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error {
		all, err := x.API.Kinds.Below(tx, row.Domain, row.ID)
		out = nil
		for _, p := range all {
			out = append(out, string(p))
		}
		return err
	})
	return out, err
}

// above are the projects from which the project asked for inherits, where that counts.
func (x *exchange) above(a Asked) (out []string, err error) {
	if a.Project == "" || !a.Effective {
		return nil, nil
	}
	for at := a.Project; at != ""; {
		row, err := wire.Get(&x.Exchange, x.API.Kinds.Project, at)
		if err != nil {
			return nil, err
		}
		if at = row.Spec.Parent; at != "" {
			out = append(out, at)
		}
	}
	return out, nil
}

// assignmentDomain gives the domain whose grants are asked for: that of the things named, else the caller's.
func (x *exchange) assignmentDomain(a Asked) (domain string, groups []string, err error) {
	domain = cmp.Or(a.Domain, a.Account)
	if a.Project != "" {
		row, err := wire.Get(&x.Exchange, x.API.Kinds.Project, a.Project)
		if err != nil {
			return "", nil, err
		}
		domain = string(row.Domain)
	}
	if a.User != "" {
		row, err := wire.Get(&x.Exchange, x.API.Kinds.User, a.User)
		if err != nil {
			return "", nil, err
		}
		if groups = row.Spec.Groups; a.Project == "" && a.Domain == "" {
			domain = string(row.Domain)
		}
	}
	if a.Group != "" {
		row, err := wire.Get(&x.Exchange, x.API.Kinds.Group, a.Group)
		if err != nil {
			return "", nil, err
		}
		if a.Project == "" && a.Domain == "" {
			domain = string(row.Domain)
		}
	}
	return domain, groups, nil
}

// names fills in names beside ids, reading each row once.
type names struct {
	x    *exchange
	on   bool
	seen map[string]map[string]any
}

func (n *names) assignment(g GrantRow, a Asked) (map[string]any, error) {
	k := n.x.API.Kinds
	v := map[string]any{}
	role, err := named(n, k.Policy, g.Spec.Policy, false)
	if err != nil {
		return nil, err
	}
	v["role"] = role
	if g.Spec.User != "" {
		v["user"], err = named(n, k.User, g.Spec.User, true)
	} else {
		v["group"], err = named(n, k.Group, g.Spec.Group, true)
	}
	if err != nil {
		return nil, err
	}
	scope, link := map[string]any{}, "/v3/domains/"+n.x.domainID(g.Domain)
	switch {
	case g.Spec.Cloud:
		scope["system"], link = map[string]bool{"all": true}, "/v3/system"
	case g.Spec.Project != "":
		scope["project"], err = named(n, k.Project, g.Spec.Project, true)
		link = "/v3/projects/" + g.Spec.Project
		if g.Spec.Inherited {
			scope["OS-INHERIT:inherited_to"] = "projects"
		}
	default:
		scope["domain"], err = named(n, k.Domain, string(g.Domain), false)
		if a.Inherited {
			scope["OS-INHERIT:inherited_to"] = "projects"
		}
	}
	if err != nil {
		return nil, err
	}
	if g.Spec.User != "" {
		link += "/users/" + g.Spec.User
	} else {
		link += "/groups/" + g.Spec.Group
	}
	v["scope"] = scope
	v["links"] = map[string]string{"assignment": n.x.Self(link + "/roles/" + g.Spec.Policy).Self}
	return v, nil
}

// named gives {id} or, where names are wanted, {id, name, domain}.
func named[S, T any](n *names, t kind.Table[S, T], row string, withDomain bool) (map[string]any, error) {
	shown := row
	if t.D == n.x.API.Kinds.Domain.D {
		shown = n.x.domainID(id.ID(row))
	}
	if !n.on {
		return map[string]any{"id": shown}, nil
	}
	if v := n.seen[row]; v != nil {
		return v, nil
	}
	r, err := wire.Get(&n.x.Exchange, t, row)
	if fail.Is(err, fail.NotFound) { // of another domain, which alone may name it
		return map[string]any{"id": shown}, nil
	}
	if err != nil {
		return nil, err
	}
	v := map[string]any{"id": shown, "name": r.Name}
	if withDomain {
		if v["domain"], err = named(n, n.x.API.Kinds.Domain, string(r.Domain), false); err != nil {
			return nil, err
		}
	}
	n.seen[row] = v
	return v, nil
}
