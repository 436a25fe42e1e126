package swr

import (
	"maps"
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/registry"
)

func (a *API) namespaceRoutes() []wire.Route {
	k, all := a.o.Kinds.Organization.D, "/v2/manage/namespaces"
	one := all + "/{namespace}"
	return []wire.Route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: a.createNamespace},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: a.listNamespaces},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showNamespace},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deleteNamespace},
		{Method: "GET", Path: one + "/access", Kind: k, Verb: call.Get, Do: a.showAccess},
		{Method: "POST", Path: one + "/access", Kind: k, Verb: call.Update, Do: a.grantAccess},
		{Method: "PATCH", Path: one + "/access", Kind: k, Verb: call.Update, Do: a.grantAccess},
		{Method: "DELETE", Path: one + "/access", Kind: k, Verb: call.Update, Do: a.revokeAccess},
	}
}

// auths are SWR's numbers for permissions.
var auths = map[string]int{registry.Manage: 7, registry.Write: 3, registry.Read: 1}

func permission(auth int) (string, bool) {
	for name, n := range auths {
		if n == auth {
			return name, true
		}
	}
	return "", false
}

// own is what the caller may do with a namespace whose members these are: who sees it by a policy manages it, as the
// account's administrators do in SWR; else what membership gives.
func own(x *wire.Exchange, members map[string]string) int {
	if may, ok := members[string(x.Who.User)]; ok {
		return auths[may]
	}
	return auths[registry.Manage]
}

func (a *API) namespaceView(x *wire.Exchange, r *registry.OrganizationRow) map[string]any {
	return map[string]any{"id": Number(r.ID), "name": r.Name, "creator_name": r.CreatedBy, "auth": own(x, r.Spec.Members)}
}

func (a *API) createNamespace(x *wire.Exchange) error {
	var b struct {
		Namespace string `json:"namespace"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	if _, err := x.Do(a.o.Kinds.Organization.D, call.Create, "", func(c *call.Call) { c.Name = &b.Namespace }); err != nil {
		return err
	}
	return created(x)
}

func (a *API) listNamespaces(x *wire.Exchange) error {
	rows, _, err := wire.Rows(x, a.o.Kinds.Organization, "", kind.Filter{Exact: x.Query("namespace")})
	if err != nil {
		return err
	}
	items := make([]any, len(rows))
	for i, r := range rows {
		items[i] = a.namespaceView(x, r)
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"namespaces": items})
	return nil
}

func (a *API) namespace(x *wire.Exchange) (*registry.OrganizationRow, error) {
	return wire.Get(x, a.o.Kinds.Organization, x.Param("namespace"))
}

func (a *API) showNamespace(x *wire.Exchange) error {
	r, err := a.namespace(x)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, a.namespaceView(x, r))
	return nil
}

func (a *API) deleteNamespace(x *wire.Exchange) error {
	c := x.Call
	c.Kind, c.Verb, c.Target = a.o.Kinds.Organization.D, call.Delete, x.Param("namespace")
	if _, err := do(x, c); err != nil {
		return err
	}
	return x.NoContent()
}

// userAuth is a member on the wire.
type userAuth struct {
	UserID   string `json:"user_id"`
	UserName string `json:"user_name"`
	Auth     int    `json:"auth"`
}

// accessView lists members; names come from identity where the caller may read it, else from the id.
func accessView(x *wire.Exchange, m *kind.Meta, members map[string]string) map[string]any {
	others := []userAuth{}
	for _, u := range slices.Sorted(maps.Keys(members)) {
		name := u
		if row, err := wire.Get(x, x.API.Kinds.User, u); err == nil {
			name = row.Name
		}
		others = append(others, userAuth{u, name, auths[members[u]]})
	}
	return map[string]any{"id": Number(m.ID), "name": m.Name, "creator_name": m.CreatedBy, "others_auths": others,
		"self_auth": userAuth{string(x.Who.User), x.Who.UserName, own(x, members)}}
}

func (a *API) showAccess(x *wire.Exchange) error {
	r, err := a.namespace(x)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, accessView(x, &r.Meta, r.Spec.Members))
	return nil
}

// grants reads the members that a request adds, as a patch of spec.members.
func grants(x *wire.Exchange) (map[string]any, error) {
	var b []userAuth
	if err := body(x, &b); err != nil {
		return nil, err
	}
	patch := map[string]any{}
	for _, u := range b {
		may, ok := permission(u.Auth)
		if !ok {
			return nil, fail.Field("auth", "%d is not a permission", u.Auth).Then("write 7 (manage), 3 (write) or 1 (read)")
		}
		patch[u.UserID] = may
	}
	return patch, nil
}

// revoked reads the ids of members that a request takes out, as a patch of spec.members.
func revoked(x *wire.Exchange) (map[string]any, error) {
	var b []string
	if err := body(x, &b); err != nil {
		return nil, err
	}
	patch := map[string]any{}
	for _, u := range b {
		if _, ok := id.Parse(u); ok {
			patch[u] = nil
		}
	}
	return patch, nil
}

func (a *API) changeMembers(x *wire.Exchange, read func(*wire.Exchange) (map[string]any, error)) error {
	return a.patchMembers(x, a.o.Kinds.Organization.D, x.Param("namespace"), read)
}

// patchMembers changes the members of a row. Whether the caller may is asked before the body is complained of.
func (a *API) patchMembers(x *wire.Exchange, k *kind.Def, target string, read func(*wire.Exchange) (map[string]any, error)) error {
	patch, wrong := read(x)
	_, err := x.Do(k, call.Update, target, func(c *call.Call) {
		c.Spec, c.DryRun = wire.Spec{"members": patch}.JSON(), wrong != nil
		if wrong != nil {
			c.Spec = wire.Spec{}.JSON()
		}
	})
	if err != nil {
		return err
	}
	return wrong
}

func (a *API) grantAccess(x *wire.Exchange) error {
	if err := a.changeMembers(x, grants); err != nil {
		return err
	}
	return created(x)
}

func (a *API) revokeAccess(x *wire.Exchange) error {
	if err := a.changeMembers(x, revoked); err != nil {
		return err
	}
	return x.NoContent()
}
