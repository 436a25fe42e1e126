package iamv5

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// subject is what a policy is attached to: a grant that holds in the whole account. Version 5 knows no projects, so a
// grant that holds in one project or enterprise project only is not shown here, and not taken away.
type subject struct {
	name string // "user", as paths, bodies and answers say it
	all  string // "users"
	kind *kind.Def
	of   func(*keystone.GrantRow) string
}

func subjects(a *wire.API) []subject {
	return []subject{
		{"user", "users", a.Kinds.User.D, func(g *keystone.GrantRow) string { return g.Spec.User }},
		{"group", "groups", a.Kinds.Group.D, func(g *keystone.GrantRow) string { return g.Spec.Group }},
		{"agency", "agencies", a.Kinds.Agency.D, func(g *keystone.GrantRow) string { return g.Spec.Agency }},
	}
}

func attachRoutes(a *wire.API) []wire.Route {
	k, one := a.Kinds.Grant.D, "/v5/policies/{policy_id}"
	out := []wire.Route{{Method: "GET", Path: one + "/attached-entities", Kind: k, Verb: call.List, Do: listEntities}}
	for _, s := range subjects(a) {
		out = append(out,
			wire.Route{Method: "POST", Path: one + "/attach-" + s.name, Kind: k, Verb: call.Create, Do: s.attach},
			wire.Route{Method: "POST", Path: one + "/detach-" + s.name, Kind: k, Verb: call.Delete, Do: s.detach},
			wire.Route{Method: "GET", Path: "/v5/" + s.all + "/{" + s.name + "_id}/attached-policies", Kind: k, Verb: call.List, Do: s.list})
	}
	return out
}

// attached reads the grants of a domain ("" = the caller's) that hold in the whole of it.
func attached(x *wire.Exchange, domain string, f kind.Filter) ([]*keystone.GrantRow, error) {
	f.Where = wholeDomain
	rows, _, err := wire.Rows(x, x.API.Kinds.Grant, domain, f)
	return rows, err
}

func wholeDomain(r kind.AnyRow) bool {
	g := r.(*keystone.GrantRow).Spec
	return g.Project == "" && g.EnterpriseProject == "" && !g.Cloud
}

// pair reads which policy and which subject a request is about, and what is granted to it.
func (s subject) pair(x *wire.Exchange, verb string) (p *keystone.PolicyRow, who kind.AnyRow, err error) {
	b := map[string]string{}
	if err := x.Plain(&b); err != nil {
		return nil, nil, err
	}
	if p, err = wire.Get(x, x.API.Kinds.Policy, x.Param("policy_id")); err != nil {
		return nil, nil, err
	}
	field := s.name + "_id"
	if err := must(x, x.API.Kinds.Grant.D, verb, p.Domain, field, b[field]); err != nil {
		return nil, nil, err
	}
	who, err = x.Do(s.kind, call.Get, b[field], nil)
	return p, who, err
}

// attach gives a policy; giving it again changes nothing.
func (s subject) attach(x *wire.Exchange) error {
	p, who, err := s.pair(x, call.Create)
	if err != nil {
		return err
	}
	_, err = x.Do(x.API.Kinds.Grant.D, call.Create, "", func(c *call.Call) {
		c.Domain, c.Spec = string(p.Domain), wire.Spec{"policy": p.ID, s.name: who.M().ID}.JSON()
	})
	if err != nil && !fail.Is(err, fail.Exists) {
		return wire.Named(err)
	}
	return done(x)
}

func (s subject) detach(x *wire.Exchange) error {
	p, who, err := s.pair(x, call.Delete)
	if err != nil {
		return err
	}
	rows, err := attached(x, string(p.Domain), kind.Filter{Index: "subject", Value: string(who.M().ID)})
	if err != nil {
		return err
	}
	for _, g := range rows {
		if g.Spec.Policy == string(p.ID) {
			if _, err := x.Do(x.API.Kinds.Grant.D, call.Delete, string(g.ID), func(c *call.Call) { c.Domain = string(g.Domain) }); err != nil {
				return err
			}
			return done(x)
		}
	}
	return fail.New(fail.NotFound, "policy %s is not attached to %s %s", p.Name, s.name, who.M().Name)
}

// done answers with an empty object: to a POST, clients take no 204.
func done(x *wire.Exchange) error {
	wire.Write(x.W, http.StatusOK, struct{}{})
	return nil
}

// list lists the policies that are attached to the path's user, group or agency.
func (s subject) list(x *wire.Exchange) error {
	who, err := x.Do(s.kind, call.Get, x.Param(s.name+"_id"), nil)
	if err != nil {
		return err
	}
	f := kind.Filter{Index: "subject", Value: string(who.M().ID), Where: wholeDomain}
	return List(x, x.API.Kinds.Grant, "attached_policies", string(who.M().Domain), f, func(g *keystone.GrantRow) (any, error) {
		p, err := wire.Get(x, x.API.Kinds.Policy, g.Spec.Policy)
		if err != nil {
			return nil, err
		}
		return map[string]any{"policy_id": p.ID, "policy_name": p.Name, "urn": policyURN(p), "attached_at": stamp(g.Created)}, nil
	})
}

// listEntities lists to whom a policy is attached; a page counts users, groups and agencies together.
func listEntities(x *wire.Exchange) error {
	p, err := wire.Get(x, x.API.Kinds.Policy, x.Param("policy_id"))
	if err != nil {
		return err
	}
	rows, err := attached(x, string(p.Domain), kind.Filter{Index: "policy", Value: string(p.ID)})
	if err != nil {
		return err
	}
	only := x.Query("entity_type")
	out, known := map[string]any{}, only == ""
	limit, after, err := paging(x)
	if err != nil {
		return err
	}
	lists := map[string][]any{}
	for _, s := range subjects(x.API) {
		out[policyEntities(s)] = []any{}
		known = known || only == s.name
	}
	if !known {
		return fail.Field("entity_type", "%q is not one of user, group, agency", only)
	}
	info, last := pageInfo{}, ""
	for _, g := range rows {
		if string(g.ID) <= after {
			continue
		}
		for _, s := range subjects(x.API) {
			row := s.of(g)
			if row == "" || only != "" && only != s.name {
				continue
			}
			if info.Count == limit {
				info.Next = last
				break
			}
			name := policyEntities(s)
			lists[name] = append(lists[name], map[string]any{s.name + "_id": row, "attached_at": stamp(g.Created)})
			out[name] = lists[name]
			info.Count++
			last = string(g.ID)
		}
		if info.Next != "" {
			break
		}
	}
	out["page_info"] = info
	wire.Write(x.W, http.StatusOK, out)
	return nil
}

func policyEntities(s subject) string {
	if s.name == "agency" {
		return "policy_agencies"
	}
	return "policy_" + s.all
}
