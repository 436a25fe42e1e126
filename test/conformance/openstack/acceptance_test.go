package openstack_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	machines "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/kernel/fault"
	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// suites are gophercloud's own acceptance tests, by package below acceptance.
var suites = []string{"compute/v2", "blockstorage/v3", "image/v2", "networking/v2/..."}

const acceptance = "github.com/gophercloud/gophercloud/v2/internal/acceptance/openstack/"

// outcome is what became of one of gophercloud's tests.
type outcome struct{ suite, test, action, output string }

// TestAcceptance: gophercloud's acceptance tests pass, unmodified, but for those that testdata/acceptance.txt names with what they ask for that this cloud does not
// offer. One that is named there and passes is an error too.
func TestAcceptance(t *testing.T) {
	if os.Getenv("AWAN_LONG") == "" {
		t.Skip("gophercloud's acceptance tests take minutes: set AWAN_LONG=1")
	}
	c, _ := serversOn(t, machines.Options{Before: shutDown})
	env := choices(t, c)
	but := exceptions(t)
	for _, s := range suites {
		t.Run(s, func(t *testing.T) {
			seen := 0
			for _, o := range run(t, s, env, but) {
				why, listed := but[o.suite+" "+o.test]
				seen++
				switch {
				case o.action == "pass" && listed:
					t.Errorf("%s %s passes: strike it from the list (%s)", o.suite, o.test, why)
				case o.action != "pass" && !listed:
					t.Errorf("%s %s: %s\n%s", o.suite, o.test, o.action, o.output)
				}
			}
			if seen == 0 {
				t.Error("nothing was run")
			}
		})
	}
}

// shutDown takes the time that a system takes to end: gophercloud looks once a second, and wants to have seen it.
func shutDown(ctx context.Context, c machines.Call) error {
	if c.Method != "Stop" && c.Method != "Reset" {
		return nil
	}
	return fault.Slow[machines.Call](2500*time.Millisecond)(ctx, c)
}

// choices are the environment in which the tests run: who they are, and what of the cloud they use.
func choices(t *testing.T, c *cloudtest.Cloud) []string {
	t.Helper()
	cl := start(t, c, c.Admin.User, c.Admin.Password)
	env := append(environment(c, c.Admin.User, c.Admin.Password), "OS_DOMAIN_NAME="+c.Admin.Domain, "OS_TENANT_NAME="+c.Admin.Project, "OS_BRANCH=master",
		"SSL_CERT_FILE="+c.CAFile, "OS_FLAVOR_ID=m1.tiny", "OS_FLAVOR_ID_RESIZE=m1.small", "OS_POOL_NAME=public", "OS_NETWORK_NAME=private")
	named := func(list, name string) string {
		for _, row := range cl.list(list) {
			if row["Name"] == name {
				return row["ID"].(string)
			}
		}
		t.Fatalf("%s: no %s", list, name)
		return ""
	}
	net := cl.show("network create private")
	sub := cl.show("subnet create private --network private --subnet-range 192.168.77.0/24")
	cl.ok("router create edge --external-gateway public")
	cl.ok("router add subnet edge private")
	disk := filepath.Join(t.TempDir(), "disk.raw") // as small as the volumes that the tests make
	if err := os.WriteFile(disk, bytes.Repeat([]byte("awan"), 1<<18), 0o600); err != nil {
		t.Fatal(err)
	}
	cl.ok("image create --disk-format raw --container-format bare --file " + disk + " tests")
	return append(env, "OS_IMAGE_ID="+named("image list", "tests"), "OS_EXTGW_ID="+named("network list --external", "public"),
		"OS_NETWORK_ID="+net["id"].(string), "OS_SUBNET_ID="+sub["id"].(string))
}

// run runs one of the suites, but for the tests that would end all of them; AWAN_ACCEPTANCE chooses tests by name.
func run(t *testing.T, suite string, env []string, but map[string]string) (out []outcome) {
	t.Helper()
	var panics []string
	for name, why := range but {
		if strings.HasPrefix(why, "panics: ") {
			panics = append(panics, name[strings.IndexByte(name, ' ')+1:])
		}
	}
	args := []string{"test", "-tags", "acceptance", "-json", "-count=1", "-p=1", "-timeout=30m", "-run", os.Getenv("AWAN_ACCEPTANCE"), "-skip", "^(" + strings.Join(panics, "|") + ")$", acceptance + suite}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = env
	var errs bytes.Buffer
	cmd.Stderr = &errs
	b, err := cmd.Output()
	printed := map[string]string{}
	for line := range bytes.Lines(b) {
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal(line, &e) != nil || e.Test == "" {
			continue
		}
		name := strings.TrimPrefix(e.Package, acceptance) + " " + e.Test
		switch e.Action {
		case "output":
			printed[name] += e.Output
		case "pass", "fail", "skip":
			if !strings.Contains(e.Test, "/") {
				out = append(out, outcome{strings.TrimPrefix(e.Package, acceptance), e.Test, e.Action, printed[name]})
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("go test: %v\n%s", err, errs.String())
	}
	if to := os.Getenv("AWAN_ACCEPTANCE_LOG"); to != "" {
		var all strings.Builder
		for _, o := range out {
			all.WriteString("=== " + o.action + " " + o.suite + " " + o.test + "\n" + o.output)
		}
		if err := os.WriteFile(filepath.Join(to, strings.NewReplacer("/", "-", ".", "").Replace(suite)+".txt"), []byte(all.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// exceptions reads which tests ask for what is not offered: "SUITE TEST why" a line. Why begins with "panics: " where gophercloud's
// test takes down those after it.
func exceptions(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open("testdata/acceptance.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if parts := strings.SplitN(s.Text(), " ", 3); len(parts) == 3 && !strings.HasPrefix(s.Text(), "#") {
			out[parts[0]+" "+parts[1]] = parts[2]
		}
	}
	return out
}
