// Package huawei_test runs Huawei Cloud's Go SDK v3, unmodified, against the listener.
package huawei_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/global"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	eps "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/eps/v1"
	epsmodel "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/eps/v1/model"
	iam "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"

	"github.com/awancloud/awan/test/conformance/cloudtest"
)

func transport(t *testing.T, c *cloudtest.Cloud) *config.HttpConfig {
	for _, v := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		if os.Getenv(v) != "" {
			t.Setenv(v, "")
		}
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.CA.Pool()}}
	t.Cleanup(tr.CloseIdleConnections)
	return config.DefaultHttpConfig().WithHttpTransport(tr).WithRetries(0)
}

// credential signs as an access key; with no domain the SDK asks for it.
func credential(t *testing.T, c *cloudtest.Cloud, access, secret, domain string) auth.ICredential {
	t.Helper()
	b := global.NewCredentialsBuilder().WithAk(access).WithSk(secret).WithIamEndpointOverride(c.URL)
	if domain != "" {
		b = b.WithDomainId(domain)
	}
	cred, err := b.SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

func client(t *testing.T, c *cloudtest.Cloud, access, secret, domain string) *iam.IamClient {
	t.Helper()
	h, err := iam.IamClientBuilder().WithEndpoint(c.URL).WithHttpConfig(transport(t, c)).WithCredential(credential(t, c, access, secret, domain)).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return iam.NewIamClient(h)
}

// must stops the test at the first call that fails.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// refused checks how a call was refused.
func refused(t *testing.T, err error, status int, code string) {
	t.Helper()
	var e *sdkerr.ServiceResponseError
	if !errors.As(err, &e) {
		t.Errorf("no service error: %v", err)
		return
	}
	if e.StatusCode != status || e.ErrorCode != code || e.ErrorMessage == "" || e.RequestId == "" {
		t.Errorf("got %d %s %q (request %q), want %d %s", e.StatusCode, e.ErrorCode, e.ErrorMessage, e.RequestId, status, code)
	}
}

func ptr[T any](v T) *T { return &v }

func TestIdentity(t *testing.T) {
	c := cloudtest.Start(t)
	domain := string(c.Admin.DomainID)
	cl := client(t, c, c.Admin.AccessKey, c.Admin.SecretKey, domain)

	t.Run("account", func(t *testing.T) {
		asked := client(t, c, c.Admin.AccessKey, c.Admin.SecretKey, "") // finds its domain by itself
		d := must[*model.KeystoneListAuthDomainsResponse](t)(asked.KeystoneListAuthDomains(&model.KeystoneListAuthDomainsRequest{}))
		if len(*d.Domains) != 1 || (*d.Domains)[0].Id != domain {
			t.Errorf("domains: %v", d)
		}
		p := must[*model.KeystoneListAuthProjectsResponse](t)(cl.KeystoneListAuthProjects(&model.KeystoneListAuthProjectsRequest{}))
		if len(*p.Projects) != 1 || (*p.Projects)[0].Name != "awan-1" {
			t.Errorf("projects: %v", p)
		}
		r := must[*model.KeystoneListRegionsResponse](t)(cl.KeystoneListRegions(&model.KeystoneListRegionsRequest{}))
		if len(*r.Regions) != 1 || (*r.Regions)[0].Id != "awan-1" {
			t.Errorf("regions: %v", r)
		}
		must[*model.KeystoneListServicesResponse](t)(cl.KeystoneListServices(&model.KeystoneListServicesRequest{}))
		must[*model.KeystoneListEndpointsResponse](t)(cl.KeystoneListEndpoints(&model.KeystoneListEndpointsRequest{}))
		must[*model.KeystoneListVersionsResponse](t)(cl.KeystoneListVersions(&model.KeystoneListVersionsRequest{}))
		must[*model.KeystoneShowVersionResponse](t)(cl.KeystoneShowVersion(&model.KeystoneShowVersionRequest{}))
	})

	t.Run("projects", func(t *testing.T) {
		made := must[*model.KeystoneCreateProjectResponse](t)(cl.KeystoneCreateProject(&model.KeystoneCreateProjectRequest{Body: &model.KeystoneCreateProjectRequestBody{
			Project: &model.KeystoneCreateProjectOption{Name: "awan-1_shop", ParentId: string(c.Admin.ProjectID), DomainId: &domain, Description: ptr("first")}}}))
		pid := made.Project.Id
		list := must[*model.KeystoneListProjectsResponse](t)(cl.KeystoneListProjects(&model.KeystoneListProjectsRequest{Name: ptr("awan-1_shop")}))
		if len(*list.Projects) != 1 || (*list.Projects)[0].Id != pid || (*list.Projects)[0].Description != "first" {
			t.Errorf("list by name: %v", list)
		}
		page := must[*model.KeystoneListProjectsResponse](t)(cl.KeystoneListProjects(&model.KeystoneListProjectsRequest{Page: ptr(int32(2)), PerPage: ptr(int32(1))}))
		if len(*page.Projects) != 1 || (*page.Projects)[0].Id != pid {
			t.Errorf("second page: %v", page)
		}
		must[*model.KeystoneUpdateProjectResponse](t)(cl.KeystoneUpdateProject(&model.KeystoneUpdateProjectRequest{ProjectId: pid, Body: &model.KeystoneUpdateProjectRequestBody{
			Project: &model.KeystoneUpdateProjectOption{Name: ptr("awan-1_store"), Description: ptr("second")}}}))
		show := must[*model.KeystoneShowProjectResponse](t)(cl.KeystoneShowProject(&model.KeystoneShowProjectRequest{ProjectId: pid}))
		if show.Project.Name != "awan-1_store" || show.Project.Description != "second" || !show.Project.Enabled {
			t.Errorf("show: %v", show)
		}
		must[*model.UpdateProjectStatusResponse](t)(cl.UpdateProjectStatus(&model.UpdateProjectStatusRequest{ProjectId: pid, Body: &model.UpdateProjectStatusRequestBody{
			Project: &model.UpdateProjectOption{Status: model.GetUpdateProjectOptionStatusEnum().SUSPENDED}}}))
		status := must[*model.ShowProjectDetailsAndStatusResponse](t)(cl.ShowProjectDetailsAndStatus(&model.ShowProjectDetailsAndStatusRequest{ProjectId: pid}))
		if status.Project.Status != "suspended" || !status.Project.Enabled {
			t.Errorf("status: %v", status)
		}
		_, err := cl.KeystoneShowProject(&model.KeystoneShowProjectRequest{ProjectId: "0123456789abcdef0123456789abcdef"})
		refused(t, err, 404, "IAM.0004")
		_, err = cl.KeystoneCreateProject(&model.KeystoneCreateProjectRequest{Body: &model.KeystoneCreateProjectRequestBody{
			Project: &model.KeystoneCreateProjectOption{Name: "awan-1_store"}}})
		refused(t, err, 409, "IAM.0005")
	})

	var alice string
	t.Run("users", func(t *testing.T) {
		made := must[*model.CreateUserResponse](t)(cl.CreateUser(&model.CreateUserRequest{Body: &model.CreateUserRequestBody{User: &model.CreateUserOption{
			Name: "alice", DomainId: domain, Password: ptr("correct-horse"), Email: ptr("alice@example.org"), Areacode: ptr("0062"), Phone: ptr("811223344"),
			Description: ptr("tester"), Enabled: ptr(true), AccessMode: ptr("default"), PwdStatus: ptr(true)}}}))
		alice = made.User.Id
		list := must[*model.KeystoneListUsersResponse](t)(cl.KeystoneListUsers(&model.KeystoneListUsersRequest{Name: ptr("alice")}))
		if len(*list.Users) != 1 || (*list.Users)[0].Id != alice {
			t.Errorf("list by name: %v", list)
		}
		must[*model.UpdateUserResponse](t)(cl.UpdateUser(&model.UpdateUserRequest{UserId: alice, Body: &model.UpdateUserRequestBody{User: &model.UpdateUserOption{
			Email: ptr("a@example.org"), Enabled: ptr(true)}}}))
		show := must[*model.ShowUserResponse](t)(cl.ShowUser(&model.ShowUserRequest{UserId: alice}))
		if u := show.User; u.Name != "alice" || *u.Email != "a@example.org" || *u.Areacode != "0062" || *u.Phone != "811223344" || !u.Enabled || u.AccessMode != "default" || !*u.PwdStatus {
			t.Errorf("show: %v", show)
		}
		must[*model.ShowUserLoginProtectResponse](t)(cl.ShowUserLoginProtect(&model.ShowUserLoginProtectRequest{UserId: alice}))
		must[*model.KeystoneShowUserResponse](t)(cl.KeystoneShowUser(&model.KeystoneShowUserRequest{UserId: alice}))
		robot := must[*model.CreateUserResponse](t)(cl.CreateUser(&model.CreateUserRequest{Body: &model.CreateUserRequestBody{User: &model.CreateUserOption{
			Name: "robot", DomainId: domain, AccessMode: ptr("programmatic")}}})).User
		if *robot.AccessMode != "programmatic" {
			t.Errorf("robot: %v", robot)
		}
		must[*model.KeystoneDeleteUserResponse](t)(cl.KeystoneDeleteUser(&model.KeystoneDeleteUserRequest{UserId: robot.Id}))
		_, err := cl.CreateUser(&model.CreateUserRequest{Body: &model.CreateUserRequestBody{User: &model.CreateUserOption{Name: "bob", DomainId: domain, AccessMode: ptr("telepathic")}}})
		refused(t, err, 400, "IAM.0007")
		_, err = cl.CreateUser(&model.CreateUserRequest{Body: &model.CreateUserRequestBody{User: &model.CreateUserOption{Name: "bob", DomainId: domain, Password: ptr("short")}}})
		refused(t, err, 400, "IAM.0007")
	})

	t.Run("token by password", func(t *testing.T) {
		req := &model.KeystoneCreateUserTokenByPasswordRequest{Body: &model.KeystoneCreateUserTokenByPasswordRequestBody{Auth: &model.PwdAuth{
			Identity: &model.PwdIdentity{Methods: []model.PwdIdentityMethods{model.GetPwdIdentityMethodsEnum().PASSWORD}, Password: &model.PwdPassword{
				User: &model.PwdPasswordUser{Domain: &model.PwdPasswordUserDomain{Name: "awan"}, Name: "alice", Password: "correct-horse"}}},
			Scope: &model.AuthScope{Project: &model.AuthScopeProject{Name: ptr("awan-1")}}}}}
		tok := must[*model.KeystoneCreateUserTokenByPasswordResponse](t)(cl.KeystoneCreateUserTokenByPassword(req))
		if *tok.XSubjectToken == "" || tok.Token.Project.Name != "awan-1" || tok.Token.User.Id != alice || tok.Token.ExpiresAt == "" {
			t.Errorf("token: %v", tok)
		}
		seen := must[*model.KeystoneValidateTokenResponse](t)(cl.KeystoneValidateToken(&model.KeystoneValidateTokenRequest{XSubjectToken: *tok.XSubjectToken}))
		if seen.Token.User.Name != "alice" {
			t.Errorf("validated: %v", seen)
		}
		req.Body.Auth.Identity.Password.User.Password = "wrong-horse"
		_, err := cl.KeystoneCreateUserTokenByPassword(req)
		refused(t, err, 401, "IAM.0001")
	})

	var crew string
	t.Run("groups", func(t *testing.T) {
		made := must[*model.KeystoneCreateGroupResponse](t)(cl.KeystoneCreateGroup(&model.KeystoneCreateGroupRequest{Body: &model.KeystoneCreateGroupRequestBody{
			Group: &model.KeystoneCreateGroupOption{Name: "crew", Description: ptr("hands"), DomainId: &domain}}}))
		crew = made.Group.Id
		must[*model.KeystoneAddUserToGroupResponse](t)(cl.KeystoneAddUserToGroup(&model.KeystoneAddUserToGroupRequest{GroupId: crew, UserId: alice}))
		must[*model.KeystoneCheckUserInGroupResponse](t)(cl.KeystoneCheckUserInGroup(&model.KeystoneCheckUserInGroupRequest{GroupId: crew, UserId: alice}))
		members := must[*model.KeystoneListUsersForGroupByAdminResponse](t)(cl.KeystoneListUsersForGroupByAdmin(&model.KeystoneListUsersForGroupByAdminRequest{GroupId: crew}))
		if len(*members.Users) != 1 || (*members.Users)[0].Id != alice {
			t.Errorf("members: %v", members)
		}
		groups := must[*model.KeystoneListGroupsForUserResponse](t)(cl.KeystoneListGroupsForUser(&model.KeystoneListGroupsForUserRequest{UserId: alice}))
		if len(*groups.Groups) != 1 || (*groups.Groups)[0].Id != crew {
			t.Errorf("groups of alice: %v", groups)
		}
		must[*model.KeystoneUpdateGroupResponse](t)(cl.KeystoneUpdateGroup(&model.KeystoneUpdateGroupRequest{GroupId: crew, Body: &model.KeystoneUpdateGroupRequestBody{
			Group: &model.KeystoneUpdateGroupOption{Name: ptr("team")}}}))
		show := must[*model.KeystoneShowGroupResponse](t)(cl.KeystoneShowGroup(&model.KeystoneShowGroupRequest{GroupId: crew}))
		if show.Group.Name != "team" || show.Group.Description != "hands" {
			t.Errorf("show: %v", show)
		}
	})

	var custom string
	t.Run("custom policies", func(t *testing.T) {
		option := &model.ServicePolicyRoleOption{DisplayName: "look-at-users", Type: "XA", Description: "first", Policy: &model.ServicePolicy{Version: "1.1",
			Statement: []model.ServiceStatement{{Effect: model.GetServiceStatementEffectEnum().ALLOW, Action: []string{"identity:user:get", "identity:user:list"}}}}}
		made := must[*model.CreateCloudServiceCustomPolicyResponse](t)(cl.CreateCloudServiceCustomPolicy(&model.CreateCloudServiceCustomPolicyRequest{
			Body: &model.CreateCloudServiceCustomPolicyRequestBody{Role: option}}))
		custom = made.Role.Id
		if made.Role.Type != "XA" || made.Role.DisplayName != "look-at-users" || made.Role.Catalog != "CUSTOMED" {
			t.Errorf("made: %v", made)
		}
		option.Description = "second"
		must[*model.UpdateCloudServiceCustomPolicyResponse](t)(cl.UpdateCloudServiceCustomPolicy(&model.UpdateCloudServiceCustomPolicyRequest{RoleId: custom,
			Body: &model.UpdateCloudServiceCustomPolicyRequestBody{Role: option}}))
		show := must[*model.ShowCustomPolicyResponse](t)(cl.ShowCustomPolicy(&model.ShowCustomPolicyRequest{RoleId: custom}))
		if show.Role.Description != "second" || len(show.Role.Policy.Statement) != 1 {
			t.Errorf("show: %v", show)
		}
		list := must[*model.ListCustomPoliciesResponse](t)(cl.ListCustomPolicies(&model.ListCustomPoliciesRequest{}))
		if *list.TotalNumber != 1 || (*list.Roles)[0].Id != custom {
			t.Errorf("list: %v", list)
		}
		all := must[*model.KeystoneListPermissionsResponse](t)(cl.KeystoneListPermissions(&model.KeystoneListPermissionsRequest{DisplayName: ptr("read-only")}))
		if len(*all.Roles) != 1 || *(*all.Roles)[0].Catalog != "BASE" {
			t.Errorf("permissions: %v", all)
		}
	})

	t.Run("grants", func(t *testing.T) {
		project := string(c.Admin.ProjectID)
		must[*model.KeystoneAssociateGroupWithProjectPermissionResponse](t)(cl.KeystoneAssociateGroupWithProjectPermission(
			&model.KeystoneAssociateGroupWithProjectPermissionRequest{ProjectId: project, GroupId: crew, RoleId: custom}))
		must[*model.KeystoneAssociateGroupWithDomainPermissionResponse](t)(cl.KeystoneAssociateGroupWithDomainPermission(
			&model.KeystoneAssociateGroupWithDomainPermissionRequest{DomainId: domain, GroupId: crew, RoleId: custom}))
		must[*model.KeystoneCheckProjectPermissionForGroupResponse](t)(cl.KeystoneCheckProjectPermissionForGroup(
			&model.KeystoneCheckProjectPermissionForGroupRequest{ProjectId: project, GroupId: crew, RoleId: custom}))
		must[*model.KeystoneCheckroleForGroupResponse](t)(cl.KeystoneCheckroleForGroup(
			&model.KeystoneCheckroleForGroupRequest{DomainId: domain, GroupId: crew, RoleId: custom}))
		given := must[*model.KeystoneListProjectPermissionsForGroupResponse](t)(cl.KeystoneListProjectPermissionsForGroup(
			&model.KeystoneListProjectPermissionsForGroupRequest{ProjectId: project, GroupId: crew}))
		if len(*given.Roles) != 1 || (*given.Roles)[0].Id != custom {
			t.Errorf("given: %v", given)
		}
		all := must[*model.ShowDomainRoleAssignmentsResponse](t)(cl.ShowDomainRoleAssignments(&model.ShowDomainRoleAssignmentsRequest{DomainId: domain, SubjectGroupId: &crew}))
		if *all.TotalNum != 2 {
			t.Errorf("assignments: %v", all)
		}
		_, err := cl.DeleteCustomPolicy(&model.DeleteCustomPolicyRequest{RoleId: custom})
		refused(t, err, 409, "IAM.0005") // still granted
		must[*model.KeystoneRemoveProjectPermissionFromGroupResponse](t)(cl.KeystoneRemoveProjectPermissionFromGroup(
			&model.KeystoneRemoveProjectPermissionFromGroupRequest{ProjectId: project, GroupId: crew, RoleId: custom}))
	})

	t.Run("access keys", func(t *testing.T) {
		made := must[*model.CreatePermanentAccessKeyResponse](t)(cl.CreatePermanentAccessKey(&model.CreatePermanentAccessKeyRequest{
			Body: &model.CreatePermanentAccessKeyRequestBody{Credential: &model.CreateCredentialOption{UserId: alice, Description: ptr("laptop")}}}))
		k := made.Credential
		if k.Access == "" || len(k.Secret) < 32 || k.Status != "active" || k.UserId != alice {
			t.Errorf("made: %v", k.Access)
		}
		hers := client(t, c, k.Access, k.Secret, domain)
		must[*model.KeystoneListUsersResponse](t)(hers.KeystoneListUsers(&model.KeystoneListUsersRequest{})) // by her group's policy
		list := must[*model.ListPermanentAccessKeysResponse](t)(cl.ListPermanentAccessKeys(&model.ListPermanentAccessKeysRequest{UserId: &alice}))
		if len(*list.Credentials) != 1 || (*list.Credentials)[0].Access != k.Access {
			t.Errorf("list: %v", list)
		}
		must[*model.UpdatePermanentAccessKeyResponse](t)(cl.UpdatePermanentAccessKey(&model.UpdatePermanentAccessKeyRequest{AccessKey: k.Access,
			Body: &model.UpdatePermanentAccessKeyRequestBody{Credential: &model.UpdateCredentialOption{Status: ptr(model.GetUpdateCredentialOptionStatusEnum().INACTIVE)}}}))
		show := must[*model.ShowPermanentAccessKeyResponse](t)(cl.ShowPermanentAccessKey(&model.ShowPermanentAccessKeyRequest{AccessKey: k.Access}))
		if show.Credential.Status != "inactive" || show.Credential.Description != "laptop" {
			t.Errorf("show: %v", show)
		}
		_, err := hers.KeystoneListUsers(&model.KeystoneListUsersRequest{})
		refused(t, err, 401, "IAM.0001")
		must[*model.DeletePermanentAccessKeyResponse](t)(cl.DeletePermanentAccessKey(&model.DeletePermanentAccessKeyRequest{AccessKey: k.Access}))
		_, err = cl.ShowPermanentAccessKey(&model.ShowPermanentAccessKeyRequest{AccessKey: k.Access})
		refused(t, err, 404, "IAM.0004")
	})

	t.Run("enterprise projects", func(t *testing.T) {
		h, err := eps.EpsClientBuilder().WithEndpoint(c.URL).WithHttpConfig(transport(t, c)).
			WithCredential(credential(t, c, c.Admin.AccessKey, c.Admin.SecretKey, domain)).SafeBuild()
		if err != nil {
			t.Fatal(err)
		}
		e := eps.NewEpsClient(h)
		list := must[*epsmodel.ListEnterpriseProjectResponse](t)(e.ListEnterpriseProject(&epsmodel.ListEnterpriseProjectRequest{}))
		if len(*list.EnterpriseProjects) != 1 || (*list.EnterpriseProjects)[0].Id != "0" {
			t.Errorf("list: %v", list)
		}
		must[*epsmodel.ShowEnterpriseProjectResponse](t)(e.ShowEnterpriseProject(&epsmodel.ShowEnterpriseProjectRequest{EnterpriseProjectId: "0"}))
	})

	t.Run("goodbye", func(t *testing.T) {
		must[*model.KeystoneRemoveUserFromGroupResponse](t)(cl.KeystoneRemoveUserFromGroup(&model.KeystoneRemoveUserFromGroupRequest{GroupId: crew, UserId: alice}))
		_, err := cl.KeystoneCheckUserInGroup(&model.KeystoneCheckUserInGroupRequest{GroupId: crew, UserId: alice})
		if err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("after removal: %v", err)
		}
		must[*model.KeystoneDeleteGroupResponse](t)(cl.KeystoneDeleteGroup(&model.KeystoneDeleteGroupRequest{GroupId: crew}))
		must[*model.DeleteCustomPolicyResponse](t)(cl.DeleteCustomPolicy(&model.DeleteCustomPolicyRequest{RoleId: custom}))
		must[*model.KeystoneDeleteUserResponse](t)(cl.KeystoneDeleteUser(&model.KeystoneDeleteUserRequest{UserId: alice}))
		_, err = cl.ShowUser(&model.ShowUserRequest{UserId: alice})
		refused(t, err, 404, "IAM.0004")
	})
}

// TestBorders: what the SDK says about who calls is believed only where it is true.
func TestBorders(t *testing.T) {
	c := cloudtest.Start(t)
	domain := string(c.Admin.DomainID)
	_, err := client(t, c, c.Admin.AccessKey, "not-the-secret", domain).KeystoneListUsers(&model.KeystoneListUsersRequest{})
	refused(t, err, 401, "IAM.0001")
	_, err = client(t, c, c.Admin.AccessKey, c.Admin.SecretKey, "0123456789abcdef0123456789abcdef").KeystoneListUsers(&model.KeystoneListUsersRequest{})
	refused(t, err, 404, "IAM.0004")
	temporary, err := global.NewCredentialsBuilder().WithAk(c.Admin.AccessKey).WithSk(c.Admin.SecretKey).WithSecurityToken("t").WithDomainId(domain).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	h, err := iam.IamClientBuilder().WithEndpoint(c.URL).WithHttpConfig(transport(t, c)).WithCredential(temporary).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	_, err = iam.NewIamClient(h).KeystoneListUsers(&model.KeystoneListUsersRequest{})
	refused(t, err, 401, "IAM.0001")
}
