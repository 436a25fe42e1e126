package keystone

import (
	"net/http"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func (a *API) roleRoutes() []Route {
	k := a.Kinds.Policy.D
	return []Route{
		{Method: "GET", Path: "/v3/roles", Kind: k, Verb: call.List, Do: listRoles},
		{Method: "POST", Path: "/v3/roles", Kind: k, Verb: call.Create, Do: createRole},
		{Method: "GET", Path: "/v3/roles/{role_id}", Kind: k, Verb: call.Get, Do: showRole},
		{Method: "PATCH", Path: "/v3/roles/{role_id}", Kind: k, Verb: call.Update, Do: updateRole},
		{Method: "DELETE", Path: "/v3/roles/{role_id}", Kind: k, Verb: call.Delete, Do: deleteRole},
	}
}

// RoleView is a policy on the wire.
func (x *Exchange) RoleView(r *PolicyRow) map[string]any {
	return map[string]any{"id": r.ID, "name": r.Name, "domain_id": nil, "description": r.Spec.Description, "options": map[string]any{},
		"links": x.Self("/v3/roles/" + string(r.ID))}
}

func listRoles(x *Exchange) error {
	return List(x, x.API.Kinds.Policy, "roles", x.domain(nil), x.byName(), func(r *PolicyRow) bool { return x.fits(&r.Meta, false) },
		func(r *PolicyRow) any { return x.API.roleView(x, r) })
}

// createRole refuses: Keystone's role is a bare name that every service interprets, a policy here says what it allows.
func createRole(x *Exchange) error {
	c := x.Call
	c.Domain = x.domain(nil)
	if _, _, err := x.API.Door.Permit(x.R.Context(), &c, x.API.Kinds.Policy.D, call.Create, "*"); err != nil {
		return err
	}
	return fail.New(fail.Unsupported, "a role here is a policy, which needs a document that Keystone's API cannot carry").
		Then("make it with awan policy create, or with Huawei's POST /v3.0/OS-ROLE/roles; it is then a role here too")
}

func showRole(x *Exchange) error {
	row, err := Get(x, x.API.Kinds.Policy, x.Param("role_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "role", x.API.roleView(x, row))
}

func updateRole(x *Exchange) error {
	var b struct {
		Name        *string        `json:"name"`
		Description *string        `json:"description"`
		Options     map[string]any `json:"options"`
	}
	if err := x.Body("role", &b); err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Policy.D, call.Update, x.Param("role_id"), func(c *call.Call) {
		s := Spec{}
		Set(s, "description", b.Description)
		c.Name, c.Spec = b.Name, s.JSON()
	})
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "role", x.API.roleView(x, row.(*PolicyRow)))
}

func deleteRole(x *Exchange) error {
	if _, err := x.Do(x.API.Kinds.Policy.D, call.Delete, x.Param("role_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}
