package sim

import (
	"fmt"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/disk"
	"github.com/awancloud/awan/internal/service/machine"
)

const block = 4096

// layer is what was written from one moment to another.
type layer struct {
	path   string
	below  *layer
	owner  id.ID  // whose key encrypts it
	key    []byte // nil: not encrypted
	blocks map[int64][]byte
}

func (e *Engine) layer(below *layer, owner id.ID, key []byte) *layer {
	e.next++
	l := &layer{path: fmt.Sprintf("sim:%d", e.next), below: below, owner: owner, key: slices.Clone(key), blocks: map[int64][]byte{}}
	e.layers[l.path] = l
	return l
}

// sweep forgets layers that nothing stands on.
func (e *Engine) sweep() {
	used := map[*layer]bool{}
	mark := func(l *layer) {
		for ; l != nil && !used[l]; l = l.below {
			used[l] = true
		}
	}
	for _, u := range e.disks {
		mark(u.top)
	}
	for _, u := range e.snapshots {
		mark(u.top)
	}
	for _, p := range e.images {
		mark(p.top)
	}
	for path, l := range e.layers {
		if !used[l] {
			delete(e.layers, path)
		}
	}
}

func (l *layer) allocated() int64 { return int64(len(l.blocks)) * block }

// opens checks that the keys fit every layer.
func (l *layer) opens(keys disk.Keys) error {
	for ; l != nil; l = l.below {
		if l.key != nil && !equalKeys(l.key, keys[l.owner]) {
			return fail.New(fail.Internal, "the key of %s is missing or wrong", l.owner)
		}
	}
	return nil
}

func (l *layer) drive(keys disk.Keys) (machine.Drive, error) {
	d := machine.Drive{Path: l.path, Format: "qcow2", Keys: map[string][]byte{}}
	if err := l.opens(keys); err != nil {
		return d, err
	}
	for at := l; at != nil; at = at.below {
		if at.key != nil {
			d.Keys[at.path] = at.key
		}
		if at != l {
			d.Backing = append(d.Backing, at.path)
		}
	}
	return d, nil
}

// flatten copies everything below into the layer.
func (l *layer) flatten() {
	for at := l.below; at != nil; at = at.below {
		for n, b := range at.blocks {
			if l.blocks[n] == nil {
				l.blocks[n] = slices.Clone(b)
			}
		}
	}
	l.below = nil
}

func (l *layer) block(n int64) []byte {
	for ; l != nil; l = l.below {
		if b := l.blocks[n]; b != nil {
			return b
		}
	}
	return nil
}

func (l *layer) read(p []byte, off int64) {
	for len(p) > 0 {
		at := off % block
		n := min(int64(len(p)), block-at)
		if b := l.block(off / block); b != nil {
			copy(p[:n], b[at:])
		} else {
			clear(p[:n])
		}
		p, off = p[n:], off+n
	}
}

func (l *layer) write(p []byte, off int64) {
	for len(p) > 0 {
		at := off % block
		n := min(int64(len(p)), block-at)
		b := l.blocks[off/block]
		if b == nil {
			b = make([]byte, block)
			copy(b, l.block(off/block))
			l.blocks[off/block] = b
		}
		copy(b[at:], p[:n])
		p, off = p[n:], off+n
	}
}

// ReadAt reads what a machine sees through a drive.
func (e *Engine) ReadAt(d machine.Drive, p []byte, off int64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.layers[d.Path]
	if l == nil {
		return gone("layer", id.ID(d.Path))
	}
	l.read(p, off)
	return nil
}

// WriteAt writes as a machine does through a drive.
func (e *Engine) WriteAt(d machine.Drive, p []byte, off int64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.layers[d.Path]
	if l == nil {
		return gone("layer", id.ID(d.Path))
	}
	l.write(p, off)
	return nil
}
