package cinder

import (
	"net/http"
	"time"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/volume"
)

func (a *API) placeRoutes() []route {
	d := a.o.Volumes.Volumes.D
	return []route{
		{"GET", "/os-availability-zone", nil, "", listZones},
		{"GET", "/os-services", nil, "", listServices},
		{"GET", "/scheduler-stats/get_pools", nil, "", listPools},
		{"GET", "/extensions", nil, "", listExtensions},
		{"GET", "/attachments", d, call.List, listAttachments},
		{"GET", "/attachments/detail", d, call.List, listAttachments},
		{"GET", "/attachments/{attachment_id}", d, call.List, showAttachment},
	}
}

func listZones(x *exchange) error {
	return x.One(http.StatusOK, "availabilityZoneInfo", []any{map[string]any{"zoneName": x.api.o.Zone, "zoneState": map[string]bool{"available": true}}})
}

func listServices(x *exchange) error {
	if err := rest.Operators(x.Exchange); err != nil {
		return err
	}
	q := x.Queries()
	out := []any{}
	for _, binary := range []string{"cinder-volume"} {
		if rest.Same(q, "binary", binary) && rest.Same(q, "host", x.api.o.Host) {
			out = append(out, map[string]any{"binary": binary, "host": x.api.o.Host, "zone": x.api.o.Zone, "status": "enabled", "state": "up", "updated_at": rest.Micro(time.Now()), "disabled_reason": nil})
		}
	}
	return x.One(http.StatusOK, "services", out)
}

// listPools tells what the one place has where volumes lie.
func listPools(x *exchange) error {
	if err := rest.Operators(x.Exchange); err != nil {
		return err
	}
	detail, _, err := rest.Flag(x.Exchange, "detail")
	if err != nil {
		return err
	}
	pool := map[string]any{"name": x.api.o.Host}
	if detail {
		r, err := x.api.o.Volumes.Room(x.R.Context())
		if err != nil {
			return err
		}
		gib := func(n int64) float64 { return float64(n) / (1 << 30) }
		pool["capabilities"] = map[string]any{"pool_name": x.api.o.Host, "total_capacity_gb": gib(r.Bytes), "free_capacity_gb": gib(r.Free), "allocated_capacity_gb": gib(r.Bytes - r.Free),
			"provisioned_capacity_gb": gib(r.Promised), "multiattach": false, "QoS_support": true, "driver_version": "1", "vendor_name": "Awan", "storage_protocol": "file"}
	}
	return x.One(http.StatusOK, "pools", []any{pool})
}

func listExtensions(x *exchange) error {
	out := []any{}
	for _, e := range []string{"os-extended-snapshot-attributes", "os-vol-tenant-attr", "os-vol-image-meta", "os-types-extra-specs", "os-quota-sets", "os-quota-class-sets", "os-volume-transfer",
		"os-volume-actions", "os-snapshot-actions", "os-availability-zone", "os-services"} {
		out = append(out, map[string]any{"alias": e, "name": e, "description": "", "links": []any{}, "updated": "2014-12-03T00:00:00+00:00"})
	}
	return x.One(http.StatusOK, "extensions", out)
}

// An attachment is a volume in a server. Servers make them; here they are looked at.
type attachment struct {
	id     string
	volume *volume.Row
	of     volume.Attachment
}

func (x *exchange) attachments() ([]attachment, error) {
	rows, _, err := wire.Rows(x.Exchange, x.api.o.Volumes.Volumes, "", kind.Filter{Where: func(r kind.AnyRow) bool { return len(r.(*volume.Row).Status.Attachments) > 0 }})
	if err != nil {
		return nil, err
	}
	var out []attachment
	for _, r := range rows {
		for _, a := range r.Status.Attachments {
			out = append(out, attachment{rest.AttachmentID(a.Server, r.ID), r, a})
		}
	}
	return out, nil
}

func (a attachment) view() map[string]any {
	return map[string]any{"id": a.id, "volume_id": a.volume.ID.Dashed(), "instance": a.of.Server.Dashed(), "status": "attached", "attach_mode": "rw",
		"attached_at": rest.Micro(a.of.At), "detached_at": nil, "connection_info": map[string]any{}}
}

func listAttachments(x *exchange) error {
	all, err := x.attachments()
	if err != nil {
		return err
	}
	q := x.Queries()
	items := []any{}
	for _, a := range all {
		if (!q.Has("volume_id") || rest.IsID(q.Get("volume_id"), a.volume.ID)) && (!q.Has("instance_id") || rest.IsID(q.Get("instance_id"), string(a.of.Server))) && rest.Same(q, "status", "attached") {
			items = append(items, a.view())
		}
	}
	return x.List("attachments", items, false, "")
}

func showAttachment(x *exchange) error {
	all, err := x.attachments()
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.id == x.Param("attachment_id") {
			return x.One(http.StatusOK, "attachment", a.view())
		}
	}
	return fail.New(fail.NotFound, "Volume attachment could not be found with filter: attachment_id = %s.", x.Param("attachment_id"))
}
