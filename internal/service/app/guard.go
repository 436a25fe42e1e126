package app

import "context"

// guard asks whether the image may be released. What is live already may go on: to scale or restart it releases
// nothing new.
func (s *Service) guard(ctx context.Context, row *componentRow) error {
	next := row.Status.Next
	if s.Guard == nil || next == nil || next.Image == row.Status.Image {
		return nil
	}
	return s.Guard(ctx, &row.Meta, row.Spec.Environment, next.Image)
}

// dropImage forgets an image that may not be released, so that the next deploy builds or looks up its own.
func (s *Service) dropImage(_ context.Context, row *componentRow) error {
	row.Status.Next = nil
	return nil
}
