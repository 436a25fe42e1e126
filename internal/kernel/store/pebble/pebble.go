// Package pebble is the embedded state store: cockroachdb/pebble, one writer at a time, fsyncs shared.
//
// An Update runs its function under the writer token over an indexed batch. A first goroutine, applyAll, hands the batch
// to the library and gives the token on without waiting for the log's sync; the next writers join the same sync. A
// second one, publish, takes the commits in order as they become durable: it moves the snapshot that Views read, tells
// the watchers, and lets Update return. So no reader sees, and no watcher hears of, what a power cut could still undo.
// (The library can block for ever on a failing disk. Then only these two goroutines are stuck, never a caller.)
// It may import kernel/fail, kernel/store and its parts.
package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/feed"
	"github.com/awancloud/awan/internal/kernel/store/gate"
)

// maxPending bounds the commits that wait for the disk.
const maxPending = 1024

// Store is a store.Store in one folder.
type Store struct {
	dir    string
	opts   Options
	fs     vfs.FS
	fuse   *fuse
	lock   io.Closer
	cache  *pebble.Cache
	marker *atomicfs.Marker

	gate      gate.Gate
	feed      *feed.Feed
	restoring sync.Mutex

	writer  chan struct{} // holds a token from an Update's or a Restore's begin until it is applied; guards applied
	applied store.Rev     // the newest revision in the database, durable or not
	applies chan *commit  // at most one, whose Update has handed its token over
	pending chan *commit  // applied, in order
	ended   chan struct{} // closed when publish, the last goroutine, has ended

	roomUntil atomic.Int64 // until when the disk is known to have ample room

	hot     hot
	mu      sync.Mutex
	gen     *generation // in force; changed under the writer token too
	current *version    // the newest durable revision
	closing error       // met while closing databases
}

var _ store.Store = (*Store)(nil)

// commit is one applied transaction on its way to the disk; without a batch it only waits for those before it.
type commit struct {
	rev     store.Rev
	changes []store.Change
	batch   *pebble.Batch
	version *version
	done    chan error
}

// Open opens the store in dir, making it when it is not there. One process at a time can have it open. What the last
// one was doing when it died is finished or undone here.
func Open(dir string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	f := newFuse(opts.Logger)
	s := &Store{
		dir: dir, opts: opts, fuse: f, fs: disk{FS: errorfs.Wrap(opts.FS, f), fuse: f},
		writer: make(chan struct{}, 1), applies: make(chan *commit, 1), pending: make(chan *commit, maxPending),
		ended: make(chan struct{}),
	}
	if err := makeDir(s.fs, dir); err != nil {
		return nil, s.refuse(err)
	}
	var err error
	if s.lock, err = s.takeLock(); err != nil {
		return nil, err
	}
	// The library takes the memory tables' bytes, the one in use and the one being flushed, out of the cache.
	s.cache = pebble.NewCache(opts.CacheBytes + 2*int64(opts.MemTableBytes))
	if err := s.load(); err != nil {
		s.unwind()
		return nil, s.refuse(err)
	}
	s.feed = feed.New(s.applied, opts.HistoryBytes)
	s.current = s.snapshot(s.gen, s.applied)
	s.hot.forget(s.applied)
	go s.applyAll()
	go s.publish()
	return s, nil
}

// load opens the generation in force and removes what a cut-off Restore left.
func (s *Store) load() error {
	name, all, err := s.locate()
	if err != nil {
		return err
	}
	if name == "" {
		name = fmt.Sprintf("g%06d", 1)
	}
	if s.gen, s.applied, err = s.open(name); err != nil {
		return err
	}
	if err := s.marker.Move(name); err != nil {
		return err
	}
	for _, other := range all {
		if other != name {
			if err := s.fs.RemoveAll(s.fs.PathJoin(s.dir, other)); err != nil {
				return err
			}
		}
	}
	return s.marker.RemoveObsolete()
}

// refuse explains why Open failed.
func (s *Store) refuse(err error) error {
	return fail.Wrap(err, fail.Unavailable, "the state store in %s cannot be opened", s.dir).
		Then("look at the operator's log; if the data is damaged, restore a backup into a fresh folder")
}

// unwind closes what a failed Open had opened.
func (s *Store) unwind() {
	if s.gen != nil {
		_ = s.shut(s.gen.db)
	}
	if s.marker != nil {
		_ = s.marker.Close()
	}
	s.freeCache()
	_ = s.lock.Close()
}

// makeDir makes the folder and its parents so that a power cut does not take them away.
func makeDir(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(dir); err == nil {
		return nil
	}
	parent := fs.PathDir(dir)
	if parent != dir {
		if err := makeDir(fs, parent); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := fs.OpenDir(parent)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Failed is closed when the disk has failed: from then on every Update is refused, and the process should end so that
// it can be started again. Views go on with what was durable. (A few failures end the process from inside the library.)
func (s *Store) Failed() <-chan struct{} { return s.fuse.failed }

// View is store.Store's.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.gate.Enter(ctx); err != nil {
		return err
	}
	defer s.gate.Leave()
	v := s.acquire()
	defer s.release(v)
	return (&tx{ctx: ctx, from: v.snap, rev: v.rev, hot: &s.hot}).run(fn)
}

// Update is store.Store's.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) (store.Rev, error) {
	if err := s.gate.Enter(ctx); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	if err := s.acquireWriter(ctx); err != nil {
		return 0, err
	}
	c, err := s.transact(ctx, fn)
	if c != nil {
		if failed := s.await(c); failed != nil {
			return 0, failed
		}
	}
	if err != nil {
		return 0, err
	}
	return c.rev, nil
}

func (s *Store) acquireWriter(ctx context.Context) error {
	select {
	case s.writer <- struct{}{}:
		return nil
	case <-ctx.Done():
		return gate.Live(ctx)
	case <-s.fuse.failed: // the holder may be stuck
		return s.fuse.failure()
	}
}

// await waits for a commit's fate. There is no way out by a context: the writes are under way, and the caller must learn
// what became of them.
func (s *Store) await(c *commit) error {
	select {
	case err := <-c.done:
		return err
	case <-s.fuse.failed:
	}
	select {
	case err := <-c.done:
		return err
	default:
		return s.fuse.failure()
	}
}

// transact runs fn under the writer token, which goes to applyAll with what fn wrote, or back. The caller must wait for
// the commit it returns, also beside an error: fn may have decided by something that is not durable yet.
func (s *Store) transact(ctx context.Context, fn func(store.Tx) error) (*commit, error) {
	if err := s.fuse.failure(); err != nil {
		<-s.writer
		return nil, err
	}
	c := &commit{rev: s.applied, done: make(chan error, 1)}
	batch := s.gen.db.NewIndexedBatch()
	defer func() { // also when fn panics
		if c.batch == nil {
			_ = batch.Close()
			<-s.writer
		}
	}()
	t := &tx{ctx: ctx, from: batch, batch: batch, rev: s.applied, hot: &s.hot}
	err := t.run(fn)
	if err == nil {
		err = gate.Live(ctx)
	}
	if err == nil {
		c.changes, err = t.changes(s.gen.db, s.applied+1)
	}
	if err == nil && len(c.changes) > 0 {
		if err = s.room(); err == nil {
			err = batch.Set(keyRev, binary.BigEndian.AppendUint64(nil, uint64(s.applied+1)), nil)
		}
	}
	if err != nil || len(c.changes) == 0 {
		s.pending <- c
		return c, err
	}
	c.batch = batch
	s.applies <- c
	return c, nil
}

// applyAll applies what Updates hand over, one at a time because each holds the writer token.
func (s *Store) applyAll() {
	defer close(s.pending)
	for c := range s.applies {
		if err := s.apply(c.batch); err != nil {
			c.done <- err
		} else {
			s.applied++
			c.rev, c.version = s.applied, s.snapshot(s.gen, s.applied)
			s.hot.expect(c.changes)
			s.pending <- c
		}
		<-s.writer
	}
}

// apply hands the batch to the log and the memory table without waiting for the disk. The library reports a failing
// log by a panic or through its logger, and is of no more use then.
func (s *Store) apply(batch *pebble.Batch) (err error) {
	defer func() {
		if r := recover(); r != nil {
			cause, ok := r.(error)
			if !ok {
				cause = fmt.Errorf("%v", r)
			}
			s.fuse.blow(cause)
			err = s.fuse.failure()
		}
	}()
	if err := s.gen.db.ApplyNoSyncWait(batch, pebble.Sync); err != nil {
		s.fuse.blow(err)
	}
	return s.fuse.failure()
}

// ample is so much room, beside the reserve, that nobody fills it within roomy.
const (
	ample = 256 << 20
	roomy = 10 * time.Millisecond
)

// room refuses writes while there is still space for the library to tidy up in.
func (s *Store) room() error {
	if time.Now().UnixNano() < s.roomUntil.Load() {
		return nil
	}
	usage, err := s.fs.GetDiskUsage(s.dir)
	if err != nil || usage.AvailBytes >= s.opts.ReserveBytes {
		if err == nil && usage.AvailBytes >= s.opts.ReserveBytes+ample {
			s.roomUntil.Store(time.Now().Add(roomy).UnixNano())
		}
		return nil // a file system that cannot say is taken to have room; a write that fails is seen anyway
	}
	return fail.New(fail.NoSpace, "the disk of the state store has %d MiB left, and it keeps %d MiB for itself",
		usage.AvailBytes>>20, s.opts.ReserveBytes>>20).Then("free some room on the disk of %s", s.dir)
}

// publish takes commits in order when they are durable. Once one is not, none after it can count.
func (s *Store) publish() {
	defer close(s.ended)
	for c := range s.pending {
		if c.batch != nil {
			if err := c.batch.SyncWait(); err != nil {
				s.fuse.blow(fmt.Errorf("syncing the log: %w", err))
			} else {
				_ = c.batch.Close()
			}
		}
		err := s.fuse.failure()
		if err == nil && c.version != nil {
			s.hot.follow(c.rev, c.changes)
			s.install(c.version)
			s.feed.Publish(c.rev, c.changes)
		}
		c.done <- err
	}
}

// Watch is store.Store's.
func (s *Store) Watch(ctx context.Context, prefix store.Key, from store.Rev) iter.Seq2[store.Change, error] {
	return s.feed.Watch(ctx, prefix, from)
}

// Rev is store.Store's.
func (s *Store) Rev() store.Rev {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current.rev
}

// Close is store.Store's.
func (s *Store) Close() error {
	if !s.gate.Close() {
		return nil
	}
	close(s.applies)
	select {
	case <-s.ended:
	case <-s.fuse.failed:
	}
	s.feed.Close(gate.Closed())
	s.release(s.current)
	s.drop(s.gen)
	s.freeCache()
	s.mu.Lock()
	err := s.closing
	s.mu.Unlock()
	err = errors.Join(err, s.marker.Close(), s.lock.Close())
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "the state store in %s did not close cleanly", s.dir)
	}
	return nil
}

// freeCache lets the cache go, unless a failed database was left open over it.
func (s *Store) freeCache() {
	if s.fuse.failure() == nil {
		s.cache.Unref()
	}
}
