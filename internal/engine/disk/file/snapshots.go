package file

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/disk"
	"github.com/awancloud/awan/internal/service/machine"
)

// Snapshot puts a new layer on top of a disk and keeps the one that was.
func (e *Engine) Snapshot(ctx context.Context, snapshot, d id.ID, keys disk.Keys, live func(machine.Drive) error) (disk.Seen, error) {
	if err := e.enter(ctx); err != nil {
		return disk.Seen{}, err
	}
	defer e.locks.hold(d)()
	e.mu.Lock()
	f, ok := e.disks[d]
	_, done := e.snapshots[snapshot]
	e.mu.Unlock()
	if !ok && !done {
		return disk.Seen{}, gone("disk", d)
	}
	if done {
		if f.Snapshot == snapshot { // the last write is missing
			if _, err := e.settled(d); err != nil {
				return disk.Seen{}, err
			}
		}
		return e.ObserveSnapshot(ctx, snapshot)
	}
	if f.Snapshot != snapshot {
		var err error
		if f, err = e.settled(d); err != nil {
			return disk.Seen{}, err
		}
	}
	open, err := e.written(f.Top)
	if err != nil {
		return disk.Seen{}, err
	}
	if open && live == nil {
		return disk.Seen{}, fail.New(fail.Conflict, "a machine has the disk open").Then("try again in a moment")
	}
	if f, err = e.putNext(snapshot, d, f, keys); err != nil {
		return disk.Seen{}, err
	}
	if live != nil {
		drive, err := e.drive(f.Next, keys)
		if err != nil {
			return disk.Seen{}, err
		}
		if err := live(drive); err != nil {
			return disk.Seen{}, err // what the machine writes to is found out when the disk is used next
		}
	}
	s := snapshotFile{Layer: f.Top, Disk: d, Bytes: f.Bytes, Created: e.o.Now().UTC()}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := store(e, snapshotsDir, e.snapshots, snapshot, s); err != nil {
		return disk.Seen{}, err
	}
	f.Top, f.Next, f.Snapshot = f.Next, "", ""
	return e.seen(s.Layer, s.Bytes, s.Created, d), store(e, disksDir, e.disks, d, f)
}

// putNext makes the layer that will be on top, unless an earlier try did, and writes down that it is coming.
func (e *Engine) putNext(snapshot, d id.ID, f diskFile, keys disk.Keys) (diskFile, error) {
	if f.Snapshot == snapshot && f.Next != "" {
		return f, nil
	}
	next, done, err := e.layer(f.Top, d, keys, f.Bytes)
	if err != nil {
		return f, err
	}
	defer done()
	f.Next, f.Snapshot = next, snapshot
	e.mu.Lock()
	defer e.mu.Unlock()
	return f, store(e, disksDir, e.disks, d, f)
}

// Revert gives a disk a snapshot's content: a new layer on that of the snapshot.
func (e *Engine) Revert(ctx context.Context, d, snapshot id.ID, keys disk.Keys) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.locks.hold(d)()
	f, err := e.settled(d)
	if err != nil {
		return err
	}
	open, err := e.written(f.Top)
	if err != nil {
		return err
	}
	if open {
		return fail.New(fail.Conflict, "a machine has the disk open").Then("stop it first")
	}
	below, bytes, release, err := e.source(disk.Source{Snapshot: snapshot})
	if err != nil {
		return err
	}
	defer release()
	top, done, err := e.layer(below, d, keys, bytes)
	if err != nil {
		return err
	}
	defer done()
	f.Top, f.Bytes = top, bytes
	e.mu.Lock()
	err = store(e, disksDir, e.disks, d, f)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	return e.collect()
}

// ObserveSnapshot looks at a snapshot.
func (e *Engine) ObserveSnapshot(ctx context.Context, snapshot id.ID) (disk.Seen, error) {
	if err := e.enter(ctx); err != nil {
		return disk.Seen{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s, ok := e.snapshots[snapshot]
	if !ok {
		return disk.Seen{}, gone("snapshot", snapshot)
	}
	return e.seen(s.Layer, s.Bytes, s.Created, s.Disk), nil
}

// DestroySnapshot removes a snapshot. Its layer stays while something stands on it; where that is only the disk itself,
// and no machine has it open, the two become one.
func (e *Engine) DestroySnapshot(ctx context.Context, snapshot id.ID, keys disk.Keys) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	e.mu.Lock()
	s, ok := e.snapshots[snapshot]
	var cut id.ID // a disk whose snapshot was cut short
	for d, f := range e.disks {
		if f.Snapshot == snapshot {
			cut = d
		}
	}
	e.mu.Unlock()
	of := s.Disk
	if !ok {
		of = cut
	}
	if of == "" {
		return nil
	}
	defer e.locks.hold(of)()
	if cut != "" {
		if _, err := e.settled(cut); err != nil {
			return err
		}
	}
	e.mu.Lock()
	var err error
	if ok {
		err = drop(e, snapshotsDir, e.snapshots, snapshot)
	}
	e.mu.Unlock()
	if err != nil {
		return err
	}
	if err := e.collect(); err != nil {
		return err
	}
	e.join(ctx, of, keys)
	return nil
}
