package evs

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/volume"
)

func (a *API) snapshotRoutes() []route {
	k := a.Volumes.Snapshots.D
	const base = "/v2/{project_id}/cloudsnapshots"
	return []route{
		{Method: "POST", Path: base, Kind: k, Verb: call.Create, Alias: "evs:snapshots:create", Do: a.createSnapshot},
		{Method: "GET", Path: base, Kind: k, Verb: call.List, Alias: "evs:snapshots:list", Do: a.listSnapshots},
		{Method: "GET", Path: base + "/detail", Kind: k, Verb: call.List, Alias: "evs:snapshots:list", Do: a.listSnapshots},
		{Method: "GET", Path: base + "/{snapshot_id}", Kind: k, Verb: call.Get, Alias: "evs:snapshots:get", Do: a.showSnapshot},
		{Method: "PUT", Path: base + "/{snapshot_id}", Kind: k, Verb: call.Update, Alias: "evs:snapshots:update", Do: a.updateSnapshot},
		{Method: "DELETE", Path: base + "/{snapshot_id}", Kind: k, Verb: call.Delete, Alias: "evs:snapshots:delete", Do: a.deleteSnapshot},
		{Method: "POST", Path: base + "/{snapshot_id}/rollback", Kind: a.Volumes.Volumes.D, Verb: "revert", Alias: "evs:snapshots:rollback", Do: a.rollback},
	}
}

func (a *API) createSnapshot(x *exchange) error {
	var b struct {
		Snapshot struct {
			Volume      string            `json:"volume_id"`
			Name        string            `json:"name"`
			Description string            `json:"description"`
			Metadata    map[string]string `json:"metadata"`
		} `json:"snapshot"`
	}
	k := a.Volumes.Snapshots.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Create, "*", err)
	}
	r, err := rest.Send(x, k, call.Create, "", func(c *call.Call) {
		s := wire.Spec{"volume": b.Snapshot.Volume, "description": b.Snapshot.Description}
		if b.Snapshot.Metadata != nil {
			s["metadata"] = b.Snapshot.Metadata
		}
		c.Name, c.Spec = &b.Snapshot.Name, s.JSON()
	})
	if err != nil {
		return err
	}
	v := snapshotView(r.Row.(*volume.Snapshot))
	job, err := rest.Begin(x, k, "createSnapshot", nil, r)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusAccepted, map[string]any{"snapshot": v, "job_id": job})
	return nil
}

func (a *API) listSnapshots(x *exchange) error {
	q := x.Queries()
	l, err := rest.Listed(x, a.Volumes.Snapshots.D, 1000, 1000)
	if err != nil {
		return err
	}
	l.Where = func(r kind.AnyRow) bool {
		s := r.(*volume.Snapshot)
		return (q.Get("status") == "" || strings.EqualFold(q.Get("status"), snapshotStatus(s))) && (q.Get("id") == "" || same(s.ID, q.Get("id"))) &&
			(q.Get("availability_zone") == "" || q.Get("availability_zone") == a.Zone) && (q.Get("volume_id") == "" || dashed(s.Spec.Volume) == dashed(q.Get("volume_id")))
	}
	rows, _, err := wire.Rows(x, a.Volumes.Snapshots, "", l.Filter)
	if err != nil {
		return err
	}
	count := len(rows)
	out := []any{}
	for _, r := range rest.Cut(rows, l.Offset, l.Count) {
		out = append(out, snapshotView(r))
	}
	return rest.OK(x, map[string]any{"snapshots": out, "count": count, "snapshots_links": []any{}})
}

func (a *API) showSnapshot(x *exchange) error {
	r, err := wire.Get(x, a.Volumes.Snapshots, x.Param("snapshot_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "snapshot", snapshotView(r))
}

func (a *API) updateSnapshot(x *exchange) error {
	var b struct {
		Snapshot struct {
			Name        *string `json:"name"`
			Description *string `json:"description"`
		} `json:"snapshot"`
	}
	k, target := a.Volumes.Snapshots.D, x.Param("snapshot_id")
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Update, target, err)
	}
	s := wire.Spec{}
	wire.Set(s, "description", b.Snapshot.Description)
	r, err := rest.Send(x, k, call.Update, target, func(c *call.Call) { c.Name, c.Spec = b.Snapshot.Name, s.JSON() })
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "snapshot", snapshotView(r.Row.(*volume.Snapshot)))
}

func (a *API) deleteSnapshot(x *exchange) error {
	k := a.Volumes.Snapshots.D
	r, err := rest.Send(x, k, call.Delete, x.Param("snapshot_id"), nil)
	if err != nil {
		return err
	}
	job, err := rest.Begin(x, k, "deleteSnapshot", map[string]string{"snapshot_id": x.Param("snapshot_id")}, r)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusAccepted, map[string]any{"job_id": job})
	return nil
}

// rollback gives a volume the content of its snapshot.
func (a *API) rollback(x *exchange) error {
	var b struct {
		Rollback struct {
			Volume string `json:"volume_id"`
		} `json:"rollback"`
	}
	k := a.Volumes.Volumes.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, "revert", "*", err)
	}
	if err := rest.May(x, k, "revert", "*"); err != nil {
		return err
	}
	s, err := wire.Get(x, a.Volumes.Snapshots, x.Param("snapshot_id"))
	if err != nil {
		return err
	}
	target := b.Rollback.Volume
	if target == "" {
		target = s.Spec.Volume
	}
	if _, err := rest.Send(x, k, "revert", target, func(c *call.Call) { c.In = wire.Spec{"snapshot": string(s.ID)}.JSON() }); err != nil {
		return err
	}
	wire.Write(x.W, http.StatusAccepted, map[string]any{"rollback": map[string]any{"volume_id": dashed(target)}})
	return nil
}
