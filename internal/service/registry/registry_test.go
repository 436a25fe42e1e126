package registry

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"

	"github.com/awancloud/awan/internal/engine/object/mem"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/secret"
	memstore "github.com/awancloud/awan/internal/kernel/store/mem"
	"github.com/awancloud/awan/internal/service/bucket"
	"github.com/awancloud/awan/internal/service/build"
)

var _ build.Registry = (*Registry)(nil)

// TestMain keeps the library's own request log out of the tests' output.
func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard)
	m.Run()
}

// users is a stand-in identity: "ana" owns project p1 and "ben" p2; both read the shared images.
func users(q *http.Request, repository string, actions []string) (ident.Principal, error) {
	user, password, ok := q.BasicAuth()
	if !ok || password != user+"-secret" {
		return ident.Principal{}, fail.New(fail.Unauthenticated, "log in first")
	}
	who := ident.Principal{UserName: user, Method: ident.ByPassword}
	project := map[string]string{"ana": "p1", "ben": "p2"}[user]
	owner, _, _ := strings.Cut(repository, "/")
	switch {
	case repository == "" && len(actions) == 0, owner == project:
		return who, nil
	case owner == Shared && slices.Equal(actions, []string{Pull}):
		return who, nil
	case owner == Shared:
		return who, fail.New(fail.Denied, "shared images are only read")
	}
	return who, fail.New(fail.NotFound, "there is no repository %s", repository)
}

func depot(t *testing.T) Depot {
	t.Helper()
	sealer, err := secret.OpenSealer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return bucket.New(bucket.Deps{Store: memstore.New(), Blobs: mem.New(), Sealer: sealer, Now: time.Now}).Depot("registry")
}

func open(t *testing.T) *Registry {
	t.Helper()
	r, err := New(Options{Dir: t.TempDir(), Depot: depot(t), Host: "registry.test", Authorize: users})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func as(user string) remote.Option {
	return remote.WithAuth(&authn.Basic{Username: user, Password: user + "-secret"})
}

// TestOutside pushes, pulls and is refused as a client from outside is.
func TestOutside(t *testing.T) {
	r := open(t)
	server := httptest.NewServer(r)
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	image, err := random.Image(4096, 3)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := image.Digest()
	ref := func(s string) name.Reference {
		n, err := name.ParseReference(host+"/"+s, name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := remote.Write(ref("p1/app:v1"), image, as("ana")); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Get(ref("p1/app:v1"), as("ana"))
	if err != nil || got.Digest != want {
		t.Fatalf("pulled %v %v, want %v", got, err, want)
	}
	for _, c := range []struct {
		what, code string
		err        error
	}{
		{"no credential", "UNAUTHORIZED", remote.Write(ref("p1/app:v2"), image)},
		{"another tenant writes", "NAME_UNKNOWN", remote.Write(ref("p1/app:v2"), image, as("ben"))},
		{"a tenant writes shared images", "DENIED", remote.Write(ref("library/go:v2"), image, as("ben"))},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.code) && !strings.Contains(c.err.Error(), "404") && !strings.Contains(c.err.Error(), "401") {
			t.Errorf("%s: %v, want %s", c.what, c.err, c.code)
		}
	}
	if _, err := remote.Get(ref("p1/app:v1"), as("ben")); err == nil {
		t.Error("another tenant read the image")
	}

	// A blob of another tenant is not mounted, so knowing a digest gives nothing away.
	layers, _ := image.Layers()
	digest, _ := layers[0].Digest()
	q, _ := http.NewRequest("POST", server.URL+"/v2/p2/x/blobs/uploads/?mount="+digest.String()+"&from=p1/app", nil)
	q.SetBasicAuth("ben", "ben-secret")
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	if a.StatusCode != http.StatusAccepted {
		t.Errorf("mount from another tenant: %s, want an ordinary upload", a.Status)
	}

	a, err = http.Get(server.URL + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	var body struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.NewDecoder(a.Body).Decode(&body); err != nil || len(body.Errors) != 1 || body.Errors[0].Code != "UNAUTHORIZED" {
		t.Errorf("body %+v %v", body, err)
	}
	if h := a.Header.Get("WWW-Authenticate"); !strings.HasPrefix(h, "Basic ") {
		t.Errorf("challenge %q", h)
	}
}

// TestInside moves images without a socket, acting for a project.
func TestInside(t *testing.T) {
	r := open(t)
	image, _ := random.Image(1<<20, 2)
	ref := func(s string) name.Reference {
		n, err := name.ParseReference("registry.test/" + s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	cloud, p1, p2 := remote.WithTransport(r.Transport("")), remote.WithTransport(r.Transport("p1")), remote.WithTransport(r.Transport("p2"))
	if err := remote.Write(ref("library/debian:12"), image, cloud); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref("p1/app:v1"), image, p1); err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Image(ref("library/debian:12"), p2)
	if err != nil {
		t.Fatal(err)
	}
	layers, _ := pulled.Layers()
	body, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, body); err != nil || n < 1<<20 {
		t.Errorf("read %d %v", n, err)
	}
	body.Close()
	if _, err := remote.Image(ref("p1/app:v1"), p2); err == nil {
		t.Error("project p2 read p1's image")
	}
	if err := remote.Write(ref("library/debian:13"), image, p2); err == nil {
		t.Error("a project wrote a shared image")
	}
	if _, err := r.Transport("").RoundTrip(httptest.NewRequest("GET", "https://elsewhere.test/v2/", nil)); !fail.Is(err, fail.Denied) {
		t.Errorf("another host: %v", err)
	}
}

// TestCollect deletes an image and frees what only it used.
func TestCollect(t *testing.T) {
	ctx := context.Background()
	r := open(t)
	now := time.Now()
	r.now = func() time.Time { return now }
	keep, _ := random.Image(1<<16, 1)
	drop, _ := random.Image(1<<16, 1)
	cloud := remote.WithTransport(r.Transport(""))
	for tag, image := range map[string]v1.Image{"registry.test/p1/app:keep": keep, "registry.test/p1/app:drop": drop} {
		n, _ := name.ParseReference(tag)
		if err := remote.Write(n, image, cloud); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := r.Repositories(ctx, "p1"); err != nil || !slices.Equal(names, []string{"p1/app"}) {
		t.Errorf("repositories %v %v", names, err)
	}
	if tags, err := r.Tags(ctx, "p1/app"); err != nil || !slices.Equal(tags, []string{"drop", "keep"}) {
		t.Errorf("tags %v %v", tags, err)
	}
	d, _ := drop.Digest()
	if err := r.Delete(ctx, "p1/app", d.String()); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(ctx, "p1/app", d.String()); err != nil {
		t.Errorf("deleting twice: %v", err)
	}
	if _, err := r.Collect(ctx, time.Hour); !fail.Is(err, fail.Conflict) {
		t.Errorf("collecting right after a start: %v", err)
	}
	now = now.Add(59 * time.Minute)
	layers, _ := drop.Layers()
	leased, _ := layers[0].Digest()
	r.relied.touch(now, digest.Digest(leased.String())) // a client that is about to send it again asked for it
	now = now.Add(2 * time.Minute)
	if did, err := r.Collect(ctx, time.Hour); err != nil || did.Blobs != 2 { // the config and the manifest
		t.Fatal(did, err)
	}
	now = now.Add(time.Hour)
	if did, err := r.Collect(ctx, time.Hour); err != nil || did.Blobs != 1 {
		t.Fatal(did, err)
	}
	kept, _ := keep.Digest()
	n, _ := name.ParseReference("registry.test/p1/app@" + kept.String())
	if _, err := remote.Image(n, cloud); err != nil {
		t.Errorf("the kept image: %v", err)
	}
	gone := leased
	b, _ := name.NewDigest("registry.test/p1/app@" + gone.String())
	if l, err := remote.Layer(b, cloud); err == nil {
		if _, err := l.Compressed(); err == nil {
			t.Error("the dropped layer is still there")
		}
	}
	// Pushed again, it is whole again: nothing remembers the blobs that were freed.
	again, _ := name.ParseReference("registry.test/p1/app:again")
	if err := remote.Write(again, drop, cloud); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(ctx, "p1/app"); err != nil {
		t.Fatal(err)
	}
	if names, _ := r.Repositories(ctx, ""); len(names) != 0 {
		t.Errorf("left %v", names)
	}
}

// TestSkopeo uses a client we did not write.
func TestSkopeo(t *testing.T) {
	if _, err := exec.LookPath("skopeo"); err != nil {
		t.Skip("skopeo is not installed")
	}
	r := open(t)
	server := httptest.NewServer(r)
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	image, _ := random.Image(4096, 2)
	n, _ := name.ParseReference("registry.test/library/base:1")
	if err := remote.Write(n, image, remote.WithTransport(r.Transport(""))); err != nil {
		t.Fatal(err)
	}
	skopeo := func(args ...string) (string, error) {
		out, err := exec.Command("skopeo", append([]string{"--insecure-policy"}, args...)...).CombinedOutput()
		return string(out), err
	}
	dir := filepath.Join(t.TempDir(), "image")
	if out, err := skopeo("copy", "--src-tls-verify=false", "--src-creds=ana:ana-secret", "docker://"+host+"/library/base:1", "dir:"+dir); err != nil {
		t.Fatal(out)
	}
	if out, err := skopeo("copy", "--dest-tls-verify=false", "--dest-creds=ana:ana-secret", "dir:"+dir, "docker://"+host+"/p1/mine:1"); err != nil {
		t.Fatal(out)
	}
	if out, err := skopeo("copy", "--dest-tls-verify=false", "--dest-creds=ben:ben-secret", "dir:"+dir, "docker://"+host+"/p1/mine:2"); err == nil {
		t.Fatal("another tenant pushed:", out)
	}
	if out, err := skopeo("inspect", "--tls-verify=false", "--creds=ana:wrong", "docker://"+host+"/p1/mine:1"); err == nil {
		t.Fatal("a wrong password worked:", out)
	}
}

func TestScope(t *testing.T) {
	for _, c := range []struct {
		method, path, repository, actions string
		ok                                bool
	}{
		{"GET", "/v2/", "", "", true},
		{"GET", "/v2/_catalog", "", "catalog", true},
		{"GET", "/v2/p1/app/manifests/v1", "p1/app", "pull", true},
		{"HEAD", "/v2/p1/app/blobs/sha256:0", "p1/app", "pull", true},
		{"PUT", "/v2/p1/app/manifests/v1", "p1/app", "pull push", true},
		{"POST", "/v2/p1/app/blobs/uploads/", "p1/app", "pull push", true},
		{"DELETE", "/v2/p1/app/blobs/uploads/7", "p1/app", "pull push", true},
		{"DELETE", "/v2/p1/app/manifests/v1", "p1/app", "delete", true},
		{"GET", "/v2/p1/blobs/manifests/v1", "p1/blobs", "pull", true},
		{"GET", "/v2/p1/../p2/app/manifests/v1", "", "", false},
		{"GET", "/v2//manifests/v1", "", "", false},
		{"GET", "/v2/P1/app/manifests/v1", "", "", false},
		{"GET", "/v1/p1", "", "", false},
		{"CONNECT", "/v2/p1/app/manifests/v1", "", "", false},
	} {
		repository, actions, ok := scope(c.method, c.path)
		if repository != c.repository || strings.Join(actions, " ") != c.actions || ok != c.ok {
			t.Errorf("%s %s: %q %v %v", c.method, c.path, repository, actions, ok)
		}
	}
}

// TestImagesMoveIn: what an earlier version kept as files is served from the depot, and the files are gone.
func TestImagesMoveIn(t *testing.T) {
	dir := t.TempDir()
	before, err := New(Options{Dir: dir, Host: "registry.test", Authorize: users})
	if err != nil {
		t.Fatal(err)
	}
	image, _ := random.Image(1<<16, 2)
	ref, _ := name.ParseReference("registry.test/p1/app:v1")
	if err := remote.Write(ref, image, remote.WithTransport(before.Transport(""))); err != nil {
		t.Fatal(err)
	}
	before.Close()
	after, err := New(Options{Dir: dir, Depot: depot(t), Host: "registry.test", Authorize: users})
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	got, err := remote.Image(ref, remote.WithTransport(after.Transport("")))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}
