package containerd_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/awancloud/awan/internal/engine/workload/containerd"
)

// The test binary is its own shim, as the cloud's binary is.
func TestMain(m *testing.M) {
	if containerd.IsShim(os.Args) {
		containerd.ShimMain()
	}
	if os.Getenv(childEnv) != "" {
		child()
	}
	os.Exit(m.Run())
}

const registryHost = "registry.test"

// overHandler is a transport that calls a handler instead of dialling.
type overHandler struct{ h http.Handler }

func (t overHandler) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r = r.Clone(r.Context())
	if r.Body == nil {
		r.Body = http.NoBody
	}
	t.h.ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// newRegistry is a registry in memory with one image of busybox; it gives the image's reference.
func newRegistry(t testing.TB) (http.RoundTripper, string) {
	t.Helper()
	h := overHandler{registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	return h, push(t, h, busybox(t))
}

// push puts an image into a registry and gives its reference.
func push(t testing.TB, h http.RoundTripper, img v1.Image) string {
	t.Helper()
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewDigest(registryHost+"/tests/busybox@"+digest.String(), name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, remote.WithTransport(h)); err != nil {
		t.Fatal(err)
	}
	return "tests/busybox@" + digest.String()
}

func busybox(t testing.TB) v1.Image {
	t.Helper()
	file, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("busybox-static is not installed")
	}
	out, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	var l layer
	add := l.add
	for _, d := range []string{"bin/", "etc/", "tmp/", "home/", "proc/", "sys/", "dev/"} {
		mode := int64(0o755)
		if d == "tmp/" {
			mode = 0o1777
		}
		add(tar.Header{Name: d, Typeflag: tar.TypeDir, Mode: mode}, nil)
	}
	add(tar.Header{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755}, file)
	add(tar.Header{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644}, []byte("root:x:0:0:root:/:/bin/sh\nweb:x:1000:1000:web:/home:/bin/sh\n"))
	for _, l := range strings.Fields(string(out)) {
		if l != "busybox" {
			add(tar.Header{Name: "bin/" + l, Typeflag: tar.TypeSymlink, Linkname: "busybox"}, nil)
		}
	}
	img := l.on(t, empty.Image)
	return configure(t, img, v1.Config{Cmd: []string{"sh"}, Env: []string{"FROM_IMAGE=yes"}})
}

func configure(t testing.TB, img v1.Image, c v1.Config) v1.Image {
	t.Helper()
	img, err := mutate.Config(img, c)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// layer is an image layer in the making.
type layer struct {
	b bytes.Buffer
	w *tar.Writer
}

func (l *layer) add(h tar.Header, body []byte) {
	if l.w == nil {
		l.w = tar.NewWriter(&l.b)
	}
	h.Size = int64(len(body))
	_ = l.w.WriteHeader(&h)
	_, _ = l.w.Write(body)
}

// on puts the layer on an image.
func (l *layer) on(t testing.TB, img v1.Image) v1.Image {
	t.Helper()
	_ = l.w.Close()
	made, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(l.b.Bytes())), nil })
	if err == nil {
		img, err = mutate.AppendLayers(img, made)
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// options are those of a fresh cloud of its own.
func options(t testing.TB) (containerd.Options, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := os.Stat("/usr/sbin/runc"); err != nil {
		t.Skip("runc is not installed")
	}
	transport, ref := newRegistry(t)
	dir := filepath.Join(t.TempDir(), "engine")
	subnet, err := containerd.PickSubnet(dir)
	if err != nil {
		t.Fatal(err)
	}
	l := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	return containerd.Options{Dir: dir, Key: strings.ToLower(rand.Text()[:6]), Subnet: subnet, Registry: transport,
		RegistryHost: registryHost, Logger: l}, ref
}

// open opens an engine that is purged after the test.
func open(t testing.TB) (*containerd.Engine, string) {
	t.Helper()
	o, ref := options(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	e, err := containerd.Open(ctx, o)
	if err != nil {
		_ = containerd.Purge(ctx, o.Dir, o.Key)
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		if err := e.Purge(ctx); err != nil {
			t.Error("purge:", err)
		}
		leftovers(t, o)
	})
	return e, ref
}

// hostIP is an address of this machine that is not on loopback.
func hostIP() string {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() && n.IP.To4()[0] != 10 {
			return n.IP.String()
		}
	}
	return ""
}
