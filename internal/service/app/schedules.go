package app

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"

	"encoding/json"
)

// ScheduleSpec starts tasks at times.
type ScheduleSpec struct {
	Component   string            `json:"component" doc:"the component whose image and configuration its tasks run with" ref:"app/component" required:"true"`
	Cron        string            `json:"cron" doc:"when: minute, hour, day of month, month, day of week; or @hourly, @daily, @every 10m" required:"true" example:"0 3 * * *" max:"120"`
	Zone        string            `json:"zone" doc:"time zone of the times: Europe/Berlin" default:"UTC" max:"64"`
	Command     []string          `json:"command" doc:"program and arguments; empty: the component's own command" max:"256"`
	Env         map[string]string `json:"env" doc:"environment variables beside the component's" max:"200"`
	CPU         int64             `json:"cpu" doc:"CPU limit; 0: the component's" unit:"thousandths of a core" min:"0" max:"64000"`
	Memory      int64             `json:"memory" doc:"memory limit; 0: the component's" unit:"MiB" min:"0" max:"1048576"`
	Timeout     kind.Span         `json:"timeout" doc:"how long one attempt may take" default:"1h" min:"1" max:"604800"`
	Retries     int               `json:"retries" doc:"how often a task is tried again after a failure" min:"0" max:"20"`
	Concurrency string            `json:"concurrency" doc:"when a task is due and the one before still runs: allow both, forbid the new one, or replace the old one" enum:"allow,forbid,replace" default:"forbid"`
	Missed      string            `json:"missed" doc:"what to do about times at which the cloud was away: run once for all of them, or skip them" enum:"once,skip" default:"once"`
	Suspended   bool              `json:"suspended" doc:"starts nothing; times that pass meanwhile are not made up for"`
	Keep        int               `json:"keep" doc:"finished tasks that are kept, with their logs" default:"5" min:"0" max:"100"`
	KeepFailed  int               `json:"keep_failed" doc:"failed tasks that are kept" default:"5" min:"0" max:"100"`
}

// ScheduleStatus tells when.
type ScheduleStatus struct {
	Next time.Time `json:"next,omitzero" doc:"when the next task is due"`
	Last time.Time `json:"last,omitzero" doc:"when the last one was due"`
	Task string    `json:"task,omitempty" doc:"the last task's name"`
	Note string    `json:"note,omitempty" doc:"why the last time started none"`
}

type scheduleRow = kind.Row[ScheduleSpec, ScheduleStatus]

// onTime is how late a task may be started and still count as on time.
const onTime = 30 * time.Second

func (s *Service) describeSchedules() {
	s.Schedule = kind.TableOf[ScheduleSpec, ScheduleStatus](kind.Kind[ScheduleSpec, ScheduleStatus]{
		Service: "app", Name: "schedule", Scope: kind.InProject, NoRename: true,
		Doc:     "Starts tasks at times, as cron does.",
		Columns: []string{"spec.component", "spec.cron", "spec.zone", "spec.suspended", "status.next", "status.task"},
		Example: ScheduleSpec{Component: "web", Cron: "0 3 * * *", Zone: "Europe/Berlin", Command: []string{"./report"}},
		Index:   map[string]func(*scheduleRow) []string{"component": func(r *scheduleRow) []string { return []string{r.Spec.Component} }},
		Quota:   map[ledger.Dim]func(ScheduleSpec) int64{"app.schedules": func(ScheduleSpec) int64 { return 1 }},
		Check:   s.checkSchedule,
		Loop:    job.Loop[scheduleRow]{Every: time.Second, Do: s.tick},
	}.Def())
}

// when reads a schedule's times.
func when(spec ScheduleSpec) (cron.Schedule, *time.Location, error) {
	zone, err := time.LoadLocation(spec.Zone)
	if err != nil || spec.Zone == "Local" {
		return nil, nil, fail.Field("spec.zone", "%q is not a time zone", spec.Zone).Then("write UTC or Europe/Berlin, say")
	}
	times, err := cron.ParseStandard(spec.Cron)
	if err != nil {
		return nil, nil, fail.Field("spec.cron", "%q is not a schedule: %v", spec.Cron, err).Then("write five fields, 0 3 * * * say, or @daily")
	}
	return times, zone, nil
}

func (s *Service) checkSchedule(_ context.Context, tx store.Tx, old, row *scheduleRow) error {
	times, zone, err := when(row.Spec)
	if err != nil {
		return err
	}
	c, err := s.Component.Find(tx, string(row.Project), row.Spec.Component)
	if err != nil {
		return err
	}
	if c == nil || c.State == kind.Trashed {
		return fail.Field("spec.component", "there is no component %q", row.Spec.Component).Then("see awan component list")
	}
	row.Spec.Component = c.Name
	if len(row.Name) > 63-15 {
		return fail.Field("name", "is longer than 48 characters: the names of its tasks begin with it")
	}
	resumed := old != nil && old.Spec.Suspended && !row.Spec.Suspended
	if old == nil || resumed || old.Spec.Cron != row.Spec.Cron || old.Spec.Zone != row.Spec.Zone {
		row.Status.Next = times.Next(s.Now().In(zone)).UTC()
		if row.Status.Next.IsZero() {
			return fail.Field("spec.cron", "%q never comes", row.Spec.Cron)
		}
	}
	return nil
}

// tick is the schedule's loop. The task of a time has a name made from it and is created before the time is counted as
// done, so a crash in between finds the task there and starts no second one.
func (s *Service) tick(ctx context.Context, row *scheduleRow) (changed bool, err error) {
	before := row.Status
	if err := s.prune(ctx, row); err != nil {
		return false, err
	}
	times, zone, err := when(row.Spec)
	if err != nil {
		return false, err
	}
	now, st := s.Now(), &row.Status
	if now.Before(st.Next) || st.Next.IsZero() {
		return false, nil
	}
	due, next := st.Next, times.Next(st.Next.In(zone))
	missed := 0
	for !next.IsZero() && !now.Before(next) { // of those that passed only the newest counts
		due, next = next.UTC(), times.Next(next)
		if missed++; missed > 10_000 {
			next = times.Next(now.In(zone))
		}
	}
	st.Next, st.Last, st.Note = next.UTC(), due, ""
	switch {
	case row.Spec.Suspended:
		st.Note = "suspended"
	case row.Spec.Missed == "skip" && now.Sub(due) > onTime:
		st.Note = "skipped: the cloud was away when it was due"
	default:
		if err := s.startDue(ctx, row, due); err != nil {
			return false, err
		}
	}
	if missed > 0 {
		s.emit(ctx, row.ID, event.Warning, "Missed", "%d times passed while the cloud was away", missed)
	}
	return !reflect.DeepEqual(before, *st), nil
}

// startDue creates the task of a time.
func (s *Service) startDue(ctx context.Context, row *scheduleRow, due time.Time) error {
	name := row.Name + "-" + due.UTC().Format("20060102-1504") // cron's grain is a minute
	if row.Spec.Cron[0] == '@' {
		name = fmt.Sprintf("%s-%d", row.Name, due.Unix())
	}
	var running []*taskRow
	there := false
	err := s.Store.View(ctx, func(tx store.Tx) error {
		all, err := s.Task.List(tx, string(row.Project), kind.Filter{Index: "schedule", Value: row.Name})
		for _, t := range all {
			there = there || t.Name == name
			if !t.Status.Over() && t.Name != name {
				running = append(running, t)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	row.Status.Task = name
	if there { // created before a crash
		return nil
	}
	if len(running) > 0 && row.Spec.Concurrency == "forbid" {
		row.Status.Note, row.Status.Task = "not started: "+running[0].Name+" still runs", running[0].Name
		s.emit(ctx, row.ID, event.Warning, "Skipped", "%s was not started: %s still runs", name, running[0].Name)
		return nil
	}
	if row.Spec.Concurrency == "replace" {
		for _, t := range running {
			if _, err := s.system(ctx, &call.Call{Kind: s.Task.D, Verb: "stop", Target: string(t.ID)}, &row.Meta); err != nil && !fail.Is(err, fail.Precondition) {
				return err
			}
		}
	}
	sp := row.Spec
	spec, err := json.Marshal(TaskSpec{Component: sp.Component, Command: sp.Command, Env: sp.Env, CPU: sp.CPU, Memory: sp.Memory, Timeout: sp.Timeout,
		Retries: sp.Retries, Schedule: row.Name})
	if err != nil {
		return err
	}
	_, err = s.system(ctx, &call.Call{Kind: s.Task.D, Verb: call.Create, Name: &name, Spec: spec}, &row.Meta)
	switch {
	case fail.Is(err, fail.Unavailable), fail.Is(err, fail.Timeout), fail.Is(err, fail.Conflict), ctx.Err() != nil:
		return err // the next round tries again
	case err != nil:
		row.Status.Note, row.Status.Task = "not started: "+fail.From(err).Public(), ""
		s.emit(ctx, row.ID, event.Error, "NotStarted", "%s: %s", name, fail.From(err).Public())
	}
	return nil
}

// system sends a call of the cloud's own in a row's project.
func (s *Service) system(ctx context.Context, c *call.Call, in *kind.Meta) (call.Reply, error) {
	c.Domain, c.Project, c.Principal, c.Dialect = string(in.Domain), string(in.Project), ident.System(), "loop"
	return s.Host.Do(ctx, c)
}

// prune deletes finished tasks beyond those that are kept.
func (s *Service) prune(ctx context.Context, row *scheduleRow) error {
	var surplus []*taskRow
	err := s.Store.View(ctx, func(tx store.Tx) error {
		all, err := s.Task.List(tx, string(row.Project), kind.Filter{Index: "schedule", Value: row.Name})
		kept := map[bool]int{}
		for i := len(all) - 1; i >= 0; i-- {
			t := all[i]
			if !t.Status.Over() || t.State == kind.Deleting {
				continue
			}
			failed := t.Status.Phase != TaskSucceeded
			most := row.Spec.Keep
			if failed {
				most = row.Spec.KeepFailed
			}
			if kept[failed]++; kept[failed] > most {
				surplus = append(surplus, t)
			}
		}
		return err
	})
	for _, t := range surplus {
		if err != nil {
			return err
		}
		if _, err = s.system(ctx, &call.Call{Kind: s.Task.D, Verb: call.Delete, Target: string(t.ID)}, &row.Meta); fail.Is(err, fail.NotFound) {
			err = nil
		}
	}
	return err
}
