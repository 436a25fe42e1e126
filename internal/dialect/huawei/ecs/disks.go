package ecs

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/compute"
)

// mostDisks and mostCards are what a server can have of each.
const (
	mostDisks = 25
	mostCards = 12
)

func (a *API) diskRoutes() []route {
	k := a.Compute.Server.D
	return []route{
		{Method: "GET", Path: one + "/block_device", Kind: k, Verb: call.Get, Alias: "ecs:cloudServers:listServerBlockDevices ecs:serverVolumeAttachments:list", Do: a.listDisks},
		{Method: "GET", Path: one + "/block_device/{volume_id}", Kind: k, Verb: call.Get, Alias: "ecs:cloudServers:showServerBlockDevice ecs:serverVolumeAttachments:get", Do: a.showDisk},
		{Method: "PUT", Path: one + "/block_device/{volume_id}", Kind: k, Verb: "delete-with", Alias: "ecs:cloudServers:updateServerBlockDevice", Do: a.updateDisk},
		{Method: "GET", Path: one + "/os-volume_attachments", Kind: k, Verb: call.Get, Alias: "ecs:cloudServers:listServerVolumeAttachments ecs:serverVolumeAttachments:list", Do: a.listAttachments},
		{Method: "POST", Path: one + "/attachvolume", Kind: k, Verb: "attach-volume", Alias: "ecs:cloudServers:attach ecs:cloudServers:attachVolume", Do: a.attach},
		{Method: "DELETE", Path: one + "/detachvolume/{volume_id}", Kind: k, Verb: "detach-volume", Alias: "ecs:cloudServers:detachVolume", Do: a.detach},
		{Method: "GET", Path: one + "/appendvolumequota", Kind: k, Verb: call.Get, Alias: "ecs:cloudServers:showAppendableVolumeQuota", Do: a.freeDisks},
	}
}

func diskView(r *serverRow, d *compute.Disk) map[string]any {
	v := map[string]any{"id": rest.ID(d.Volume), "volumeId": rest.ID(d.Volume), "serverId": rest.ID(r.ID), "device": "/dev/" + d.Device, "size": d.Size,
		"bus": "virtio", "pciAddress": "", "bootIndex": nil, "deleteOnTermination": d.Delete}
	if d.Boot {
		v["bootIndex"] = 0
	}
	return v
}

// present are the disks that a server has and keeps.
func present(r *serverRow) (out []*compute.Disk) {
	for i := range r.Status.Disks {
		if d := &r.Status.Disks[i]; d.Volume != "" && d.Phase != compute.Detaching {
			out = append(out, d)
		}
	}
	return out
}

func (a *API) listDisks(x *exchange) error {
	r, err := a.server(x)
	if err != nil {
		return err
	}
	out := []any{}
	for _, d := range present(r) {
		out = append(out, diskView(r, d))
	}
	free := max(0, mostDisks-len(r.Status.Disks))
	return rest.OK(x, map[string]any{"volumeAttachments": out, "attachableQuantity": map[string]int{"free_scsi": 0, "free_blk": free, "free_disk": free}})
}

func (a *API) listAttachments(x *exchange) error {
	r, err := a.server(x)
	if err != nil {
		return err
	}
	out := []any{}
	for _, d := range present(r) {
		out = append(out, map[string]any{"id": rest.ID(d.Volume), "volumeId": rest.ID(d.Volume), "serverId": rest.ID(r.ID), "device": "/dev/" + d.Device})
	}
	return rest.OK(x, map[string]any{"volumeAttachments": out})
}

func (a *API) freeDisks(x *exchange) error {
	r, err := a.server(x)
	if err != nil {
		return err
	}
	free := max(0, mostDisks-len(r.Status.Disks))
	return rest.OK(x, map[string]any{"free_scsi": 0, "free_blk": free, "count": free})
}

// disk finds the path's volume among those of the path's server.
func (a *API) disk(x *exchange) (*serverRow, *compute.Disk, error) {
	r, err := a.server(x)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range present(r) {
		if same(d.Volume, x.Param("volume_id")) {
			return r, d, nil
		}
	}
	return nil, nil, fail.New(fail.NotFound, "server %s has no volume %q", rest.ID(r.ID), x.Param("volume_id"))
}

func (a *API) showDisk(x *exchange) error {
	r, d, err := a.disk(x)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "volumeAttachment", diskView(r, d))
}

func (a *API) updateDisk(x *exchange) error {
	var b struct {
		Device struct {
			Delete any `json:"delete_on_termination"`
		} `json:"block_device"`
	}
	k, target := a.Compute.Server.D, x.Param("server_id")
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, "delete-with", target, err)
	}
	gone, ok := truth(b.Device.Delete)
	if !ok {
		return rest.Refuse(x, k, "delete-with", target, fail.Field("block_device.delete_on_termination", "is neither true nor false"))
	}
	_, err := rest.Send(x, k, "delete-with", target, func(c *call.Call) {
		c.In = wire.Spec{"volume": x.Param("volume_id"), "volumes": gone}.JSON()
	})
	if err != nil {
		return err
	}
	return x.NoContent()
}

// truth reads a flag that some clients send as text.
func truth(v any) (is, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		v = strings.ToLower(v)
		return v == "true", v == "true" || v == "false"
	}
	return false, false
}

func (a *API) attach(x *exchange) error {
	var b struct {
		Volume struct {
			ID     string `json:"volumeId"`
			Device string `json:"device"`
			Count  int    `json:"count"`
		} `json:"volumeAttachment"`
		DryRun bool `json:"dry_run"`
	}
	k, target := a.Compute.Server.D, x.Param("server_id")
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, "attach-volume", target, err)
	}
	if b.Volume.ID == "" && b.Volume.Count > 0 {
		return rest.Refuse(x, k, "attach-volume", target, fail.Field("volumeAttachment.count", "disks are made before they are attached").Then("POST …/v2.1/{project_id}/cloudvolumes first, then give volumeId"))
	}
	r, err := rest.Send(x, k, "attach-volume", target, func(c *call.Call) {
		c.DryRun = b.DryRun
		c.In = wire.Spec{"volume": b.Volume.ID, "device": b.Volume.Device}.JSON()
	})
	if err != nil {
		return err
	}
	return a.begun(x, "attachVolume", map[string]string{"volume_id": b.Volume.ID, "server_id": rest.ID(r.Row.M().ID)}, r)
}

func (a *API) detach(x *exchange) error {
	r, err := rest.Send(x, a.Compute.Server.D, "detach-volume", x.Param("server_id"), func(c *call.Call) {
		c.In = wire.Spec{"volume": x.Param("volume_id")}.JSON()
	})
	if err != nil {
		return err
	}
	return a.begun(x, "detachVolume", map[string]string{"volume_id": x.Param("volume_id"), "server_id": rest.ID(r.Row.M().ID)}, r)
}
