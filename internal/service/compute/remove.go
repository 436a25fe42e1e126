package compute

import (
	"context"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// unplugAll takes the server's ports off the network.
func (s *Service) unplugAll(ctx context.Context, row *serverRow) error {
	for _, n := range row.Status.Cards {
		if n.Port == "" {
			continue
		}
		if err := s.Networks.Unplug(ctx, n.Port); err != nil {
			return err
		}
	}
	return nil
}

// removeChildren deletes what goes with the server.
func (s *Service) removeChildren(ctx context.Context, row *serverRow) error {
	if row.Spec.ReleaseIP {
		if err := s.removePublic(ctx, row); err != nil {
			return err
		}
	}
	for _, n := range row.Status.Cards {
		if n.Own {
			if err := s.childless(ctx, row, portKind, n.Key, n.Port); err != nil {
				return err
			}
		}
	}
	for _, d := range row.Status.Disks {
		if d.Delete && d.Volume != "" {
			if err := s.Host.Unmake(ctx, volumeKind, d.Volume); err != nil {
				return err
			}
		}
	}
	if r := row.Status.Rebuild; r != nil {
		for _, v := range []id.ID{r.Old, r.New} {
			if v != "" {
				if err := s.Host.Unmake(ctx, volumeKind, v); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// removeOrphans destroys machines that no server is: those of a crash between the engine and the store.
func (s *Service) removeOrphans(ctx context.Context) error {
	orphans, err := s.orphans(ctx)
	if err != nil {
		return err
	}
	for _, m := range orphans {
		s.Log.Info("removing a machine that belongs to nothing", "machine", m)
		if err := s.Engine.Destroy(ctx, m); err != nil && !fail.Is(err, fail.Gone) {
			s.Log.Warn("an orphan cannot be removed", "machine", m, "err", err)
		}
	}
	return nil
}

// orphans are machines that no server is.
func (s *Service) orphans(ctx context.Context) ([]id.ID, error) {
	var held []id.ID
	for m, err := range s.Engine.List(ctx) {
		if err != nil {
			return nil, err
		}
		held = append(held, m)
	}
	known := map[id.ID]bool{}
	err := s.Store.View(ctx, func(tx store.Tx) error {
		rows, err := s.Server.List(tx, "", kind.Filter{})
		for _, r := range rows {
			known[r.ID] = true
		}
		return err
	})
	return slices.DeleteFunc(held, func(m id.ID) bool { return known[m] }), err
}
