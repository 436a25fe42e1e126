package bucket

import (
	"context"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/store"
)

// Locks go by a clock of their own, so that nobody ends them by setting the machine's. It runs with the time that passes
// while the cloud runs, is stored every minute, and starts from there. The machine's clock is ahead of it after every
// stop, and catches it up by at most one part in fifty. Where the machine's clock is behind, it does not follow.
const (
	clockKey = "bucket/lock-clock"
	catchUp  = 50
)

type lockClock struct {
	mu    sync.Mutex
	at    time.Time // of the lock clock, when it was
	since time.Time // this, with Go's monotonic reading
}

func (l *lockClock) now() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.read()
}

func (l *lockClock) read() time.Time { return l.at.Add(time.Since(l.since)) }

// lockNow is the time by which locks end.
func (s *Service) lockNow() time.Time { return s.locks.now() }

func (s *Service) startClock() error {
	return s.Store.View(s.ctx, func(tx store.Tx) error {
		at := s.now()
		if b, ok, err := tx.Get(clockKey); err != nil {
			return err
		} else if ok {
			if err := at.UnmarshalText(b); err != nil {
				return err
			}
		}
		s.locks.at, s.locks.since = at, time.Now()
		return nil
	})
}

// keepTime stores the lock clock and lets it catch up a little.
func (s *Service) keepTime(ctx context.Context) error {
	s.locks.mu.Lock()
	at := s.locks.read()
	if behind := s.now().Sub(at); behind > 0 {
		at = at.Add(min(behind, time.Since(s.locks.since)/catchUp))
	}
	s.locks.at, s.locks.since = at, time.Now()
	s.locks.mu.Unlock()
	text, err := at.UTC().MarshalText()
	if err != nil {
		return err
	}
	_, err = s.Store.Update(ctx, func(tx store.Tx) error { return tx.Put(clockKey, text) })
	return err
}
