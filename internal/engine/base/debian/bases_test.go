package debian

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/service/registry"
)

// TestEnsure makes bases of the catalogue for real and checks that a second call does nothing. AWAN_BASES keeps
// the folder (and so the time) between runs.
func TestEnsure(t *testing.T) {
	if testing.Short() {
		t.Skip("making base images takes a minute")
	}
	if os.Geteuid() != 0 {
		t.Skip("root is needed")
	}
	for _, program := range []string{"mmdebstrap", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	dir := os.Getenv("AWAN_BASES")
	if dir == "" {
		dir = t.TempDir()
	}
	r, err := registry.New(registry.Options{Dir: dir + "/registry", Host: "registry.test",
		Authorize: func(*http.Request, string, []string) (ident.Principal, error) { return ident.System(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := New(Options{Dir: dir + "/bases", Registry: r, Catalog: catalog.Files()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 9*time.Minute)
	defer cancel()
	names := []string{"static", "gobuild", "debian", "web"} // what the quick tests build on
	if os.Getenv("AWAN_LONG") != "" {
		names = append(names, "node", "python") // the others are made by the tests that build on them
	}
	for _, name := range names {
		began := time.Now()
		ref, err := b.Ensure(ctx, name, func(line string) { t.Logf("%6.1f s  %s: %s", time.Since(began).Seconds(), name, line) })
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %s in %.1f s", name, ref, time.Since(began).Seconds())
		again, err := b.Ensure(ctx, name, func(line string) { t.Errorf("made again: %s", line) })
		if err != nil || again != ref {
			t.Errorf("the second call gave %s %v", again, err)
		}
	}
	for base, err := range b.List(ctx) {
		if err == nil && !slices.Contains(names, base.Name) {
			continue
		}
		if err != nil || base.Ref == "" || base.Size == 0 || len(base.Sources) == 0 {
			t.Errorf("%s: %+v %v", base.Name, base, err)
		}
		t.Logf("%s: %.1f MB", base.Name, float64(base.Size)/1e6)
	}
}

func TestSources(t *testing.T) {
	for _, c := range []struct {
		words []string
		want  bool
	}{
		{oneLine("deb http://a.example/debian bookworm main contrib"), true},
		{oneLine("deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian bookworm-updates main"), true},
		{oneLine("deb http://a.example/apt cloud-sdk-bookworm main"), false},
		{oneLine("deb http://a.example/docker bookworm stable"), false},
		{oneLine("deb-src http://a.example/debian bookworm main"), false},
		{oneLine("# deb http://a.example/debian bookworm main"), false},
		{stanzaWords("Types: deb\nURIs: http://a.example/debian\nSuites: bookworm bookworm-updates\nComponents: main"), true},
		{stanzaWords("Types: deb\nURIs: http://a.example/node\nSuites: nodistro\nComponents: main"), false},
		{stanzaWords("Enabled: no\nTypes: deb\nURIs: http://a.example/debian\nSuites: bookworm\nComponents: main"), false},
	} {
		if got := ofRelease(c.words, "bookworm"); got != c.want {
			t.Errorf("%v: %v", c.words, got)
		}
	}
}

// TestBothFormats reads sources in apt's two formats.
func TestBothFormats(t *testing.T) {
	etc := t.TempDir()
	for name, text := range map[string]string{
		"sources.list":                  "# a comment\ndeb http://a.example/debian bookworm main\ndeb-src http://a.example/debian bookworm main\n",
		"sources.list.d/vendor.list":    "deb http://b.example/apt stable main\n",
		"sources.list.d/debian.sources": "Types: deb\nURIs: http://c.example/debian\nSuites: bookworm-security\nComponents: main\n\nTypes: deb\nURIs: http://d.example\nSuites: other\nComponents: main\n",
		"sources.list.d/off.disabled":   "deb http://e.example/debian bookworm main\n",
	} {
		p := etc + "/" + name
		_ = os.MkdirAll(etc+"/sources.list.d", 0o755)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lines, stanzas := sources(etc, "bookworm")
	if lines != "deb http://a.example/debian bookworm main\n" || !strings.Contains(stanzas, "c.example") || strings.Contains(stanzas, "d.example") {
		t.Errorf("%q\n%q", lines, stanzas)
	}
}

func TestCatalogueReads(t *testing.T) {
	recipes, err := read(catalog.Files())
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range recipes {
		if r.From == "" && r.Variant == "" && !r.Scratch {
			t.Errorf("%s stands on nothing", name)
		}
		if !slices.ContainsFunc(settings(r).Env, func(e string) bool { return strings.HasPrefix(e, "PATH=") }) {
			t.Errorf("%s has no PATH", name)
		}
	}
}
