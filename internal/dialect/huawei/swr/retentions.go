package swr

import (
	"net/http"
	"strconv"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/registry"
)

func (a *API) retentionRoutes() []wire.Route {
	k, all := a.o.Kinds.Retention.D, "/v2/manage/namespaces/{namespace}/repos/{repository}/retentions"
	one := all + "/{retention_id}"
	return []wire.Route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: a.createRetention},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: a.listRetentions},
		{Method: "GET", Path: all + "/histories", Kind: k, Verb: call.List, Do: a.listHistories},
		{Method: "GET", Path: one, Kind: k, Verb: call.List, Do: a.showRetention},
		{Method: "PATCH", Path: one, Kind: k, Verb: call.Update, Do: a.updateRetention},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deleteRetention},
	}
}

type selector struct {
	Kind    string `json:"kind"`
	Pattern string `json:"pattern"`
}

type rule struct {
	Template  string            `json:"template"`
	Params    map[string]string `json:"params"`
	Selectors []selector        `json:"tag_selectors"`
}

func retentionView(r *registry.RetentionRow) map[string]any {
	u := rule{Template: "tag_rule", Params: map[string]string{"num": strconv.Itoa(r.Spec.Number)}, Selectors: []selector{}}
	if r.Spec.Rule == registry.Age {
		u.Template, u.Params = "date_rule", map[string]string{"days": strconv.Itoa(r.Spec.Number)}
	}
	for _, t := range r.Spec.Keep {
		u.Selectors = append(u.Selectors, selector{"label", t})
	}
	for _, p := range r.Spec.Patterns {
		u.Selectors = append(u.Selectors, selector{"regexp", p})
	}
	return map[string]any{"id": Number(r.ID), "algorithm": "or", "rules": []rule{u}, "scope": "image"}
}

// retentionSpec reads a body of one rule.
func retentionSpec(x *wire.Exchange) (wire.Spec, error) {
	var b struct {
		Algorithm string `json:"algorithm"`
		Rules     []rule `json:"rules"`
	}
	if err := body(x, &b); err != nil {
		return nil, err
	}
	if len(b.Rules) != 1 {
		if len(b.Rules) == 0 {
			return wire.Spec{}, nil // the kind says what is missing
		}
		return nil, fail.Field("rules", "%d rules are too many for one retention", len(b.Rules)).Then("make one retention for each")
	}
	r := b.Rules[0]
	s := wire.Spec{"rule": registry.Newest}
	count := r.Params["num"]
	switch r.Template {
	case "tag_rule":
	case "date_rule":
		s["rule"], count = registry.Age, r.Params["days"]
	default:
		return nil, fail.Field("rules.template", "%q is neither date_rule nor tag_rule", r.Template)
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return nil, fail.Field("rules.params", "%q is not a number", count).Then(`write {"days": "30"} for date_rule, {"num": "30"} for tag_rule`)
	}
	keep, patterns := []string{}, []string{}
	for _, t := range r.Selectors {
		switch t.Kind {
		case "label":
			keep = append(keep, t.Pattern)
		case "regexp":
			patterns = append(patterns, t.Pattern)
		default:
			return nil, fail.Field("rules.tag_selectors.kind", "%q is neither label nor regexp", t.Kind)
		}
	}
	s["number"], s["keep"], s["patterns"] = n, keep, patterns
	return s, nil
}

func (a *API) createRetention(x *wire.Exchange) error {
	spec, err := retentionSpec(x)
	if err != nil {
		return err
	}
	if _, err := a.repository(x); err != nil {
		return err
	}
	spec["repository"] = name(x)
	row, err := x.Do(a.o.Kinds.Retention.D, call.Create, "", func(c *call.Call) { c.Spec = spec.JSON() })
	if err != nil {
		return wire.Named(err)
	}
	wire.Write(x.W, http.StatusCreated, map[string]any{"id": Number(row.M().ID)})
	return nil
}

// retentions lists those of the repository in the path, which must be there.
func (a *API) retentions(x *wire.Exchange) ([]*registry.RetentionRow, error) {
	rows, _, err := wire.Rows(x, a.o.Kinds.Retention, "", kind.Filter{Index: "repository", Value: name(x)})
	if err != nil || len(rows) > 0 {
		return rows, err
	}
	_, err = a.repository(x)
	return nil, err
}

// retention finds the one in the path by its number.
func (a *API) retention(x *wire.Exchange) (*registry.RetentionRow, error) {
	rows, err := a.retentions(x)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if strconv.Itoa(int(Number(r.ID))) == x.Param("retention_id") {
			return r, nil
		}
	}
	return nil, fail.New(fail.NotFound, "there is no retention %q for %s", x.Param("retention_id"), name(x))
}

func (a *API) listRetentions(x *wire.Exchange) error {
	rows, err := a.retentions(x)
	if err != nil {
		return err
	}
	items := []any{}
	for _, r := range rows {
		items = append(items, retentionView(r))
	}
	wire.Write(x.W, http.StatusOK, items)
	return nil
}

func (a *API) listHistories(x *wire.Exchange) error {
	rows, err := a.retentions(x)
	if err != nil {
		return err
	}
	logs := []any{}
	for _, r := range rows {
		for _, gone := range r.Status.Removed {
			logs = append(logs, map[string]any{"id": Number(id.ID(gone.Tag + gone.At.String())), "namespace": x.Param("namespace"), "repo": x.Param("repository"),
				"retention_id": Number(r.ID), "rule_type": retentionView(r)["rules"].([]rule)[0].Template, "tag": gone.Tag, "created_at": stamp(gone.At)})
		}
	}
	from, to, err := window(filters(x), len(logs))
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"retention_log": logs[from:to], "total": len(logs)})
	return nil
}

func (a *API) showRetention(x *wire.Exchange) error {
	r, err := a.retention(x)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, retentionView(r))
	return nil
}

func (a *API) updateRetention(x *wire.Exchange) error {
	spec, err := retentionSpec(x)
	if err != nil {
		return err
	}
	r, err := a.retention(x)
	if err != nil {
		return err
	}
	if _, err := x.Do(a.o.Kinds.Retention.D, call.Update, string(r.ID), func(c *call.Call) { c.Spec = spec.JSON() }); err != nil {
		return err
	}
	return created(x)
}

func (a *API) deleteRetention(x *wire.Exchange) error {
	r, err := a.retention(x)
	if err != nil {
		return err
	}
	c := x.Call
	c.Kind, c.Verb, c.Target = a.o.Kinds.Retention.D, call.Delete, string(r.ID)
	if _, err := do(x, c); err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, struct{}{})
	return nil
}
