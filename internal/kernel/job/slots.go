package job

import (
	"context"
	"sync"
)

// slots bounds the steps that run at once. Who waits longest comes first; but before a job that has not begun come those that
// have, and those that others wait for: however many jobs there are, few are half done.
type slots struct {
	mu           sync.Mutex
	free         int
	begun, fresh []*turn
}

// turn is a job's waiting for a slot.
type turn struct {
	come  chan struct{}
	given bool // or passed over
}

// prefer lets a job come before those that have not begun: another waits for it.
func (s *slots) prefer(a *active) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.preferred = true; a.turn != nil {
		s.begun = append(s.begun, a.turn)
	}
}

// take waits for a slot; false: ctx ended before.
func (s *slots) take(ctx context.Context, a *active, begun bool) bool {
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return true
	}
	t := &turn{come: make(chan struct{})}
	a.turn = t
	if begun || a.preferred {
		s.begun = append(s.begun, t)
	} else {
		s.fresh = append(s.fresh, t)
	}
	s.mu.Unlock()
	select {
	case <-t.come:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.turn = nil
	if ctx.Err() == nil {
		return true
	}
	if t.given {
		s.give()
	}
	t.given = true
	return false
}

// done gives a slot back.
func (s *slots) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.give()
}

func (s *slots) give() {
	for _, q := range []*[]*turn{&s.begun, &s.fresh} {
		for len(*q) > 0 {
			t := (*q)[0]
			if *q = (*q)[1:]; !t.given {
				t.given = true
				close(t.come)
				return
			}
		}
	}
	s.free++
}
