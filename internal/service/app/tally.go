package app

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Tally counts a release's answers, for its guard. The row keeps it while the release is judged, so that a restart goes on
// from what was stored last.
type Tally struct {
	Answers int64 `json:"answers"`
	Errors  int64 `json:"errors" doc:"answers with status 500 and above, and connections that broke off"`
	Slow    int64 `json:"slow" doc:"answers that began later than the guard's latency"`
}

// tallies are a component's, by release number.
type tallies struct {
	mu   sync.Mutex
	slow time.Duration // an answer that begins later is slow; 0: none is
	of   map[int]*Tally
}

// keep is how many releases are counted; older ones are forgotten.
const keepTallies = 8

func (t *tallies) count(o *Observation) {
	if o.Release == 0 || o.Status == statusGone {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.of[o.Release]
	if c == nil {
		if t.of == nil {
			t.of = map[int]*Tally{}
		}
		for len(t.of) >= keepTallies {
			oldest := o.Release
			for n := range t.of {
				oldest = min(oldest, n)
			}
			delete(t.of, oldest)
			if oldest == o.Release {
				return
			}
		}
		c = new(Tally)
		t.of[o.Release] = c
	}
	c.Answers++
	if o.Status >= http.StatusInternalServerError {
		c.Errors++
	}
	if t.slow > 0 && o.Header-o.Held > t.slow {
		c.Slow++
	}
}

func (t *tallies) get(release int) Tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.of[release]; c != nil {
		return *c
	}
	return Tally{}
}

// resume goes on from what was counted before a restart.
func (t *tallies) resume(release int, from Tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[int]*Tally{}
	}
	if t.of[release] == nil {
		t.of[release] = &from
	}
}

// setSlow changes what counts as slow; what was counted by another measure is forgotten.
func (t *tallies) setSlow(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d != t.slow {
		t.slow = d
		for _, c := range t.of {
			c.Slow = 0
		}
	}
}

// verdict says why a release must be taken back; empty: it need not.
func (g Guard) verdict(t Tally) string {
	if !g.on() || t.Answers == 0 || t.Answers < int64(max(g.Requests, 1)) {
		return ""
	}
	if g.ErrorRate > 0 && t.Errors*100 > int64(g.ErrorRate)*t.Answers {
		return fmt.Sprintf("%d of its %d answers were errors, more than %d %%", t.Errors, t.Answers, g.ErrorRate)
	}
	if g.Latency > 0 && t.Slow*100 > 5*t.Answers {
		return fmt.Sprintf("%d of its %d answers began later than %s, more than 5 %%", t.Slow, t.Answers, time.Duration(g.Latency))
	}
	return ""
}
