package build

import (
	"context"
	"io"
	"iter"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func sourceOf(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func TestDetect(t *testing.T) {
	stacks, err := ReadStacks(catalog.Files())
	if err != nil {
		t.Fatal(err)
	}
	main := "package main\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		stack string
		has   []string // in the Dockerfile, the explanation or the error
	}{
		{"a Dockerfile goes first", map[string]string{"Dockerfile": "FROM debian", "go.mod": "module x"}, "dockerfile", []string{"FROM debian"}},
		{"an empty Dockerfile", map[string]string{"Dockerfile": " \n"}, "", []string{"empty"}},
		{"Go", map[string]string{"go.mod": "module x", "main.go": main, "templates/a.html": ""}, "go",
			[]string{"registry.test/library/gobuild", "-o /out/app .", "COPY templates ./templates", "USER 10001", "found go.mod"}},
		{"Go under cmd", map[string]string{"go.mod": "module x", "lib.go": "package x", "cmd/serve/main.go": main}, "go", []string{"./cmd/serve"}},
		{"Go named like the module", map[string]string{"go.mod": "module a.example/x", "cmd/x/main.go": main, "cmd/y/main.go": main}, "go", []string{"./cmd/x"}},
		{"several Go programs", map[string]string{"go.mod": "module z", "cmd/x/main.go": main, "cmd/y/main.go": main}, "", []string{"several programs", "./cmd/y"}},
		{"a Go library", map[string]string{"go.mod": "module z", "z.go": "package z"}, "", []string{"no program"}},
		{"Node.js", map[string]string{"package.json": `{"scripts":{"start":"node s.js","build":"x"},"dependencies":{"a":"1"},"devDependencies":{"b":"1"}}`, "package-lock.json": "{}"},
			"node", []string{"npm ci", "npm run build", "npm prune", `"npm", "start"`}},
		{"Node.js with nothing to install", map[string]string{"package.json": `{"name":"x"}`, "server.js": ""}, "node", []string{`CMD ["node", "server.js"]`}},
		{"Node.js without a start", map[string]string{"package.json": `{}`}, "", []string{"add a start script"}},
		{"Node.js with broken JSON", map[string]string{"package.json": `{`}, "", []string{"package.json is not JSON"}},
		{"Python", map[string]string{"requirements.txt": "flask", "app.py": ""}, "python", []string{"pip install -r", `"app.py"`}},
		{"Python with a Procfile", map[string]string{"requirements.txt": "", "Procfile": "web: gunicorn \"a:b\"\n"}, "python", []string{`gunicorn \"a:b\"`}},
		{"static", map[string]string{"public/index.html": ""}, "static", []string{"COPY public /usr/share/nginx/html"}},
		{"nothing", map[string]string{"README.md": ""}, "", []string{"found no Dockerfile, go.mod, composer.json", "add one of them"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan, err := stacks.Detect(sourceOf(c.files), "registry.test", "")
			text := plan.Dockerfile + plan.Explain
			if err != nil {
				if !fail.Is(err, fail.Invalid) {
					t.Errorf("%v", err)
				}
				text = fail.From(err).Public()
			}
			if plan.Stack != c.stack && !(err != nil && c.stack == "") {
				t.Errorf("stack %q, want %q (%v)", plan.Stack, c.stack, err)
			}
			for _, h := range c.has {
				if !strings.Contains(text, h) {
					t.Errorf("no %q in:\n%s", h, text)
				}
			}
		})
	}
	if p, err := stacks.Detect(sourceOf(map[string]string{"deploy/Dockerfile": "FROM a", "go.mod": ""}), "registry.test", "deploy/Dockerfile"); err != nil || p.Dockerfile != "FROM a" {
		t.Errorf("%+v %v", p, err)
	}
	for _, bad := range []string{"../x", "/etc/passwd", "absent"} {
		if _, err := stacks.Detect(sourceOf(nil), "registry.test", bad); !fail.Is(err, fail.Invalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

type fakeBases struct{}

func (fakeBases) Ensure(_ context.Context, name string, _ func(string)) (string, error) {
	return "library/" + name + "@sha256:made", nil
}

func (fakeBases) List(context.Context) iter.Seq2[Base, error] {
	return func(yield func(Base, error) bool) { yield(Base{Name: "debian"}, nil) }
}

type fakeRegistry struct{}

func (fakeRegistry) Host() string                       { return "registry.test" }
func (fakeRegistry) Transport(string) http.RoundTripper { return nil }

func TestResolve(t *testing.T) {
	aliases, err := ReadAliases(catalog.Files())
	if err != nil {
		t.Fatal(err)
	}
	r := &Resolver{Bases: fakeBases{}, Registry: fakeRegistry{}, Aliases: aliases}
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for image, want := range map[string]string{
		"golang:1.26":                            "library/go@sha256:made",
		"docker.io/library/golang:1.22-alpine":   "library/go@sha256:made",
		"node:20-slim":                           "library/node@sha256:made",
		"python":                                 "library/python@sha256:made",
		"python:3.11-slim":                       "library/python@sha256:made",
		"debian:12":                              "library/debian@sha256:made",
		"nginx:1.27-alpine":                      "library/web@sha256:made",
		"gcr.io/distroless/static-debian12":      "library/static@sha256:made",
		"registry.test/library/go":               "library/go@sha256:made",
		"registry.test/p1/app:v1":                "p1/app:v1",
		"registry.test/p1/app@" + digest:         "p1/app@" + digest,
		"registry.test/library/debian@" + digest: "library/debian@" + digest,
		"registry.test/p2/app:v1":                "",
		"python:3.13":                            "",
		"golang:2":                               "",
		"somebody/golang:1":                      "",
		"elsewhere.example/golang:1":             "",
		"nosuch":                                 "",
		"NOT AN IMAGE":                           "",
	} {
		got, err := r.Resolve(context.Background(), "p1", image, func(string) {})
		if got != want || (want == "") != (err != nil) {
			t.Errorf("%s: %q %v, want %q", image, got, err, want)
		}
		if image == "python:3.13" && !strings.Contains(fail.From(err).Public(), "no such version") {
			t.Errorf("%v", err)
		}
	}
}

// inMemory is a registry in memory, in place of the cloud's.
type inMemory struct{ h http.Handler }

func (m inMemory) Host() string                       { return "registry.test" }
func (m inMemory) Transport(string) http.RoundTripper { return m }
func (m inMemory) RoundTrip(q *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	in := q.Clone(q.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	m.h.ServeHTTP(w, in)
	a := w.Result()
	a.Request = q
	return a, nil
}

// TestResolveUpstream: with a registry configured, names mean what they mean there.
func TestResolveUpstream(t *testing.T) {
	silent := log.New(io.Discard, "", 0)
	outside := httptest.NewServer(registry.New(registry.Logger(silent)))
	defer outside.Close()
	host := strings.TrimPrefix(outside.URL, "http://")
	image, err := random.Image(1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := image.ConfigFile()
	if image, err = mutate.ConfigFile(image, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH, RootFS: c.RootFS}); err != nil {
		t.Fatal(err)
	}
	ref, _ := name.ParseReference(host + "/library/golang:1.30")
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	r := &Resolver{Bases: fakeBases{}, Registry: inMemory{registry.New(registry.Logger(silent))}, Upstream: host}
	digest, _ := image.Digest()
	for range 2 {
		got, err := r.Resolve(context.Background(), "p1", "golang:1.30", func(string) {})
		if want := "library/upstream/library/golang@" + digest.String(); err != nil || got != want {
			t.Errorf("%s %v, want %s", got, err, want)
		}
	}
	if _, err := r.Resolve(context.Background(), "p1", "nosuch:1", func(string) {}); !fail.Is(err, fail.NotFound) {
		t.Errorf("%v", err)
	}
}
