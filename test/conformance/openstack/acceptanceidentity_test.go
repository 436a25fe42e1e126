package openstack_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// refusedHere are gophercloud's own tests that do not pass, each for a reason that docs/clients.md gives. A test that is not
// in the list must pass, and one that begins to must leave it.
var refusedHere = map[string]string{}

// TestGophercloudAcceptance runs gophercloud's acceptance tests of identity, unmodified and as their authors wrote them for
// Keystone, once with a token of a project and once with one of the system.
func TestGophercloudAcceptance(t *testing.T) {
	if os.Getenv("AWAN_LONG") == "" {
		t.Skip("compiling gophercloud's tests takes long: set AWAN_LONG=1")
	}
	const suite = acceptance + "identity/v3"
	program := os.Getenv("AWAN_GOPHERCLOUD") // compiled already
	if program == "" {
		program = filepath.Join(t.TempDir(), "identity.test")
		if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "acceptance", "-o", program, suite).CombinedOutput(); err != nil {
			t.Fatalf("compiling %s: %v\n%s", suite, err, out)
		}
	}
	c := cloudtest.Start(t)
	likeKeystone(t, c)
	base := append(environment(c, c.Admin.User, c.Admin.Password), "OS_DOMAIN_NAME=Default", "SSL_CERT_FILE="+c.CAFile, "OS_BRANCH=master", "OS_TENANT_NAME="+c.Admin.Project)
	base = slices.DeleteFunc(base, func(v string) bool {
		return strings.HasPrefix(v, "OS_USER_DOMAIN") || strings.HasPrefix(v, "OS_PROJECT_")
	})
	base = append(base, "OS_USER_DOMAIN_NAME=Default", "OS_PROJECT_DOMAIN_NAME=Default", "OS_PROJECT_NAME="+c.Admin.Project)
	system := slices.DeleteFunc(slices.Clone(base), func(v string) bool { return strings.HasPrefix(v, "OS_TENANT_") || strings.HasPrefix(v, "OS_PROJECT_") })

	results := map[string]string{}
	for scope, env := range map[string][]string{"project": base, "system": append(system, "OS_SYSTEM_SCOPE=all")} {
		for name, r := range accept(t, program, env) {
			if results[name] != "PASS" { // some are written for one of the two only
				results[name] = r
			}
		}
		t.Logf("with a token of the %s: %d tests", scope, len(results))
	}
	if len(results) < 60 {
		t.Fatalf("only %d tests ran", len(results))
	}
	for _, name := range slices.Sorted(maps.Keys(results)) {
		switch why := refusedHere[name]; {
		case results[name] == "FAIL" && why == "":
			t.Errorf("%s fails", name)
		case results[name] == "PASS" && why != "":
			t.Errorf("%s passes: it is listed as refused because %s", name, why)
		}
	}
}

// likeKeystone gives the cloud what these tests expect to find: the names that DevStack's Keystone begins with, and
// passwords as short as theirs.
func likeKeystone(t *testing.T, c *cloudtest.Cloud) {
	t.Helper()
	do := func(k *kind.Def, verb, target, name, spec string) {
		t.Helper()
		in := &call.Call{Kind: k, Verb: verb, Target: target, Principal: c.Root, Spec: json.RawMessage(spec)}
		if name != "" {
			in.Name = &name
		}
		if _, err := c.Door.Do(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	k := c.Ident.Kinds
	made, err := c.Door.Do(t.Context(), &call.Call{Kind: c.Door.KindOf("catalog/service"), Verb: call.Create, Principal: c.Root, Spec: json.RawMessage(`{"type":"compute"}`)})
	if err != nil {
		t.Fatal(err)
	}
	do(c.Door.KindOf("catalog/endpoint"), call.Create, "", "", `{"service":"`+string(made.Row.M().ID)+`","interface":"public","url":"https://compute.example.org"}`)
	do(k.Domain.D, call.Update, string(c.Admin.DomainID), "Default", `{}`)
	do(k.Project.D, call.Create, "", "admin", `{}`)
	for _, role := range []string{"admin", "member"} {
		do(k.Policy.D, call.Create, "", role, `{"document":{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["*:*:*"]}]}}`)
	}
	do(k.Inference.D, call.Create, "", "", `{"policy":"admin","implied":"member"}`)
	do(k.Rules.D, call.Update, ident.RulesName, "", `{"password":{"min_length":6,"classes":1}}`)
}

var verdict = regexp.MustCompile(`^--- (PASS|FAIL|SKIP): (\w+)`)

// accept runs the tests and tells how each went. What they print is shown where one fails that should not.
func accept(t *testing.T, program string, env []string) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "-test.v", "-test.timeout", (10 * time.Minute).String())
	cmd.Env, cmd.Dir = append(env, "NO_PROXY=*", "no_proxy=*"), t.TempDir()
	out, _ := cmd.CombinedOutput() // it fails where one test does
	results := map[string]string{}
	var last []string
	s := bufio.NewScanner(bytes.NewReader(out))
	s.Buffer(nil, 1<<22)
	for s.Scan() {
		line := s.Text()
		if strings.HasPrefix(line, "=== RUN") {
			last = nil
		}
		last = append(last, line)
		if m := verdict.FindStringSubmatch(line); m != nil {
			results[m[2]] = m[1]
			if m[1] == "FAIL" && refusedHere[m[2]] == "" {
				t.Logf("%s", strings.Join(last[max(0, len(last)-12):], "\n"))
			}
		}
	}
	return results
}
