package keystone

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// RequestRow is one of Keystone's access rules.
type RequestRow = kind.Row[ident.RequestSpec, ident.None]

const rulePath = "/v3/users/{user_id}/access_rules"

func (a *API) accessRuleRoutes() []route {
	k := a.Kinds.Request.D
	return []route{
		{Method: "GET", Path: rulePath, Kind: k, Verb: call.List, Do: listRules},
		{Method: "GET", Path: rulePath + "/{rule_id}", Kind: k, Verb: call.Get, Do: showRule},
		{Method: "DELETE", Path: rulePath + "/{rule_id}", Kind: k, Verb: call.Delete, Do: deleteRule},
	}
}

// ruleBody is a rule in the body of an application credential: one that exists by its id, or a new one.
type ruleBody struct {
	ID      *string `json:"id"`
	Service *string `json:"service"`
	Method  *string `json:"method"`
	Path    *string `json:"path"`
}

func (x *exchange) ruleView(r *RequestRow) map[string]any {
	return map[string]any{"id": r.ID, "service": r.Spec.Service, "method": r.Spec.Method, "path": r.Spec.Path,
		"links": x.Self("/v3/users/" + r.Spec.User + "/access_rules/" + string(r.ID))}
}

// ruleViews are the rules that a credential names.
func (x *exchange) ruleViews(y *exchange, domain id.ID, rules []string) ([]any, error) {
	out := []any{}
	for _, rule := range rules {
		row, err := y.Do(x.API.Kinds.Request.D, call.Get, rule, func(c *call.Call) { c.Domain = string(domain) })
		switch {
		case fail.Is(err, fail.Denied), fail.Is(err, fail.NotFound):
			out = append(out, map[string]any{"id": rule})
		case err != nil:
			return nil, err
		default:
			v := x.ruleView(row.(*RequestRow))
			delete(v, "links")
			out = append(out, v)
		}
	}
	return out, nil
}

func (x *exchange) rules(y *exchange, domain, user string) ([]*RequestRow, error) {
	rows, _, err := wire.Rows(&y.Exchange, x.API.Kinds.Request, domain, kind.Filter{Index: "user", Value: user, Where: func(r kind.AnyRow) bool {
		s := r.(*RequestRow).Spec
		service, method, path := x.Query("service"), x.Query("method"), x.Query("path")
		return (service == "" || service == s.Service) && (method == "" || method == s.Method) && (path == "" || path == s.Path)
	}})
	return rows, err
}

// ruleIDs gives the ids of the rules that a body lists, of which new ones are made. Each is a row of its own that further
// credentials may name, as in Keystone: where the credential then cannot be made they stay, and allow nothing by themselves.
func (x *exchange) ruleIDs(list []ruleBody) ([]string, error) {
	user := x.Param("user_id")
	y, domain, err := x.holder(user)
	if err != nil {
		return nil, err
	}
	have, _, err := wire.Rows(&y.Exchange, x.API.Kinds.Request, domain, kind.Filter{Index: "user", Value: user})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, b := range list {
		if b.ID != nil {
			out = append(out, *b.ID)
			continue
		}
		s := wire.Spec{"user": user}
		wire.Set(s, "service", b.Service)
		wire.Set(s, "method", b.Method)
		wire.Set(s, "path", b.Path)
		known := ""
		for _, r := range have {
			if s["service"] == r.Spec.Service && s["method"] == r.Spec.Method && s["path"] == r.Spec.Path {
				known = string(r.ID)
			}
		}
		if known == "" {
			row, err := y.Do(x.API.Kinds.Request.D, call.Create, "", func(c *call.Call) { c.Domain, c.Spec = domain, s.JSON() })
			if err != nil {
				return nil, err
			}
			have = append(have, row.(*RequestRow))
			known = string(row.M().ID)
		}
		out = append(out, known)
	}
	return out, nil
}

func listRules(x *exchange) error {
	y, domain, err := x.holder(x.Param("user_id"))
	if err != nil {
		return err
	}
	rows, err := x.rules(y, domain, x.Param("user_id"))
	if err != nil {
		return err
	}
	items := []any{}
	for _, r := range rows {
		items = append(items, x.ruleView(r))
	}
	token.WriteList(x.W, "access_rules", items, token.Links{Self: x.Self(x.R.URL.Path).Self})
	return nil
}

func (x *exchange) rule() (*RequestRow, *exchange, error) {
	y, domain, err := x.holder(x.Param("user_id"))
	if err != nil {
		return nil, nil, err
	}
	row, err := y.Do(x.API.Kinds.Request.D, call.Get, x.Param("rule_id"), func(c *call.Call) { c.Domain = domain })
	if err != nil {
		return nil, nil, err
	}
	r := row.(*RequestRow)
	if r.Spec.User != x.Param("user_id") {
		return nil, nil, fail.New(fail.NotFound, "the user has no access rule %q", x.Param("rule_id"))
	}
	return r, y, nil
}

func showRule(x *exchange) error {
	r, _, err := x.rule()
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "access_rule", x.ruleView(r))
}

func deleteRule(x *exchange) error {
	r, y, err := x.rule()
	if err != nil {
		return err
	}
	if _, err := y.Do(x.API.Kinds.Request.D, call.Delete, string(r.ID), func(c *call.Call) { c.Domain = string(r.Domain) }); err != nil {
		return err
	}
	return x.NoContent()
}
