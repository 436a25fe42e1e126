package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
)

// flushEvery is how much of a large blob may wait in memory of the system before the disk is asked to begin.
const flushEvery = 8 << 20

// large writes a blob into files of its own, one on each shard.
type large struct {
	e     *Engine
	id    uint64
	tag   uint32
	files []File // nil where a shard failed
	names []string

	block int64    // the one that is being written
	fill  int      // how much of it is there
	crc   uint32   // of that, where a block is one piece
	part  *buf     // that, where it is several
	pos   int64    // where the files end
	flush int64    // up to there the disk was asked to begin
	sums  [][]byte // of the group, for each shard
	one   [1][][]byte
	errs  []error
}

func (e *Engine) newLarge() (*large, error) {
	id := e.newID()
	l := &large{e: e, id: id, tag: largeTag(id), pos: headerSize, files: make([]File, len(e.folders)),
		names: make([]string, len(e.folders)), sums: make([][]byte, len(e.folders)), errs: make([]error, len(e.folders))}
	errs := l.errs
	for i, f := range e.folders {
		l.names[i] = filepath.Join(f.dir, unready, fmt.Sprintf("%016x", id))
		l.files[i], errs[i] = e.disk.Open(l.names[i], true)
	}
	if err := l.judge("create", errs); err != nil {
		l.abort()
		return nil, err
	}
	if e.shape.shards() > 1 {
		l.part = getBuf(object.Block)
	}
	l.begin()
	return l, nil
}

func (l *large) judge(what string, errs []error) error {
	return l.e.judge(what, errs, func(i int) bool { return l.files[i] != nil }, func(i int) {
		if l.files[i] != nil {
			_ = l.files[i].Close()
			l.files[i] = nil
		}
	})
}

func (l *large) begin() {
	l.fill = 0
	l.crc = sumSeed(l.tag, l.block, 0)
}

// write takes more of the blob.
func (l *large) write(p []byte) error {
	if l.part != nil {
		return l.writeSpread(p)
	}
	start := p
	for len(p) > 0 {
		n := min(len(p), object.Block-l.fill)
		l.crc = crc32.Update(l.crc, castagnoli, p[:n])
		l.fill += n
		p = p[n:]
		if l.fill < object.Block {
			break
		}
		l.sums[0] = binary.LittleEndian.AppendUint32(l.sums[0], l.crc)
		l.block++
		l.begin()
		if l.block%perGroup == 0 {
			if err := l.putOne(start[:len(start)-len(p)], l.sums[0]); err != nil {
				return err
			}
			start, l.sums[0] = p, l.sums[0][:0]
		}
	}
	if len(start) == 0 {
		return nil
	}
	return l.putOne(start)
}

// putOne appends where there is one file only.
func (l *large) putOne(pieces ...[]byte) error {
	l.one[0] = append(l.one[0][:0], pieces...)
	err := l.put(l.one[:])
	clear(l.one[0])
	return err
}

// put appends to the file of each shard.
func (l *large) put(vecs [][][]byte) error {
	errs := l.errs
	clear(errs)
	size := 0
	for _, piece := range vecs[0] {
		size += len(piece)
	}
	for i, f := range l.files {
		if f != nil {
			errs[i] = f.WriteAt(vecs[i], l.pos)
		}
	}
	if err := l.judge("write", errs); err != nil {
		return err
	}
	if l.pos += int64(size); l.pos-l.flush >= flushEvery {
		for _, f := range l.files {
			if f != nil {
				f.Flush(l.flush, l.pos-l.flush)
			}
		}
		l.flush = l.pos
	}
	return nil
}

// writeSpread collects blocks, and writes each as pieces.
func (l *large) writeSpread(p []byte) error {
	for len(p) > 0 {
		n := copy(l.part.b[l.fill:object.Block], p)
		l.fill += n
		p = p[n:]
		if l.fill == object.Block {
			if err := l.putBlock(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *large) putBlock() error {
	pieces, room, err := l.e.split(l.part.b[:l.fill])
	if err != nil {
		return err
	}
	defer putBuf(room)
	vecs := make([][][]byte, len(pieces))
	l.block++
	for i, piece := range pieces {
		l.sums[i] = binary.LittleEndian.AppendUint32(l.sums[i], sumOf(l.tag, l.block-1, i, piece))
		vecs[i] = [][]byte{piece}
		if l.block%perGroup == 0 {
			vecs[i] = append(vecs[i], l.sums[i])
		}
	}
	err = l.put(vecs)
	if l.block%perGroup == 0 {
		for i := range l.sums {
			l.sums[i] = l.sums[i][:0]
		}
	}
	l.begin()
	return err
}

// split makes the pieces of a block, with parity. They lie in the buffer that comes with them.
func (e *Engine) split(block []byte) ([][]byte, *buf, error) {
	l := e.shape.pieceOf(len(block))
	room := getBuf(l * e.shape.shards())
	n := copy(room.b, block)
	clear(room.b[n : l*e.shape.data])
	pieces := make([][]byte, e.shape.shards())
	for i := range pieces {
		pieces[i] = room.b[i*l : (i+1)*l]
	}
	if err := e.code.Encode(pieces); err != nil {
		putBuf(room)
		return nil, nil, fail.Wrap(err, fail.Internal, "making parity")
	}
	return pieces, room, nil
}

// commit makes the blob last.
func (l *large) commit(size int64) (object.Ref, error) {
	if err := l.finishSums(); err != nil {
		return "", err
	}
	ref := largeRef{l.id, size}
	h := header{kind: kindBlob, shape: l.e.shape, volume: l.id, tag: l.tag, size: size, written: time.Now().Unix()}
	err := l.each("sync", func(i int, f File) error {
		var b [headerSize]byte
		own := h
		own.shard = i
		own.encode(b[:])
		if err := f.WriteAt([][]byte{b[:]}, 0); err != nil {
			return err
		}
		if err := f.Sync(); err != nil || l.e.shape.parity == 0 {
			return err
		}
		return l.e.disk.SyncDir(filepath.Dir(l.names[i])) // the next start finds it, should the others be shown by then
	})
	if err != nil {
		return "", err
	}
	if err := l.e.shelve(l, ref); err != nil {
		return "", err
	}
	l.close()
	return ref.ref(), nil
}

// finishSums writes the last block's pieces and the last group's sums.
func (l *large) finishSums() error {
	if l.fill > 0 {
		if l.part != nil {
			if err := l.putBlock(); err != nil {
				return err
			}
		} else {
			l.sums[0] = binary.LittleEndian.AppendUint32(l.sums[0], l.crc)
		}
	}
	if len(l.sums[0]) == 0 {
		return nil
	}
	vecs := make([][][]byte, len(l.sums))
	for i, s := range l.sums {
		vecs[i] = [][]byte{s}
	}
	return l.put(vecs)
}

// each does something with all files at the same time.
func (l *large) each(what string, do func(i int, f File) error) error {
	errs := make([]error, len(l.files))
	if len(l.files) == 1 {
		errs[0] = do(0, l.files[0])
	} else {
		var wg sync.WaitGroup
		for i, f := range l.files {
			if f != nil {
				wg.Go(func() { errs[i] = do(i, f) })
			}
		}
		wg.Wait()
	}
	return l.judge(what, errs)
}

func (l *large) close() {
	for i, f := range l.files {
		if f != nil {
			_ = f.Close()
			l.files[i] = nil
		}
	}
	putBuf(l.part)
	l.part = nil
}

func (l *large) abort() {
	l.close()
	for _, name := range l.names {
		if name == "" {
			continue
		}
		if err := l.e.disk.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.e.opts.Log.Warn("a file of the objects could not be removed; the next start does it", "file", name, "cause", err)
		}
	}
}
