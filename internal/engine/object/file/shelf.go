package file

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Large blobs lie on shelves, folders by their ids. A file's name tells its size, so that counting needs no look into it.
const shelfCount = 64

func shelfName(i int) string { return fmt.Sprintf("%02x", i) }

// shelf counts what lies there. It is counted when somebody first asks.
type shelf struct {
	mu          sync.Mutex
	counted     bool
	blobs, live int64
}

func (e *Engine) largeName(folder int, l largeRef) string {
	return filepath.Join(e.folders[folder].dir, largeDir, shelfName(l.shelf()), l.name())
}

// onShelf lists a shelf: what any of the folders has.
func (e *Engine) onShelf(i int) (map[largeRef]struct{}, error) {
	found := map[largeRef]struct{}{}
	unreadable := 0
	for _, f := range e.folders {
		names, err := e.disk.List(filepath.Join(f.dir, largeDir, shelfName(i)))
		if err != nil {
			if unreadable++; unreadable > e.shape.parity {
				return nil, refuse(err)
			}
			continue
		}
		for _, name := range names {
			if l, ok := parseLargeName(name); ok {
				found[l] = struct{}{}
			}
		}
	}
	return found, nil
}

// count makes the counters right; s.mu is held.
func (s *shelf) count(e *Engine, i int) error {
	if s.counted {
		return nil
	}
	found, err := e.onShelf(i)
	if err != nil {
		return err
	}
	s.blobs, s.live = int64(len(found)), 0
	for l := range found {
		s.live += l.size
	}
	s.counted = true
	return nil
}

// shelved is how many blobs of how many bytes lie on a shelf.
func (e *Engine) shelved(i int) (blobs, live int64, err error) {
	s := &e.shelves[i]
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.count(e, i)
	return s.blobs, s.live, err
}

// shelve shows a large blob's files, which are synced, under their names, and makes that last.
func (e *Engine) shelve(l *large, ref largeRef) error {
	s := &e.shelves[ref.shelf()]
	s.mu.Lock()
	err := s.count(e, ref.shelf())
	errs := make([]error, len(l.files))
	if err == nil {
		for i, f := range l.files {
			if f != nil {
				errs[i] = e.disk.Rename(l.names[i], e.largeName(i, ref))
			}
		}
		if err = l.judge("rename", errs); err == nil {
			s.blobs++
			s.live += ref.size
		}
	}
	s.mu.Unlock()
	if err == nil {
		err = l.each("directory sync", func(i int, _ File) error { return e.disk.SyncDir(filepath.Dir(e.largeName(i, ref))) })
		if err != nil {
			s.mu.Lock()
			s.blobs--
			s.live -= ref.size
			s.mu.Unlock()
		}
	}
	if err != nil {
		for i := range e.folders {
			_ = e.disk.Remove(e.largeName(i, ref))
		}
	}
	return err
}

// finish shows a shard's file of a large blob under its name, when another shard's is: then all were complete.
func (e *Engine) finish(shard int, draft string) bool {
	f, err := e.disk.Open(draft, false)
	if err != nil {
		return false
	}
	var b [headerSize]byte
	_, err = f.ReadAt(b[:], 0)
	_ = f.Close()
	h, ok := decodeHeader(b[:])
	if err != nil || !ok || h.kind != kindBlob {
		return false
	}
	l := largeRef{h.volume, h.size}
	for i := range e.folders {
		if i == shard {
			continue
		}
		if other, err := e.disk.Open(e.largeName(i, l), false); err == nil {
			_ = other.Close()
			return e.disk.Rename(draft, e.largeName(shard, l)) == nil
		}
	}
	return false
}

func (e *Engine) openLarge(l largeRef) (*reader, header, error) {
	r := &reader{e: e, ref: l.ref(), plan: e.shape.plan(l.size), tag: l.tag(), large: l}
	r.shards = r.one[:0]
	missing, failed := 0, 0
	var cause error
	for i := range e.folders {
		f, err := e.disk.Open(e.largeName(i, l), false)
		if err != nil {
			f = nil
			if missing++; !errors.Is(err, fs.ErrNotExist) {
				failed++
				cause = err
			}
		}
		r.shards = append(r.shards, f)
	}
	h := header{kind: kindBlob, shape: e.shape, volume: l.id, tag: r.tag, size: l.size}
	if missing <= e.shape.parity {
		return r, h, nil
	}
	_ = r.Close()
	if missing == len(e.folders) && failed <= e.shape.parity {
		return nil, h, errNotFound()
	}
	if e.shape.parity == 0 {
		return nil, h, refuse(cause)
	}
	return nil, h, fail.New(fail.DataLoss, "%d of the %d files of blob %s cannot be opened", missing, len(e.folders), r.ref).
		Then("bring the lost disks back, or restore from elsewhere").Because(cause)
}

func (e *Engine) deleteLarge(l largeRef) error {
	s := &e.shelves[l.shelf()]
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.count(e, l.shelf()); err != nil {
		return err
	}
	removed := 0
	var failed error
	for i := range e.folders {
		switch err := e.disk.Remove(e.largeName(i, l)); {
		case err == nil:
			removed++
		case !errors.Is(err, fs.ErrNotExist):
			failed = err
		}
	}
	if removed > 0 {
		s.blobs--
		s.live -= l.size
	}
	if failed != nil && removed < e.shape.data {
		return refuse(failed)
	}
	return nil
}
