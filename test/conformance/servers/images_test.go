package servers_test

import (
	"errors"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	ecs "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/ecs/v2"
	ecsmodel "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/ecs/v2/model"
	ims "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/ims/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/ims/v2/model"
	kps "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/kps/v3"
	kpsmodel "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/kps/v3/model"
)

// refused checks how a call was refused.
func refused(t *testing.T, err error, status int, code string) {
	t.Helper()
	var e *sdkerr.ServiceResponseError
	if !errors.As(err, &e) {
		t.Errorf("no service error: %v", err)
		return
	}
	if e.StatusCode != status || e.ErrorCode != code || e.ErrorMessage == "" {
		t.Errorf("got %d %s %q, want %d %s", e.StatusCode, e.ErrorCode, e.ErrorMessage, status, code)
	}
}

func TestImages(t *testing.T) {
	n := open(t)
	c := client(n, ims.ImsClientBuilder(), ims.NewImsClient)
	servers := client(n, ecs.EcsClientBuilder(), ecs.NewEcsClient)
	list := func(r *model.ListImagesRequest) []model.ImageInfo {
		t.Helper()
		return *must[*model.ListImagesResponse](t)(c.ListImages(r)).Images
	}

	t.Run("the cloud's", func(t *testing.T) {
		all := list(&model.ListImagesRequest{Imagetype: ptr(model.GetListImagesRequestImagetypeEnum().GOLD)})
		if len(all) != 6 {
			t.Fatalf("%d images", len(all))
		}
		seen := map[string]bool{}
		var marker *string
		for { // as the Terraform provider does: until a page is empty
			page := list(&model.ListImagesRequest{Limit: ptr(int32(4)), Marker: marker})
			if len(page) == 0 {
				break
			}
			for _, i := range page {
				if seen[i.Id] {
					t.Fatalf("%s comes twice", i.Name)
				}
				seen[i.Id] = true
			}
			marker = &page[len(page)-1].Id
		}
		if len(seen) != 6 {
			t.Errorf("%d images page by page", len(seen))
		}
		one := list(&model.ListImagesRequest{Name: ptr("Debian 12"), Platform: ptr(model.GetListImagesRequestPlatformEnum().DEBIAN)})
		if len(one) != 1 || one[0].Status.Value() != "active" || one[0].Visibility.Value() != "public" || one[0].MinDisk != 3 || one[0].MinRam != 512 || *one[0].OsVersion != "Debian GNU/Linux 12 64bit" {
			t.Errorf("Debian 12: %+v", one)
		}
	})

	w := n.network()
	s := must[*ecsmodel.CreateServersResponse](t)(servers.CreateServers(&ecsmodel.CreateServersRequest{Body: &ecsmodel.CreateServersRequestBody{Server: &ecsmodel.PrePaidServer{
		Name: "golden", FlavorRef: "s6.small.1", ImageRef: n.image("Debian 12 small"), Vpcid: w.vpc, Nics: []ecsmodel.PrePaidServerNic{{SubnetId: &w.subnet}},
		RootVolume: &ecsmodel.PrePaidServerRootVolume{Volumetype: ecsmodel.GetPrePaidServerRootVolumeVolumetypeEnum().SSD}}}}))
	done(t, servers, s.JobId)
	golden := (*s.ServerIds)[0]

	t.Run("of a server", func(t *testing.T) {
		made := must[*model.CreateImageResponse](t)(c.CreateImage(&model.CreateImageRequest{Body: &model.CreateImageRequestBody{Name: ptr("shop-1"), InstanceId: &golden, Description: ptr("the shop"),
			ImageTags: &[]model.TagKeyValue{{Key: "team", Value: "shop"}}}}))
		var job *model.ShowJobResponse
		until(t, "the image", func() bool {
			job = must[*model.ShowJobResponse](t)(c.ShowJob(&model.ShowJobRequest{JobId: *made.JobId}))
			return job.Status.Value() != "RUNNING"
		})
		if job.Status.Value() != "SUCCESS" {
			t.Fatalf("job: %v", *job.FailReason)
		}
		image := *job.Entities.ImageId
		got := list(&model.ListImagesRequest{Id: &image})
		if len(got) != 1 || got[0].Name != "shop-1" || *got[0].DataOrigin != "instance,"+golden || got[0].Imagetype.Value() != "private" || *got[0].OsVersion != "Debian GNU/Linux 12 64bit" || got[0].Status.Value() != "active" {
			t.Fatalf("image: %+v", got)
		}
		up := must[*model.UpdateImageResponse](t)(c.UpdateImage(&model.UpdateImageRequest{ImageId: image, Body: &[]model.UpdateImageRequestBody{
			{Op: model.GetUpdateImageRequestBodyOpEnum().REPLACE, Path: "/name", Value: "shop-2"}, {Op: model.GetUpdateImageRequestBodyOpEnum().REPLACE, Path: "/__description", Value: "newer"}}}))
		if *up.Name != "shop-2" || *up.Description != "newer" {
			t.Errorf("changed: %+v", up)
		}
		if l := must[*model.ListImageTagsResponse](t)(c.ListImageTags(&model.ListImageTagsRequest{ImageId: image})); len(*l.Tags) != 1 || (*l.Tags)[0].Key != "team" {
			t.Errorf("tags: %v", l)
		}
		if q := must[*model.ShowImageQuotaResponse](t)(c.ShowImageQuota(&model.ShowImageQuotaRequest{})); q.Quotas.Resources[0].Used != 1 {
			t.Errorf("quota: %v", q)
		}
		done(t, servers, must[*ecsmodel.ChangeServerOsWithCloudInitResponse](t)(servers.ChangeServerOsWithCloudInit(&ecsmodel.ChangeServerOsWithCloudInitRequest{ServerId: golden,
			Body: &ecsmodel.ChangeServerOsWithCloudInitRequestBody{OsChange: &ecsmodel.ChangeServerOsWithCloudInitOption{Imageid: image}}})).JobId)
		if got := must[*ecsmodel.ShowServerResponse](t)(servers.ShowServer(&ecsmodel.ShowServerRequest{ServerId: golden})).Server; got.Image.Id != image || got.Status != "ACTIVE" {
			t.Errorf("the server's image: %s, %s", got.Image.Id, got.Status)
		}
		must[*model.GlanceDeleteImageResponse](t)(c.GlanceDeleteImage(&model.GlanceDeleteImageRequest{ImageId: image}))
		until(t, "the image's end", func() bool { return len(list(&model.ListImagesRequest{Id: &image})) == 0 })
	})

	t.Run("what is not offered is said", func(t *testing.T) {
		_, err := c.CopyImageInRegion(&model.CopyImageInRegionRequest{ImageId: golden, Body: &model.CopyImageInRegionRequestBody{Name: "x"}})
		refused(t, err, 400, "IMG.0001")
		_, err = servers.MigrateServer(&ecsmodel.MigrateServerRequest{ServerId: golden, Body: &ecsmodel.MigrateServerRequestBody{}})
		refused(t, err, 400, "Ecs.0000")
		_, err = servers.ShowServer(&ecsmodel.ShowServerRequest{ServerId: "00000000-0000-0000-0000-000000000000"})
		refused(t, err, 404, "Ecs.0114")
	})
}

func TestKeyPairs(t *testing.T) {
	n := open(t)
	c := client(n, kps.KpsClientBuilder(), kps.NewKpsClient)
	made := must[*kpsmodel.CreateKeypairResponse](t)(c.CreateKeypair(&kpsmodel.CreateKeypairRequest{Body: &kpsmodel.CreateKeypairRequestBody{Keypair: &kpsmodel.CreateKeypairAction{Name: "KeyPair-a_b"}}}))
	if made.Keypair.PrivateKey == nil || *made.Keypair.Name != "KeyPair-a_b" {
		t.Fatalf("made: %+v", made.Keypair)
	}
	must[*kpsmodel.UpdateKeypairDescriptionResponse](t)(c.UpdateKeypairDescription(&kpsmodel.UpdateKeypairDescriptionRequest{KeypairName: "KeyPair-a_b",
		Body: &kpsmodel.UpdateKeypairDescriptionRequestBody{Keypair: &kpsmodel.UpdateKeypairDescriptionReq{Description: "laptop"}}}))
	got := must[*kpsmodel.ListKeypairDetailResponse](t)(c.ListKeypairDetail(&kpsmodel.ListKeypairDetailRequest{KeypairName: "KeyPair-a_b"})).Keypair
	if *got.Description != "laptop" || *got.PublicKey != *made.Keypair.PublicKey || *got.IsKeyProtection {
		t.Errorf("shown: %+v", got)
	}
	must[*kpsmodel.CreateKeypairResponse](t)(c.CreateKeypair(&kpsmodel.CreateKeypairRequest{Body: &kpsmodel.CreateKeypairRequestBody{Keypair: &kpsmodel.CreateKeypairAction{Name: "imported", PublicKey: made.Keypair.PublicKey}}}))
	page := must[*kpsmodel.ListKeypairsResponse](t)(c.ListKeypairs(&kpsmodel.ListKeypairsRequest{Limit: ptr("1")}))
	if len(*page.Keypairs) != 1 || *page.PageInfo.NextMarker != "KeyPair-a_b" {
		t.Errorf("page: %+v", page)
	}
	must[*kpsmodel.DeleteKeypairResponse](t)(c.DeleteKeypair(&kpsmodel.DeleteKeypairRequest{KeypairName: "KeyPair-a_b"}))
	if l := must[*kpsmodel.ListKeypairsResponse](t)(c.ListKeypairs(&kpsmodel.ListKeypairsRequest{})); len(*l.Keypairs) != 1 {
		t.Errorf("left: %+v", l)
	}
}
