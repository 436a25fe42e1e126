package pebble

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/gate"
)

// tx is a store.Tx: of a View when batch is nil, else of an Update.
type tx struct {
	ctx   context.Context
	from  pebble.Reader
	batch *pebble.Batch
	rev   store.Rev
	hot   *hot
	key   []byte // scratch
	size  int
	err   error // sticks
	ended bool
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

func (t *tx) encode(key store.Key) []byte {
	t.key = append(append(t.key[:0], dataPrefix), key...)
	return t.key
}

// Get is store.Tx's.
func (t *tx) Get(key store.Key) ([]byte, bool, error) {
	if err := t.check(nil); err != nil {
		return nil, false, err
	}
	if h, known := t.known(key); known {
		if !h.there {
			return nil, false, nil
		}
		return append([]byte{}, h.value...), true, nil
	}
	v, closer, err := t.from.Get(t.encode(key))
	there := !errors.Is(err, pebble.ErrNotFound)
	if err != nil && there {
		return nil, false, t.check(unreadable(err))
	}
	if there {
		v = append([]byte{}, v...)
		if err := closer.Close(); err != nil {
			return nil, false, t.check(unreadable(err))
		}
	}
	if t.batch == nil {
		t.hot.learn(key, v, there, t.rev)
	}
	return v, there, nil
}

// known gives what is known of a key without the library. What an Update itself wrote only its batch knows.
func (t *tx) known(key store.Key) (hotValue, bool) {
	switch {
	case t.batch == nil:
		return t.hot.get(key, t.rev)
	case t.batch.Empty():
		return t.hot.getAhead(key)
	}
	return hotValue{}, false
}

// Put is store.Tx's.
func (t *tx) Put(key store.Key, value []byte) error {
	if err := t.write(key, value); err != nil {
		return err
	}
	return t.check(t.batch.Set(t.encode(key), value, nil))
}

// Delete is store.Tx's.
func (t *tx) Delete(key store.Key) error {
	if err := t.write(key, nil); err != nil {
		return err
	}
	return t.check(t.batch.Delete(t.encode(key), nil))
}

func (t *tx) write(key store.Key, value []byte) error {
	if t.batch == nil {
		return t.check(fail.New(fail.Internal, "a View cannot write"))
	}
	t.size += len(key) + len(value)
	return t.check(store.CheckPut(key, value, t.size))
}

// Scan is store.Tx's.
func (t *tx) Scan(prefix, after store.Key) iter.Seq2[store.Key, []byte] {
	return func(yield func(store.Key, []byte) bool) {
		if t.check(gate.Live(t.ctx)) != nil {
			return
		}
		it, err := t.from.NewIter(bounds(prefix, after))
		if err != nil {
			_ = t.check(unreadable(err))
			return
		}
		defer func() {
			if err := it.Close(); err != nil {
				_ = t.check(unreadable(err))
			}
		}()
		for ok := it.First(); ok; ok = it.Next() {
			v, err := it.ValueAndErr()
			if err != nil {
				_ = t.check(unreadable(err))
				return
			}
			if !yield(string(it.Key()[1:]), append([]byte{}, v...)) {
				return
			}
			if t.check(gate.Live(t.ctx)) != nil {
				return
			}
		}
	}
}

// bounds limits an iterator to keys with the prefix that are > after.
func bounds(prefix, after store.Key) *pebble.IterOptions {
	o := &pebble.IterOptions{LowerBound: append([]byte{dataPrefix}, prefix...)}
	if after != "" && after >= prefix {
		o.LowerBound = append(append([]byte{dataPrefix}, after...), 0) // the first key after it
	}
	o.UpperBound = append([]byte{dataPrefix}, prefix...)
	for i := len(o.UpperBound) - 1; ; i-- { // ends at dataPrefix at the latest
		if o.UpperBound[i] < 0xff {
			o.UpperBound[i]++
			o.UpperBound = o.UpperBound[:i+1]
			return o
		}
	}
}

// ScanErr is store.Tx's.
func (t *tx) ScanErr() error { return t.err }

// Rev is store.Tx's.
func (t *tx) Rev() store.Rev { return t.rev }

// changes lists what the transaction changes in base, in key order, without writes that come to nothing.
func (t *tx) changes(base pebble.Reader, rev store.Rev) ([]store.Change, error) {
	if t.batch.Empty() {
		return nil, nil
	}
	all := make([]store.Change, 0, t.batch.Count())
	for r := t.batch.Reader(); ; {
		kind, key, value, ok, err := r.Next()
		if err != nil {
			return nil, unreadable(err)
		}
		if !ok {
			break
		}
		c := store.Change{Rev: rev, Key: string(key[1:]), Deleted: kind != pebble.InternalKeyKindSet}
		if !c.Deleted {
			c.Value = bytes.Clone(value)
		}
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b store.Change) int { return cmp.Compare(a.Key, b.Key) })
	out := all[:0]
	for i, c := range all {
		if i+1 < len(all) && all[i+1].Key == c.Key {
			continue // only the last write of a key counts
		}
		if c.Deleted {
			_, closer, err := base.Get(t.encode(c.Key))
			if errors.Is(err, pebble.ErrNotFound) {
				continue
			}
			if err == nil {
				err = closer.Close()
			}
			if err != nil {
				return nil, unreadable(err)
			}
		}
		out = append(out, c)
	}
	return out, nil
}

func unreadable(err error) error {
	return fail.Wrap(err, fail.Unavailable, "the state store could not be read").
		Then("look at the operator's log and check the disk")
}
