package image

import (
	"context"
	"io"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/service/disk"
)

// bigDeadline is for what moves gigabytes.
const bigDeadline = 2 * time.Hour

// take gives an image its content, where it is made from something.
func (s *Service) take(ctx context.Context, row *Row) error {
	src := row.Spec.Source
	switch {
	case src == (Source{}):
		return nil
	case src.Bucket != "":
		return s.takeObject(ctx, row)
	case s.Take == nil:
		return fail.New(fail.Unsupported, "this cloud keeps no volumes")
	}
	row.Status.Phase = Saving
	t, err := s.Take(ctx, row.Project, src, row.ID)
	if err != nil {
		return err
	}
	keys, err := s.keys(ctx, row)
	if err != nil {
		return err
	}
	all := disk.Keys{}
	for _, some := range []disk.Keys{t.Keys, keys} {
		for i, k := range some {
			all[i] = k
		}
	}
	job.Note(ctx, "copying the content")
	seen, err := s.Engine.Capture(ctx, row.ID, t.From, all)
	if err != nil {
		return err
	}
	s.filled(row, seen)
	row.Status.Consistent, row.Status.Server = t.Consistent, string(t.Server)
	if gib := (seen.Bytes + (1<<30 - 1)) >> 30; row.Spec.MinDisk < gib {
		row.Spec.MinDisk = gib
	}
	return nil
}

func (s *Service) takeObject(ctx context.Context, row *Row) error {
	if s.Object == nil {
		return fail.New(fail.Unsupported, "this cloud has no object storage")
	}
	row.Status.Phase = Saving
	body, err := s.Object(ctx, row.Project, row.Spec.Source.Bucket, row.Spec.Source.Object)
	if err != nil {
		return err
	}
	defer body.Close()
	return s.importing(ctx, row, body, job.Note)
}

func (s *Service) importing(ctx context.Context, row *Row, body io.Reader, note func(context.Context, string)) error {
	keys, err := s.keys(ctx, row)
	if err != nil {
		return err
	}
	note(ctx, "reading the content")
	seen, err := s.Engine.Import(ctx, row.ID, body, disk.Import{Format: row.Spec.Format, MaxBytes: s.MaxBytes, Key: keys[row.ID]})
	if err != nil {
		return err
	}
	s.filled(row, seen)
	return nil
}

// letGo gives back what was frozen for the image.
func (s *Service) letGo(ctx context.Context, row *Row) error {
	if src := row.Spec.Source; src.Volume == "" || s.Take == nil {
		return nil
	}
	return s.release(ctx, row)
}

func (s *Service) release(ctx context.Context, row *Row) error {
	if row.Spec.Source.Volume == "" || s.Release == nil {
		return nil
	}
	return s.Release(ctx, row.Project, row.Spec.Source, row.ID)
}

func (s *Service) untake(ctx context.Context, row *Row) error {
	if row.Spec.Source == (Source{}) {
		return nil
	}
	row.Status.Phase = Queued
	if err := s.release(ctx, row); err != nil {
		return err
	}
	return s.Engine.DestroyImage(ctx, row.ID)
}

func (s *Service) remove(ctx context.Context, row *Row) error {
	if s.Engine == nil {
		return nil
	}
	if err := s.release(ctx, row); err != nil {
		return err
	}
	return s.Engine.DestroyImage(ctx, row.ID)
}
