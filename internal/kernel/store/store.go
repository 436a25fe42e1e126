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
)

// Key is an ordered key: '/'-separated segments of printable bytes. Keys compare bytewise.
type Key = string

// Rev numbers committed write transactions, from 1, without gaps seen by one store.
type Rev uint64

// Store keeps keys and values. All methods are safe for concurrent use.
type Store interface {
	// View runs fn over a consistent snapshot. fn must not keep the Tx. Writes in it fail.
	View(ctx context.Context, fn func(Tx) error) error

	// Update runs fn and commits what it wrote, all or nothing, serialisably against every other Update. When it
	// returns nil the writes are on stable storage. fn may run more than once after a conflict, so it must have no
	// effect but through the Tx; an error from fn is returned as it is and nothing is written. The Rev is that of the
	// commit, or of the snapshot read when nothing was written.
	Update(ctx context.Context, fn func(Tx) error) (Rev, error)

	// Watch yields committed changes of keys under prefix with a revision greater than from, in order, until ctx ends
	// (the loop then just stops) or an error is yielded. A from that is too old to replay yields a fail.Gone error:
	// read the present state with View and watch from its Rev.
	Watch(ctx context.Context, prefix Key, from Rev) iter.Seq2[Change, error]

	// Rev is the newest committed revision.
	Rev() Rev

	// Snapshot writes a consistent copy of everything and returns its revision; Restore replaces everything by it.
	Snapshot(ctx context.Context, w io.Writer) (Rev, error)
	Restore(ctx context.Context, r io.Reader) error

	// Close waits for running transactions. Later calls fail with fail.Unavailable.
	Close() error
}

// Tx reads and writes inside one transaction. It sees its own writes. Not safe for concurrent use.
type Tx interface {
	// Get returns the value and whether it is there. The caller may keep the slice.
	Get(Key) ([]byte, bool, error)
	// Put sets key; the value is copied. An empty key is refused.
	Put(Key, []byte) error
	// Delete removes key; absent is success.
	Delete(Key) error
	// Scan yields keys with the prefix that are > after (from the first when after is ""), in order. An error ends it
	// and is given by ScanErr. Values may be kept. Writing while scanning is allowed; whether the scan shows keys
	// written after it began is not defined, deleted ones included.
	Scan(prefix, after Key) iter.Seq2[Key, []byte]
	// ScanErr is the first error any Scan of this Tx met.
	ScanErr() error
	// Rev is the revision of the snapshot this transaction reads.
	Rev() Rev
}

// Change is one key of a committed transaction.
type Change struct {
	Rev   Rev
	Key   Key
	Value []byte // nil when Deleted
	// Deleted says that the key was removed.
	Deleted bool
}
