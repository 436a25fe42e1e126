package secret

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// readPrivate reads a key file, and refuses one that others can read: such a key must be taken as known.
func readPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fail.New(fail.Precondition, "the key file %s can be read by other users of this machine", path).
			Then("if nobody else had access, run: chmod 600 %s", path)
	}
	return os.ReadFile(path)
}

// writeDurable puts data at path as a whole or not at all, also across a power cut.
func writeDurable(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*") // created 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
