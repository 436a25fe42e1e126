package file

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/awancloud/awan/internal/service/object"
)

// Verify reads a blob from the disks and checks every piece of every shard. It mends what parity allows.
func (e *Engine) Verify(ctx context.Context, ref object.Ref) (int, error) {
	if err := e.gate.Enter(ctx); err != nil {
		return 0, err
	}
	r, head, err := e.open(ref)
	e.gate.Leave()
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }()
	v := &verifier{reader: r, dirty: make([]bool, len(r.shards))}
	for i, f := range r.shards {
		if f == nil && !v.recreate(i) {
			continue
		}
		r.shards[i].Uncache(r.base, r.length())
		v.checkHeader(i, head)
	}
	var bad []string
	for b := int64(0); b < r.blocks; b++ {
		if err := e.gate.Enter(ctx); err != nil {
			return v.repaired, err
		}
		if !v.check(b) {
			bad = append(bad, strconv.FormatInt(b, 10))
		}
		e.gate.Leave()
	}
	for i, dirty := range v.dirty {
		if dirty {
			v.failed(r.shards[i].Sync())
		}
	}
	switch {
	case len(bad) > 0:
		return v.repaired, r.damaged(strings.Join(bad, ", "))
	case v.err != nil:
		return v.repaired, refuse(v.err)
	}
	return v.repaired, nil
}

type verifier struct {
	*reader
	dirty    []bool
	repaired int
	err      error // the first that came between a piece and its repair
}

func (v *verifier) failed(err error) bool {
	if err != nil && v.err == nil {
		v.err = err
	}
	return err != nil
}

// checkHeader compares the header with what is known of the blob without it, and writes it again when it is damaged.
func (v *verifier) checkHeader(shard int, want header) {
	var b [headerSize]byte
	_, err := v.shards[shard].ReadAt(b[:], v.base)
	got, ok := decodeHeader(b[:])
	want.shard = shard
	if ok && got.kind == kindDelete && got.volume == want.volume {
		return // it is just being deleted
	}
	if want.volume == got.volume && got.seq == want.seq {
		want.written, want.durable = got.written, got.durable // the index does not know
	}
	if err == nil && ok && got == want {
		return
	}
	if want.written == 0 {
		want.written = int64(want.volume >> 16 / 1000) // when the id was made
	}
	want.encode(b[:])
	if !v.failed(v.shards[shard].WriteAt([][]byte{b[:]}, v.base)) {
		v.repaired++
		v.dirty[shard] = true
	}
}

// check reports whether block b is right, or is now.
func (v *verifier) check(b int64) bool {
	if v.parity == 0 {
		buf := getBuf(int(v.pieceLen(b)))
		defer putBuf(buf)
		bad, err := v.readShard(readAgain, 0, b, 1, buf.b[:v.pieceLen(b)])
		if err != nil && err != io.EOF && !errors.Is(err, syscall.EIO) {
			v.failed(err)
			return true // nobody knows
		}
		return bad == 0
	}
	all, good, err := v.pieces(b)
	if good == len(all) {
		return true
	}
	if good < v.data {
		return v.failed(err)
	}
	var lacking []int
	for i, piece := range all {
		if piece == nil {
			lacking = append(lacking, i)
		}
	}
	if v.failed(v.e.code.Reconstruct(all)) {
		return true // it can be read
	}
	for _, i := range lacking {
		if v.shards[i] == nil {
			continue // its disk is lost
		}
		var sum [sumSize]byte
		binary.LittleEndian.PutUint32(sum[:], sumOf(v.tag, b, i, all[i]))
		if v.failed(v.shards[i].WriteAt([][]byte{all[i]}, v.base+v.at(b))) || v.failed(v.shards[i].WriteAt([][]byte{sum[:]}, v.base+v.sumAt(b))) {
			continue
		}
		v.repaired++
		v.dirty[i] = true
	}
	return true
}

// recreate makes the file of a shard that lost it: its disk was replaced.
func (v *verifier) recreate(shard int) bool {
	if v.vol == nil {
		name := v.e.largeName(shard, v.large)
		f, err := v.e.disk.Open(name, true)
		if err == nil {
			err = v.e.disk.SyncDir(filepath.Dir(name))
		}
		if v.failed(err) {
			return false
		}
		v.shards[shard] = f
		return true
	}
	v.vol.mu.RLock()
	defer v.vol.mu.RUnlock()
	if v.vol.gen != v.gen || v.vol.gone || !v.vol.sealed {
		return false // compaction has just made all anew, or the log is still growing without this shard
	}
	name := v.e.logName(shard, v.vol.id, v.gen)
	h, err := v.e.handles.get(name, true)
	if err == nil {
		b := make([]byte, headerSize)
		header{kind: kindVolume, shard: shard, shape: v.shape, volume: v.vol.id}.encode(b)
		err = errors.Join(h.WriteAt([][]byte{b}, 0), v.e.disk.SyncDir(filepath.Dir(name)))
		if err != nil {
			v.e.handles.put(h)
		}
	}
	if v.failed(err) {
		return false
	}
	v.handles[shard], v.shards[shard] = h, h.File
	return true
}
