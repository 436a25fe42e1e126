package app

import (
	"context"
	"fmt"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// LaneHeader marks a request's lane, unless the group names another header.
const LaneHeader = "X-Awan-Lane"

// LaneGroupSpec is an application whose requests may travel along lanes.
type LaneGroupSpec struct {
	Application string `json:"application" doc:"the application whose components it is about" ref:"app/application" default:"default" immutable:"true"`
	Entry       string `json:"entry" doc:"the component at which requests come in and get their lane" ref:"app/component" required:"true" immutable:"true"`
	Header      string `json:"header" doc:"header that marks a request's lane" default:"X-Awan-Lane" pattern:"^[A-Za-z][A-Za-z0-9-]{0,63}$"`
	Foreign     string `json:"foreign" form:"-" doc:"what a client of another cloud's API said that this cloud gives back and does not use" max:"65536"`
}

// LaneGroupStatus is empty: a group is a rule.
type LaneGroupStatus struct{}

// LaneSpec is one way through the components of an application.
type LaneSpec struct {
	Group      string            `json:"group" doc:"the lane group" ref:"app/lane-group" required:"true" immutable:"true"`
	Type       string            `json:"type" doc:"baseline: the components as they are; gray: others in the place of some of them" enum:"baseline,gray" default:"gray" immutable:"true"`
	Traffic                      // who travels along it
	Disabled   bool              `json:"disabled" doc:"sends nobody along it"`
	Components map[string]string `json:"components" doc:"which component answers in the place of which: cart=cart-next" max:"50"`
	Foreign    string            `json:"foreign" form:"-" doc:"what a client of another cloud's API said that this cloud gives back and does not use" max:"65536"`
}

// LaneStatus is empty.
type LaneStatus struct{}

type (
	laneGroupRow = kind.Row[LaneGroupSpec, LaneGroupStatus]
	laneRow      = kind.Row[LaneSpec, LaneStatus]
)

func (s *Service) describeLanes() {
	s.LaneGroup = kind.TableOf[LaneGroupSpec, LaneGroupStatus](kind.Kind[LaneGroupSpec, LaneGroupStatus]{
		Service: "app", Name: "lane-group", Scope: kind.InProject, NoRename: true,
		Doc:     "An application whose requests may travel along lanes: full-link gray releases over several components.",
		Columns: []string{"spec.application", "spec.entry", "spec.header"}, Example: LaneGroupSpec{Application: "shop", Entry: "web"},
		Index: map[string]func(*laneGroupRow) []string{"application": func(r *laneGroupRow) []string { return []string{r.Spec.Application} }},
		Check: s.checkLaneGroup,
		CheckDelete: func(_ context.Context, tx store.Tx, r *laneGroupRow) error {
			lanes, err := s.lanesOf(tx, r)
			if err == nil && len(lanes) > 0 {
				err = fail.New(fail.Precondition, "lane %s is still in it", lanes[0].Name).Then("awan lane delete %s", lanes[0].Name)
			}
			return err
		}}.Def())
	s.Lane = kind.TableOf[LaneSpec, LaneStatus](kind.Kind[LaneSpec, LaneStatus]{
		Service: "app", Name: "lane", Scope: kind.InProject, NoRename: true,
		Doc:     "One way of requests through the components of an application; the baseline, or one with others in the place of some.",
		Columns: []string{"spec.group", "spec.type", "spec.weight", "spec.disabled"},
		Example: LaneSpec{Group: "shop", Type: "gray", Traffic: Traffic{Weight: 10, Match: "all"}, Components: map[string]string{"cart": "cart-next"}},
		Index:   map[string]func(*laneRow) []string{"group": func(r *laneRow) []string { return []string{r.Spec.Group} }},
		Check:   s.checkLane, CheckDelete: s.checkLaneDelete}.Def())
}

func (s *Service) checkLaneGroup(_ context.Context, tx store.Tx, _, row *laneGroupRow) error {
	application, err := s.Application.Find(tx, string(row.Project), row.Spec.Application)
	if err != nil {
		return err
	}
	if application == nil {
		return fail.Field("spec.application", "there is no application %q", row.Spec.Application)
	}
	row.Spec.Application = application.Name
	entry, err := s.member(tx, row, "spec.entry", row.Spec.Entry)
	if err != nil {
		return err
	}
	row.Spec.Entry = entry.Name
	groups, err := s.groupsOf(tx, &application.Meta)
	for _, g := range groups {
		if g.ID != row.ID {
			return fail.Field("spec.application", "application %s has the lane group %s already", application.Name, g.Name).Then("add lanes to that one")
		}
	}
	return err
}

// member finds a component of a group's application.
func (s *Service) member(tx store.Tx, group *laneGroupRow, field, ref string) (*componentRow, error) {
	c, err := s.Component.Find(tx, string(group.Project), ref)
	if err != nil {
		return nil, err
	}
	if c == nil || c.Spec.Application != group.Spec.Application {
		return nil, fail.Field(field, "application %s has no component %q", group.Spec.Application, ref).Then("see awan component list --by application=%s", group.Spec.Application)
	}
	return c, nil
}

func (s *Service) lanesOf(tx store.Tx, group *laneGroupRow) ([]*laneRow, error) {
	return s.Lane.List(tx, string(group.Project), kind.Filter{Index: "group", Value: group.Name})
}

func (s *Service) checkLane(_ context.Context, tx store.Tx, _, row *laneRow) error {
	spec := &row.Spec
	group, err := s.LaneGroup.Find(tx, string(row.Project), spec.Group)
	if err != nil {
		return err
	}
	if group == nil {
		return fail.Field("spec.group", "there is no lane group %q", spec.Group).Then("awan lane-group create %s --entry COMPONENT", spec.Group)
	}
	spec.Group = group.Name
	lanes, err := s.lanesOf(tx, group)
	if err != nil {
		return err
	}
	baseline, weight := "", spec.Weight
	for _, l := range lanes {
		switch {
		case l.ID == row.ID:
		case l.Spec.Type == "baseline":
			baseline = l.Name
		case !l.Spec.Disabled && !spec.Disabled:
			weight += l.Spec.Weight
		}
	}
	if spec.Type == "baseline" {
		switch {
		case baseline != "":
			return fail.Field("spec.type", "group %s has the baseline lane %s already", group.Name, baseline)
		case len(spec.Components) > 0 || spec.Weight > 0 || len(spec.Rules) > 0:
			return fail.Field("spec.components", "the baseline lane is the components as they are: it takes no components, weight or rules")
		}
		return nil
	}
	if baseline == "" {
		return fail.Field("spec.type", "group %s needs its baseline lane first", group.Name).Then("awan lane create baseline --group %s --type baseline", group.Name)
	}
	if weight > 100 {
		return fail.Field("spec.weight", "the lanes of group %s would have %d %% together", group.Name, weight).Then("lower another lane's weight first")
	}
	if err := checkTraffic("spec", spec.Traffic); err != nil {
		return err
	}
	for of, by := range spec.Components {
		field := "spec.components." + of
		base, err := s.member(tx, group, field, of)
		if err != nil {
			return err
		}
		other, err := s.member(tx, group, field, by)
		if err != nil {
			return err
		}
		if base.ID == other.ID {
			return fail.Field(field, "a component cannot take its own place").Then("make another for the lane: awan clone %s %s-%s", of, of, row.Name)
		}
	}
	return nil
}

func (s *Service) checkLaneDelete(_ context.Context, tx store.Tx, row *laneRow) error {
	if row.Spec.Type != "baseline" {
		return nil
	}
	lanes, err := s.Lane.List(tx, string(row.Project), kind.Filter{Index: "group", Value: row.Spec.Group})
	for _, l := range lanes {
		if l.ID != row.ID {
			return fail.New(fail.Precondition, "lane %s falls back to it", l.Name).Then("delete the gray lanes first")
		}
	}
	return err
}

// groupsOf lists the lane groups of an application.
func (s *Service) groupsOf(tx store.Tx, application *kind.Meta) ([]*laneGroupRow, error) {
	return s.LaneGroup.List(tx, string(application.Project), kind.Filter{Index: "application", Value: application.Name})
}

// renameLaneGroups tells lane groups what their application is called now.
func (s *Service) renameLaneGroups(tx store.Tx, old, now *kind.Meta) error {
	if old == nil || now == nil || old.Name == now.Name {
		return nil
	}
	groups, err := s.groupsOf(tx, old)
	for _, g := range groups {
		g.Spec.Application = now.Name
		if err := s.LaneGroup.Put(tx, g); err != nil {
			return err
		}
	}
	return err
}

// withoutLanes refuses to delete an application that has a lane group.
func (s *Service) withoutLanes(tx store.Tx, application *kind.Meta) error {
	groups, err := s.groupsOf(tx, application)
	if err == nil && len(groups) > 0 {
		err = fail.New(fail.Precondition, "lane group %s is still there", groups[0].Name).Then("awan lane-group delete %s", groups[0].Name)
	}
	return err
}

// lanesEvery is how often the lanes are looked at without a change of their own: a component they name may come or go.
const lanesEvery = 5 * time.Second

// followLanes tells the ingress about the lanes, now and whenever they change.
func (s *Service) followLanes(ctx context.Context) {
	changed := make(chan struct{}, 1)
	for _, d := range []*kind.Def{s.Lane.D, s.LaneGroup.D} {
		s.running.Go(func() {
			for ctx.Err() == nil {
				for _, err := range s.Store.Watch(ctx, store.Key(d.Prefix("")), s.Store.Rev()) {
					if err != nil {
						break
					}
					select {
					case changed <- struct{}{}:
					default:
					}
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		})
	}
	for {
		if err := s.syncLanes(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("the lanes cannot be read", "err", err)
		}
		timer := time.NewTimer(lanesEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// syncLanes makes the ingress's table of lanes from the rows.
func (s *Service) syncLanes(ctx context.Context) error {
	table := laneTable{}
	err := s.Store.View(ctx, func(tx store.Tx) error {
		groups, err := s.LaneGroup.List(tx, "", kind.Filter{})
		for _, g := range groups {
			if err := s.readGroup(tx, g, table); err != nil {
				return fmt.Errorf("group %s: %w", g.Name, err)
			}
		}
		return err
	})
	if err == nil {
		s.Ingress.lanes.Store(&table)
	}
	return err
}

func (s *Service) readGroup(tx store.Tx, g *laneGroupRow, table laneTable) error {
	of := map[string]id.ID{}
	rows, err := s.Component.List(tx, string(g.Project), kind.Filter{Index: "application", Value: g.Spec.Application})
	if err != nil {
		return err
	}
	for _, c := range rows {
		of[c.Name], of[string(c.ID)] = c.ID, c.ID
	}
	group := &laneGroup{entry: of[g.Spec.Entry], header: g.Spec.Header, own: map[id.ID]*lane{}}
	lanes, err := s.lanesOf(tx, g)
	if err != nil {
		return err
	}
	for _, l := range lanes {
		if l.Spec.Disabled || l.Spec.Type == "baseline" {
			continue
		}
		x := &lane{name: l.Name, matcher: newMatcher(l.Spec.Traffic), by: map[id.ID]id.ID{}}
		for base, other := range l.Spec.Components {
			x.by[of[base]] = of[other]
		}
		group.lanes = append(group.lanes, x)
	}
	group.learn()
	for _, c := range rows {
		table[c.ID] = group
	}
	return nil
}
