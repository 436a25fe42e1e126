// Package sim is a disk engine in memory: for tests of everything above the port, and for running a whole cloud without
// root. It keeps the port's contract (disktest), contents included, and can be made to fail and to be slow. It is
// deterministic. It may import kernel packages and the ports service/disk and service/machine.
package sim

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/disk"
	"github.com/awancloud/awan/internal/service/machine"
)

// Call is one call of the port, as hooks see it.
type Call struct {
	Method string // "Ensure", "Snapshot", "Import" and so on
	ID     id.ID  // of what it is about
}

// Options say how the engine behaves. All may be left out.
type Options struct {
	// Before is asked before a call does anything: it may wait (delay) or return the error to give.
	Before func(context.Context, Call) error
	// After is asked when a call has had its effect: an error from it is given instead of the result, as when a process
	// dies between doing and telling.
	After func(context.Context, Call) error
	Bytes int64            // of the disk under it; 0: 1 TiB
	Now   func() time.Time // nil: time.Now
	Image int64            // most bytes that an image's content may have here; 0: 64 MiB
}

// Engine is a disk engine without disks.
type Engine struct {
	o Options

	mu        sync.Mutex
	disks     map[id.ID]*unit
	snapshots map[id.ID]*unit
	images    map[id.ID]*picture
	layers    map[string]*layer // by Drive.Path
	next      int
	closed    bool
}

var _ disk.Engine = (*Engine)(nil)

// unit is a disk or a snapshot.
type unit struct {
	top     *layer
	bytes   int64
	created time.Time
	open    bool // a machine holds it, as a test says
}

type picture struct {
	unit
	seen disk.SeenImage
}

// New makes an empty engine.
func New(o Options) *Engine {
	if o.Bytes == 0 {
		o.Bytes = 1 << 40
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Image == 0 {
		o.Image = 64 << 20
	}
	return &Engine{o: o, disks: map[id.ID]*unit{}, snapshots: map[id.ID]*unit{}, images: map[id.ID]*picture{}, layers: map[string]*layer{}}
}

// call runs f as one call of the port.
func (e *Engine) call(ctx context.Context, method string, what id.ID, f func() error) error {
	if err := ctx.Err(); err != nil {
		return fail.From(err)
	}
	if e.o.Before != nil {
		if err := e.o.Before(ctx, Call{method, what}); err != nil {
			return err
		}
	}
	e.mu.Lock()
	var err error
	if e.closed {
		err = fail.New(fail.Unavailable, "the disk engine is closed")
	} else {
		err = f()
	}
	e.mu.Unlock()
	if err == nil && e.o.After != nil {
		err = e.o.After(ctx, Call{method, what})
	}
	return err
}

func gone(what string, i id.ID) error { return fail.New(fail.Gone, "there is no %s %s", what, i) }

func (u *unit) seen() disk.Seen {
	n := 0
	for l := u.top; l != nil; l = l.below {
		n++
	}
	return disk.Seen{Bytes: u.bytes, Allocated: u.top.allocated(), Created: u.created, Layers: n}
}

// Ensure makes or grows a disk.
func (e *Engine) Ensure(ctx context.Context, d id.ID, want disk.Want) (seen disk.Seen, err error) {
	var live func() error
	err = e.call(ctx, "Ensure", d, func() error {
		u := e.disks[d]
		if u == nil {
			below, least, err := e.source(want.From, want.Keys)
			if err != nil {
				return err
			}
			if want.Bytes < least {
				return fail.Field("size", "%d bytes are less than what it is made from has, %d", want.Bytes, least)
			}
			top := e.layer(below, d, want.Keys[d])
			if want.Flat {
				top.flatten()
			}
			u = &unit{top: top, bytes: want.Bytes, created: e.o.Now()}
			e.disks[d] = u
		}
		if err := u.top.opens(want.Keys); err != nil {
			return err
		}
		if want.Bytes > u.bytes {
			u.bytes, live = want.Bytes, want.Live
		}
		seen = u.seen()
		return nil
	})
	if err == nil && live != nil {
		err = live()
	}
	return seen, err
}

func (e *Engine) source(from disk.Source, keys disk.Keys) (*layer, int64, error) {
	u, err := e.from(from)
	if u == nil || err != nil {
		return nil, 0, err
	}
	if err := u.top.opens(keys); err != nil {
		return nil, 0, err
	}
	if from.Disk != "" { // what is written to it from now on is its own
		top := e.layer(u.top, u.top.owner, u.top.key)
		old := u.top
		u.top = top
		return old, u.bytes, nil
	}
	return u.top, u.bytes, nil
}

func (e *Engine) from(from disk.Source) (*unit, error) {
	switch {
	case from.Disk != "":
		if u := e.disks[from.Disk]; u != nil {
			return u, nil
		}
		return nil, gone("disk", from.Disk)
	case from.Snapshot != "":
		if u := e.snapshots[from.Snapshot]; u != nil {
			return u, nil
		}
		return nil, gone("snapshot", from.Snapshot)
	case from.Image != "":
		if p := e.images[from.Image]; p != nil {
			return &p.unit, nil
		}
		return nil, gone("image", from.Image)
	}
	return nil, nil
}

// Observe looks at a disk.
func (e *Engine) Observe(ctx context.Context, d id.ID) (seen disk.Seen, err error) {
	err = e.call(ctx, "Observe", d, func() error {
		u := e.disks[d]
		if u == nil {
			return gone("disk", d)
		}
		seen = u.seen()
		return nil
	})
	return seen, err
}

// Destroy removes a disk; layers that others stand on stay.
func (e *Engine) Destroy(ctx context.Context, d id.ID) error {
	return e.call(ctx, "Destroy", d, func() error {
		if u := e.disks[d]; u != nil && u.open {
			return fail.New(fail.Conflict, "a machine holds the disk").Then("detach it first")
		}
		delete(e.disks, d)
		e.sweep()
		return nil
	})
}

// Open says for a test that a machine holds a disk, or does not any more.
func (e *Engine) Open(d id.ID, open bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if u := e.disks[d]; u != nil {
		u.open = open
	}
}

// List names the disks.
func (e *Engine) List(ctx context.Context) iter.Seq2[id.ID, error] {
	return list(ctx, e, "List", e.disks)
}

func list[V any](ctx context.Context, e *Engine, method string, of map[id.ID]V) iter.Seq2[id.ID, error] {
	return func(yield func(id.ID, error) bool) {
		var all []id.ID
		if err := e.call(ctx, method, "", func() error { all = slices.Sorted(maps.Keys(of)); return nil }); err != nil {
			yield("", err)
			return
		}
		for _, i := range all {
			if !yield(i, nil) {
				return
			}
		}
	}
}

// Attach says what a machine opens.
func (e *Engine) Attach(ctx context.Context, d id.ID, keys disk.Keys) (drive machine.Drive, err error) {
	err = e.call(ctx, "Attach", d, func() error {
		u := e.disks[d]
		if u == nil {
			return gone("disk", d)
		}
		drive, err = u.top.drive(keys)
		return err
	})
	return drive, err
}

// Snapshot keeps a disk's content.
func (e *Engine) Snapshot(ctx context.Context, snapshot, d id.ID, keys disk.Keys, live func(machine.Drive) error) (seen disk.Seen, err error) {
	var drive machine.Drive
	var top *layer
	err = e.call(ctx, "Snapshot", snapshot, func() error {
		if u := e.snapshots[snapshot]; u != nil {
			seen = u.seen()
			return nil
		}
		u := e.disks[d]
		if u == nil {
			return gone("disk", d)
		}
		if err := u.top.opens(keys); err != nil {
			return err
		}
		top = e.layer(u.top, d, u.top.key)
		if live == nil {
			seen = e.snap(snapshot, u, top)
			return nil
		}
		drive, err = top.drive(keys)
		return err
	})
	if err != nil || live == nil || top == nil {
		return seen, err
	}
	if err := live(drive); err != nil { // the machine writes where it wrote
		return seen, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	u := e.disks[d]
	if u == nil {
		return seen, gone("disk", d)
	}
	return e.snap(snapshot, u, top), nil
}

func (e *Engine) snap(snapshot id.ID, u *unit, top *layer) disk.Seen {
	s := &unit{top: u.top, bytes: u.bytes, created: e.o.Now()}
	u.top = top
	e.snapshots[snapshot] = s
	return s.seen()
}

// Revert gives a disk a snapshot's content.
func (e *Engine) Revert(ctx context.Context, d, snapshot id.ID, keys disk.Keys) error {
	return e.call(ctx, "Revert", d, func() error {
		u, s := e.disks[d], e.snapshots[snapshot]
		switch {
		case u == nil:
			return gone("disk", d)
		case s == nil:
			return gone("snapshot", snapshot)
		case u.open:
			return fail.New(fail.Conflict, "a machine holds the disk").Then("stop it first")
		}
		if err := s.top.opens(keys); err != nil {
			return err
		}
		u.top, u.bytes = e.layer(s.top, d, keys[d]), s.bytes
		e.sweep()
		return nil
	})
}

// ObserveSnapshot looks at a snapshot.
func (e *Engine) ObserveSnapshot(ctx context.Context, snapshot id.ID) (seen disk.Seen, err error) {
	err = e.call(ctx, "ObserveSnapshot", snapshot, func() error {
		u := e.snapshots[snapshot]
		if u == nil {
			return gone("snapshot", snapshot)
		}
		seen = u.seen()
		return nil
	})
	return seen, err
}

// DestroySnapshot removes a snapshot.
func (e *Engine) DestroySnapshot(ctx context.Context, snapshot id.ID, _ disk.Keys) error {
	return e.call(ctx, "DestroySnapshot", snapshot, func() error {
		delete(e.snapshots, snapshot)
		e.sweep()
		return nil
	})
}

// Snapshots names the snapshots.
func (e *Engine) Snapshots(ctx context.Context) iter.Seq2[id.ID, error] {
	return list(ctx, e, "Snapshots", e.snapshots)
}

// Capacity says what there is.
func (e *Engine) Capacity(ctx context.Context) (c disk.Capacity, err error) {
	err = e.call(ctx, "Capacity", "", func() error {
		c.Bytes = e.o.Bytes
		c.Free = e.o.Bytes
		for _, l := range e.layers {
			c.Free -= l.allocated()
		}
		for _, u := range e.disks {
			c.Promised += u.bytes
		}
		return nil
	})
	return c, err
}

// Capabilities say that nothing here is real.
func (e *Engine) Capabilities(context.Context) disk.Capabilities {
	return disk.Capabilities{Name: "sim", Missing: map[string]string{"convert": "the simulation knows raw images only"}}
}

// Close ends the engine.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	return nil
}

// equalKeys compares two keys, which may be none.
func equalKeys(a, b []byte) bool { return bytes.Equal(a, b) }
