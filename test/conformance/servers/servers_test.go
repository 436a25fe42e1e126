package servers_test

import (
	"encoding/base64"
	"strings"
	"testing"

	ecs "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/ecs/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/ecs/v2/model"

	"github.com/awancloud/awan/internal/kernel/id"
)

// place is a subnet with a group for servers.
type place struct{ vpc, subnet, group string }

func (n *tenant) network() place {
	n.t.Helper()
	vpc := n.makeRow(n.Networks.VPC.D, "shop", `{"cidr":"10.1.0.0/16"}`).M().ID
	subnet := n.makeRow(n.Networks.Subnet.D, "front", `{"vpc":"`+string(vpc)+`","cidr":"10.1.1.0/24"}`).M().ID
	group := n.makeRow(n.Networks.Group.D, "web", `{}`).M().ID
	return place{vpc.Dashed(), subnet.Dashed(), group.Dashed()}
}

// done waits for a job and gives its entities.
func done(t *testing.T, c *ecs.EcsClient, job *string) *model.JobEntities {
	t.Helper()
	if job == nil || *job == "" {
		t.Fatal("there is no job id")
	}
	var r *model.ShowJobResponse
	until(t, "the job's end", func() bool {
		r = must[*model.ShowJobResponse](t)(c.ShowJob(&model.ShowJobRequest{JobId: *job}))
		return r.Status.Value() != "RUNNING" && r.Status.Value() != "INIT"
	})
	if r.Status.Value() != "SUCCESS" {
		t.Fatalf("job %s: %s %v", *job, r.Status.Value(), *r.FailReason)
	}
	return r.Entities
}

func (n *tenant) image(name string) string {
	n.t.Helper()
	var found string
	for _, r := range n.list(n.Images.Public.D, "-") {
		if r.M().Name == name {
			found = r.M().ID.Dashed()
		}
	}
	if found == "" {
		n.t.Fatalf("there is no image %s", name)
	}
	return found
}

func TestServers(t *testing.T) {
	n := open(t)
	c := client(n, ecs.EcsClientBuilder(), ecs.NewEcsClient)
	w, image := n.network(), n.image("Debian 12 small")
	show := func(server string) *model.ServerDetail {
		t.Helper()
		return must[*model.ShowServerResponse](t)(c.ShowServer(&model.ShowServerRequest{ServerId: server})).Server
	}

	kp := must[*model.NovaCreateKeypairResponse](t)(c.NovaCreateKeypair(&model.NovaCreateKeypairRequest{Body: &model.NovaCreateKeypairRequestBody{
		Keypair: &model.NovaCreateKeypairOption{Name: "Laptop_1"}}}))
	if kp.Keypair.Name != "Laptop_1" || !strings.HasPrefix(kp.Keypair.PublicKey, "ssh-ed25519 ") || !strings.Contains(kp.Keypair.PrivateKey, "PRIVATE KEY") || strings.Count(kp.Keypair.Fingerprint, ":") != 15 {
		t.Errorf("key pair: %+v", kp.Keypair)
	}

	body := func(count int32) *model.PostPaidServer {
		return &model.PostPaidServer{Name: "web", FlavorRef: "s6.small.1", ImageRef: image, Vpcid: w.vpc, Nics: []model.PostPaidServerNic{{SubnetId: &w.subnet}},
			KeyName: ptr("Laptop_1"), Count: &count, SecurityGroups: &[]model.PostPaidServerSecurityGroup{{Id: &w.group}},
			RootVolume:  &model.PostPaidServerRootVolume{Volumetype: model.GetPostPaidServerRootVolumeVolumetypeEnum().GPSSD, Size: ptr(int32(10))},
			DataVolumes: &[]model.PostPaidServerDataVolume{{Volumetype: model.GetPostPaidServerDataVolumeVolumetypeEnum().SAS, Size: 20}},
			ServerTags:  &[]model.PostPaidServerTag{{Key: "team", Value: "shop"}}, UserData: ptr(base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\necho hello\n"))),
			Metadata: map[string]string{"role": "front"}, Description: ptr("the shop")}
	}

	t.Run("a dry run makes nothing", func(t *testing.T) {
		must[*model.CreatePostPaidServersResponse](t)(c.CreatePostPaidServers(&model.CreatePostPaidServersRequest{Body: &model.CreatePostPaidServersRequestBody{DryRun: ptr(true), Server: body(1)}}))
		if l := must[*model.ListServersDetailsResponse](t)(c.ListServersDetails(&model.ListServersDetailsRequest{})); *l.Count != 0 {
			t.Errorf("%d servers", *l.Count)
		}
	})

	made := must[*model.CreatePostPaidServersResponse](t)(c.CreatePostPaidServers(&model.CreatePostPaidServersRequest{Body: &model.CreatePostPaidServersRequestBody{Server: body(1)}}))
	if len(*made.ServerIds) != 1 {
		t.Fatalf("made %v", made)
	}
	web := (*made.ServerIds)[0]
	e := done(t, c, made.JobId)
	if len(*e.SubJobs) != 1 || *(*e.SubJobs)[0].Entities.ServerId != web || *e.SubJobsTotal != 1 {
		t.Errorf("entities: %v", e)
	}

	t.Run("shown", func(t *testing.T) {
		s := show(web)
		if s.Status != "ACTIVE" || s.Name != "web" || s.Flavor.Id != "s6.small.1" || s.Flavor.Vcpus != "1" || s.Flavor.Ram != "1024" || s.Image.Id != image || s.KeyName != "Laptop_1" ||
			s.OSEXTSTSvmState != "active" || s.OSEXTSTSpowerState != 1 || *s.Description != "the shop" || s.OSEXTAZavailabilityZone != "awan-1a" || s.TenantId != n.project {
			t.Errorf("server: %+v", s)
		}
		if a := s.Addresses[w.vpc]; len(a) != 1 || !strings.HasPrefix(a[0].Addr, "10.1.1.") || a[0].Version != "4" || a[0].OSEXTIPStype.Value() != "fixed" || !*a[0].Primary {
			t.Errorf("addresses: %+v", s.Addresses)
		}
		if s.Metadata["vpc_id"] != w.vpc || s.Metadata["charging_mode"] != "0" || s.Metadata["role"] != "front" {
			t.Errorf("metadata: %v", s.Metadata)
		}
		if len(s.SecurityGroups) != 1 || s.SecurityGroups[0].Id != w.group || s.SecurityGroups[0].Name != "web" {
			t.Errorf("groups: %+v", s.SecurityGroups)
		}
		if v := s.OsExtendedVolumesvolumesAttached; len(v) != 2 || *v[0].BootIndex != "0" || v[0].DeleteOnTermination != "true" || v[1].Device != "/dev/vdb" || v[1].DeleteOnTermination != "false" {
			t.Errorf("volumes: %+v", v)
		}
		if len(*s.Tags) != 1 || (*s.Tags)[0] != "team=shop" {
			t.Errorf("tags: %v", *s.Tags)
		}
		if u, _ := base64.StdEncoding.DecodeString(*s.OSEXTSRVATTRuserData); !strings.Contains(string(u), "echo hello") {
			t.Errorf("user data: %q", u)
		}
		if row, _ := id.Parse(web); row.Dashed() != s.Id {
			t.Errorf("id: %s", s.Id)
		}
	})

	t.Run("power", func(t *testing.T) {
		done(t, c, must[*model.BatchStopServersResponse](t)(c.BatchStopServers(&model.BatchStopServersRequest{Body: &model.BatchStopServersRequestBody{
			OsStop: &model.BatchStopServersOption{Servers: []model.ServerId{{Id: web}}, Type: ptr(model.GetBatchStopServersOptionTypeEnum().HARD)}}})).JobId)
		if s := show(web); s.Status != "SHUTOFF" || s.OSEXTSTSpowerState != 4 {
			t.Errorf("stopped: %s", s.Status)
		}
		done(t, c, must[*model.BatchStartServersResponse](t)(c.BatchStartServers(&model.BatchStartServersRequest{Body: &model.BatchStartServersRequestBody{
			OsStart: &model.BatchStartServersOption{Servers: []model.ServerId{{Id: web}}}}})).JobId)
		done(t, c, must[*model.BatchRebootServersResponse](t)(c.BatchRebootServers(&model.BatchRebootServersRequest{Body: &model.BatchRebootServersRequestBody{
			Reboot: &model.BatchRebootSeversOption{Servers: []model.ServerId{{Id: web}}, Type: model.GetBatchRebootSeversOptionTypeEnum().SOFT}}})).JobId)
		if s := show(web); s.Status != "ACTIVE" {
			t.Errorf("started: %s", s.Status)
		}
	})

	t.Run("several at once", func(t *testing.T) {
		made := must[*model.CreatePostPaidServersResponse](t)(c.CreatePostPaidServers(&model.CreatePostPaidServersRequest{Body: &model.CreatePostPaidServersRequestBody{Server: body(3)}}))
		e := done(t, c, made.JobId)
		if len(*made.ServerIds) != 3 || *e.SubJobsTotal != 3 || len(*e.SubJobs) != 3 {
			t.Fatalf("made %v, %v", made.ServerIds, e)
		}
		if s := show((*made.ServerIds)[2]); s.Name != "web-0003" {
			t.Errorf("the third is %s", s.Name)
		}
		page := must[*model.ListServersDetailsResponse](t)(c.ListServersDetails(&model.ListServersDetailsRequest{Limit: ptr(int32(2)), Offset: ptr(int32(2)), Name: ptr("web")}))
		if *page.Count != 4 || len(*page.Servers) != 2 || (*page.Servers)[1].Name != "web-0003" {
			t.Errorf("second page: %v", page)
		}
		one := must[*model.ListServersDetailsResponse](t)(c.ListServersDetails(&model.ListServersDetailsRequest{Limit: ptr(int32(1))}))
		if *one.Count != 4 || len(*one.Servers) != 1 {
			t.Errorf("first page: %v", one)
		}
		next := must[*model.ListCloudServersResponse](t)(c.ListCloudServers(&model.ListCloudServersRequest{Limit: ptr(int32(3)), Marker: &web}))
		if len(*next.Servers) != 3 || len(*next.ServersLinks) != 0 {
			t.Errorf("by marker: %v", next)
		}
		var servers []model.ServerId
		for _, s := range *made.ServerIds {
			servers = append(servers, model.ServerId{Id: s})
		}
		done(t, c, must[*model.DeleteServersResponse](t)(c.DeleteServers(&model.DeleteServersRequest{Body: &model.DeleteServersRequestBody{Servers: servers, DeleteVolume: ptr(true)}})).JobId)
		if l := must[*model.ListServersDetailsResponse](t)(c.ListServersDetails(&model.ListServersDetailsRequest{})); *l.Count != 1 {
			t.Errorf("%d servers are left", *l.Count)
		}
		if v := n.list(n.Volumes.Volumes.D, n.project); len(v) != 2 {
			t.Errorf("%d volumes are left", len(v))
		}
	})
}

func TestServerDetails(t *testing.T) {
	n := open(t)
	c := client(n, ecs.EcsClientBuilder(), ecs.NewEcsClient)
	w := n.network()
	made := must[*model.CreateServersResponse](t)(c.CreateServers(&model.CreateServersRequest{Body: &model.CreateServersRequestBody{Server: &model.PrePaidServer{
		Name: "web", FlavorRef: "s6.small.1", ImageRef: n.image("Debian 12 small"), Vpcid: w.vpc, Nics: []model.PrePaidServerNic{{SubnetId: &w.subnet}},
		RootVolume: &model.PrePaidServerRootVolume{Volumetype: model.GetPrePaidServerRootVolumeVolumetypeEnum().SSD}}}}))
	done(t, c, made.JobId)
	web := (*made.ServerIds)[0]
	show := func() *model.ServerDetail {
		t.Helper()
		return must[*model.ShowServerResponse](t)(c.ShowServer(&model.ShowServerRequest{ServerId: web})).Server
	}

	t.Run("changed, one thing right after the other", func(t *testing.T) {
		must[*model.UpdateServerResponse](t)(c.UpdateServer(&model.UpdateServerRequest{ServerId: web, Body: &model.UpdateServerRequestBody{Server: &model.UpdateServerOption{Name: ptr("shop"), Description: ptr("books")}}}))
		must[*model.UpdateServerMetadataResponse](t)(c.UpdateServerMetadata(&model.UpdateServerMetadataRequest{ServerId: web, Body: &model.UpdateServerMetadataRequestBody{Metadata: map[string]string{"role": "front", "color": "red"}}}))
		must[*model.DeleteServerMetadataResponse](t)(c.DeleteServerMetadata(&model.DeleteServerMetadataRequest{ServerId: web, Key: "color"}))
		must[*model.BatchCreateServerTagsResponse](t)(c.BatchCreateServerTags(&model.BatchCreateServerTagsRequest{ServerId: web, Body: &model.BatchCreateServerTagsRequestBody{
			Action: model.GetBatchCreateServerTagsRequestBodyActionEnum().CREATE, Tags: []model.BatchAddServerTag{{Key: "team", Value: ptr("shop")}}}}))
		done(t, c, must[*model.ResizeServerResponse](t)(c.ResizeServer(&model.ResizeServerRequest{ServerId: web, Body: &model.ResizeServerRequestBody{Resize: &model.ResizePrePaidServerOption{FlavorRef: "s6.medium.2"}}})).JobId)
		s := show()
		if s.Name != "shop" || *s.Description != "books" || s.Metadata["role"] != "front" || s.Metadata["color"] != "" || len(*s.Tags) != 1 || s.Flavor.Id != "s6.medium.2" || s.Flavor.Ram != "2048" || s.Status != "ACTIVE" {
			t.Errorf("server: %+v", s)
		}
		if l := must[*model.ListServerTagsResponse](t)(c.ListServerTags(&model.ListServerTagsRequest{})); len(*l.Tags) != 1 || (*l.Tags)[0].Key != "team" {
			t.Errorf("tags: %v", l)
		}
	})

	t.Run("cards", func(t *testing.T) {
		e := done(t, c, must[*model.BatchAddServerNicsResponse](t)(c.BatchAddServerNics(&model.BatchAddServerNicsRequest{ServerId: web, Body: &model.BatchAddServerNicsRequestBody{
			Nics: []model.BatchAddServerNicOption{{SubnetId: &w.subnet, IpAddress: ptr("10.1.1.77"), SecurityGroups: &[]model.ServerNicSecurityGroup{{Id: w.group}}}}}})).JobId)
		nic := *(*e.SubJobs)[0].Entities.NicId
		l := must[*model.ListServerInterfacesResponse](t)(c.ListServerInterfaces(&model.ListServerInterfacesRequest{ServerId: web}))
		if len(*l.InterfaceAttachments) != 2 || *(*l.InterfaceAttachments)[1].PortId != nic || *(*l.InterfaceAttachments)[1].NetId != w.subnet || *(*(*l.InterfaceAttachments)[1].FixedIps)[0].IpAddress != "10.1.1.77" {
			t.Errorf("cards: %v", l)
		}
		done(t, c, must[*model.BatchDeleteServerNicsResponse](t)(c.BatchDeleteServerNics(&model.BatchDeleteServerNicsRequest{ServerId: web, Body: &model.BatchDeleteServerNicsRequestBody{Nics: []model.BatchDeleteServerNicOption{{Id: nic}}}})).JobId)
		if a := show().Addresses[w.vpc]; len(a) != 1 {
			t.Errorf("addresses: %v", a)
		}
	})

	t.Run("password, console, groups, limits, flavours", func(t *testing.T) {
		must[*model.ResetServerPasswordResponse](t)(c.ResetServerPassword(&model.ResetServerPasswordRequest{ServerId: web, Body: &model.ResetServerPasswordRequestBody{ResetPassword: &model.ResetServerPasswordOption{NewPassword: "correct-Horse-7"}}}))
		if f := must[*model.ShowResetPasswordFlagResponse](t)(c.ShowResetPasswordFlag(&model.ShowResetPasswordFlagRequest{ServerId: web})); *f.ResetpwdFlag != "True" {
			t.Errorf("flag: %v", f)
		}
		r := must[*model.ShowServerRemoteConsoleResponse](t)(c.ShowServerRemoteConsole(&model.ShowServerRemoteConsoleRequest{ServerId: web, Body: &model.ShowServerRemoteConsoleRequestBody{RemoteConsole: &model.GetServerRemoteConsoleOption{
			Protocol: model.GetGetServerRemoteConsoleOptionProtocolEnum().VNC, Type: model.GetGetServerRemoteConsoleOptionTypeEnum().NOVNC}}}))
		if !strings.HasPrefix(r.RemoteConsole.Url, n.url) {
			t.Errorf("console: %v", r)
		}
		g := must[*model.CreateServerGroupResponse](t)(c.CreateServerGroup(&model.CreateServerGroupRequest{Body: &model.CreateServerGroupRequestBody{ServerGroup: &model.CreateServerGroupOption{
			Name: "apart", Policies: []model.CreateServerGroupOptionPolicies{model.GetCreateServerGroupOptionPoliciesEnum().ANTI_AFFINITY}}}})).ServerGroup.Id
		must[*model.AddServerGroupMemberResponse](t)(c.AddServerGroupMember(&model.AddServerGroupMemberRequest{ServerGroupId: g, Body: &model.AddServerGroupMemberRequestBody{AddMember: &model.ServerGroupMember{InstanceUuid: web}}}))
		if s := must[*model.ShowServerGroupResponse](t)(c.ShowServerGroup(&model.ShowServerGroupRequest{ServerGroupId: g})).ServerGroup; len(s.Members) != 1 || s.Members[0] != web {
			t.Errorf("group: %v", s)
		}
		if l := must[*model.ShowServerLimitsResponse](t)(c.ShowServerLimits(&model.ShowServerLimitsRequest{})).Absolute; l.TotalInstancesUsed != 1 || l.TotalRAMUsed != 2048 || l.TotalServerGroupsUsed != 1 {
			t.Errorf("limits: %+v", l)
		}
		if l := must[*model.ListFlavorsResponse](t)(c.ListFlavors(&model.ListFlavorsRequest{})); len(*l.Flavors) < 10 || (*l.Flavors)[0].Vcpus != "1" {
			t.Errorf("flavours: %v", l)
		}
		if l := must[*model.ListResizeFlavorsResponse](t)(c.ListResizeFlavors(&model.ListResizeFlavorsRequest{InstanceUuid: &web})); len(*l.Flavors) < 10 {
			t.Errorf("flavours to resize to: %v", l)
		}
		if l := must[*model.ListFlavorSellPoliciesResponse](t)(c.ListFlavorSellPolicies(&model.ListFlavorSellPoliciesRequest{FlavorId: ptr("s6.small.1")})); len(*l.SellPolicies) != 1 {
			t.Errorf("sell policies: %v", l)
		}
		//lint:ignore SA1019 older clients, Terraform's provider among them, still call it
		must[*model.NovaListAvailabilityZonesResponse](t)(c.NovaListAvailabilityZones(&model.NovaListAvailabilityZonesRequest{}))
		must[*model.ListServerAzInfoResponse](t)(c.ListServerAzInfo(&model.ListServerAzInfoRequest{}))
	})

	t.Run("what fails says why", func(t *testing.T) {
		_, err := c.CreatePostPaidServers(&model.CreatePostPaidServersRequest{Body: &model.CreatePostPaidServersRequestBody{Server: &model.PostPaidServer{Name: "x", FlavorRef: "huge", ImageRef: n.image("Debian 12"), Vpcid: w.vpc,
			Nics: []model.PostPaidServerNic{{SubnetId: &w.subnet}}, RootVolume: &model.PostPaidServerRootVolume{Volumetype: model.GetPostPaidServerRootVolumeVolumetypeEnum().SSD}}}})
		refused(t, err, 400, "Ecs.0707")
		n.limits["compute.servers"] = 2
		_, err = c.CreatePostPaidServers(&model.CreatePostPaidServersRequest{Body: &model.CreatePostPaidServersRequestBody{Server: &model.PostPaidServer{Name: "x", FlavorRef: "s6.small.1", ImageRef: n.image("Debian 12"), Vpcid: w.vpc, Count: ptr(int32(3)),
			Nics: []model.PostPaidServerNic{{SubnetId: &w.subnet}}, RootVolume: &model.PostPaidServerRootVolume{Volumetype: model.GetPostPaidServerRootVolumeVolumetypeEnum().SSD}}}})
		refused(t, err, 403, "Ecs.0001")
		until(t, "the end of those that came before the refused one", func() bool {
			return *must[*model.ListServersDetailsResponse](t)(c.ListServersDetails(&model.ListServersDetailsRequest{})).Count == 1
		})
	})
}
