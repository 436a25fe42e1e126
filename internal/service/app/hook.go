package app

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/service/workload"
)

const (
	hookPause   = 100 * time.Millisecond
	hookTimeout = 5 * time.Minute // of a row that was stored before hooks had one
	hookLines   = 10              // of its output, in an error or an event
)

func (h Hook) limit() time.Duration { return cmp.Or(time.Duration(h.Timeout), hookTimeout) }

// before runs the hook before a release, once.
func (s *Service) before(ctx context.Context, row *componentRow) error {
	n, hook := row.Status.Next, row.Spec.Hooks.Before
	if n == nil || n.Plain || n.Hooked || len(hook.Command) == 0 || row.Status.Gray != nil && row.Status.Gray.Phase != grayStarting {
		return nil
	}
	failure, err := s.runHook(ctx, row, "before", hook)
	if err != nil {
		return err
	}
	if failure != "" {
		return fail.New(fail.Precondition, "the hook before the release %s", failure).Then("the release before goes on running; correct spec.hooks.before or the image, then deploy again")
	}
	n.Hooked = true
	return nil
}

// after runs the hook after a release, which has all the traffic now.
func (s *Service) after(ctx context.Context, row *componentRow) error {
	n, hook := row.Status.Next, row.Spec.Hooks.After
	if n.Plain || len(hook.Command) == 0 {
		return nil
	}
	failure, err := s.runHook(ctx, row, "after", hook)
	if err == nil && failure != "" {
		s.emit(ctx, row.ID, event.Warning, "HookFailed", "the hook after release %d %s; the release stays", n.Number, failure)
	}
	return err
}

// runHook runs a hook in an instance of its own, whose id is stored before it exists, and whose result is stored before
// it is removed: so it runs once, whatever happens to the cloud meanwhile.
func (s *Service) runHook(ctx context.Context, row *componentRow, name string, hook Hook) (failure string, err error) {
	st := &row.Status
	note := fmt.Sprintf("the hook %s runs: %s", name, strings.Join(hook.Command, " "))
	h := st.Hook
	if h == nil {
		st.Hook = &HookRun{ID: id.New(), Name: name, Began: s.Now().UTC()}
		return "", job.Nap(time.Millisecond, note)
	}
	if h.Done {
		failure = h.Failure
		return failure, s.removeHook(ctx, row)
	}
	seen, err := s.Engine.Observe(ctx, h.ID)
	switch {
	case fail.Is(err, fail.Gone), err == nil && seen.Phase == workload.PhaseCreated:
		w, err := s.want(ctx, row, Instance{ID: h.ID, Hash: st.Next.Hash, Release: st.Next.Number})
		if err != nil {
			return "", err
		}
		w.Command = hook.Command
		w.Labels["hook"] = name
		if _, err := s.Engine.Ensure(ctx, h.ID, w); err != nil {
			return "", fail.Wrap(err, fail.Unavailable, "the hook's instance cannot start")
		}
	case err != nil:
		return "", err
	case seen.Phase == workload.PhaseRunning:
		if s.Now().Sub(h.Began) > hook.limit() {
			h.Done, h.Failure = true, fmt.Sprintf("did not end in %s%s", hook.limit(), s.lastLines(ctx, h.ID, hookLines))
		}
	default:
		h.Done = true
		lines := s.lastLines(ctx, h.ID, hookLines)
		if seen.Exit != nil && seen.Exit.Code == 0 && !seen.Exit.OOMKilled {
			s.emit(ctx, row.ID, event.Info, "HookSucceeded", "the hook %s release %d succeeded%s", name, st.Next.Number, lines)
			break
		}
		h.Failure = "failed"
		if seen.Exit != nil {
			h.Failure = "failed: it " + seen.Exit.Reason
			if seen.Exit.OOMKilled || strings.HasPrefix(seen.Exit.Reason, "killed") {
				h.Failure = "failed: it was " + seen.Exit.Reason
			}
		}
		h.Failure += lines
	}
	if h.Done {
		return "", job.Nap(time.Millisecond, note)
	}
	return "", job.Nap(hookPause, note)
}

// removeHook takes a hook's instance away, if there is one.
func (s *Service) removeHook(ctx context.Context, row *componentRow) error {
	h := row.Status.Hook
	if h == nil {
		return nil
	}
	if err := s.Engine.Destroy(ctx, h.ID); err != nil {
		return fail.Wrap(err, fail.Unavailable, "the hook's instance cannot be removed")
	}
	row.Status.Hook = nil
	return nil
}

// preStop runs a command in an instance that is about to be stopped. One that fails stops nothing.
func (s *Service) preStop(ctx context.Context, row *componentRow, in *Instance) {
	if in.Phase == phasePlanned || in.Phase == phaseExited {
		return
	}
	spec, _, err := s.version(ctx, row, in)
	if err != nil || len(spec.Hooks.PreStop.Command) == 0 {
		return
	}
	if seen, err := s.Engine.Observe(ctx, in.ID); err != nil || seen.Phase != workload.PhaseRunning {
		return
	}
	if failure := s.execHook(ctx, in.ID, spec.Hooks.PreStop); failure != "" {
		s.emit(ctx, row.ID, event.Warning, "HookFailed", "the pre-stop command of instance %s failed: %s", short(in.ID), failure)
	}
}

// execHook runs a hook inside an instance and says how it failed, if it did.
func (s *Service) execHook(ctx context.Context, instance id.ID, hook Hook) (failure string) {
	ctx, cancel := context.WithTimeout(ctx, hook.limit())
	defer cancel()
	out := &tailBuffer{most: 2 << 10}
	code, err := s.Engine.Exec(ctx, instance, workload.Exec{Command: hook.Command, Stdout: out, Stderr: out})
	switch {
	case ctx.Err() != nil:
		return fmt.Sprintf("it did not end in %s%s", hook.limit(), out)
	case err != nil:
		return fail.From(err).Public()
	case code != 0:
		return fmt.Sprintf("it ended with exit code %d%s", code, out)
	}
	return ""
}

// tailBuffer keeps the end of what is written to it.
type tailBuffer struct {
	most int
	b    []byte
}

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - t.most; over > 0 {
		t.b = t.b[over:]
	}
	return len(p), nil
}

func (t *tailBuffer) String() string {
	out := ""
	for l := range bytes.Lines(bytes.TrimSpace(t.b)) {
		out += "\n  | " + strings.TrimRight(string(l), "\r\n")
	}
	return out
}
