package app

import "context"

// admit asks whether the image may be released. What is live already may go on: to scale or restart it releases
// nothing new.
func (s *Service) admit(ctx context.Context, row *componentRow) error {
	next := row.Status.Next
	if s.Guard == nil || next == nil || next.Image == row.Status.Image {
		return nil
	}
	return s.Guard(ctx, &row.Meta, row.Spec.Environment, next.Image)
}
