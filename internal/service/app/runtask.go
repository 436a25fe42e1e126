package app

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/workload"
)

// runTask is the task's loop: it moves it one step on. An attempt's instance is written down before it is started, and one
// that exists is never started again, so a crash at any moment neither loses a run nor repeats one.
func (s *Service) runTask(ctx context.Context, row *taskRow) (changed bool, err error) {
	st := &row.Status
	if st.Over() || len(st.Attempts) == 0 {
		return false, nil
	}
	before := *st
	before.Attempts = slices.Clone(st.Attempts)
	if st.Phase == TaskRunning {
		s.started(row.ID)
	}
	a := &st.Attempts[len(st.Attempts)-1]
	seen, err := s.Engine.Observe(ctx, a.Instance)
	switch {
	case fail.Is(err, fail.Gone) && st.Stop:
		s.endTask(ctx, row, TaskStopped, "stopped before it began")
		err = nil
	case fail.Is(err, fail.Gone) && !a.Started.IsZero():
		s.attemptEnded(ctx, row, a, 137, "its instance was lost")
		err = nil
	case fail.Is(err, fail.Gone), err == nil && seen.Phase == workload.PhaseCreated:
		err = s.startTask(ctx, row, a)
	case err == nil && seen.Phase == workload.PhaseRunning:
		err = s.watchTask(ctx, row, a, seen)
	case err == nil:
		code, reason := 137, "it ended"
		if seen.Exit != nil {
			code, reason = seen.Exit.Code, seen.Exit.Reason
		}
		if a.Started.IsZero() {
			a.Started = seen.Started.UTC()
		}
		s.attemptEnded(ctx, row, a, code, reason)
	}
	return !reflect.DeepEqual(before, *st), err
}

func (s *Service) startTask(ctx context.Context, row *taskRow, a *Attempt) error {
	if s.Now().Before(a.RetryAt) {
		return nil
	}
	wait, component, err := s.mayStart(ctx, row)
	if err != nil || wait != "" {
		row.Status.Reason = wait
		return err
	}
	if component == nil {
		s.endTask(ctx, row, TaskFailed, "component "+row.Spec.Component+" is gone")
		return nil
	}
	w, err := s.taskWant(ctx, row, component, a)
	if err == nil {
		if _, err = s.Engine.Ensure(ctx, a.Instance, w); err == nil {
			a.Started = s.Now().UTC()
			row.Status.Phase, row.Status.Reason = TaskRunning, ""
			if row.Status.Started.IsZero() {
				row.Status.Started = a.Started
			}
			s.emitTask(ctx, row, event.Info, "Started", "attempt %d runs", len(row.Status.Attempts))
			return nil
		}
	}
	if ctx.Err() != nil || fail.Is(err, fail.Unavailable) || fail.Is(err, fail.Timeout) {
		return err
	}
	// What the engine refuses now it refuses again: the command is not there, say.
	a.ExitCode, a.Ended, a.Reason = 127, s.Now().UTC(), fail.From(err).Public()
	row.Status.ExitCode = 127
	s.endTask(ctx, row, TaskFailed, a.Reason)
	return nil
}

// mayStart gives the component; wait says what the task must wait for.
func (s *Service) mayStart(ctx context.Context, row *taskRow) (wait string, component *componentRow, err error) {
	s.starting.mu.Lock() // one at a time: those that are started now are not stored as running yet
	defer s.starting.mu.Unlock()
	err = s.Store.View(ctx, func(tx store.Tx) error {
		running, err := s.Task.List(tx, string(row.Project), kind.Filter{Index: "phase", Value: TaskRunning, Limit: tasksAtOnce})
		if err != nil {
			return err
		}
		n := len(running)
		for t, project := range s.starting.of {
			if project == row.Project && t != row.ID && !slices.ContainsFunc(running, func(r *taskRow) bool { return r.ID == t }) {
				n++
			}
		}
		if n >= tasksAtOnce {
			wait = "waits: as many tasks of this project run as may"
			return nil
		}
		s.starting.of[row.ID] = row.Project
		component, err = s.Component.Find(tx, string(row.Project), row.Spec.Component)
		return err
	})
	if component != nil && component.State == kind.Trashed {
		component = nil
	}
	return wait, component, err
}

// taskWant is an instance of the component with the task's own command, limits and variables.
func (s *Service) taskWant(ctx context.Context, row *taskRow, component *componentRow, a *Attempt) (workload.Want, error) {
	st := &component.Status
	w, err := s.want(ctx, component, Instance{ID: a.Instance, Hash: st.Running, Release: st.Release})
	if err != nil {
		return w, err
	}
	w.Image, w.MilliCPU, w.MemoryMiB = row.Status.Image, row.Spec.CPU, row.Spec.Memory
	if len(row.Spec.Command) > 0 {
		w.Command = row.Spec.Command
	}
	maps.Copy(w.Env, row.Spec.Env)
	for k := range row.Spec.Env {
		delete(w.Secrets, k)
	}
	w.Labels = map[string]string{"task": string(row.ID), "name": row.Name}
	w.Hostname = component.Name
	return w, nil
}

// watchTask looks after a running attempt: its time, and a wish that it stop.
func (s *Service) watchTask(ctx context.Context, row *taskRow, a *Attempt, seen workload.Seen) error {
	st := &row.Status
	if a.Started.IsZero() { // the process died between the start and writing it down
		a.Started = seen.Started.UTC()
		st.Phase, st.Reason = TaskRunning, ""
		if st.Started.IsZero() {
			st.Started = a.Started
		}
	}
	late := s.Now().Sub(a.Started) > time.Duration(row.Spec.Timeout)
	if !st.Stop && !late {
		return nil
	}
	if err := s.Engine.Stop(ctx, a.Instance, stopGrace); err != nil {
		return err
	}
	code, reason := 143, "stopped"
	if seen, err := s.Engine.Observe(ctx, a.Instance); err == nil && seen.Exit != nil {
		code, reason = seen.Exit.Code, seen.Exit.Reason
	}
	if late && !st.Stop {
		reason = "it took longer than " + time.Duration(row.Spec.Timeout).String()
		if code == 0 {
			code = 143
		}
	}
	s.attemptEnded(ctx, row, a, code, reason)
	return nil
}

// attemptEnded writes an attempt's end down, and plans the next one where there is one.
func (s *Service) attemptEnded(ctx context.Context, row *taskRow, a *Attempt, code int, reason string) {
	st := &row.Status
	a.Ended, a.ExitCode, a.Reason, st.ExitCode = s.Now().UTC(), code, reason, code
	switch {
	case st.Stop:
		s.endTask(ctx, row, TaskStopped, reason)
	case code == 0:
		s.endTask(ctx, row, TaskSucceeded, reason)
	case len(st.Attempts) <= row.Spec.Retries:
		s.emitTask(ctx, row, event.Warning, "Failed", "attempt %d: %s; it is tried again", len(st.Attempts), reason)
		st.Phase, st.Reason = TaskPending, "tried again: "+reason
		next := s.Now().UTC().Add(min(time.Second<<min(len(st.Attempts), 6), time.Minute))
		st.Attempts = append(st.Attempts, Attempt{Instance: id.New(), RetryAt: next})
	default:
		s.endTask(ctx, row, TaskFailed, reason)
	}
}

// starting are tasks that are being started: they count as running before they are stored as such.
type starting struct {
	mu sync.Mutex
	of map[id.ID]id.ID // project by task
}

func (s *Service) started(task id.ID) {
	s.starting.mu.Lock()
	defer s.starting.mu.Unlock()
	delete(s.starting.of, task)
}

func (s *Service) endTask(ctx context.Context, row *taskRow, phase, reason string) {
	s.started(row.ID)
	row.Status.Phase, row.Status.Reason, row.Status.Ended = phase, reason, s.Now().UTC()
	level := event.Info
	if phase == TaskFailed {
		level = event.Error
	}
	s.emitTask(ctx, row, level, "Ended", "%s: %s", phase, reason)
	s.Host.Wake(s.Schedule.D.FullName())
}

func (s *Service) emitTask(ctx context.Context, row *taskRow, level event.Level, typ, format string, args ...any) {
	s.emit(ctx, row.ID, level, typ, format, args...)
}
