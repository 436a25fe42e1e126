package app

import (
	"context"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// TaskSpec describes one run of a command to its end, in a component's image with its configuration.
type TaskSpec struct {
	Component string            `json:"component" doc:"the component whose image and configuration it runs with" ref:"app/component" required:"true" immutable:"true"`
	Command   []string          `json:"command" doc:"program and arguments; empty: the component's own command" max:"256" immutable:"true"`
	Env       map[string]string `json:"env" doc:"environment variables beside the component's" max:"200" immutable:"true"`
	CPU       int64             `json:"cpu" doc:"CPU limit; 0: the component's" unit:"thousandths of a core" min:"0" max:"64000" immutable:"true"`
	Memory    int64             `json:"memory" doc:"memory limit; 0: the component's" unit:"MiB" min:"0" max:"1048576" immutable:"true"`
	Timeout   kind.Span         `json:"timeout" doc:"how long one attempt may take; then it is stopped and counts as failed" default:"1h" min:"1" max:"604800" immutable:"true"`
	Retries   int               `json:"retries" doc:"how often it is tried again after a failure" min:"0" max:"20" immutable:"true"`
	Schedule  string            `json:"schedule,omitempty" doc:"the schedule that started it" immutable:"true"`
}

// Phases of a task.
const (
	TaskPending   = "pending"
	TaskRunning   = "running"
	TaskSucceeded = "succeeded"
	TaskFailed    = "failed"
	TaskStopped   = "stopped"
)

// TaskStatus tells how far it is.
type TaskStatus struct {
	Phase    string    `json:"phase" doc:"pending, running, succeeded, failed or stopped"`
	ExitCode int       `json:"exit_code" doc:"of the newest attempt that ended"`
	Reason   string    `json:"reason,omitempty" doc:"how it ended, or what it waits for"`
	Started  time.Time `json:"started,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
	Image    string    `json:"image,omitempty" doc:"what it runs, by digest"`
	Attempts []Attempt `json:"attempts" doc:"each start of it, with its instance"`
	Stop     bool      `json:"stop,omitempty" doc:"somebody asked it to stop"`
}

// Attempt is one start of a task's command. Its instance stays, for its log, until the task is deleted.
type Attempt struct {
	Instance id.ID     `json:"instance"`
	Started  time.Time `json:"started,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
	ExitCode int       `json:"exit_code"`
	Reason   string    `json:"reason,omitempty"`
	RetryAt  time.Time `json:"retry_at,omitzero" doc:"not started before"`
}

type taskRow = kind.Row[TaskSpec, TaskStatus]

// tasksAtOnce is how many tasks of one project run at the same time; more wait.
const tasksAtOnce = 10

// Over tells whether it has ended.
func (t TaskStatus) Over() bool {
	return t.Phase == TaskSucceeded || t.Phase == TaskFailed || t.Phase == TaskStopped
}

func (s *Service) describeTasks() {
	running := func(f func(TaskSpec) int64) func(TaskSpec, TaskStatus) int64 {
		return func(t TaskSpec, st TaskStatus) int64 {
			if st.Phase != TaskRunning {
				return 0
			}
			return f(t)
		}
	}
	s.Task = kind.TableOf[TaskSpec, TaskStatus](kind.Kind[TaskSpec, TaskStatus]{
		Service: "app", Name: "task", Scope: kind.InProject, NoRename: true, NamePat: `^[a-z]([a-z0-9-]{0,94}[a-z0-9])?$`,
		Doc:     "One run of a command to its end, in a component's image: a migration, an import, a report.",
		Columns: []string{"spec.component", "status.phase", "status.exit_code", "status.started", "status.ended"},
		Example: TaskSpec{Component: "web", Command: []string{"./migrate"}, Retries: 1},
		Index: map[string]func(*taskRow) []string{
			"component":  func(r *taskRow) []string { return []string{r.Spec.Component} },
			"schedule":   func(r *taskRow) []string { return []string{r.Spec.Schedule} },
			"phase":      func(r *taskRow) []string { return []string{r.Status.Phase} },
			"unfinished": func(r *taskRow) []string { return map[bool][]string{false: {"yes"}}[r.Status.Over()] }},
		Quota: map[ledger.Dim]func(TaskSpec) int64{"app.tasks": func(TaskSpec) int64 { return 1 }},
		Meter: map[ledger.Dim]func(TaskSpec, TaskStatus) int64{
			"app.cpu":    running(func(t TaskSpec) int64 { return t.CPU }),
			"app.memory": running(func(t TaskSpec) int64 { return t.Memory })},
		Check: s.checkTask,
		Changed: func(context.Context, store.Tx, *taskRow, *taskRow) error {
			s.wakeSoon(s.Task.D)
			return nil
		},
		Delete: job.Flow[taskRow]{{Name: "stop", Do: s.removeAttempts, Deadline: 10 * time.Minute}},
		Loop:   job.Loop[taskRow]{Every: time.Second, Do: s.runTask},
		Actions: []kind.Action[TaskSpec, TaskStatus]{
			{Verb: "stop", Doc: "end it before it ends by itself", Level: kind.Write, Change: func(_ context.Context, _ store.Tx, r *taskRow, _ any) (string, error) {
				if r.Status.Over() {
					return "", fail.New(fail.Precondition, "%s has ended already", r.Name)
				}
				r.Status.Stop = true
				return "", nil
			}},
			{Verb: "logs", Doc: "read or follow what it prints", Level: kind.Read, In: TaskLogsIn{}, Serve: s.serveTaskLogs},
		}}.Def())
	s.describeSchedules()
}

// checkTask fills in the component's limits and plans the first attempt: its instance has an id before it exists.
func (s *Service) checkTask(_ context.Context, tx store.Tx, old, row *taskRow) error {
	if old != nil {
		return nil
	}
	c, err := s.Component.Find(tx, string(row.Project), row.Spec.Component)
	switch {
	case err != nil:
		return err
	case c == nil || c.State == kind.Trashed:
		return fail.Field("spec.component", "there is no component %q", row.Spec.Component).Then("see awan component list")
	case c.Status.Image == "":
		return fail.New(fail.Precondition, "component %s has no release yet", c.Name).Then("deploy it first")
	}
	spec := &row.Spec
	spec.Component = c.Name
	if spec.CPU == 0 {
		spec.CPU = c.Spec.CPU
	}
	if spec.Memory == 0 {
		spec.Memory = c.Spec.Memory
	}
	switch {
	case spec.CPU < 50:
		return fail.Field("spec.cpu", "%d is too small; the least is 50 thousandths of a core", spec.CPU)
	case spec.Memory < 16:
		return fail.Field("spec.memory", "%d is too small; the least is 16 MiB", spec.Memory)
	}
	for k := range spec.Env {
		if k == "" || strings.ContainsAny(k, "=\x00 ") {
			return fail.Field("spec.env", "%q is not a name for an environment variable", k)
		}
	}
	row.Status = TaskStatus{Phase: TaskPending, Image: c.Status.Image, Attempts: []Attempt{{Instance: id.New()}}}
	return nil
}

// unscheduled refuses to delete a component that a schedule starts tasks of.
func (s *Service) unscheduled(_ context.Context, tx store.Tx, row *componentRow) error {
	rows, err := s.Schedule.List(tx, string(row.Project), kind.Filter{Index: "component", Value: row.Name, Limit: 1})
	if err == nil && len(rows) > 0 {
		err = fail.New(fail.Precondition, "schedule %s still runs it", rows[0].Name).Then("awan schedule delete %s", rows[0].Name)
	}
	return err
}

func (s *Service) removeAttempts(ctx context.Context, row *taskRow) error {
	s.started(row.ID)
	for _, a := range row.Status.Attempts {
		if err := s.Engine.Stop(ctx, a.Instance, stopGrace); err != nil {
			return fail.Wrap(err, fail.Unavailable, "the task cannot be stopped")
		}
		if err := s.Engine.Destroy(ctx, a.Instance); err != nil {
			return fail.Wrap(err, fail.Unavailable, "the task cannot be removed")
		}
	}
	if !row.Status.Over() {
		row.Status.Phase, row.Status.Ended, row.Status.Reason = TaskStopped, s.Now().UTC(), "deleted"
	}
	return nil
}
