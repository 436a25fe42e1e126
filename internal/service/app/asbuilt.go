package app

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/asbuilt"
	"github.com/awancloud/awan/internal/service/workload"
)

// AsBuilt compares what components should run with the containers that there are.
func (s *Service) AsBuilt(ctx context.Context, tell func(asbuilt.Thing)) error {
	orphans, err := s.orphans(ctx)
	if err != nil {
		return err
	}
	for _, in := range orphans {
		tell(asbuilt.Thing{Kind: "app/instance", ID: in, Actual: asbuilt.Facts{"exists": true}})
	}
	var rows []*componentRow
	err = s.Store.View(ctx, func(tx store.Tx) (err error) {
		rows, err = s.Component.List(tx, "", kind.Filter{State: kind.Active, Where: func(r kind.AnyRow) bool { return r.M().Job == "" }})
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range rows {
		for _, in := range r.Status.Instances {
			t := asbuilt.Thing{Kind: "app/instance", ID: in.ID, Project: r.Project, Name: r.Name, Design: asbuilt.Facts{"running": true}}
			seen, err := s.Engine.Observe(ctx, in.ID)
			if err == nil {
				t.Actual = asbuilt.Facts{"running": seen.Phase == workload.PhaseRunning}
			} else if !fail.Is(err, fail.Gone) {
				return err
			}
			tell(t)
		}
	}
	return nil
}
