package iam

import (
	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// breadth keeps with an agency's grant in the whole account by which of two paths it was given. Here both mean the same,
// but clients look for it where they put it.
const breadth = "huawei_breadth"

const (
	inDomain   = "domain"
	inProjects = "inherited"
	inBoth     = "both"
)

// site is where a policy is given, and to what: an agency in a project or the account, anybody in an enterprise project.
// Keystone's own paths for users and groups are dialect/openstack/keystone's.
type site struct {
	subject string // "agency", "user", "group"
	where   string // "project", "domain", "inherited", "enterprise"
	all     string // the path of the list; one role has its id behind it
}

func sites() []site {
	agency := "/{domain_id}/agencies/{agency_id}/roles"
	ep := "/v3.0/OS-PERMISSION/enterprise-projects/{enterprise_project_id}/"
	return []site{
		{"agency", "project", "/v3.0/OS-AGENCY/projects/{project_id}/agencies/{agency_id}/roles"},
		{"agency", "domain", "/v3.0/OS-AGENCY/domains" + agency},
		{"agency", "inherited", "/v3.0/OS-INHERIT/domains" + agency},
		{"user", "enterprise", ep + "users/{user_id}/roles"},
		{"group", "enterprise", ep + "groups/{group_id}/roles"},
	}
}

func siteRoutes(a *wire.API) []wire.Route {
	k := a.Kinds.Grant.D
	var out []wire.Route
	for _, s := range sites() {
		all, one := s.all, s.all+"/{role_id}"
		if s.where == "inherited" {
			all, one = all+"/inherited_to_projects", one+"/inherited_to_projects"
		}
		out = append(out,
			wire.Route{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: s.list},
			wire.Route{Method: "GET", Path: one, Kind: k, Verb: call.List, Do: s.check},
			wire.Route{Method: "PUT", Path: one, Kind: k, Verb: call.Create, Do: s.give},
			wire.Route{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: s.take})
	}
	return out
}

// spot is a site with its ids.
type spot struct{ domain, subject, project, enterprise, called string }

func (s site) kind(x *wire.Exchange) *kind.Def {
	switch s.subject {
	case "agency":
		return x.API.Kinds.Agency.D
	case "group":
		return x.API.Kinds.Group.D
	}
	return x.API.Kinds.User.D
}

// find reads the site's rows; those that the caller may not see are not there.
func (s site) find(x *wire.Exchange) (p spot, err error) {
	switch s.where {
	case "project":
		row, err := wire.Get(x, x.API.Kinds.Project, x.Param("project_id"))
		if err != nil {
			return p, err
		}
		p.project = string(row.ID)
	case "enterprise":
		if p.enterprise, err = enterpriseID(x, x.Param("enterprise_project_id")); err != nil {
			return p, err
		}
	default:
		if _, err := wire.Get(x, x.API.Kinds.Domain, x.Param("domain_id")); err != nil {
			return p, err
		}
	}
	row, err := x.Do(s.kind(x), call.Get, x.Param(s.subject+"_id"), nil)
	if err != nil {
		return p, err
	}
	p.domain, p.subject, p.called = string(row.M().Domain), string(row.M().ID), s.subject+" "+row.M().Name
	return p, nil
}

// enterpriseID checks the id of an enterprise project; the default one, 0, has no row.
func enterpriseID(x *wire.Exchange, ep string) (string, error) {
	if ep == ident.DefaultEnterprise {
		return ep, nil
	}
	row, err := wire.Get(x, x.API.Kinds.Enterprise, ep)
	if err != nil {
		return "", err
	}
	return string(row.ID), nil
}

// holds tells whether a grant is one of the site's.
func (s site) holds(g *keystone.GrantRow, p spot) bool {
	if g.Spec.Project != p.project || g.Spec.EnterpriseProject != p.enterprise || g.Spec.Cloud {
		return false
	}
	by := g.Tags[breadth]
	switch s.where {
	case "domain":
		return by != inProjects
	case "inherited":
		return by != inDomain
	}
	return true
}

func (s site) grants(x *wire.Exchange, p spot) ([]*keystone.GrantRow, error) {
	rows, _, err := wire.Rows(x, x.API.Kinds.Grant, p.domain, kind.Filter{Index: "subject", Value: p.subject,
		Where: func(r kind.AnyRow) bool { return s.holds(r.(*keystone.GrantRow), p) }})
	return rows, err
}

func (s site) list(x *wire.Exchange) error {
	p, err := s.find(x)
	if err != nil {
		return err
	}
	rows, err := s.grants(x, p)
	if err != nil {
		return err
	}
	items := make([]any, 0, len(rows))
	for _, g := range rows {
		role, err := wire.Get(x, x.API.Kinds.Policy, g.Spec.Policy)
		if err != nil {
			return err
		}
		items = append(items, roleView(x, role))
	}
	token.WriteList(x.W, "roles", items, token.Links{Self: keystone.Self(x, x.R.URL.Path).Self})
	return nil
}

// one finds the site's grant of the route's role.
func (s site) one(x *wire.Exchange) (*keystone.GrantRow, error) {
	p, err := s.find(x)
	if err != nil {
		return nil, err
	}
	rows, err := s.grants(x, p)
	if err != nil {
		return nil, err
	}
	role, err := wire.Get(x, x.API.Kinds.Policy, x.Param("role_id"))
	if err != nil {
		return nil, err
	}
	for _, g := range rows {
		if g.Spec.Policy == string(role.ID) {
			return g, nil
		}
	}
	return nil, fail.New(fail.NotFound, "%s does not have the role %s there", p.called, role.Name)
}

func (s site) check(x *wire.Exchange) error {
	if _, err := s.one(x); err != nil {
		return err
	}
	return x.NoContent()
}

func (s site) give(x *wire.Exchange) error {
	p, err := s.find(x)
	if err != nil {
		return err
	}
	if err := s.grant(x, p, x.Param("role_id")); err != nil {
		return err
	}
	return x.NoContent()
}

// grant gives a policy at a spot; giving it again changes nothing.
func (s site) grant(x *wire.Exchange, p spot, role string) error {
	by := map[string]string{"domain": inDomain, "inherited": inProjects}[s.where]
	_, err := x.Do(x.API.Kinds.Grant.D, call.Create, "", func(c *call.Call) {
		spec := wire.Spec{"policy": role, s.subject: p.subject}
		if p.project != "" {
			spec["project"] = p.project
		}
		if p.enterprise != "" {
			spec["enterprise_project"] = p.enterprise
		}
		c.Domain, c.Spec = p.domain, spec.JSON()
		if by != "" {
			c.Tags = &map[string]string{breadth: by}
		}
	})
	if !fail.Is(err, fail.Exists) {
		return wire.Named(err)
	}
	if by == "" {
		return nil
	}
	rows, _, err := wire.Rows(x, x.API.Kinds.Grant, p.domain, kind.Filter{Index: "subject", Value: p.subject, Where: func(r kind.AnyRow) bool {
		g := r.(*keystone.GrantRow)
		was := g.Tags[breadth]
		return g.Spec.Policy == role && g.Spec.Project == "" && g.Spec.EnterpriseProject == "" && was != "" && was != by && was != inBoth
	}})
	if err != nil || len(rows) == 0 {
		return err
	}
	return widen(x, rows[0], inBoth) // it was given by the other path before
}

func widen(x *wire.Exchange, g *keystone.GrantRow, by string) error {
	_, err := x.Do(x.API.Kinds.Grant.D, call.Update, string(g.ID), func(c *call.Call) {
		c.Domain, c.Tags = string(g.Domain), &map[string]string{breadth: by}
	})
	return err
}

func (s site) take(x *wire.Exchange) error {
	g, err := s.one(x)
	if err != nil {
		return err
	}
	if g.Tags[breadth] == inBoth { // what the other path gave stays
		err = widen(x, g, map[string]string{"domain": inProjects, "inherited": inDomain}[s.where])
	} else {
		_, err = x.Do(x.API.Kinds.Grant.D, call.Delete, string(g.ID), func(c *call.Call) { c.Domain = string(g.Domain) })
	}
	if err != nil {
		return err
	}
	return x.NoContent()
}
