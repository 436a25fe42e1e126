// Package arch_test keeps the house in order: which package may import which, and the few rules of form that a reader
// relies on. Each rule stands beside its reason; who must break one changes the table, and so the design, in the open.
package arch_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module   = "github.com/awancloud/awan/"
	maxLines = 800
)

// rule forbids imports to the packages under from. A path ending in /... means everything under it too; paths without
// a dot in their first part are this module's. Tests may import what they like.
type rule struct {
	from    []string
	except  []string // packages under from to which the rule does not apply
	forbid  []string
	but     []string // allowed all the same
	because string
}

func rules() []rule {
	return []rule{
		{
			from:    []string{"internal/kernel/..."},
			forbid:  []string{"internal/service/...", "internal/engine/...", "internal/dialect/...", "internal/console/...", "internal/cli/...", "internal/cloud/...", "cmd/..."},
			because: "the kernel is what everything stands on: it knows no service, no engine, no wire format",
		}, {
			from:    []string{"internal/service/..."},
			forbid:  []string{"internal/engine/...", "internal/dialect/...", "internal/console/...", "internal/cli/...", "internal/cloud/...", "cmd/..."},
			because: "a service knows the kernel and its own port; which engine is behind the port is decided in cloud",
		}, {
			from:    []string{"internal/engine/..."},
			forbid:  []string{"internal/dialect/...", "internal/console/...", "internal/cli/...", "internal/cloud/...", "cmd/..."},
			because: "an engine knows the port it implements, never who asks",
		}, {
			from:    []string{"internal/dialect/..."},
			forbid:  []string{"internal/engine/...", "internal/console/...", "internal/cli/...", "internal/cloud/...", "cmd/..."},
			because: "a dialect knows services, never engines: the same request must work on every engine",
		}, {
			from:    []string{"internal/dialect/front/...", "internal/dialect/route/..."},
			forbid:  []string{"internal/service/...", "internal/dialect/..."},
			but:     []string{"internal/dialect/route"},
			because: "the listener is given handlers; it knows no dialect and no service",
		}, {
			from:    []string{"internal/dialect/wire/..."},
			forbid:  []string{"internal/service/...", "internal/dialect/..."},
			but:     []string{"internal/dialect/auth", "internal/dialect/front", "internal/dialect/route"},
			because: "the ground that other clouds' APIs stand on knows none of them, and no service",
		}, {
			from:    []string{"internal/console/...", "internal/cli/..."},
			forbid:  []string{"internal/engine/...", "internal/cloud/...", "cmd/..."},
			because: "console and command line use the cloud through its one door, as any user does",
		}, {
			from:    []string{"internal/cloud/..."},
			forbid:  []string{"cmd/..."},
			because: "cmd is main.go and nothing else",
		}, {
			from: []string{"internal/...", "cmd/..."}, except: []string{"internal/dialect/huawei/..."},
			forbid:  []string{"github.com/huaweicloud/..."},
			because: "no wire type appears outside its dialect; Huawei's SDK is a client for tests",
		}, {
			from: []string{"internal/...", "cmd/..."}, except: []string{"internal/engine/..."},
			forbid:  []string{"github.com/containerd/...", "github.com/moby/buildkit/...", "github.com/vishvananda/netlink/...", "github.com/google/nftables/..."},
			because: "what makes resources real stays inside its engine, so that engines can be swapped and run apart",
		}, {
			from: []string{"internal/...", "cmd/..."}, except: []string{"internal/kernel/store/pebble/...", "internal/engine/..."},
			forbid:  []string{"github.com/cockroachdb/pebble/..."},
			because: "the store's interface must leave nothing that etcd could not give",
		}, {
			from: []string{"internal/...", "cmd/..."}, except: []string{"internal/cloud/...", "internal/cli/..."},
			forbid:  []string{"internal/kernel/store/pebble/..."},
			because: "which store is used is wired in cloud",
		}, {
			from: []string{"internal/...", "cmd/..."}, except: []string{"internal/cli/...", "cmd/..."},
			forbid:  []string{"github.com/spf13/cobra/...", "github.com/vbauerster/mpb/..."},
			because: "only the command line speaks to a terminal",
		}, {
			from:    []string{"internal/kernel/..."},
			forbid:  []string{"net/http", "net/http/..."},
			because: "the kernel knows no wire format: HTTP is turned into calls by dialects",
		}, {
			from:    []string{"internal/...", "cmd/..."},
			forbid:  []string{"testing", "testing/..."},
			except:  []string{"internal/kernel/store/storetest/...", "internal/engine/enginetest/..."},
			because: "the product does not link its tests; shared suites live in packages named …test",
		},
	}
}

// TestImportsPointOneWay walks the tree and names each file whose imports break a rule.
func TestImportsPointOneWay(t *testing.T) {
	rs := rules()
	each(t, func(t *testing.T, f source) {
		if f.test {
			return
		}
		for _, spec := range f.ast.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Error(err)
				continue
			}
			imported = strings.TrimPrefix(imported, module)
			for _, r := range rs {
				if r.breaks(f.pkg, imported) {
					t.Errorf("%s imports %s: %s", f.name, imported, r.because)
				}
			}
		}
		engine, ok := engineOf(f.pkg)
		for _, spec := range f.ast.Imports {
			other, isEngine := engineOf(strings.TrimPrefix(strings.Trim(spec.Path.Value, `"`), module))
			if ok && isEngine && other != engine && !slices.Contains(engineParts, other) && !strings.HasSuffix(other, "test") {
				t.Errorf("%s imports the engine %s: engines do not know each other", f.name, other)
			}
		}
	})
}

// engineParts are what several engines are made of, and no engines themselves.
var engineParts = []string{"broadcast", "cgroup", "dirlock", "thread"}

// engineOf gives the port whose engine a package belongs to.
func engineOf(pkg string) (string, bool) {
	rest, ok := strings.CutPrefix(pkg, "internal/engine/")
	port, _, _ := strings.Cut(rest, "/")
	return port, ok
}

func (r rule) breaks(pkg, imported string) bool {
	if strings.HasSuffix(pkg, "test") { // shared suites, as testing/iotest is one
		return false
	}
	return matches(r.from, pkg) && !matches(r.except, pkg) && matches(r.forbid, imported) && !matches(r.but, imported)
}

func matches(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		under, all := strings.CutSuffix(p, "/...")
		return pkg == under || all && strings.HasPrefix(pkg, under+"/")
	})
}

// TestForm keeps files small, start-up visible, and every package explained.
func TestForm(t *testing.T) {
	documented := map[string]bool{}
	each(t, func(t *testing.T, f source) {
		if n := bytes.Count(f.text, []byte("\n")); n > maxLines && !ast.IsGenerated(f.ast) {
			t.Errorf("%s has %d lines, over %d: a file has one subject", f.name, n, maxLines)
		}
		if f.test {
			return
		}
		documented[f.pkg] = documented[f.pkg] || f.ast.Doc != nil
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function: what is in the binary is listed in cloud, where a reader sees it", f.name)
			}
		}
	})
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no doc comment: say what it is for and what it may import", pkg)
		}
	}
}

// TestRulesCatch feeds the rules imports that must and must not pass, for a table with a slip in it would pass anything.
func TestRulesCatch(t *testing.T) {
	for _, c := range []struct {
		pkg, imported string
		broken        bool
	}{
		{"internal/kernel/call", "internal/service/app", true},
		{"internal/kernel/call", "internal/kernel/fail", false},
		{"internal/kernel/kind", "net/http", true},
		{"internal/service/app", "internal/service/build", false},
		{"internal/service/app", "internal/engine/workload/containerd", true},
		{"internal/engine/workload/containerd", "internal/service/workload", false},
		{"internal/engine/workload/containerd", "github.com/containerd/containerd/v2/client", false},
		{"internal/engine/workload/containerd", "internal/dialect/native", true},
		{"internal/dialect/huawei", "internal/engine/workload/sim", true},
		{"internal/dialect/front", "internal/dialect/route", false},
		{"internal/dialect/front", "internal/dialect/huawei/sign", true},
		{"internal/dialect/native", "internal/dialect/front", false},
		{"internal/service/app", "github.com/containerd/containerd/v2/client", true},
		{"internal/dialect/native", "github.com/huaweicloud/huaweicloud-sdk-go-v3/core", true},
		{"internal/cloud", "internal/engine/workload/containerd", false},
		{"internal/cloud", "internal/kernel/store/pebble", false},
		{"internal/service/app", "internal/kernel/store/pebble", true},
		{"internal/kernel/store/storetest", "testing", false},
		{"internal/service/app", "testing", true},
		{"cmd/awan", "internal/cloud", false},
	} {
		broken := slices.ContainsFunc(rules(), func(r rule) bool { return r.breaks(c.pkg, c.imported) })
		if broken != c.broken {
			t.Errorf("%s importing %s: broken %v", c.pkg, c.imported, broken)
		}
	}
}

// source is one Go file of the module.
type source struct {
	name string // from the root: internal/kernel/fail/fail.go
	pkg  string // its folder
	test bool
	text []byte
	ast  *ast.File
}

// each runs do on every Go file that belongs to the module.
func each(t *testing.T, do func(*testing.T, source)) {
	t.Helper()
	root, count := rootOf(t), 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name == filepath.Join(root, "data") { // make run's cloud
				return fs.SkipDir
			}
			if name != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "examples" || d.Name() == "node_modules") {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && name != root {
				return fs.SkipDir // another module
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		count++
		do(t, source{name: rel, pkg: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"), text: text, ast: parsed})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count < 5 {
		t.Fatalf("only %d Go files found under %s", count, root)
	}
}

// rootOf finds the folder with the module's go.mod.
func rootOf(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, e := os.Stat(filepath.Join(dir, "go.mod")); e == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("no go.mod above the test: ", err)
	return ""
}
