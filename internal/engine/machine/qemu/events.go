package qemu

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// broadcast hands events to whoever listens; a slow listener loses the newest.
type broadcast struct {
	mu     sync.Mutex
	subs   map[chan machine.Event]struct{}
	closed bool
}

func newBroadcast() *broadcast { return &broadcast{subs: map[chan machine.Event]struct{}{}} }

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
	b.subs = nil
}

func (b *broadcast) drop(c chan machine.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subs, c)
}

// tell sends an event to all.
func (e *Engine) tell(i id.ID, at time.Time, kind, detail string) {
	b := e.events
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.subs {
		select {
		case c <- machine.Event{Machine: i, At: at, Kind: kind, Detail: detail}:
		default:
		}
	}
}

// Events implements machine.Engine. Listening begins with the call, not with the first step of the loop.
func (e *Engine) Events(ctx context.Context) iter.Seq2[machine.Event, error] {
	b := e.events
	c := make(chan machine.Event, 256)
	b.mu.Lock()
	if b.closed {
		close(c)
	} else {
		b.subs[c] = struct{}{}
	}
	b.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { b.drop(c) })
	return func(yield func(machine.Event, error) bool) {
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
