package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/archive"
)

// loadBatch is how many bytes of a snapshot are written at once.
const loadBatch = 1 << 20

// Snapshot is store.Store's.
func (s *Store) Snapshot(ctx context.Context, w io.Writer) (store.Rev, error) {
	if err := s.gate.Enter(ctx); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	v := s.acquire()
	defer s.release(v)
	it, err := v.snap.NewIter(&pebble.IterOptions{LowerBound: firstData, UpperBound: endOfData})
	if err != nil {
		return 0, unreadable(err)
	}
	out := archive.NewWriter(ctx, w, v.rev)
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err == nil {
			err = out.Put(string(it.Key()[1:]), value)
		}
	}
	if err := errors.Join(err, it.Close()); err != nil {
		return 0, fail.Wrap(err, fail.Unavailable, "the snapshot was not finished")
	}
	return v.rev, out.Close()
}

// Restore is store.Store's. It fills a new generation beside the one in force, which serves on until the marker moves.
func (s *Store) Restore(ctx context.Context, r io.Reader) error {
	if err := s.gate.Enter(ctx); err != nil {
		return err
	}
	defer s.gate.Leave()
	if !s.restoring.TryLock() {
		return fail.New(fail.Conflict, "another restore is running").Then("wait until it has ended")
	}
	defer s.restoring.Unlock()
	if err := errors.Join(s.fuse.failure(), s.room()); err != nil {
		return err
	}
	s.mu.Lock()
	var n int
	_, err := fmt.Sscanf(s.gen.name, "g%06d", &n)
	s.mu.Unlock()
	if err != nil {
		return fail.Wrap(err, fail.Internal, "the store's generation has no number")
	}
	name := fmt.Sprintf("g%06d", n+1)
	filled := make(chan error, 1)
	var next *generation
	var rev store.Rev
	go func() { // so that a disk that fails meanwhile, and blocks the library, does not block the caller
		var err error
		if rev, err = s.fill(ctx, name, r); err == nil {
			next, _, err = s.open(name)
		}
		filled <- err
	}()
	select {
	case err = <-filled:
	case <-s.fuse.failed:
		return s.fuse.failure()
	}
	if err == nil {
		err = s.swap(ctx, next, rev)
	}
	if failed := s.fuse.failure(); failed != nil {
		return failed
	}
	if err != nil {
		_ = s.fs.RemoveAll(s.fs.PathJoin(s.dir, name)) // Open removes what is left of it
		return fail.Wrap(err, fail.Unavailable, "the snapshot was not restored, the state is as it was")
	}
	return nil
}

// fill makes the generation called name from an archive. It needs no log: what is flushed and synced at the end counts.
func (s *Store) fill(ctx context.Context, name string, r io.Reader) (rev store.Rev, err error) {
	dir := s.fs.PathJoin(s.dir, name)
	if err := s.fs.RemoveAll(dir); err != nil {
		return 0, err
	}
	db, err := pebble.Open(dir, s.database(false))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.shut(db)) }()
	batch := db.NewBatch()
	defer func() { _ = batch.Close() }()
	rev, err = archive.Read(ctx, r, func(key store.Key, value []byte) error {
		if err := batch.Set(append([]byte{dataPrefix}, key...), value, nil); err != nil || batch.Len() < loadBatch {
			return err
		}
		if err := errors.Join(s.room(), batch.Commit(pebble.NoSync), s.fuse.failure(), batch.Close()); err != nil {
			return err
		}
		batch = db.NewBatch()
		return nil
	})
	if err != nil {
		return 0, err
	}
	if err := batch.Set(keyFormat, binary.BigEndian.AppendUint64(nil, format), nil); err != nil {
		return 0, err
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		return 0, err
	}
	return rev, db.Flush()
}

// swap puts the generation next, made from a snapshot of revision rev, in force.
func (s *Store) swap(ctx context.Context, next *generation, rev store.Rev) error {
	if err := s.acquireWriter(ctx); err != nil {
		return errors.Join(err, s.shut(next.db))
	}
	defer func() { <-s.writer }()
	before := &commit{done: make(chan error, 1)} // everything acknowledged or not by now belongs to the old state
	s.pending <- before
	err := s.await(before)
	rev = max(rev, s.applied) + 1
	if err == nil {
		err = next.db.Set(keyRev, binary.BigEndian.AppendUint64(nil, uint64(rev)), pebble.Sync)
	}
	if err != nil {
		return errors.Join(err, s.shut(next.db))
	}
	if err := s.marker.Move(next.name); err != nil {
		s.fuse.blow(fmt.Errorf("moving the marker to %s: %w", next.name, err)) // old or new? Only the next Open can tell
		return s.fuse.failure()
	}
	_ = s.marker.RemoveObsolete()
	s.mu.Lock()
	old := s.gen
	s.gen = next
	s.mu.Unlock()
	s.applied = rev
	s.hot.forget(rev)
	s.install(s.snapshot(next, rev))
	s.drop(old)
	s.feed.Reset(rev)
	return nil
}
