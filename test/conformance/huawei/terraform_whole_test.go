package huawei_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/awancloud/awan/test/conformance/cloudtest"
	"github.com/awancloud/awan/test/conformance/terraform"
)

// wholePlan is the rest of identity: version 5, agencies, settings, enterprise projects and tags. The second value is the
// description, which changes; the third a number that does.
const wholePlan = `
terraform {
  required_providers {
    huaweicloud = { source = "huaweicloud/huaweicloud" }
  }
}
provider "huaweicloud" {
  region                = "awan-1"
  access_key            = "%[4]s"
  secret_key            = "%[5]s"
  domain_id             = "%[6]s"
  project_id            = "%[7]s"
  auth_url              = "%[1]s/iam/v3"
  cloud                 = "awan.test"
  enterprise_project_id = "0"
  max_retries           = 1
  endpoints = {
    iam = "%[1]s/iam/"
    eps = "%[1]s/eps/"
    tms = "%[1]s/tms/"
    sts = "%[1]s/sts/"
  }
}
resource "huaweicloud_identityv5_user" "alice" {
  name        = "alice"
  description = "%[2]s"
}
resource "huaweicloud_identityv5_group" "crew" {
  group_name  = "crew"
  description = "%[2]s"
}
resource "huaweicloud_identityv5_group_membership" "crew" {
  group_id     = huaweicloud_identityv5_group.crew.id
  user_id_list = [huaweicloud_identityv5_user.alice.id]
}
resource "huaweicloud_identityv5_policy" "look" {
  name            = "look"
  path            = "eyes/"
  policy_document = jsonencode({ Version = "5.0", Statement = [{ Effect = "Allow", Action = ["app:*:get"], Condition = { NumericLessThan = { "g:MFAAge" = ["%[3]d"] } } }] })
}
resource "huaweicloud_identityv5_policy_user_attach" "alice" {
  policy_id = huaweicloud_identityv5_policy.look.id
  user_id   = huaweicloud_identityv5_user.alice.id
}
resource "huaweicloud_identityv5_policy_group_attach" "crew" {
  policy_id = huaweicloud_identityv5_policy.look.id
  group_id  = huaweicloud_identityv5_group.crew.id
}
resource "huaweicloud_identityv5_access_key" "laptop" {
  user_id = huaweicloud_identityv5_user.alice.id
  status  = "inactive"
}
resource "huaweicloud_identityv5_login_profile" "alice" {
  user_id                 = huaweicloud_identityv5_user.alice.id
  password                = "correct-Horse-%[3]d"
  password_reset_required = true
}
resource "huaweicloud_identityv5_resource_tag" "alice" {
  resource_type = "user"
  resource_id   = huaweicloud_identityv5_user.alice.id
  tags          = { team = "%[2]s" }
}
resource "huaweicloud_identityv5_password_policy" "rules" {
  minimum_password_length = %[3]d
}
resource "huaweicloud_identity_login_policy" "rules" {
  session_timeout       = %[3]d5
  custom_info_for_login = "%[2]s"
}
resource "huaweicloud_identity_acl" "console" {
  type = "console"
  ip_cidrs {
    cidr        = "192.0.2.0/24"
    description = "%[2]s"
  }
  depends_on = [huaweicloud_identity_login_policy.rules]
}
resource "huaweicloud_identity_virtual_mfa_device" "phone" {
  name    = "phone"
  user_id = huaweicloud_identityv5_user.alice.id
}
resource "huaweicloud_enterprise_project" "retail" {
  name        = "retail"
  description = "%[2]s"
  delete_flag = true
}
resource "huaweicloud_identity_user_role_assignment" "retail" {
  user_id               = huaweicloud_identityv5_user.alice.id
  role_id               = data.huaweicloud_identity_role.auditor.id
  enterprise_project_id = huaweicloud_enterprise_project.retail.id
}
resource "huaweicloud_identity_group_role_assignment" "retail" {
  group_id              = huaweicloud_identityv5_group.crew.id
  role_id               = data.huaweicloud_identity_role.auditor.id
  enterprise_project_id = huaweicloud_enterprise_project.retail.id
}
resource "huaweicloud_identity_agency" "partner" {
  name                  = "partner"
  description           = "%[2]s"
  delegated_domain_name = "partner"
  duration              = "%[3]d"
  project_role {
    project = "awan-1"
    roles   = ["auditor"]
  }
  domain_roles        = ["read-only"]
  all_resources_roles = ["app-admin"]
}
resource "huaweicloud_identity_trust_agency" "gateway" {
  name         = "gateway"
  description  = "%[2]s"
  trust_policy = jsonencode({ Version = "5.0", Statement = [{ Effect = "Allow", Principal = { Service = ["service.OBS"] }, Action = ["sts:agencies:assume"] }] })
  policy_names = ["read-only"]
  duration     = 7200
  tags         = { team = "%[2]s" }
}
resource "huaweicloud_tms_tags" "offered" {
  tags {
    key   = "team"
    value = "%[2]s"
  }
}
data "huaweicloud_identity_role" "auditor" {
  name = "auditor"
}
data "huaweicloud_identityv5_account_summary" "all" {
}
data "huaweicloud_identityv5_policies" "own" {
  policy_type = "custom"
  depends_on  = [huaweicloud_identityv5_policy.look]
}
data "huaweicloud_enterprise_projects" "all" {
  depends_on = [huaweicloud_enterprise_project.retail]
}
output "seen" {
  value = "policies ${length(data.huaweicloud_identityv5_policies.own.policies)} projects ${length(data.huaweicloud_enterprise_projects.all.enterprise_projects)}"
}
`

// TestTerraformWhole: apply, nothing left to do, change, nothing left to do, destroy.
func TestTerraformWhole(t *testing.T) {
	terraform.Needed(t)
	c := cloudtest.Start(t)
	create(t, c, c.Ident.Kinds.Domain.D, "", "partner", `{}`)
	tf := terraform.New(t, c.CAFile)
	config := func(description string, number int) {
		tf.Write("main.tf", fmt.Sprintf(wholePlan, c.URL, description, number, c.Admin.AccessKey, c.Admin.SecretKey, c.Admin.DomainID, c.Admin.ProjectID))
	}
	resources := strings.Count(wholePlan, "\nresource ")
	config("first", 10)
	if out := tf.Run(0, "apply", "-auto-approve", "-input=false"); !strings.Contains(out, fmt.Sprintf("Resources: %d added", resources)) ||
		!strings.Contains(out, "policies 1 projects 2") {
		t.Errorf("apply: %s", out)
	}
	tf.Run(0, "plan", "-detailed-exitcode", "-input=false")
	config("second", 12)
	if out := tf.Run(0, "apply", "-auto-approve", "-input=false"); !strings.Contains(out, " changed, ") {
		t.Errorf("change: %s", out)
	}
	tf.Run(0, "plan", "-detailed-exitcode", "-input=false")
	if out := tf.Run(0, "destroy", "-auto-approve", "-input=false"); !strings.Contains(out, "destroyed") {
		t.Errorf("destroy: %s", out)
	}
}
