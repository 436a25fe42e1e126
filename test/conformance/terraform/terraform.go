// Package terraform runs Terraform with Huawei Cloud's provider, unmodified, against a cloud. Only tests import it.
package terraform

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// providerDir names the folder with a built terraform-provider-huaweicloud, which is far too big to build for a test.
const providerDir = "AWAN_TERRAFORM_HUAWEI"

// Terraform is a working folder.
type Terraform struct {
	t   testing.TB
	dir string
	env []string
}

// Needed skips the test where Terraform or the provider is not at hand.
func Needed(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("the terraform command is not installed")
	}
	if os.Getenv(providerDir) == "" {
		t.Skipf("%s does not name a folder with a built terraform-provider-huaweicloud", providerDir)
	}
}

// New makes a working folder that uses the provider and trusts the CA of that file.
func New(t testing.TB, caFile string) *Terraform {
	t.Helper()
	tf := &Terraform{t: t, dir: t.TempDir(), env: []string{"SSL_CERT_FILE=" + caFile, "TF_CLI_CONFIG_FILE=terraformrc", "PATH=" + os.Getenv("PATH"),
		"HOME=" + t.TempDir(), "CHECKPOINT_DISABLE=1"}}
	tf.Write("terraformrc", fmt.Sprintf("provider_installation {\n dev_overrides {\n \"huaweicloud/huaweicloud\" = %q\n }\n direct {}\n}\n", os.Getenv(providerDir)))
	return tf
}

// Set adds variables, NAME=VALUE, to Terraform's environment.
func (tf *Terraform) Set(env ...string) { tf.env = append(tf.env, env...) }

// Run runs a command of Terraform, which must end with that exit code, and gives what it printed.
func (tf *Terraform) Run(want int, args ...string) string {
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

// Write puts a file into the working folder.
func (tf *Terraform) Write(name, text string) {
	tf.t.Helper()
	if err := os.WriteFile(filepath.Join(tf.dir, name), []byte(text), 0o600); err != nil {
		tf.t.Fatal(err)
	}
}
