package iamv5

import (
	"net/http"
	"time"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

func keyRoutes(a *wire.API) []wire.Route {
	k, all := a.Kinds.Key.D, "/v5/users/{user_id}/access-keys"
	one := all + "/{access_key_id}"
	return []wire.Route{
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: listKeys},
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: createKey},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: updateKey},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: deleteKey},
		{Method: "GET", Path: one + "/last-used", Kind: k, Verb: call.List, Do: showKeyUse},
	}
}

func keyView(r *keystone.KeyRow) map[string]any {
	status := "active"
	if r.Spec.Disabled {
		status = "inactive"
	}
	return map[string]any{"user_id": r.Spec.User, "access_key_id": r.Status.Access, "created_at": stamp(r.Created), "status": status}
}

func listKeys(x *wire.Exchange) error {
	u, err := wire.Get(x, x.API.Kinds.User, x.Param("user_id"))
	if err != nil {
		return err
	}
	return List(x, x.API.Kinds.Key, "access_keys", string(u.Domain), kind.Filter{Index: "user", Value: string(u.ID)},
		func(r *keystone.KeyRow) (any, error) { return keyView(r), nil })
}

// createKey makes a key; its answer is the only one that shows the secret.
func createKey(x *wire.Exchange) error {
	u, err := wire.Get(x, x.API.Kinds.User, x.Param("user_id"))
	if err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Key.D, call.Create, "", func(c *call.Call) {
		c.Domain, c.Spec = string(u.Domain), wire.Spec{"user": u.ID}.JSON()
	})
	if err != nil {
		return wire.Named(err)
	}
	r := row.(*keystone.KeyRow)
	v := keyView(r)
	v["secret_access_key"] = r.Status.Secret
	x.W.Header().Set("Cache-Control", "no-store")
	return x.One(http.StatusCreated, "access_key", v)
}

// key finds the user's key in the path.
func key(x *wire.Exchange) (*keystone.KeyRow, error) {
	u, err := wire.Get(x, x.API.Kinds.User, x.Param("user_id"))
	if err != nil {
		return nil, err
	}
	access := x.Param("access_key_id")
	rows, _, err := wire.Rows(x, x.API.Kinds.Key, string(u.Domain), kind.Filter{Index: "access", Value: access, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || rows[0].Spec.User != string(u.ID) {
		return nil, fail.New(fail.NotFound, "user %s has no access key %q", u.Name, access)
	}
	return rows[0], nil
}

func updateKey(x *wire.Exchange) error {
	var b struct {
		Status *string `json:"status"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	r, err := key(x)
	if err != nil {
		return err
	}
	s := wire.Spec{}
	switch text(b.Status) {
	case "":
	case "active", "inactive":
		s["disabled"] = *b.Status == "inactive"
	default:
		return fail.Field("status", "%q is neither active nor inactive", *b.Status)
	}
	row, err := x.Do(x.API.Kinds.Key.D, call.Update, string(r.ID), func(c *call.Call) { c.Domain, c.Spec = string(r.Domain), s.JSON() })
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "access_key", keyView(row.(*keystone.KeyRow)))
}

func deleteKey(x *wire.Exchange) error {
	r, err := key(x)
	if err != nil {
		return err
	}
	if _, err := x.Do(x.API.Kinds.Key.D, call.Delete, string(r.ID), func(c *call.Call) { c.Domain = string(r.Domain) }); err != nil {
		return err
	}
	return x.NoContent()
}

// showKeyUse tells when a key was last used, to a minute.
func showKeyUse(x *wire.Exchange) error {
	r, err := key(x)
	if err != nil {
		return err
	}
	var at time.Time
	err = x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error {
		at, err = x.API.Door.Ident.KeyUsed(tx, r.Status.Access)
		return err
	})
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "access_key_last_used", map[string]any{"last_used_at": moment(at)})
}
