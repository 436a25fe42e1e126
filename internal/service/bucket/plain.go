package bucket

import (
	"context"
	"crypto/cipher"
	"errors"
	"io"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
)

// Readers take several blocks at once, and small objects whole.
var (
	blocks = sync.Pool{New: func() any { return new(reading) }}
	smalls = sync.Pool{New: func() any { return new(smallReading) }}
)

// reading holds blocks as they are stored, and their content in one piece.
type reading struct {
	raw   [readAhead * object.Block]byte
	plain [readAhead * plainBlock]byte
}

// smallReading is reading for what is small.
type smallReading struct {
	raw   [smallRead + 16]byte
	plain [smallRead]byte
}

const smallRead = 8 << 10

// plainReader gives the plain bytes from..to (to not counted) of segments.
type plainReader struct {
	ctx      context.Context
	blobs    object.Blobs
	key      []byte
	segments []segment
	from, to int64 // within segments[0] and what follows

	blob  object.Reader
	aead  cipher.AEAD
	large *reading
	small *smallReading // in its place where everything fits
	ready []byte
	err   error
}

// room gives the buffers: for count blocks, which are size bytes as they are stored.
func (p *plainReader) room(size int64) (raw, plain []byte) {
	if p.large == nil && p.small == nil {
		if size <= smallRead+16 && len(p.segments) == 1 {
			p.small = smalls.Get().(*smallReading)
		} else {
			p.large = blocks.Get().(*reading)
		}
	}
	if p.small != nil {
		return p.small.raw[:size], p.small.plain[:0]
	}
	return p.large.raw[:size], p.large.plain[:0]
}

func (p *plainReader) Read(b []byte) (int, error) {
	if err := p.fill(); err != nil {
		return 0, err
	}
	n := copy(b, p.ready)
	p.ready = p.ready[n:]
	return n, nil
}

// WriteTo sends everything without another copy.
func (p *plainReader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if err := p.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return total, err
		}
		n, err := w.Write(p.ready)
		total += int64(n)
		p.ready = p.ready[n:]
		if err != nil {
			return total, err
		}
	}
}

// fill sees to it that there is something ready, or an error.
func (p *plainReader) fill() error {
	for len(p.ready) == 0 && p.err == nil {
		p.err = p.next()
	}
	if len(p.ready) > 0 {
		return nil
	}
	return p.err
}

func (p *plainReader) next() error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	for len(p.segments) > 0 && p.from >= p.segments[0].Size {
		p.from -= p.segments[0].Size
		p.to -= p.segments[0].Size
		p.segments = p.segments[1:]
		p.drop()
	}
	if len(p.segments) == 0 || p.from >= p.to {
		return io.EOF
	}
	seg := &p.segments[0]
	if p.blob == nil {
		var err error
		if p.blob, err = p.blobs.Open(p.ctx, seg.Ref); err != nil {
			p.blob = nil
			return gone(err)
		}
		if p.aead, err = segmentCipher(p.key, seg.Salt); err != nil {
			return err
		}
	}
	end := min(p.to, seg.Size)
	first := p.from / plainBlock
	count := min((end+plainBlock-1)/plainBlock-first, readAhead)
	cipherSize := seg.Size + (seg.Size+plainBlock-1)/plainBlock*16
	raw, plain := p.room(min(count*object.Block, cipherSize-first*object.Block))
	if n, err := p.blob.ReadAt(raw, first*object.Block); n < len(raw) {
		if err == nil || errors.Is(err, io.EOF) {
			err = fail.New(fail.DataLoss, "a stored object is shorter than it was")
		}
		return gone(err)
	}
	for i := int64(0); i < count; i++ {
		block := raw[i*object.Block : min((i+1)*object.Block, int64(len(raw)))]
		at := nonce(first + i)
		var err error
		if plain, err = p.aead.Open(plain, at[:], block, nil); err != nil {
			return fail.New(fail.DataLoss, "block %d of a stored object was changed", first+i).Then("restore the object from another version or a backup")
		}
	}
	p.ready = plain[p.from-first*plainBlock : min(int64(len(plain)), end-first*plainBlock)]
	p.from += int64(len(p.ready))
	return nil
}

// gone says in a reader's terms that a blob which a version names is not there.
func gone(err error) error {
	if fail.Is(err, fail.NotFound) {
		return fail.Wrap(errors.New(err.Error()), fail.DataLoss, "the content of a stored object is not there")
	}
	return err
}

func (p *plainReader) drop() {
	if p.blob != nil {
		_ = p.blob.Close()
		p.blob = nil
	}
}

// Close gives back what the reader holds.
func (p *plainReader) Close() error {
	p.drop()
	p.ready, p.err = nil, io.ErrClosedPipe
	if p.large != nil {
		blocks.Put(p.large)
	}
	if p.small != nil {
		smalls.Put(p.small)
	}
	p.large, p.small = nil, nil
	return nil
}
