package file

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
)

// writer collects a small blob in memory, and hands a larger one on to its files.
type writer struct {
	e     *Engine
	size  int64 // announced, or -1
	n     int64
	ended bool
	buf   *buf   // small: room for a header, then the blob
	large *large // or this
	less  *buf   // large: what is not worth a write yet
	lessN int
	err   error // ends it
}

// Create begins a blob.
func (e *Engine) Create(ctx context.Context, size int64) (object.Writer, error) {
	if err := e.gate.Enter(ctx); err != nil {
		return nil, err
	}
	defer e.gate.Leave()
	if err := e.room(max(size, 0)); err != nil {
		return nil, err
	}
	w := &writer{e: e, size: size}
	if size > int64(e.opts.Packed) {
		l, err := e.newLarge()
		if err != nil {
			return nil, err
		}
		w.large = l
		return w, nil
	}
	w.buf = getBuf(roomFor(max(size, 0)))
	return w, nil
}

func errEnded() error { return fail.New(fail.Precondition, "this blob's writing has ended") }

func (w *writer) Write(p []byte) (int, error) {
	switch {
	case w.err != nil:
		return 0, w.err
	case w.ended:
		return 0, errEnded()
	case w.size >= 0 && w.n+int64(len(p)) > w.size:
		w.err = fail.New(fail.Invalid, "%d bytes were announced, more come", w.size)
		return 0, w.err
	}
	if w.large == nil {
		if w.n+int64(len(p)) <= int64(w.e.opts.Packed) {
			w.grow(int(w.n) + len(p))
			copy(w.buf.b[headerSize+w.n:], p)
			w.n += int64(len(p))
			return len(p), nil
		}
		if w.err = w.spill(); w.err != nil {
			return 0, w.err
		}
	}
	if w.err = w.pass(p); w.err != nil {
		return 0, w.err
	}
	w.n += int64(len(p))
	return len(p), nil
}

// roomFor is what the record of a blob of n bytes takes where it is in one piece.
func roomFor(n int64) int { return int(aligned(shape{1, 0}.plan(n).length())) }

// grow makes room for a record of a blob of n bytes.
func (w *writer) grow(n int) {
	if need := roomFor(int64(n)); need > len(w.buf.b) {
		more := getBuf(need)
		copy(more.b, w.buf.b[:headerSize+w.n])
		putBuf(w.buf)
		w.buf = more
	}
}

// spill goes over to files.
func (w *writer) spill() error {
	l, err := w.e.newLarge()
	if err != nil {
		return err
	}
	w.large = l
	if w.n > 0 {
		err = l.write(w.buf.b[headerSize : headerSize+w.n])
	}
	putBuf(w.buf)
	w.buf = nil
	return err
}

// pass hands a large blob's bytes on, the small pieces collected.
func (w *writer) pass(p []byte) error {
	const worthIt = 64 << 10
	for len(p) > 0 {
		if w.lessN == 0 && len(p) >= worthIt {
			return w.large.write(p)
		}
		if w.less == nil {
			w.less = getBuf(blockBuf)
		}
		n := copy(w.less.b[w.lessN:], p)
		w.lessN += n
		p = p[n:]
		if w.lessN == len(w.less.b) {
			w.lessN = 0
			if err := w.large.write(w.less.b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writer) Commit(ctx context.Context) (object.Ref, error) {
	if w.ended {
		return "", errEnded()
	}
	ref, err := w.commit(ctx)
	w.end(err == nil)
	return ref, err
}

func (w *writer) commit(ctx context.Context) (object.Ref, error) {
	if w.err != nil {
		return "", w.err
	}
	if w.size >= 0 && w.n != w.size {
		return "", fail.New(fail.Invalid, "%d bytes were announced, %d written", w.size, w.n)
	}
	if err := w.e.gate.Enter(ctx); err != nil {
		return "", err
	}
	defer w.e.gate.Leave()
	if err := w.e.room(w.n); err != nil {
		return "", err
	}
	if w.large == nil {
		return w.pack()
	}
	if w.lessN > 0 {
		if err := w.large.write(w.less.b[:w.lessN]); err != nil {
			return "", err
		}
	}
	return w.large.commit(w.n)
}

// pack makes the blob's record and has a lane write it.
func (w *writer) pack() (object.Ref, error) {
	r := records.Get().(*record)
	defer func() {
		clear(r.bufs)
		r.bufs, r.vol, r.err = r.bufs[:0], nil, nil
		records.Put(r)
	}()
	p := w.e.shape.plan(w.n)
	r.head = header{kind: kindBlob, shape: w.e.shape, tag: rand.Uint32(), size: w.n, written: time.Now().Unix()}
	length := aligned(p.length())
	if w.e.shape.shards() == 1 {
		w.grow(int(w.n))
		b := w.buf.b[:length]
		for i := range p.blocks {
			at := p.at(i)
			binary.LittleEndian.PutUint32(b[p.sumAt(i):], sumOf(r.head.tag, i, 0, b[at:at+p.pieceLen(i)]))
		}
		clear(b[p.length():])
		r.bufs = append(r.bufs, b)
	} else {
		rooms, err := w.e.spreadRecord(r, p, w.buf.b[headerSize:headerSize+w.n])
		defer func() {
			for _, room := range rooms {
				putBuf(room)
			}
		}()
		if err != nil {
			return "", err
		}
	}
	if err := w.e.lane().append(r); err != nil {
		return "", err
	}
	return packedRef{r.vol.id, r.head.seq}.ref(), nil
}

// spreadRecord makes each shard's part of a record.
func (e *Engine) spreadRecord(r *record, p plan, blob []byte) ([]*buf, error) {
	length := aligned(p.length())
	var rooms []*buf
	for range e.folders {
		room := getBuf(int(length))
		rooms = append(rooms, room)
		r.bufs = append(r.bufs, room.b[:length])
		clear(room.b[p.length():length])
	}
	for i := range p.blocks {
		pieces, room, err := e.split(blob[i*object.Block : i*object.Block+int64(p.blockLen(i))])
		if err != nil {
			return rooms, err
		}
		for s, piece := range pieces {
			copy(r.bufs[s][p.at(i):], piece)
			binary.LittleEndian.PutUint32(r.bufs[s][p.sumAt(i):], sumOf(r.head.tag, i, s, piece))
		}
		putBuf(room)
	}
	return rooms, nil
}

// end gives memory back, and files unless they are the blob's now.
func (w *writer) end(kept bool) {
	w.ended = true
	if w.large != nil && !kept {
		w.large.abort()
	}
	putBuf(w.buf)
	putBuf(w.less)
	w.buf, w.less, w.large = nil, nil, nil
}

func (w *writer) Abort() {
	if !w.ended {
		w.end(false)
	}
}
