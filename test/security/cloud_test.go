package security_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/internal/cloud"
	disks "github.com/awancloud/awan/internal/engine/disk/sim"
	wires "github.com/awancloud/awan/internal/engine/fabric/sim"
	makers "github.com/awancloud/awan/internal/engine/image/sim"
	machines "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/engine/workload/sim"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
)

// images builds none, and finds every image: those of the registry as they are, others as if they were there.
type images struct{ cloud *cloud.Cloud }

func (images) Build(context.Context, build.Request, build.Progress) (build.Output, error) {
	return build.Output{}, fail.New(fail.Unsupported, "nothing is built here")
}

func (i images) Resolve(ctx context.Context, project id.ID, image string) (string, error) {
	if found, err := i.cloud.Registry.Locate(ctx, project, image); err == nil {
		return found, nil
	}
	return image + "@sha256:" + strings.Repeat("0", 64), nil
}

// whole is a whole cloud as a fresh install starts it, on simulated engines.
type whole struct {
	*cloud.Cloud
	t     testing.TB
	dir   string
	admin map[string]string // admin.env
	http  *http.Client
}

// boot starts one whose people log in by password alone, which makes tests of other things shorter: see bootStrict.
func boot(t testing.TB, dir string) *whole {
	t.Helper()
	return bootWith(t, dir, true)
}

// bootStrict starts one as it is by default.
func bootStrict(t testing.TB, dir string) *whole {
	t.Helper()
	return bootWith(t, dir, false)
}

func bootWith(t testing.TB, dir string, passwordOnAPIs bool) *whole {
	t.Helper()
	o := cloud.Options{PasswordOnAPIs: passwordOnAPIs, Data: dir, Listen: "127.0.0.1:0", Domain: cloud.DefaultDomain, Region: cloud.DefaultRegion, Account: cloud.DefaultAccount,
		Version: "test", Log: slog.New(slog.DiscardHandler), Engines: func(_ context.Context, c *cloud.Cloud) (cloud.Engines, error) {
			e := sim.New(sim.Options{})
			return cloud.Engines{Workload: e, Builder: images{c}, Fabric: wires.New(wires.Options{}), Machine: machines.New(machines.Options{}), Disk: disks.New(disks.Options{}), Images: makers.Maker{Names: []string{"debian"}}, Close: e.Close}, nil
		}}
	c, err := cloud.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &whole{Cloud: c, t: t, dir: dir}
	if w.admin, err = adminenv.Read(filepath.Join(dir, adminenv.File)); err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.CA.Pool()}}
	t.Cleanup(tr.CloseIdleConnections)
	w.http = &http.Client{Transport: tr, Timeout: time.Minute}
	return w
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request; header is pairs of names and values. It reads at most the beginning of a stream.
func (w *whole) ask(method, path, body string, header ...string) answer {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, w.URL()+path, in)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i+1] != "" {
			r.Header.Set(header[i], header[i+1])
		}
	}
	return w.send(r)
}

func (w *whole) send(r *http.Request) answer {
	w.t.Helper()
	res, err := w.http.Do(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

// native calls the native API; it must succeed, and is read into out.
func (w *whole) native(token, method, path string, in, out any) {
	w.t.Helper()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			w.t.Fatal(err)
		}
	}
	a := w.ask(method, "/awan/v1"+path, body.String(), "X-Auth-Token", token)
	if a.status >= 300 {
		w.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(a.body), out); err != nil {
			w.t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
		}
	}
}

// logIn gives a token.
func (w *whole) logIn(domain, user, password, project string) string {
	w.t.Helper()
	var s struct{ Token string }
	w.native("", "POST", "/login", map[string]string{"domain": domain, "user": user, "password": password, "project": project}, &s)
	return s.Token
}

func (w *whole) root() string {
	w.t.Helper()
	return w.logIn(w.admin[adminenv.Domain], w.admin[adminenv.User], w.admin[adminenv.Password], w.admin[adminenv.Project])
}

// row is what a create answers.
type row struct {
	Resource struct {
		ID     string
		State  string
		Status json.RawMessage
	}
	Job struct{ ID string }
}

// make creates a row by the native API and waits for its job.
func (w *whole) make(token, collection, name, spec string) row {
	w.t.Helper()
	in := map[string]any{"spec": json.RawMessage(spec)}
	if name != "" {
		in["name"] = name
	}
	var r row
	w.native(token, "POST", collection, in, &r)
	if r.Job.ID != "" {
		var j struct{ State, Error string }
		w.native(token, "GET", "/jobs/"+r.Job.ID+"?wait=60s", nil, &j)
		if j.State != "succeeded" {
			w.t.Fatalf("%s %s: %+v", collection, name, j)
		}
	}
	return r
}
