package file_test

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/awancloud/awan/internal/engine/object/file"
)

// simDisk is a disk in memory that knows what was synced. After a power cut each sector that was written and not synced is
// there or not, by chance, and so is each change of a directory; a file's end is anywhere between. Folders last at once.
type simDisk struct {
	mu       sync.Mutex
	dead     bool
	cutIn    int // the power goes at this change from now; 0: never
	capacity int64
	names    map[string]*simNode
	synced   map[string]*simNode // names on stable storage
	dirs     map[string]bool
	pending  []simChange
	broken   func(op, name string) error // may fail an operation
	lazy     bool                        // syncs take a while
}

type simNode struct {
	now, synced []byte
	dirty       map[int]bool // sectors
	held        int64        // by Allocate
}

// simChange is a change of directories: to is there with node, from is not, either may be empty.
type simChange struct {
	from, to string
	node     *simNode
}

const simSector = 512

var errDark = errors.New("the power is off")

func newSimDisk() *simDisk {
	return &simDisk{names: map[string]*simNode{}, synced: map[string]*simNode{}, dirs: map[string]bool{}}
}

// change is called with the lock held before each change.
func (d *simDisk) change(op, name string) error {
	if d.dead {
		return errDark
	}
	if d.cutIn > 0 {
		if d.cutIn--; d.cutIn == 0 {
			d.dead = true
			return errDark
		}
	}
	if d.broken != nil {
		return d.broken(op, name)
	}
	return nil
}

// used is the space that is taken.
func (d *simDisk) used() (n int64) {
	seen := map[*simNode]bool{}
	for _, node := range d.names {
		if !seen[node] {
			seen[node] = true
			n += max(int64(len(node.now)), node.held)
		}
	}
	return n
}

func (d *simDisk) grow(n int64) error {
	if d.capacity > 0 && n > 0 && d.used()+n > d.capacity {
		return syscall.ENOSPC
	}
	return nil
}

// cut takes the power away, and gives the disk as the next start finds it.
func (d *simDisk) cut(r *rand.Rand, keep float64) *simDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	after := newSimDisk()
	after.dirs, after.capacity, after.lazy = maps.Clone(d.dirs), d.capacity, d.lazy
	after.names = maps.Clone(d.synced)
	for _, c := range d.pending {
		if r.Float64() < keep {
			c.apply(after.names)
		}
	}
	torn := map[*simNode]*simNode{}
	for name, node := range after.names {
		if torn[node] == nil {
			torn[node] = node.tear(r, keep)
		}
		after.names[name] = torn[node]
	}
	after.synced = maps.Clone(after.names)
	return after
}

func (c simChange) apply(names map[string]*simNode) {
	if c.from != "" && names[c.from] == c.node {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.node
	}
}

func (n *simNode) tear(r *rand.Rand, keep float64) *simNode {
	size := len(n.synced)
	if grown := len(n.now) - size; grown > 0 && r.Float64() < keep {
		if size += r.IntN(grown + 1); r.IntN(2) == 0 {
			size = len(n.now)
		}
	} else if grown < 0 && r.Float64() < keep {
		size = len(n.now)
	}
	b := make([]byte, size)
	copy(b, n.synced)
	for s := range n.dirty {
		if r.Float64() < keep && s*simSector < min(size, len(n.now)) {
			copy(b[s*simSector:min(size, (s+1)*simSector)], n.now[s*simSector:])
		}
	}
	return &simNode{now: b, synced: append([]byte(nil), b...), dirty: map[int]bool{}, held: n.held}
}

func (d *simDisk) Open(name string, create bool) (file.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, errDark
	}
	node := d.names[name]
	if !create {
		if d.broken != nil {
			if err := d.broken("open", name); err != nil {
				return nil, err
			}
		}
		if node == nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return &simFile{d, node, name}, nil
	}
	if err := d.change("create", name); err != nil {
		return nil, err
	}
	if node != nil || !d.dirs[filepath.Dir(name)] {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	if err := d.grow(1); err != nil {
		return nil, err
	}
	node = &simNode{dirty: map[int]bool{}}
	d.names[name] = node
	d.pending = append(d.pending, simChange{to: name, node: node})
	return &simFile{d, node, name}, nil
}

func (d *simDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.change("rename", to); err != nil {
		return err
	}
	node := d.names[from]
	if node == nil {
		return fs.ErrNotExist
	}
	c := simChange{from, to, node}
	c.apply(d.names)
	d.pending = append(d.pending, c)
	return nil
}

func (d *simDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] == nil && !d.dead {
		return fs.ErrNotExist
	}
	if err := d.change("remove", name); err != nil {
		return err
	}
	c := simChange{from: name, node: d.names[name]}
	c.apply(d.names)
	d.pending = append(d.pending, c)
	return nil
}

func (d *simDisk) Mkdir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dirs[name] = true
	return nil
}

func (d *simDisk) List(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, errDark
	}
	if d.broken != nil {
		if err := d.broken("list", dir); err != nil {
			return nil, err
		}
	}
	var names []string
	for name := range d.names {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	return names, nil
}

func (d *simDisk) SyncDir(dir string) error {
	d.nap()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.change("sync dir", dir); err != nil {
		return err
	}
	var rest []simChange
	for _, c := range d.pending {
		if c.to != "" && filepath.Dir(c.to) == dir || c.to == "" && filepath.Dir(c.from) == dir {
			c.apply(d.synced)
		} else {
			rest = append(rest, c)
		}
	}
	d.pending = rest
	return nil
}

func (d *simDisk) Space(string) (int64, int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.capacity == 0 {
		return 1 << 40, 1 << 39, nil
	}
	return d.capacity, max(0, d.capacity-d.used()), nil
}

func (d *simDisk) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func (d *simDisk) nap() {
	if d.lazy {
		time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
	}
}

// lose removes what lies under a folder, as when its disk was replaced.
func (d *simDisk) lose(dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, names := range []map[string]*simNode{d.names, d.synced} {
		for name := range names {
			if strings.HasPrefix(name, dir+"/") {
				delete(names, name)
			}
		}
	}
}

type simFile struct {
	d    *simDisk
	node *simNode
	name string
}

func (f *simFile) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.dead {
		return 0, errDark
	}
	if f.d.broken != nil {
		if err := f.d.broken("read", f.name); err != nil {
			return 0, err
		}
	}
	if off >= int64(len(f.node.now)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.now[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *simFile) WriteAt(pieces [][]byte, off int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	for _, p := range pieces {
		if err := f.d.change("write", f.name); err != nil {
			return err
		}
		end := int(off) + len(p)
		if more := end - len(f.node.now); more > 0 {
			if err := f.d.grow(int64(more)); err != nil {
				return err
			}
			f.node.now = append(f.node.now, make([]byte, more)...)
		}
		copy(f.node.now[off:], p)
		for s := int(off) / simSector; s*simSector < end; s++ {
			f.node.dirty[s] = true
		}
		off = int64(end)
	}
	return nil
}

func (f *simFile) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.node.now)), nil
}

func (f *simFile) Sync() error {
	f.d.nap()
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.change("sync", f.name); err != nil {
		return err
	}
	n := f.node
	if len(n.synced) > len(n.now) {
		n.synced = n.synced[:len(n.now)]
	}
	n.synced = append(n.synced, make([]byte, len(n.now)-len(n.synced))...)
	for s := range n.dirty {
		if s*simSector < len(n.now) {
			copy(n.synced[s*simSector:min(len(n.now), (s+1)*simSector)], n.now[s*simSector:])
		}
	}
	n.dirty = map[int]bool{}
	return nil
}

func (f *simFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.change("truncate", f.name); err != nil {
		return err
	}
	if int(size) < len(f.node.now) {
		f.node.now = f.node.now[:size:size]
	}
	return nil
}

func (f *simFile) Allocate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.change("allocate", f.name); err != nil {
		return err
	}
	if err := f.d.grow(size - max(int64(len(f.node.now)), f.node.held)); err != nil {
		return err
	}
	f.node.now = append(f.node.now, make([]byte, max(0, int(size)-len(f.node.now)))...)
	return nil
}

func (f *simFile) Uncache(int64, int64) {}
func (f *simFile) Flush(int64, int64)   {}
func (f *simFile) Close() error         { return nil }
