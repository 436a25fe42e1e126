package iamv5

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// pathTag keeps the path that a client gave a policy or an agency; it is a label, nothing is decided by it.
const pathTag = Hidden + "path"

func policyRoutes(a *wire.API) []wire.Route {
	k, all, one := a.Kinds.Policy.D, "/v5/policies", "/v5/policies/{policy_id}"
	return []wire.Route{
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: listPolicies},
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: createPolicy},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: showPolicy},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: deletePolicy},
	}
}

func policyURN(r *keystone.PolicyRow) string {
	if r.Spec.System {
		return "iam::system:policy:" + r.Name
	}
	return urn(r.Domain, "policy", r.Tags[pathTag]+r.Name)
}

// about is what policies' views tell beside their rows.
type about struct {
	attached map[string]int // how often each is attached
	version  map[string]string
	known    bool // the caller may see what is attached
}

// learn reads it, of one policy or of all of a domain's. Who may not see grants or versions sees policies without.
func learn(x *wire.Exchange, domain, policy string) (about, error) {
	a := about{attached: map[string]int{}, version: map[string]string{}}
	f := kind.Filter{}
	if policy != "" {
		f.Index, f.Value = "policy", policy
	}
	grants, err := attached(x, domain, f)
	if err != nil && !fail.Is(err, fail.Denied) {
		return a, err
	}
	a.known = err == nil
	for _, g := range grants {
		a.attached[g.Spec.Policy]++
	}
	f.Where = func(r kind.AnyRow) bool { return r.(*versionRow).Spec.Default }
	all, _, err := wire.Rows(x, x.API.Kinds.Version, domain, f)
	if err != nil && !fail.Is(err, fail.Denied) {
		return a, err
	}
	for _, v := range all {
		a.version[v.Spec.Policy] = v.Name
	}
	return a, nil
}

func policyView(r *keystone.PolicyRow, a about) map[string]any {
	of := "custom"
	if r.Spec.System {
		of = "system"
	}
	v := map[string]any{"policy_id": r.ID, "policy_name": r.Name, "policy_type": of, "urn": policyURN(r), "path": r.Tags[pathTag],
		"default_version_id": cmp.Or(a.version[string(r.ID)], "v1"), "description": r.Spec.Description,
		"created_at": stamp(r.Created), "updated_at": stamp(r.Updated)}
	if a.known {
		v["attachment_count"] = a.attached[string(r.ID)]
	}
	return v
}

func listPolicies(x *wire.Exchange) error {
	of, path, only := x.Query("policy_type"), x.Query("path_prefix"), x.Query("only_attached") == "true"
	if of != "" && of != "system" && of != "custom" {
		return fail.Field("policy_type", "%q is neither system nor custom", of)
	}
	if err := Ask(x, x.API.Kinds.Policy.D, call.List, id.ID(x.Call.Domain)); err != nil {
		return err
	}
	a, err := learn(x, "", "")
	if err != nil {
		return err
	}
	f := kind.Filter{Where: func(r kind.AnyRow) bool {
		p := r.(*keystone.PolicyRow)
		return (of == "" || (of == "system") == p.Spec.System) && strings.HasPrefix(p.Tags[pathTag], path) &&
			(!only || a.attached[string(p.ID)] > 0)
	}}
	return List(x, x.API.Kinds.Policy, "policies", "", f, func(r *keystone.PolicyRow) (any, error) { return policyView(r, a), nil })
}

// document reads a policy that came as a string of JSON.
func document(field string, s *string) (json.RawMessage, error) {
	if s == nil {
		return nil, nil
	}
	if !json.Valid([]byte(*s)) {
		return nil, fail.Field(field, "is not JSON").Then(`give a document such as {"Version":"5.0","Statement":[{"Effect":"Allow","Action":["app:*:get"]}]}`)
	}
	return json.RawMessage(*s), nil
}

func createPolicy(x *wire.Exchange) error {
	var b struct {
		Name        *string `json:"policy_name"`
		Path        *string `json:"path"`
		Document    *string `json:"policy_document"`
		Description *string `json:"description"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	doc, err := document("policy_document", b.Document)
	if err != nil {
		return err
	}
	row, err := x.Do(x.API.Kinds.Policy.D, call.Create, "", func(c *call.Call) {
		s := wire.Spec{}
		wire.Set(s, "description", b.Description)
		if doc != nil {
			s["document"] = doc
		}
		c.Name, c.Spec = b.Name, s.JSON()
		if text(b.Path) != "" {
			c.Tags = &map[string]string{pathTag: *b.Path}
		}
	})
	if err != nil {
		return err
	}
	return showOne(x, http.StatusCreated, row.(*keystone.PolicyRow))
}

func showOne(x *wire.Exchange, status int, r *keystone.PolicyRow) error {
	a, err := learn(x, string(r.Domain), string(r.ID))
	if err != nil {
		return err
	}
	return x.One(status, "policy", policyView(r, a))
}

func showPolicy(x *wire.Exchange) error {
	row, err := wire.Get(x, x.API.Kinds.Policy, x.Param("policy_id"))
	if err != nil {
		return err
	}
	return showOne(x, http.StatusOK, row)
}

func deletePolicy(x *wire.Exchange) error {
	if _, err := x.Do(x.API.Kinds.Policy.D, call.Delete, x.Param("policy_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}
