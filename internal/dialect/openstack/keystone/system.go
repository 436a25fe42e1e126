package keystone

import (
	"encoding/json"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// systemRoutes give roles on the system: grants that hold in the whole cloud, which only its operators make.
func (a *API) systemRoutes() []route {
	k := a.Kinds.Grant.D
	var out []route
	for _, user := range []bool{true, false} {
		s := onSystem(user)
		path := "/v3/system/groups/{group_id}/roles"
		if user {
			path = "/v3/system/users/{user_id}/roles"
		}
		out = append(out,
			route{Method: "GET", Path: path, Kind: k, Verb: call.List, Do: s.list},
			route{Method: "PUT", Path: path + "/{role_id}", Kind: k, Verb: call.Create, Do: s.give},
			route{Method: "GET", Path: path + "/{role_id}", Kind: k, Verb: call.List, Do: s.check},
			route{Method: "DELETE", Path: path + "/{role_id}", Kind: k, Verb: call.Delete, Do: s.take})
	}
	return out
}

// onSystem is whether a user or a group is meant.
type onSystem bool

func (s onSystem) subject(x *exchange) (domain, id, name string, err error) {
	if s {
		row, err := wire.Get(&x.Exchange, x.API.Kinds.User, x.Param("user_id"))
		if err != nil {
			return "", "", "", err
		}
		return string(row.Domain), string(row.ID), "user " + row.Name, nil
	}
	row, err := wire.Get(&x.Exchange, x.API.Kinds.Group, x.Param("group_id"))
	if err != nil {
		return "", "", "", err
	}
	return string(row.Domain), string(row.ID), "group " + row.Name, nil
}

func (s onSystem) grants(x *exchange) (rows []*GrantRow, domain, id, name string, err error) {
	if domain, id, name, err = s.subject(x); err != nil {
		return nil, "", "", "", err
	}
	rows, _, err = wire.Rows(&x.Exchange, x.API.Kinds.Grant, domain, kind.Filter{Index: "subject", Value: id, Where: func(r kind.AnyRow) bool { return r.(*GrantRow).Spec.Cloud }})
	return rows, domain, id, name, err
}

func (s onSystem) one(x *exchange) (*GrantRow, error) {
	rows, _, _, name, err := s.grants(x)
	if err != nil {
		return nil, err
	}
	for _, g := range rows {
		if g.Spec.Policy == x.Param("role_id") {
			return g, nil
		}
	}
	return nil, fail.New(fail.NotFound, "%s does not have that role on the system", name)
}

func (s onSystem) list(x *exchange) error {
	rows, _, _, _, err := s.grants(x)
	if err != nil {
		return err
	}
	items := []any{}
	for _, g := range rows {
		role, err := wire.Get(&x.Exchange, x.API.Kinds.Policy, g.Spec.Policy)
		if err != nil {
			return err
		}
		items = append(items, x.API.roleView(x, role))
	}
	token.WriteList(x.W, "roles", items, token.Links{Self: x.Self(x.R.URL.Path).Self})
	return nil
}

func (s onSystem) check(x *exchange) error {
	if _, err := s.one(x); err != nil {
		return err
	}
	return x.NoContent()
}

func (s onSystem) give(x *exchange) error {
	domain, id, _, err := s.subject(x)
	if err != nil {
		return err
	}
	_, err = x.Do(x.API.Kinds.Grant.D, call.Create, "", func(c *call.Call) {
		spec := wire.Spec{"policy": x.Param("role_id"), "cloud": true, "group": id}
		if s {
			delete(spec, "group")
			spec["user"] = id
		}
		c.Domain, c.Spec = domain, spec.JSON()
	})
	if err != nil && !fail.Is(err, fail.Exists) {
		return wire.Named(err)
	}
	return x.NoContent()
}

func (s onSystem) take(x *exchange) error {
	domain, _, _, err := s.subject(x)
	if err != nil {
		return err
	}
	c := x.Call
	c.Domain = domain
	if _, _, err := x.API.Door.Permit(x.R.Context(), &c, x.API.Kinds.Grant.D, call.Delete, "*"); err != nil {
		return err
	}
	g, err := s.one(x)
	if err != nil {
		return err
	}
	if _, err := x.Do(x.API.Kinds.Grant.D, call.Delete, string(g.ID), func(c *call.Call) { c.Domain = string(g.Domain) }); err != nil {
		return err
	}
	return x.NoContent()
}

// list reads a body {name: […]}.
func (x *exchange) list(name string, into any) error {
	b, err := x.Bytes()
	if err != nil || len(b) == 0 {
		return err
	}
	var outer map[string]json.RawMessage
	if err := json.Unmarshal(b, &outer); err != nil {
		return fail.New(fail.Invalid, "the body is not a JSON object")
	}
	if raw, ok := outer[name]; ok {
		if err := json.Unmarshal(raw, into); err != nil {
			return fail.Field(name, "is not a list of what is wanted here")
		}
	}
	return nil
}
