package servicestage_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/internal/cloud"
	"github.com/awancloud/awan/test/conformance/terraform"
)

// deliveryPlan is what a tenant writes for images that are released and copied. The last value is whether the trigger is on.
const deliveryPlan = `
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
    cce = "%[3]s/cce/"
  }
}
data "huaweicloud_cce_clusters" "all" {}
resource "huaweicloud_swr_agency" "leave" {}
resource "huaweicloud_swr_repository_tag" "stable" {
  organization    = "team"
  repository      = "shop"
  source_tag      = "v1"
  destination_tag = "stable"
}
resource "huaweicloud_swr_image_trigger" "live" {
  organization    = "team"
  repository      = "shop"
  name            = "live"
  workload_type   = "deployments"
  workload_name   = "shop"
  namespace       = "default"
  cluster_id      = data.huaweicloud_cce_clusters.all.clusters[0].id
  condition_type  = "all"
  condition_value = ".*"
  enabled         = "%[4]s"
}
resource "huaweicloud_swr_image_auto_sync" "mirror" {
  organization        = "team"
  repository          = "shop"
  target_region       = "awan-1"
  target_organization = "mirror"
  override            = true
}
resource "huaweicloud_swr_image_manual_sync" "once" {
  organization        = "team"
  repository          = "shop"
  image_tag           = ["v1"]
  target_region       = "awan-1"
  target_organization = "mirror"
  depends_on          = [huaweicloud_swr_image_auto_sync.mirror]
}
data "huaweicloud_swr_image_triggers" "shop" {
  organization = "team"
  repository   = "shop"
  depends_on   = [huaweicloud_swr_image_trigger.live]
}
data "huaweicloud_swr_image_auto_sync_jobs" "shop" {
  organization = "team"
  repository   = "shop"
}
data "huaweicloud_swr_sync_regions" "all" {}
data "huaweicloud_swr_feature_gates" "here" {}
data "huaweicloud_swrv3_repositories" "all" {}
data "huaweicloud_swrv3_image_tags" "shop" {
  organization = "team"
  repository   = "shop"
}
data "huaweicloud_swrv3_shared_repositories" "mine" { shared_by = "self" }
data "huaweicloud_swr_signed_image_attachments" "v1" {
  namespace  = "team"
  repository = "shop"
  tag        = "v1"
}
data "huaweicloud_swr_signed_image_associated_image_tags" "v1" {
  namespace  = "team"
  repository = "shop"
  sig_tag    = "v1"
}
output "seen" {
  value = join(" ", [data.huaweicloud_swr_image_triggers.shop.triggers[0].name, data.huaweicloud_swr_sync_regions.all.sync_regions[0],
    data.huaweicloud_swrv3_repositories.all.repos[0].organization])
}
`

// TestTerraformDelivery: apply, nothing left to do, change, nothing left to do, destroy.
func TestTerraformDelivery(t *testing.T) {
	terraform.Needed(t)
	s := openRegistry(t)
	s.ask("POST", "/v2/manage/namespaces", object{"namespace": "mirror"}, 201)
	digest := s.push("team/shop:v1")
	s.ask("POST", "/awan/v1/projects/"+s.project+"/app/components", object{"name": "shop", "spec": object{"source": object{"image": "team/shop:v1"}, "probe": object{"type": "none"}}}, 202)
	tf := terraform.New(t, s.ca())
	write := func(enabled string) {
		tf.Write("main.tf", fmt.Sprintf(deliveryPlan, s.admin[adminenv.AccessKey], s.admin[adminenv.SecretKey], s.URL(), enabled))
	}
	write("true")
	if out := tf.Run(0, "apply", "-auto-approve", "-input=false"); !strings.Contains(out, "Resources: 5 added") || !strings.Contains(out, `"live `+cloud.DefaultRegion+` team"`) {
		t.Errorf("apply: %s", out)
	}
	s.until("copy", func() bool {
		im, err := s.Registry.Resolve(t.Context(), "mirror/shop", "v1")
		return err == nil && im.Digest == digest
	})
	tf.Run(0, "plan", "-detailed-exitcode", "-input=false")
	write("false")
	if out := tf.Run(0, "apply", "-auto-approve", "-input=false"); !strings.Contains(out, "0 added, 1 changed, 0 destroyed") {
		t.Errorf("change: %s", out)
	}
	tf.Run(0, "plan", "-detailed-exitcode", "-input=false")
	if out := tf.Run(0, "destroy", "-auto-approve", "-input=false"); !strings.Contains(out, "Resources: 5 destroyed") {
		t.Errorf("destroy: %s", out)
	}
}
