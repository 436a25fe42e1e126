package s3

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
)

const (
	partSize  = 5 << 20 // the smallest that S3 allows
	maxParts  = 10_000
	stepParts = 1000 // for blobs of unknown size parts grow by partSize each so many
)

// parts are the buffers of writers; only those of the usual size come back.
var parts = sync.Pool{New: func() any { b := make([]byte, 0, partSize); return &b }}

// writer collects a part, and uploads it when it is full. A blob of less than a part is one request.
type writer struct {
	e     *Engine
	ctx   context.Context // uploads of parts end when the engine does
	id    string
	size  int64 // announced, or -1
	n     int64
	ended bool
	err   error

	part   *[]byte
	full   int // the part is uploaded at this length
	block  int64
	fill   int
	crc    uint32
	upload string
	tried  bool // the store was asked to show the object
	done   []minio.CompletePart
}

// Create begins a blob. Nothing reaches the store before a part is full.
func (e *Engine) Create(ctx context.Context, size int64) (object.Writer, error) {
	if err := e.gate.Enter(ctx); err != nil {
		return nil, err
	}
	defer e.gate.Leave()
	w := &writer{e: e, ctx: e.ending, id: newID(), size: size, part: parts.Get().(*[]byte), full: partSize}
	*w.part = (*w.part)[:0]
	if size > 0 {
		w.full = int(max(partSize, (stored(size)+maxParts-1)/maxParts))
	}
	w.begin()
	return w, nil
}

func (w *writer) begin() {
	w.fill = 0
	w.crc = sumOf(w.id, w.block, nil)
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
	total := len(p)
	for len(p) > 0 {
		n := min(len(p), object.Block-w.fill, w.full-len(*w.part))
		*w.part = append(*w.part, p[:n]...)
		w.crc = crc32.Update(w.crc, castagnoli, p[:n])
		w.fill += n
		p = p[n:]
		if w.fill == object.Block {
			w.finishBlock()
		}
		if len(*w.part) >= w.full {
			if w.err = w.put(); w.err != nil {
				return total - len(p), w.err
			}
		}
	}
	w.n += int64(total)
	return total, nil
}

// finishBlock adds the block's sum, which may make the part a little longer.
func (w *writer) finishBlock() {
	*w.part = binary.LittleEndian.AppendUint32(*w.part, w.crc)
	w.block++
	w.begin()
}

// put uploads the part that was collected.
func (w *writer) put() error {
	if err := w.e.gate.Enter(w.ctx); err != nil {
		return err
	}
	defer w.e.gate.Leave()
	e := w.e
	if len(w.done) == maxParts {
		return fail.New(fail.TooLarge, "a blob of unknown size may have %d bytes here", w.n).Then("say its size beforehand")
	}
	if w.upload == "" {
		id, err := e.core.NewMultipartUpload(w.ctx, e.opts.Bucket, e.key(w.id), minio.PutObjectOptions{ContentType: contentType})
		if err != nil {
			return refuse(err, "beginning an upload")
		}
		w.upload = id
	}
	n := len(w.done) + 1
	part, err := e.core.PutObjectPart(w.ctx, e.opts.Bucket, e.key(w.id), w.upload, n, bytes.NewReader(*w.part), int64(len(*w.part)), minio.PutObjectPartOptions{DisableContentSha256: true})
	if err != nil {
		return refuse(err, "uploading a part")
	}
	w.done = append(w.done, minio.CompletePart{PartNumber: n, ETag: part.ETag})
	*w.part = (*w.part)[:0]
	if w.size < 0 && n%stepParts == 0 {
		w.full += partSize
	}
	return nil
}

// Payloads are not signed: they are encrypted and authenticated before they come here, and TLS protects their way.
const contentType = "application/octet-stream"

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
	e := w.e
	if err := e.gate.Enter(ctx); err != nil {
		return "", err
	}
	defer e.gate.Leave()
	if w.fill > 0 || w.n == 0 {
		w.finishBlock()
	}
	if err := w.store(ctx); err != nil {
		return "", err
	}
	n := name{w.id, w.n}
	e.mu.Lock()
	e.blobs++
	e.live += n.size
	e.mu.Unlock()
	return n.ref(), nil
}

// store completes the upload, or makes it where one request is enough.
func (w *writer) store(ctx context.Context) error {
	e := w.e
	if w.upload == "" {
		w.tried = true
		_, err := e.core.PutObject(ctx, e.opts.Bucket, e.key(w.id), bytes.NewReader(*w.part), int64(len(*w.part)), "", "", minio.PutObjectOptions{ContentType: contentType, DisableContentSha256: true})
		return refuse(err, "storing a blob")
	}
	if len(*w.part) > 0 {
		if err := w.put(); err != nil {
			return err
		}
	}
	w.tried = true
	_, err := e.core.CompleteMultipartUpload(ctx, e.opts.Bucket, e.key(w.id), w.upload, w.done, minio.PutObjectOptions{})
	return refuse(err, "completing an upload")
}

// patience is how long cleaning up may take after the request is over.
const patience = 30 * time.Second

// end gives memory back. What was not committed must not stay: neither parts, nor an object whose answer was lost.
func (w *writer) end(kept bool) {
	w.ended = true
	if kept && cap(*w.part) < 2*partSize { // else a request that failed may be reading it still
		parts.Put(w.part)
	}
	w.part = nil
	if kept || w.upload == "" && !w.tried {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), patience)
	defer cancel()
	e := w.e
	if w.upload != "" {
		if err := e.core.AbortMultipartUpload(ctx, e.opts.Bucket, e.key(w.id), w.upload); err != nil && minio.ToErrorResponse(err).Code != "NoSuchUpload" {
			e.log.Warn("an upload could not be aborted; a later start does it", "key", e.key(w.id), "cause", err)
		}
	}
	if w.tried {
		if err := e.core.RemoveObject(ctx, e.opts.Bucket, e.key(w.id), minio.RemoveObjectOptions{}); err != nil {
			e.log.Warn("a blob that was not acknowledged could not be removed", "key", e.key(w.id), "cause", err)
		}
	}
}

func (w *writer) Abort() {
	if !w.ended {
		w.end(false)
	}
}
