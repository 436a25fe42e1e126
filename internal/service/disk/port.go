// Package disk is the port to whatever keeps block devices: files on one machine, CSI volumes on many, sim in tests. It
// knows no volume row, no policy and no wire format. It may import kernel/fail, kernel/id and the machine port's Drive.
package disk

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// Engine keeps disks, snapshots and images. A disk is a chain of layers; a snapshot and an image are layers that nobody
// writes any more. A layer stays as long as something stands on it, whatever was destroyed.
//
// Every method is safe for concurrent use and may be called again after a crash at any point with the same arguments:
// the second call converges to the same end. Destroying what is absent is success. Errors are fail errors.
//
// What it keeps belongs to the cloud's user, in a folder that nobody else may enter. A machine is given open descriptors of
// the files that a Drive names (QEMU: add-fd and /dev/fdset), the top one for reading and writing, those below for
// reading: its own user needs no right to any path. Every layer has the Drive's format.
type Engine interface {
	// Ensure makes the disk, or grows it; it never shrinks. From is only read the first time.
	Ensure(ctx context.Context, disk id.ID, want Want) (Seen, error)
	Observe(ctx context.Context, disk id.ID) (Seen, error) // fail.Gone when absent
	Destroy(ctx context.Context, disk id.ID) error         // fail.Conflict while a machine holds it
	List(ctx context.Context) iter.Seq2[id.ID, error]
	// Attach says what a machine has to open, as it is now: a snapshot changes it, so who starts a machine lets none happen
	// between Attach and the start. keys are what Want had.
	Attach(ctx context.Context, disk id.ID, keys Keys) (machine.Drive, error)

	// Snapshot keeps the disk's content of this moment, in a time that does not depend on its size. live is nil while no
	// machine runs on the disk; otherwise it is called with the new top layer and makes the machine write there.
	Snapshot(ctx context.Context, snapshot, disk id.ID, keys Keys, live func(machine.Drive) error) (Seen, error)
	// Revert gives the disk, which no machine runs on, the snapshot's content.
	Revert(ctx context.Context, disk, snapshot id.ID, keys Keys) error
	ObserveSnapshot(ctx context.Context, snapshot id.ID) (Seen, error)
	// DestroySnapshot may join what only the disk stands on any more; it needs the disk's keys for that, and does without
	// where there are none.
	DestroySnapshot(ctx context.Context, snapshot id.ID, keys Keys) error
	Snapshots(ctx context.Context) iter.Seq2[id.ID, error]

	// Import reads an image in any format that Detect knows, checks its sums, converts it. Formats that name other files
	// (backing files, external data) are refused: they would read the machine's own files.
	Import(ctx context.Context, image id.ID, r io.Reader, want Import) (SeenImage, error)
	// Capture makes an image of a disk's or a snapshot's content.
	Capture(ctx context.Context, image id.ID, from Source, keys Keys) (SeenImage, error)
	// Export writes an image in a format ("qcow2", "raw", "vmdk", "vhd") and gives its length beforehand to size.
	Export(ctx context.Context, image id.ID, format string, keys Keys, size func(int64), w io.Writer) error
	ObserveImage(ctx context.Context, image id.ID) (SeenImage, error)
	DestroyImage(ctx context.Context, image id.ID) error
	Images(ctx context.Context) iter.Seq2[id.ID, error]

	Capacity(ctx context.Context) (Capacity, error)
	Capabilities(ctx context.Context) Capabilities
	Close() error
}

// Want is the requested state of a disk.
type Want struct {
	Bytes int64
	From  Source // zero: empty
	// Keys hold this disk's key (nil: not encrypted) and those of what it is made from.
	Keys Keys
	// Live is set while a machine has the disk open: it makes the machine grow it, for nobody else may then.
	Live func() error
	// Flat copies From instead of standing on it.
	Flat bool
}

// Source is what a disk or an image is made from: one of these.
type Source struct {
	Disk, Snapshot, Image id.ID
}

// Keys are data keys by the id of the disk or image whose layers they encrypt: 32 random bytes each. A snapshot has its
// disk's key. A disk needs its own and those of all that it was made from, also when that is destroyed by now: whoever
// makes a disk hands all keys of its source on. Keys that are not needed do no harm; without one a layer is not encrypted.
type Keys map[id.ID][]byte

// Import describes an image that comes in.
type Import struct {
	Format   string // "": detected
	SHA256   string // "": not checked
	MaxBytes int64
	Key      []byte // encrypts it here; nil: not
	Progress func(done int64)
}

// Seen is the observed state of a disk or a snapshot.
type Seen struct {
	Bytes     int64 // as the machine sees it
	Allocated int64 // on this machine's file system, its own layers
	Created   time.Time
	Layers    int
}

// SeenImage is the observed state of an image.
type SeenImage struct {
	Bytes     int64  // as a machine sees it
	Allocated int64  // here
	Format    string // as it came
	Size      int64  // as it came
	MD5       string
	SHA256    string
	SHA512    string
}

// Capacity of what disks are kept on.
type Capacity struct {
	Bytes, Free int64
	Promised    int64 // sum of what disks may grow to
}

// Capabilities say what the engine does here, and why not.
type Capabilities struct {
	Name    string // "file", "sim"
	Missing map[string]string
}
