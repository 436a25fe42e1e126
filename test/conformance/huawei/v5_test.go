package huawei_test

import (
	"encoding/json"
	"testing"

	iam "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"

	"github.com/awancloud/awan/test/conformance/cloudtest"
)

func v5(t *testing.T, c *cloudtest.Cloud, access, secret string) *iam.IamClient {
	t.Helper()
	h, err := iam.IamClientBuilder().WithEndpoint(c.URL).WithHttpConfig(transport(t, c)).
		WithCredential(credential(t, c, access, secret, string(c.Admin.DomainID))).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return iam.NewIamClient(h)
}

const readUsers = `{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["identity:user:get","identity:user:list"]}]}`

// TestIdentityV5 is the life of a user, her group and what they may do, by version 5 of the API.
func TestIdentityV5(t *testing.T) {
	c := cloudtest.Start(t)
	cl := v5(t, c, c.Admin.AccessKey, c.Admin.SecretKey)
	alice := must[*model.CreateUserV5Response](t)(cl.CreateUserV5(&model.CreateUserV5Request{Body: &model.CreateUserReqBody{
		Name: "alice", Description: ptr("tester"), Enabled: true}})).User.UserId
	bob := must[*model.CreateUserV5Response](t)(cl.CreateUserV5(&model.CreateUserV5Request{Body: &model.CreateUserReqBody{Name: "bob", Enabled: true}})).User.UserId
	crew := must[*model.CreateGroupV5Response](t)(cl.CreateGroupV5(&model.CreateGroupV5Request{Body: &model.CreateGroupReqBody{
		GroupName: "crew", Description: ptr("hands")}})).Group.GroupId

	t.Run("users", func(t *testing.T) {
		first := must[*model.ListUsersV5Response](t)(cl.ListUsersV5(&model.ListUsersV5Request{Limit: ptr(int32(2))}))
		if len(*first.Users) != 2 || first.PageInfo.CurrentCount != 2 || first.PageInfo.NextMarker == nil {
			t.Fatalf("first page: %v", first)
		}
		rest := must[*model.ListUsersV5Response](t)(cl.ListUsersV5(&model.ListUsersV5Request{Limit: ptr(int32(2)), Marker: first.PageInfo.NextMarker}))
		if len(*rest.Users) != 1 || (*rest.Users)[0].UserId != bob || rest.PageInfo.NextMarker != nil {
			t.Errorf("second page: %v", rest)
		}
		_, err := cl.ListUsersV5(&model.ListUsersV5Request{Limit: ptr(int32(1000))})
		refused(t, err, 400, "IAM.0007")
		u := must[*model.UpdateUserV5Response](t)(cl.UpdateUserV5(&model.UpdateUserV5Request{UserId: alice, Body: &model.UpdateUserReqBody{
			NewUserName: ptr("alicia"), Enabled: ptr(false)}})).User
		if u.UserName != "alicia" || u.Enabled || *u.Description != "tester" || u.Urn != "iam::"+string(c.Admin.DomainID)+":user:alicia" {
			t.Errorf("updated: %v", u)
		}
		must[*model.UpdateUserV5Response](t)(cl.UpdateUserV5(&model.UpdateUserV5Request{UserId: alice, Body: &model.UpdateUserReqBody{Enabled: ptr(true)}}))
		_, err = cl.CreateUserV5(&model.CreateUserV5Request{Body: &model.CreateUserReqBody{Name: "bob", Enabled: true}})
		refused(t, err, 409, "IAM.0005")
		_, err = cl.ShowUserV5(&model.ShowUserV5Request{UserId: "0123456789abcdef0123456789abcdef"})
		refused(t, err, 404, "IAM.0004")
	})

	t.Run("tags", func(t *testing.T) {
		kind := model.GetTagResourceV5RequestResourceTypeEnum().USER
		must[*model.TagResourceV5Response](t)(cl.TagResourceV5(&model.TagResourceV5Request{ResourceType: kind, ResourceId: alice,
			Body: &model.Tags{Tags: &[]model.Tag{{TagKey: "team", TagValue: "blue"}, {TagKey: "floor", TagValue: ""}}}}))
		must[*model.DeleteResourceTagsV5Response](t)(cl.DeleteResourceTagsV5(&model.DeleteResourceTagsV5Request{ResourceId: alice,
			ResourceType: model.GetDeleteResourceTagsV5RequestResourceTypeEnum().USER, Body: &[]string{"floor"}}))
		tags := must[*model.ListResourceTagsV5Response](t)(cl.ListResourceTagsV5(&model.ListResourceTagsV5Request{ResourceId: alice,
			ResourceType: model.GetListResourceTagsV5RequestResourceTypeEnum().USER}))
		if len(*tags.Tags) != 1 || (*tags.Tags)[0] != (model.Tag{TagKey: "team", TagValue: "blue"}) {
			t.Errorf("tags: %v", tags)
		}
		if u := must[*model.ShowUserV5Response](t)(cl.ShowUserV5(&model.ShowUserV5Request{UserId: alice})).User; len(u.Tags) != 1 {
			t.Errorf("the user's tags: %v", u)
		}
	})

	t.Run("groups", func(t *testing.T) {
		must[*model.AddUserToGroupV5Response](t)(cl.AddUserToGroupV5(&model.AddUserToGroupV5Request{GroupId: crew, Body: &model.AddUserToGroupReqBody{UserId: alice}}))
		in := must[*model.ListUsersV5Response](t)(cl.ListUsersV5(&model.ListUsersV5Request{GroupId: &crew}))
		if len(*in.Users) != 1 || (*in.Users)[0].UserId != alice {
			t.Errorf("members: %v", in)
		}
		of := must[*model.ListGroupsV5Response](t)(cl.ListGroupsV5(&model.ListGroupsV5Request{UserId: &alice}))
		none := must[*model.ListGroupsV5Response](t)(cl.ListGroupsV5(&model.ListGroupsV5Request{UserId: &bob}))
		if len(*of.Groups) != 1 || len(*none.Groups) != 0 {
			t.Errorf("groups of alice: %v, of bob: %v", of, none)
		}
		sum := must[*model.ShowGroupSummaryResponse](t)(cl.ShowGroupSummary(&model.ShowGroupSummaryRequest{}))
		if len(*sum.Groups) != 1 || (*sum.Groups)[0].UserCount != 1 {
			t.Errorf("summary: %v", sum)
		}
		g := must[*model.UpdateGroupV5Response](t)(cl.UpdateGroupV5(&model.UpdateGroupV5Request{GroupId: crew, Body: &model.UpdateGroupReqBody{
			NewGroupName: ptr("team"), NewGroupDescription: ptr("")}})).Group
		if g.GroupName != "team" || *g.Description != "" {
			t.Errorf("updated: %v", g)
		}
		_, err := cl.RemoveUserFromGroupV5(&model.RemoveUserFromGroupV5Request{GroupId: crew, Body: &model.RemoveUserFromGroupReqBody{UserId: bob}})
		refused(t, err, 404, "IAM.0004")
	})

	var look string
	t.Run("policies", func(t *testing.T) {
		made := must[*model.CreatePolicyV5Response](t)(cl.CreatePolicyV5(&model.CreatePolicyV5Request{Body: &model.CreatePolicyReqBody{
			PolicyName: "look", Path: ptr("eyes/"), PolicyDocument: readUsers, Description: ptr("sees users")}})).Policy
		look = made.PolicyId
		if made.Path != "eyes/" || made.DefaultVersionId != "v1" || made.PolicyType.Value() != "custom" || made.AttachmentCount != 0 {
			t.Errorf("made: %v", made)
		}
		must[*model.AttachGroupPolicyV5Response](t)(cl.AttachGroupPolicyV5(&model.AttachGroupPolicyV5Request{PolicyId: look, Body: &model.AttachGroupPolicyReqBody{GroupId: crew}}))
		must[*model.AttachUserPolicyV5Response](t)(cl.AttachUserPolicyV5(&model.AttachUserPolicyV5Request{PolicyId: look, Body: &model.AttachUserPolicyReqBody{UserId: bob}}))
		must[*model.AttachUserPolicyV5Response](t)(cl.AttachUserPolicyV5(&model.AttachUserPolicyV5Request{PolicyId: look, Body: &model.AttachUserPolicyReqBody{UserId: bob}}))
		hers := must[*model.ListAttachedGroupPoliciesV5Response](t)(cl.ListAttachedGroupPoliciesV5(&model.ListAttachedGroupPoliciesV5Request{GroupId: crew}))
		his := must[*model.ListAttachedUserPoliciesV5Response](t)(cl.ListAttachedUserPoliciesV5(&model.ListAttachedUserPoliciesV5Request{UserId: bob}))
		if len(*hers.AttachedPolicies) != 1 || len(*his.AttachedPolicies) != 1 || (*his.AttachedPolicies)[0].PolicyId != look {
			t.Errorf("attached: %v, %v", hers, his)
		}
		to := must[*model.ListEntitiesForPolicyV5Response](t)(cl.ListEntitiesForPolicyV5(&model.ListEntitiesForPolicyV5Request{PolicyId: look}))
		if len(*to.PolicyGroups) != 1 || len(*to.PolicyUsers) != 1 || (*to.PolicyUsers)[0].UserId != bob {
			t.Errorf("entities: %v", to)
		}
		one := must[*model.ListEntitiesForPolicyV5Response](t)(cl.ListEntitiesForPolicyV5(&model.ListEntitiesForPolicyV5Request{PolicyId: look, Limit: ptr(int32(1))}))
		two := must[*model.ListEntitiesForPolicyV5Response](t)(cl.ListEntitiesForPolicyV5(&model.ListEntitiesForPolicyV5Request{PolicyId: look, Marker: one.PageInfo.NextMarker}))
		if one.PageInfo.CurrentCount != 1 || two.PageInfo.CurrentCount != 1 || two.PageInfo.NextMarker != nil {
			t.Errorf("pages of entities: %v, %v", one, two)
		}
		yes := true
		used := must[*model.ListPoliciesV5Response](t)(cl.ListPoliciesV5(&model.ListPoliciesV5Request{OnlyAttached: &yes, PathPrefix: ptr("eyes/")}))
		if len(*used.Policies) != 1 || (*used.Policies)[0].AttachmentCount != 2 {
			t.Errorf("attached ones: %v", used)
		}
		system := must[*model.ListPoliciesV5Response](t)(cl.ListPoliciesV5(&model.ListPoliciesV5Request{PolicyType: ptr(model.GetListPoliciesV5RequestPolicyTypeEnum().SYSTEM)}))
		for _, p := range *system.Policies {
			if p.PolicyType.Value() != "system" {
				t.Errorf("among the system's: %v", p)
			}
		}
		_, err := cl.CreatePolicyV5(&model.CreatePolicyV5Request{Body: &model.CreatePolicyReqBody{PolicyName: "bad", PolicyDocument: `{"Version":"5.0"`}})
		refused(t, err, 400, "IAM.0007")
		_, err = cl.CreatePolicyV5(&model.CreatePolicyV5Request{Body: &model.CreatePolicyReqBody{PolicyName: "bad", PolicyDocument: `{"Version":"6.0","Statement":[]}`}})
		refused(t, err, 400, "IAM.0007")
		_, err = cl.DeletePolicyV5(&model.DeletePolicyV5Request{PolicyId: look})
		refused(t, err, 409, "IAM.0005")
	})

	t.Run("access keys", func(t *testing.T) {
		k := must[*model.CreateAccessKeyV5Response](t)(cl.CreateAccessKeyV5(&model.CreateAccessKeyV5Request{UserId: alice})).AccessKey
		hers := v5(t, c, k.AccessKeyId, k.SecretAccessKey)
		must[*model.ListUsersV5Response](t)(hers.ListUsersV5(&model.ListUsersV5Request{}))
		_, err := hers.ListGroupsV5(&model.ListGroupsV5Request{})
		refused(t, err, 403, "IAM.0003")
		_, err = cl.UpdateAccessKeyV5(&model.UpdateAccessKeyV5Request{UserId: bob, AccessKeyId: k.AccessKeyId, Body: &model.UpdateAccessKeyReqBody{
			Status: ptr(model.GetAccessKeyStatusEnum().INACTIVE)}})
		refused(t, err, 404, "IAM.0004") // it is not bob's
		must[*model.UpdateAccessKeyV5Response](t)(cl.UpdateAccessKeyV5(&model.UpdateAccessKeyV5Request{UserId: alice, AccessKeyId: k.AccessKeyId,
			Body: &model.UpdateAccessKeyReqBody{Status: ptr(model.GetAccessKeyStatusEnum().INACTIVE)}}))
		_, err = hers.ListUsersV5(&model.ListUsersV5Request{})
		refused(t, err, 401, "IAM.0001")
		all := must[*model.ListAccessKeysV5Response](t)(cl.ListAccessKeysV5(&model.ListAccessKeysV5Request{UserId: alice}))
		if len(*all.AccessKeys) != 1 || (*all.AccessKeys)[0].Status.Value() != "inactive" {
			t.Errorf("keys: %v", all)
		}
		must[*model.DeleteAccessKeyV5Response](t)(cl.DeleteAccessKeyV5(&model.DeleteAccessKeyV5Request{UserId: alice, AccessKeyId: k.AccessKeyId}))
	})

	t.Run("log-in profiles", func(t *testing.T) {
		_, err := cl.ShowLoginProfileV5(&model.ShowLoginProfileV5Request{UserId: bob})
		refused(t, err, 404, "IAM.0004")
		must[*model.CreateLoginProfileV5Response](t)(cl.CreateLoginProfileV5(&model.CreateLoginProfileV5Request{UserId: bob, Body: &model.CreateLoginProfileReqBody{
			Password: "correct-Horse-7", PasswordResetRequired: true}}))
		_, err = cl.CreateLoginProfileV5(&model.CreateLoginProfileV5Request{UserId: bob, Body: &model.CreateLoginProfileReqBody{Password: "correct-Horse-8"}})
		refused(t, err, 409, "IAM.0005")
		must[*model.UpdateLoginProfileV5Response](t)(cl.UpdateLoginProfileV5(&model.UpdateLoginProfileV5Request{UserId: bob, Body: &model.UpdateLoginProfileReqBody{
			PasswordResetRequired: ptr(false)}}))
		if p := must[*model.ShowLoginProfileV5Response](t)(cl.ShowLoginProfileV5(&model.ShowLoginProfileV5Request{UserId: bob})).LoginProfile; p.PasswordResetRequired {
			t.Errorf("profile: %v", p)
		}
		if _, err := c.Ident.ByPassword(t.Context(), "awan", "bob", "correct-Horse-7", "127.0.0.1"); err != nil {
			t.Errorf("bob's log-in: %v", err)
		}
		must[*model.DeleteLoginProfileV5Response](t)(cl.DeleteLoginProfileV5(&model.DeleteLoginProfileV5Request{UserId: bob}))
		if _, err := c.Ident.ByPassword(t.Context(), "awan", "bob", "correct-Horse-7", "127.0.0.1"); err == nil {
			t.Error("bob logs in without a profile")
		}
	})

	t.Run("account", func(t *testing.T) {
		s := must[*model.GetAccountSummaryV5Response](t)(cl.GetAccountSummaryV5(&model.GetAccountSummaryV5Request{}))
		if *s.Users != 3 || *s.Groups != 1 || *s.Policies != 1 {
			t.Errorf("summary: %v", s)
		}
		all := must[*model.ListRegisteredServicesForAuthSchemaV5Response](t)(cl.ListRegisteredServicesForAuthSchemaV5(&model.ListRegisteredServicesForAuthSchemaV5Request{}))
		if len(*all.ServiceCodes) == 0 {
			t.Errorf("services: %v", all)
		}
		schema := must[*model.GetAuthorizationSchemaV5Response](t)(cl.GetAuthorizationSchemaV5(&model.GetAuthorizationSchemaV5Request{ServiceCode: "identity"}))
		names := map[string]bool{}
		for _, a := range *schema.Actions {
			names[a.Name] = true
		}
		if !names["identity:user:create"] || len(*schema.Conditions) == 0 {
			b, _ := json.Marshal(schema)
			t.Errorf("schema: %s", b)
		}
		_, err := cl.GetAuthorizationSchemaV5(&model.GetAuthorizationSchemaV5Request{ServiceCode: "nothing"})
		refused(t, err, 404, "IAM.0004")
	})

	t.Run("goodbye", func(t *testing.T) {
		must[*model.DetachGroupPolicyV5Response](t)(cl.DetachGroupPolicyV5(&model.DetachGroupPolicyV5Request{PolicyId: look, Body: &model.DetachGroupPolicyReqBody{GroupId: crew}}))
		must[*model.DetachUserPolicyV5Response](t)(cl.DetachUserPolicyV5(&model.DetachUserPolicyV5Request{PolicyId: look, Body: &model.DetachUserPolicyReqBody{UserId: bob}}))
		_, err := cl.DetachUserPolicyV5(&model.DetachUserPolicyV5Request{PolicyId: look, Body: &model.DetachUserPolicyReqBody{UserId: bob}})
		refused(t, err, 404, "IAM.0004")
		must[*model.DeletePolicyV5Response](t)(cl.DeletePolicyV5(&model.DeletePolicyV5Request{PolicyId: look}))
		must[*model.DeleteGroupV5Response](t)(cl.DeleteGroupV5(&model.DeleteGroupV5Request{GroupId: crew}))
		must[*model.DeleteUserV5Response](t)(cl.DeleteUserV5(&model.DeleteUserV5Request{UserId: alice}))
		_, err = cl.ShowUserV5(&model.ShowUserV5Request{UserId: alice})
		refused(t, err, 404, "IAM.0004")
	})
}
