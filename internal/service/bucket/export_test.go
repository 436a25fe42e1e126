package bucket

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/store"
)

// Suspects is how many blobs were found once that nobody uses.
func (s *Service) Suspects() int {
	s.tasks.mu.Lock()
	defer s.tasks.mu.Unlock()
	return len(s.tasks.orphans.seen)
}

// Ask has a task done, as the action of its name does.
func (s *Service) Ask(ctx context.Context, task, bucket string) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		b, err := s.need(tx, bucket)
		if err != nil {
			return err
		}
		return tx.Put(wantKey+task+"/"+string(b.ID), nil)
	})
	return err
}
