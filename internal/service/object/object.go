// Package object is the port to where the bytes of objects lie: immutable blobs behind references. It knows nothing of
// buckets, names, versions or keys of any kind: package bucket keeps those in the cloud's store, and hands over bytes that
// are encrypted already.
//
// Engines: engine/object/file (this machine's disks), engine/object/s3 (any S3 store), engine/object/mem (tests). One suite,
// objecttest, runs against all of them. It may import kernel/{fail,id}.
package object

import (
	"context"
	"io"
	"iter"
	"time"
)

// Block is the unit in which engines check what they read: 64 KiB of content and the 16 bytes that authenticated
// encryption adds. Reads that begin and end at multiples of it are the cheapest.
const Block = 64<<10 + 16

// Ref names a blob, for as long as it exists, wherever an engine moves its bytes. Letters, digits, '-' and '_', at most
// 64 of them; only the engine that gave it knows what it says.
type Ref string

// Blobs keeps blobs. All methods are safe for concurrent use.
type Blobs interface {
	// Create begins a blob. size is what will be written, -1 when it is not known: engines choose by it where the bytes go.
	// Commit fails with fail.Invalid when something else was written.
	Create(ctx context.Context, size int64) (Writer, error)

	// Open reads a blob. fail.NotFound when there is none. A blob that is deleted while it is open stays readable until
	// the reader is closed.
	Open(ctx context.Context, ref Ref) (Reader, error)

	// Delete gives a blob's space back, sooner or later; absent is success. A delete that a crash undid shows in List again.
	Delete(ctx context.Context, ref Ref) error

	// List yields every committed blob, in no order, to find those nobody refers to.
	List(ctx context.Context) iter.Seq2[Info, error]

	// Verify reads a blob from the disks past every cache and checks each block; what it can repair from parity it repairs.
	// fail.DataLoss says which blocks are beyond repair.
	Verify(ctx context.Context, ref Ref) (repaired int, err error)

	// Space tells what the engine holds.
	Space(ctx context.Context) (Space, error)

	// Close waits for what is being written; later calls fail with fail.Unavailable.
	Close() error
}

// Writer writes one blob. Exactly one of Commit and Abort ends it; Abort after Commit does nothing.
// Memory in use does not grow with what is written.
type Writer interface {
	io.Writer
	// Commit returns when every byte is on stable storage: from then on Open finds it, whatever happens. A crash before
	// leaves nothing, or the whole blob, that only List shows then: never a part. fail.NoSpace when the disk is full:
	// nothing is kept then. An error ends the writer as Abort does; a second Commit fails with fail.Precondition.
	Commit(ctx context.Context) (Ref, error)
	Abort()
}

// Reader reads one blob. What it gives out is what was written, or an error: fail.DataLoss when the disk changed it.
// An open reader may hold a file or a connection: close it soon.
type Reader interface {
	io.ReaderAt // safe for concurrent use
	io.Closer
	Size() int64
}

// Info is a line of List.
type Info struct {
	Ref     Ref
	Size    int64
	Written time.Time
}

// Space is in bytes.
type Space struct {
	Total, Free int64 // of the disks; 0: not known (someone else's store)
	Live, Dead  int64 // of blobs; of what deleted ones still take
	Blobs       int64
}
