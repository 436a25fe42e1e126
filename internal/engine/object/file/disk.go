package file

import "io"

// Disk is what the engine asks of a file system. Names are paths. Tests put a disk below the engine that forgets what was
// not synced.
type Disk interface {
	// Open opens a file for reading and writing; with create it must not exist yet.
	Open(name string, create bool) (File, error)
	// Rename replaces what is there. Like Open and Remove it lasts from the next SyncDir on.
	Rename(from, to string) error
	Remove(name string) error
	Mkdir(name string) error // existing is success
	List(dir string) ([]string, error)
	SyncDir(dir string) error
	// Space is the room on the disk that dir lies on, in bytes.
	Space(dir string) (total, free int64, err error)
	// Lock keeps other processes out until it is closed.
	Lock(name string) (io.Closer, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.Closer
	// WriteAt writes the pieces one after another.
	WriteAt(pieces [][]byte, off int64) error
	Size() (int64, error)
	Sync() error // contents and size, as fdatasync(2) does it
	Truncate(size int64) error
	Allocate(size int64) error // takes the space for real
	Uncache(off, n int64)      // reads of this range come from the disk
	Flush(off, n int64)        // begins to write this range to the disk; Sync is quicker then
}
