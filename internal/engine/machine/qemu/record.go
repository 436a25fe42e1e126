package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/engine/machine/qemu/qmp"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// record is what the engine keeps about a machine on disk. Secrets (keys, seed) are not in it: whoever calls Ensure brings
// them. It is written before anything is made and removed after everything is gone.
type record struct {
	Want    machine.Want  `json:"want"` // as the process has it: its disks and cards
	User    uint32        `json:"user"`
	Slots   map[id.ID]int `json:"slots"`             // of disks and cards on their buses
	Started time.Time     `json:"started,omitzero"`  // of the newest start; zero: never
	Stopped bool          `json:"stopped,omitempty"` // Stop was asked for, so the coming end is no crash
	Frozen  bool          `json:"frozen,omitempty"`  // its file systems may be: they are to be thawed
	Boots   int           `json:"boots,omitempty"`
	Accel   string        `json:"accel,omitempty"`
	Exit    *machine.Exit `json:"exit,omitempty"`
}

// running tells whether the newest start has no end yet.
func (r *record) running() bool { return !r.Started.IsZero() && r.Exit == nil }

// guest is a record with what is alive of it. op orders what changes the machine; mu guards the fields.
type guest struct {
	id id.ID
	op chan struct{}

	logs   sync.Mutex // held while its log is moved
	mu     sync.Mutex
	rec    *record     // nil: nothing on disk
	q      *qmp.Client // nil: no process
	pid    int
	paused bool
	agent  bool            // it holds its end open
	gone   map[string]bool // devices that left
	left   chan struct{}   // closed and renewed with each
	ended  chan struct{}   // closed when the process is gone and that has been recorded
	status int             // what the process left, if we are its parent; -1 is not known
	void   bool            // destroyed: callers that waited must look it up again
	line   *hub            // the serial console, while somebody watches
}

func newGuest(i id.ID) *guest {
	return &guest{id: i, op: make(chan struct{}, 1), gone: map[string]bool{}, left: make(chan struct{}), status: -1}
}

// hangUp closes the connection to the process, which goes on.
func (g *guest) hangUp() {
	g.mu.Lock()
	q, l := g.q, g.line
	g.mu.Unlock()
	if l != nil {
		l.hangUp()
	}
	if q != nil {
		_ = q.Close()
	}
}

// acquire gives the machine with its op lock held; with create, one that does not exist yet is made (in memory only). It
// returns nil when there is none.
func (e *Engine) acquire(ctx context.Context, i id.ID, create bool) (*guest, error) {
	for {
		if e.ctx.Err() != nil {
			return nil, fail.New(fail.Unavailable, "the engine is closed")
		}
		e.mu.Lock()
		g := e.machines[i]
		if g == nil && create {
			g = newGuest(i)
			e.machines[i] = g
		}
		e.mu.Unlock()
		if g == nil {
			return nil, nil
		}
		select {
		case g.op <- struct{}{}:
		case <-ctx.Done():
			return nil, fail.Wrap(ctx.Err(), fail.Timeout, "the machine is busy")
		}
		g.mu.Lock()
		void := g.void
		g.mu.Unlock()
		if !void {
			return g, nil
		}
		<-g.op
	}
}

func (e *Engine) release(g *guest) {
	g.mu.Lock()
	empty := g.rec == nil
	g.void = g.void || empty
	g.mu.Unlock()
	if empty {
		e.mu.Lock()
		if e.machines[g.id] == g {
			delete(e.machines, g.id)
		}
		e.mu.Unlock()
	}
	<-g.op
}

// view is a copy of the record, and the connection if there is a process.
func (g *guest) view() (record, *qmp.Client, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rec == nil {
		return record{}, nil, false
	}
	return *g.rec, g.q, true
}

// change alters the record in memory and on disk.
func (e *Engine) change(g *guest, alter func(*record)) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := record{}
	if g.rec != nil {
		next = *g.rec
	}
	alter(&next)
	next.Want.Seed = nil
	if err := os.MkdirAll(e.home(g.id), 0o700); err != nil {
		return fail.Wrap(err, fail.NoSpace, "the machine's record cannot be written")
	}
	if err := writeJSON(filepath.Join(e.home(g.id), "record.json"), &next); err != nil {
		return fail.Wrap(err, fail.NoSpace, "the machine's record cannot be written")
	}
	g.rec = &next
	return nil
}

func (e *Engine) loadRecords() error {
	entries, err := os.ReadDir(e.records())
	if err != nil {
		return err
	}
	for _, f := range entries {
		i, ok := id.Parse(f.Name())
		if !ok || !f.IsDir() {
			continue
		}
		rec := &record{}
		err := readJSON(filepath.Join(e.home(i), "record.json"), rec)
		if errors.Is(err, os.ErrNotExist) { // the folder was made, or emptied, when we died
			if err := os.RemoveAll(e.home(i)); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("read the record of machine %s: %w", i, err)
		}
		g := newGuest(i)
		g.rec = rec
		e.machines[i] = g
		e.taken[rec.User] = i
	}
	return nil
}

// user takes a free user id for a machine. It goes on from a place that the machine's own id gives, so that an id that was
// just freed is not another's at once.
func (e *Engine) user(i id.ID) (uint32, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := uint32(0)
	for _, c := range []byte(i[16:]) {
		at = at*31 + uint32(c)
	}
	for n := range uint32(usersPerKey) {
		u := e.users + (at+n)%usersPerKey
		if _, busy := e.taken[u]; !busy {
			e.taken[u] = i
			return u, nil
		}
	}
	return 0, fail.New(fail.NoSpace, "all %d users of machines are taken", usersPerKey)
}

// writeJSON replaces a file as a whole: readers and crashes see the old or the new one.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil { // not empty after a power cut either
		return err
	}
	return os.Rename(tmp, path)
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
