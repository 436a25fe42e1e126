package huawei_test

import (
	"encoding/json"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/global"
	eps "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/eps/v1"
	epsmodel "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/eps/v1/model"
	iam "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	v5model "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// create makes a row as an operator of the cloud.
func create(t *testing.T, c *cloudtest.Cloud, k *kind.Def, domain, name, spec string) kind.AnyRow {
	t.Helper()
	call := &call.Call{Kind: k, Verb: call.Create, Domain: domain, Spec: json.RawMessage(spec), Principal: ident.System()}
	if domain == "" {
		call.Domain = string(c.Admin.DomainID)
	}
	if name != "" {
		call.Name = &name
	}
	r, err := c.Door.Do(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	return r.Row
}

// role finds the id of a policy that comes with the cloud.
func role(t *testing.T, cl *iam.IamClient, name string) string {
	t.Helper()
	r := must[*model.KeystoneListPermissionsResponse](t)(cl.KeystoneListPermissions(&model.KeystoneListPermissionsRequest{DisplayName: &name}))
	if len(*r.Roles) != 1 {
		t.Fatalf("%d roles called %s", len(*r.Roles), name)
	}
	return (*r.Roles)[0].Id
}

// partner makes another account with a user who may do everything in it, and gives a key of hers.
func partner(t *testing.T, c *cloudtest.Cloud) (domain, access, secret string) {
	t.Helper()
	k := c.Ident.Kinds
	d := create(t, c, k.Domain.D, "", "partner", `{}`).M().ID
	create(t, c, k.User.D, string(d), "pat", `{}`)
	create(t, c, k.Grant.D, string(d), "", `{"policy":"full-access","user":"pat"}`)
	key := create(t, c, k.Key.D, string(d), "", `{"user":"pat"}`).(*kind.Row[ident.KeySpec, ident.KeyStatus])
	return string(d), key.Status.Access, key.Status.Secret
}

func temporary(t *testing.T, c *cloudtest.Cloud, k *model.Credential, domain string) *iam.IamClient {
	t.Helper()
	b := global.NewCredentialsBuilder().WithAk(k.Access).WithSk(k.Secret).WithSecurityToken(k.Securitytoken).WithIamEndpointOverride(c.URL).WithDomainId(domain)
	cred, err := b.SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	h, err := iam.IamClientBuilder().WithEndpoint(c.URL).WithHttpConfig(transport(t, c)).WithCredential(cred).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return iam.NewIamClient(h)
}

// TestAgencies: one account lets another's users act in it, as far as it grants and as long as it wants.
func TestAgencies(t *testing.T) {
	c := cloudtest.Start(t)
	domain, project := string(c.Admin.DomainID), string(c.Admin.ProjectID)
	cl := client(t, c, c.Admin.AccessKey, c.Admin.SecretKey, domain)
	theirs, access, secret := partner(t, c)
	pat := client(t, c, access, secret, theirs)
	made := must[*model.CreateAgencyResponse](t)(cl.CreateAgency(&model.CreateAgencyRequest{Body: &model.CreateAgencyRequestBody{Agency: &model.CreateAgencyOption{
		Name: "audit", DomainId: domain, TrustDomainName: ptr("partner"), Description: ptr("looks"), Duration: any2("ONEDAY")}}})).Agency
	agency, reads := made.Id, role(t, cl, "read-only")
	if made.Duration != "24" || *made.TrustDomainId != theirs || made.ExpireTime == "" {
		t.Errorf("made: %v", made)
	}

	t.Run("grants", func(t *testing.T) {
		must[*model.AssociateAgencyWithProjectPermissionResponse](t)(cl.AssociateAgencyWithProjectPermission(
			&model.AssociateAgencyWithProjectPermissionRequest{ProjectId: project, AgencyId: agency, RoleId: reads}))
		must[*model.CheckProjectPermissionForAgencyResponse](t)(cl.CheckProjectPermissionForAgency(
			&model.CheckProjectPermissionForAgencyRequest{ProjectId: project, AgencyId: agency, RoleId: reads}))
		must[*model.AssociateAgencyWithAllProjectsPermissionResponse](t)(cl.AssociateAgencyWithAllProjectsPermission(
			&model.AssociateAgencyWithAllProjectsPermissionRequest{DomainId: domain, AgencyId: agency, RoleId: reads}))
		in := func() (domainWide, inherited int) {
			d := must[*model.ListDomainPermissionsForAgencyResponse](t)(cl.ListDomainPermissionsForAgency(&model.ListDomainPermissionsForAgencyRequest{DomainId: domain, AgencyId: agency}))
			i := must[*model.ListAllProjectsPermissionsForAgencyResponse](t)(cl.ListAllProjectsPermissionsForAgency(&model.ListAllProjectsPermissionsForAgencyRequest{DomainId: domain, AgencyId: agency}))
			return len(*d.Roles), len(*i.Roles)
		}
		if d, i := in(); d != 0 || i != 1 {
			t.Errorf("given to all projects: %d in the domain, %d inherited", d, i)
		}
		must[*model.AssociateAgencyWithDomainPermissionResponse](t)(cl.AssociateAgencyWithDomainPermission(
			&model.AssociateAgencyWithDomainPermissionRequest{DomainId: domain, AgencyId: agency, RoleId: reads}))
		if d, i := in(); d != 1 || i != 1 {
			t.Errorf("given to both: %d in the domain, %d inherited", d, i)
		}
		must[*model.RemoveAllProjectsPermissionFromAgencyResponse](t)(cl.RemoveAllProjectsPermissionFromAgency(
			&model.RemoveAllProjectsPermissionFromAgencyRequest{DomainId: domain, AgencyId: agency, RoleId: reads}))
		if d, i := in(); d != 1 || i != 0 {
			t.Errorf("taken from all projects: %d in the domain, %d inherited", d, i)
		}
		_, err := cl.CheckAllProjectsPermissionForAgency(&model.CheckAllProjectsPermissionForAgencyRequest{DomainId: domain, AgencyId: agency, RoleId: reads})
		if err == nil {
			t.Error("what was taken is still there")
		}
		all := must[*model.ShowDomainRoleAssignmentsResponse](t)(cl.ShowDomainRoleAssignments(&model.ShowDomainRoleAssignmentsRequest{DomainId: domain}))
		n := 0
		for _, a := range *all.RoleAssignments {
			if a.Agency != nil && *a.Agency.Id == agency {
				n++
			}
		}
		if n != 2 {
			t.Errorf("%d assignments of the agency, want one in the project and one in the domain", n)
		}
	})

	t.Run("temporary keys", func(t *testing.T) {
		ask := func(cl *iam.IamClient, name string, seconds int32) (*model.CreateTemporaryAccessKeyByAgencyResponse, error) {
			return cl.CreateTemporaryAccessKeyByAgency(&model.CreateTemporaryAccessKeyByAgencyRequest{Body: &model.CreateTemporaryAccessKeyByAgencyRequestBody{
				Auth: &model.AgencyAuth{Identity: &model.AgencyAuthIdentity{Methods: []model.AgencyAuthIdentityMethods{model.GetAgencyAuthIdentityMethodsEnum().ASSUME_ROLE},
					AssumeRole: &model.IdentityAssumerole{AgencyName: name, DomainName: ptr("awan"), DurationSeconds: &seconds}}}}})
		}
		r, err := ask(pat, "audit", 1800)
		if err != nil {
			t.Fatal(err)
		}
		through := temporary(t, c, r.Credential, domain)
		users := must[*model.KeystoneListUsersResponse](t)(through.KeystoneListUsers(&model.KeystoneListUsersRequest{}))
		if len(*users.Users) != 1 || (*users.Users)[0].Name != "admin" {
			t.Errorf("seen through the agency: %v", users)
		}
		_, err = through.KeystoneCreateGroup(&model.KeystoneCreateGroupRequest{Body: &model.KeystoneCreateGroupRequestBody{Group: &model.KeystoneCreateGroupOption{Name: "crew"}}})
		refused(t, err, 403, "IAM.0003")
		_, err = ask(cl, "audit", 1800) // the account itself is not whom it trusts
		refused(t, err, 404, "IAM.0004")
		_, err = ask(pat, "nothing", 1800)
		refused(t, err, 404, "IAM.0004")
		_, err = ask(pat, "audit", 60)
		refused(t, err, 400, "IAM.0007")
		forged := *r.Credential
		forged.Securitytoken = "forged"
		_, err = temporary(t, c, &forged, domain).KeystoneListUsers(&model.KeystoneListUsersRequest{})
		refused(t, err, 401, "IAM.0001")
		must[*model.UpdateAgencyResponse](t)(cl.UpdateAgency(&model.UpdateAgencyRequest{AgencyId: agency, Body: &model.UpdateAgencyRequestBody{
			Agency: &model.UpdateAgencyOption{TrustDomainName: ptr("op_svc_app"), Duration: any2("FOREVER")}}}))
		_, err = through.KeystoneListUsers(&model.KeystoneListUsersRequest{}) // the trust is over, and at once so are the keys
		refused(t, err, 401, "IAM.0001")
		show := must[*model.ShowAgencyResponse](t)(cl.ShowAgency(&model.ShowAgencyRequest{AgencyId: agency})).Agency
		if *show.TrustDomainName != "op_svc_app" || show.Duration != "FOREVER" {
			t.Errorf("after the change: %v", show)
		}
	})

	t.Run("own temporary keys", func(t *testing.T) {
		narrow := &model.ServicePolicy{Version: "1.1", Statement: []model.ServiceStatement{{Effect: model.GetServiceStatementEffectEnum().ALLOW, Action: []string{"identity:user:list"}}}}
		r := must[*model.CreateTemporaryAccessKeyByTokenResponse](t)(cl.CreateTemporaryAccessKeyByToken(&model.CreateTemporaryAccessKeyByTokenRequest{
			Body: &model.CreateTemporaryAccessKeyByTokenRequestBody{Auth: &model.TokenAuth{Identity: &model.TokenAuthIdentity{
				Methods: []model.TokenAuthIdentityMethods{model.GetTokenAuthIdentityMethodsEnum().TOKEN}, Policy: narrow}}}}))
		own := temporary(t, c, r.Credential, domain)
		must[*model.KeystoneListUsersResponse](t)(own.KeystoneListUsers(&model.KeystoneListUsersRequest{}))
		_, err := own.KeystoneListGroups(&model.KeystoneListGroupsRequest{})
		refused(t, err, 403, "IAM.0003")
	})

	t.Run("trust policies", func(t *testing.T) {
		cl5 := v5(t, c, c.Admin.AccessKey, c.Admin.SecretKey)
		trust := `{"Version":"5.0","Statement":[{"Effect":"Allow","Principal":{"IAM":["` + theirs + `"]},"Action":["sts:agencies:assume"]}]}`
		made := must[*v5model.CreateAgencyV5Response](t)(cl5.CreateAgencyV5(&v5model.CreateAgencyV5Request{Body: &v5model.CreateAgencyReqBody{
			AgencyName: "helpers", Path: ptr("outside/"), TrustPolicy: trust, MaxSessionDuration: ptr(int32(7200))}})).Agency
		if *made.TrustPolicy != trust || made.Path != "outside/" || made.MaxSessionDuration != 7200 || *made.TrustDomainName != "partner" {
			t.Errorf("made: %v", made)
		}
		must[*v5model.AttachAgencyPolicyV5Response](t)(cl5.AttachAgencyPolicyV5(&v5model.AttachAgencyPolicyV5Request{PolicyId: reads, Body: &v5model.AttachAgencyPolicyReqBody{AgencyId: made.AgencyId}}))
		has := must[*v5model.ListAttachedAgencyPoliciesV5Response](t)(cl5.ListAttachedAgencyPoliciesV5(&v5model.ListAttachedAgencyPoliciesV5Request{AgencyId: made.AgencyId}))
		if len(*has.AttachedPolicies) != 1 {
			t.Errorf("attached: %v", has)
		}
		must[*v5model.TagResourceV5Response](t)(cl5.TagResourceV5(&v5model.TagResourceV5Request{ResourceType: v5model.GetTagResourceV5RequestResourceTypeEnum().AGENCY,
			ResourceId: made.AgencyId, Body: &v5model.Tags{Tags: &[]v5model.Tag{{TagKey: "team", TagValue: "blue"}}}}))
		must[*v5model.UpdateAgencyV5Response](t)(cl5.UpdateAgencyV5(&v5model.UpdateAgencyV5Request{AgencyId: made.AgencyId, Body: &v5model.UpdateAgencyReqBody{Description: ptr("new")}}))
		service := `{"Version":"5.0","Statement":[{"Effect":"Allow","Principal":{"Service":["service.OBS"]},"Action":["sts:agencies:assume"]}]}`
		must[*v5model.UpdateTrustPolicyV5Response](t)(cl5.UpdateTrustPolicyV5(&v5model.UpdateTrustPolicyV5Request{AgencyId: made.AgencyId, Body: &v5model.UpdateTrustPolicyReqBody{TrustPolicy: service}}))
		show := must[*v5model.GetAgencyV5Response](t)(cl5.GetAgencyV5(&v5model.GetAgencyV5Request{AgencyId: made.AgencyId})).Agency
		if *show.TrustPolicy != service || *show.Description != "new" || len(show.Tags) != 1 || show.Path != "outside/" {
			t.Errorf("after the change: %v", show)
		}
		for _, wrong := range []string{`{}`, `{"Version":"5.0","Statement":[{"Effect":"Allow","Principal":{"IAM":["*"]},"Action":["sts:agencies:assume"]}]}`,
			`{"Version":"5.0","Statement":[{"Effect":"Allow","Principal":{"IAM":["partner"]},"Action":["sts:agencies:assume"],"Condition":{}}]}`} {
			_, err := cl5.CreateAgencyV5(&v5model.CreateAgencyV5Request{Body: &v5model.CreateAgencyReqBody{AgencyName: "wrong", TrustPolicy: wrong}})
			refused(t, err, 400, "IAM.0007")
		}
		linked := must[*v5model.CreateServiceLinkedAgencyV5Response](t)(cl5.CreateServiceLinkedAgencyV5(&v5model.CreateServiceLinkedAgencyV5Request{
			Body: &v5model.CreateServiceLinkedAgencyReqBody{ServicePrincipal: "service.App"}})).Agency
		all := must[*v5model.ListAgenciesV5Response](t)(cl5.ListAgenciesV5(&v5model.ListAgenciesV5Request{PathPrefix: ptr("service-linked-agency/")}))
		if len(*all.Agencies) != 1 || (*all.Agencies)[0].AgencyId != linked.AgencyId {
			t.Errorf("linked: %v", all)
		}
		must[*v5model.DeleteAgencyV5Response](t)(cl5.DeleteAgencyV5(&v5model.DeleteAgencyV5Request{AgencyId: made.AgencyId}))
		_, err := cl5.GetAgencyV5(&v5model.GetAgencyV5Request{AgencyId: made.AgencyId})
		refused(t, err, 404, "IAM.0004")
	})

	t.Run("enterprise projects", func(t *testing.T) {
		ep := create(t, c, c.Ident.Kinds.Enterprise.D, "", "retail", `{}`).M().ID
		body := &model.CreateAgencyEpPolicyAssignmentReqBody{RoleAssignments: []model.CreateAgencyEpPolicyAssignmentReqBodyRoleAssignments{
			{AgencyId: agency, EnterpriseProjectId: string(ep), RoleId: reads}}}
		must[*model.AssociateRoleToAgencyOnEnterpriseProjectResponse](t)(cl.AssociateRoleToAgencyOnEnterpriseProject(&model.AssociateRoleToAgencyOnEnterpriseProjectRequest{Body: body}))
		must[*model.AssociateRoleToUserOnEnterpriseProjectResponse](t)(cl.AssociateRoleToUserOnEnterpriseProject(
			&model.AssociateRoleToUserOnEnterpriseProjectRequest{EnterpriseProjectId: string(ep), UserId: string(c.Admin.UserID), RoleId: reads}))
		users := must[*model.ListUsersForEnterpriseProjectResponse](t)(cl.ListUsersForEnterpriseProject(&model.ListUsersForEnterpriseProjectRequest{EnterpriseProjectId: string(ep)}))
		of := must[*model.ListEnterpriseProjectsForUserResponse](t)(cl.ListEnterpriseProjectsForUser(&model.ListEnterpriseProjectsForUserRequest{UserId: string(c.Admin.UserID)}))
		if len(*users.Users) != 1 || (*users.Users)[0].PolicyNum != 1 || len(*of.EnterpriseProjects) != 1 || (*of.EnterpriseProjects)[0].ProjectId != string(ep) {
			t.Errorf("users: %v, of the user: %v", users, of)
		}
		must[*model.RevokeRoleFromUserOnEnterpriseProjectResponse](t)(cl.RevokeRoleFromUserOnEnterpriseProject(
			&model.RevokeRoleFromUserOnEnterpriseProjectRequest{EnterpriseProjectId: string(ep), UserId: string(c.Admin.UserID), RoleId: reads}))
		must[*model.RevokeRoleFromAgencyOnEnterpriseProjectResponse](t)(cl.RevokeRoleFromAgencyOnEnterpriseProject(&model.RevokeRoleFromAgencyOnEnterpriseProjectRequest{
			Body: &model.CreateOrDelAgencyEpPolicyAssignmentReqBody{RoleAssignments: body.RoleAssignments}}))
	})

	must[*model.DeleteAgencyResponse](t)(cl.DeleteAgency(&model.DeleteAgencyRequest{AgencyId: agency}))
	_, err := cl.ShowAgency(&model.ShowAgencyRequest{AgencyId: agency})
	refused(t, err, 404, "IAM.0004")
}

func any2(v any) *any { return &v }

// TestEnterpriseProjects: sets of resources across projects.
func TestEnterpriseProjects(t *testing.T) {
	c := cloudtest.Start(t)
	h, err := eps.EpsClientBuilder().WithEndpoint(c.URL).WithHttpConfig(transport(t, c)).
		WithCredential(credential(t, c, c.Admin.AccessKey, c.Admin.SecretKey, string(c.Admin.DomainID))).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	e := eps.NewEpsClient(h)
	made := must[*epsmodel.CreateEnterpriseProjectResponse](t)(e.CreateEnterpriseProject(&epsmodel.CreateEnterpriseProjectRequest{
		Body: &epsmodel.EnterpriseProject{Name: "retail", Description: ptr("shops"), Type: ptr("poc")}})).EnterpriseProject
	if made.Status != 1 || made.Type.Value() != "poc" {
		t.Errorf("made: %v", made)
	}
	ep := made.Id
	must[*epsmodel.UpdateEnterpriseProjectResponse](t)(e.UpdateEnterpriseProject(&epsmodel.UpdateEnterpriseProjectRequest{EnterpriseProjectId: ep,
		Body: &epsmodel.EnterpriseProject{Name: "stores", Description: ptr("all of them")}}))
	list := func(r *epsmodel.ListEnterpriseProjectRequest) int {
		t.Helper()
		return len(*must[*epsmodel.ListEnterpriseProjectResponse](t)(e.ListEnterpriseProject(r)).EnterpriseProjects)
	}
	must[*epsmodel.DisableEnterpriseProjectResponse](t)(e.DisableEnterpriseProject(&epsmodel.DisableEnterpriseProjectRequest{EnterpriseProjectId: ep,
		Body: &epsmodel.DisableAction{Action: epsmodel.GetDisableActionActionEnum().DISABLE}}))
	for want, r := range map[int]*epsmodel.ListEnterpriseProjectRequest{2: {}, 1: {Status: ptr(int32(2))}, 0: {Name: ptr("nothing")}} {
		if got := list(r); got != want {
			t.Errorf("%v: %d, want %d", r, got, want)
		}
	}
	if list(&epsmodel.ListEnterpriseProjectRequest{Id: &ep}) != 1 || list(&epsmodel.ListEnterpriseProjectRequest{Offset: ptr(int32(1)), Limit: ptr(int32(5))}) != 1 {
		t.Error("the list by id, or its second page, is wrong")
	}
	must[*epsmodel.EnableEnterpriseProjectResponse](t)(e.EnableEnterpriseProject(&epsmodel.EnableEnterpriseProjectRequest{EnterpriseProjectId: ep,
		Body: &epsmodel.EnableAction{Action: epsmodel.GetEnableActionActionEnum().ENABLE}}))
	show := must[*epsmodel.ShowEnterpriseProjectResponse](t)(e.ShowEnterpriseProject(&epsmodel.ShowEnterpriseProjectRequest{EnterpriseProjectId: ep})).EnterpriseProject
	if show.Name != "stores" || show.Description != "all of them" || show.Status != 1 {
		t.Errorf("show: %v", show)
	}
	q := must[*epsmodel.ShowEnterpriseProjectQuotaResponse](t)(e.ShowEnterpriseProjectQuota(&epsmodel.ShowEnterpriseProjectQuotaRequest{}))
	if q.Quotas.Resources[0].Used != 2 {
		t.Errorf("quotas: %v", q)
	}
	must[*epsmodel.ListProvidersResponse](t)(e.ListProviders(&epsmodel.ListProvidersRequest{}))
	_, err = e.UpdateEnterpriseProject(&epsmodel.UpdateEnterpriseProjectRequest{EnterpriseProjectId: "0", Body: &epsmodel.EnterpriseProject{Name: "mine"}})
	refused(t, err, 409, "IAM.0005")
	must[*epsmodel.DeleteEnterpriseProjectResponse](t)(e.DeleteEnterpriseProject(&epsmodel.DeleteEnterpriseProjectRequest{EnterpriseProjectId: ep}))
	_, err = e.ShowEnterpriseProject(&epsmodel.ShowEnterpriseProjectRequest{EnterpriseProjectId: ep})
	refused(t, err, 404, "IAM.0004")
}
