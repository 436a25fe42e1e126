package scaling

import (
	"context"
	"time"
	_ "time/tzdata" // time zones, also where the machine has none

	"github.com/robfig/cron/v3"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/app"
)

// Spec describes a scaling policy.
type Spec struct {
	Component string     `json:"component" doc:"the component it is for; there is one policy for each" ref:"app/component" required:"true" immutable:"true"`
	Min       int        `json:"min" doc:"fewest instances; 0: none run while nobody asks, and the next request starts one" default:"1" min:"0" max:"50"`
	Max       int        `json:"max" doc:"most instances" default:"3" min:"1" max:"50"`
	Rules     []Rule     `json:"rules" doc:"what the number of instances follows; the rule that wants most decides" max:"5"`
	Schedules []Schedule `json:"schedules" doc:"other bounds from certain times on; the newest that has come holds" max:"20"`
	UpPause   kind.Span  `json:"up_pause" doc:"time after a change before more are started" default:"30s" min:"0" max:"3600"`
	DownAfter kind.Span  `json:"down_after" doc:"how long fewer must have been enough before some are stopped" default:"5m" min:"10" max:"86400"`
	Idle      kind.Span  `json:"idle" doc:"with a minimum of 0: how long there must be no request before the last instance stops" default:"10m" min:"10" max:"86400"`
	Wait      kind.Span  `json:"wait" doc:"with a minimum of 0: how long a request is held while an instance starts" default:"30s" min:"1" max:"300"`
}

// Rule is one measurement that the number of instances follows.
type Rule struct {
	Metric string  `json:"metric" doc:"cpu or memory (mean % of the limit), requests (per second, for each instance), latency (95th percentile, ms)" enum:"cpu,memory,requests,latency" required:"true"`
	Target float64 `json:"target" doc:"what it should be at most" required:"true" example:"60"`
}

// Schedule sets other bounds at certain times.
type Schedule struct {
	Cron string `json:"cron" doc:"minute, hour, day of month, month, day of week" required:"true" example:"0 8 * * 1-5"`
	Zone string `json:"zone" doc:"time zone that is meant" default:"UTC" example:"Asia/Kuala_Lumpur"`
	Min  int    `json:"min" doc:"fewest instances from then on" min:"0" max:"50"`
	Max  int    `json:"max" doc:"most instances from then on" min:"1" max:"50" required:"true"`
}

// Status is what the policy does.
type Status struct {
	Replicas int       `json:"replicas" doc:"instances it wanted last"`
	Min      int       `json:"min" doc:"bound in force now"`
	Max      int       `json:"max" doc:"bound in force now"`
	Changed  time.Time `json:"changed,omitzero" doc:"when the number of instances changed last"`
	Reason   string    `json:"reason,omitempty" doc:"why"`
}

type row = kind.Row[Spec, Status]

func (s *Service) describe() {
	s.Policy = kind.TableOf[Spec, Status](kind.Kind[Spec, Status]{Service: "app", Name: "scaling-policy", Plural: "scaling-policies", Scope: kind.InProject,
		Doc:     "How many instances of a component run, by what is measured, by the clock, and down to none.",
		Columns: []string{"spec.component", "status.replicas", "status.min", "status.max", "status.reason"},
		Example: Spec{Component: "web", Min: 1, Max: 5, Rules: []Rule{{"cpu", 60}}},
		Quota:   map[ledger.Dim]func(Spec) int64{"app.scaling-policies": func(Spec) int64 { return 1 }},
		Index:   map[string]func(*row) []string{"component": func(r *row) []string { return []string{r.Spec.Component} }},
		Check:   s.check,
		Delete:  job.Flow[row]{{Name: "leave something running", Do: s.leave, Deadline: 5 * time.Minute}},
	}.Def())
}

func (s *Service) check(_ context.Context, tx store.Tx, _, r *row) error {
	spec := &r.Spec
	c, err := s.Apps.Component.Find(tx, string(r.Project), spec.Component)
	if err != nil {
		return err
	}
	if c == nil {
		return fail.Field("spec.component", "there is no component %q", spec.Component).Then("see awan component list")
	}
	spec.Component = string(c.ID)
	others, err := s.Policy.List(tx, string(r.Project), kind.Filter{Index: "component", Value: spec.Component})
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.ID != r.ID {
			return fail.New(fail.Exists, "component %s has a scaling policy already: %s", c.Name, o.Name).Then("change that one, or delete it first")
		}
	}
	if spec.Max < spec.Min || spec.Max < 1 {
		return fail.Field("spec.max", "is less than the minimum, %d", spec.Min)
	}
	for _, rule := range spec.Rules {
		if rule.Target <= 0 || rule.Target > 100 && (rule.Metric == "cpu" || rule.Metric == "memory") {
			return fail.Field("spec.rules", "%g is no target for %s", rule.Target, rule.Metric).Then("give a number above 0; of cpu and memory a percentage")
		}
	}
	for i := range spec.Schedules {
		x := &spec.Schedules[i]
		if x.Zone == "" {
			x.Zone = "UTC"
		}
		if _, err := cron.ParseStandard(x.Cron); err != nil || x.Cron == "" || x.Cron[0] == 'T' || x.Cron[0] == 'C' || x.Cron[0] == '@' {
			return fail.Field("spec.schedules", "%q is not five fields of a cron line", x.Cron).Then("0 8 * * 1-5 means at 8:00 from Monday to Friday")
		}
		if _, err := time.LoadLocation(x.Zone); err != nil || x.Zone == "Local" {
			return fail.Field("spec.schedules", "%q is not a time zone", x.Zone).Then("Asia/Kuala_Lumpur, say")
		}
		if x.Max < x.Min || x.Max < 1 {
			return fail.Field("spec.schedules", "max must be at least min, and 1")
		}
	}
	r.Status.Min, r.Status.Max = bounds(*spec, s.Now()) // shown at once; the next round acts on it
	if r.Status.Changed.IsZero() {
		r.Status.Replicas = c.Spec.Replicas
	}
	return nil
}

// leave keeps a component from sleeping for ever: without the policy nothing would wake it.
func (s *Service) leave(ctx context.Context, r *row) error {
	c, err := s.component(ctx, id.ID(r.Spec.Component))
	if err != nil || c == nil || c.State == kind.Trashed || c.Spec.Stopped || c.Spec.Replicas > 0 {
		return err
	}
	err = s.set(ctx, c, 1, "the scaling policy is deleted, so no request would wake it")
	if fail.Is(err, fail.Conflict) {
		return job.Nap(200*time.Millisecond, "the component is busy")
	}
	return err
}

// Bounds is for the app service: between what a policy keeps a component now.
func (s *Service) Bounds(tx store.Tx, component id.ID) (*app.Bounds, error) {
	c, err := s.Apps.Component.Get(tx, component)
	if err != nil || c == nil {
		return nil, err
	}
	r, err := s.of(tx, c)
	if err != nil || r == nil {
		return nil, err
	}
	low, high := bounds(r.Spec, s.Now())
	return &app.Bounds{Policy: r.Name, Min: low, Max: high}, nil
}

// of gives the policy of a component; nil when there is none.
func (s *Service) of(tx store.Tx, c *component) (*row, error) {
	rows, err := s.Policy.List(tx, string(c.Project), kind.Filter{Index: "component", Value: string(c.ID), State: kind.Active})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// bounds are those of the schedule that came newest, or the policy's own while none has come in a year.
func bounds(spec Spec, now time.Time) (low, high int) {
	low, high = spec.Min, spec.Max
	var newest time.Time
	for _, x := range spec.Schedules {
		if at := lastTime(x, now); at.After(newest) {
			newest, low, high = at, x.Min, x.Max
		}
	}
	return low, high
}

// lastTime is when a schedule came last; zero when it did not within a year. It depends on nothing but the clock, so a
// cloud that was down at that time does the same as one that was not.
func lastTime(x Schedule, now time.Time) (last time.Time) {
	line, err := cron.ParseStandard(x.Cron)
	if err != nil {
		return last
	}
	zone, err := time.LoadLocation(x.Zone)
	if err != nil {
		return last
	}
	now = now.In(zone)
	for _, back := range []time.Duration{time.Hour, 25 * time.Hour, 8 * 24 * time.Hour, 32 * 24 * time.Hour, 367 * 24 * time.Hour} {
		for at := line.Next(now.Add(-back)); !at.IsZero() && !at.After(now); at = line.Next(at) {
			last = at
		}
		if !last.IsZero() {
			return last
		}
	}
	return last
}
