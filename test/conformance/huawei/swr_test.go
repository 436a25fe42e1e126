package huawei_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	swr "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/swr/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/swr/v2/model"
	"github.com/sirupsen/logrus"

	"github.com/awancloud/awan/test/conformance/cloudtest"
	"github.com/awancloud/awan/test/conformance/terraform"
)

// push moves a random image into a repository from inside.
func push(t *testing.T, c *cloudtest.Cloud, image string) {
	t.Helper()
	logrus.SetLevel(logrus.PanicLevel) // the registry library's own request log
	im, err := random.Image(2048, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference("registry.test/" + image)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, im, remote.WithTransport(c.Registry.Transport(""))); err != nil {
		t.Fatal(err)
	}
}

// TestSWR drives the registry's management by the SDK.
func TestSWR(t *testing.T) {
	c := cloudtest.Start(t)
	cred, err := basic.NewCredentialsBuilder().WithAk(c.Admin.AccessKey).WithSk(c.Admin.SecretKey).WithProjectId(string(c.Admin.ProjectID)).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	h, err := swr.SwrClientBuilder().WithEndpoint(c.URL + "/swr").WithHttpConfig(transport(t, c)).WithCredential(cred).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	cl := swr.NewSwrClient(h)
	user := string(c.Admin.UserID)

	must[*model.CreateNamespaceResponse](t)(cl.CreateNamespace(&model.CreateNamespaceRequest{Body: &model.CreateNamespaceRequestBody{Namespace: "team"}}))
	_, err = cl.CreateNamespace(&model.CreateNamespaceRequest{Body: &model.CreateNamespaceRequestBody{Namespace: "team"}})
	refused(t, err, 409, "SVCSTG.SWR.4090001")
	_, err = cl.ShowNamespace(&model.ShowNamespaceRequest{Namespace: "none"})
	refused(t, err, 404, "SVCSTG.SWR.4040001")
	if ns := must[*model.ShowNamespaceResponse](t)(cl.ShowNamespace(&model.ShowNamespaceRequest{Namespace: "team"})); *ns.Name != "team" || ns.Auth.Value() != 7 {
		t.Errorf("namespace: %v", ns)
	}
	all := must[*model.ListNamespacesResponse](t)(cl.ListNamespaces(&model.ListNamespacesRequest{}))
	if len(*all.Namespaces) != 1 {
		t.Errorf("namespaces: %v", all)
	}
	auths := []model.UserAuth{{UserId: user, UserName: "admin", Auth: model.GetUserAuthAuthEnum().E_3}}
	must[*model.CreateNamespaceAuthResponse](t)(cl.CreateNamespaceAuth(&model.CreateNamespaceAuthRequest{Namespace: "team", Body: &auths}))
	acc := must[*model.ShowNamespaceAuthResponse](t)(cl.ShowNamespaceAuth(&model.ShowNamespaceAuthRequest{Namespace: "team"}))
	if len(*acc.OthersAuths) != 1 || (*acc.OthersAuths)[0].UserId != user || (*acc.OthersAuths)[0].Auth.Value() != 3 {
		t.Errorf("members: %v", acc)
	}
	must[*model.DeleteNamespaceAuthResponse](t)(cl.DeleteNamespaceAuth(&model.DeleteNamespaceAuthRequest{Namespace: "team", Body: &[]string{user}}))

	must[*model.CreateRepoResponse](t)(cl.CreateRepo(&model.CreateRepoRequest{Namespace: "team", Body: &model.CreateRepoRequestBody{Repository: "a/b", IsPublic: false,
		Description: ptr("first")}}))
	for _, tag := range []string{"v1", "v2"} {
		push(t, c, "team/a/b:"+tag)
	}
	repo := must[*model.ShowRepositoryResponse](t)(cl.ShowRepository(&model.ShowRepositoryRequest{Namespace: "team", Repository: "a$b"}))
	if *repo.Name != "a/b" || *repo.NumImages != 2 || *repo.Size < 8192 || *repo.Description != "first" || !strings.HasSuffix(*repo.Path, "/team/a/b") {
		t.Errorf("repository: %v", repo)
	}
	must[*model.UpdateRepoResponse](t)(cl.UpdateRepo(&model.UpdateRepoRequest{Namespace: "team", Repository: "a$b", Body: &model.UpdateRepoRequestBody{IsPublic: true, Description: ptr("second")}}))
	list := must[*model.ListReposDetailsResponse](t)(cl.ListReposDetails(&model.ListReposDetailsRequest{Namespace: ptr("team")}))
	if len(*list.Body) != 1 || !(*list.Body)[0].IsPublic || len((*list.Body)[0].Tags) != 2 {
		t.Errorf("repositories: %v", list)
	}
	must[*model.CreateRepoTagResponse](t)(cl.CreateRepoTag(&model.CreateRepoTagRequest{Namespace: "team", Repository: "a$b",
		Body: &model.CreateRepoTagRequestBody{SourceTag: "v1", DestinationTag: "stable"}}))
	tags := must[*model.ListRepositoryTagsResponse](t)(cl.ListRepositoryTags(&model.ListRepositoryTagsRequest{Namespace: "team", Repository: "a$b"}))
	if len(*tags.Body) != 3 || (*tags.Body)[0].Tag != "stable" || !strings.HasPrefix((*tags.Body)[0].Digest, "sha256:") {
		t.Errorf("tags: %v", tags)
	}
	must[*model.DeleteRepoTagResponse](t)(cl.DeleteRepoTag(&model.DeleteRepoTagRequest{Namespace: "team", Repository: "a$b", Tag: "stable"}))
	_, err = cl.DeleteRepoTag(&model.DeleteRepoTagRequest{Namespace: "team", Repository: "a$b", Tag: "stable"})
	refused(t, err, 404, "SVCSTG.SWR.4040001")

	must[*model.CreateRepoDomainsResponse](t)(cl.CreateRepoDomains(&model.CreateRepoDomainsRequest{Namespace: "team", Repository: "a$b",
		Body: &model.CreateRepoDomainsRequestBody{AccessDomain: "partner", Permit: "read", Deadline: "forever"}}))
	share := must[*model.ShowAccessDomainResponse](t)(cl.ShowAccessDomain(&model.ShowAccessDomainRequest{Namespace: "team", Repository: "a$b", AccessDomain: "partner"}))
	if *share.Deadline != "forever" || !*share.Status {
		t.Errorf("share: %v", share)
	}
	must[*model.DeleteRepoDomainsResponse](t)(cl.DeleteRepoDomains(&model.DeleteRepoDomainsRequest{Namespace: "team", Repository: "a$b", AccessDomain: "partner"}))

	var params any = map[string]string{"num": "1"}
	made := must[*model.CreateRetentionResponse](t)(cl.CreateRetention(&model.CreateRetentionRequest{Namespace: "team", Repository: "a$b",
		Body: &model.CreateRetentionRequestBody{Algorithm: "or", Rules: []model.Rule{{Template: model.GetRuleTemplateEnum().TAG_RULE, Params: &params,
			TagSelectors: []model.TagSelector{{Kind: "label", Pattern: "keep"}}}}}}))
	ret := must[*model.ShowRetentionResponse](t)(cl.ShowRetention(&model.ShowRetentionRequest{Namespace: "team", Repository: "a$b", RetentionId: *made.Id}))
	if len(*ret.Rules) != 1 || len((*ret.Rules)[0].TagSelectors) != 1 {
		t.Errorf("retention: %v", ret)
	}
	must[*model.DeleteRetentionResponse](t)(cl.DeleteRetention(&model.DeleteRetentionRequest{Namespace: "team", Repository: "a$b", RetentionId: *made.Id}))

	login := must[*model.CreateSecretResponse](t)(cl.CreateSecret(&model.CreateSecretRequest{}))
	if len(login.Auths) != 1 || login.XSwrDockerlogin == nil || !strings.HasPrefix(*login.XSwrDockerlogin, "docker login -u awan-1@token -p ") {
		t.Errorf("log-in: %v", login)
	}
	for _, a := range login.Auths {
		if b, err := base64.StdEncoding.DecodeString(a.Auth); err != nil || !strings.HasPrefix(string(b), "awan-1@token:") {
			t.Errorf("log-in: %s %v", b, err)
		}
	}
	must[*model.ListQuotasResponse](t)(cl.ListQuotas(&model.ListQuotasRequest{}))
	if o := must[*model.ShowDomainOverviewResponse](t)(cl.ShowDomainOverview(&model.ShowDomainOverviewRequest{})); *o.RepoNum != 1 || *o.ImageNum != 2 {
		t.Errorf("overview: %v", o)
	}
	_, err = cl.DeleteNamespaces(&model.DeleteNamespacesRequest{Namespace: "team"})
	refused(t, err, 409, "SVCSTG.SWR.4090001")
	must[*model.DeleteRepoResponse](t)(cl.DeleteRepo(&model.DeleteRepoRequest{Namespace: "team", Repository: "a$b"}))
	must[*model.DeleteNamespacesResponse](t)(cl.DeleteNamespaces(&model.DeleteNamespacesRequest{Namespace: "team"}))
}

// swrPlan is what a tenant writes for images.
const swrPlan = `
terraform {
  required_providers {
    huaweicloud = { source = "huaweicloud/huaweicloud" }
  }
}
provider "huaweicloud" {
  region      = "awan-1"
  access_key  = "%[1]s"
  secret_key  = "%[2]s"
  auth_url    = "%[3]s/iam/v3"
  cloud       = "awan.test"
  max_retries = 1
  endpoints = {
    iam = "%[3]s/iam/"
    swr = "%[3]s/swr/"
  }
}
resource "huaweicloud_swr_organization" "team" {
  name = "team"
}
resource "huaweicloud_identity_user" "alice" {
  name     = "alice"
  password = "correct-Horse-7"
}
resource "huaweicloud_swr_organization_permissions" "team" {
  organization = huaweicloud_swr_organization.team.name
  users {
    user_id    = huaweicloud_identity_user.alice.id
    user_name  = huaweicloud_identity_user.alice.name
    permission = "%[5]s"
  }
}
resource "huaweicloud_swr_repository" "shop" {
  organization = huaweicloud_swr_organization.team.name
  name         = "web/shop"
  category     = "linux"
  description  = "%[4]s"
  is_public    = false
}
resource "huaweicloud_swr_repository_sharing" "partner" {
  organization    = huaweicloud_swr_organization.team.name
  repository      = huaweicloud_swr_repository.shop.name
  sharing_account = "partner"
  deadline        = "forever"
  description     = "%[4]s"
}
resource "huaweicloud_swr_image_permissions" "shop" {
  organization = huaweicloud_swr_organization.team.name
  repository   = huaweicloud_swr_repository.shop.name
  users {
    user_id    = huaweicloud_identity_user.alice.id
    user_name  = huaweicloud_identity_user.alice.name
    permission = "%[5]s"
  }
}
resource "huaweicloud_swr_image_retention_policy" "shop" {
  organization = huaweicloud_swr_organization.team.name
  repository   = huaweicloud_swr_repository.shop.name
  type         = "date_rule"
  number       = %[6]d
  tag_selectors {
    kind    = "label"
    pattern = "stable"
  }
}
resource "huaweicloud_swr_temporary_login_command" "login" {}
data "huaweicloud_swr_organizations" "all" {
  depends_on = [huaweicloud_swr_organization.team]
}
data "huaweicloud_swr_repositories" "all" {
  depends_on = [huaweicloud_swr_repository.shop]
}
data "huaweicloud_swr_image_tags" "shop" {
  organization = huaweicloud_swr_organization.team.name
  repository   = huaweicloud_swr_repository.shop.name
}
data "huaweicloud_swr_image_retention_policies" "shop" {
  organization = huaweicloud_swr_organization.team.name
  repository   = huaweicloud_swr_repository.shop.name
  depends_on   = [huaweicloud_swr_image_retention_policy.shop]
}
data "huaweicloud_swr_shared_accounts" "shop" {
  organization = huaweicloud_swr_organization.team.name
  repository   = huaweicloud_swr_repository.shop.name
  depends_on   = [huaweicloud_swr_repository_sharing.partner]
}
data "huaweicloud_swr_quotas" "here" {}
data "huaweicloud_swr_domain_overviews" "here" {}
output "organizations" {
  value = data.huaweicloud_swr_organizations.all.organizations[*].name
}
`

// TestTerraformSWR: apply, nothing left to do, change, nothing left to do, destroy.
func TestTerraformSWR(t *testing.T) {
	terraform.Needed(t)
	c := cloudtest.Start(t)
	tf := terraform.New(t, c.CAFile)
	write := func(text, permission string, days int) {
		tf.Write("main.tf", fmt.Sprintf(swrPlan, c.Admin.AccessKey, c.Admin.SecretKey, c.URL, text, permission, days))
	}
	begin := time.Now()
	write("first", "Read", 30)
	if out := tf.Run(0, "apply", "-auto-approve", "-input=false"); !strings.Contains(out, "Resources: 8 added") || !strings.Contains(out, `"team"`) {
		t.Errorf("apply: %s", out)
	}
	tf.Run(0, "plan", "-detailed-exitcode", "-input=false")
	write("second", "Write", 60)
	if out := tf.Run(0, "apply", "-auto-approve", "-input=false"); !strings.Contains(out, "5 changed, 0 destroyed") {
		t.Errorf("change: %s", out)
	}
	tf.Run(0, "plan", "-detailed-exitcode", "-input=false")
	if out := tf.Run(0, "destroy", "-auto-approve", "-input=false"); !strings.Contains(out, "Resources: 8 destroyed") {
		t.Errorf("destroy: %s", out)
	}
	t.Logf("%s", time.Since(begin).Round(time.Second))
}
