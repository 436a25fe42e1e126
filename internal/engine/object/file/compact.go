package file

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/time/rate"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// maxBurst is the longest record, and more.
const maxBurst = 4 << 20

// compact copies a sealed volume's blobs into its next generation and goes over to that. Reads go on all the while, in
// the old files until they are done; a crash leaves one generation or the other, and the next start removes what is not
// complete. Without pace it is as quick as it can.
func (e *Engine) compact(ctx context.Context, v *volume, pace *rate.Limiter) error {
	v.mu.Lock()
	if !v.sealed || v.gone {
		v.mu.Unlock()
		return nil
	}
	if v.blobs == 0 && v.counted {
		v.gone, v.head.dropped = true, true
		v.mu.Unlock()
		e.mu.Lock()
		delete(e.volumes, v.id)
		e.mu.Unlock()
		return e.drop(v)
	}
	all, err := e.allEntries(v)
	var entries []entry
	for _, en := range all {
		if en.state == live || en.state == lost {
			entries = append(entries, en)
		}
	}
	var logs []*handle
	if err == nil {
		logs, err = e.openLogs(v)
	}
	v.copied, v.deletes = err == nil, nil
	old, next := v.gen, v.head.next
	v.mu.Unlock()
	if err != nil {
		return err
	}
	defer e.putLogs(logs)
	draft := &volume{id: v.id, gen: old + 1}
	err = e.copyVolume(ctx, draft, logs, entries, next, pace)
	e.putLogs(draft.logs)
	if err != nil {
		v.mu.Lock()
		v.copied, v.deletes = false, nil
		v.mu.Unlock()
		e.removeVolume(v.id, draft.gen)
		return err
	}
	e.goOver(v, draft)
	e.removeVolume(v.id, old)
	e.opts.Log.Info("a volume of objects was compacted", "volume", fmt.Sprintf("%016x", v.id), "blobs", len(entries), "bytes", draft.end)
	return nil
}

// drop removes a volume without blobs. The index says so first, for a crash may leave the logs of some shards only.
func (e *Engine) drop(v *volume) error {
	var b [headerSize]byte
	v.head.encode(b[:])
	for i := range e.folders {
		h, err := e.handles.get(e.indexName(i, v.id, v.gen), false)
		if err != nil {
			continue // lost
		}
		err = h.WriteAt([][]byte{b[:]}, 0)
		if err == nil {
			err = h.Sync()
		}
		e.handles.put(h)
		if err != nil {
			return err
		}
	}
	return e.removeDropped(v)
}

// removeDropped removes the logs, then the indexes: as long as there is a log, an index says what becomes of it.
func (e *Engine) removeDropped(v *volume) error {
	names := []func(int, uint64, uint32) string{e.logName, e.indexName}
	for _, name := range names {
		for i, f := range e.folders {
			full := name(i, v.id, v.gen)
			if err := e.disk.Remove(full); err != nil {
				if !errors.Is(err, fs.ErrNotExist) {
					e.opts.Log.Warn("a file of the objects could not be removed", "file", full, "cause", err)
				}
				continue
			}
			e.handles.forget(full)
			if err := e.disk.SyncDir(filepath.Join(f.dir, volumesDir)); err != nil {
				return err
			}
		}
	}
	return nil
}

// goOver makes v what draft is, with what was deleted meanwhile.
func (e *Engine) goOver(v, draft *volume) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gen, v.head, v.end, v.dead = draft.gen, draft.head, draft.end, 0
	for _, seq := range v.deletes {
		found, at, err := e.find(v, seq)
		if err == nil && (found.state == live || found.state == lost) {
			v.dead += e.recordLen(int64(found.size))
			found.state = deleted
			err = e.markIndex(v, found, at)
		}
		if err != nil {
			e.opts.Log.Warn("a delete was not written down", "volume", v.id, "cause", err)
		}
	}
	v.copied, v.deletes = false, nil
}

// copyVolume makes the files of the next generation, complete and synced.
func (e *Engine) copyVolume(ctx context.Context, draft *volume, old []*handle, entries []entry, next uint32, pace *rate.Limiter) error {
	e.removeVolume(draft.id, draft.gen) // what an earlier try left
	errs := make([]error, len(e.folders))
	draft.logs = make([]*handle, len(e.folders))
	for i := range e.folders {
		draft.logs[i], errs[i] = e.handles.get(e.logName(i, draft.id, draft.gen), true)
	}
	if err := e.judge("compaction", errs, func(i int) bool { return draft.logs[i] != nil }, func(int) {}); err != nil {
		return err
	}
	if err := e.spread(draft, "compaction", func(i int, h *handle) error {
		b := make([]byte, headerSize)
		header{kind: kindVolume, shard: i, shape: e.shape, volume: draft.id}.encode(b)
		return h.WriteAt([][]byte{b}, 0)
	}); err != nil {
		return err
	}
	draft.end = headerSize
	for i, en := range entries {
		if en.state == lost {
			continue
		}
		n := int(e.recordLen(int64(en.size)))
		if err := ctx.Err(); err != nil {
			return fail.From(err)
		}
		if pace != nil {
			if err := pace.WaitN(ctx, n*e.shape.shards()); err != nil {
				return fail.From(errors.Join(ctx.Err(), err))
			}
		}
		moved := en
		moved.off = draft.end
		if err := e.copyRecord(draft, old, en, moved); err != nil {
			return err
		}
		entries[i] = moved
		draft.end += int64(n)
	}
	if err := e.spread(draft, "compaction", func(_ int, h *handle) error { return h.Sync() }); err != nil {
		return err
	}
	return e.writeIndex(draft, indexHeader{volume: draft.id, next: next, end: draft.end, sealed: true}, entries)
}

// copyRecord copies a blob on every shard, mended where parity allows. What cannot be mended is copied as it is: its sums
// go on telling that it is damaged.
func (e *Engine) copyRecord(draft *volume, old []*handle, from, to entry) error {
	p := e.shape.plan(int64(from.size))
	n := aligned(p.length())
	bufs := make([][]byte, len(old))
	whole := e.shape.parity == 0
	r := &reader{e: e, plan: p, tag: from.tag, base: from.off}
	for i, h := range old {
		room := getBuf(int(n))
		defer putBuf(room)
		bufs[i] = room.b[:n]
		var f File
		if h != nil {
			f = h.File
		}
		r.shards = append(r.shards, f)
		got := 0
		if f != nil {
			var err error
			if got, err = readAgain(f, bufs[i], from.off); err != nil && !isDamage(err) {
				return refuse(err) // what it hides must not be copied as nothing
			}
		}
		clear(bufs[i][got:])
	}
	for b := int64(0); b < p.blocks && !whole; b++ {
		e.mendPieces(r, b, bufs)
	}
	h := to.header(e.shape, draft.id)
	return e.spread(draft, "compaction", func(i int, log *handle) error {
		own := h
		own.shard = i
		own.encode(bufs[i])
		return log.WriteAt([][]byte{bufs[i]}, to.off)
	})
}

func (e *Engine) mendPieces(r *reader, b int64, bufs [][]byte) {
	all := make([][]byte, len(bufs))
	good := 0
	for i, buf := range bufs {
		piece := buf[r.at(b) : r.at(b)+r.pieceLen(b)]
		if sumOf(r.tag, b, i, piece) == binary.LittleEndian.Uint32(buf[r.sumAt(b):]) {
			all[i] = piece
			good++
		}
	}
	if good == len(all) || good < r.data {
		return
	}
	lacking := append([][]byte(nil), all...)
	if err := e.code.Reconstruct(all); err != nil {
		return
	}
	for i, was := range lacking {
		if was == nil {
			copy(bufs[i][r.at(b):], all[i])
			binary.LittleEndian.PutUint32(bufs[i][r.sumAt(b):], sumOf(r.tag, b, i, all[i]))
		}
	}
}
