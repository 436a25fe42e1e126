// Package dirlock keeps a directory to one process. It may import kernel/fail.
package dirlock

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Patience is how long Take tries: a killed process is followed for a moment by children that it was just starting, which
// hold its files until they become what they are to be.
const Patience = 3 * time.Second

// Take makes this process the only one to use dir, until the file is closed or the process ends.
func Take(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(Patience); ; time.Sleep(20 * time.Millisecond) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(end) {
			_ = f.Close()
			return nil, fail.New(fail.Conflict, "another process uses %s", dir).Then("stop it, or take another directory").Because(err)
		}
	}
}
