package iam

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// typeTag keeps what a client said a policy is for: AX (global services) or XA (projects). Here the grant decides that.
const typeTag = "huawei_role_type"

func policyRoutes(a *wire.API) []wire.Route {
	k, all := a.Kinds.Policy.D, "/v3.0/OS-ROLE/roles"
	return []wire.Route{
		{Method: "GET", Path: "/v3/roles", Kind: k, Verb: call.List, Do: listRoles},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: listPolicies},
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: createPolicy},
		{Method: "GET", Path: all + "/{role_id}", Kind: k, Verb: call.Get, Do: showPolicy},
		{Method: "PATCH", Path: all + "/{role_id}", Kind: k, Verb: call.Update, Do: updatePolicy},
		{Method: "DELETE", Path: all + "/{role_id}", Kind: k, Verb: call.Delete, Do: deletePolicy},
	}
}

// roleView is a policy as IAM shows it: the name people gave is the display name.
func roleView(x *wire.Exchange, r *keystone.PolicyRow) any { return policyView(x, r) }

func policyView(x *wire.Exchange, r *keystone.PolicyRow) map[string]any {
	v := map[string]any{"id": r.ID, "display_name": r.Name, "name": "custom_" + string(r.ID), "catalog": "CUSTOMED", "type": "AX",
		"description": r.Spec.Description, "description_cn": "", "domain_id": r.Domain, "policy": r.Spec.Document,
		"created_time": strconv.FormatInt(r.Created.UnixMilli(), 10), "updated_time": strconv.FormatInt(r.Updated.UnixMilli(), 10),
		"links": keystone.Self(x, "/v3/roles/"+string(r.ID))}
	if t := r.Tags[typeTag]; t != "" {
		v["type"] = t
	}
	if r.Spec.System {
		v["name"], v["catalog"], v["domain_id"], v["flag"] = r.Name, "BASE", nil, "fine_grained"
	}
	return v
}

// listRoles lists what may be granted; with a domain_id only what that domain made itself.
func listRoles(x *wire.Exchange) error {
	q := x.R.URL.Query()
	return keystone.List(x, x.API.Kinds.Policy, "roles", q.Get("domain_id"), kind.Filter{}, func(r *keystone.PolicyRow) bool {
		v := policyView(x, r)
		for param, field := range map[string]string{"display_name": "display_name", "catalog": "catalog"} {
			if want := q.Get(param); want != "" && want != v[field] {
				return false
			}
		}
		if n := q.Get("name"); n != "" && n != v["name"] && n != r.Name {
			return false
		}
		return (q.Get("domain_id") == "" || !r.Spec.System) && q.Get("permission_type") != "role"
	}, func(r *keystone.PolicyRow) any { return policyView(x, r) })
}

// listPolicies lists the domain's own.
func listPolicies(x *wire.Exchange) error {
	rows, _, err := wire.Rows(x, x.API.Kinds.Policy, "", kind.Filter{Where: func(r kind.AnyRow) bool { return !r.(*keystone.PolicyRow).Spec.System }})
	if err != nil {
		return err
	}
	from, to, err := slice(x, len(rows))
	if err != nil {
		return err
	}
	items := make([]any, 0, to-from)
	for _, r := range rows[from:to] {
		items = append(items, policyView(x, r))
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"roles": items, "total_number": len(rows), "links": token.Links{Self: keystone.Self(x, "/v3.0/OS-ROLE/roles").Self}})
	return nil
}

// policyBody is a custom policy as clients send one.
type policyBody struct {
	DisplayName   *string         `json:"display_name"`
	Type          *string         `json:"type"`
	Description   *string         `json:"description"`
	DescriptionCN *string         `json:"description_cn"`
	Policy        json.RawMessage `json:"policy"`
}

func (b *policyBody) apply(c *call.Call) {
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	if len(b.Policy) > 0 {
		s["document"] = b.Policy
	}
	c.Name, c.Spec = b.DisplayName, s.JSON()
	if b.Type != nil {
		c.Tags = &map[string]string{typeTag: *b.Type}
	}
}

func createPolicy(x *wire.Exchange) error {
	var b policyBody
	if err := x.Body("role", &b); err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Policy.D, call.Create, "", b.apply)
	if err != nil {
		return err
	}
	return policy(x, http.StatusCreated, row.(*keystone.PolicyRow))
}

// policy answers with one, and how often it is granted.
func policy(x *wire.Exchange, status int, r *keystone.PolicyRow) error {
	v := policyView(x, r)
	if x.R.Method == http.MethodGet {
		used, _, err := wire.Rows(x, x.API.Kinds.Grant, string(r.Domain), kind.Filter{Index: "policy", Value: string(r.ID)})
		if err == nil {
			v["references"] = len(used) // who may not list grants sees the policy without
		}
	}
	return x.One(status, "role", v)
}

func showPolicy(x *wire.Exchange) error {
	row, err := wire.Get(x, x.API.Kinds.Policy, x.Param("role_id"))
	if err != nil {
		return err
	}
	return policy(x, http.StatusOK, row)
}

func updatePolicy(x *wire.Exchange) error {
	var b policyBody
	if err := x.Body("role", &b); err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Policy.D, call.Update, x.Param("role_id"), b.apply)
	if err != nil {
		return err
	}
	return policy(x, http.StatusOK, row.(*keystone.PolicyRow))
}

func deletePolicy(x *wire.Exchange) error {
	if _, err := x.Do(x.API.Kinds.Policy.D, call.Delete, x.Param("role_id"), nil); err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, struct{}{})
	return nil
}
