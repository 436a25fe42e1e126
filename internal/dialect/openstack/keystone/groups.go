package keystone

import (
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (a *API) groupRoutes() []route {
	k, u := a.Kinds.Group.D, a.Kinds.User.D
	return []route{
		{Method: "GET", Path: "/v3/groups", Kind: k, Verb: call.List, Do: listGroups},
		{Method: "POST", Path: "/v3/groups", Kind: k, Verb: call.Create, Do: createGroup},
		{Method: "GET", Path: "/v3/groups/{group_id}", Kind: k, Verb: call.Get, Do: showGroup},
		{Method: "PATCH", Path: "/v3/groups/{group_id}", Kind: k, Verb: call.Update, Do: updateGroup},
		{Method: "DELETE", Path: "/v3/groups/{group_id}", Kind: k, Verb: call.Delete, Do: deleteGroup},
		{Method: "GET", Path: "/v3/groups/{group_id}/users", Kind: u, Verb: call.List, Do: members},
		{Method: "PUT", Path: "/v3/groups/{group_id}/users/{user_id}", Kind: u, Verb: call.Update, Do: addMember},
		{Method: "GET", Path: "/v3/groups/{group_id}/users/{user_id}", Kind: u, Verb: call.Get, Do: hasMember},
		{Method: "DELETE", Path: "/v3/groups/{group_id}/users/{user_id}", Kind: u, Verb: call.Update, Do: removeMember},
	}
}

func (x *exchange) groupView(r *GroupRow) map[string]any {
	v := map[string]any{"id": r.ID, "name": r.Name, "domain_id": x.domainID(r.Domain), "description": r.Spec.Description, "links": x.Self("/v3/groups/" + string(r.ID))}
	if x.API.Dialect != "openstack" { // Huawei's has this too
		v["create_time"] = r.Created.UnixMilli()
	}
	return v
}

func (x *exchange) groupShown(r *GroupRow) any { return withForeign(x.groupView(r), r.Spec.Foreign) }

type groupBody struct {
	Name        *string `json:"name"`
	DomainID    *string `json:"domain_id"`
	Description *string `json:"description"`
}

func (b *groupBody) apply(c *call.Call, foreign *string) {
	s := wire.Spec{}
	wire.Set(s, "foreign", foreign)
	wire.Set(s, "description", b.Description)
	c.Name, c.Spec = b.Name, s.JSON()
}

func listGroups(x *exchange) error {
	return List(&x.Exchange, x.API.Kinds.Group, "groups", x.domain(nil), x.byName(), func(r *GroupRow) bool { return x.fits(&r.Meta, false) },
		func(r *GroupRow) any { return x.groupShown(r) })
}

func createGroup(x *exchange) error {
	var b groupBody
	more, err := x.Kept("group", &b)
	if err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Group.D, call.Create, "", func(c *call.Call) { c.Domain = x.domain(b.DomainID); b.apply(c, more.over("")) })
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "group", x.groupShown(row.(*GroupRow)))
}

func showGroup(x *exchange) error {
	row, err := wire.Get(&x.Exchange, x.API.Kinds.Group, x.Param("group_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "group", x.groupShown(row))
}

func updateGroup(x *exchange) error {
	var b groupBody
	more, err := x.Kept("group", &b)
	if err != nil {
		return err
	}
	foreign, err := former(x, x.API.Kinds.Group, x.Param("group_id"), more, func(s ident.GroupSpec) string { return s.Foreign })
	if err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Group.D, call.Update, x.Param("group_id"), func(c *call.Call) { b.apply(c, foreign) })
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "group", x.groupShown(row.(*GroupRow)))
}

func deleteGroup(x *exchange) error {
	if _, err := x.Do(x.API.Kinds.Group.D, call.Delete, x.Param("group_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}

func members(x *exchange) error {
	g, err := wire.Get(&x.Exchange, x.API.Kinds.Group, x.Param("group_id"))
	if err != nil {
		return err
	}
	return List(&x.Exchange, x.API.Kinds.User, "users", string(g.Domain), kind.Filter{Index: "group", Value: string(g.ID), Exact: x.Query("name")},
		func(r *UserRow) bool { return x.fits(&r.Meta, r.Spec.Disabled) }, func(r *UserRow) any { return x.UserView(r) })
}

func addMember(x *exchange) error {
	group := x.Param("group_id")
	err := changeGroups(&x.Exchange, x.Param("user_id"), func(in []string) ([]string, error) {
		if slices.Contains(in, group) {
			return in, nil
		}
		return append(slices.Clone(in), group), nil
	})
	if err != nil {
		return err
	}
	return x.NoContent()
}

// member reads group and user, and where in the user's groups this one is.
func (x *exchange) member() (g *GroupRow, u *UserRow, err error) {
	if u, err = wire.Get(&x.Exchange, x.API.Kinds.User, x.Param("user_id")); err != nil {
		return nil, nil, err
	}
	if g, err = wire.Get(&x.Exchange, x.API.Kinds.Group, x.Param("group_id")); err != nil {
		return nil, nil, err
	}
	if !slices.Contains(u.Spec.Groups, string(g.ID)) {
		return nil, nil, notMember(&u.Meta, &g.Meta)
	}
	return g, u, nil
}

func notMember(u, g *kind.Meta) error {
	return fail.New(fail.NotFound, "user %s is not in group %s", u.Name, g.Name)
}

func hasMember(x *exchange) error {
	if _, _, err := x.member(); err != nil {
		return err
	}
	return x.NoContent()
}

func removeMember(x *exchange) error {
	g, u, err := x.member()
	if err != nil {
		return err
	}
	err = changeGroups(&x.Exchange, string(u.ID), func(in []string) ([]string, error) {
		return slices.DeleteFunc(slices.Clone(in), func(s string) bool { return s == string(g.ID) }), nil
	})
	if err != nil {
		return err
	}
	return x.NoContent()
}
