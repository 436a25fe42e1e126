package keystone

import (
	"encoding/json"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
)

func (a *API) roleRoutes() []route {
	k := a.Kinds.Policy.D
	return []route{
		{Method: "GET", Path: "/v3/roles", Kind: k, Verb: call.List, Do: listRoles},
		{Method: "POST", Path: "/v3/roles", Kind: k, Verb: call.Create, Do: createRole},
		{Method: "GET", Path: "/v3/roles/{role_id}", Kind: k, Verb: call.Get, Do: showRole},
		{Method: "PATCH", Path: "/v3/roles/{role_id}", Kind: k, Verb: call.Update, Do: updateRole},
		{Method: "DELETE", Path: "/v3/roles/{role_id}", Kind: k, Verb: call.Delete, Do: deleteRole},
	}
}

// roleView is a policy on the wire.
func (x *exchange) roleView(r *PolicyRow) map[string]any {
	v := map[string]any{"id": r.ID, "name": r.Name, "domain_id": nil, "description": r.Spec.Description, "options": map[string]any{},
		"links": x.Self("/v3/roles/" + string(r.ID))}
	var kept extra
	if json.Unmarshal([]byte(r.Spec.Foreign), &kept) == nil && kept["domain_id"] != nil {
		v["domain_id"] = x.domainID(r.Domain)
	}
	return v
}

func listRoles(x *exchange) error {
	return List(&x.Exchange, x.API.Kinds.Policy, "roles", x.domain(nil), x.byName(), func(r *PolicyRow) bool { return x.fits(&r.Meta, false) },
		func(r *PolicyRow) any { return x.API.roleView(x, r) })
}

// nothing is the document of a role that was given none: it grants nothing until it is given one.
const nothing = `{"Version":"1.1","Statement":[{"Sid":"nothing","Effect":"Deny","Action":["none:none:none"]}]}`

type roleBody struct {
	Name        *string                    `json:"name"`
	Description *string                    `json:"description"`
	DomainID    *string                    `json:"domain_id"`
	Options     map[string]json.RawMessage `json:"options"`
}

// spec is the policy that a role is. Keystone's role is a bare name; here options.document says what it allows.
func (b *roleBody) spec(fallback string) (wire.Spec, error) {
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	if fallback != "" {
		s["document"] = json.RawMessage(fallback)
	}
	for name, v := range b.Options {
		switch {
		case name == "document":
			s["document"] = v
		case name == "immutable" && (string(v) == "false" || string(v) == "null"):
		default:
			return nil, fail.Field("role.options."+name, "is not known here").Then("options.document takes a policy document; deny changes of a role by a policy")
		}
	}
	return s, nil
}

func createRole(x *exchange) error {
	var b roleBody
	more, err := x.Kept("role", &b)
	if err != nil {
		return err
	}
	s, err := b.spec(nothing)
	if err != nil {
		return err
	}
	if b.DomainID != nil && more != nil { // Keystone's roles are of a domain or of none; here each is of one, and says so to who did
		more["domain_id"] = json.RawMessage(`true`)
	}
	wire.Set(s, "foreign", more.over(""))
	row, err := x.Do(x.API.Kinds.Policy.D, call.Create, "", func(c *call.Call) { c.Domain, c.Name, c.Spec = x.domain(b.DomainID), b.Name, s.JSON() })
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "role", x.API.roleView(x, row.(*PolicyRow)))
}

func showRole(x *exchange) error {
	row, err := wire.Get(&x.Exchange, x.API.Kinds.Policy, x.Param("role_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "role", x.API.roleView(x, row))
}

func updateRole(x *exchange) error {
	var b roleBody
	more, err := x.Kept("role", &b)
	if err != nil {
		return err
	}
	s, err := b.spec("")
	if err != nil {
		return err
	}
	foreign, err := former(x, x.API.Kinds.Policy, x.Param("role_id"), more, func(s ident.PolicySpec) string { return s.Foreign })
	if err != nil {
		return err
	}
	wire.Set(s, "foreign", foreign)
	row, err := x.Do(x.API.Kinds.Policy.D, call.Update, x.Param("role_id"), func(c *call.Call) {
		c.Name, c.Spec = b.Name, s.JSON()
	})
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "role", x.API.roleView(x, row.(*PolicyRow)))
}

func deleteRole(x *exchange) error {
	if _, err := x.Do(x.API.Kinds.Policy.D, call.Delete, x.Param("role_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}
