package iam

import (
	"cmp"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

func keyRoutes(a *wire.API) []wire.Route {
	k, all := a.Kinds.Key.D, "/v3.0/OS-CREDENTIAL/credentials"
	return []wire.Route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: createKey},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: listKeys},
		{Method: "GET", Path: all + "/{access_key}", Kind: k, Verb: call.List, Do: showKey},
		{Method: "PUT", Path: all + "/{access_key}", Kind: k, Verb: call.Update, Do: updateKey},
		{Method: "DELETE", Path: all + "/{access_key}", Kind: k, Verb: call.Delete, Do: deleteKey},
	}
}

func keyView(r *keystone.KeyRow) map[string]any {
	status := "active"
	if r.Spec.Disabled {
		status = "inactive"
	}
	return map[string]any{"access": r.Status.Access, "user_id": r.Spec.User, "description": r.Spec.Description, "status": status,
		"create_time": stamp(r.Created)}
}

type keyBody struct {
	UserID      *string `json:"user_id"`
	Description *string `json:"description"`
	Status      *string `json:"status"`
}

// createKey makes a key; its answer is the only one that shows the secret.
func createKey(x *wire.Exchange) error {
	var b keyBody
	if err := x.Body("credential", &b); err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Key.D, call.Create, "", func(c *call.Call) {
		s := wire.Spec{}
		wire.Set(s, "user", b.UserID)
		wire.Set(s, "description", b.Description)
		c.Spec = s.JSON()
	})
	if err != nil {
		return wire.Named(err)
	}
	r := row.(*keystone.KeyRow)
	v := keyView(r)
	v["secret"] = r.Status.Secret
	x.W.Header().Set("Cache-Control", "no-store")
	return x.One(http.StatusCreated, "credential", v)
}

// listKeys lists a user's keys; the caller's own where none is named.
func listKeys(x *wire.Exchange) error {
	rows, _, err := wire.Rows(x, x.API.Kinds.Key, "", kind.Filter{Index: "user", Value: cmp.Or(x.Query("user_id"), string(x.Who.User))})
	if err != nil {
		return err
	}
	items := make([]any, len(rows))
	for i, r := range rows {
		items[i] = keyView(r)
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"credentials": items})
	return nil
}

// key finds the row of the access key in the path.
func key(x *wire.Exchange) (*keystone.KeyRow, error) {
	access := x.Param("access_key")
	rows, _, err := wire.Rows(x, x.API.Kinds.Key, "", kind.Filter{Index: "access", Value: access, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fail.New(fail.NotFound, "there is no access key %q", access)
	}
	return rows[0], nil
}

func showKey(x *wire.Exchange) error {
	r, err := key(x)
	if err != nil {
		return err
	}
	v := keyView(r)
	err = x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error {
		at, err := x.API.Door.Ident.KeyUsed(tx, r.Status.Access)
		if v["last_use_time"] = ""; !at.IsZero() {
			v["last_use_time"] = stamp(at)
		}
		return err
	})
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "credential", v)
}

func updateKey(x *wire.Exchange) error {
	var b keyBody
	if err := x.Body("credential", &b); err != nil {
		return err
	}
	r, err := key(x)
	if err != nil {
		return err
	}
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	switch text(b.Status) {
	case "":
	case "active", "inactive":
		s["disabled"] = *b.Status == "inactive"
	default:
		return fail.Field("credential.status", "%q is neither active nor inactive", *b.Status)
	}
	row, err := x.Do(x.API.Kinds.Key.D, call.Update, string(r.ID), func(c *call.Call) { c.Spec = s.JSON() })
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "credential", keyView(row.(*keystone.KeyRow)))
}

func deleteKey(x *wire.Exchange) error {
	r, err := key(x)
	if err != nil {
		return err
	}
	if _, err := x.Do(x.API.Kinds.Key.D, call.Delete, string(r.ID), nil); err != nil {
		return err
	}
	return x.NoContent()
}
