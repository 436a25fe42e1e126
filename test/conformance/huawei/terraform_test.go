package huawei_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// providerDir names the folder with a built terraform-provider-huaweicloud, which is far too big to build for a test.
const providerDir = "AWAN_TERRAFORM_HUAWEI"

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

type terraform struct {
	t   *testing.T
	dir string
	env []string
}

func (tf *terraform) run(want int, args ...string) string {
	tf.t.Helper()
	ctx, cancel := context.WithTimeout(tf.t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "terraform", append(args, "-no-color")...)
	cmd.Dir, cmd.Env = tf.dir, tf.env
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != want {
		tf.t.Fatalf("terraform %s: %v, exit %d, want %d\n%s", strings.Join(args, " "), err, code, want, out)
	}
	return string(out)
}

func (tf *terraform) write(name, text string) {
	tf.t.Helper()
	if err := os.WriteFile(filepath.Join(tf.dir, name), []byte(text), 0o600); err != nil {
		tf.t.Fatal(err)
	}
}

// TestTerraform: Huawei Cloud's Terraform provider, unmodified: apply, nothing left to do, change, nothing left to do,
// destroy; by access key and by password.
func TestTerraform(t *testing.T) {
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("the terraform command is not installed")
	}
	provider := os.Getenv(providerDir)
	if provider == "" {
		t.Skipf("%s does not name a folder with a built terraform-provider-huaweicloud", providerDir)
	}
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
			tf := &terraform{t: t, dir: t.TempDir(), env: []string{"SSL_CERT_FILE=" + c.CAFile, "TF_CLI_CONFIG_FILE=terraformrc", "PATH=" + os.Getenv("PATH"),
				"HOME=" + t.TempDir(), "CHECKPOINT_DISABLE=1"}}
			tf.write("terraformrc", fmt.Sprintf("provider_installation {\n dev_overrides {\n \"huaweicloud/huaweicloud\" = %q\n }\n direct {}\n}\n", provider))
			config := func(description string) string {
				return fmt.Sprintf(plan, credential(c), c.URL, description, string(c.Admin.DomainID))
			}
			tf.write("main.tf", config("first"))
			out := tf.run(0, "apply", "-auto-approve", "-input=false")
			if !strings.Contains(out, "Resources: 8 added") || !strings.Contains(out, string(c.Admin.ProjectID)) {
				t.Errorf("apply: %s", out)
			}
			tf.run(0, "plan", "-detailed-exitcode", "-input=false") // 2 would mean that something is left to do
			tf.write("main.tf", config("second"))
			if out = tf.run(0, "apply", "-auto-approve", "-input=false"); !strings.Contains(out, "5 changed, 0 destroyed") {
				t.Errorf("change: %s", out)
			}
			tf.run(0, "plan", "-detailed-exitcode", "-input=false")
			if out = tf.run(0, "destroy", "-auto-approve", "-input=false"); !strings.Contains(out, "Resources: 8 destroyed") {
				t.Errorf("destroy: %s", out)
			}
		})
	}
}
