package evs

import (
	"encoding/json"
	"maps"
	"strconv"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/volume"
)

// Words of clients' metadata that mean something here.
const (
	passthrough = "hw:passthrough" // "true": a SCSI disk
	encrypted   = "__system__encrypted"
	cmk         = "__system__cmkid"
)

// status is a volume's state in this API's words: a view of the row and of what runs on it.
func (a *API) status(x *exchange, r *volume.Row) string {
	switch {
	case r.State == kind.Creating:
		return "creating"
	case !r.Made:
		return "error"
	case r.State == kind.Deleting:
		return "deleting"
	case r.Status.Transfer != "":
		return "awaiting-transfer"
	}
	if r.Job != "" {
		if s := a.doing(x, r); s != "" {
			return s
		}
	}
	if len(r.Status.Attachments) > 0 {
		return "in-use"
	}
	return "available"
}

// doing says which change runs on a volume; "" when it is one that this API has no word for.
func (a *API) doing(x *exchange, r *volume.Row) string {
	var j *job.Job
	err := a.Door.Store.View(x.R.Context(), func(tx store.Tx) (err error) {
		j, err = job.Get(tx, r.Job)
		return err
	})
	var before volume.Spec
	switch {
	case err != nil:
		return ""
	case j.Flow == "revert":
		return "rollbacking"
	case json.Unmarshal(j.Before, &before) != nil:
		return ""
	case before.Size != r.Spec.Size:
		return "extending"
	case before.Type != r.Spec.Type:
		return "retyping"
	}
	return ""
}

func dashed(s string) string {
	if i, ok := id.Parse(s); ok {
		return rest.ID(i)
	}
	return ""
}

// view is a volume as this API shows it.
func (a *API) view(x *exchange, r *volume.Row) map[string]any {
	meta := map[string]string{}
	maps.Copy(meta, r.Spec.Metadata)
	meta["resourceType"], meta["resourceSpecCode"] = "hws.resource.type.volume", r.Spec.Type
	attachments := []any{}
	for _, at := range r.Status.Attachments {
		attachments = append(attachments, map[string]any{"attachment_id": rest.ID(r.ID), "id": rest.ID(r.ID), "volume_id": rest.ID(r.ID), "server_id": rest.ID(at.Server),
			"device": "/dev/" + at.Device, "host_name": nil, "attached_at": rest.Fine(at.At)})
	}
	v := map[string]any{"id": rest.ID(r.ID), "name": r.Name, "status": a.status(x, r), "size": r.Spec.Size, "volume_type": r.Spec.Type, "description": r.Spec.Description,
		"availability_zone": r.Spec.Zone, "created_at": rest.Fine(r.Created), "updated_at": rest.Fine(r.Updated), "bootable": strconv.FormatBool(r.Spec.Bootable),
		"encrypted": r.Spec.Encrypted, "multiattach": false, "shareable": "false", "metadata": meta, "tags": r.Tags, "attachments": attachments,
		"snapshot_id": dashed(r.Spec.Source.Snapshot), "source_volid": dashed(r.Spec.Source.Volume), "os-vol-tenant-attr:tenant_id": r.Project, "user_id": r.CreatedBy,
		"enterprise_project_id": rest.Enterprise(&r.Meta), "service_type": "EVS", "wwn": string(r.ID), "serial_number": string(r.ID[:20]), "volume_image_metadata": imageMeta(r),
		"links":                 []any{map[string]string{"rel": "self", "href": wire.BaseOf(x.R) + "/v2/" + string(r.Project) + "/cloudvolumes/" + rest.ID(r.ID)}},
		"os-vol-host-attr:host": "", "replication_status": "disabled", "os-volume-replication:extended_status": "", "os-vol-mig-status-attr:migstat": "",
		"os-vol-mig-status-attr:name_id": ""}
	if r.Tags == nil {
		v["tags"] = map[string]string{}
	}
	if r.Spec.IOPS > 0 {
		v["iops"] = map[string]any{"id": rest.ID(r.ID), "total_val": r.Status.IOPS, "frozened": false}
	}
	if r.Spec.Throughput > 0 {
		v["throughput"] = map[string]any{"id": rest.ID(r.ID), "total_val": r.Status.Throughput, "frozened": false}
	}
	return v
}

func imageMeta(r *volume.Row) map[string]string {
	m := r.Status.Image
	if m == nil {
		return map[string]string{}
	}
	return map[string]string{"image_id": rest.ID(m.ID), "id": rest.ID(m.ID), "image_name": m.Name, "__os_version": m.OSVersion, "__os_type": m.OSType, "__platform": m.OS,
		"min_disk": strconv.FormatInt(m.MinDisk, 10), "min_ram": strconv.FormatInt(m.MinMemory, 10), "disk_format": m.Format, "container_format": "bare", "size": strconv.FormatInt(m.Bytes, 10)}
}

func snapshotStatus(r *volume.Snapshot) string {
	switch {
	case r.State == kind.Creating:
		return "creating"
	case !r.Made:
		return "error"
	case r.State == kind.Deleting:
		return "deleting"
	}
	return "available"
}

func snapshotView(r *volume.Snapshot) map[string]any {
	meta := r.Spec.Metadata
	if meta == nil {
		meta = map[string]string{}
	}
	progress := "100%"
	if r.State == kind.Creating {
		progress = "0%"
	}
	return map[string]any{"id": rest.ID(r.ID), "name": r.Name, "status": snapshotStatus(r), "description": r.Spec.Description, "volume_id": dashed(r.Spec.Volume),
		"size": r.Status.Size, "metadata": meta, "created_at": rest.Fine(r.Created), "updated_at": rest.Fine(r.Updated), "service_type": "EVS",
		"os-extended-snapshot-attributes:project_id": r.Project, "os-extended-snapshot-attributes:progress": progress}
}
