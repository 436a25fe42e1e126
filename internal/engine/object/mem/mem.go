// Package mem keeps blobs in memory, for tests. It may import kernel/fail, kernel/id and service/object.
package mem

import (
	"bytes"
	"context"
	"io"
	"iter"
	"strconv"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
)

// Blobs is object.Blobs in memory.
type Blobs struct {
	mu     sync.Mutex
	blobs  map[object.Ref]blob
	live   int64
	last   uint64
	closed bool
}

type blob struct {
	content []byte
	written time.Time
}

// New makes an empty one.
func New() *Blobs { return &Blobs{blobs: map[object.Ref]blob{}} }

var _ object.Blobs = (*Blobs)(nil)

// enter takes the lock when the request is still wanted and b is not closed.
func (b *Blobs) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fail.From(err)
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return fail.New(fail.Unavailable, "the object engine is closed")
	}
	return nil
}

// Create begins a blob.
func (b *Blobs) Create(ctx context.Context, size int64) (object.Writer, error) {
	if err := b.enter(ctx); err != nil {
		return nil, err
	}
	defer b.mu.Unlock()
	return &writer{blobs: b, size: size}, nil
}

func (b *Blobs) find(ctx context.Context, ref object.Ref) (blob, error) {
	if err := b.enter(ctx); err != nil {
		return blob{}, err
	}
	defer b.mu.Unlock()
	got, ok := b.blobs[ref]
	if !ok {
		return blob{}, fail.New(fail.NotFound, "no such blob")
	}
	return got, nil
}

// Open reads a blob.
func (b *Blobs) Open(ctx context.Context, ref object.Ref) (object.Reader, error) {
	got, err := b.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	return reader{bytes.NewReader(got.content)}, nil
}

// Delete forgets a blob.
func (b *Blobs) Delete(ctx context.Context, ref object.Ref) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer b.mu.Unlock()
	b.live -= int64(len(b.blobs[ref].content))
	delete(b.blobs, ref)
	return nil
}

// List yields what was there when it was called.
func (b *Blobs) List(ctx context.Context) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		if err := b.enter(ctx); err != nil {
			yield(object.Info{}, err)
			return
		}
		infos := make([]object.Info, 0, len(b.blobs))
		for ref, blob := range b.blobs {
			infos = append(infos, object.Info{Ref: ref, Size: int64(len(blob.content)), Written: blob.written})
		}
		b.mu.Unlock()
		for _, i := range infos {
			if !yield(i, nil) {
				return
			}
		}
	}
}

// Verify finds memory to be right.
func (b *Blobs) Verify(ctx context.Context, ref object.Ref) (int, error) {
	_, err := b.find(ctx, ref)
	return 0, err
}

// Space counts.
func (b *Blobs) Space(ctx context.Context) (object.Space, error) {
	if err := b.enter(ctx); err != nil {
		return object.Space{}, err
	}
	defer b.mu.Unlock()
	return object.Space{Live: b.live, Blobs: int64(len(b.blobs))}, nil
}

// Close ends b.
func (b *Blobs) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

type writer struct {
	blobs   *Blobs
	size    int64
	content []byte
	ended   bool
}

func (w *writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, fail.New(fail.Precondition, "this blob's writing has ended")
	}
	w.content = append(w.content, p...)
	return len(p), nil
}

func (w *writer) Commit(ctx context.Context) (object.Ref, error) {
	if w.ended {
		return "", fail.New(fail.Precondition, "this blob's writing has ended")
	}
	w.ended = true
	if w.size >= 0 && w.size != int64(len(w.content)) {
		return "", fail.New(fail.Invalid, "%d bytes were announced, %d written", w.size, len(w.content))
	}
	b := w.blobs
	if err := b.enter(ctx); err != nil {
		return "", err
	}
	defer b.mu.Unlock()
	b.last++
	ref := object.Ref("m" + strconv.FormatUint(b.last, 36))
	b.blobs[ref] = blob{content: w.content, written: time.Now()}
	b.live += int64(len(w.content))
	return ref, nil
}

func (w *writer) Abort() { w.ended = true }

type reader struct{ *bytes.Reader }

func (r reader) Close() error { return nil }

var _ io.ReaderAt = reader{}
