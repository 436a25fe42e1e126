package buildkit

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
	"github.com/sirupsen/logrus"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
	"github.com/awancloud/awan/internal/service/build/buildtest"
)

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard)
	m.Run()
}

// memory is a registry in memory.
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

// names resolves "busybox" and nothing else but the project's own.
type names struct{}

func (names) Resolve(_ context.Context, project, image string, log func(string)) (string, error) {
	switch {
	case strings.Contains(image, "library/busybox"):
		return "library/busybox:latest", nil
	case strings.HasPrefix(image, "registry.test/"):
		return strings.TrimPrefix(image, "registry.test/"), nil
	}
	return "", fail.New(fail.NotFound, "this cloud has no image %s", image).Then("use busybox")
}

// busybox makes an image of the machine's static busybox.
func busybox(t *testing.T) v1.Image {
	t.Helper()
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("busybox-static is not installed")
	}
	list, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		t.Skip("busybox does not run")
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	put := func(h tar.Header, body []byte) {
		h.Size = int64(len(body))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(body)
	}
	for _, d := range []string{"bin", "etc", "tmp", "root"} {
		put(tar.Header{Name: d + "/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	}
	put(tar.Header{Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0::/root:/bin/sh\n"))
	put(tar.Header{Name: "bin/busybox", Mode: 0o755}, program)
	for _, applet := range strings.Fields(string(list)) {
		if applet != "busybox" {
			put(tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox"}, nil)
		}
	}
	w.Close()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := image.ConfigFile()
	c = c.DeepCopy()
	c.OS, c.Architecture = "linux", runtime.GOARCH
	c.Config.Env = []string{"PATH=/bin"}
	if image, err = mutate.ConfigFile(image, c); err != nil {
		t.Fatal(err)
	}
	return image
}

func open(t *testing.T, change ...func(*Options)) *Engine {
	t.Helper()
	image := busybox(t)
	m := memory{registry.New(registry.Logger(silent()))}
	n, _ := name.ParseReference("registry.test/library/busybox:latest")
	if err := remote.Write(n, image, remote.WithTransport(m)); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "awan-build-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o := Options{Dir: dir, Key: fmt.Sprintf("t%d", os.Getpid()), Registry: m, Images: names{},
		Run: filepath.Join("/run", fmt.Sprintf("awan-t%d-%d", os.Getpid(), time.Now().UnixNano()), "build")}
	for _, c := range change {
		c(&o)
	}
	e, err := New(o)
	if fail.Is(err, fail.Unsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		groups, _ := filepath.Glob("/sys/fs/cgroup/*/awan-" + o.Key)
		if _, err := os.Stat(o.Run); err == nil || len(groups) > 0 {
			t.Errorf("left on the machine: %v, %s: %v", groups, o.Run, err)
		}
	})
	return e
}

func TestContract(t *testing.T) {
	buildtest.Run(t, func(t *testing.T) build.Engine { return open(t) })
}

// try builds a Dockerfile's steps on busybox.
func try(t *testing.T, e *Engine, project, steps string, change ...func(*build.Want)) (*buildtest.Progress, build.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	p := &buildtest.Progress{}
	w := build.Want{Project: project, Image: project + "/app", Dockerfile: "FROM busybox\n" + steps + "\n",
		Context: buildtest.Source(t, map[string]string{"a.txt": "a"})}
	for _, c := range change {
		c(&w)
	}
	r, err := e.Build(ctx, id.New(), w, p)
	return p, r, err
}

// TestBombs: each limit holds, says which it was, and leaves the engine building.
func TestBombs(t *testing.T) {
	e := open(t)
	limits := func(l build.Limits) func(*build.Want) { return func(w *build.Want) { w.Limits = l } }
	for _, c := range []struct {
		name, step string
		limits     build.Limits
		says       []string
	}{
		{"memory", "RUN tail /dev/zero", build.Limits{MemoryMiB: 64}, []string{"RUN tail /dev/zero", "memory limit of 64 MiB", "line 2"}},
		{"memory in a child", "RUN (tail /dev/zero) || exit 3", build.Limits{MemoryMiB: 64}, []string{"memory limit of 64 MiB"}},
		{"disk", "RUN yes > /big", build.Limits{StorageMiB: 200}, []string{"disk limit of 200 MiB", "RUN yes"}},
		{"disk of a cache", "RUN --mount=type=cache,target=/c yes > /c/big", build.Limits{StorageMiB: 200}, []string{"disk limit of 200 MiB (in step [stage-0 2/2] RUN yes > /c/big)"}},
		{"many files", "RUN i=0; while true; do mkdir /d$i; i=$((i+1)); done", build.Limits{StorageMiB: 20}, []string{"disk limit of 20 MiB"}},
		{"processes", "RUN f() { f | f & }; f; while true; do sleep 100 & done", build.Limits{Pids: 50, Time: time.Minute}, []string{"limit of 50", "RUN f()"}},
		{"time", "RUN sleep 1000", build.Limits{Time: time.Second}, []string{"limit of 1s", "RUN sleep 1000"}},
		{"log", "RUN yes", build.Limits{Time: 3 * time.Second, MilliCPU: 500}, []string{"limit of 3s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			p, _, err := try(t, e, "p1", c.step, limits(c.limits))
			if !fail.Is(err, fail.Invalid) {
				t.Fatalf("%v", err)
			}
			t.Logf("%.1f s: %s", time.Since(began).Seconds(), fail.From(err).Public())
			for _, s := range c.says {
				if !strings.Contains(fail.From(err).Public(), s) {
					t.Errorf("does not say %q", s)
				}
			}
			if n := len(p.Text()); n > 8<<20 {
				t.Errorf("the log is %d bytes", n)
			}
			if _, _, err := try(t, e, "p1", "RUN true"); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestConfinement: what a step can see and do.
func TestConfinement(t *testing.T) {
	t.Setenv("AWAN_SECRET", "hunter2")
	e := open(t, func(o *Options) {
		o.Env = func(context.Context) []string { return []string{"MIRROR=https://mirror.example", "PATH=/nowhere"} }
	})
	p, _, err := try(t, e, "p1", `RUN id -u; cat /proc/self/uid_map; hostname; env; ls /sys; cat /proc/net/dev; touch /x && chown 1000 /x && ls -ln /x
RUN ls -ln /x; ! mknod /dev/sda b 8 0; ! mount -t tmpfs t /tmp; ! echo 1 > /proc/sys/kernel/panic; ! dmesg
WORKDIR /deep/er
RUN pwd && ls -ldn . && id
USER 1000
RUN touch /tmp/y 2>/dev/null; id -u`)
	if err != nil {
		t.Fatal(err, "\n", p.Text())
	}
	text := p.Text()
	if !strings.Contains(text, "MIRROR=https://mirror.example") || strings.Contains(text, "/nowhere") {
		t.Errorf("the machine's mirrors are not set, or more than that:\n%s", text)
	}
	if !strings.Contains(text, "1879048192") {
		t.Errorf("root is root outside:\n%s", text)
	}
	for _, bad := range []string{"hunter2", marker, "eth0"} {
		if strings.Contains(text, bad) {
			t.Errorf("a step sees %q:\n%s", bad, text)
		}
	}
	if strings.Count(text, "1000     0 ") != 2 && strings.Count(text, "1000") < 2 {
		t.Errorf("ownership is not kept between steps:\n%s", text)
	}
	// On disk, owners are what they are in the image.
	found := false
	_ = filepath.WalkDir(filepath.Join(e.o.Dir, "snapshots"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "x" {
			s := owner(path)
			found = found || s == 1000
		}
		return nil
	})
	if !found {
		t.Error("no file of user 1000 on disk")
	}
}

// TestSources: nothing from the host's own network or from other projects.
func TestSources(t *testing.T) {
	e := open(t)
	if _, _, err := try(t, e, "p2", "RUN echo secret > /secret"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { t.Error("the host's loopback was reached") }))
	defer server.Close()
	_, other, err := try(t, e, "p2", "RUN echo other")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ dockerfile, says string }{
		{"FROM busybox\nADD " + server.URL + "/x /x\n", "ADD from an address"},
		{"FROM busybox\nADD https://git.example/x.git /x\n", "ADD from an address"},
		{"FROM registry.test/" + other.Image + "\n", "no image"},
		{"FROM busybox\nCOPY --from=registry.test/" + other.Image + " /secret /\n", "no image"},
		{"FROM busybox\nRUN --mount=from=registry.test/" + other.Image + ",target=/m cat /m/secret\n", "no image"},
		{"FROM nosuch:1\n", "line 1: this cloud has no image docker.io/library/nosuch:1; use busybox"},
		{"FROM busybox\nRUN --network=host wget -q -O- " + server.URL + "\n", "remove --network=host"},
		{"FROM busybox\nRUN --security=insecure true\n", ""},
		{"FROM busybox\nRUN wget -T 2 -q -O- " + server.URL + "\n", "RUN wget"},
		{"FROM busybox\nCOPY ../../etc/shadow /\n", "shadow"},
		{"FROM busybox\nCOPY absent /\n", "absent"},
		{"FROM busybox\nRUNN true\n", "line 2"},
		{"", "Dockerfile"},
	} {
		_, _, err := try(t, e, "p1", "", func(w *build.Want) { w.Dockerfile = c.dockerfile; w.Network = true })
		if err == nil {
			t.Errorf("%q was built", c.dockerfile)
			continue
		}
		public := fail.From(err).Public()
		t.Logf("%q: %s", c.dockerfile, public)
		if !strings.Contains(public, c.says) || fail.Is(err, fail.Internal) {
			t.Errorf("%q: %v", c.dockerfile, err)
		}
	}
	// A "# syntax" line is a comment here.
	if _, _, err := try(t, e, "p1", "", func(w *build.Want) {
		w.Dockerfile = "# syntax=docker/dockerfile:1\nFROM busybox\nRUN true\n"
		w.Args = map[string]string{"BUILDKIT_SYNTAX": "evil/frontend"}
	}); err != nil {
		t.Error(err)
	}
}

// TestCachesApart: a cache mount lasts from build to build of a project and is nobody else's; nor are steps' results.
func TestCachesApart(t *testing.T) {
	e := open(t)
	count := "ARG N\nRUN --mount=type=cache,id=c,target=/c echo x >> /c/n; echo count $(wc -l < /c/n)\nRUN head -c 6 /dev/urandom | base64"
	arg := func(n string) func(*build.Want) {
		return func(w *build.Want) { w.Args = map[string]string{"N": n} }
	}
	last := func(project, n string) string {
		t.Helper()
		p, _, err := try(t, e, project, count, arg(n))
		if err != nil {
			t.Fatal(err)
		}
		return p.Text()
	}
	if a, b := last("p1", "1"), last("p1", "2"); !strings.Contains(a, "count 1") || !strings.Contains(b, "count 2") {
		t.Errorf("the project's cache does not last: %q, %q", a, b)
	}
	if c := last("p2", "3"); !strings.Contains(c, "count 1") {
		t.Errorf("another project's cache: %q", c)
	}
	if d := last("p2", "1"); !strings.Contains(d, "count 2") {
		t.Errorf("a step of another project was reused: %q", d)
	}
	ctx := context.Background()
	if n, err := e.Usage(ctx, "p1"); err != nil || n <= 0 {
		t.Errorf("usage of p1: %d %v", n, err)
	}
	if n, err := e.Usage(ctx, "p9"); err != nil || n != 0 {
		t.Errorf("usage of p9: %d %v", n, err)
	}
	if all, err := e.Projects(ctx); err != nil || len(all) != 2 {
		t.Errorf("projects with caches: %v %v", all, err)
	}
	if err := e.Forget(ctx, "p1"); err != nil {
		t.Fatal(err)
	}
	if all, err := e.Projects(ctx); err != nil || len(all) != 1 || all[0] != "p2" {
		t.Errorf("after p1 was forgotten: %v %v", all, err)
	}
	if a := last("p1", "5"); !strings.Contains(a, "count 1") {
		t.Errorf("p1 starts anew with %q", a)
	}
}

// TestIdle: the engine stops when idle and starts again with its caches.
func TestIdle(t *testing.T) {
	e := open(t, func(o *Options) { o.Idle = 10 * time.Millisecond })
	if _, _, err := try(t, e, "p1", "RUN echo once"); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for tick, stopped := time.NewTicker(10*time.Millisecond), false; !stopped; <-tick.C {
		e.mu.Lock()
		stopped = e.daemon == nil
		e.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatal("it does not stop")
		}
	}
	_, r, err := try(t, e, "p1", "RUN echo once")
	if err != nil || r.Cached == 0 {
		t.Errorf("%+v %v", r, err)
	}
}

// TestIgnore: .dockerignore is honoured.
func TestIgnore(t *testing.T) {
	e := open(t)
	p, _, err := try(t, e, "p1", "COPY . /src\nRUN find /src", func(w *build.Want) {
		w.Context = buildtest.Source(t, map[string]string{"kept": "", "dropped/x": "", ".dockerignore": "dropped\n"})
	})
	if err != nil || strings.Contains(p.Text(), "dropped/x") || !strings.Contains(p.Text(), "/src/kept") {
		t.Errorf("%v\n%s", err, p.Text())
	}
}
