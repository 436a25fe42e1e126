package cinder

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/volume"
)

func (a *API) snapshotRoutes() []route {
	d := a.o.Volumes.Snapshots.D
	out := []route{
		{"GET", "/snapshots", d, call.List, func(x *exchange) error { return listSnapshots(x, false) }},
		{"GET", "/snapshots/detail", d, call.List, func(x *exchange) error { return listSnapshots(x, true) }},
		{"POST", "/snapshots", d, call.Create, createSnapshot},
		{"GET", "/snapshots/{snapshot_id}", d, call.Get, showSnapshot},
		{"PUT", "/snapshots/{snapshot_id}", d, call.Update, updateSnapshot},
		{"DELETE", "/snapshots/{snapshot_id}", d, call.Delete, deleteSnapshot},
		{"POST", "/snapshots/{snapshot_id}/action", d, call.Get, actOnSnapshot},
	}
	return append(out, metadataRoutes("/snapshots/{snapshot_id}", rest.Metadata{D: d, Param: "snapshot_id", Of: func(r kind.AnyRow) map[string]string { return r.(*volume.Snapshot).Spec.Metadata }})...)
}

func snapshotStatus(r *volume.Snapshot) string {
	switch r.State {
	case kind.Creating:
		return "creating"
	case kind.Deleting, kind.Trashed:
		return "deleting"
	case kind.Failed:
		return "error"
	}
	return "available"
}

func (x *exchange) snapshot(r *volume.Snapshot, detail bool) map[string]any {
	v := map[string]any{"id": r.ID.Dashed(), "name": rest.NameOf(&r.Meta), "description": rest.Null(r.Spec.Description), "status": snapshotStatus(r), "size": r.Status.Size,
		"volume_id": dashed(r.Spec.Volume), "created_at": rest.Micro(r.Created), "updated_at": rest.Micro(r.Updated), "metadata": rest.Words(r.Spec.Metadata)}
	if detail {
		v["os-extended-snapshot-attributes:project_id"], v["os-extended-snapshot-attributes:progress"] = string(r.Project), map[bool]string{true: "100%", false: "0%"}[r.Made]
		if x.Since(14) {
			v["group_snapshot_id"] = nil
		}
		if x.Since(41) {
			v["user_id"] = x.User(&r.Meta)
		}
	}
	return v
}

func listSnapshots(x *exchange, detail bool) error {
	q := x.Queries()
	meta, err := metadataFilter(q.Get("metadata"))
	if err != nil {
		return err
	}
	name := func(a, b *volume.Snapshot) int { return cmp.Compare(a.Name, b.Name) }
	query := rest.Query[volume.SnapshotSpec, volume.SnapshotStatus]{Sorts: map[string]func(a, b *volume.Snapshot) int{
		"created_at": func(a, b *volume.Snapshot) int { return a.Created.Compare(b.Created) }, "name": name, "display_name": name,
		"updated_at": func(a, b *volume.Snapshot) int { return a.Updated.Compare(b.Updated) }, "id": func(a, b *volume.Snapshot) int { return cmp.Compare(a.ID, b.ID) },
		"volume_id": func(a, b *volume.Snapshot) int { return cmp.Compare(a.Spec.Volume, b.Spec.Volume) },
	}}
	if query.Everywhere, _, err = rest.Flag(x.Exchange, "all_tenants"); err != nil {
		return err
	}
	query.Match = func(r *volume.Snapshot) bool {
		return rest.Same(q, "name", rest.NameOf(&r.Meta)) && rest.Same(q, "status", snapshotStatus(r)) && holds(r.Spec.Metadata, meta) && (!q.Has("volume_id") || rest.IsID(q.Get("volume_id"), r.Spec.Volume)) &&
			(!q.Has("name~") || strings.Contains(r.Name, q.Get("name~")))
	}
	rows, more, err := rest.Part(x.Exchange, x.api.o.Volumes.Snapshots, query)
	if err != nil {
		return err
	}
	items, last := make([]any, 0, len(rows)), ""
	for _, r := range rows {
		items, last = append(items, x.snapshot(r, detail)), r.ID.Dashed()
	}
	return x.List("snapshots", items, more, last)
}

func createSnapshot(x *exchange) error {
	var in struct {
		named
		Volume string    `json:"volume_id"`
		Force  rest.Bool `json:"force"`
	}
	if err := rest.Body(x.Exchange, "snapshot", &in); err != nil {
		return err
	}
	v, err := rest.Get(x.Exchange, x.api.o.Volumes.Volumes, in.Volume)
	if err != nil {
		return err
	}
	if len(v.Status.Attachments) > 0 && !bool(in.Force) && !x.Since(66) {
		return fail.New(fail.Invalid, "Invalid volume: Volume %s status must be available, but current status is: in-use.", v.ID.Dashed()).Then("say force: it is then taken as at one moment")
	}
	text := ""
	if d := cmp.Or(in.Description, in.DisplayText); d != nil {
		text = *d
	}
	spec := rest.Spec{"volume": string(v.ID), "description": text, "metadata": in.Metadata}
	row, err := x.Do(x.api.o.Volumes.Snapshots.D, call.Create, "", func(c *call.Call) { c.Name, c.Spec = cmp.Or(in.Name, in.Display), spec.JSON() })
	if err != nil {
		return missing(err)
	}
	return x.One(http.StatusAccepted, "snapshot", x.snapshot(row.(*volume.Snapshot), false))
}

func showSnapshot(x *exchange) error {
	r, err := rest.Get(x.Exchange, x.api.o.Volumes.Snapshots, x.Param("snapshot_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "snapshot", x.snapshot(r, true))
}

func updateSnapshot(x *exchange) error {
	var in named
	if err := rest.Body(x.Exchange, "snapshot", &in); err != nil {
		return err
	}
	r, err := rest.Get(x.Exchange, x.api.o.Volumes.Snapshots, x.Param("snapshot_id"))
	if err != nil {
		return err
	}
	row, err := rest.Change(x.Exchange, x.api.o.Volumes.Snapshots.D, call.Update, x.Param("snapshot_id"), in.edit(r.Spec.Metadata))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "snapshot", x.snapshot(row.(*volume.Snapshot), false))
}

func deleteSnapshot(x *exchange) error {
	if _, err := rest.Do(x.Exchange, x.api.o.Volumes.Snapshots.D, call.Delete, x.Param("snapshot_id"), nil); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

// actOnSnapshot knows one action: deleting it whatever its state, which is what deleting does here.
func actOnSnapshot(x *exchange) error {
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	there := func() error {
		_, err := rest.Get(x.Exchange, x.api.o.Volumes.Snapshots, x.Param("snapshot_id"))
		return err
	}
	all := rest.Actions[*exchange]{"os-force_delete": func(x *exchange, _ json.RawMessage) error { return deleteSnapshot(x) }}
	return all.Do(x, o, there, "; nobody sets a state by hand")
}

// removeSnapshots deletes those of a volume, and waits until they are gone.
func (x *exchange) removeSnapshots(target string) error {
	v, err := rest.Get(x.Exchange, x.api.o.Volumes.Volumes, target)
	if err != nil {
		return err
	}
	rows, _, err := wire.Rows(x.Exchange, x.api.o.Volumes.Snapshots, "", kind.Filter{Index: "volume", Value: string(v.ID)})
	if err != nil {
		return err
	}
	for _, r := range rows {
		reply, err := rest.Do(x.Exchange, x.api.o.Volumes.Snapshots.D, call.Delete, string(r.ID), nil)
		if err != nil {
			return err
		}
		if reply.Job == nil {
			continue
		}
		j, err := x.API.Door.WaitJob(x.R.Context(), reply.Job.ID)
		if err == nil {
			err = j.Error.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
