package keystone

import (
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// place is where a role is given, and to what: the four forms of /v3/{projects|domains}/{x}/{users|groups}/{y}/roles.
// below says that it holds in the projects below a project, and not in that itself.
type place struct{ project, user, below bool }

func (p place) path() string {
	path := "/v3/domains/{domain_id}"
	if p.project {
		path = "/v3/projects/{project_id}"
	}
	if p.user {
		return path + "/users/{user_id}/roles"
	}
	return path + "/groups/{group_id}/roles"
}

func (a *API) grantRoutes() []route {
	k := a.Kinds.Grant.D
	out := []route{{Method: "GET", Path: "/v3/role_assignments", Kind: k, Verb: call.List, Do: listAssignments}}
	add := func(p place, one, all string) {
		out = append(out,
			route{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: p.list},
			route{Method: "PUT", Path: one, Kind: k, Verb: call.Create, Do: p.give},
			route{Method: "GET", Path: one, Kind: k, Verb: call.List, Do: p.check},
			route{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: p.take})
	}
	for _, p := range []place{{project: true, user: true}, {project: true}, {user: true}, {}} {
		add(p, p.path()+"/{role_id}", p.path())
		p.below = p.project // what holds in a domain holds in all its projects: inherited or not is the same there
		in := "/v3/OS-INHERIT" + p.path()[len("/v3"):]
		add(p, in+"/{role_id}/inherited_to_projects", in+"/inherited_to_projects")
	}
	return out
}

// spot is a place with its ids.
type spot struct {
	domain                 string
	project, user, group   string
	home                   string // the domain of user or group, where it is another
	projectName, subjectAs string
}

// find reads the place's rows; those that the caller may not see are not there.
func (p place) find(x *exchange) (s spot, err error) {
	if p.project {
		row, err := wire.Get(&x.Exchange, x.API.Kinds.Project, x.Param("project_id"))
		if err != nil {
			return s, err
		}
		s.domain, s.project, s.projectName = string(row.Domain), string(row.ID), row.Name
	} else {
		row, err := wire.Get(&x.Exchange, x.API.Kinds.Domain, x.Param("domain_id"))
		if err != nil {
			return s, err
		}
		s.domain = string(row.ID)
	}
	if p.user {
		row, err := wire.Get(&x.Exchange, x.API.Kinds.User, x.Param("user_id"))
		if err != nil {
			return s, err
		}
		s.abroad(row.Domain)
		s.user, s.subjectAs = string(row.ID), "user "+row.Name
		return s, nil
	}
	row, err := wire.Get(&x.Exchange, x.API.Kinds.Group, x.Param("group_id"))
	if err != nil {
		return s, err
	}
	s.abroad(row.Domain)
	s.group, s.subjectAs = string(row.ID), "group "+row.Name
	return s, nil
}

// abroad notes whose user or group is meant: operators let those of other domains in.
func (s *spot) abroad(home id.ID) {
	if string(home) != s.domain {
		s.home = string(home)
	}
}

// grants reads the grants of the place.
func (p place) grants(x *exchange) (s spot, rows []*GrantRow, err error) {
	if s, err = p.find(x); err != nil {
		return s, nil, err
	}
	rows, _, err = wire.Rows(&x.Exchange, x.API.Kinds.Grant, s.domain, kind.Filter{Index: "subject", Value: s.user + s.group, Where: func(r kind.AnyRow) bool {
		g := r.(*GrantRow).Spec
		return g.Project == s.project && g.Inherited == p.below && g.EnterpriseProject == "" && !g.Cloud
	}})
	return s, rows, err
}

// one finds the place's grant of the route's role.
func (p place) one(x *exchange) (*GrantRow, error) {
	s, rows, err := p.grants(x)
	if err != nil {
		return nil, err
	}
	role, err := wire.Get(&x.Exchange, x.API.Kinds.Policy, x.Param("role_id"))
	if err != nil {
		return nil, err
	}
	for _, g := range rows {
		if g.Spec.Policy == string(role.ID) {
			return g, nil
		}
	}
	where := "in the domain"
	if p.project {
		where = "in project " + s.projectName
	}
	if p.below {
		where = "below project " + s.projectName
	}
	return nil, fail.New(fail.NotFound, "%s does not have the role %s %s", s.subjectAs, role.Name, where)
}

func (p place) list(x *exchange) error {
	_, rows, err := p.grants(x)
	if err != nil {
		return err
	}
	items := make([]any, 0, len(rows))
	for _, g := range rows {
		role, err := wire.Get(&x.Exchange, x.API.Kinds.Policy, g.Spec.Policy)
		if g.Spec.Home != "" && fail.Is(err, fail.NotFound) { // the role of another domain
			items = append(items, map[string]any{"id": g.Spec.Policy, "name": g.Spec.Policy, "links": x.Self("/v3/roles/" + g.Spec.Policy)})
			continue
		}
		if err != nil {
			return err
		}
		items = append(items, x.API.roleView(x, role))
	}
	token.WriteList(x.W, "roles", items, token.Links{Self: x.Self(x.R.URL.Path).Self})
	return nil
}

func (a *API) roleView(x *exchange, r *PolicyRow) any {
	if a.Role != nil {
		return a.Role(&x.Exchange, r)
	}
	return withForeign(x.roleView(r), r.Spec.Foreign)
}

func (p place) check(x *exchange) error {
	if _, err := p.one(x); err != nil {
		return err
	}
	return x.NoContent()
}

func (p place) give(x *exchange) error {
	s, err := p.find(x)
	if err != nil {
		return err
	}
	_, err = x.Do(x.API.Kinds.Grant.D, call.Create, "", func(c *call.Call) {
		spec := wire.Spec{"policy": x.Param("role_id")}
		for name, v := range map[string]string{"user": s.user, "group": s.group, "project": s.project, "home": s.home} {
			if v != "" {
				spec[name] = v
			}
		}
		if p.below {
			spec["inherited"] = true
		}
		c.Domain, c.Spec = s.domain, spec.JSON()
	})
	if err != nil && !fail.Is(err, fail.Exists) {
		return wire.Named(err)
	}
	return x.NoContent()
}

func (p place) take(x *exchange) error {
	g, err := p.one(x)
	if err != nil {
		return err
	}
	if _, err := x.Do(x.API.Kinds.Grant.D, call.Delete, string(g.ID), func(c *call.Call) { c.Domain = string(g.Domain) }); err != nil {
		return err
	}
	return x.NoContent()
}
