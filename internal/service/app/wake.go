package app

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// maxHeld is how many requests of one component may wait for its first instance.
const maxHeld = 200

var errTooMany = errors.New("too many requests wait for the app to start")

// activity is what a component's backend knows of its requests: when the newest came, how many are under way, and who
// waits for an instance.
type activity struct {
	last   atomic.Int64 // Unix nanoseconds
	open   atomic.Int64
	held   atomic.Int64
	mu     sync.Mutex
	change chan struct{} // closed when an instance gets ready
}

func (a *activity) begin() {
	a.open.Add(1)
	a.last.Store(time.Now().UnixNano())
}

func (a *activity) end() {
	a.last.Store(time.Now().UnixNano())
	a.open.Add(-1)
}

// changed gives a channel that is closed when the next instance gets ready.
func (a *activity) changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.change == nil {
		a.change = make(chan struct{})
	}
	return a.change
}

// announce lets those go on who wait for an instance.
func (a *activity) announce() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.change != nil {
		close(a.change)
		a.change = nil
	}
}

// Idle tells since when no request was under way for a component; false while one is, or when it is not known.
func (g *Ingress) Idle(component id.ID) (since time.Time, idle bool) {
	g.mu.RLock()
	b := g.byID[component]
	g.mu.RUnlock()
	if b == nil || b.activity.open.Load() > 0 {
		return time.Time{}, false
	}
	return time.Unix(0, b.activity.last.Load()), true
}

// betweenReleases is how long a request is held while a release that stops the old instances first starts the new ones.
const betweenReleases = 30 * time.Second

// coming tells whether an operation is under way that will give a component its next instance, as a release that stops
// the old ones first, a start, or a release that is taken back.
func (s *Service) coming(ctx context.Context, component id.ID) (most time.Duration, ok bool) {
	err := s.Store.View(ctx, func(tx store.Tx) error {
		row, err := s.Component.Get(tx, component)
		ok = row != nil && row.State != kind.Trashed && row.Job != "" && row.Status.ReleaseID != "" && wanted(row) > 0
		return err
	})
	return betweenReleases, ok && err == nil
}

// awaited tells whether an instance is on its way, and how long a request may be held for it.
func (g *Ingress) awaited(ctx context.Context, component id.ID) (most time.Duration, ok bool) {
	if g.Wake != nil {
		most, ok = g.Wake(component)
	}
	if !ok && g.coming != nil {
		most, ok = g.coming(ctx, component)
	}
	return most, ok
}

// hold keeps a request until an instance is ready, where one is on its way. Nothing of the request was sent to anybody
// yet.
func (g *Ingress) hold(ctx context.Context, b *backend, want side) (*endpoint, error) {
	most, ok := g.awaited(ctx, b.component)
	if !ok {
		return nil, errNoInstance
	}
	if b.activity.held.Add(1) > maxHeld {
		b.activity.held.Add(-1)
		return nil, errTooMany
	}
	defer b.activity.held.Add(-1)
	limit := time.NewTimer(most)
	defer limit.Stop()
	for {
		changed := b.activity.changed() // before looking, so that none is missed
		if e := b.pick(want, nil); e != nil {
			return e, nil
		}
		select {
		case <-changed:
		case <-limit.C:
			return nil, errNoInstance
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
