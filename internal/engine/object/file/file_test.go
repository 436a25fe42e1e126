package file_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/awancloud/awan/internal/engine/object/file"
	"github.com/awancloud/awan/internal/service/object"
	"github.com/awancloud/awan/internal/service/object/objecttest"
)

// dirs is n folders of a test.
func dirs(t testing.TB, n int) []string {
	t.Helper()
	base := t.TempDir()
	var all []string
	for i := range n {
		all = append(all, filepath.Join(base, fmt.Sprint(i)))
	}
	return all
}

func open(t testing.TB, opts file.Options) *file.Engine {
	t.Helper()
	e, err := file.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// small makes volumes fill, seal and compact all the time.
func small(dirs []string) file.Options {
	return file.Options{Dirs: dirs, Packed: 200_000, VolumeBytes: 1 << 20, VolumeBlobs: 50, Reserve: 1 << 20, CompactAt: 0.2, Handles: 4}
}

// TestBlobs runs the contract on real folders, and on several of a disk in memory.
func TestBlobs(t *testing.T) {
	for _, n := range []int{2, 5} {
		t.Run(fmt.Sprintf("%d folders", n), func(t *testing.T) {
			t.Parallel()
			objecttest.Suite{Open: func(t testing.TB) object.Blobs {
				opts := small(nil)
				for i := range n {
					opts.Dirs = append(opts.Dirs, fmt.Sprintf("/disk%d", i))
				}
				opts.Disk = newSimDisk()
				return open(t, opts)
			}, InMemory: true}.Run(t)
		})
	}
	for name, opts := range map[string]file.Options{"as it comes": {}, "two real folders": {Dirs: make([]string, 2)}} {
		t.Run(name, func(t *testing.T) {
			objecttest.Suite{Open: func(t testing.TB) object.Blobs {
				opts := opts
				opts.Dirs = dirs(t, max(1, len(opts.Dirs)))
				return open(t, opts)
			}}.Run(t)
		})
	}
}
