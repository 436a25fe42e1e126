package iamv5

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

func userRoutes(a *wire.API) []wire.Route {
	k, all, one := a.Kinds.User.D, "/v5/users", "/v5/users/{user_id}"
	return []wire.Route{
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: listUsers},
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: createUser},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: showUser},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: updateUser},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: deleteUser},
		{Method: "GET", Path: one + "/last-login", Kind: k, Verb: call.Get, Do: showLastLogin},
	}
}

// userView is a user; is_root_user is false, for every user here may do what policies allow and no more.
func userView(r *keystone.UserRow) map[string]any {
	return map[string]any{"user_id": r.ID, "user_name": r.Name, "description": r.Spec.Description, "enabled": !r.Spec.Disabled,
		"is_root_user": false, "created_at": stamp(r.Created), "urn": urn(r.Domain, "user", r.Name)}
}

// listUsers lists the account's users, or a group's.
func listUsers(x *wire.Exchange) error {
	f, domain := kind.Filter{}, ""
	if g := x.Query("group_id"); g != "" {
		group, err := wire.Get(x, x.API.Kinds.Group, g)
		if err != nil {
			return err
		}
		f.Index, f.Value, domain = "group", string(group.ID), string(group.Domain)
	}
	return List(x, x.API.Kinds.User, "users", domain, f, func(r *keystone.UserRow) (any, error) { return userView(r), nil })
}

func createUser(x *wire.Exchange) error {
	var b struct {
		Name        *string `json:"name"`
		Description *string `json:"description"`
		Enabled     *bool   `json:"enabled"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.User.D, call.Create, "", func(c *call.Call) {
		s := wire.Spec{}
		wire.Set(s, "description", b.Description)
		wire.Not(s, "disabled", b.Enabled)
		c.Name, c.Spec = b.Name, s.JSON()
	})
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "user", userView(row.(*keystone.UserRow)))
}

func showUser(x *wire.Exchange) error {
	row, err := wire.Get(x, x.API.Kinds.User, x.Param("user_id"))
	if err != nil {
		return err
	}
	v := userView(row)
	v["tags"] = tagsOf(&row.Meta)
	return x.One(http.StatusOK, "user", v)
}

func updateUser(x *wire.Exchange) error {
	var b struct {
		Name        *string `json:"new_user_name"`
		Description *string `json:"new_description"`
		Enabled     *bool   `json:"enabled"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.User.D, call.Update, x.Param("user_id"), func(c *call.Call) {
		s := wire.Spec{}
		wire.Set(s, "description", b.Description)
		wire.Not(s, "disabled", b.Enabled)
		c.Name, c.Spec = b.Name, s.JSON()
	})
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "user", userView(row.(*keystone.UserRow)))
}

func deleteUser(x *wire.Exchange) error {
	if _, err := x.Do(x.API.Kinds.User.D, call.Delete, x.Param("user_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}

// state reads what happened to a user's log-in.
func state(x *wire.Exchange, user id.ID) (st ident.UserState, err error) {
	err = x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error {
		st, err = ident.State(tx, user)
		return err
	})
	return st, err
}

func showLastLogin(x *wire.Exchange) error {
	r, err := wire.Get(x, x.API.Kinds.User, x.Param("user_id"))
	if err != nil {
		return err
	}
	st, err := state(x, r.ID)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "user_last_login", map[string]any{"last_login_at": moment(st.LastLogin)})
}
