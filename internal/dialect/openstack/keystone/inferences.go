package keystone

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// InferenceRow says that a role implies another.
type InferenceRow = kind.Row[ident.InferenceSpec, ident.None]

func (a *API) inferenceRoutes() []route {
	k := a.Kinds.Inference.D
	const of = "/v3/roles/{role_id}/implies"
	return []route{
		{Method: "GET", Path: "/v3/role_inferences", Kind: k, Verb: call.List, Do: listInferences},
		{Method: "GET", Path: of, Kind: k, Verb: call.List, Do: impliedBy},
		{Method: "PUT", Path: of + "/{implied_id}", Kind: k, Verb: call.Create, Do: imply},
		{Method: "GET", Path: of + "/{implied_id}", Kind: k, Verb: call.List, Do: showInference},
		{Method: "DELETE", Path: of + "/{implied_id}", Kind: k, Verb: call.Delete, Do: forgetInference},
	}
}

func (x *exchange) briefRole(n *names, id string) (any, error) {
	v, err := named(n, x.API.Kinds.Policy, id, false)
	if err != nil {
		return nil, err
	}
	return map[string]any{"id": v["id"], "name": v["name"], "links": x.Self("/v3/roles/" + id)}, nil
}

// inferences lists what implies what, among the rows of a domain: one entry a role that implies.
func (x *exchange) inferences(rows []*InferenceRow) ([]map[string]any, error) {
	n := &names{x: x, on: true, seen: map[string]map[string]any{}}
	var out []map[string]any
	at := map[string]int{}
	for _, r := range rows {
		i, ok := at[r.Spec.Policy]
		if !ok {
			prior, err := x.briefRole(n, r.Spec.Policy)
			if err != nil {
				return nil, err
			}
			i = len(out)
			at[r.Spec.Policy] = i
			out = append(out, map[string]any{"prior_role": prior, "implies": []any{}})
		}
		implied, err := x.briefRole(n, r.Spec.Implied)
		if err != nil {
			return nil, err
		}
		out[i]["implies"] = append(out[i]["implies"].([]any), implied)
	}
	return out, nil
}

func listInferences(x *exchange) error {
	rows, _, err := wire.Rows(&x.Exchange, x.API.Kinds.Inference, x.domain(nil), kind.Filter{})
	if err != nil {
		return err
	}
	items, err := x.inferences(rows)
	if err != nil {
		return err
	}
	token.WriteList(x.W, "role_inferences", items, token.Links{Self: x.Self("/v3/role_inferences").Self})
	return nil
}

// ofRole reads the role in the path and the rules that begin with it.
func (x *exchange) ofRole() (*PolicyRow, []*InferenceRow, error) {
	role, err := wire.Get(&x.Exchange, x.API.Kinds.Policy, x.Param("role_id"))
	if err != nil {
		return nil, nil, err
	}
	rows, _, err := wire.Rows(&x.Exchange, x.API.Kinds.Inference, string(role.Domain), kind.Filter{Index: "policy", Value: string(role.ID)})
	return role, rows, err
}

func impliedBy(x *exchange) error {
	role, rows, err := x.ofRole()
	if err != nil {
		return err
	}
	v := map[string]any{"prior_role": map[string]any{"id": role.ID, "name": role.Name, "links": x.Self("/v3/roles/" + string(role.ID))}, "implies": []any{}}
	all, err := x.inferences(rows)
	if err != nil {
		return err
	}
	if len(all) > 0 {
		v = all[0]
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"role_inference": v, "links": x.Self(x.R.URL.Path)})
	return nil
}

func (x *exchange) inference(status int, r *InferenceRow) error {
	all, err := x.inferences([]*InferenceRow{r})
	if err != nil {
		return err
	}
	v := all[0]
	v["implies"] = v["implies"].([]any)[0]
	wire.Write(x.W, status, map[string]any{"role_inference": v, "links": x.Self(x.R.URL.Path)})
	return nil
}

// oneInference finds the rule that the path names.
func (x *exchange) oneInference() (*InferenceRow, error) {
	role, rows, err := x.ofRole()
	if err != nil {
		return nil, err
	}
	implied, err := wire.Get(&x.Exchange, x.API.Kinds.Policy, x.Param("implied_id"))
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if r.Spec.Implied == string(implied.ID) {
			return r, nil
		}
	}
	return nil, fail.New(fail.NotFound, "the role %s does not imply %s", role.Name, implied.Name)
}

func imply(x *exchange) error {
	role, err := wire.Get(&x.Exchange, x.API.Kinds.Policy, x.Param("role_id"))
	if err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Inference.D, call.Create, "", func(c *call.Call) {
		c.Domain, c.Spec = string(role.Domain), wire.Spec{"policy": string(role.ID), "implied": x.Param("implied_id")}.JSON()
	})
	if fail.Is(err, fail.Exists) {
		r, err := x.oneInference()
		if err != nil {
			return err
		}
		return x.inference(http.StatusCreated, r)
	}
	if err != nil {
		return wire.Named(err)
	}
	return x.inference(http.StatusCreated, row.(*InferenceRow))
}

func showInference(x *exchange) error {
	r, err := x.oneInference()
	if err != nil {
		return err
	}
	return x.inference(http.StatusOK, r)
}

func forgetInference(x *exchange) error {
	r, err := x.oneInference()
	if err != nil {
		return err
	}
	if _, err := x.Do(x.API.Kinds.Inference.D, call.Delete, string(r.ID), func(c *call.Call) { c.Domain = string(r.Domain) }); err != nil {
		return err
	}
	return x.NoContent()
}
