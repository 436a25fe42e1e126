package s3

import (
	"context"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
)

func (e *Engine) key(id string) string { return e.opts.Prefix + id }

// Delete removes the object; while readers of this process have it open, it is only hidden, until the last is closed.
func (e *Engine) Delete(ctx context.Context, ref object.Ref) error {
	if err := e.gate.Enter(ctx); err != nil {
		return err
	}
	defer e.gate.Leave()
	n, ok := parse(ref)
	if !ok {
		return nil
	}
	key := e.key(n.id)
	e.mu.Lock()
	_, doomed := e.doomed[key]
	open := e.readers[key] > 0
	if open && !doomed {
		e.doomed[key] = ref
		e.blobs--
		e.live -= n.size
	}
	e.mu.Unlock()
	if open || doomed {
		return nil
	}
	if _, err := e.core.StatObject(ctx, e.opts.Bucket, key, minio.StatObjectOptions{}); err != nil {
		if err = refuse(err, "looking for a blob"); fail.Is(err, fail.NotFound) {
			return nil
		}
		return err
	}
	if err := e.core.RemoveObject(ctx, e.opts.Bucket, key, minio.RemoveObjectOptions{}); err != nil {
		return refuse(err, "deleting a blob")
	}
	e.mu.Lock()
	e.blobs--
	e.live -= n.size
	e.mu.Unlock()
	return nil
}

// released is told that a reader of key is done.
func (e *Engine) released(key string) {
	e.mu.Lock()
	e.readers[key]--
	last := e.readers[key] == 0
	if last {
		delete(e.readers, key)
	}
	_, doomed := e.doomed[key]
	e.mu.Unlock()
	if !last || !doomed {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := e.core.RemoveObject(ctx, e.opts.Bucket, key, minio.RemoveObjectOptions{})
	if err != nil {
		e.log.Warn("a deleted blob stays in the S3 store", "key", key, "cause", err)
	}
	e.mu.Lock()
	delete(e.doomed, key)
	e.mu.Unlock()
}

// List asks for the objects under the prefix.
func (e *Engine) List(ctx context.Context) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		if err := e.gate.Enter(ctx); err != nil {
			yield(object.Info{}, err)
			return
		}
		e.gate.Leave()
		ctx, cancel := context.WithCancel(ctx) // ends the listing when the caller has enough
		defer cancel()
		for o := range e.core.Client.ListObjects(ctx, e.opts.Bucket, minio.ListObjectsOptions{Prefix: e.opts.Prefix, Recursive: true}) {
			if o.Err != nil {
				yield(object.Info{}, refuse(o.Err, "listing the blobs"))
				return
			}
			id := strings.TrimPrefix(o.Key, e.opts.Prefix)
			size, ok := sizeOf(o.Size)
			e.mu.Lock()
			_, doomed := e.doomed[o.Key]
			e.mu.Unlock()
			if !ok || doomed || len(id) != idLen || strings.Trim(id, "0123456789abcdef") != "" {
				continue
			}
			if !yield(object.Info{Ref: name{id, size}.ref(), Size: size, Written: o.LastModified}, nil) {
				return
			}
		}
	}
}

// Space counts once by listing; from then on the engine knows what came and went. What the store has room for, nobody says.
func (e *Engine) Space(ctx context.Context) (object.Space, error) {
	if err := e.gate.Enter(ctx); err != nil {
		return object.Space{}, err
	}
	defer e.gate.Leave()
	e.mu.Lock()
	counted, came, cameLive := e.counted, e.blobs, e.live
	e.mu.Unlock()
	if !counted {
		var blobs, live int64
		for i, err := range e.List(ctx) {
			if err != nil {
				return object.Space{}, err
			}
			blobs++
			live += i.Size
		}
		e.mu.Lock()
		if !e.counted { // what came or went during the listing may be counted in it or not: the next start counts again
			e.counted = true
			e.blobs += blobs - came
			e.live += live - cameLive
		}
		e.mu.Unlock()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return object.Space{Live: e.live, Blobs: e.blobs}, nil
}
