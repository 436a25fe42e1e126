package servers_test

import (
	"testing"

	ecs "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/ecs/v2"
	ecsmodel "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/ecs/v2/model"
	evs "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/evs/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/evs/v2/model"
)

// diskDone waits for a job of disks.
func diskDone(t *testing.T, c *evs.EvsClient, job *string) *model.JobEntities {
	t.Helper()
	if job == nil || *job == "" {
		t.Fatal("there is no job id")
	}
	var r *model.ShowJobResponse
	until(t, "the job's end", func() bool {
		r = must[*model.ShowJobResponse](t)(c.ShowJob(&model.ShowJobRequest{JobId: *job}))
		return r.Status.Value() != "RUNNING"
	})
	if r.Status.Value() != "SUCCESS" {
		t.Fatalf("job %s: %s %v", *job, r.Status.Value(), *r.FailReason)
	}
	return r.Entities
}

func TestDisks(t *testing.T) {
	n := open(t)
	c := client(n, evs.EvsClientBuilder(), evs.NewEvsClient)
	servers := client(n, ecs.EcsClientBuilder(), ecs.NewEcsClient)
	show := func(v string) *model.VolumeDetail {
		t.Helper()
		return must[*model.ShowVolumeResponse](t)(c.ShowVolume(&model.ShowVolumeRequest{VolumeId: v})).Volume
	}
	option := func(name string) *model.CreateVolumeOption {
		return &model.CreateVolumeOption{AvailabilityZone: "awan-1a", Name: &name, Size: 10, VolumeType: model.GetCreateVolumeOptionVolumeTypeEnum().SSD,
			Description: ptr("books"), Tags: map[string]string{"team": "shop"}, Metadata: map[string]string{"shelf": "3"}}
	}
	made := must[*model.CreateVolumeResponse](t)(c.CreateVolume(&model.CreateVolumeRequest{Body: &model.CreateVolumeRequestBody{Volume: option("data")}}))
	data := (*made.VolumeIds)[0]
	if e := diskDone(t, c, made.JobId); *e.VolumeId != data {
		t.Errorf("entities: %v", e)
	}
	if v := show(data); v.Status != "available" || v.Size != 10 || v.VolumeType != "SSD" || v.Tags["team"] != "shop" || v.Metadata["shelf"] != "3" || v.Bootable != "false" || len(v.Attachments) != 0 {
		t.Errorf("volume: %+v", v)
	}

	t.Run("grown, retyped and described", func(t *testing.T) {
		diskDone(t, c, must[*model.ResizeVolumeResponse](t)(c.ResizeVolume(&model.ResizeVolumeRequest{VolumeId: data, Body: &model.ResizeVolumeRequestBody{OsExtend: &model.OsExtend{NewSize: 20}}})).JobId)
		diskDone(t, c, must[*model.RetypeVolumeResponse](t)(c.RetypeVolume(&model.RetypeVolumeRequest{VolumeId: data, Body: &model.RetypeVolumeRequestBody{OsRetype: &model.RetypeVolume{NewType: "GPSSD2", Iops: ptr(int32(4000))}}})).JobId)
		diskDone(t, c, must[*model.ModifyVolumeQoSResponse](t)(c.ModifyVolumeQoS(&model.ModifyVolumeQoSRequest{VolumeId: data, Body: &model.ModifyVolumeQoSRequestBody{QosModify: &model.ModifyVolumeQoSOption{Iops: 5000, Throughput: ptr(int32(200))}}})).JobId)
		must[*model.UpdateVolumeResponse](t)(c.UpdateVolume(&model.UpdateVolumeRequest{VolumeId: data, Body: &model.UpdateVolumeRequestBody{Volume: &model.UpdateVolumeOption{Name: ptr("library"), Description: ptr("")}}}))
		if v := show(data); v.Size != 20 || v.VolumeType != "GPSSD2" || v.Iops.TotalVal != 5000 || v.Throughput.TotalVal != 200 || v.Name != "library" || v.Description != "" {
			t.Errorf("volume: %+v %+v", v, v.Iops)
		}
	})

	t.Run("snapshots", func(t *testing.T) {
		made := must[*model.CreateSnapshotResponse](t)(c.CreateSnapshot(&model.CreateSnapshotRequest{Body: &model.CreateSnapshotRequestBody{Snapshot: &model.CreateSnapshotOption{VolumeId: data, Name: ptr("monday")}}}))
		snap := *made.Snapshot.Id
		until(t, "the snapshot", func() bool {
			now := must[*model.ShowSnapshotResponse](t)(c.ShowSnapshot(&model.ShowSnapshotRequest{SnapshotId: snap})).Snapshot
			return *now.Status == "available"
		})
		if l := must[*model.ListSnapshotsResponse](t)(c.ListSnapshots(&model.ListSnapshotsRequest{VolumeId: &data})); len(*l.Snapshots) != 1 || (*l.Snapshots)[0].Size != 20 || *(*l.Snapshots)[0].Name != "monday" {
			t.Errorf("snapshots: %v", l)
		}
		back := must[*model.RollbackSnapshotResponse](t)(c.RollbackSnapshot(&model.RollbackSnapshotRequest{SnapshotId: snap, Body: &model.RollbackSnapshotRequestBody{Rollback: &model.RollbackSnapshotOption{VolumeId: data}}}))
		if back.Rollback.VolumeId != data {
			t.Errorf("rolled back: %v", back)
		}
		from := option("copy")
		from.SnapshotId, from.Size = &snap, 20
		copied := must[*model.CreateVolumeResponse](t)(c.CreateVolume(&model.CreateVolumeRequest{Body: &model.CreateVolumeRequestBody{Volume: from}}))
		diskDone(t, c, copied.JobId)
		if v := show((*copied.VolumeIds)[0]); v.SnapshotId != snap {
			t.Errorf("copy: %+v", v)
		}
		diskDone(t, c, must[*model.DeleteVolumeResponse](t)(c.DeleteVolume(&model.DeleteVolumeRequest{VolumeId: (*copied.VolumeIds)[0]})).JobId)
	})

	t.Run("in a server", func(t *testing.T) {
		w := n.network()
		s := must[*ecsmodel.CreateServersResponse](t)(servers.CreateServers(&ecsmodel.CreateServersRequest{Body: &ecsmodel.CreateServersRequestBody{Server: &ecsmodel.PrePaidServer{
			Name: "db", FlavorRef: "s6.small.1", ImageRef: n.image("Debian 12 small"), Vpcid: w.vpc, Nics: []ecsmodel.PrePaidServerNic{{SubnetId: &w.subnet}},
			RootVolume: &ecsmodel.PrePaidServerRootVolume{Volumetype: ecsmodel.GetPrePaidServerRootVolumeVolumetypeEnum().SSD}}}}))
		done(t, servers, s.JobId)
		db := (*s.ServerIds)[0]
		done(t, servers, must[*ecsmodel.AttachServerVolumeResponse](t)(servers.AttachServerVolume(&ecsmodel.AttachServerVolumeRequest{ServerId: db,
			Body: &ecsmodel.AttachServerVolumeRequestBody{VolumeAttachment: &ecsmodel.AttachServerVolumeOption{VolumeId: data, Device: ptr("/dev/sdc")}}})).JobId)
		if v := show(data); v.Status != "in-use" || len(v.Attachments) != 1 || v.Attachments[0].ServerId != db || v.Attachments[0].Device != "/dev/vdc" {
			t.Errorf("attached: %+v", v.Attachments)
		}
		one := must[*ecsmodel.ShowServerBlockDeviceResponse](t)(servers.ShowServerBlockDevice(&ecsmodel.ShowServerBlockDeviceRequest{ServerId: db, VolumeId: data})).VolumeAttachment
		if *one.Device != "/dev/vdc" || *one.Size != 20 || one.BootIndex != nil {
			t.Errorf("block device: %v", one)
		}
		if l := must[*ecsmodel.ListServerBlockDevicesResponse](t)(servers.ListServerBlockDevices(&ecsmodel.ListServerBlockDevicesRequest{ServerId: db})); len(*l.VolumeAttachments) != 2 || *(*l.VolumeAttachments)[0].BootIndex != 0 {
			t.Errorf("block devices: %v", l)
		}
		if l := must[*model.ListVolumesResponse](t)(c.ListVolumes(&model.ListVolumesRequest{ServerId: &db})); *l.Count != 2 {
			t.Errorf("volumes of the server: %d", *l.Count)
		}
		if _, err := c.DeleteVolume(&model.DeleteVolumeRequest{VolumeId: data}); err == nil {
			t.Error("a volume in use is deleted")
		}
		done(t, servers, must[*ecsmodel.DetachServerVolumeResponse](t)(servers.DetachServerVolume(&ecsmodel.DetachServerVolumeRequest{ServerId: db, VolumeId: data})).JobId)
		if v := show(data); v.Status != "available" {
			t.Errorf("detached: %s", v.Status)
		}
	})

	t.Run("types, quotas, zones, tags, transfers", func(t *testing.T) {
		if l := must[*model.CinderListVolumeTypesResponse](t)(c.CinderListVolumeTypes(&model.CinderListVolumeTypesRequest{})); len(*l.VolumeTypes) < 5 {
			t.Errorf("types: %v", l)
		}
		if q := must[*model.CinderListQuotasResponse](t)(c.CinderListQuotas(&model.CinderListQuotasRequest{TargetProjectId: n.project, Usage: model.GetCinderListQuotasRequestUsageEnum().TRUE})).QuotaSet; q.Volumes.InUse != 2 || q.GigabytesSSD.InUse == 0 {
			t.Errorf("quotas: %v", q)
		}
		must[*model.CinderListAvailabilityZonesResponse](t)(c.CinderListAvailabilityZones(&model.CinderListAvailabilityZonesRequest{}))
		must[*model.BatchCreateVolumeTagsResponse](t)(c.BatchCreateVolumeTags(&model.BatchCreateVolumeTagsRequest{VolumeId: data, Body: &model.BatchCreateVolumeTagsRequestBody{
			Action: model.GetBatchCreateVolumeTagsRequestBodyActionEnum().CREATE, Tags: []model.Tag{{Key: "room", Value: "7"}}}}))
		if l := must[*model.ShowVolumeTagsResponse](t)(c.ShowVolumeTags(&model.ShowVolumeTagsRequest{VolumeId: data})); len(*l.Tags) != 2 {
			t.Errorf("tags: %v", l)
		}
		until(t, "a volume that can be given away", func() bool { return len(n.list(n.Volumes.Snapshots.D, n.project)) == 1 })
		must[*model.DeleteSnapshotResponse](t)(c.DeleteSnapshot(&model.DeleteSnapshotRequest{SnapshotId: n.list(n.Volumes.Snapshots.D, n.project)[0].M().ID.Dashed()}))
		until(t, "the snapshot's end", func() bool { return len(n.list(n.Volumes.Snapshots.D, n.project)) == 0 })
		offer := must[*model.CinderCreateVolumeTransferResponse](t)(c.CinderCreateVolumeTransfer(&model.CinderCreateVolumeTransferRequest{Body: &model.CinderCreateVolumeTransferRequestBody{
			Transfer: &model.CreateVolumeTransferOption{Name: "gift", VolumeId: data}}})).Transfer
		if offer.VolumeId != data || offer.AuthKey == "" || show(data).Status != "awaiting-transfer" {
			t.Errorf("offer: %+v", offer)
		}
		must[*model.CinderDeleteVolumeTransferResponse](t)(c.CinderDeleteVolumeTransfer(&model.CinderDeleteVolumeTransferRequest{TransferId: offer.Id}))
		diskDone(t, c, must[*model.DeleteVolumeResponse](t)(c.DeleteVolume(&model.DeleteVolumeRequest{VolumeId: data})).JobId)
		if _, err := c.ShowVolume(&model.ShowVolumeRequest{VolumeId: data}); err == nil {
			t.Error("a deleted volume is shown")
		} else {
			refused(t, err, 404, "EVS.5404")
		}
	})
}
