package sim

import (
	"context"
	"iter"

	"github.com/awancloud/awan/internal/service/machine"
)

// Events implements machine.Engine. Listening begins with the call, not with the first step of the loop.
func (e *Engine) Events(ctx context.Context) iter.Seq2[machine.Event, error] {
	c := make(chan machine.Event, 256)
	e.mu.Lock()
	if e.closed {
		close(c)
	} else {
		e.subs[c] = struct{}{}
	}
	e.mu.Unlock()
	drop := func() {
		e.mu.Lock()
		delete(e.subs, c)
		e.mu.Unlock()
	}
	stop := context.AfterFunc(ctx, drop)
	return func(yield func(machine.Event, error) bool) {
		defer stop()
		defer drop()
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
