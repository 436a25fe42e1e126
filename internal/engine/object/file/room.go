package file

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/awancloud/awan/internal/kernel/fail"
)

const reserveName = "reserve"

// slack is what a disk must have free beyond what is written, once it was found full: names and indexes take room too.
const slack = 4 << 20

// reserve takes the space on each disk that compaction needs when there is none.
func (e *Engine) reserve() {
	for _, f := range e.folders {
		name := filepath.Join(f.dir, reserveName)
		h, err := e.disk.Open(name, false)
		if errors.Is(err, fs.ErrNotExist) {
			h, err = e.disk.Open(name, true)
		}
		if err != nil {
			continue // a lost disk
		}
		size, err := h.Size()
		if err == nil && size != e.opts.Reserve {
			if err = h.Allocate(e.opts.Reserve); err == nil && size > e.opts.Reserve {
				err = h.Truncate(e.opts.Reserve)
			}
		}
		_ = h.Close()
		if err != nil {
			if fail.Is(refuse(err), fail.NoSpace) {
				e.full.Store(true)
			}
			_ = e.disk.Remove(name)
			e.opts.Log.Warn("no space could be held back for compaction", "folder", f.dir, "cause", err)
		}
	}
}

// release gives that space back.
func (e *Engine) release() {
	for _, f := range e.folders {
		_ = e.disk.Remove(filepath.Join(f.dir, reserveName))
	}
}

// held is whether a folder's reserve is there.
func (e *Engine) held(f *folder) bool {
	h, err := e.disk.Open(filepath.Join(f.dir, reserveName), false)
	if err != nil {
		return false
	}
	size, err := h.Size()
	_ = h.Close()
	return err == nil && size == e.opts.Reserve
}

// room refuses to begin what will not fit. It looks only once a disk was found full, until there is space again.
func (e *Engine) room(size int64) error {
	if !e.full.Load() {
		return nil
	}
	need := e.shape.plan(size).length() + slack
	lacking := false
	for _, f := range e.folders {
		_, free, err := e.disk.Space(f.dir)
		if err != nil {
			continue // lost, not full
		}
		if !e.held(f) {
			lacking = true
			free -= e.opts.Reserve
		}
		if free < need {
			e.poke()
			return errFull()
		}
	}
	if lacking {
		e.poke() // the janitor holds the space back again; there is enough for both
		return nil
	}
	e.full.Store(false)
	return nil
}
