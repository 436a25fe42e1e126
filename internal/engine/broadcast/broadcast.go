// Package broadcast hands what an engine saw to whoever listens. It imports the standard library only.
package broadcast

import (
	"context"
	"iter"
	"sync"
)

// waiting is how many a listener may be behind; a slower one loses the newest.
const waiting = 256

// Broadcast is ready for use as its zero value.
type Broadcast[T any] struct {
	mu        sync.Mutex
	listeners map[chan T]struct{}
	closed    bool
}

// Send tells all who listen.
func (b *Broadcast[T]) Send(v T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.listeners {
		select {
		case c <- v:
		default:
		}
	}
}

// Close ends all listening, now and later.
func (b *Broadcast[T]) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.listeners {
		close(c)
	}
	b.listeners, b.closed = nil, true
}

// Listen begins to listen with the call, not with the first step of the loop; it ends with ctx.
func (b *Broadcast[T]) Listen(ctx context.Context) iter.Seq2[T, error] {
	c := make(chan T, waiting)
	b.mu.Lock()
	switch {
	case b.closed:
		close(c)
	case b.listeners == nil:
		b.listeners = map[chan T]struct{}{}
		fallthrough
	default:
		b.listeners[c] = struct{}{}
	}
	b.mu.Unlock()
	drop := func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.listeners, c)
	}
	stop := context.AfterFunc(ctx, drop)
	return func(yield func(T, error) bool) {
		defer stop()
		defer drop()
		for {
			select {
			case v, ok := <-c:
				if !ok || !yield(v, nil) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}
