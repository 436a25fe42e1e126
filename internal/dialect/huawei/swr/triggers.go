package swr

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/delivery"
)

// triggerRoutes release what is pushed. A workload of the API is a component of the same name.
func (a *API) triggerRoutes() []wire.Route {
	k, all := a.o.Delivery.Trigger.D, "/v2/manage/namespaces/{namespace}/repos/{repository}/triggers"
	one := all + "/{trigger}"
	return []wire.Route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: a.createTrigger},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: a.listTriggers},
		{Method: "GET", Path: one, Kind: k, Verb: call.List, Do: a.showTrigger},
		{Method: "PATCH", Path: one, Kind: k, Verb: call.Update, Do: a.updateTrigger},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deleteTrigger},
	}
}

// triggerKept is what the API gives back as it was said, and this cloud does not use.
type triggerKept struct {
	ClusterID   string `json:"cluster_id"`
	ClusterName string `json:"cluster_name"`
	ClusterNs   string `json:"cluster_ns"`
	Container   string `json:"container"`
}

type triggerBody struct {
	Action      string `json:"action"`
	AppType     string `json:"app_type"`
	Application string `json:"application"`
	Condition   string `json:"condition"`
	Enable      string `json:"enable"`
	Name        string `json:"name"`
	Mode        string `json:"trigger_mode"`
	Type        string `json:"trigger_type"`
	triggerKept
}

// rules are the names of a trigger's rules, theirs and ours.
var rules = map[string]string{"all": delivery.Any, "tag": delivery.One, "regular": delivery.Pattern}

func (b *triggerBody) spec(repository string) (wire.Spec, error) {
	switch {
	case b.Name == "":
		return nil, fail.Field("name", "is missing")
	case b.Application == "":
		return nil, fail.Field("application", "is missing").Then("name the component that gets the images")
	case b.Action != "update":
		return nil, fail.Field("action", "%q is not update", b.Action)
	case b.AppType != "deployments":
		return nil, fail.Field("app_type", "%q is not there: components are deployments", b.AppType).Then("write deployments")
	case b.Mode != "" && b.Mode != "cce":
		return nil, fail.Field("trigger_mode", "%q is not there", b.Mode).Then("write cce: it means the containers of this cloud")
	}
	rule, known := rules[b.Type]
	if !known {
		return nil, fail.Field("trigger_type", "%q is none of all, tag and regular", b.Type)
	}
	off, err := disabled(b.Enable)
	if err != nil {
		return nil, err
	}
	kept, err := json.Marshal(b.triggerKept)
	return wire.Spec{"repository": repository, "component": b.Application, "rule": rule, "value": b.Condition, "disabled": off, "foreign": string(kept)}, err
}

func disabled(enable string) (bool, error) {
	on, err := strconv.ParseBool(cmp.Or(enable, "true"))
	if err != nil {
		return false, fail.Field("enable", "%q is neither true nor false", enable)
	}
	return !on, nil
}

func (a *API) triggerView(x *wire.Exchange, r *delivery.TriggerRow) map[string]any {
	component := r.Spec.Component
	c := x.Call
	c.Kind, c.Verb, c.Target = x.API.Door.KindOf("app/component"), call.Get, component
	if row, err := x.API.Door.Do(x.R.Context(), &c); err == nil { // who may not see the component sees its id
		component = row.Row.M().Name
	}
	var kept triggerKept
	_ = json.Unmarshal([]byte(r.Spec.Foreign), &kept) // empty for one that was made by another API
	kept.ClusterNs = cmp.Or(kept.ClusterNs, "default")
	v := map[string]any{"name": r.Name, "action": "update", "app_type": "deployments", "application": component, "enable": strconv.FormatBool(!r.Spec.Disabled), "trigger_mode": "cce",
		"condition": r.Spec.Value, "created_at": stamp(r.Created), "creator_name": r.CreatedBy, "cluster_id": kept.ClusterID, "cluster_name": kept.ClusterName,
		"cluster_ns": kept.ClusterNs, "container": kept.Container}
	for theirs, ours := range rules {
		if ours == r.Spec.Rule {
			v["trigger_type"] = theirs
		}
	}
	if r.Spec.Rule == delivery.Any {
		v["condition"] = ".*"
	}
	history := []any{}
	for _, f := range r.Status.History {
		h := maps.Clone(v)
		for _, k := range []string{"name", "enable", "trigger_mode", "trigger_type"} {
			delete(h, k)
		}
		h["tag"], h["result"], h["detail"], h["created_at"] = f.Tag, f.Result, f.Detail, stamp(f.At)
		history = append(history, h)
	}
	v["trigger_history"] = history
	return v
}

func (a *API) triggers(x *wire.Exchange) ([]*delivery.TriggerRow, error) {
	rows, _, err := wire.Rows(x, a.o.Delivery.Trigger, "", kind.Filter{Index: "repository", Value: name(x)})
	if err == nil && len(rows) == 0 {
		_, err = a.repository(x)
	}
	return rows, err
}

// trigger finds the one in the path: names are unique in a repository.
func (a *API) trigger(x *wire.Exchange) (*delivery.TriggerRow, error) {
	rows, err := a.triggers(x)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if r.Name == x.Param("trigger") {
			return r, nil
		}
	}
	return nil, fail.New(fail.NotFound, "there is no trigger %q for %s", x.Param("trigger"), name(x))
}

func (a *API) createTrigger(x *wire.Exchange) error {
	var b triggerBody
	if err := body(x, &b); err != nil {
		return err
	}
	if _, err := a.repository(x); err != nil {
		return err
	}
	spec, err := b.spec(name(x))
	if err != nil {
		return rest.Refuse(x, a.o.Delivery.Trigger.D, call.Create, "*", err)
	}
	if _, err := x.Do(a.o.Delivery.Trigger.D, call.Create, "", func(c *call.Call) { c.Name, c.Spec = &b.Name, spec.JSON() }); err != nil {
		e := *fail.From(err)
		e.Field = strings.NewReplacer("spec.component", "application", "spec.value", "condition").Replace(e.Field)
		return &e
	}
	return created(x)
}

func (a *API) listTriggers(x *wire.Exchange) error {
	rows, err := a.triggers(x)
	if err != nil {
		return err
	}
	items := []any{}
	for _, r := range rows {
		items = append(items, a.triggerView(x, r))
	}
	wire.Write(x.W, http.StatusOK, items)
	return nil
}

func (a *API) showTrigger(x *wire.Exchange) error {
	r, err := a.trigger(x)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, a.triggerView(x, r))
	return nil
}

func (a *API) updateTrigger(x *wire.Exchange) error {
	var b triggerBody
	if err := body(x, &b); err != nil {
		return err
	}
	off, err := disabled(b.Enable)
	if err != nil {
		return err
	}
	r, err := a.trigger(x)
	if err != nil {
		return err
	}
	if _, err := x.Do(a.o.Delivery.Trigger.D, call.Update, string(r.ID), func(c *call.Call) { c.Spec = wire.Spec{"disabled": off}.JSON() }); err != nil {
		return err
	}
	return created(x)
}

func (a *API) deleteTrigger(x *wire.Exchange) error {
	r, err := a.trigger(x)
	if err != nil {
		return err
	}
	c := x.Call
	c.Kind, c.Verb, c.Target = a.o.Delivery.Trigger.D, call.Delete, string(r.ID)
	if _, err := do(x, c); err != nil {
		return err
	}
	return x.NoContent()
}
