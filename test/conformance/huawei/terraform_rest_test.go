package huawei_test

import (
	"os"
	"strings"
	"testing"

	"github.com/awancloud/awan/test/conformance/cloudtest"
	"github.com/awancloud/awan/test/conformance/terraform"
)

// TestTerraformRest: every resource and data source of identity, enterprise projects and tags that the other two do not have:
// apply, nothing left to do, change, nothing left to do, destroy. What is left out is in docs/clients.md.
func TestTerraformRest(t *testing.T) {
	terraform.Needed(t)
	c := cloudtest.Start(t)
	text, err := os.ReadFile("testdata/identity.tf")
	if err != nil {
		t.Fatal(err)
	}
	tf := terraform.New(t, c.CAFile)
	config := func(word string) {
		tf.Write("main.tf", strings.NewReplacer("CLOUD_URL", c.URL, "ACCESS_KEY", c.Admin.AccessKey, "SECRET_KEY", c.Admin.SecretKey, "DOMAIN_ID", string(c.Admin.DomainID),
			"PROJECT_ID", string(c.Admin.ProjectID), "ADMIN_PASSWORD", c.Admin.Password, "WORD_CHANGES", word).Replace(string(text)))
	}
	config("first")
	tf.Run(0, "apply", "-auto-approve", "-input=false")
	tf.Run(0, "plan", "-detailed-exitcode", "-input=false")
	config("second")
	if out := tf.Run(0, "apply", "-auto-approve", "-input=false"); !strings.Contains(out, " changed, ") {
		t.Errorf("change: %s", out)
	}
	tf.Run(0, "plan", "-detailed-exitcode", "-input=false")
	tf.Run(0, "destroy", "-auto-approve", "-input=false")
}
