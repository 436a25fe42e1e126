package cloud

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/internal/engine/workload/containerd"
	"github.com/awancloud/awan/test/cloudtest"
)

func TestMain(m *testing.M) {
	if containerd.IsShim(os.Args) {
		containerd.ShimMain()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// client talks to a cloud as its first administrator.
type client struct {
	t     testing.TB
	c     *Cloud
	http  *http.Client
	token string
}

// open starts a real cloud in a folder of the test; it is purged with the test.
func open(t testing.TB) *client { return openWith(t, func(*Options) {}) }

// openWith is open with other options.
func openWith(t testing.TB, edit func(*Options)) *client {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("running containers needs root")
	}
	dir := t.TempDir()
	var c *client
	t.Cleanup(func() { // after the cloud is closed: what is registered later runs earlier
		if c == nil {
			return
		}
		if err := containerd.Purge(context.Background(), filepath.Join(dir, "engine"), c.c.Key); err != nil {
			t.Error(err)
		}
	})
	c = openEdited(t, dir, edit)
	return c
}

func reopen(t testing.TB, dir string) *client { return openOn(t, dir, nil) }

// openOn starts a cloud on other engines than the real ones.
func openOn(t testing.TB, dir string, engines func(context.Context, *Cloud) (Engines, error)) *client {
	return openEdited(t, dir, func(o *Options) { o.Engines = engines })
}

func openEdited(t testing.TB, dir string, edit func(*Options)) *client {
	t.Helper()
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o := Options{Data: dir, Listen: "127.0.0.1:0", Domain: DefaultDomain, Region: DefaultRegion, Account: DefaultAccount, Version: "test", Log: log,
		AllowSources: []string{"127.0.0.1"}} // in tests the cloud is a git host to itself
	edit(&o)
	c, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	cl := &client{t: t, c: c, http: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.CA.Pool()}, ForceAttemptHTTP2: true}}}
	env, err := adminenv.Read(filepath.Join(dir, adminenv.File))
	if err != nil {
		t.Fatal(err)
	}
	var s struct{ Token string }
	cl.do("POST", "/login", map[string]any{"domain": env[adminenv.Domain], "user": env[adminenv.User], "password": env[adminenv.Password], "project": env[adminenv.Project]}, &s)
	cl.token = s.Token
	return cl
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (c *client) do(method, path string, in, out any) {
	c.t.Helper()
	code, b := c.try(method, path, in)
	if code >= 300 {
		c.t.Fatalf("%s %s: %d %s", method, path, code, b)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(b), out); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
}

// try sends a call and gives what came of it.
func (c *client) try(method, path string, in any) (code int, answer string) {
	c.t.Helper()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			c.t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	req, _ := http.NewRequest(method, c.c.URL()+"/awan/v1"+path, body)
	req.Header.Set("X-Auth-Token", c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

type component struct {
	ID, Name, State, Reason string
	Status                  struct {
		URL       string
		Image     string
		Ready     int
		Release   int
		Instances []struct {
			ID, Phase string
			Release   int
		}
		Gray *struct {
			Phase                      string
			Release, Weight, Instances int
		}
	}
}

type jobView struct {
	ID, State string
	Error     *struct{ Message string }
}

// finish sends a call that starts a job and waits for its end.
func (c *client) finish(method, path string, in any) jobView {
	c.t.Helper()
	var r struct{ Job *jobView }
	c.do(method, path, in, &r)
	if r.Job == nil {
		return jobView{State: "succeeded"}
	}
	var j jobView
	for range 20 {
		c.do("GET", "/jobs/"+r.Job.ID+"?wait=30s", nil, &j)
		if j.State == "succeeded" || j.State == "failed" {
			return j
		}
	}
	c.t.Fatalf("job %s does not end", r.Job.ID)
	return j
}

const components = "/projects/-/app/components"

func (c *client) component(name string) (out component) {
	c.t.Helper()
	var r struct{ Resource component }
	c.do("GET", components+"/"+name, nil, &r)
	return r.Resource
}

// push puts an image of static busybox with the given files into the registry.
func (c *client) push(ref string, files map[string]string, command ...string) {
	c.t.Helper()
	img, err := cloudtest.Image(files, command...)
	if errors.Is(err, cloudtest.ErrNoBusybox) {
		c.t.Skip(err)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	tag, err := name.ParseReference(RegistryHost + "/" + ref)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := remote.Write(tag, img, remote.WithTransport(c.c.Registry.Transport(""))); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) get(url string, header ...string) (int, string) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return 0, err.Error()
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// load sends requests to one address from several clients until it ends.
type load struct {
	c              *client
	stop           chan struct{}
	clients        sync.WaitGroup
	failed, served atomic.Int64
	first          atomic.Value
	once           sync.Once
}

func (c *client) load(url string, clients int, header ...string) *load {
	l := &load{c: c, stop: make(chan struct{})}
	c.t.Cleanup(l.halt)
	for range clients {
		l.clients.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				if code, body := c.get(url, header...); code != 200 {
					l.failed.Add(1)
					l.first.CompareAndSwap(nil, fmt.Sprintf("%s: %d %s", time.Now().Format(time.TimeOnly+".000"), code, body))
				} else {
					l.served.Add(1)
				}
			}
		})
	}
	return l
}

func (l *load) halt() {
	l.once.Do(func() { close(l.stop) })
	l.clients.Wait()
}

// end stops the load; no request may have failed, and at least that many must have been served.
func (l *load) end(least int64) {
	l.c.t.Helper()
	l.halt()
	if l.failed.Load() > 0 || l.served.Load() < least {
		l.c.t.Errorf("%d of %d requests failed; the first: %v", l.failed.Load(), l.served.Load()+l.failed.Load(), l.first.Load())
	}
}

func TestAnImageRunsRollsAndRollsBackWithoutAFailedRequest(t *testing.T) {
	c := open(t)
	for _, v := range []string{"one", "two", "broken"} {
		files, cmd := cloudtest.Web(v)
		if v == "broken" {
			cmd = []string{"/bin/sh", "-c", "echo cannot go on; exit 3"}
		}
		c.push("library/web:"+v, files, cmd...)
	}
	if j := c.finish("POST", components, map[string]any{"name": "web", "spec": map[string]any{"source": map[string]any{"image": "library/web:one"}, "memory": 32, "replicas": 2}}); j.State != "succeeded" {
		t.Fatalf("%+v %v", j, j.Error)
	}
	web := c.component("web")
	if code, body := c.get(web.Status.URL); code != 200 || body != "one" {
		t.Fatalf("GET %s: %d %q", web.Status.URL, code, body)
	}

	load := c.load(web.Status.URL, 4)
	patch := func(image string) jobView {
		return c.finish("PATCH", components+"/web", map[string]any{"spec": map[string]any{"source": map[string]any{"image": image}}})
	}
	if j := patch("library/web:two"); j.State != "succeeded" {
		t.Errorf("%+v %v", j, j.Error)
	}
	if _, body := c.get(web.Status.URL); body != "two" {
		t.Errorf("after the roll it answers %q", body)
	}
	if j := patch("library/web:broken"); j.State != "failed" || !strings.Contains(j.Error.Message, "cannot go on") {
		t.Errorf("a broken release: %+v %v", j, j.Error)
	}
	if j := c.finish("POST", components+"/web/actions/scale", map[string]any{"replicas": 3}); j.State != "succeeded" {
		t.Errorf("scale: %+v %v", j, j.Error)
	}
	if j := c.finish("POST", components+"/web/actions/rollback", map[string]any{}); j.State != "succeeded" {
		t.Errorf("rollback: %+v %v", j, j.Error)
	}
	if _, body := c.get(web.Status.URL); body != "one" {
		t.Errorf("after the roll back it answers %q", body)
	}
	load.end(100)
	if got := c.component("web"); got.Status.Ready != 3 || len(got.Status.Instances) != 3 || got.State != "active" {
		t.Errorf("%+v", got)
	}
	if j := c.finish("DELETE", components+"/web?purge=true", nil); j.State != "succeeded" {
		t.Errorf("delete: %+v", j)
	}
	for i := range c.c.Engines.Workload.List(t.Context()) {
		t.Errorf("instance %s is left", i)
	}
}

func TestARestartAdoptsWhatRuns(t *testing.T) {
	c := open(t)
	files, cmd := cloudtest.Web("still here")
	c.push("library/web:1", files, cmd...)
	if j := c.finish("POST", components, map[string]any{"name": "web", "spec": map[string]any{"source": map[string]any{"image": "library/web:1"}, "memory": 32}}); j.State != "succeeded" {
		t.Fatalf("%+v %v", j, j.Error)
	}
	before := c.component("web")
	pid := pidOf(t, c, before)
	if err := c.c.Close(); err != nil {
		t.Fatal(err)
	}
	c = reopen(t, c.c.Data)
	after := c.component("web")
	if got := pidOf(t, c, after); got != pid {
		t.Errorf("pid %d became %d", pid, got)
	}
	if code, body := c.get(after.Status.URL); code != 200 && code != 0 || body != "still here" {
		deadline := time.Now().Add(5 * time.Second)
		for body != "still here" && time.Now().Before(deadline) {
			time.Sleep(100 * time.Millisecond)
			after = c.component("web")
			_, body = c.get(after.Status.URL)
		}
		if body != "still here" {
			t.Errorf("GET %s: %d %q", after.Status.URL, code, body)
		}
	}
}

func pidOf(t *testing.T, c *client, w component) int {
	t.Helper()
	if len(w.Status.Instances) != 1 {
		t.Fatalf("%+v", w)
	}
	for i := range c.c.Engines.Workload.List(t.Context()) {
		if string(i) == w.Status.Instances[0].ID {
			seen, err := c.c.Engines.Workload.Observe(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			return seen.Pid
		}
	}
	t.Fatal(fmt.Errorf("the instance is gone"))
	return 0
}

// TestReleasesOnRealInstancesFailNoRequest rolls in batches, grayly by weight and by header, goes on, takes back, and takes
// back by itself, with real instances under load.
func TestReleasesOnRealInstancesFailNoRequest(t *testing.T) {
	if os.Getenv("AWAN_LONG") == "" {
		t.Skip("half a minute: AWAN_LONG=1 runs it")
	}
	c := open(t)
	for _, v := range []string{"one", "two", "three"} {
		files, cmd := cloudtest.Web(v)
		c.push("library/web:"+v, files, cmd...)
	}
	// A program that is well at / and answers errors elsewhere: probes do not see it, the guard does.
	c.push("library/web:bad", map[string]string{"www/index.html": "bad", "www/cgi-bin/x": "#!/bin/sh\nprintf 'Status: 500 Internal Server Error\\r\\n\\r\\nbroken'\n"},
		"/bin/sh", "-c", "trap 'exit 0' TERM; httpd -f -p $PORT -h /www & wait")
	base := m{"memory": 32, "cpu": 200, "replicas": 2}
	c.succeeds(c.deploy("web", "one", base))
	url := c.component("web").Status.URL
	load := c.load(url, 3)

	c.succeeds(c.deploy("web", "two", m{"rolling": m{"batches": 2, "pause": "1s"}, "hooks": m{"before": m{"command": []string{"/bin/echo", "migrated"}}, "pre_stop": m{"command": []string{"/bin/sleep", "0"}}}}))
	if e := c.events("web"); !strings.Contains(e, "1 of 2 instances are new") || !strings.Contains(e, "| migrated") {
		t.Error(e)
	}
	const n = 400
	c.succeeds(c.deploy("web", "three", m{"strategy": "gray", "gray": m{"weight": 25, "rules": []m{{"source": "header", "name": "X-Tester", "value": "yes"}}}}))
	if s := c.share(url, "three", n); !within(s, 25, n) {
		t.Errorf("25 %% became %.1f %%", 100*s)
	}
	if s := c.share(url, "three", 30, "X-Tester", "yes"); s != 1 {
		t.Errorf("by header %.2f", s)
	}
	c.succeeds(c.act("web", "gray-rollback", nil))
	if s := c.share(url, "two", 30); s != 1 {
		t.Errorf("taken back: %.2f", s)
	}
	c.succeeds(c.deploy("web", "three", nil))
	c.succeeds(c.act("web", "gray-continue", m{"weight": 60}))
	c.succeeds(c.act("web", "gray-continue", nil))
	if s := c.share(url, "three", 30); s != 1 {
		t.Errorf("continued: %.2f", s)
	}

	// Its errors take it back; the load at / fails nowhere.
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				c.get(url + "cgi-bin/x")
			}
		}
	}()
	j := c.deploy("web", "bad", m{"strategy": "rolling", "rolling": m{"batches": 2, "pause": "5s"}, "guard": m{"error_rate": 5, "window": "30s", "requests": 10}})
	if j.State != "failed" || !strings.Contains(j.Error.Message, "were errors") {
		t.Errorf("%+v %v", j, j.Error)
	}
	close(stop)
	<-done
	c.eventually("both old ones run", func() bool { web := c.component("web"); return web.Status.Ready == 2 && len(web.Status.Instances) == 2 })
	if s := c.share(url, "three", 30); s != 1 {
		t.Errorf("after the automatic roll back: %.2f", s)
	}
	load.end(300)
}
