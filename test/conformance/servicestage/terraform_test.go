package servicestage_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/test/conformance/terraform"
)

// plan is what a tenant writes. The first value is a word that changes, the last how the provider logs in.
const plan = `
terraform {
  required_providers {
    huaweicloud = { source = "huaweicloud/huaweicloud" }
  }
}
provider "huaweicloud" {
  region                = "awan-1"
  %[3]s
  auth_url              = "%[2]s/iam/v3"
  cloud                 = "awan.test"
  enterprise_project_id = "0"
  max_retries           = 1
  endpoints = {
    iam          = "%[2]s/iam/"
    eps          = "%[2]s/eps/"
    servicestage = "%[2]s/servicestage/"
    cce          = "%[2]s/cce/"
  }
}
data "huaweicloud_cce_clusters" "all" {}
resource "huaweicloud_servicestagev3_application" "shop" {
  name                  = "shop"
  description           = "%[1]s"
  enterprise_project_id = "0"
  tags                  = { word = "%[1]s" }
}
resource "huaweicloud_servicestagev3_environment" "live" {
  name                  = "live"
  vpc_id                = "vpc-1"
  description           = "%[1]s"
  enterprise_project_id = "0"
  tags                  = { word = "%[1]s" }
}
resource "huaweicloud_servicestagev3_environment_associate" "live" {
  environment_id = huaweicloud_servicestagev3_environment.live.id
  resources {
    id   = data.huaweicloud_cce_clusters.all.clusters[0].id
    type = "cce"
  }
}
resource "huaweicloud_servicestagev3_application_configuration" "live" {
  application_id = huaweicloud_servicestagev3_application.shop.id
  environment_id = huaweicloud_servicestagev3_environment.live.id
  configuration {
    env {
      name  = "WORD"
      value = "%[1]s"
    }
    assign_strategy = false
  }
}
resource "huaweicloud_servicestagev3_configuration_group" "shop" {
  name        = "shop"
  description = "of the shop"
}
resource "huaweicloud_servicestagev3_configuration" "settings" {
  config_group_id = huaweicloud_servicestagev3_configuration_group.shop.id
  name            = "settings"
  content         = "word=%[1]s"
  type            = "properties"
  sensitive       = false
  description     = "%[1]s"
}
resource "huaweicloud_servicestagev3_runtime_stack" "mine" {
  name        = "mine"
  deploy_mode = "container"
  type        = "Java"
  version     = "1.0.1"
  spec        = jsonencode({ parameters = { base_image = "my-java:%[1]s" } })
  description = "%[1]s"
}
resource "huaweicloud_servicestagev3_runtime_stack_batch_release" "mine" {
  runtime_stack_ids = [huaweicloud_servicestagev3_runtime_stack.mine.id]
}
resource "huaweicloud_servicestagev3_component" "web" {
  depends_on     = [huaweicloud_servicestagev3_environment_associate.live]
  application_id = huaweicloud_servicestagev3_application.shop.id
  environment_id = huaweicloud_servicestagev3_environment.live.id
  name           = "web"
  version        = "%[1]s" == "first" ? "1.0.1" : "1.0.2"
  replica        = 2
  limit_cpu      = 0.25
  limit_memory   = 0.125
  request_cpu    = 0.25
  request_memory = 0.125
  timezone       = "Asia/Kuala_Lumpur"
  description    = "%[1]s"
  runtime_stack {
    deploy_mode = "container"
    name        = "Docker"
    type        = "Docker"
  }
  source = jsonencode({ auth = "iam", kind = "image", storage = "swr", url = "library/web:%[1]s" })
  refer_resources {
    id         = data.huaweicloud_cce_clusters.all.clusters[0].id
    type       = "cce"
    parameters = jsonencode({ namespace = "default", type = "VirtualMachine" })
  }
  envs {
    name  = "STAGE"
    value = "%[1]s"
  }
  tags = { word = "%[1]s" }
  storages {
    type       = "ConfigMap"
    name       = "settings"
    parameters = jsonencode({ name = huaweicloud_servicestagev3_configuration.settings.name })
    mounts {
      path      = "/etc/shop"
      sub_path  = "settings"
      read_only = true
    }
  }
  external_accesses {
    protocol     = "HTTP"
    address      = "%[1]s.example.org"
    forward_port = 9000
  }
  custom_metric {
    path       = "/metrics"
    port       = 9100
    dimensions = "cpu_usage"
  }
  readiness_probe {
    type    = "command"
    delay   = 5
    timeout = 3
    command = ["true"]
  }
  liveness_probe {
    type    = "command"
    delay   = 30
    timeout = 30
    command = ["true"]
  }
  deploy_strategy {
    type            = "RollingRelease"
    rolling_release = jsonencode({ batches = 1 })
  }
}
resource "huaweicloud_servicestagev3_component_action" "restart" {
  application_id = huaweicloud_servicestagev3_application.shop.id
  component_id   = huaweicloud_servicestagev3_component.web.id
  action         = "restart"
}
resource "huaweicloud_servicestagev3_component_refresh" "web" {
  depends_on     = [huaweicloud_servicestagev3_component_action.restart]
  application_id = huaweicloud_servicestagev3_application.shop.id
  component_id   = huaweicloud_servicestagev3_component.web.id
}
data "huaweicloud_servicestagev3_applications" "all" { depends_on = [huaweicloud_servicestagev3_component.web] }
data "huaweicloud_servicestagev3_environments" "all" { depends_on = [huaweicloud_servicestagev3_component.web] }
data "huaweicloud_servicestagev3_components" "all" { depends_on = [huaweicloud_servicestagev3_component.web] }
data "huaweicloud_servicestagev3_component_used_resources" "all" { depends_on = [huaweicloud_servicestagev3_component.web] }
data "huaweicloud_servicestagev3_runtime_stacks" "all" { depends_on = [huaweicloud_servicestagev3_runtime_stack.mine] }
data "huaweicloud_servicestagev3_inner_runtime_stacks" "all" {}
data "huaweicloud_servicestagev3_component_records" "web" {
  application_id = huaweicloud_servicestagev3_application.shop.id
  component_id   = huaweicloud_servicestagev3_component.web.id
}
output "seen" {
  value = join(" ", [data.huaweicloud_servicestagev3_applications.all.applications[0].name, data.huaweicloud_servicestagev3_environments.all.environments[0].name,
    data.huaweicloud_servicestagev3_components.all.components[0].name, data.huaweicloud_servicestagev3_component_used_resources.all.applications[0].label,
    [for s in data.huaweicloud_servicestagev3_runtime_stacks.all.runtime_stacks : s.name if s.name == "mine"][0],
    length(data.huaweicloud_servicestagev3_inner_runtime_stacks.all.runtime_stacks) > 0 ? "inner" : "none",
    data.huaweicloud_servicestagev3_component_records.web.records[0].version])
}
`

// TestTerraform: apply, nothing left to do, change, nothing left to do, destroy.
func TestTerraform(t *testing.T) {
	terraform.Needed(t)
	s := open(t)
	tf := terraform.New(t, s.ca())
	config := func(word string) string {
		return fmt.Sprintf(plan, word, s.URL(), fmt.Sprintf("access_key = %q\n  secret_key = %q", s.admin[adminenv.AccessKey], s.admin[adminenv.SecretKey]))
	}
	tf.Write("main.tf", config("first"))
	if out := tf.Run(0, "apply", "-auto-approve", "-input=false"); !strings.Contains(out, "Resources: 11 added") || !strings.Contains(out, `"shop live web shop mine inner 1.0.1"`) {
		t.Errorf("apply: %s", out)
	}
	tf.Run(0, "plan", "-detailed-exitcode", "-input=false") // 2 would mean that something is left to do
	tf.Write("main.tf", config("second"))
	if out := tf.Run(0, "apply", "-auto-approve", "-input=false"); !strings.Contains(out, "0 added, 6 changed, 0 destroyed") {
		t.Errorf("change: %s", out)
	}
	tf.Run(0, "plan", "-detailed-exitcode", "-input=false")
	if out := tf.Run(0, "destroy", "-auto-approve", "-input=false"); !strings.Contains(out, "Resources: 11 destroyed") {
		t.Errorf("destroy: %s", out)
	}
}
