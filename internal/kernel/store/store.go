// Package store is the port to the cloud's system of record: ordered keys, serialisable transactions, watches.
//
// Implementations: pebble (embedded), mem (tests); etcd follows for clusters, and nothing here may ask for more than
// its transactions, ranges and watches give. One suite, storetest, runs against all of them.
// It may import kernel/fail only.
package store

import (
	"context"
	"io"
	"iter"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Key is an ordered key: '/'-separated segments of printable bytes. Keys compare bytewise.
type Key = string

// Limits of every implementation, so that what one accepts none refuses. Larger things belong in files or buckets.
const (
	MaxKey   = 2 << 10 // bytes of a key
	MaxValue = 1 << 20 // bytes of a value
	MaxTx    = 8 << 20 // bytes of keys and values written by one transaction
)

// Rev numbers committed write transactions, each larger than the one before. Gaps may occur (a Restore leaves one).
type Rev uint64

// Store keeps keys and values. All methods are safe for concurrent use.
//
// A read never shows what a power cut could still take away: View, Watch and Update's results are of commits that are
// on stable storage.
type Store interface {
	// View runs fn over a consistent snapshot that holds at least every Update that returned before View was called.
	// fn must not keep the Tx. Writes in it fail.
	View(ctx context.Context, fn func(Tx) error) error

	// Update runs fn and commits what it wrote, all or nothing, serialisably against every other Update. When it
	// returns nil the writes are on stable storage. fn may run more than once after a conflict, so it must have no
	// effect but through the Tx, and it must not call Update itself: that would wait for ever. An error from fn is
	// returned as it is and nothing is written; so it is when ctx ends before the commit. The Rev is that of the
	// commit, or of the snapshot read when nothing was written (a Delete of an absent key writes nothing).
	// fail.NoSpace or fail.Unavailable from a failing disk leaves open whether the transaction is there after a restart.
	Update(ctx context.Context, fn func(Tx) error) (Rev, error)

	// Watch yields committed changes of keys under prefix with a revision greater than from, in order, until ctx ends
	// (the loop then just stops) or an error is yielded. Changes of one revision come in key order, one a key. A from
	// that is too old to replay, or that this store never reached, yields a fail.Gone error, as does a reader that falls
	// too far behind and a Restore: read the present state with View and watch from its Rev. Close ends it with
	// fail.Unavailable.
	Watch(ctx context.Context, prefix Key, from Rev) iter.Seq2[Change, error]

	// Rev is the newest committed revision.
	Rev() Rev

	// Snapshot writes a consistent copy of everything, in the format of package archive, and returns its revision.
	Snapshot(ctx context.Context, w io.Writer) (Rev, error)

	// Restore replaces everything by a Snapshot, which may be another store's, all or nothing. The revision after it is
	// beyond both the snapshot's and every one that this store gave out before, so that no Rev ever means two states.
	Restore(ctx context.Context, r io.Reader) error

	// Close waits for running transactions, so it must not be called inside one. Later calls fail with
	// fail.Unavailable; closing twice is success.
	Close() error
}

// Tx reads and writes inside one transaction. It sees its own writes. Not safe for concurrent use.
//
// The first error that any method meets sticks to the transaction: it then cannot commit, and View and Update return
// that error even if fn ignored it. So a Scan that was cut short can never be taken for a whole one.
type Tx interface {
	// Get returns the value and whether it is there. The caller may keep the slice.
	Get(Key) ([]byte, bool, error)
	// Put sets key; the value is copied. An empty key is refused (fail.Invalid), one beyond the limits too
	// (fail.TooLarge).
	Put(Key, []byte) error
	// Delete removes key; absent is success.
	Delete(Key) error
	// Scan yields keys with the prefix that are > after (from the first when after is ""), in order. An error ends it
	// and is given by ScanErr. Values may be kept. Writing while scanning is allowed; whether the scan shows keys
	// written after it began is not defined, deleted ones included.
	Scan(prefix, after Key) iter.Seq2[Key, []byte]
	// ScanErr is the first error this Tx met. Update and View return it anyway; it is for those who must know sooner.
	ScanErr() error
	// Rev is the revision of the snapshot this transaction reads.
	Rev() Rev
}

// Change is one key of a committed transaction.
type Change struct {
	Rev   Rev
	Key   Key
	Value []byte // nil when Deleted; the watcher may keep it
	// Deleted says that the key was removed.
	Deleted bool
}

// CheckPut refuses a write beyond the limits; written is what the transaction writes with this one. Implementations
// call it in Put and Delete.
func CheckPut(key Key, value []byte, written int) error {
	switch {
	case key == "":
		return fail.New(fail.Invalid, "a key must not be empty")
	case len(key) > MaxKey:
		return fail.New(fail.TooLarge, "a key has %d bytes, at most %d are allowed", len(key), MaxKey)
	case len(value) > MaxValue:
		return fail.New(fail.TooLarge, "the value of %q has %d bytes, at most %d are allowed", key, len(value), MaxValue)
	case written > MaxTx:
		return fail.New(fail.TooLarge, "a transaction writes more than %d bytes", MaxTx).Then("write less at once")
	}
	return nil
}
