package file

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// lane appends to one volume at a time. Who comes while it writes waits; the first of them then writes for all who wait,
// with one fdatasync ("group commit").
type lane struct {
	e *Engine

	mu      sync.Mutex
	queue   []*record
	busy    bool
	waiting atomic.Int32 // records in it
	spare   []*record    // a queue's memory, for the next one

	vol *volume // of who writes
}

// crowded is how many have to wait for a lane before the next one is used too: a sync costs the same for one record and for
// many, and up to here waiting for another's is cheaper than having one's own.
const crowded = 32

// ahead is how much of a log is filled with zeros before it is needed: a sync that changes neither the file's length nor
// where it lies has nothing to write but what was appended. Longer appends than aheadBelow are not worth the second writing.
const (
	ahead      = 1 << 20
	aheadBelow = 64 << 10
)

var zeros [ahead]byte

// lane is where the next record goes.
func (e *Engine) lane() *lane {
	best, least := e.lanes[0], int32(crowded)
	for _, l := range e.lanes {
		n := l.waiting.Load()
		if n < crowded {
			return l
		}
		if l == e.lanes[0] || n < least {
			best, least = l, n
		}
	}
	return best
}

// record is what one blob adds to the log.
type record struct {
	head header
	bufs [][]byte // for each shard: room for the header, the pieces, the sums, aligned
	vol  *volume  // where it went
	err  error
	hold func()    // instead: something to do while nobody appends
	wake chan bool // true: write for all who wait; false: it is done
}

var records = sync.Pool{New: func() any { return &record{wake: make(chan bool, 1)} }}

// append writes r; it returns when r is on stable storage, or for deletes when the system has it.
func (l *lane) append(r *record) error {
	l.waiting.Add(1)
	defer l.waiting.Add(-1)
	l.mu.Lock()
	l.queue = append(l.queue, r)
	wait := l.busy
	l.busy = true
	l.mu.Unlock()
	if wait && !<-r.wake {
		return r.err
	}
	runtime.Gosched() // who is about to come may come along
	l.mu.Lock()
	batch := l.queue
	l.queue, l.spare = l.spare[:0], nil
	l.mu.Unlock()
	err := l.write(batch)
	for i, o := range batch {
		batch[i] = nil
		if o.err = err; o != r {
			o.wake <- false
		}
	}
	l.mu.Lock()
	l.spare = batch[:0]
	var next *record
	if len(l.queue) > 0 {
		next = l.queue[0]
	} else {
		l.busy = false
	}
	l.mu.Unlock()
	if next != nil {
		next.wake <- true
	}
	return err
}

// write appends a batch to the lane's volume.
func (l *lane) write(batch []*record) error {
	records := 0
	for _, r := range batch {
		if r.hold == nil {
			records++
		} else {
			r.hold()
		}
	}
	if records == 0 {
		return nil
	}
	v, err := l.current()
	if err != nil {
		return err
	}
	base, off := v.end, v.end
	seq := uint32(len(v.entries))
	vecs := make([][][]byte, len(l.e.folders))
	blobs := 0
	for _, r := range batch {
		if r.hold != nil {
			continue
		}
		if r.head.kind == kindBlob {
			r.vol, r.head.volume, r.head.seq = v, v.id, seq
			seq++
			blobs++
		} else if r.vol != v {
			continue // the volume was retired meanwhile
		}
		r.head.off, r.head.durable = off, v.synced
		for i, b := range r.bufs {
			r.head.shard = i
			r.head.encode(b)
			vecs[i] = append(vecs[i], b)
		}
		off += int64(len(r.bufs[0]))
	}
	if off == base {
		return nil
	}
	if err := l.e.spread(v, "write", func(i int, h *handle) error { return h.WriteAt(vecs[i], base) }); err != nil {
		v.filled = base
		if l.e.spread(v, "cut", func(_ int, h *handle) error { return h.Truncate(base) }) != nil {
			l.retire()
		}
		return err
	}
	if off > v.filled && off-base < aheadBelow && !l.e.full.Load() {
		v.fill(off)
	}
	if blobs > 0 {
		if err := l.e.spread(v, "sync", func(_ int, h *handle) error { return h.Sync() }); err != nil {
			_ = l.e.spread(v, "cut", func(_ int, h *handle) error { return h.Truncate(base) })
			l.retire() // what a failed fdatasync left behind, nobody knows
			return err
		}
		v.synced = off
	}
	v.mu.Lock()
	for _, r := range batch {
		if r.head.kind == kindBlob {
			v.entries = append(v.entries, entry{off: r.head.off, size: uint32(r.head.size), seq: r.head.seq,
				written: uint32(r.head.written), tag: r.head.tag, state: live})
			v.blobs++
			v.live += r.head.size
		}
	}
	v.end = off
	v.mu.Unlock()
	return nil
}

// fill puts zeros behind off. Where there is no space for them the log ends there: who needs it is told then.
func (v *volume) fill(off int64) {
	v.filled = off + ahead
	for _, h := range v.logs {
		if h == nil {
			continue
		}
		if err := h.WriteAt([][]byte{zeros[:]}, off); err != nil {
			_ = h.Truncate(off)
			v.filled = off
		}
	}
}

// current is the volume to append to: a new one when the last is full.
func (l *lane) current() (*volume, error) {
	if v := l.vol; v != nil {
		if v.end < l.e.opts.VolumeBytes && len(v.entries) < l.e.opts.VolumeBlobs {
			return v, nil
		}
		l.retire()
	}
	v, err := l.e.newVolume()
	l.vol = v
	return v, err
}

func (l *lane) retire() {
	v := l.vol
	l.vol = nil
	v.mu.Lock()
	v.retired, v.lane = true, nil
	v.mu.Unlock()
	l.e.poke()
}

// entomb writes a delete to the log that the blob is in, if that still grows. What fails here a crash may undo, no more.
func (e *Engine) entomb(v *volume, seq uint32) {
	v.mu.RLock()
	l := v.lane
	v.mu.RUnlock()
	if l == nil {
		return
	}
	r := &record{wake: make(chan bool, 1), vol: v, head: header{kind: kindDelete, shape: e.shape, volume: v.id, seq: seq, written: time.Now().Unix()}}
	for range e.folders {
		r.bufs = append(r.bufs, make([]byte, headerSize))
	}
	if err := l.append(r); err != nil {
		e.opts.Log.Warn("a delete was not written down", "volume", v.id, "cause", err)
	}
}
