package call

import (
	"sync"

	"github.com/awancloud/awan/internal/kernel/id"
)

// holds let one at a time work on a row: a step of its job, or its loop. Without it a loop that has read the row before
// a job began could bring back what the job has just taken away.
type holds struct {
	mu   sync.Mutex
	rows map[id.ID]*hold
}

type hold struct {
	mu    sync.Mutex
	users int
}

// take waits for the row and returns what gives it back.
func (h *holds) take(row id.ID) (release func()) {
	h.mu.Lock()
	if h.rows == nil {
		h.rows = map[id.ID]*hold{}
	}
	r := h.rows[row]
	if r == nil {
		r = new(hold)
		h.rows[row] = r
	}
	r.users++
	h.mu.Unlock()
	r.mu.Lock()
	return func() {
		r.mu.Unlock()
		h.mu.Lock()
		defer h.mu.Unlock()
		if r.users--; r.users == 0 {
			delete(h.rows, row)
		}
	}
}
