package containerd

import (
	"context"
	"os"
	"sync"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	tasktypes "github.com/containerd/containerd/api/types/task"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// adopt takes over the shims that are there, and clears away what belongs to nothing.
func (e *Engine) adopt(ctx context.Context) error {
	entries, err := os.ReadDir(e.paths.sockets())
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	room := make(chan struct{}, 16)
	for _, f := range entries {
		i := id.ID(f.Name())
		in := e.instances[i]
		wg.Add(1)
		room <- struct{}{}
		go func() {
			defer wg.Done()
			defer func() { <-room }()
			e.adoptOne(ctx, i, in)
		}()
	}
	wg.Wait()
	for i, in := range e.instances {
		rec, t, _, _ := in.snapshot()
		if t != nil || !rec.running() {
			continue
		}
		// It ran when we last looked and nothing of it is left: the machine was restarted.
		e.discard(i, nil)
		now := time.Now()
		err := e.change(in, func(r *record) {
			r.Exit = &workload.Exit{Code: 137, At: now, Reason: "ended while the cloud was away: the machine was restarted or its supervisor was killed"}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// adoptOne takes over one shim, or clears it away when its instance is not known or never started.
func (e *Engine) adoptOne(ctx context.Context, i id.ID, in *instance) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	t, err := connect(i, e.paths.socket(i))
	if err != nil {
		e.log.Info("a shim is gone", "instance", i, "err", err)
		e.discard(i, nil)
		return
	}
	c, err := t.api.Connect(ctx, &taskapi.ConnectRequest{ID: string(i)})
	if err == nil {
		t.shim = int(c.ShimPid)
		if c.TaskPid > 0 {
			t.hold(int(c.TaskPid)) // State, below, tells whether it was still the one
		}
	}
	s, err := t.api.State(ctx, &taskapi.StateRequest{ID: string(i)})
	if in == nil || err != nil {
		e.log.Info("clearing away a container that belongs to nothing", "instance", i, "err", err)
		e.discard(i, t)
		return
	}
	if s.Status == tasktypes.Status_STOPPED {
		if f := t.handle.Swap(nil); f != nil {
			f.Close()
		}
	}
	switch s.Status {
	case tasktypes.Status_RUNNING, tasktypes.Status_PAUSED, tasktypes.Status_STOPPED:
		if rec, _, _, _ := in.snapshot(); !rec.running() && s.Status != tasktypes.Status_STOPPED {
			// We died between the start and writing it down.
			err := e.change(in, func(r *record) {
				if !r.Started.IsZero() {
					r.Restarts++
				}
				r.Started = time.Now()
			})
			if err != nil {
				e.log.Error("write down a start", "instance", i, "err", err)
			}
		}
		e.follow(in, t)
	default: // created, never started: Ensure begins again
		e.discard(i, t)
	}
}
