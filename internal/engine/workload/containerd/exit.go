package containerd

import (
	"context"
	"errors"
	"fmt"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// await waits for a task's exit, writes it down, tells it, and clears the task away. Written first: a crash in between
// finds the shim again and writes the same once more.
func (e *Engine) await(in *instance, t *task, done chan struct{}) {
	defer close(done)
	r, err := t.api.Wait(e.ctx, &taskapi.WaitRequest{ID: string(in.id)})
	if e.ctx.Err() != nil {
		return
	}
	x := workload.Exit{Code: 137, At: time.Now()}
	if err == nil {
		x.Code = int(r.ExitStatus)
		if r.ExitedAt.IsValid() && r.ExitedAt.AsTime().Unix() > 0 {
			x.At = r.ExitedAt.AsTime()
		}
	} else {
		x.Reason = "killed: its supervisor process died at " + clock(x.At)
	}
	kills := e.cg.OOMKills(string(in.id))
	err = e.change(in, func(rec *record) {
		if rec.Exit == nil || rec.running() {
			if x.At.Before(rec.Started) {
				x.At = rec.Started
			}
			x.OOMKilled = kills > 0 && x.Code == 137
			if x.Reason == "" {
				x.Reason = reason(x, rec)
			}
			rec.Exit = &x
		}
		rec.Stopping = false
	})
	if err != nil {
		e.log.Error("write down an exit", "instance", in.id, "err", err)
	}
	in.mu.Lock()
	told := in.oom
	in.mu.Unlock()
	if kills > told {
		e.events.Send(workload.Event{Instance: in.id, At: x.At, Type: workload.EventOOM})
	}
	e.discard(in.id, t)
	in.mu.Lock()
	if in.task == t {
		in.task = nil
	}
	in.mu.Unlock()
	e.events.Send(workload.Event{Instance: in.id, At: x.At, Type: workload.EventExited, Exit: &x})
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

// reason says in words why a process ended.
func reason(x workload.Exit, rec *record) string {
	at := clock(x.At)
	switch {
	case x.OOMKilled:
		return fmt.Sprintf("killed: memory limit %d MiB reached at %s", rec.Want.MemoryMiB, at)
	case rec.Stopping && x.Code == 137:
		return "stopped at " + at + ": it did not end on SIGTERM in time and was killed"
	case rec.Stopping:
		return fmt.Sprintf("stopped at %s (exit code %d)", at, x.Code)
	case x.Code == 0:
		return "finished at " + at
	case x.Code > 128 && x.Code < 128+65:
		if name := unix.SignalName(unix.Signal(x.Code - 128)); name != "" {
			return fmt.Sprintf("killed by %s at %s", name, at)
		}
	case x.Code == 127:
		return "ended with exit code 127 at " + at + ": usually a command that was not found"
	case x.Code == 126:
		return "ended with exit code 126 at " + at + ": usually a command that may not be executed"
	}
	return fmt.Sprintf("ended with exit code %d at %s", x.Code, at)
}

// signal sends to the first process; with SIGKILL its whole process namespace ends. By pidfd it takes microseconds where
// the shim would start runc.
func (t *task) signal(ctx context.Context, sig unix.Signal) error {
	if f := t.handle.Load(); f != nil {
		c, err := f.SyscallConn()
		if err == nil {
			var serr error
			if err = c.Control(func(fd uintptr) { serr = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err == nil && (serr == nil || errors.Is(serr, unix.ESRCH)) {
				return nil
			}
		}
	}
	_, err := t.api.Kill(ctx, &taskapi.KillRequest{ID: string(t.id), Signal: uint32(sig), All: sig == unix.SIGKILL})
	if err = errgrpc.ToNative(err); errdefs.IsNotFound(err) || (err != nil && isFinished(err)) {
		return nil
	}
	return err
}

// kill ends the container at once.
func (t *task) kill(ctx context.Context) error { return t.signal(ctx, unix.SIGKILL) }

// isFinished tells errors that mean that there is nothing left to signal; a shim that is gone too has had its exit read.
func isFinished(err error) bool {
	return errdefs.IsFailedPrecondition(err) || errors.Is(err, unix.ESRCH) || errors.Is(err, ttrpc.ErrClosed)
}

// Stop implements workload.Engine.
func (e *Engine) Stop(ctx context.Context, i id.ID, grace time.Duration) error {
	ctx = inNamespace(ctx)
	in, err := e.acquire(ctx, i, false)
	if err != nil || in == nil {
		return err
	}
	defer e.release(in)
	_, t, done, known := in.snapshot()
	if !known || t == nil {
		return nil
	}
	if err := e.change(in, func(r *record) { r.Stopping = true }); err != nil {
		return err
	}
	if grace > 0 {
		if err := t.signal(ctx, unix.SIGTERM); err != nil {
			e.log.Warn("SIGTERM", "instance", i, "err", err)
		}
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-done:
			return nil
		case <-timer.C:
		case <-ctx.Done(): // no more time: kill
		}
	}
	return e.killed(ctx, in, t, done)
}

// killed kills and waits for the exit to be recorded. It has its own deadline: a kill that was begun is finished.
func (e *Engine) killed(ctx context.Context, in *instance, t *task, done chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := t.kill(ctx); err != nil {
		e.log.Warn("SIGKILL by the shim failed; killing the control group", "instance", in.id, "err", err)
		_ = e.cg.Clear(string(in.id))
	}
	select {
	case <-done:
		return nil
	case <-e.ctx.Done():
		return fail.New(fail.Unavailable, "the engine is closing")
	case <-ctx.Done():
		return fail.New(fail.Timeout, "the instance does not end even when killed").Then("see whether its disk or network hangs")
	}
}

// Destroy implements workload.Engine.
func (e *Engine) Destroy(ctx context.Context, i id.ID) error {
	ctx = inNamespace(ctx)
	in, err := e.acquire(ctx, i, false)
	if err != nil || in == nil {
		return err
	}
	defer e.release(in)
	rec, t, done, known := in.snapshot()
	if !known {
		return nil
	}
	if t != nil {
		if err := e.change(in, func(r *record) { r.Stopping = true }); err != nil {
			return err
		}
		if err := e.killed(ctx, in, t, done); err != nil {
			return err
		}
	} else {
		e.discard(i, nil)
	}
	return e.forget(ctx, in, rec)
}
