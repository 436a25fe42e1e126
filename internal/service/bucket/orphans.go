package bucket

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/object"
)

// A blob that no version and no part uses is an orphan: a request stored its content, and the cloud ended before the
// version was. It is freed when it is older than orphanAge and was found twice, orphanAge apart: a request that runs may
// have stored content which its version will name in a moment.
const (
	orphanAge   = time.Hour
	orphanEvery = 7 * 24 * time.Hour
	orphanMost  = 200_000 // that are remembered between two looks; the others wait for the next
	orphanBatch = 500
)

// orphanSearch is what is remembered between two looks.
type orphanSearch struct {
	seen  map[object.Ref]struct{} // changed under tasks.mu
	first time.Time               // when the first look of a pair began
	last  time.Time               // when a pair was completed
	freed int64
}

// orphans looks for blobs that nobody uses, at start and then weekly.
func (s *Service) orphans(ctx context.Context) error {
	o, now := &s.tasks.orphans, s.now()
	switch {
	case o.seen == nil && (o.last.IsZero() || now.Sub(o.last).Abs() >= orphanEvery):
		seen := map[object.Ref]struct{}{}
		err := s.unused(ctx, func(ref object.Ref) {
			if len(seen) < orphanMost {
				seen[ref] = struct{}{}
			}
		})
		if err != nil {
			return err
		}
		if o.first = now; len(seen) > 0 {
			s.tasks.mu.Lock()
			o.seen = seen
			s.tasks.mu.Unlock()
		} else {
			o.last = now
		}
	case o.seen != nil && now.Sub(o.first) >= orphanAge:
		if err := s.freeOrphans(ctx); err != nil {
			return err
		}
		s.tasks.mu.Lock()
		o.seen, o.last = nil, now
		s.tasks.mu.Unlock()
	}
	return nil
}

// unused calls fn for every blob that is old enough and that nobody uses.
func (s *Service) unused(ctx context.Context, fn func(object.Ref)) error {
	var batch []object.Ref
	look := func() error {
		err := s.Store.View(ctx, func(tx store.Tx) error {
			for _, ref := range batch {
				orphan, err := isOrphan(tx, ref)
				if err != nil {
					return err
				}
				if orphan {
					fn(ref)
				}
			}
			return nil
		})
		batch = batch[:0]
		if err != nil {
			return err
		}
		return rest(ctx, 5*time.Millisecond)
	}
	before := s.now().Add(-orphanAge)
	for info, err := range s.Blobs.List(ctx) {
		if err != nil {
			return err
		}
		if info.Written.After(before) {
			continue
		}
		if batch = append(batch, info.Ref); len(batch) == orphanBatch {
			if err := look(); err != nil {
				return err
			}
		}
	}
	return look()
}

// isOrphan tells that nobody uses a blob, and that it is not about to be freed.
func isOrphan(tx store.Tx, ref object.Ref) (bool, error) {
	if _, used, err := tx.Get(blobKey + string(ref)); used || err != nil {
		return false, err
	}
	_, freed, err := tx.Get(freeKey + string(ref))
	return !freed, err
}

// freeOrphans frees what was found the first time and still is one. What uses a blob is written in the same order of
// transactions as this.
func (s *Service) freeOrphans(ctx context.Context) error {
	o := &s.tasks.orphans
	batch := make([]object.Ref, 0, orphanBatch)
	free := func() error {
		n := int64(0)
		_, err := s.Store.Update(ctx, func(tx store.Tx) error {
			n = 0
			for _, ref := range batch {
				orphan, err := isOrphan(tx, ref)
				if err != nil {
					return err
				}
				if orphan {
					n++
					if err := tx.Put(freeKey+string(ref), nil); err != nil {
						return err
					}
				}
			}
			return nil
		})
		batch = batch[:0]
		if err != nil {
			return err
		}
		o.freed += n
		s.wakeFree()
		return rest(ctx, 20*time.Millisecond)
	}
	for ref := range o.seen {
		if batch = append(batch, ref); len(batch) == orphanBatch {
			if err := free(); err != nil {
				return err
			}
		}
	}
	if err := free(); err != nil {
		return err
	}
	if o.freed > 0 {
		s.Log.Info("object storage: freed blobs that nobody used", "blobs", o.freed)
	}
	o.freed = 0
	return nil
}
