package file

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
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

// onShelf lists a shelf: what any of the folders has, and in how many.
func (e *Engine) onShelf(i int) (map[largeRef]int, error) {
	found := map[largeRef]int{}
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
				found[l]++
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
	s.blobs, s.live = 0, 0
	for l, folders := range found {
		if folders < len(e.folders) && e.marked(l) {
			if _, err := e.unlinked(l); err != nil {
				return err
			}
			continue
		}
		s.blobs++
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
		if e.shape.parity > 0 {
			_, _ = e.mark(ref)
		}
		_, _ = e.unlinked(ref)
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
	r, h, err := e.openFiles(l)
	if !fail.Is(err, fail.DataLoss) {
		return r, h, err
	}
	s := &e.shelves[l.shelf()] // is it just being deleted?
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, h, err = e.openFiles(l); fail.Is(err, fail.DataLoss) && e.marked(l) {
		return nil, h, errNotFound()
	}
	return r, h, err
}

func (e *Engine) openFiles(l largeRef) (*reader, header, error) {
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
	absent := missing - failed
	switch {
	case missing == len(e.folders) && absent > e.shape.parity: // of a blob that is there, so many are not missing
		return nil, h, errNotFound()
	case failed > 0 && absent <= e.shape.parity:
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
	if e.shape.parity > 0 {
		there, err := e.mark(l)
		if !there || err != nil {
			return err
		}
	}
	removed, err := e.unlinked(l)
	if removed {
		s.blobs--
		s.live -= l.size
	}
	return err
}

// mark writes into the files of a large blob that it is deleted, and makes that last: a crash may leave the files of some
// shards only, and then it must be known why.
func (e *Engine) mark(l largeRef) (there bool, err error) {
	errs := make([]error, len(e.folders))
	found := make([]bool, len(e.folders))
	var wg sync.WaitGroup
	for i := range e.folders {
		wg.Go(func() {
			f, err := e.disk.Open(e.largeName(i, l), false)
			if err != nil {
				if !errors.Is(err, fs.ErrNotExist) {
					errs[i] = err
				}
				return
			}
			found[i] = true
			var b [headerSize]byte
			header{kind: kindDelete, shard: i, shape: e.shape, volume: l.id, tag: l.tag(), size: l.size}.encode(b[:])
			if err = f.WriteAt([][]byte{b[:]}, 0); err == nil {
				err = f.Sync()
			}
			errs[i] = errors.Join(err, f.Close())
		})
	}
	wg.Wait()
	return slices.Contains(found, true), e.judge("delete", errs, func(int) bool { return true }, func(int) {})
}

// marked is whether a large blob's deletion was begun.
func (e *Engine) marked(l largeRef) bool {
	for i := range e.folders {
		f, err := e.disk.Open(e.largeName(i, l), false)
		if err != nil {
			continue
		}
		var b [headerSize]byte
		err = readFull(f, b[:], 0)
		_ = f.Close()
		if h, ok := decodeHeader(b[:]); err == nil && ok && h.kind == kindDelete && h.volume == l.id {
			return true
		}
	}
	return false
}

// unlinked removes a large blob's files.
func (e *Engine) unlinked(l largeRef) (removed bool, err error) {
	for i := range e.folders {
		switch failed := e.disk.Remove(e.largeName(i, l)); {
		case failed == nil:
			removed = true
		case !errors.Is(failed, fs.ErrNotExist):
			err = refuse(failed)
		}
	}
	if removed && e.shape.parity > 0 {
		err = nil // the mark says the rest
	}
	return removed, err
}
