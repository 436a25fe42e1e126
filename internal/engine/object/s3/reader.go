package s3

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
)

// reader reads ranges of an object, whole blocks at a time. Who reads on from where they were before shares one request.
type reader struct {
	e      *Engine
	name   name
	ctx    context.Context // of requests: ended by Close
	cancel context.CancelFunc

	mu   sync.Mutex // of the stream; who does not get it makes a request of their own
	on   stream
	next int64 // where the last read ended
	once sync.Once
}

// Open asks whether the object is there.
func (e *Engine) Open(ctx context.Context, ref object.Ref) (object.Reader, error) {
	if err := e.gate.Enter(ctx); err != nil {
		return nil, err
	}
	defer e.gate.Leave()
	r, err := e.open(ctx, ref)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (e *Engine) open(ctx context.Context, ref object.Ref) (*reader, error) {
	n, ok := parse(ref)
	if !ok {
		return nil, errNotFound()
	}
	key := e.key(n.id)
	e.mu.Lock()
	_, doomed := e.doomed[key]
	if !doomed {
		e.readers[key]++ // from now on it stays
	}
	e.mu.Unlock()
	if doomed {
		return nil, errNotFound()
	}
	info, err := e.core.StatObject(ctx, e.opts.Bucket, key, minio.StatObjectOptions{})
	if err == nil && info.Size != stored(n.size) {
		err = fail.New(fail.DataLoss, "blob %s has %d bytes in the S3 store, not %d", ref, info.Size, stored(n.size)).Then("restore it from elsewhere")
	}
	if err != nil {
		e.released(key)
		return nil, refuse(err, "looking for a blob")
	}
	r := &reader{e: e, name: n, next: -1}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return r, nil
}

func errNotFound() error { return fail.New(fail.NotFound, "no such blob") }

func (r *reader) Size() int64 { return r.name.size }

func (r *reader) Close() error {
	r.once.Do(func() {
		r.cancel()
		r.mu.Lock()
		r.on.close()
		r.mu.Unlock()
		r.e.released(r.e.key(r.name.id))
	})
	return nil
}

func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fail.New(fail.Invalid, "reading at %d, before the beginning", off)
	}
	if off >= r.name.size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), r.name.size-off)]
	if len(want) == 0 {
		return 0, nil
	}
	n, err := r.read(want, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (r *reader) read(p []byte, off int64) (int, error) {
	last := (off + int64(len(p)) - 1) / object.Block
	if !r.mu.TryLock() {
		var own stream
		defer own.close()
		if err := own.open(r, off/object.Block, last); err != nil {
			return 0, err
		}
		return own.copy(r, p, off)
	}
	defer r.mu.Unlock()
	b := off / object.Block
	if !r.on.has(b) {
		r.on.close()
		if off == r.next { // again: it will go on
			last = blocksOf(r.name.size) - 1
		}
		if err := r.on.open(r, b, last); err != nil {
			return 0, err
		}
	}
	n, err := r.on.copy(r, p, off)
	r.next = off + int64(n)
	if err != nil {
		r.on.close()
	}
	return n, err
}

// stream is a request that is being read, and the block that was last read from it.
type stream struct {
	body  io.ReadCloser
	next  int64 // the block that comes
	last  int64 // of the request
	block int64 // in buf
	buf   *[]byte
	have  int // bytes of it
}

var cells = sync.Pool{New: func() any { b := make([]byte, cell); return &b }}

func (s *stream) open(r *reader, first, last int64) error {
	var opts minio.GetObjectOptions
	if err := opts.SetRange(first*cell, min((last+1)*cell, stored(r.name.size))-1); err != nil {
		return fail.Wrap(err, fail.Internal, "asking for a range")
	}
	body, _, _, err := r.e.core.GetObject(r.ctx, r.e.opts.Bucket, r.e.key(r.name.id), opts)
	if err != nil {
		return refuse(err, "reading a blob")
	}
	s.body, s.next, s.last, s.have, s.block = body, first, last, 0, -1
	if s.buf == nil {
		s.buf = cells.Get().(*[]byte)
	}
	return nil
}

// has is whether block b is at hand, or comes next.
func (s *stream) has(b int64) bool {
	return s.body != nil && (b == s.block && s.have > 0 || b == s.next && b <= s.last)
}

// copy fills p from off on; the stream has that block. A request that ends before p is full is followed by another.
func (s *stream) copy(r *reader, p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		at := off + int64(n)
		b := at / object.Block
		if b != s.block || s.have == 0 {
			if b > s.last {
				last := (off + int64(len(p)) - 1) / object.Block
				s.close()
				if err := s.open(r, b, last); err != nil {
					return n, err
				}
			}
			if err := s.read(r); err != nil {
				return n, err
			}
		}
		n += copy(p[n:], (*s.buf)[at%object.Block:s.have])
	}
	return n, nil
}

// read reads and checks the next block.
func (s *stream) read(r *reader) error {
	s.block, s.have = s.next, 0
	size := int(min(object.Block, r.name.size-s.block*object.Block))
	b := (*s.buf)[:size+sumSize]
	if _, err := io.ReadFull(s.body, b); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // of the connection: the length was right
		}
		return refuse(err, "reading a blob")
	}
	s.next++
	if binary.LittleEndian.Uint32(b[size:]) != sumOf(r.name.id, s.block, b[:size]) {
		return r.damaged(strconv.FormatInt(s.block, 10))
	}
	s.have = size
	return nil
}

func (s *stream) close() {
	if s.body != nil {
		_ = s.body.Close()
		s.body = nil
	}
	if s.buf != nil {
		cells.Put(s.buf)
		s.buf = nil
	}
	s.have = 0
}

func (r *reader) damaged(blocks string) error {
	return fail.New(fail.DataLoss, "blob %s is damaged in the S3 store: block %s cannot be read", r.name.ref(), blocks).Then("restore it from elsewhere")
}

// Verify reads all of the object.
func (e *Engine) Verify(ctx context.Context, ref object.Ref) (int, error) {
	if err := e.gate.Enter(ctx); err != nil {
		return 0, err
	}
	defer e.gate.Leave()
	r, err := e.open(ctx, ref)
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }()
	var bad []string
	total := blocksOf(r.name.size)
	var s stream
	defer s.close()
	if err := s.open(r, 0, total-1); err != nil {
		return 0, err
	}
	for range total {
		if err := ctx.Err(); err != nil {
			return 0, fail.From(err)
		}
		switch err := s.read(r); {
		case fail.Is(err, fail.DataLoss):
			bad = append(bad, strconv.FormatInt(s.block, 10))
		case err != nil:
			return 0, err
		}
	}
	if len(bad) > 0 {
		return 0, r.damaged(strings.Join(bad, ", "))
	}
	return 0, nil
}
