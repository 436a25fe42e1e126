package debian

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// memory is a registry in memory, in place of the cloud's.
type memory struct{ h http.Handler }

func (m memory) Host() string                       { return "registry.test" }
func (m memory) Transport(string) http.RoundTripper { return m }
func (m memory) RoundTrip(q *http.Request) (*http.Response, error) {
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

// TestUpstream takes bases from the operator's registry instead of making them.
func TestUpstream(t *testing.T) {
	ctx := context.Background()
	silent := log.New(io.Discard, "", 0)
	outside := httptest.NewServer(registry.New(registry.Logger(silent)))
	defer outside.Close()
	host := strings.TrimPrefix(outside.URL, "http://")
	image, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{OS: "linux", Architecture: architecture(), RootFS: rootOf(t, image)})
	if err != nil {
		t.Fatal(err)
	}
	ref, _ := name.ParseReference(host + "/bases/go:latest")
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	b, err := New(Options{Dir: t.TempDir(), Registry: memory{registry.New(registry.Logger(silent))}, Catalog: catalog.Files(), Upstream: host + "/bases"})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	got, err := b.Ensure(ctx, "go", func(line string) { lines = append(lines, line) })
	want, _ := image.Digest()
	if err != nil || got != "library/go@"+want.String() || len(lines) == 0 {
		t.Fatalf("%s %v, want %s; %v", got, err, want, lines)
	}
	outside.Close()
	if again, err := b.Ensure(ctx, "go", func(line string) { t.Errorf("pulled again: %s", line) }); err != nil || again != got {
		t.Errorf("%s %v", again, err)
	}
	if _, err := b.Ensure(ctx, "node", nil); !fail.Is(err, fail.Unavailable) {
		t.Errorf("an upstream that is away: %v", err)
	}
	if _, err := b.Ensure(ctx, "nosuch", nil); !fail.Is(err, fail.NotFound) {
		t.Errorf("no such base: %v", err)
	}
}

func rootOf(t *testing.T, image v1.Image) v1.RootFS {
	t.Helper()
	c, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return c.RootFS
}
