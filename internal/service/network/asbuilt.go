package network

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/asbuilt"
)

// AsBuilt compares networks and plugged ports with what the kernel of this machine holds, rule by rule.
func (s *Service) AsBuilt(ctx context.Context, tell func(asbuilt.Thing)) error {
	findings, err := s.Engine.Drift(ctx, false)
	if err != nil {
		return err
	}
	wrong := map[id.ID]string{}
	for _, f := range findings {
		if f.ID == "" {
			tell(asbuilt.Thing{Kind: "network/" + f.What, Actual: asbuilt.Facts{"found": f.Detail}, Differs: f.Detail})
			continue
		}
		wrong[f.ID] = f.Detail
	}
	var rows []kind.AnyRow
	err = s.Store.View(ctx, func(tx store.Tx) error {
		for _, k := range []*kind.Def{s.VPC.D, s.Port.D} {
			some, _, err := k.List(tx, "", kind.Filter{State: kind.Active, Where: func(r kind.AnyRow) bool { return r.M().Job == "" }})
			if err != nil {
				return err
			}
			rows = append(rows, some...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	built := map[id.ID]bool{}
	for v, err := range s.Engine.VPCs(ctx) {
		if err != nil {
			return err
		}
		built[v] = true
	}
	for _, r := range rows {
		m := r.M()
		t := asbuilt.Thing{Kind: m.Kind, ID: m.ID, Project: m.Project, Name: m.Name, Design: asbuilt.Facts{"rules": "as asked for"}}
		if p, ok := r.(*portRow); ok {
			if !p.Status.Plugged {
				continue // nothing is in it: the kernel has none
			}
			if _, err := s.Engine.ObservePort(ctx, m.ID); fail.Is(err, fail.Gone) {
				tell(t)
				continue
			} else if err != nil {
				return err
			}
		} else if !built[m.ID] {
			continue // made with its first port
		}
		t.Actual, t.Differs = asbuilt.Facts{"rules": "as asked for"}, wrong[m.ID]
		if t.Differs != "" {
			t.Actual = asbuilt.Facts{"rules": t.Differs}
		}
		delete(wrong, m.ID)
		tell(t)
	}
	for at, detail := range wrong { // of rows that are changing, and of what no row is
		tell(asbuilt.Thing{Kind: "network/other", ID: at, Actual: asbuilt.Facts{"found": detail}, Differs: detail})
	}
	return nil
}
