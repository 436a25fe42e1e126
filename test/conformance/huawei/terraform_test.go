package huawei_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/awancloud/awan/test/conformance/cloudtest"
	"github.com/awancloud/awan/test/conformance/terraform"
)

// plan is what a tenant writes: resources that stand on each other. The first value is the description, which changes.
const plan = `
terraform {
  required_providers {
    huaweicloud = { source = "huaweicloud/huaweicloud" }
  }
}
provider "huaweicloud" {
  region                = "awan-1"
  %s
  auth_url              = "%[2]s/iam/v3"
  cloud                 = "awan.test"
  enterprise_project_id = "0"
  max_retries           = 1
  endpoints = {
    iam = "%[2]s/iam/"
    eps = "%[2]s/eps/"
  }
}
resource "huaweicloud_identity_project" "shop" {
  name        = "awan-1_shop"
  description = "%[3]s"
}
resource "huaweicloud_identity_user" "alice" {
  name         = "alice"
  description  = "%[3]s"
  password     = "correct-Horse-7"
  email        = "alice@example.org"
  country_code = "0062"
  phone        = "811223344"
}
resource "huaweicloud_identity_group" "crew" {
  name        = "crew"
  description = "%[3]s"
}
resource "huaweicloud_identity_group_membership" "crew" {
  group = huaweicloud_identity_group.crew.id
  users = [huaweicloud_identity_user.alice.id]
}
resource "huaweicloud_identity_role" "look" {
  name        = "look"
  description = "%[3]s"
  type        = "XA"
  policy      = jsonencode({ Version = "1.1", Statement = [{ Effect = "Allow", Action = ["app:*:get", "app:*:list"] }] })
}
resource "huaweicloud_identity_group_role_assignment" "here" {
  group_id   = huaweicloud_identity_group.crew.id
  role_id    = huaweicloud_identity_role.look.id
  project_id = huaweicloud_identity_project.shop.id
}
resource "huaweicloud_identity_group_role_assignment" "everywhere" {
  group_id  = huaweicloud_identity_group.crew.id
  role_id   = data.huaweicloud_identity_role.auditor.id
  domain_id = "%[4]s"
}
resource "huaweicloud_identity_access_key" "laptop" {
  user_id     = huaweicloud_identity_user.alice.id
  description = "%[3]s"
  secret_file = "secret.csv"
}
data "huaweicloud_identity_role" "auditor" {
  name = "auditor"
}
data "huaweicloud_identity_projects" "mine" {
  name = "awan-1"
}
output "projects" {
  value = data.huaweicloud_identity_projects.mine.projects[*].id
}
`

// TestTerraform: Huawei Cloud's Terraform provider, unmodified: apply, nothing left to do, change, nothing left to do,
// destroy; by access key and by password.
func TestTerraform(t *testing.T) {
	terraform.Needed(t)
	for name, credential := range map[string]func(c *cloudtest.Cloud) string{
		"access key": func(c *cloudtest.Cloud) string {
			return fmt.Sprintf("access_key = %q\nsecret_key = %q", c.Admin.AccessKey, c.Admin.SecretKey)
		},
		"password": func(c *cloudtest.Cloud) string {
			return fmt.Sprintf("user_name = %q\npassword = %q\ndomain_name = \"awan\"", c.Admin.User, c.Admin.Password)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := cloudtest.Start(t)
			tf := terraform.New(t, c.CAFile)
			config := func(description string) string {
				return fmt.Sprintf(plan, credential(c), c.URL, description, string(c.Admin.DomainID))
			}
			tf.Write("main.tf", config("first"))
			out := tf.Run(0, "apply", "-auto-approve", "-input=false")
			if !strings.Contains(out, "Resources: 8 added") || !strings.Contains(out, string(c.Admin.ProjectID)) {
				t.Errorf("apply: %s", out)
			}
			tf.Run(0, "plan", "-detailed-exitcode", "-input=false") // 2 would mean that something is left to do
			tf.Write("main.tf", config("second"))
			if out = tf.Run(0, "apply", "-auto-approve", "-input=false"); !strings.Contains(out, "5 changed, 0 destroyed") {
				t.Errorf("change: %s", out)
			}
			tf.Run(0, "plan", "-detailed-exitcode", "-input=false")
			if out = tf.Run(0, "destroy", "-auto-approve", "-input=false"); !strings.Contains(out, "Resources: 8 destroyed") {
				t.Errorf("destroy: %s", out)
			}
		})
	}
}
