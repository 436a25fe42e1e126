// Package file is the disk engine of one machine: qcow2 files that stand on one another, encrypted by LUKS inside them.
//
// A disk is a chain of layers; the top one is written. A snapshot puts a new layer on top, which takes a moment whatever
// the size; a clone is a new layer on a snapshot's. What stands where is kept in small manifests beside the files, which
// replace one another by rename: a manifest names a layer only when it is there, and a layer that no manifest needs is
// removed. It may import the kernel and the ports service/disk and service/machine.
package file

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/disk"
	"github.com/awancloud/awan/internal/service/machine"
)

// Options say where and how.
type Options struct {
	Dir string // everything is kept under this folder
	Log *slog.Logger
	Now func() time.Time // nil: time.Now
}

// Engine keeps disks in files.
type Engine struct {
	o     Options
	tool  string // qemu-img
	locks locks

	mu        sync.Mutex // of what follows: the manifests as they are stored
	disks     map[id.ID]diskFile
	snapshots map[id.ID]snapshotFile
	images    map[id.ID]imageFile
	layers    map[string]layerFile
	building  map[string]bool // layers that no manifest names yet
	closed    bool
}

var _ disk.Engine = (*Engine)(nil)

// Open takes up what is kept in the folder. What a crash left half made is removed; disks, and what machines have open,
// go on. One engine at a time has the folder.
func Open(o Options) (*Engine, error) {
	tool, err := exec.LookPath("qemu-img")
	if err != nil {
		return nil, fail.New(fail.Unsupported, "disks need qemu-img, which is not installed").Then("install the Debian package qemu-utils").Because(err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	e := &Engine{o: o, tool: tool, building: map[string]bool{}}
	for _, d := range []string{"", layersDir, disksDir, snapshotsDir, imagesDir} {
		if err := os.MkdirAll(e.path(d), 0o700); err != nil {
			return nil, full(err, "the folder of disks cannot be made")
		}
	}
	if err := os.RemoveAll(e.path(tmpDir)); err != nil {
		return nil, full(err, "what a crash left cannot be removed")
	}
	if err := os.MkdirAll(e.path(tmpDir), 0o700); err != nil {
		return nil, full(err, "the folder of disks cannot be made")
	}
	if err := errors.Join(load(e, disksDir, &e.disks), load(e, snapshotsDir, &e.snapshots), load(e, imagesDir, &e.images), load(e, layersDir, &e.layers)); err != nil {
		return nil, err
	}
	return e, e.collect()
}

func (e *Engine) path(parts ...string) string {
	return filepath.Join(append([]string{e.o.Dir}, parts...)...)
}

// enter refuses calls on a closed engine.
func (e *Engine) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fail.From(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return fail.New(fail.Unavailable, "the disk engine is closed")
	}
	return nil
}

func gone(what string, i id.ID) error { return fail.New(fail.Gone, "there is no %s %s", what, i) }

// full tells a full disk from other failures, in words for people.
func full(err error, what string) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fail.New(fail.NoSpace, "%s: the cloud's disk is full", what).Then("free some space: delete volumes, snapshots or images, or let the operator add some").Because(err)
	}
	return fail.Wrap(err, fail.Unavailable, "%s", what)
}

// Observe looks at a disk.
func (e *Engine) Observe(ctx context.Context, d id.ID) (disk.Seen, error) {
	if err := e.enter(ctx); err != nil {
		return disk.Seen{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	f, ok := e.disks[d]
	if !ok {
		return disk.Seen{}, gone("disk", d)
	}
	if _, err := os.Stat(e.file(f.Top)); err != nil {
		return disk.Seen{}, gone("disk", d)
	}
	return e.seen(f.Top, f.Bytes, f.Created, d), nil
}

// seen describes a chain; e.mu is held. What other disks' and images' layers take is theirs.
func (e *Engine) seen(top string, bytes int64, created time.Time, owner id.ID) disk.Seen {
	s := disk.Seen{Bytes: bytes, Created: created}
	for name := top; name != ""; name = e.layers[name].Below {
		s.Layers++
		if e.layers[name].Owner == owner {
			s.Allocated += allocated(e.file(name))
		}
	}
	return s
}

func allocated(path string) int64 {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0
	}
	return st.Blocks * 512
}

// List names the disks.
func (e *Engine) List(ctx context.Context) iter.Seq2[id.ID, error] { return list(ctx, e, e.disks) }

// Snapshots names the snapshots.
func (e *Engine) Snapshots(ctx context.Context) iter.Seq2[id.ID, error] {
	return list(ctx, e, e.snapshots)
}

// Images names the images.
func (e *Engine) Images(ctx context.Context) iter.Seq2[id.ID, error] { return list(ctx, e, e.images) }

func list[V any](ctx context.Context, e *Engine, of map[id.ID]V) iter.Seq2[id.ID, error] {
	return func(yield func(id.ID, error) bool) {
		if err := e.enter(ctx); err != nil {
			yield("", err)
			return
		}
		e.mu.Lock()
		all := slices.Sorted(maps.Keys(of))
		e.mu.Unlock()
		for _, i := range all {
			if !yield(i, nil) {
				return
			}
		}
	}
}

// Capacity says how much there is.
func (e *Engine) Capacity(ctx context.Context) (disk.Capacity, error) {
	if err := e.enter(ctx); err != nil {
		return disk.Capacity{}, err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(e.o.Dir, &st); err != nil {
		return disk.Capacity{}, fail.Wrap(err, fail.Unavailable, "the disk cannot be looked at")
	}
	c := disk.Capacity{Bytes: int64(st.Blocks) * st.Bsize, Free: int64(st.Bavail) * st.Bsize}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range e.disks {
		c.Promised += d.Bytes
	}
	return c, nil
}

// Capabilities say what works here.
func (e *Engine) Capabilities(context.Context) disk.Capabilities {
	c := disk.Capabilities{Name: "file", Missing: map[string]string{}}
	for _, tool := range []string{"unshare", "chroot", "prlimit", "setpriv"} {
		if _, err := exec.LookPath(tool); err != nil {
			c.Missing["import"] = tool + " is not installed, without which images cannot be read safely: install util-linux and coreutils"
		}
	}
	if os.Geteuid() != 0 {
		c.Missing["import"] = "reading images safely needs root"
	}
	return c
}

// Close ends the engine; what is on disk stays.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	return nil
}

// Attach says what a machine opens.
func (e *Engine) Attach(ctx context.Context, d id.ID, keys disk.Keys) (machine.Drive, error) {
	if err := e.enter(ctx); err != nil {
		return machine.Drive{}, err
	}
	defer e.locks.hold(d)()
	f, err := e.settled(d)
	if err != nil {
		return machine.Drive{}, err
	}
	return e.drive(f.Top, keys)
}

func (e *Engine) drive(top string, keys disk.Keys) (machine.Drive, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d := machine.Drive{Path: e.file(top), Format: disk.QCOW2, Keys: map[string][]byte{}}
	for name := top; name != ""; name = e.layers[name].Below {
		l, ok := e.layers[name]
		if !ok {
			return d, fail.New(fail.DataLoss, "a layer of the disk is not there").Then("restore the volume from a backup")
		}
		if l.Encrypted {
			key, ok := keys[l.Owner]
			if !ok {
				return d, fail.New(fail.Internal, "the key of %s is missing", l.Owner)
			}
			d.Keys[e.file(name)] = key
		}
		if name != top {
			d.Backing = append(d.Backing, e.file(name))
		}
	}
	return d, nil
}
