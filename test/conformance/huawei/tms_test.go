package huawei_test

import (
	"testing"

	eps "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/eps/v1"
	epsmodel "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/eps/v1/model"
	tms "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/tms/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/tms/v1/model"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/service/keypair"
	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// TestTags: predefined tags, the tags of a resource, and its move into an enterprise project.
func TestTags(t *testing.T) {
	pairs := keypair.Kind()
	c := cloudtest.Start(t, pairs)
	cred := credential(t, c, c.Admin.AccessKey, c.Admin.SecretKey, string(c.Admin.DomainID))
	h, err := tms.TmsClientBuilder().WithEndpoint(c.URL).WithHttpConfig(transport(t, c)).WithCredential(cred).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	cl := tms.NewTmsClient(h)
	project := string(c.Admin.ProjectID)
	name := "laptop"
	made, err := c.Door.Do(t.Context(), &call.Call{Kind: pairs, Verb: call.Create, Project: project, Name: &name, Principal: c.Root})
	if err != nil {
		t.Fatal(err)
	}
	pair := string(made.Row.M().ID)

	t.Run("predefined", func(t *testing.T) {
		tags := []model.PredefineTagRequest{{Key: "team", Value: "shop"}, {Key: "team", Value: "bank"}, {Key: "floor", Value: ""}}
		for range 2 { // what is there already is as it should be
			must[*model.CreatePredefineTagsResponse](t)(cl.CreatePredefineTags(&model.CreatePredefineTagsRequest{Body: &model.ReqCreatePredefineTag{
				Action: model.GetReqCreatePredefineTagActionEnum().CREATE, Tags: tags}}))
		}
		must[*model.UpdatePredefineTagsResponse](t)(cl.UpdatePredefineTags(&model.UpdatePredefineTagsRequest{Body: &model.ModifyPrefineTag{
			OldTag: &tags[2], NewTag: &model.PredefineTagRequest{Key: "floor", Value: "3"}}}))
		must[*model.DeletePredefineTagsResponse](t)(cl.DeletePredefineTags(&model.DeletePredefineTagsRequest{Body: &model.ReqDeletePredefineTag{
			Action: model.GetReqDeletePredefineTagActionEnum().DELETE, Tags: tags[1:2]}}))
		all := must[*model.ListPredefineTagsResponse](t)(cl.ListPredefineTags(&model.ListPredefineTagsRequest{}))
		if *all.TotalCount != 2 || (*all.Tags)[0].Key != "floor" || (*all.Tags)[0].Value != "3" || (*all.Tags)[1].Value != "shop" {
			t.Errorf("predefined: %v", all)
		}
		one := must[*model.ListPredefineTagsResponse](t)(cl.ListPredefineTags(&model.ListPredefineTagsRequest{Limit: ptr(int32(1))}))
		two := must[*model.ListPredefineTagsResponse](t)(cl.ListPredefineTags(&model.ListPredefineTagsRequest{Limit: ptr(int32(1)), Marker: one.Marker}))
		if (*two.Tags)[0].Key != "team" || *two.Marker != "" {
			t.Errorf("pages: %v, %v", one, two)
		}
		q := must[*model.ShowTagQuotaResponse](t)(cl.ShowTagQuota(&model.ShowTagQuotaRequest{}))
		if (*q.Quotas)[0].Used != 2 {
			t.Errorf("quotas: %v", q)
		}
	})

	t.Run("of resources", func(t *testing.T) {
		on := []model.ResourceTagBody{{ResourceId: pair, ResourceType: "keypair.keypair"}, {ResourceId: "0123456789abcdef0123456789abcdef", ResourceType: "keypair.keypair"}}
		put := must[*model.CreateResourceTagResponse](t)(cl.CreateResourceTag(&model.CreateResourceTagRequest{Body: &model.ReqCreateTag{ProjectId: &project,
			Resources: on, Tags: []model.CreateTagRequest{{Key: "team", Value: "shop"}, {Key: "gone", Value: "soon"}}}}))
		if len(*put.FailedResources) != 1 || (*put.FailedResources)[0].ResourceId != on[1].ResourceId {
			t.Errorf("failed: %v", put)
		}
		must[*model.DeleteResourceTagResponse](t)(cl.DeleteResourceTag(&model.DeleteResourceTagRequest{Body: &model.ReqDeleteTag{ProjectId: &project,
			Resources: on[:1], Tags: []model.DeleteTagRequest{{Key: "gone"}}}}))
		has := must[*model.ShowResourceTagResponse](t)(cl.ShowResourceTag(&model.ShowResourceTagRequest{ResourceId: pair, ResourceType: "keypair.keypair", ProjectId: &project}))
		if len(*has.Tags) != 1 || (*has.Tags)[0].Key != "team" {
			t.Errorf("tags: %v", has)
		}
		find := func(key string, values ...string) int {
			r := must[*model.ListResourceResponse](t)(cl.ListResource(&model.ListResourceRequest{Body: &model.ResqTagResource{
				ResourceTypes: []string{"keypair.keypair"}, Tags: []model.Tag{{Key: key, Values: values}}}}))
			return int(*r.TotalCount)
		}
		if find("team") != 1 || find("team", "shop", "bank") != 1 || find("team", "bank") != 0 || find("gone") != 0 {
			t.Error("resources are not found by their tags")
		}
		keys := must[*model.ListTagKeysResponse](t)(cl.ListTagKeys(&model.ListTagKeysRequest{}))
		values := must[*model.ListTagValuesResponse](t)(cl.ListTagValues(&model.ListTagValuesRequest{Key: "team"}))
		if len(*keys.Keys) != 1 || len(*values.Values) != 1 || (*values.Values)[0] != "shop" {
			t.Errorf("keys: %v, values: %v", keys, values)
		}
		_, err := cl.ShowResourceTag(&model.ShowResourceTagRequest{ResourceId: pair, ResourceType: "nothing", ProjectId: &project})
		refused(t, err, 400, "IAM.0007")
		must[*model.ListProvidersResponse](t)(cl.ListProviders(&model.ListProvidersRequest{}))
	})

	t.Run("another account reaches nothing", func(t *testing.T) {
		theirs, access, secret := partner(t, c)
		h, err := tms.TmsClientBuilder().WithEndpoint(c.URL).WithHttpConfig(transport(t, c)).WithCredential(credential(t, c, access, secret, theirs)).SafeBuild()
		if err != nil {
			t.Fatal(err)
		}
		pat := tms.NewTmsClient(h)
		r := must[*model.CreateResourceTagResponse](t)(pat.CreateResourceTag(&model.CreateResourceTagRequest{Body: &model.ReqCreateTag{ProjectId: &project,
			Resources: []model.ResourceTagBody{{ResourceId: pair, ResourceType: "keypair.keypair"}}, Tags: []model.CreateTagRequest{{Key: "mine", Value: "now"}}}}))
		if len(*r.FailedResources) != 1 {
			t.Errorf("tagged by a stranger: %v", r)
		}
		_, err = pat.ShowResourceTag(&model.ShowResourceTagRequest{ResourceId: pair, ResourceType: "keypair.keypair", ProjectId: &project})
		refused(t, err, 404, "IAM.0004")
	})

	t.Run("migration", func(t *testing.T) {
		h, err := eps.EpsClientBuilder().WithEndpoint(c.URL).WithHttpConfig(transport(t, c)).WithCredential(cred).SafeBuild()
		if err != nil {
			t.Fatal(err)
		}
		e := eps.NewEpsClient(h)
		ep := must[*epsmodel.CreateEnterpriseProjectResponse](t)(e.CreateEnterpriseProject(&epsmodel.CreateEnterpriseProjectRequest{Body: &epsmodel.EnterpriseProject{Name: "retail"}})).EnterpriseProject.Id
		in := func(ep string) int {
			t.Helper()
			r := must[*epsmodel.ShowResourceBindEnterpriseProjectResponse](t)(e.ShowResourceBindEnterpriseProject(&epsmodel.ShowResourceBindEnterpriseProjectRequest{
				EnterpriseProjectId: ep, Body: &epsmodel.ResqEpResouce{ResourceTypes: []string{"keypair.keypair"}, Matches: &[]epsmodel.Match{{Key: "resource_name", Value: "lap"}}}}))
			return int(*r.TotalCount)
		}
		if in("0") != 1 || in(ep) != 0 {
			t.Error("a new resource is not in the default enterprise project")
		}
		must[*epsmodel.MigrateResourceResponse](t)(e.MigrateResource(&epsmodel.MigrateResourceRequest{EnterpriseProjectId: ep, Body: &epsmodel.MigrateResource{
			ProjectId: &project, RegionId: ptr("awan-1"), ResourceId: pair, ResourceType: "keypair.keypair"}}))
		if in("0") != 0 || in(ep) != 1 {
			t.Error("it did not move")
		}
		_, err = e.DeleteEnterpriseProject(&epsmodel.DeleteEnterpriseProjectRequest{EnterpriseProjectId: ep})
		refused(t, err, 409, "IAM.0005") // it is not empty
		_, err = e.MigrateResource(&epsmodel.MigrateResourceRequest{EnterpriseProjectId: "0123456789abcdef0123456789abcdef", Body: &epsmodel.MigrateResource{
			ProjectId: &project, ResourceId: pair, ResourceType: "keypair.keypair"}})
		refused(t, err, 404, "IAM.0004")
	})
}
