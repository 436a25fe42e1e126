package file

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/disk"
)

const (
	layersDir    = "layers"
	disksDir     = "disks"
	snapshotsDir = "snapshots"
	imagesDir    = "images"
	tmpDir       = "tmp"
)

// diskFile is a disk's manifest.
type diskFile struct {
	Top     string    `json:"top"` // the layer that is written
	Bytes   int64     `json:"bytes"`
	Created time.Time `json:"created"`
	// Next is a layer on top of Top that a snapshot begun to put there; whether a machine writes to it already shows in
	// its locks.
	Next     string `json:"next,omitempty"`
	Snapshot id.ID  `json:"snapshot,omitempty"`
}

// snapshotFile is a snapshot's manifest.
type snapshotFile struct {
	Layer   string    `json:"layer"`
	Disk    id.ID     `json:"disk"`
	Bytes   int64     `json:"bytes"`
	Created time.Time `json:"created"`
}

// imageFile is an image's manifest.
type imageFile struct {
	Layer   string         `json:"layer"`
	Seen    disk.SeenImage `json:"seen"`
	Created time.Time      `json:"created"`
}

// layerFile is a layer's manifest; it lies beside the layer's file.
type layerFile struct {
	Below     string `json:"below,omitempty"`
	Owner     id.ID  `json:"owner"` // the disk or image whose key encrypts it
	Encrypted bool   `json:"encrypted,omitempty"`
}

func (e *Engine) file(layer string) string { return e.path(layersDir, layer+".qcow2") }

// load reads the manifests of a folder.
func load[K ~string, V any](e *Engine, dir string, into *map[K]V) error {
	*into = map[K]V{}
	entries, err := os.ReadDir(e.path(dir))
	if err != nil {
		return full(err, "the disks' manifests cannot be read")
	}
	for _, f := range entries {
		name, ok := strings.CutSuffix(f.Name(), ".json")
		if !ok {
			if strings.HasSuffix(f.Name(), ".new") { // a crash came before its rename
				_ = os.Remove(e.path(dir, f.Name()))
			}
			continue
		}
		b, err := os.ReadFile(e.path(dir, f.Name()))
		if err != nil {
			return full(err, "the disks' manifests cannot be read")
		}
		var v V
		if err := json.Unmarshal(b, &v); err != nil {
			return fail.Wrap(err, fail.DataLoss, "the manifest %s/%s is damaged", dir, f.Name())
		}
		(*into)[K(name)] = v
	}
	return nil
}

// store writes a manifest so that it is there whole or not at all; then it counts. e.mu is held.
func store[K ~string, V any](e *Engine, dir string, into map[K]V, name K, v V) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	path := e.path(dir, string(name)+".json")
	if err := writeSynced(path+".new", b); err != nil {
		_ = os.Remove(path + ".new")
		return full(err, "the disk's manifest cannot be written")
	}
	if err := errors.Join(os.Rename(path+".new", path), syncDir(filepath.Dir(path))); err != nil {
		return full(err, "the disk's manifest cannot be written")
	}
	into[name] = v
	return nil
}

// drop removes a manifest. e.mu is held.
func drop[K ~string, V any](e *Engine, dir string, from map[K]V, name K) error {
	path := e.path(dir, string(name)+".json")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return full(err, "the disk's manifest cannot be removed")
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return full(err, "the disk's manifest cannot be removed")
	}
	delete(from, name)
	return nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// collect removes layers that no manifest needs. e.mu is not held.
func (e *Engine) collect() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	used := map[string]bool{}
	mark := func(name string) {
		for ; name != "" && !used[name]; name = e.layers[name].Below {
			used[name] = true
		}
	}
	for _, d := range e.disks {
		mark(d.Top)
		mark(d.Next)
	}
	for _, s := range e.snapshots {
		mark(s.Layer)
	}
	for _, i := range e.images {
		mark(i.Layer)
	}
	for name := range e.building {
		mark(name)
	}
	entries, err := os.ReadDir(e.path(layersDir))
	if err != nil {
		return full(err, "the layers cannot be listed")
	}
	for _, f := range entries {
		name, _, _ := strings.Cut(f.Name(), ".")
		if used[name] {
			continue
		}
		if err := os.Remove(e.path(layersDir, f.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return full(err, "a layer cannot be removed")
		}
		delete(e.layers, name)
	}
	return nil
}

// locks let one at a time work on a disk.
type locks struct {
	mu sync.Mutex
	by map[id.ID]*lock
}

type lock struct {
	mu    sync.Mutex
	users int
}

func (l *locks) hold(i id.ID) (release func()) {
	l.mu.Lock()
	if l.by == nil {
		l.by = map[id.ID]*lock{}
	}
	k := l.by[i]
	if k == nil {
		k = new(lock)
		l.by[i] = k
	}
	k.users++
	l.mu.Unlock()
	k.mu.Lock()
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.by, i)
		}
		k.mu.Unlock()
	}
}

// QEMU locks bytes of an image that it has open: the first range says what it does, of which this one is writing
// (QEMU's block/file-posix.c).
const writeLock = 100 + 1

// written tells whether a machine has a layer open for writing.
func (e *Engine) written(layer string) (bool, error) {
	if layer == "" {
		return false, nil
	}
	f, err := os.OpenFile(e.file(layer), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, full(err, "the disk cannot be opened")
	}
	defer f.Close()
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: writeLock, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l); err != nil {
		return false, fail.Wrap(err, fail.Unavailable, "whether a machine has the disk open cannot be told")
	}
	return l.Type != unix.F_UNLCK, nil
}
