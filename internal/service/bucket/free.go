package bucket

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/object"
)

// use notes that blobs belong to a bucket, in the transaction that stores who uses them.
func use(tx store.Tx, b *bucket, segments []segment) error {
	for _, seg := range segments {
		if err := tx.Put(blobKey+string(seg.Ref), []byte(b.ID)); err != nil {
			return err
		}
	}
	return nil
}

// unuse says that blobs may be freed, in the transaction that removes who used them.
func unuse(tx store.Tx, segments []segment) error {
	for _, seg := range segments {
		if err := tx.Delete(blobKey + string(seg.Ref)); err != nil {
			return err
		}
		if err := tx.Put(freeKey+string(seg.Ref), nil); err != nil {
			return err
		}
	}
	return nil
}

// wakeFree has what unuse noted freed soon.
func (s *Service) wakeFree() {
	select {
	case s.free <- struct{}{}:
	default:
	}
}

// freeBlobs deletes the blobs that nobody uses any more.
func (s *Service) freeBlobs(ctx context.Context) error {
	const batch = 1000
	for {
		var refs []object.Ref
		err := s.Store.View(ctx, func(tx store.Tx) error {
			for k := range tx.Scan(freeKey, "") {
				if refs = append(refs, object.Ref(k[len(freeKey):])); len(refs) == batch {
					break
				}
			}
			return tx.ScanErr()
		})
		if err != nil || len(refs) == 0 {
			return err
		}
		for _, ref := range refs {
			if err := s.Blobs.Delete(ctx, ref); err != nil && !fail.Is(err, fail.NotFound) {
				return err
			}
		}
		_, err = s.Store.Update(ctx, func(tx store.Tx) error {
			for _, ref := range refs {
				if err := tx.Delete(freeKey + string(ref)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}
