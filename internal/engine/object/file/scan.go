package file

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// recover reads the log of a volume that was growing, from where its index ends, and cuts off what was not written whole.
func (e *Engine) recover(v *volume) error {
	logs := make([]*handle, len(e.folders))
	opened := 0
	var failed error
	for i := range e.folders {
		h, err := e.handles.get(e.logName(i, v.id, v.gen), false)
		if err == nil {
			logs[i] = h
			opened++
		} else if !errors.Is(err, fs.ErrNotExist) {
			e.opts.Log.Error("a log of the objects cannot be opened", "volume", v.id, "cause", err)
			failed = err
		}
	}
	if opened < e.shape.data && failed != nil { // an empty volume is not what it must be taken for
		e.putLogs(logs)
		return refuse(failed)
	}
	s := &scan{e: e, v: v, logs: logs}
	err := s.run(max(v.end, headerSize))
	if err == nil {
		v.logs = logs
		err = e.spread(v, "start", func(_ int, h *handle) error {
			size, err := h.Size()
			if err == nil && size > v.end {
				err = h.Truncate(v.end)
			}
			if err == nil {
				err = h.Sync() // what is shown from now on must not vanish
			}
			return err
		})
	}
	if err != nil {
		e.putLogs(logs)
		return err
	}
	v.synced = v.end
	return nil
}

// scan reads headers one after another.
type scan struct {
	e    *Engine
	v    *volume
	logs []*handle

	failed  error       // reading: then nobody knows what the log says
	limit   int64       // nothing behind it belongs to the volume; 0: its files' ends
	durable int64       // the end that was synced for sure, as the headers say
	blobs   []header    // found
	deletes []uint32    // found
	deleted int64       // where the last of them ends
	holes   [][2]uint32 // numbers of blobs of which no header was found: from, below
	holeAt  []int64     // where they would lie
}

func (s *scan) run(from int64) error {
	size := int64(0)
	for _, h := range s.logs {
		if h != nil {
			n, err := h.Size()
			if err != nil {
				return err
			}
			size = max(size, n)
		}
	}
	if s.limit > 0 {
		size = min(size, s.limit)
	}
	next, end := uint32(len(s.v.entries)), from
	for pos := from; pos+headerSize <= size; {
		h, ok := s.headerAt(pos)
		if !ok {
			pos = s.search(pos+align, size)
		}
		if s.failed != nil {
			return s.failed
		}
		if !ok {
			continue
		}
		s.durable = max(s.durable, h.durable)
		if h.kind == kindDelete {
			s.deletes = append(s.deletes, h.seq)
			pos += headerSize
			end, s.deleted = pos, pos
			continue
		}
		if h.seq > next && s.v.gen == 0 { // compaction leaves numbers out
			s.holes, s.holeAt = append(s.holes, [2]uint32{next, h.seq}), append(s.holeAt, end)
		}
		next = h.seq + 1
		s.blobs = append(s.blobs, h)
		pos += s.e.recordLen(h.size)
		end = pos
	}
	return s.settle(max(from, s.durable))
}

// headerAt reads the header at pos of whichever shard has it right.
func (s *scan) headerAt(pos int64) (header, bool) {
	var b [headerSize]byte
	for i, log := range s.logs {
		if log == nil {
			continue
		}
		if err := readFull(log, b[:], pos); err != nil {
			s.read(i, err)
			continue
		}
		h, ok := decodeHeader(b[:])
		if ok && h.volume == s.v.id && h.off == pos && h.shard == i && h.shape == s.e.shape && s.plausible(h) {
			return h, true
		}
	}
	return header{}, false
}

// read takes what a shard said against reading. One that cannot be read is left out; damage is not that.
func (s *scan) read(shard int, err error) {
	if err == nil || isDamage(err) {
		return
	}
	s.e.opts.Log.Error("a log of the objects cannot be read", "volume", s.v.id, "cause", err)
	s.e.handles.put(s.logs[shard])
	s.logs[shard] = nil
	working := 0
	for _, log := range s.logs {
		if log != nil {
			working++
		}
	}
	if working < s.e.shape.data {
		s.failed = refuse(err)
	}
}

func (s *scan) plausible(h header) bool {
	return h.kind == kindBlob && h.size >= 0 && h.size <= maxPacked && h.seq >= uint32(len(s.v.entries)) || h.kind == kindDelete
}

// search looks for the next header behind damage; size when there is none.
func (s *scan) search(pos, size int64) int64 {
	buf := make([]byte, 256<<10)
	for ; pos < size; pos += int64(len(buf)) {
		for i, log := range s.logs {
			if log == nil {
				continue
			}
			n, err := readAgain(log, buf, pos)
			s.read(i, err)
			for at := 0; at+headerSize <= n; at += align {
				if h, ok := decodeHeader(buf[at:n]); ok && h.volume == s.v.id && h.off == pos+int64(at) {
					if _, ok := s.headerAt(h.off); ok {
						return h.off
					}
				}
			}
		}
	}
	return size
}

// settle fills the volume's index. Records behind the durable end may be torn: theirs are checked to the last byte.
func (s *scan) settle(durable int64) error {
	v := s.v
	end := max(durable, s.deleted)
	set := func(seq uint32, en entry) {
		for uint32(len(v.entries)) <= seq {
			v.entries = append(v.entries, entry{seq: uint32(len(v.entries))})
		}
		en.seq = seq
		v.entries[seq] = en
	}
	for i, hole := range s.holes {
		if s.holeAt[i] < durable {
			for seq := hole[0]; seq < hole[1]; seq++ {
				set(seq, entry{off: s.holeAt[i], state: lost})
			}
		}
	}
	for _, h := range s.blobs {
		en := entry{off: h.off, size: uint32(h.size), written: uint32(h.written), tag: h.tag, state: live}
		if h.off >= durable && !s.whole(h) {
			en.state = deleted
		} else {
			end = max(end, h.off+s.e.recordLen(h.size))
		}
		set(h.seq, en)
	}
	for _, seq := range s.deletes {
		if seq < uint32(len(v.entries)) {
			v.entries[seq].state = deleted
		}
	}
	for n := len(v.entries); n > 0 && v.entries[n-1].off >= end; n-- { // never shown: the numbers may be given again
		v.entries = v.entries[:n-1]
	}
	if s.failed != nil {
		return s.failed
	}
	v.end = max(end, headerSize)
	if n := len(s.blobs); n > 0 {
		s.e.opts.Log.Info("a volume of objects was read from its log", "volume", fmt.Sprintf("%016x", v.id), "blobs", n, "end", v.end)
	}
	return nil
}

// whole checks every byte of a record: there must be enough undamaged shards of each block.
func (s *scan) whole(h header) bool {
	r := &reader{e: s.e, plan: s.e.shape.plan(h.size), tag: h.tag, base: h.off}
	for _, log := range s.logs {
		if log == nil {
			r.shards = append(r.shards, nil)
		} else {
			r.shards = append(r.shards, log.File)
		}
	}
	buf := getBuf(blockBuf)
	defer putBuf(buf)
	for b := range r.blocks {
		if err := r.readBlocks(b, 1, buf.b[:r.blockLen(b)]); err != nil {
			if !fail.Is(err, fail.DataLoss) {
				s.failed = err
			}
			return false
		}
	}
	return true
}

// reindex makes a damaged index anew from the log.
func (e *Engine) reindex(v *volume) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.gone || !v.sealed {
		return nil
	}
	if _, err := e.readEntries(v); err != errIndex {
		return err // another was quicker
	}
	return e.reindexLocked(v)
}

func (e *Engine) reindexLocked(v *volume) error {
	e.opts.Log.Warn("an index of the objects is damaged, and made anew", "volume", fmt.Sprintf("%016x", v.id))
	logs, err := e.openLogs(v)
	if err != nil {
		return err
	}
	defer func() { e.putLogs(logs) }()
	fresh := &volume{id: v.id, gen: v.gen}
	s := &scan{e: e, v: fresh, logs: logs, limit: v.head.end, durable: v.head.end}
	if err := s.run(headerSize); err != nil {
		return err
	}
	entries := fresh.entries
	for seq, was := range e.deletedIn(v) {
		if int(seq) < len(entries) && was {
			entries[seq].state = deleted
		}
	}
	head := indexHeader{volume: v.id, next: max(v.head.next, uint32(len(entries))), end: fresh.end, sealed: true}
	if err := e.writeIndex(v, head, entries); err != nil {
		return err
	}
	v.counted = false
	return nil
}

// deletedIn takes from a damaged index what it still says of deletes: the log does not know them all.
func (e *Engine) deletedIn(v *volume) map[uint32]bool {
	known := map[uint32]bool{}
	for i := range e.folders {
		h, err := e.handles.get(e.indexName(i, v.id, v.gen), false)
		if err != nil {
			continue
		}
		b := make([]byte, int(v.head.count)*entrySize)
		n, _ := readAgain(h, b, headerSize)
		e.handles.put(h)
		for b = b[:n]; len(b) >= entrySize; b = b[entrySize:] {
			if en, ok := decodeEntry(b, v.id); ok && en.state == deleted {
				known[en.seq] = true
			}
		}
	}
	return known
}
