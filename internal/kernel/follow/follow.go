// Package follow keeps something that is derived from stored rows right: it is made anew whenever one of them changes.
// It may import kernel/store.
package follow

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/store"
)

// Reload reads what is stored and tells at which revision it was read.
type Reload func(ctx context.Context) (store.Rev, error)

// Follower calls Reload after changes. Those that come together are one call.
type Follower struct {
	stop    context.CancelFunc
	running sync.WaitGroup
}

// Start calls reload once, and then again whenever a key below one of the prefixes changed, until Close. When reload fails
// later on, it is called again; what says so in the log.
func Start(ctx context.Context, s store.Store, log *slog.Logger, what string, reload Reload, prefixes ...string) (*Follower, error) {
	rev, err := reload(ctx)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	f := &Follower{stop: stop}
	changed := make(chan struct{}, 1)
	for _, prefix := range prefixes {
		f.running.Go(func() { watch(ctx, s, prefix, rev, changed) })
	}
	f.running.Go(func() { again(ctx, log, what, reload, changed) })
	return f, nil
}

// Close ends it and waits for a reload under way.
func (f *Follower) Close() {
	f.stop()
	f.running.Wait()
}

// watch notes every change below a prefix.
func watch(ctx context.Context, s store.Store, prefix string, rev store.Rev, changed chan<- struct{}) {
	for ctx.Err() == nil {
		for change, err := range s.Watch(ctx, prefix, rev) {
			if err == nil {
				rev = change.Rev
			} else {
				rev = s.Rev() // too far behind: whatever came meanwhile is in the next reload
			}
			note(changed)
			if err != nil {
				pause(ctx, 100*time.Millisecond)
				break
			}
		}
	}
}

func again(ctx context.Context, log *slog.Logger, what string, reload Reload, changed chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		if _, err := reload(ctx); err != nil && ctx.Err() == nil {
			log.Warn(what+" cannot be read; those from before stay, and it is tried again", "err", err)
			pause(ctx, time.Second)
			note(changed)
		}
	}
}

func note(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
