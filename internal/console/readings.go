package console

import (
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// reading is how much CPU time an instance had used at a moment.
type reading struct {
	at  time.Time
	cpu float64
}

// readings are the last ones of the instances that pages show. Those that nobody looks at any more go.
type readings struct {
	mu   sync.Mutex
	last map[id.ID]reading
}

// fresh is how close two readings may lie: a second page that looks at the same app uses the same earlier reading.
const (
	fresh    = time.Second
	forget   = 5 * time.Minute
	maxKnown = 10000
)

// swap gives the reading before r, and keeps r for the next when enough time passed.
func (s *readings) swap(in id.ID, r reading) (reading, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil || len(s.last) > maxKnown {
		s.last = map[id.ID]reading{}
	}
	before, ok := s.last[in]
	if ok && r.at.Sub(before.at) > forget {
		ok = false
	}
	if !ok || r.at.Sub(before.at) > fresh {
		s.last[in] = r
	}
	return before, ok
}
