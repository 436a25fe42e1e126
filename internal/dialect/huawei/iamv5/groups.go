package iamv5

import (
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func groupRoutes(a *wire.API) []wire.Route {
	k, u, all, one := a.Kinds.Group.D, a.Kinds.User.D, "/v5/groups", "/v5/groups/{group_id}"
	return []wire.Route{
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: listGroups},
		{Method: "GET", Path: "/v5/groups-summary", Kind: k, Verb: call.List, Do: listGroupSummaries},
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: createGroup},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: showGroup},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: updateGroup},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: deleteGroup},
		{Method: "POST", Path: one + "/add-user", Kind: u, Verb: call.Update, Do: addUser},
		{Method: "POST", Path: one + "/remove-user", Kind: u, Verb: call.Update, Do: removeUser},
	}
}

func groupView(r *keystone.GroupRow) map[string]any {
	return map[string]any{"group_id": r.ID, "group_name": r.Name, "description": r.Spec.Description, "created_at": stamp(r.Created),
		"urn": urn(r.Domain, "group", r.Name)}
}

// groups lists the account's groups, or those that a user is in.
func groups(x *wire.Exchange, view func(*keystone.GroupRow) (any, error)) error {
	f, domain := kind.Filter{}, ""
	if who := x.Query("user_id"); who != "" {
		user, err := wire.Get(x, x.API.Kinds.User, who)
		if err != nil {
			return err
		}
		domain = string(user.Domain)
		f.Where = func(r kind.AnyRow) bool { return slices.Contains(user.Spec.Groups, string(r.M().ID)) }
	}
	return List(x, x.API.Kinds.Group, "groups", domain, f, view)
}

func listGroups(x *wire.Exchange) error {
	return groups(x, func(r *keystone.GroupRow) (any, error) { return groupView(r), nil })
}

// listGroupSummaries lists groups with how many users are in each.
func listGroupSummaries(x *wire.Exchange) error {
	return groups(x, func(r *keystone.GroupRow) (any, error) {
		members, _, err := wire.Rows(x, x.API.Kinds.User, string(r.Domain), kind.Filter{Index: "group", Value: string(r.ID)})
		v := groupView(r)
		v["user_count"] = len(members)
		return v, err
	})
}

func createGroup(x *wire.Exchange) error {
	var b struct {
		Name        *string `json:"group_name"`
		Description *string `json:"description"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Group.D, call.Create, "", func(c *call.Call) {
		s := wire.Spec{}
		wire.Set(s, "description", b.Description)
		c.Name, c.Spec = b.Name, s.JSON()
	})
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "group", groupView(row.(*keystone.GroupRow)))
}

func showGroup(x *wire.Exchange) error {
	row, err := wire.Get(x, x.API.Kinds.Group, x.Param("group_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "group", groupView(row))
}

func updateGroup(x *wire.Exchange) error {
	var b struct {
		Name        *string `json:"new_group_name"`
		Description *string `json:"new_group_description"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Group.D, call.Update, x.Param("group_id"), func(c *call.Call) {
		s := wire.Spec{}
		wire.Set(s, "description", b.Description)
		c.Name, c.Spec = b.Name, s.JSON()
	})
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "group", groupView(row.(*keystone.GroupRow)))
}

func deleteGroup(x *wire.Exchange) error {
	if _, err := x.Do(x.API.Kinds.Group.D, call.Delete, x.Param("group_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}

// member reads which user a change of a group is about.
func member(x *wire.Exchange) (user, group string, err error) {
	var b struct {
		UserID string `json:"user_id"`
	}
	if err := x.Plain(&b); err != nil {
		return "", "", err
	}
	g, err := wire.Get(x, x.API.Kinds.Group, x.Param("group_id"))
	if err != nil {
		return "", "", err
	}
	return b.UserID, string(g.ID), must(x, x.API.Kinds.User.D, call.Update, g.Domain, "user_id", b.UserID)
}

func addUser(x *wire.Exchange) error {
	user, group, err := member(x)
	if err != nil {
		return err
	}
	if err := keystone.Join(x, user, group); err != nil {
		return err
	}
	return done(x)
}

func removeUser(x *wire.Exchange) error {
	user, group, err := member(x)
	if err != nil {
		return err
	}
	if err := keystone.Leave(x, user, group); err != nil {
		return err
	}
	return done(x)
}
