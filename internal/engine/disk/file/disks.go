package file

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/disk"
)

// Ensure makes or grows a disk.
func (e *Engine) Ensure(ctx context.Context, d id.ID, want disk.Want) (disk.Seen, error) {
	if err := e.enter(ctx); err != nil {
		return disk.Seen{}, err
	}
	defer e.locks.hold(d)()
	f, err := e.settled(d)
	if fail.Is(err, fail.Gone) {
		err = e.make(ctx, d, want)
	} else if err == nil {
		err = e.grow(ctx, d, f, want)
	}
	if err != nil {
		return disk.Seen{}, err
	}
	return e.Observe(ctx, d)
}

func (e *Engine) make(ctx context.Context, d id.ID, want disk.Want) error {
	if want.Bytes <= 0 || want.Bytes%512 != 0 {
		return fail.Field("size", "%d bytes are no size for a disk", want.Bytes)
	}
	below, least, release, err := e.source(want.From)
	if err != nil {
		return err
	}
	defer release()
	if want.Bytes < least {
		return fail.Field("size", "%d bytes are less than what it is made from has, %d", want.Bytes, least)
	}
	stands := below
	if want.Flat {
		stands = ""
	}
	top, done, err := e.layer(stands, d, want.Keys, want.Bytes)
	if err != nil {
		return err
	}
	defer done()
	if want.Flat && below != "" {
		if err := e.copy(ctx, below, top, want.Keys); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return store(e, disksDir, e.disks, d, diskFile{Top: top, Bytes: want.Bytes, Created: e.o.Now().UTC()})
}

// source finds the layer that something is made from, and keeps it until it is released. A disk that nobody writes goes on
// in a new layer.
func (e *Engine) source(from disk.Source) (layer string, bytes int64, release func(), err error) {
	nothing := func() {}
	if from.Disk != "" {
		return "", 0, nothing, fail.New(fail.Internal, "a disk is copied from a snapshot of it")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case from.Snapshot != "":
		s, ok := e.snapshots[from.Snapshot]
		if !ok {
			return "", 0, nothing, gone("snapshot", from.Snapshot)
		}
		layer, bytes = s.Layer, s.Bytes
	case from.Image != "":
		i, ok := e.images[from.Image]
		if !ok {
			return "", 0, nothing, gone("image", from.Image)
		}
		layer, bytes = i.Layer, i.Seen.Bytes
	default:
		return "", 0, nothing, nil
	}
	return layer, bytes, e.keep(layer), nil
}

// keep saves a layer from being collected; e.mu is held. Several may keep the same.
func (e *Engine) keep(layer string) (release func()) {
	pin := layer
	if e.building[pin] { // pinned already: by whom makes it, or another user; a pin of our own outlives theirs
		pin = "pin-" + string(id.New())
		e.layers[pin] = layerFile{Below: layer}
	}
	e.building[pin] = true
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.building, pin)
		if pin != layer {
			delete(e.layers, pin)
		}
	}
}

func (e *Engine) grow(ctx context.Context, d id.ID, f diskFile, want disk.Want) error {
	if want.Bytes <= f.Bytes {
		return nil
	}
	open, err := e.written(f.Top)
	switch {
	case err != nil:
		return err
	case open && want.Live == nil:
		return fail.New(fail.Conflict, "a machine has the disk open").Then("try again when it is stopped")
	case open:
		if err := want.Live(); err != nil {
			return err
		}
	default:
		if err := e.resize(ctx, f.Top, want.Bytes, want.Keys); err != nil {
			return err
		}
	}
	f.Bytes = want.Bytes
	e.mu.Lock()
	defer e.mu.Unlock()
	return store(e, disksDir, e.disks, d, f)
}

// Destroy removes a disk; layers that others stand on stay.
func (e *Engine) Destroy(ctx context.Context, d id.ID) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.locks.hold(d)()
	e.mu.Lock()
	f, ok := e.disks[d]
	e.mu.Unlock()
	if !ok {
		return e.collect() // what a crash left of it
	}
	for _, layer := range []string{f.Top, f.Next} {
		open, err := e.written(layer)
		if err != nil {
			return err
		}
		if open {
			return fail.New(fail.Conflict, "a machine has the disk open").Then("detach it first")
		}
	}
	e.mu.Lock()
	err := drop(e, disksDir, e.disks, d)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	return e.collect()
}

// settled gives a disk's manifest after a snapshot that was cut short has been taken forth or back.
func (e *Engine) settled(d id.ID) (diskFile, error) {
	e.mu.Lock()
	f, ok := e.disks[d]
	e.mu.Unlock()
	if !ok {
		return f, gone("disk", d)
	}
	if f.Next == "" {
		return f, nil
	}
	// A machine that writes to the old top never took the new one. Else the new one is the disk: a machine writes to it or
	// did so, or it is empty, which changes nothing.
	old, err := e.written(f.Top)
	if err != nil {
		return f, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	next := f
	next.Next, next.Snapshot = "", ""
	if _, there := e.layers[f.Next]; there && !old {
		next.Top = f.Next
	}
	return next, store(e, disksDir, e.disks, d, next)
}
