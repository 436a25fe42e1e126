package containerd

import (
	"context"
	"iter"
	"time"

	"github.com/awancloud/awan/internal/service/workload"
)

// Events implements workload.Engine.
func (e *Engine) Events(ctx context.Context) iter.Seq2[workload.Event, error] {
	return e.events.Listen(ctx)
}

// watchOOM tells of processes that were killed at a memory limit while their instance went on.
func (e *Engine) watchOOM() {
	defer e.work.Done()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case now := <-tick.C:
			e.mu.Lock()
			var running []*instance
			for _, in := range e.instances {
				running = append(running, in)
			}
			e.mu.Unlock()
			for _, in := range running {
				_, t, _, _ := in.snapshot()
				if t == nil {
					continue
				}
				kills := e.cg.OOMKills(string(in.id))
				in.mu.Lock()
				more := in.task == t && kills > in.oom
				if more {
					in.oom = kills
				}
				in.mu.Unlock()
				if more {
					e.events.Send(workload.Event{Instance: in.id, At: now, Type: workload.EventOOM})
				}
			}
		}
	}
}
