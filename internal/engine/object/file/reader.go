package file

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
)

// reader reads a blob's record from its shards.
type reader struct {
	plan
	e       *Engine
	ref     object.Ref
	tag     uint32
	base    int64  // where the record begins
	shards  []File // nil where one is not there
	one     [1]File
	handles []*handle // of a volume, given back by Close
	vol     *volume   // this one,
	gen     uint32    // in this generation
	large   largeRef  // or the blob has files of its own
}

// Open finds a blob.
func (e *Engine) Open(ctx context.Context, ref object.Ref) (object.Reader, error) {
	if err := e.gate.Enter(ctx); err != nil {
		return nil, err
	}
	defer e.gate.Leave()
	r, _, err := e.open(ref)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// open also gives what the blob's header should say.
func (e *Engine) open(ref object.Ref) (*reader, header, error) {
	if p, ok := parsePacked(ref); ok {
		if v := e.volume(p.volume); v != nil {
			return e.openPacked(v, p)
		}
		if e.unreadable >= e.shape.data { // a volume may be there only: it was written while the others failed
			return nil, header{}, fail.New(fail.Unavailable, "a disk of the objects cannot be read, and this blob may be there").
				Then("bring the disk back, and start again")
		}
	}
	if l, ok := parseLarge(ref); ok {
		return e.openLarge(l)
	}
	return nil, header{}, errNotFound()
}

func (e *Engine) openPacked(v *volume, p packedRef) (*reader, header, error) {
	found, _, err := e.locate(v, p.seq)
	if err != nil {
		return nil, header{}, err
	}
	defer v.mu.RUnlock()
	switch found.state {
	case live:
	case lost:
		return nil, header{}, fail.New(fail.DataLoss, "the blob's header is damaged on the disk").Then("restore it from elsewhere")
	default:
		return nil, header{}, errNotFound()
	}
	r := &reader{e: e, ref: p.ref(), plan: e.shape.plan(int64(found.size)), tag: found.tag, base: found.off, vol: v, gen: v.gen}
	if r.handles, err = e.openLogs(v); err != nil {
		return nil, header{}, err
	}
	r.shards = r.one[:0]
	for _, h := range r.handles {
		if h == nil {
			r.shards = append(r.shards, nil)
		} else {
			r.shards = append(r.shards, h.File)
		}
	}
	return r, found.header(e.shape, v.id), nil
}

// header is what the record of a packed blob begins with.
func (en entry) header(s shape, volume uint64) header {
	return header{kind: kindBlob, shape: s, volume: volume, seq: en.seq, tag: en.tag, size: int64(en.size), written: int64(en.written), off: en.off}
}

func (r *reader) Size() int64 { return r.size }

func (r *reader) Close() error {
	if r.handles != nil {
		r.e.putLogs(r.handles)
		r.handles = nil
		return nil
	}
	var first error
	for i, f := range r.shards {
		if f == nil {
			continue
		}
		if err := f.Close(); err != nil && first == nil {
			first = refuse(err)
		}
		r.shards[i] = nil
	}
	return first
}

// maxRun is how many blocks are read at once.
const maxRun = 16

func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fail.New(fail.Invalid, "reading at %d, before the beginning", off)
	}
	if off >= r.size {
		return 0, io.EOF
	}
	want := int(min(int64(len(p)), r.size-off))
	n := 0
	for n < want {
		at := off + int64(n)
		b, skip := at/object.Block, int(at%object.Block)
		if whole := r.run(b, skip, want-n); whole > 0 {
			size := min(int64(whole)*object.Block, r.size-b*object.Block)
			if err := r.readBlocks(b, whole, p[n:n+int(size)]); err != nil {
				return n, err
			}
			n += int(size)
			continue
		}
		buf := getBuf(r.blockLen(b))
		block := buf.b[:r.blockLen(b)]
		err := r.readBlocks(b, 1, block)
		if err == nil {
			n += copy(p[n:want], block[skip:])
		}
		putBuf(buf)
		if err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// run is how many whole blocks from b on, all of one group, fit into left bytes.
func (r *reader) run(b int64, skip, left int) int {
	if skip != 0 {
		return 0
	}
	n := 0
	for n < maxRun && b+int64(n) < r.blocks && (n == 0 || (b+int64(n))%perGroup != 0) {
		l := r.blockLen(b + int64(n))
		if left < l {
			break
		}
		left -= l
		n++
	}
	return n
}

// readBlocks reads count whole blocks of one group, checks them, and mends from parity what is damaged.
func (r *reader) readBlocks(b int64, count int, dst []byte) error {
	bad := uint32(0) // which of them
	if r.data == 1 {
		bad, _ = r.readShard(File.ReadAt, 0, b, count, dst)
	} else {
		last := b + int64(count) - 1
		buf := getBuf(int(r.at(last) + r.pieceLen(last) - r.at(b)))
		for i := range r.data {
			pieces := buf.b[:r.at(last)+r.pieceLen(last)-r.at(b)]
			wrong, _ := r.readShard(File.ReadAt, i, b, count, pieces)
			bad |= wrong
			for j := range count {
				l := int(r.pieceLen(b + int64(j)))
				block := dst[j*object.Block : min((j+1)*object.Block, len(dst))]
				if i*l < len(block) {
					copy(block[i*l:], pieces[:l])
				}
				pieces = pieces[l:]
			}
		}
		putBuf(buf)
	}
	for j := 0; bad != 0; j++ {
		if bad&(1<<j) != 0 {
			bad &^= 1 << j
			if err := r.mend(b+int64(j), dst[j*object.Block:min((j+1)*object.Block, len(dst))]); err != nil {
				return err
			}
		}
	}
	return nil
}

// readShard reads one shard's pieces of some blocks of a group, and tells which are not right; err is what the disk said
// against reading. read is File.ReadAt or readAgain.
func (r *reader) readShard(read func(File, []byte, int64) (int, error), shard int, b int64, count int, dst []byte) (bad uint32, err error) {
	all := uint32(1)<<count - 1
	f := r.shards[shard]
	if f == nil {
		return all, nil
	}
	if n, err := read(f, dst, r.base+r.at(b)); n < len(dst) {
		return all, err
	}
	buf := getBuf(maxRun * sumSize)
	defer putBuf(buf)
	sums := buf.b[:count*sumSize]
	if n, err := read(f, sums, r.base+r.sumAt(b)); n < len(sums) {
		return all, err
	}
	for j := range count {
		l := r.pieceLen(b + int64(j))
		if sumOf(r.tag, b+int64(j), shard, dst[:l]) != binary.LittleEndian.Uint32(sums[j*sumSize:]) {
			bad |= 1 << j
		}
		dst = dst[l:]
	}
	return bad, nil
}

// pieces reads a block's pieces from all shards; those that are not right are nil. When too few are, the disks are asked
// again: what passes is no damage.
func (r *reader) pieces(b int64) (all [][]byte, good int, failed error) {
	all = make([][]byte, r.shape.shards())
	for _, read := range []func(File, []byte, int64) (int, error){File.ReadAt, readAgain} {
		failed = nil
		for i := range all {
			if all[i] != nil {
				continue
			}
			piece := make([]byte, r.pieceLen(b))
			bad, err := r.readShard(read, i, b, 1, piece)
			if bad == 0 {
				all[i] = piece
				good++
			} else if err != nil && err != io.EOF && !errors.Is(err, syscall.EIO) {
				failed = err
			}
		}
		if good >= r.data {
			break
		}
	}
	return all, good, failed
}

// mend makes a block from whichever shards are right.
func (r *reader) mend(b int64, dst []byte) error {
	all, good, err := r.pieces(b)
	if good < r.data && err != nil {
		return refuse(err) // nobody knows what is on the disk
	}
	if good < r.data {
		return r.damaged(fmt.Sprint(b))
	}
	if r.parity > 0 {
		if err := r.e.code.ReconstructData(all); err != nil {
			return fail.Wrap(err, fail.Internal, "reconstructing block %d", b)
		}
	}
	for _, piece := range all[:r.data] {
		dst = dst[copy(dst, piece):]
	}
	return nil
}

func (r *reader) damaged(blocks string) error {
	return fail.New(fail.DataLoss, "blob %s is damaged on the disk: block %s cannot be read", r.ref, blocks).Then("restore it from elsewhere")
}
