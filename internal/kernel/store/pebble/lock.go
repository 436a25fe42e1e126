package pebble

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/awancloud/awan/internal/kernel/fail"
)

const lockName = "LOCK"

// takeLock keeps other processes, and a second Open in this one, out of the folder.
func (s *Store) takeLock() (io.Closer, error) {
	lock, err := s.fs.Lock(s.fs.PathJoin(s.dir, lockName))
	var who string
	switch {
	case err == nil:
		return lock, nil
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES):
		who = holder(filepath.Join(s.dir, lockName))
	case strings.Contains(err.Error(), "current process"): // the library has no error value for it
		who = "this process itself"
	default:
		return nil, s.refuse(err)
	}
	return nil, fail.New(fail.Precondition, "the state store in %s is in use by %s", s.dir, who).
		Then("stop that one first, or give this one another folder").Because(err)
}

// holder names the process that has the lock. It must not be called when this process has it: closing any descriptor
// of the file would let the lock go (fcntl(2)).
func holder(path string) string {
	const unknown = "another process"
	f, err := os.Open(path)
	if err != nil {
		return unknown
	}
	defer func() { _ = f.Close() }()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock); err != nil || lock.Type == syscall.F_UNLCK || lock.Pid == 0 {
		return unknown
	}
	return fmt.Sprintf("process %d", lock.Pid)
}
