package fault

import (
	"context"
	"io"
	"iter"

	"github.com/awancloud/awan/internal/kernel/store"
)

// Store decorates a store: each commit of an Update that writes is an event of the plan, reads are not. After the
// plan's death every call fails with ErrDead, watches end with it, and nothing more is written. Close always closes
// only the decorator, never the inner store, which the next incarnation goes on with.
func Store(inner store.Store, plan *Plan) store.Store { return &faulty{inner: inner, plan: plan} }

type faulty struct {
	inner store.Store
	plan  *Plan
}

// View is store.Store's.
func (f *faulty) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := f.plan.Live(); err != nil {
		return err
	}
	return f.inner.View(ctx, fn)
}

// Update is store.Store's.
func (f *faulty) Update(ctx context.Context, fn func(store.Tx) error) (store.Rev, error) {
	if err := f.plan.Live(); err != nil {
		return 0, err
	}
	wrote := false
	rev, err := f.inner.Update(ctx, func(tx store.Tx) error {
		w := &writeSeer{Tx: tx}
		if err := fn(w); err != nil {
			return err
		}
		if wrote = w.wrote; !wrote {
			return nil
		}
		return f.plan.moment("before commit")
	})
	if err != nil || !wrote {
		return rev, err
	}
	if err := f.plan.moment("after commit"); err != nil {
		return 0, err
	}
	return rev, nil
}

// Watch is store.Store's.
func (f *faulty) Watch(ctx context.Context, prefix store.Key, from store.Rev) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		watch, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(f.plan.died, cancel)()
		for c, err := range f.inner.Watch(watch, prefix, from) {
			if f.plan.Live() != nil {
				break
			}
			if !yield(c, err) {
				return
			}
		}
		if err := f.plan.Live(); err != nil && ctx.Err() == nil {
			yield(store.Change{}, err)
		}
	}
}

// Rev is store.Store's.
func (f *faulty) Rev() store.Rev { return f.inner.Rev() }

// Snapshot is store.Store's.
func (f *faulty) Snapshot(ctx context.Context, w io.Writer) (store.Rev, error) {
	if err := f.plan.Live(); err != nil {
		return 0, err
	}
	return f.inner.Snapshot(ctx, w)
}

// Restore is store.Store's; it is an event too.
func (f *faulty) Restore(ctx context.Context, r io.Reader) error {
	return f.plan.Call("restore", func() error { return f.inner.Restore(ctx, r) })
}

// Close leaves the inner store open.
func (f *faulty) Close() error { return nil }

// writeSeer notes whether a transaction writes.
type writeSeer struct {
	store.Tx
	wrote bool
}

// Put is store.Tx's.
func (w *writeSeer) Put(k store.Key, v []byte) error {
	w.wrote = true
	return w.Tx.Put(k, v)
}

// Delete is store.Tx's.
func (w *writeSeer) Delete(k store.Key) error {
	w.wrote = true
	return w.Tx.Delete(k)
}
