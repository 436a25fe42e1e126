// Package build_test goes the whole way from a folder of source to an image in the registry, with the real engines.
package build_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/engine/base/debian"
	"github.com/awancloud/awan/internal/engine/build/buildkit"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/service/build"
	"github.com/awancloud/awan/internal/service/registry"
)

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard)
	m.Run()
}

// cloud is the part of a cloud that builds.
type cloud struct {
	registry *registry.Registry
	bases    *debian.Bases
	engine   *buildkit.Engine
	stacks   build.Stacks
}

// open wires the real engines in a fresh folder; steps have env. AWAN_BASES names a folder that keeps base images between runs.
func open(t *testing.T, net buildkit.Net, env ...string) *cloud {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("root is needed")
	}
	dir := os.Getenv("AWAN_BASES")
	if dir == "" {
		if testing.Short() {
			t.Skip("making base images takes a minute; AWAN_BASES names a folder that keeps them")
		}
		dir = t.TempDir()
	}
	r, err := registry.New(registry.Options{Dir: dir + "/registry", Host: "registry.test", Authorize: func(*http.Request, string, []string) (ident.Principal, error) { return ident.System(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	bases, err := debian.New(debian.Options{Dir: dir + "/bases", Registry: r, Catalog: catalog.Files()})
	if err != nil {
		t.Fatal(err)
	}
	aliases, err := build.ReadAliases(catalog.Files())
	if err != nil {
		t.Fatal(err)
	}
	stacks, err := build.ReadStacks(catalog.Files())
	if err != nil {
		t.Fatal(err)
	}
	engine, err := buildkit.New(buildkit.Options{Dir: t.TempDir(), Key: fmt.Sprintf("t%d", os.Getpid()), Registry: r, Net: net, Env: func(context.Context) []string { return env },
		Images: &build.Resolver{Bases: bases, Registry: r, Aliases: aliases}})
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return &cloud{r, bases, engine, stacks}
}

// printer shows progress in the test's log.
type printer struct {
	t     *testing.T
	began time.Time
}

func (p printer) Step(s build.Step) {
	if s.Ended.IsZero() {
		return
	}
	p.t.Logf("%6.2f s  %s %.2f s cached=%v %s", time.Since(p.began).Seconds(), s.Name, s.Ended.Sub(s.Started).Seconds(), s.Cached, s.Err)
}

func (p printer) Log(line string) { p.t.Logf("%6.2f s  | %s", time.Since(p.began).Seconds(), line) }

func (c *cloud) build(t *testing.T, dir, image string, network bool) build.Result {
	t.Helper()
	plan, err := c.stacks.Detect(os.DirFS(dir), c.registry.Host(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(plan.Explain)
	ctx, cancel := context.WithTimeout(context.Background(), 9*time.Minute)
	defer cancel()
	began := time.Now()
	result, err := c.engine.Build(ctx, id.New(), build.Want{Project: strings.Split(image, "/")[0], Context: dir, Dockerfile: plan.Dockerfile,
		Image: image, Network: network}, printer{t, began})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s in %.2f s: %+v", image, time.Since(began).Seconds(), result)
	return result
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(from))
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestGuestbook builds the example cold, again without a change, and after a change to one file.
func TestGuestbook(t *testing.T) {
	c := open(t, nil)
	dir := copyDir(t, "../../examples/guestbook")
	first := c.build(t, dir, "p1/guestbook", false)
	second := c.build(t, dir, "p1/guestbook", false)
	if first.Image != second.Image {
		t.Errorf("the same source gave %s, then %s", first.Image, second.Image)
	}
	page := filepath.Join(dir, "web.go")
	text, _ := os.ReadFile(page)
	if err := os.WriteFile(page, []byte(strings.Replace(string(text), "that was too long", "that was far too long", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	third := c.build(t, dir, "p1/guestbook", false)
	if third.Image == second.Image {
		t.Error("a change changed nothing")
	}
}
