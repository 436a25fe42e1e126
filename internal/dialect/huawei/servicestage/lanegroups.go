package servicestage

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/app"
)

type laneGroupRow = kind.Row[app.LaneGroupSpec, app.LaneGroupStatus]

func (a *API) laneGroupRoutes() []route {
	k, all := a.App.LaneGroup.D, base+"/swimlane-group"
	one := all + "/{lane_group_id}"
	return []route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: a.createLaneGroup},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: a.listLaneGroups},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showLaneGroup},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.updateLaneGroup},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deleteLaneGroup},
		{Method: "PUT", Path: one + "/route", Kind: k, Verb: call.Update, Do: a.divide},
	}
}

// laneGroupWords is what this cloud gives back of a lane group, and how its lanes are chosen.
type laneGroupWords struct {
	Description string    `json:"description,omitempty"`
	Gateways    []gateway `json:"gateways,omitempty"`
	By          string    `json:"gray_release_type,omitempty"` // WEIGHT, CONTENT
}

// gateway is where requests come in. Here that is a component: the one that the first target service names.
type gateway struct {
	EngineID string   `json:"engine_id"`
	ID       string   `json:"id"`
	Name     string   `json:"name,omitempty"`
	Targets  []target `json:"target_services"`
}

type target struct {
	Host string `json:"host"` // COMPONENT.ENVIRONMENT.APPLICATION, and after that the engine's type
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

type laneGroupBody struct {
	Name        *string    `json:"name"`
	Description *string    `json:"description"`
	Gateways    *[]gateway `json:"gateways"`
}

func (b *laneGroupBody) say(w *laneGroupWords) {
	if b.Description != nil {
		w.Description = *b.Description
	}
	if b.Gateways != nil {
		w.Gateways = *b.Gateways
	}
}

// entry finds the application and the component at which the requests of a group come in.
func (b *laneGroupBody) entry() (application, component string, err error) {
	const field = "gateways[0].target_services[0].host"
	if b.Gateways == nil || len(*b.Gateways) == 0 || len((*b.Gateways)[0].Targets) == 0 {
		return "", "", fail.Field(field, "is required: it names the component at which requests get their lane").Then("write COMPONENT.ENVIRONMENT.APPLICATION")
	}
	parts := strings.Split((*b.Gateways)[0].Targets[0].Host, ".")
	if len(parts) < 3 || len(parts) > 4 {
		return "", "", fail.Field(field, "%q does not name a component", (*b.Gateways)[0].Targets[0].Host).Then("write COMPONENT.ENVIRONMENT.APPLICATION")
	}
	return parts[2], parts[0], nil
}

func (a *API) laneGroupView(r *laneGroupRow) map[string]any {
	var w laneGroupWords
	recall(r.Spec.Foreign, &w)
	engines := []string{}
	for _, g := range w.Gateways {
		if !slices.Contains(engines, g.EngineID) {
			engines = append(engines, g.EngineID)
		}
	}
	if w.Gateways == nil {
		w.Gateways = []gateway{}
	}
	return map[string]any{"id": r.ID, "name": r.Name, "description": w.Description, "project_id": r.Project, "gray_release_type": cmp.Or(w.By, "WEIGHT"),
		"engine_ids": engines, "gateways": w.Gateways, "creator": r.CreatedBy, "create_time": stamp(r.Created), "update_time": stamp(r.Updated)}
}

func (a *API) answerGroup(x *exchange, row kind.AnyRow) error {
	wire.Write(x.W, http.StatusOK, a.laneGroupView(row.(*laneGroupRow)))
	return nil
}

func (a *API) createLaneGroup(x *exchange) error {
	if err := a.may(x, a.App.LaneGroup.D, call.Create, "*"); err != nil {
		return err
	}
	var b laneGroupBody
	if err := body(x, &b); err != nil {
		return err
	}
	application, component, err := b.entry()
	if err != nil {
		return err
	}
	var w laneGroupWords
	b.say(&w)
	row, err := x.Do(a.App.LaneGroup.D, call.Create, "", func(c *call.Call) {
		c.Name, c.Spec = b.Name, wire.Spec{"application": application, "entry": component, "foreign": remember(w)}.JSON()
	})
	if err != nil {
		return err
	}
	return a.answerGroup(x, row)
}

// updateLaneGroup changes the description; the service refuses another entry or name.
func (a *API) updateLaneGroup(x *exchange) error {
	r, err := a.changing(x)
	if err != nil {
		return err
	}
	var b laneGroupBody
	if err := body(x, &b); err != nil {
		return err
	}
	var w laneGroupWords
	recall(r.Spec.Foreign, &w)
	b.say(&w)
	s := wire.Spec{"foreign": remember(w)}
	if b.Gateways != nil {
		if s["application"], s["entry"], err = b.entry(); err != nil {
			return err
		}
	}
	row, err := x.Do(a.App.LaneGroup.D, call.Update, string(r.ID), func(c *call.Call) { c.Name, c.Spec = b.Name, s.JSON() })
	if err != nil {
		return err
	}
	return a.answerGroup(x, row)
}

// changing finds the path's group for somebody who may change it.
func (a *API) changing(x *exchange) (*laneGroupRow, error) {
	if err := a.may(x, a.App.LaneGroup.D, call.Update, x.Param("lane_group_id")); err != nil {
		return nil, err
	}
	return wire.Get(x, a.App.LaneGroup, x.Param("lane_group_id"))
}

func (a *API) listLaneGroups(x *exchange) error {
	rows, _, err := wire.Rows(x, a.App.LaneGroup, "", kind.Filter{Exact: x.Query("name")})
	if err != nil {
		return err
	}
	items := make([]map[string]any, len(rows))
	for i, r := range rows {
		items[i] = a.laneGroupView(r)
	}
	return answer(x, "swimlane_groups", items)
}

func (a *API) showLaneGroup(x *exchange) error {
	r, err := wire.Get(x, a.App.LaneGroup, x.Param("lane_group_id"))
	if err != nil {
		return err
	}
	return a.answerGroup(x, r)
}

func (a *API) deleteLaneGroup(x *exchange) error {
	if _, err := x.Do(a.App.LaneGroup.D, call.Delete, x.Param("lane_group_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}

// share is what a lane gets of the requests.
type share struct {
	ID     string `json:"id"`
	Match  string `json:"rule_match_mode"` // ALL, ANY
	Rules  []rule `json:"rules"`
	Weight int    `json:"weight"` // percent
}

// divide says which requests travel along which lane of a group: by weight or by what is in them.
func (a *API) divide(x *exchange) error {
	r, err := a.changing(x)
	if err != nil {
		return err
	}
	var b struct {
		By    string  `json:"gray_release_type"`
		Lanes []share `json:"swimlanes"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	if b.By != "WEIGHT" && b.By != "CONTENT" {
		return fail.Field("gray_release_type", "%q is neither WEIGHT nor CONTENT", b.By)
	}
	lanes := map[string]*laneRow{}
	for i, sh := range b.Lanes {
		l, err := a.laneOf(x, r, sh.ID)
		if err != nil {
			return fail.Field("swimlanes["+itoa(i)+"].id", "group %s has no lane %q", r.Name, sh.ID).Then("see GET …/swimlane")
		}
		lanes[sh.ID] = l
	}
	// Those that get less come first: all together never have more than everything.
	slices.SortStableFunc(b.Lanes, func(p, q share) int {
		return (p.Weight - lanes[p.ID].Spec.Weight) - (q.Weight - lanes[q.ID].Spec.Weight)
	})
	for _, sh := range b.Lanes {
		l := lanes[sh.ID]
		if l.Spec.Type == "baseline" {
			continue // it gets what is left
		}
		s := wire.Spec{"weight": sh.Weight, "rules": []app.Rule{}}
		if b.By == "CONTENT" {
			s = wire.Spec{"weight": 0, "rules": rulesOf(sh.Rules), "match": cmp.Or(strings.ToLower(sh.Match), "all")}
		}
		if _, err := x.Do(a.App.Lane.D, call.Update, string(l.ID), func(c *call.Call) { c.Spec = s.JSON() }); err != nil {
			return err
		}
	}
	var w laneGroupWords
	recall(r.Spec.Foreign, &w)
	w.By = b.By
	row, err := x.Do(a.App.LaneGroup.D, call.Update, string(r.ID), func(c *call.Call) { c.Spec = wire.Spec{"foreign": remember(w)}.JSON() })
	if err != nil {
		return err
	}
	return a.answerGroup(x, row)
}
