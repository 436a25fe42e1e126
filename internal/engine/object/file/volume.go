package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// volume is a log of packed blobs: a file on each shard, all laid out alike.
//
// It grows in a lane, is retired when full, then sealed: its index becomes a file. Compaction makes its next generation,
// in which the blobs keep their numbers, so that references stay right.
type volume struct {
	id uint64

	mu      sync.RWMutex
	gen     uint32
	sealed  bool        // index says what head says; else entries
	head    indexHeader // once sealed
	entries []entry     // until sealed: blob seq is entries[seq]
	end     int64       // of the log
	retired bool        // nothing is appended any more
	gone    bool        // all its blobs were deleted, and its files removed
	logs    []*handle   // until sealed; nil where a shard is not there

	counted           bool
	blobs, live, dead int64 // blobs, their bytes, and the bytes of deleted ones

	copied  bool     // a compaction is running; what is deleted meanwhile is in deletes
	deletes []uint32 // their numbers

	lane   *lane // that appends, until retired
	filled int64 // of the lane that appends: up to there the log was written before, if with zeros
	synced int64 // of the lane that appends: where the log on stable storage ends
}

func (e *Engine) logName(shard int, id uint64, gen uint32) string {
	return filepath.Join(e.folders[shard].dir, volumesDir, fmt.Sprintf("%016x-%d.log", id, gen))
}

func (e *Engine) indexName(shard int, id uint64, gen uint32) string {
	return filepath.Join(e.folders[shard].dir, volumesDir, fmt.Sprintf("%016x-%d.idx", id, gen))
}

// dead or alive, a blob takes this much of a shard's log.
func (e *Engine) recordLen(size int64) int64 { return aligned(e.shape.plan(size).length()) }

// find looks a blob up; v.mu is held for reading. The place is that of its entry in the index file.
func (e *Engine) find(v *volume, seq uint32) (entry, int64, error) {
	if v.gone {
		return entry{}, 0, nil
	}
	if !v.sealed {
		if int(seq) >= len(v.entries) {
			return entry{}, 0, nil
		}
		return v.entries[seq], 0, nil
	}
	var found entry
	var at int64
	err := e.anyIndex(v, func(h *handle) (err error) {
		found, at, err = lookup(h, v.head, seq)
		return err
	})
	return found, at, err
}

// anyIndex reads the index of whichever shard has it right. errIndex when none has; v.mu is held.
func (e *Engine) anyIndex(v *volume, read func(*handle) error) error {
	var failed error
	for i := range e.folders {
		h, err := e.handles.get(e.indexName(i, v.id, v.gen), false)
		if err == nil {
			err = read(h)
			e.handles.put(h)
		}
		if err == nil {
			return nil
		}
		if !isDamage(err) {
			failed = err
		}
	}
	if failed != nil {
		return refuse(failed) // nobody knows what it says
	}
	return errIndex
}

// isDamage tells what is wrong with a file from what keeps us from reading it.
func isDamage(err error) bool {
	return err == errIndex || errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EIO)
}

// locate is find with the lock taken and a damaged index made anew from the log. On success v.mu is held for reading.
func (e *Engine) locate(v *volume, seq uint32) (entry, int64, error) {
	v.mu.RLock()
	found, at, err := e.find(v, seq)
	if err == nil {
		return found, at, nil
	}
	v.mu.RUnlock()
	if err != errIndex {
		return entry{}, 0, err
	}
	if err := e.reindex(v); err != nil {
		return entry{}, 0, err
	}
	v.mu.RLock()
	found, at, err = e.find(v, seq)
	if err != nil {
		v.mu.RUnlock()
	}
	return found, at, err
}

// openLogs opens the volume's log on every shard that has it; v.mu is held for reading.
func (e *Engine) openLogs(v *volume) ([]*handle, error) {
	logs := make([]*handle, len(e.folders))
	missing := 0
	var cause, failed error
	for i := range e.folders {
		h, err := e.handles.get(e.logName(i, v.id, v.gen), false)
		if err != nil {
			missing++
			if cause = err; !isDamage(err) {
				failed = err
			}
			continue
		}
		logs[i] = h
	}
	if missing > e.shape.parity {
		e.putLogs(logs)
		if failed != nil {
			return nil, refuse(failed) // nobody knows what they say
		}
		return nil, fail.New(fail.DataLoss, "%d of the %d files of an object volume cannot be opened", missing, len(e.folders)).
			Then("bring the lost disks back, or restore from elsewhere").Because(cause)
	}
	return logs, nil
}

func (e *Engine) putLogs(logs []*handle) {
	for _, h := range logs {
		e.handles.put(h)
	}
}

// deletePacked marks a blob deleted. That lasts from the next sync of the log or the index on.
func (e *Engine) deletePacked(v *volume, seq uint32) error {
	if err := e.count(v); err != nil {
		return err
	}
	v.mu.Lock()
	found, at, err := e.find(v, seq)
	if err == errIndex {
		v.mu.Unlock()
		if err := e.reindex(v); err != nil {
			return err
		}
		v.mu.Lock()
		found, at, err = e.find(v, seq)
	}
	if err != nil {
		v.mu.Unlock()
		return err
	}
	if found.state != live && found.state != lost {
		v.mu.Unlock()
		return nil
	}
	was := found.state
	found.state = deleted
	sealed := v.sealed
	if sealed {
		err = e.markIndex(v, found, at)
	} else {
		v.entries[seq] = found
	}
	if err == nil {
		v.blobs--
		if was == live {
			v.live -= int64(found.size)
			v.dead += e.recordLen(int64(found.size))
		}
		if v.copied {
			v.deletes = append(v.deletes, seq)
		}
	}
	ripe := v.sealed && e.ripe(v) || e.full.Load()
	v.mu.Unlock()
	if ripe {
		e.poke()
	}
	if !sealed && err == nil {
		e.entomb(v, seq)
	}
	return err
}

// markIndex writes an entry to the index files; v.mu is held for writing.
func (e *Engine) markIndex(v *volume, en entry, at int64) error {
	var b [entrySize]byte
	en.encode(b[:], v.id)
	written := 0
	var cause error
	for i := range e.folders {
		h, err := e.handles.get(e.indexName(i, v.id, v.gen), false)
		if err == nil {
			err = h.WriteAt([][]byte{b[:]}, at)
			e.handles.put(h)
		}
		if err != nil {
			cause = err
			continue
		}
		written++
	}
	if written == 0 {
		return refuse(cause)
	}
	return nil
}

// ripe is whether compaction is worth its while; v.mu is held.
func (e *Engine) ripe(v *volume) bool {
	return v.counted && (v.blobs == 0 || float64(v.dead) >= e.opts.CompactAt*float64(v.end))
}

// count makes sure that a volume's counters are right.
func (e *Engine) count(v *volume) error {
	v.mu.RLock()
	counted := v.counted
	v.mu.RUnlock()
	if counted {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.counted || v.gone {
		return nil
	}
	entries, err := e.allEntries(v)
	if err != nil {
		return err
	}
	v.blobs, v.live, v.dead = 0, 0, 0
	for _, en := range entries {
		switch en.state {
		case live:
			v.blobs++
			v.live += int64(en.size)
		case lost:
			v.blobs++
		case deleted:
			v.dead += e.recordLen(int64(en.size))
		}
	}
	v.counted = true
	return nil
}

// allEntries is the whole index; v.mu is held for writing. A damaged index is made anew.
func (e *Engine) allEntries(v *volume) ([]entry, error) {
	if v.gone || !v.sealed {
		return v.entries, nil
	}
	entries, err := e.readEntries(v)
	if err != errIndex {
		return entries, err
	}
	if err := e.reindexLocked(v); err != nil {
		return nil, err
	}
	return e.readEntries(v)
}

// readEntries reads a sealed volume's index; v.mu is held.
func (e *Engine) readEntries(v *volume) ([]entry, error) {
	entries := make([]entry, v.head.count)
	err := e.anyIndex(v, func(h *handle) error {
		b := make([]byte, int(v.head.count)*entrySize)
		if err := readFull(h, b, headerSize); err != nil {
			return err
		}
		for i := range entries {
			var ok bool
			if entries[i], ok = decodeEntry(b[i*entrySize:], v.id); !ok {
				return errIndex
			}
		}
		return nil
	})
	return entries, err
}
