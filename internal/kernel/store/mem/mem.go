// Package mem is the state store in memory, for tests and simulations: nothing survives Close.
//
// An immutable radix tree holds each revision, so a View is a pointer and a transaction's rollback is forgetting it.
// It may import kernel/fail, kernel/store and its parts.
package mem

import (
	"context"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/archive"
	"github.com/awancloud/awan/internal/kernel/store/feed"
	"github.com/awancloud/awan/internal/kernel/store/gate"
)

// history is how many bytes of changes can be replayed to watchers.
const history = 4 << 20

type tree = iradix.Tree[[]byte]

// Store is a store.Store in memory.
type Store struct {
	gate   gate.Gate
	feed   *feed.Feed
	writer chan struct{} // holds a token while an Update or a Restore runs

	mu   sync.Mutex
	tree *tree
	rev  store.Rev
}

var _ store.Store = (*Store)(nil)

// New makes an empty store.
func New() *Store {
	return &Store{tree: iradix.New[[]byte](), feed: feed.New(0, history), writer: make(chan struct{}, 1)}
}

// View is store.Store's.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.gate.Enter(ctx); err != nil {
		return err
	}
	defer s.gate.Leave()
	base, rev := s.now()
	tx := &tx{ctx: ctx, base: base, rev: rev, txn: base.Txn()}
	return tx.run(fn)
}

// Update is store.Store's.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) (store.Rev, error) {
	if err := s.gate.Enter(ctx); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	if err := s.lock(ctx); err != nil {
		return 0, err
	}
	defer s.unlock()
	base, rev := s.now()
	tx := &tx{ctx: ctx, base: base, rev: rev, txn: base.Txn(), writes: map[store.Key]struct{}{}}
	if err := tx.run(fn); err != nil {
		return 0, err
	}
	if err := gate.Live(ctx); err != nil {
		return 0, err
	}
	changes := tx.changes(rev + 1)
	if len(changes) == 0 {
		return rev, nil
	}
	s.mu.Lock()
	s.tree, s.rev = tx.txn.CommitOnly(), rev+1
	s.mu.Unlock()
	s.feed.Publish(rev+1, changes)
	return rev + 1, nil
}

// Watch is store.Store's.
func (s *Store) Watch(ctx context.Context, prefix store.Key, from store.Rev) iter.Seq2[store.Change, error] {
	return s.feed.Watch(ctx, prefix, from)
}

// Rev is store.Store's.
func (s *Store) Rev() store.Rev {
	_, rev := s.now()
	return rev
}

// Snapshot is store.Store's.
func (s *Store) Snapshot(ctx context.Context, w io.Writer) (store.Rev, error) {
	if err := s.gate.Enter(ctx); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	base, rev := s.now()
	out := archive.NewWriter(ctx, w, rev)
	it := base.Root().Iterator()
	for k, v, ok := it.Next(); ok; k, v, ok = it.Next() {
		if err := out.Put(string(k), v); err != nil {
			return 0, err
		}
	}
	return rev, out.Close()
}

// Restore is store.Store's.
func (s *Store) Restore(ctx context.Context, r io.Reader) error {
	if err := s.gate.Enter(ctx); err != nil {
		return err
	}
	defer s.gate.Leave()
	txn := iradix.New[[]byte]().Txn()
	rev, err := archive.Read(ctx, r, func(k store.Key, v []byte) error {
		txn.Insert([]byte(k), v)
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	s.mu.Lock()
	s.tree, s.rev = txn.CommitOnly(), max(s.rev, rev)+1
	rev = s.rev
	s.mu.Unlock()
	s.feed.Reset(rev)
	return nil
}

// Close is store.Store's.
func (s *Store) Close() error {
	if s.gate.Close() {
		s.feed.Close(gate.Closed())
	}
	return nil
}

func (s *Store) now() (*tree, store.Rev) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tree, s.rev
}

func (s *Store) lock(ctx context.Context) error {
	select {
	case s.writer <- struct{}{}:
		return nil
	case <-ctx.Done():
		return gate.Live(ctx)
	}
}

func (s *Store) unlock() { <-s.writer }

// tx is a store.Tx; writes is nil when it may not write.
type tx struct {
	ctx    context.Context
	base   *tree
	rev    store.Rev
	txn    *iradix.Txn[[]byte]
	writes map[store.Key]struct{}
	size   int
	err    error // sticks
	ended  bool
}

// run calls fn and gives its error, or the one that sticks to the transaction.
func (t *tx) run(fn func(store.Tx) error) error {
	defer func() { t.ended = true }() // also when fn panics
	if err := fn(t); err != nil {
		return err
	}
	return t.err
}

// check keeps the first error of the transaction.
func (t *tx) check(err error) error {
	if t.ended {
		return fail.New(fail.Internal, "a transaction was used after its end")
	}
	if t.err == nil {
		t.err = err
	}
	return t.err
}

// Get is store.Tx's.
func (t *tx) Get(key store.Key) ([]byte, bool, error) {
	if err := t.check(nil); err != nil {
		return nil, false, err
	}
	v, ok := t.txn.Get([]byte(key))
	if !ok {
		return nil, false, nil
	}
	return append([]byte{}, v...), true, nil
}

// Put is store.Tx's.
func (t *tx) Put(key store.Key, value []byte) error {
	if err := t.write(key, value); err != nil {
		return err
	}
	t.txn.Insert([]byte(key), append([]byte{}, value...))
	return nil
}

// Delete is store.Tx's.
func (t *tx) Delete(key store.Key) error {
	if err := t.write(key, nil); err != nil {
		return err
	}
	t.txn.Delete([]byte(key))
	return nil
}

func (t *tx) write(key store.Key, value []byte) error {
	if t.writes == nil {
		return t.check(fail.New(fail.Internal, "a View cannot write"))
	}
	t.size += len(key) + len(value)
	if err := store.CheckPut(key, value, t.size); err != nil {
		return t.check(err)
	}
	t.writes[key] = struct{}{}
	return t.check(nil)
}

// Scan is store.Tx's.
func (t *tx) Scan(prefix, after store.Key) iter.Seq2[store.Key, []byte] {
	return func(yield func(store.Key, []byte) bool) {
		// CommitOnly gives the tree as written so far and lets the transaction go on: later writes copy.
		it := t.txn.CommitOnly().Root().Iterator()
		it.SeekLowerBound([]byte(max(prefix, after)))
		for t.check(gate.Live(t.ctx)) == nil {
			k, v, ok := it.Next()
			key := string(k)
			if !ok || len(key) < len(prefix) || key[:len(prefix)] != prefix {
				return
			}
			if key == after && after != "" {
				continue
			}
			if !yield(key, append([]byte{}, v...)) {
				return
			}
		}
	}
}

// ScanErr is store.Tx's.
func (t *tx) ScanErr() error { return t.err }

// Rev is store.Tx's.
func (t *tx) Rev() store.Rev { return t.rev }

// changes lists what the transaction changes, in key order, without writes that come to nothing.
func (t *tx) changes(rev store.Rev) []store.Change {
	var out []store.Change
	for _, key := range slices.Sorted(maps.Keys(t.writes)) {
		v, ok := t.txn.Get([]byte(key))
		if _, was := t.base.Get([]byte(key)); ok || was {
			out = append(out, store.Change{Rev: rev, Key: key, Value: v, Deleted: !ok})
		}
	}
	return out
}
