package servicestage

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/app"
)

type laneRow = kind.Row[app.LaneSpec, app.LaneStatus]

func (a *API) laneRoutes() []route {
	k, all := a.App.Lane.D, base+"/swimlane-group/{lane_group_id}/swimlane"
	one := all + "/{lane_id}"
	return []route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: a.createLane},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: a.listLanes},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showLane},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.updateLane},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deleteLane},
		{Method: "POST", Path: one + "/action", Kind: k, Verb: call.Update, Do: a.switchLane},
		{Method: "PUT", Path: one + "/instances", Kind: k, Verb: call.Update, Do: a.join},
		{Method: "PUT", Path: one + "/component-instances", Kind: k, Verb: call.Update, Do: a.join},
		{Method: "POST", Path: one + "/components-instances", Kind: k, Verb: call.Update, Do: a.join}, // as older pages call it
		{Method: "POST", Path: one + "/components-action", Kind: k, Verb: call.Update, Do: a.join},
	}
}

// laneTypes are the types of lanes in this API's words.
func laneTypes() map[string]string { return map[string]string{"BASE": "baseline", "GRAY": "gray"} }

type laneBody struct {
	Name *string `json:"name"`
	Tag  *string `json:"tag"`
	Type *string `json:"type"`
}

// laneWords is what this cloud gives back and does not use: requests are marked with the lane's name.
type laneWords struct {
	Tag string `json:"tag"`
}

func (b *laneBody) spec(old string) (wire.Spec, error) {
	var w laneWords
	recall(old, &w)
	if b.Tag != nil {
		w.Tag = *b.Tag
	}
	s := wire.Spec{"foreign": remember(w)}
	if b.Type != nil {
		if s["type"] = laneTypes()[*b.Type]; s["type"] == "" {
			return nil, fail.Field("type", "%q is neither BASE nor GRAY", *b.Type)
		}
	}
	return s, nil
}

func (a *API) laneView(x *exchange, g *laneGroupRow, r *laneRow) (map[string]any, error) {
	var w laneWords
	recall(r.Spec.Foreign, &w)
	kindOf, status := "GRAY", "ENABLE"
	if r.Spec.Type == "baseline" {
		kindOf = "BASE"
	}
	if r.Spec.Disabled {
		status = "DISABLED"
	}
	rules := []rule{}
	for _, one := range r.Spec.Rules {
		rules = append(rules, rule{Type: one.Source, Key: one.Name, Op: one.Op, Value: one.Value})
	}
	instances := []map[string]any{}
	for _, of := range sorted(r.Spec.Components) {
		c, err := wire.Get(x, a.App.Component, r.Spec.Components[of])
		if err != nil {
			return nil, err
		}
		instances = append(instances, map[string]any{"id": c.ID, "name": c.Name, "instead_of": of})
	}
	return map[string]any{"id": r.ID, "name": r.Name, "swimlane_group_id": g.ID, "type": kindOf, "tag": w.Tag, "route_status": status,
		"rule_match_mode": strings.ToUpper(r.Spec.Match), "rules": rules, "weight": r.Spec.Weight, "instances": instances, "instance_count": len(instances),
		"project_id": r.Project, "creator": r.CreatedBy, "create_time": stamp(r.Created), "update_time": stamp(r.Updated)}, nil
}

// laneOf finds a lane of a group by its id.
func (a *API) laneOf(x *exchange, g *laneGroupRow, target string) (*laneRow, error) {
	r, err := wire.Get(x, a.App.Lane, target)
	if err == nil && r.Spec.Group != g.Name {
		err = fail.New(fail.NotFound, "there is no lane %q in group %s", target, g.Name)
	}
	return r, err
}

// lane finds the path's lane for somebody who may do something with it.
func (a *API) lane(x *exchange, verb string) (*laneGroupRow, *laneRow, error) {
	if err := a.may(x, a.App.Lane.D, verb, x.Param("lane_id")); err != nil {
		return nil, nil, err
	}
	g, err := wire.Get(x, a.App.LaneGroup, x.Param("lane_group_id"))
	if err != nil {
		return nil, nil, err
	}
	r, err := a.laneOf(x, g, x.Param("lane_id"))
	return g, r, err
}

// writeLane sends a lane through the door and answers with it.
func (a *API) writeLane(x *exchange, g *laneGroupRow, verb, target string, name *string, s wire.Spec) error {
	row, err := x.Do(a.App.Lane.D, verb, target, func(c *call.Call) { c.Name, c.Spec = name, s.JSON() })
	if err != nil {
		return err
	}
	v, err := a.laneView(x, g, row.(*laneRow))
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, v)
	return nil
}

func (a *API) createLane(x *exchange) error {
	if err := a.may(x, a.App.Lane.D, call.Create, "*"); err != nil {
		return err
	}
	g, err := wire.Get(x, a.App.LaneGroup, x.Param("lane_group_id"))
	if err != nil {
		return err
	}
	var b laneBody
	if err := body(x, &b); err != nil {
		return err
	}
	s, err := b.spec("")
	if err != nil {
		return err
	}
	s["group"] = g.Name
	return a.writeLane(x, g, call.Create, "", b.Name, s)
}

func (a *API) updateLane(x *exchange) error {
	g, r, err := a.lane(x, call.Update)
	if err != nil {
		return err
	}
	var b laneBody
	if err := body(x, &b); err != nil {
		return err
	}
	s, err := b.spec(r.Spec.Foreign)
	if err != nil {
		return err
	}
	return a.writeLane(x, g, call.Update, string(r.ID), b.Name, s)
}

func (a *API) listLanes(x *exchange) error {
	g, err := wire.Get(x, a.App.LaneGroup, x.Param("lane_group_id"))
	if err != nil {
		return err
	}
	rows, _, err := wire.Rows(x, a.App.Lane, "", kind.Filter{Index: "group", Value: g.Name})
	if err != nil {
		return err
	}
	items := make([]map[string]any, len(rows))
	for i, r := range rows {
		if items[i], err = a.laneView(x, g, r); err != nil {
			return err
		}
	}
	return answer(x, "swimlanes", items)
}

func (a *API) showLane(x *exchange) error {
	g, r, err := a.lane(x, call.Get)
	if err != nil {
		return err
	}
	v, err := a.laneView(x, g, r)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, v)
	return nil
}

func (a *API) deleteLane(x *exchange) error {
	_, r, err := a.lane(x, call.Delete)
	if err != nil {
		return err
	}
	if _, err := x.Do(a.App.Lane.D, call.Delete, string(r.ID), nil); err != nil {
		return err
	}
	return x.NoContent()
}

// switchLane lets requests travel along a lane, or none.
func (a *API) switchLane(x *exchange) error {
	g, r, err := a.lane(x, call.Update)
	if err != nil {
		return err
	}
	var b struct {
		Action string `json:"action"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	if b.Action != "ENABLE" && b.Action != "DISABLED" {
		return fail.Field("action", "%q is neither ENABLE nor DISABLED", b.Action)
	}
	return a.writeLane(x, g, call.Update, string(r.ID), nil, wire.Spec{"disabled": b.Action == "DISABLED"})
}

// join puts components into a lane, or takes them out. In a gray lane NAME-ANYTHING answers in the place of NAME; the
// baseline is all components as they are.
func (a *API) join(x *exchange) error {
	g, r, err := a.lane(x, call.Update)
	if err != nil {
		return err
	}
	var b struct {
		Action    string   `json:"action"`
		Instances []string `json:"instance_ids"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	if b.Action != "ADD" && b.Action != "REMOVE" {
		return fail.Field("action", "%q is neither ADD nor REMOVE", b.Action)
	}
	rows, _, err := wire.Rows(x, a.App.Component, "", kind.Filter{Index: "application", Value: g.Spec.Application})
	if err != nil {
		return err
	}
	by := map[string]any{}
	for i, instance := range b.Instances {
		c, of := replaced(rows, instance)
		field := "instance_ids[" + itoa(i) + "]"
		switch {
		case c == "":
			return fail.Field(field, "application %s has no component %q", g.Spec.Application, instance)
		case r.Spec.Type == "baseline":
		case of == "":
			return fail.Field(field, "it cannot be told in the place of which component %s answers", c).Then("call it NAME-ANYTHING for the place of NAME")
		case b.Action == "ADD":
			by[of] = c
		default:
			by[of] = nil
		}
	}
	return a.writeLane(x, g, call.Update, string(r.ID), nil, wire.Spec{"components": by})
}

// replaced finds a component by its id, and the one in whose place it answers by its name: the longest that it begins with.
func replaced(rows []*componentRow, target string) (name, of string) {
	for _, r := range rows {
		if string(r.ID) == target {
			name = r.Name
		}
	}
	for _, r := range rows {
		if strings.HasPrefix(name, r.Name+"-") && len(r.Name) > len(of) {
			of = r.Name
		}
	}
	return name, of
}
