package cinder

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/volume"
)

func (a *API) volumeRoutes() []route {
	d := a.o.Volumes.Volumes.D
	out := []route{
		{"GET", "/volumes", d, call.List, func(x *exchange) error { return listVolumes(x, false) }},
		{"GET", "/volumes/detail", d, call.List, func(x *exchange) error { return listVolumes(x, true) }},
		{"GET", "/volumes/summary", d, call.List, summary},
		{"POST", "/volumes", d, call.Create, createVolume},
		{"GET", "/volumes/{volume_id}", d, call.Get, showVolume},
		{"PUT", "/volumes/{volume_id}", d, call.Update, updateVolume},
		{"DELETE", "/volumes/{volume_id}", d, call.Delete, deleteVolume},
	}
	return append(out, metadataRoutes("/volumes/{volume_id}", rest.Metadata{D: d, Param: "volume_id", Of: func(r kind.AnyRow) map[string]string { return r.(*volume.Row).Spec.Metadata }})...)
}

// status is a volume's state in Cinder's words.
func status(r *volume.Row) string {
	switch {
	case r.State == kind.Creating:
		return "creating"
	case r.State == kind.Deleting, r.State == kind.Trashed:
		return "deleting"
	case r.State == kind.Failed:
		return "error"
	case r.Status.Transfer != "":
		return "awaiting-transfer"
	case len(r.Status.Attachments) > 0:
		return "in-use"
	case r.State == kind.Updating:
		return "extending"
	}
	return "available"
}

func (x *exchange) volume(r *volume.Row) map[string]any {
	attached := []any{}
	for _, a := range r.Status.Attachments {
		attached = append(attached, map[string]any{"id": r.ID.Dashed(), "attachment_id": rest.AttachmentID(a.Server, r.ID), "volume_id": r.ID.Dashed(),
			"server_id": a.Server.Dashed(), "host_name": nil, "device": "/dev/" + a.Device, "attached_at": rest.Micro(a.At)})
	}
	v := map[string]any{"id": r.ID.Dashed(), "name": rest.NameOf(&r.Meta), "status": status(r), "size": r.Spec.Size, "availability_zone": r.Spec.Zone,
		"created_at": rest.Micro(r.Created), "updated_at": rest.Micro(r.Updated), "description": rest.Null(r.Spec.Description), "volume_type": r.Spec.Type,
		"snapshot_id": dashed(r.Spec.Source.Snapshot), "source_volid": dashed(r.Spec.Source.Volume), "metadata": rest.Words(r.Spec.Metadata),
		"links": x.links("/volumes/" + r.ID.Dashed()), "user_id": x.User(&r.Meta), "bootable": strconv.FormatBool(r.Spec.Bootable), "encrypted": r.Spec.Encrypted,
		"replication_status": nil, "consistencygroup_id": nil, "multiattach": false, "attachments": attached, "migration_status": nil,
		"os-vol-tenant-attr:tenant_id": string(r.Project)}
	if m := r.Status.Image; m != nil {
		v["volume_image_metadata"] = imageMetadata(m)
	}
	if x.Since(13) {
		v["group_id"] = nil
	}
	if x.Since(21) {
		v["provider_id"] = nil
	}
	if x.Since(48) {
		v["shared_targets"], v["service_uuid"] = false, nil
	}
	if rest.Operator(x.Exchange) {
		v["os-vol-host-attr:host"], v["os-vol-mig-status-attr:migstat"], v["os-vol-mig-status-attr:name_id"] = x.api.o.Host, nil, nil
	}
	return v
}

func imageMetadata(m *volume.ImageMeta) map[string]string {
	out := map[string]string{"image_id": m.ID.Dashed(), "image_name": m.Name, "min_disk": strconv.FormatInt(m.MinDisk, 10), "min_ram": strconv.FormatInt(m.MinMemory, 10)}
	for k, v := range map[string]string{"os_distro": m.OS, "os_version": m.OSVersion, "os_type": m.OSType, "architecture": m.Architecture, "disk_format": m.Format} {
		if v != "" {
			out[k] = v
		}
	}
	for k, v := range m.Properties {
		if !strings.HasPrefix(k, "glance:") {
			out[k] = v
		}
	}
	return out
}

func volumeSorts() map[string]func(a, b *volume.Row) int {
	by := func(f func(r *volume.Row) string) func(a, b *volume.Row) int {
		return func(a, b *volume.Row) int { return cmp.Compare(f(a), f(b)) }
	}
	name := by(func(r *volume.Row) string { return rest.NameOf(&r.Meta) })
	return map[string]func(a, b *volume.Row) int{
		"created_at": func(a, b *volume.Row) int { return a.Created.Compare(b.Created) }, "updated_at": func(a, b *volume.Row) int { return a.Updated.Compare(b.Updated) },
		"id": by(func(r *volume.Row) string { return string(r.ID) }), "name": name, "display_name": name, "status": by(status),
		"size": func(a, b *volume.Row) int { return cmp.Compare(a.Spec.Size, b.Spec.Size) }, "availability_zone": by(func(r *volume.Row) string { return r.Spec.Zone }),
		"volume_type_id": by(func(r *volume.Row) string { return r.Spec.Type }), "bootable": by(func(r *volume.Row) string { return strconv.FormatBool(r.Spec.Bootable) }),
	}
}

// metadataFilter reads the filter that clients send as a Python or JSON dictionary.
func metadataFilter(s string) (map[string]string, error) {
	if s == "" {
		return nil, nil
	}
	out := map[string]string{}
	if err := json.Unmarshal([]byte(strings.NewReplacer("u'", `"`, "'", `"`).Replace(s)), &out); err != nil {
		return nil, fail.Field("metadata", "%q is not a dictionary of texts", s)
	}
	return out, nil
}

func holds(have, want map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// volumePart reads the page of volumes that the query asks for.
func (x *exchange) volumePart() ([]*volume.Row, bool, error) {
	q := x.Queries()
	meta, err := metadataFilter(q.Get("metadata"))
	if err != nil {
		return nil, false, err
	}
	bootable, byBoot, err := rest.Flag(x.Exchange, "bootable")
	if err != nil {
		return nil, false, err
	}
	query := rest.Query[volume.Spec, volume.Status]{Sorts: volumeSorts()}
	if query.Everywhere, _, err = rest.Flag(x.Exchange, "all_tenants"); err != nil {
		return nil, false, err
	}
	query.Match = func(r *volume.Row) bool {
		return rest.Same(q, "name", rest.NameOf(&r.Meta)) && rest.Same(q, "display_name", rest.NameOf(&r.Meta)) && rest.Same(q, "status", status(r)) &&
			rest.Same(q, "availability_zone", r.Spec.Zone) && rest.Same(q, "volume_type", r.Spec.Type) && rest.Same(q, "size", fmt.Sprint(r.Spec.Size)) &&
			(!byBoot || bootable == r.Spec.Bootable) && holds(r.Spec.Metadata, meta) && (!q.Has("id") || rest.IsID(q.Get("id"), r.ID)) &&
			(!q.Has("name~") || strings.Contains(r.Name, q.Get("name~")))
	}
	return rest.Part(x.Exchange, x.api.o.Volumes.Volumes, query)
}

func listVolumes(x *exchange, detail bool) error {
	rows, more, err := x.volumePart()
	if err != nil {
		return err
	}
	items, last := make([]any, 0, len(rows)), ""
	for _, r := range rows {
		last = r.ID.Dashed()
		if detail {
			items = append(items, x.volume(r))
		} else {
			items = append(items, map[string]any{"id": last, "name": rest.NameOf(&r.Meta), "links": x.links("/volumes/" + last)})
		}
	}
	return x.List("volumes", items, more, last)
}

func summary(x *exchange) error {
	rows, _, err := x.volumePart()
	if err != nil {
		return err
	}
	size := int64(0)
	for _, r := range rows {
		size += r.Spec.Size
	}
	return x.One(http.StatusOK, "volume-summary", map[string]any{"total_count": len(rows), "total_size": size, "metadata": map[string]any{}})
}

func createVolume(x *exchange) error {
	var in struct {
		Size        *rest.Int         `json:"size"`
		Name        *string           `json:"name"`
		Display     *string           `json:"display_name"`
		Description *string           `json:"description"`
		Type        *string           `json:"volume_type"`
		Zone        *string           `json:"availability_zone"`
		Snapshot    *string           `json:"snapshot_id"`
		Source      *string           `json:"source_volid"`
		Replica     *string           `json:"source_replica"`
		Image       *string           `json:"imageRef"`
		ImageID     *string           `json:"image_id"`
		Backup      *string           `json:"backup_id"`
		Metadata    map[string]string `json:"metadata"`
		Multi       rest.Bool         `json:"multiattach"`
		Group       *string           `json:"group_id"`
		Consistency *string           `json:"consistencygroup_id"`
		User        *string           `json:"user_id"`
		Project     *string           `json:"project_id"`
		Status      *string           `json:"status"`
		Attach      *string           `json:"attach_status"`
		Hints       map[string]any    `json:"scheduler_hints"`
	}
	if err := rest.Body(x.Exchange, "volume", &in); err != nil {
		return err
	}
	text := func(all ...*string) string {
		for _, s := range all {
			if s != nil && *s != "" {
				return *s
			}
		}
		return ""
	}
	switch {
	case bool(in.Multi):
		return fail.Field("volume.multiattach", "a volume has one server at a time here")
	case text(in.Backup) != "":
		return fail.Field("volume.backup_id", "there are no backups here").Then("make the volume from a snapshot")
	case text(in.Group, in.Consistency) != "":
		return fail.Field("volume.group_id", "there are no groups of volumes here")
	case in.Size != nil && *in.Size < 0 || in.Size == nil && text(in.Snapshot, in.Source) == "":
		return fail.Field("volume.size", "a size in GiB is required")
	}
	spec := rest.Spec{"type": x.typeName(text(in.Type)), "availability_zone": text(in.Zone), "description": text(in.Description), "metadata": in.Metadata,
		"source": volume.Source{Image: text(in.Image, in.ImageID), Snapshot: text(in.Snapshot), Volume: text(in.Source)}}
	if in.Size != nil {
		spec["size"] = int64(*in.Size)
	}
	name := text(in.Name, in.Display)
	row, err := x.Do(x.api.o.Volumes.Volumes.D, call.Create, "", func(c *call.Call) { c.Name, c.Spec = &name, spec.JSON() })
	if err != nil {
		return missing(err)
	}
	return x.One(http.StatusAccepted, "volume", x.volume(row.(*volume.Row)))
}

// missing says "not found" of what a new row is to be made from and is not there, as Cinder does.
func missing(err error) error {
	e := fail.From(err)
	if e != nil && e.Kind == fail.Invalid && strings.HasPrefix(e.Field, "spec.") && strings.HasPrefix(e.Message, "there is no ") && e.Field != "spec.availability_zone" {
		return fail.New(fail.NotFound, "%s", e.Message).Because(err)
	}
	return err
}

func showVolume(x *exchange) error {
	r, err := rest.Get(x.Exchange, x.api.o.Volumes.Volumes, x.Param("volume_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "volume", x.volume(r))
}

// named is what may be changed of volumes and snapshots.
type named struct {
	Name        *string           `json:"name"`
	Display     *string           `json:"display_name"`
	Description *string           `json:"description"`
	DisplayText *string           `json:"display_description"`
	Metadata    map[string]string `json:"metadata"`
}

// edit turns it into a change.
func (n *named) edit(now map[string]string) func(*call.Call) {
	spec := rest.Spec{}
	if t := cmp.Or(n.Description, n.DisplayText); t != nil {
		spec["description"] = *t
	}
	if n.Metadata != nil {
		spec["metadata"] = rest.Patch(now, n.Metadata, true)
	}
	return func(c *call.Call) { c.Name, c.Spec = cmp.Or(n.Name, n.Display), spec.JSON() }
}

func updateVolume(x *exchange) error {
	var in named
	if err := rest.Body(x.Exchange, "volume", &in); err != nil {
		return err
	}
	r, err := rest.Get(x.Exchange, x.api.o.Volumes.Volumes, x.Param("volume_id"))
	if err != nil {
		return err
	}
	row, err := rest.Change(x.Exchange, x.api.o.Volumes.Volumes.D, call.Update, x.Param("volume_id"), in.edit(r.Spec.Metadata))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "volume", x.volume(row.(*volume.Row)))
}

// deleteVolume puts the volume into the trash, where Awan's own clients find it for a while; with cascade its snapshots go first.
func deleteVolume(x *exchange) error {
	cascade, _, err := rest.Flag(x.Exchange, "cascade")
	if err != nil {
		return err
	}
	force, _, err := rest.Flag(x.Exchange, "force")
	if err != nil {
		return err
	}
	if err := x.remove(cascade, force); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

func (x *exchange) remove(cascade, purge bool) error {
	target := x.Param("volume_id")
	if cascade {
		if err := x.removeSnapshots(target); err != nil {
			return err
		}
	}
	_, err := rest.Do(x.Exchange, x.api.o.Volumes.Volumes.D, call.Delete, target, func(c *call.Call) { c.Purge = purge })
	if e := fail.From(err); e != nil && e.Kind == fail.Precondition { // Cinder's status for what is in use
		return fail.New(fail.Invalid, "Invalid volume: %s", e.Public()).Because(err)
	}
	return err
}
