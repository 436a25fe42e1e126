package volume

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/asbuilt"
)

// AsBuilt compares volumes with disks.
func (s *Service) AsBuilt(ctx context.Context, tell func(asbuilt.Thing)) error {
	var held []id.ID
	for d, err := range s.Engine.List(ctx) {
		if err != nil {
			return err
		}
		held = append(held, d)
	}
	known := map[id.ID]bool{}
	var rows []*Row
	err := s.Store.View(ctx, func(tx store.Tx) error {
		all, _, err := s.Volumes.D.List(tx, "", kind.Filter{})
		if err != nil {
			return err
		}
		trash, _, err := s.Volumes.D.List(tx, "", kind.Filter{State: kind.Trashed})
		for _, r := range append(all, trash...) {
			known[r.M().ID] = true
			if m := r.M(); m.State == kind.Active && m.Job == "" {
				rows = append(rows, r.(*Row))
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, d := range held {
		if !known[d] {
			tell(asbuilt.Thing{Kind: s.Volumes.D.FullName(), ID: d, Actual: asbuilt.Facts{"exists": true}})
		}
	}
	for _, r := range rows {
		t := asbuilt.Thing{Kind: s.Volumes.D.FullName(), ID: r.ID, Project: r.Project, Name: r.Name, Design: asbuilt.Facts{"gib": r.Spec.Size}}
		seen, err := s.Engine.Observe(ctx, r.ID)
		if err == nil {
			t.Actual = asbuilt.Facts{"gib": seen.Bytes >> 30}
		} else if !fail.Is(err, fail.Gone) {
			return err
		}
		tell(t)
	}
	return nil
}
