package qemu

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/awancloud/awan/internal/engine/machine/qemu/qmp"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

func gone(i id.ID) error { return fail.New(fail.Gone, "machine %s does not exist", i) }

func stands() error {
	return fail.New(fail.Precondition, "the machine does not run").Then("start it first")
}

// withRunning does something with a machine that runs, while nobody else changes it.
func (e *Engine) withRunning(ctx context.Context, i id.ID, what string, do func(*guest, *qmp.Client, record) error) error {
	g, err := e.acquire(ctx, i, false)
	if err != nil {
		return err
	}
	if g == nil {
		return gone(i)
	}
	defer e.release(g)
	rec, q, known := g.view()
	switch {
	case !known:
		return gone(i)
	case q == nil:
		return stands()
	}
	err = do(g, q, rec)
	if errors.Is(err, qmp.ErrClosed) {
		return stands().(*fail.Error).Because(err)
	}
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "%s", what)
	}
	return nil
}

// Stop implements machine.Engine.
func (e *Engine) Stop(ctx context.Context, i id.ID, grace time.Duration) error {
	g, err := e.acquire(ctx, i, false)
	if g == nil || err != nil {
		return err
	}
	defer e.release(g)
	return e.stop(ctx, g, grace)
}

func (e *Engine) stop(ctx context.Context, g *guest, grace time.Duration) error {
	_, q, _ := g.view()
	if q == nil {
		return g.wait(ctx, 30*time.Second)
	}
	if err := e.change(g, func(r *record) { r.Stopped = true }); err != nil {
		return err
	}
	g.mu.Lock()
	ended, paused := g.ended, g.paused
	g.mu.Unlock()
	if ended == nil {
		return nil
	}
	if grace > 0 && !paused {
		if err := e.ask(ctx, g, q, ended, grace); err != nil {
			return err
		}
	}
	select {
	case <-ended:
		return nil
	default:
	}
	short, cancel := context.WithTimeout(ctx, 3*time.Second)
	_ = q.Do(short, "quit", nil, nil)
	cancel()
	if g.wait(ctx, 5*time.Second) == nil {
		return nil
	}
	if err := e.cg.Clear(e.group(g.id)); err != nil {
		return fail.Wrap(err, fail.Unavailable, "the machine's process cannot be ended")
	}
	return g.wait(ctx, 30*time.Second)
}

// ask asks the system to shut down, by its power button and by the agent if one answers, until it has or grace is over. A
// system that has only just started may miss the button, so it is pressed again.
func (e *Engine) ask(ctx context.Context, g *guest, q *qmp.Client, ended chan struct{}, grace time.Duration) error {
	over := time.NewTimer(grace)
	defer over.Stop()
	again := time.NewTicker(5 * time.Second)
	defer again.Stop()
	for first := true; ; first = false {
		_ = q.Do(ctx, "system_powerdown", nil, nil)
		g.mu.Lock()
		agent := g.agent
		g.mu.Unlock()
		if agent && first {
			short, cancel := context.WithTimeout(ctx, 2*time.Second)
			_ = qmp.Agent(short, e.askPath(g.id), "guest-shutdown", object{"mode": "powerdown"}, nil, true)
			cancel()
		}
		select {
		case <-ended:
			return nil
		case <-over.C:
			return nil
		case <-again.C:
		case <-ctx.Done():
			return fail.From(ctx.Err())
		}
	}
}

// Reset implements machine.Engine.
func (e *Engine) Reset(ctx context.Context, i id.ID) error {
	return e.withRunning(ctx, i, "the machine cannot be reset", func(_ *guest, q *qmp.Client, _ record) error {
		if err := q.Do(ctx, "system_reset", nil, nil); err != nil {
			return err
		}
		return q.Do(ctx, "cont", nil, nil)
	})
}

// Pause implements machine.Engine.
func (e *Engine) Pause(ctx context.Context, i id.ID, paused bool) error {
	return e.withRunning(ctx, i, "the machine cannot be paused or resumed", func(g *guest, q *qmp.Client, _ record) error {
		if paused {
			return q.Do(ctx, "stop", nil, nil)
		}
		return q.Do(ctx, "cont", nil, nil)
	})
}

// Destroy implements machine.Engine. The record goes last.
func (e *Engine) Destroy(ctx context.Context, i id.ID) error {
	g, err := e.acquire(ctx, i, false)
	if g == nil || err != nil {
		return err
	}
	defer e.release(g)
	if err := e.stop(ctx, g, 0); err != nil {
		return err
	}
	rec, _, known := g.view()
	if !known {
		return nil
	}
	if err := errors.Join(e.cg.Clear(e.group(i)), e.removeLive(i), os.RemoveAll(e.home(i))); err != nil {
		return fail.Wrap(err, fail.Internal, "not everything of the machine could be removed")
	}
	g.mu.Lock()
	g.rec = nil
	g.mu.Unlock()
	e.mu.Lock()
	delete(e.taken, rec.User)
	e.mu.Unlock()
	return nil
}
