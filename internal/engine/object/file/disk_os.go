package file

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// osDisk is the machine's file system.
type osDisk struct{}

func (osDisk) Open(name string, create bool) (File, error) {
	flag := os.O_RDWR
	if create {
		flag |= os.O_CREATE | os.O_EXCL
	}
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f, int(f.Fd())}, nil
}

func (osDisk) Rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) Remove(name string) error { return os.Remove(name) }

func (osDisk) Mkdir(name string) error { return os.MkdirAll(name, 0o700) }

func (osDisk) List(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	return d.Readdirnames(-1)
}

func (osDisk) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

func (osDisk) Space(dir string) (total, free int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return int64(s.Blocks) * s.Bsize, int64(s.Bavail) * s.Bsize, nil
}

func (osDisk) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fail.New(fail.Precondition, "the object folder %s is in use by another process", filepath.Dir(name)).
				Then("stop that one first, or give this one another folder").Because(err)
		}
		return nil, err
	}
	return f, nil
}

type osFile struct {
	*os.File
	fd int
}

// maxVec is how many pieces one writev(2) takes.
const maxVec = 1024

func (f osFile) WriteAt(pieces [][]byte, off int64) error {
	if len(pieces) == 1 {
		_, err := f.File.WriteAt(pieces[0], off)
		return err
	}
	for len(pieces) > 0 {
		n, err := unix.Pwritev(f.fd, pieces[:min(len(pieces), maxVec)], off)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		off += int64(n)
		for n > 0 && n >= len(pieces[0]) {
			n -= len(pieces[0])
			pieces = pieces[1:]
		}
		for len(pieces) > 0 && len(pieces[0]) == 0 {
			pieces = pieces[1:]
		}
		if n > 0 { // a short write: the rest of this piece by itself
			if _, err := f.File.WriteAt(pieces[0][n:], off); err != nil {
				return err
			}
			off += int64(len(pieces[0]) - n)
			pieces = pieces[1:]
		}
	}
	return nil
}

func (f osFile) Size() (int64, error) {
	var s unix.Stat_t
	if err := unix.Fstat(f.fd, &s); err != nil {
		return 0, err
	}
	return s.Size, nil
}

func (f osFile) Sync() error {
	for {
		if err := unix.Fdatasync(f.fd); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (f osFile) Allocate(size int64) error {
	err := unix.Fallocate(f.fd, 0, 0, size)
	if !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	zeros := make([]byte, 1<<20) // this file system cannot: write
	for off := int64(0); off < size; off += int64(len(zeros)) {
		if _, err := f.File.WriteAt(zeros[:min(int64(len(zeros)), size-off)], off); err != nil {
			return err
		}
	}
	return nil
}

func (f osFile) Uncache(off, n int64) { _ = unix.Fadvise(f.fd, off, n, unix.FADV_DONTNEED) }

func (f osFile) Flush(off, n int64) {
	_ = unix.SyncFileRange(f.fd, off, n, unix.SYNC_FILE_RANGE_WRITE)
}

func errFull() *fail.Error {
	return fail.New(fail.NoSpace, "the disk of the objects is full").Then("delete objects, or give it more room")
}

// refuse says in the product's terms what a disk said.
func refuse(err error) error {
	var known *fail.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errFull().Because(err)
	}
	return fail.New(fail.Unavailable, "the disk of the objects failed").Then("the operator finds the reason in the log").Because(err)
}
