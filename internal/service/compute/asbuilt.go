package compute

import (
	"context"
	"maps"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/asbuilt"
	"github.com/awancloud/awan/internal/service/machine"
)

// AsBuilt compares servers with machines.
func (s *Service) AsBuilt(ctx context.Context, tell func(asbuilt.Thing)) error {
	orphans, err := s.orphans(ctx)
	if err != nil {
		return err
	}
	for _, m := range orphans {
		tell(asbuilt.Thing{Kind: s.Server.D.FullName(), ID: m, Actual: asbuilt.Facts{"exists": true}})
	}
	var rows []*serverRow
	err = s.Store.View(ctx, func(tx store.Tx) (err error) {
		rows, err = s.Server.List(tx, "", kind.Filter{State: kind.Active, Where: func(r kind.AnyRow) bool { return r.M().Job == "" }})
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range rows {
		t := asbuilt.Thing{Kind: s.Server.D.FullName(), ID: r.ID, Project: r.Project, Name: r.Name,
			Design: asbuilt.Facts{"running": !r.Spec.Stopped}}
		seen, err := s.Engine.Observe(ctx, r.ID)
		switch {
		case fail.Is(err, fail.Gone) && r.Spec.Stopped: // a stopped machine may be nothing at all
			t.Actual = asbuilt.Facts{"running": false}
		case fail.Is(err, fail.Gone):
		case err != nil:
			return err
		default:
			running := seen.Phase != machine.PhaseStopped
			t.Actual = asbuilt.Facts{"running": running}
			if running {
				var disks, cards []string
				for _, d := range r.Status.Disks {
					disks = append(disks, string(d.Volume))
				}
				for _, c := range r.Status.Cards {
					cards = append(cards, string(c.Port))
				}
				maps.Copy(t.Design, asbuilt.Facts{"cpus": r.Spec.CPUs, "memory_mib": r.Spec.Memory, "disks": sorted(disks), "cards": sorted(cards)})
				maps.Copy(t.Actual, asbuilt.Facts{"cpus": seen.CPUs, "memory_mib": seen.MemoryMiB,
					"disks": sorted(texts(slices.Collect(maps.Keys(seen.Disks)))), "cards": sorted(texts(seen.NICs))})
			}
		}
		tell(t)
	}
	return nil
}

func sorted(s []string) []string { slices.Sort(s); return append([]string{}, s...) }

func texts(ids []id.ID) (out []string) {
	for _, i := range ids {
		out = append(out, string(i))
	}
	return out
}
