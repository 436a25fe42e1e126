package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/awancloud/awan/catalog"
	sources "github.com/awancloud/awan/internal/service/build"
)

// TestInitWritesWhatIsUnderstood: each starter is detected as the stack it is for, and nothing is overwritten.
func TestInitWritesWhatIsUnderstood(t *testing.T) {
	stacks, err := sources.ReadStacks(catalog.Files())
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (int, string) {
		var out bytes.Buffer
		return Run(t.Context(), Options{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Version: "test"}, args), out.String()
	}
	for _, stack := range catalog.Starters() {
		dir := filepath.Join(t.TempDir(), "my-shop")
		if code, out := run("app", "init", dir, "--stack", stack); code != 0 {
			t.Fatalf("%s: %s", stack, out)
		}
		plan, err := stacks.Detect(os.DirFS(dir), "registry.test", "")
		if err != nil || plan.Stack != stack {
			t.Errorf("%s is taken for %q: %v", stack, plan.Stack, err)
		}
		if text, _ := os.ReadFile(dir + "/awan.yaml"); !strings.Contains(string(text), "name: my-shop\n") {
			t.Errorf("%s: %s", stack, text)
		}
		if code, out := run("app", "init", dir, "--stack", stack); code == 0 || !strings.Contains(out, "is there already") {
			t.Errorf("%s again: %d %s", stack, code, out)
		}
	}
	for _, bad := range [][]string{{"app", "init", t.TempDir() + "/x"}, {"app", "init", t.TempDir() + "/x", "--stack", "cobol"},
		{"app", "init", t.TempDir() + "/x", "--stack", "../bases"}, {"app", "init", t.TempDir(), "--stack", "go", "--name", "Not A Name"}} {
		if code, out := run(bad...); code == 0 {
			t.Errorf("%v went well: %s", bad, out)
		}
	}
}
