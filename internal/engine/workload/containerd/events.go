package containerd

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/service/workload"
)

// broadcast hands events to whoever listens; a slow listener loses the newest.
type broadcast struct {
	mu     sync.Mutex
	subs   map[chan workload.Event]struct{}
	closed bool
}

func newBroadcast() *broadcast { return &broadcast{subs: map[chan workload.Event]struct{}{}} }

func (b *broadcast) send(ev workload.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.subs {
		select {
		case c <- ev:
		default:
		}
	}
}

func (b *broadcast) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	for c := range b.subs {
		close(c)
	}
	b.subs = map[chan workload.Event]struct{}{}
}

// Events implements workload.Engine. Listening begins with the call, not with the first step of the loop.
func (e *Engine) Events(ctx context.Context) iter.Seq2[workload.Event, error] {
	b := e.events
	c := make(chan workload.Event, 256)
	b.mu.Lock()
	if b.closed {
		close(c)
	} else {
		b.subs[c] = struct{}{}
	}
	b.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { b.drop(c) })
	return func(yield func(workload.Event, error) bool) {
		defer stop()
		defer b.drop(c)
		for {
			select {
			case ev, ok := <-c:
				if !ok || !yield(ev, nil) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

func (b *broadcast) drop(c chan workload.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subs, c)
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
					e.events.send(workload.Event{Instance: in.id, At: now, Type: workload.EventOOM})
				}
			}
		}
	}
}
