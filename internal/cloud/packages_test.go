package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/internal/engine/build/outward"
	"github.com/awancloud/awan/internal/engine/workload/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/service/bucket"
	"github.com/awancloud/awan/internal/service/build"
)

// anySource builds every archive to the image of its digest.
type anySource struct {
	anyImage
	builds atomic.Int32
	gate   atomic.Pointer[chan struct{}] // builds wait for it
}

func (b *anySource) Build(_ context.Context, r build.Request, _ build.Progress) (build.Output, error) {
	b.builds.Add(1)
	if gate := b.gate.Load(); gate != nil {
		<-*gate
	}
	content, err := os.ReadFile(r.Archive)
	return build.Output{Result: build.Result{Image: r.Project + "/" + r.Name + "@" + digestOf(content)}, Stack: "java"}, err
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// packages is a host that gives packages; content is what lies at /shop.jar.
type packages struct {
	*httptest.Server
	content atomic.Value
}

func openPackages(t *testing.T) *packages {
	p := &packages{}
	p.content.Store("one")
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "clear text") }))
	t.Cleanup(elsewhere.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("/shop.jar", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, p.content.Load().(string)) })
	mux.HandleFunc("/private.jar", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "deploy" || password != "hush" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "private")
	})
	mux.HandleFunc("/moved.jar", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/shop.jar", http.StatusFound) })
	mux.HandleFunc("/clear.jar", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) })
	mux.HandleFunc("/round.jar", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round.jar", http.StatusFound) })
	mux.HandleFunc("/empty.jar", func(http.ResponseWriter, *http.Request) {})
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Close)
	return p
}

// TestAPackageComesFromAnAddress by https, from where tenants' sources may come from, and is what its digest says.
func TestAPackageComesFromAnAddress(t *testing.T) {
	host, builder := openPackages(t), &anySource{}
	engine := sim.New(sim.Options{})
	t.Cleanup(func() { _ = engine.Close() })
	c := openOn(t, t.TempDir(), func(context.Context, *Cloud) (Engines, error) {
		dialer, err := outward.New([]string{strings.TrimPrefix(host.URL, "https://")})
		return Engines{Workload: keptEngine{engine}, Builder: builder, Sources: Sources{Download: (&puller{dialer: dialer}).download}}, err
	})
	const credentials = "/projects/-/app/credentials"
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: host.Certificate().Raw}))
	where := strings.TrimPrefix(host.URL, "https://")
	c.do("POST", credentials, m{"name": "host", "spec": m{"host": where, "ca": ca}}, nil)
	c.do("POST", credentials, m{"name": "open", "spec": m{"host": where, "ca": ca, "username": "deploy", "password": "hush"}}, nil)
	c.do("POST", credentials, m{"name": "other", "spec": m{"host": "packages.example.org"}}, nil)

	spec := func(url, digest, credential string) m {
		return m{"probe": m{"type": "none"}, "source": m{"package": m{"url": url, "digest": digest}, "credential": credential}}
	}
	create := func(name string, s m) jobView { return c.finish("POST", components, m{"name": name, "spec": s}) }
	for _, x := range []struct{ url, digest, credential, says string }{
		{"http://" + where + "/shop.jar", "", "", "not an https address"},
		{"https://me:pass@" + where + "/shop.jar", "", "", "must not hold a password"},
		{host.URL + "/shop.jar", "sha256:1", "", "digest"},
		{host.URL + "/shop.jar", "", "other", "is for packages.example.org"},
	} {
		c.refused("POST", components, m{"name": "no", "spec": spec(x.url, x.digest, x.credential)}, x.says)
	}
	for i, x := range []struct{ url, digest, credential, says string }{
		{host.URL + "/shop.jar", "", "", "does not give the package"},
		{host.URL + "/nothing.jar", "", "host", "nothing at this address"},
		{host.URL + "/private.jar", "", "host", "does not let us have"},
		{host.URL + "/clear.jar", "", "host", "not reached by https"},
		{host.URL + "/round.jar", "", "host", "leads on and on"},
		{host.URL + "/empty.jar", "", "host", "empty"},
		{host.URL + "/shop.jar", digestOf([]byte("two")), "host", digestOf([]byte("one"))},
		{"https://localhost:1/shop.jar", "", "", "operator has not allowed"},
	} {
		name := "no" + string(rune('a'+i))
		if j := create(name, spec(x.url, x.digest, x.credential)); j.State != "failed" || !strings.Contains(j.Error.Message, x.says) {
			t.Errorf("%s: %+v %v", x.url, j, j.Error)
		}
	}
	c.succeeds(create("pinned", spec(host.URL+"/moved.jar", digestOf([]byte("one")), "host")))
	c.succeeds(create("private", spec(host.URL+"/private.jar", "", "open")))
	c.succeeds(create("shop", spec(host.URL+"/shop.jar?signature=hush", "", "host")))
	if im := c.component("shop").Status.Image; !strings.HasSuffix(im, digestOf([]byte("one"))) {
		t.Errorf("it runs %s", im)
	}
	before := builder.builds.Load()
	c.succeeds(c.act("shop", "redeploy", nil))
	if builder.builds.Load() != before {
		t.Error("what did not change was built again")
	}
	host.content.Store("two")
	c.succeeds(c.act("shop", "redeploy", nil))
	if im := c.component("shop").Status.Image; !strings.HasSuffix(im, digestOf([]byte("two"))) {
		t.Errorf("after the redeploy it runs %s", im)
	}
	c.succeeds(c.finish("PATCH", components+"/shop", m{"spec": m{"source": m{"image": "library/web:1"}}}))
	if im := c.component("shop").Status.Image; !strings.HasPrefix(im, "library/web") {
		t.Errorf("an image takes the place of a package: it runs %s", im)
	}
}

// admin is who the tests' client logs in as, by its access key.
func (c *client) admin() ident.Principal {
	c.t.Helper()
	env, err := adminenv.Read(c.c.path(adminenv.File))
	if err != nil {
		c.t.Fatal(err)
	}
	p, _, err := c.c.Ident.ByKey(c.t.Context(), env[adminenv.AccessKey])
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// project is the one that the tests' components are in.
func (c *client) project() string {
	c.t.Helper()
	var r struct{ Items []struct{ Project string } }
	c.do("GET", components, nil, &r)
	if len(r.Items) == 0 || r.Items[0].Project == "" {
		c.t.Fatalf("no component says its project: %+v", r)
	}
	return r.Items[0].Project
}

// TestAPackageComesFromABucket of the project, to who may read it; and a hook that comes while it is built waits.
func TestAPackageComesFromABucket(t *testing.T) {
	builder := &anySource{}
	engine := sim.New(sim.Options{})
	t.Cleanup(func() { _ = engine.Close() })
	c := openOn(t, t.TempDir(), func(context.Context, *Cloud) (Engines, error) {
		return Engines{Workload: keptEngine{engine}, Builder: builder}, nil
	})
	admin := c.admin()
	me := &bucket.Caller{Principal: admin}
	put := func(text string) {
		t.Helper()
		if _, err := c.c.Buckets.Put(t.Context(), me, &bucket.PutInput{Bucket: "builds", Key: "v1/shop.jar", Body: strings.NewReader(text), Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.c.Buckets.Create(t.Context(), me, "builds", bucket.BucketSpec{}, "", nil); err != nil {
		t.Fatal(err)
	}
	put("one")
	spec := func(url string) m { return m{"probe": m{"type": "none"}, "source": m{"package": m{"url": url}}} }
	for url, says := range map[string]string{"obs://builds": "names no object", "obs://builds/v1/other.jar": "has no object", "s3://nobody/x": "bucket"} {
		c.refused("POST", components, m{"name": "no", "spec": spec(url)}, says)
	}
	c.succeeds(c.finish("POST", components, m{"name": "shop", "spec": spec("obs://builds/v1/shop.jar")}))
	if im := c.component("shop").Status.Image; !strings.HasSuffix(im, digestOf([]byte("one"))) {
		t.Errorf("it runs %s", im)
	}

	// Who may deploy and may not read the bucket does not get at it this way.
	c.do("PATCH", "/domains/-/identity/security-policies/rules", m{"spec": m{"mfa": "off", "mfa_api": false}}, nil)
	document := m{"Version": "1.1", "Statement": []m{{"Effect": "Allow", "Action": []string{"app:*:*"}}}}
	c.do("POST", "/domains/-/identity/policies", m{"name": "deployers", "spec": m{"document": document}}, nil)
	c.do("POST", "/domains/-/identity/users", m{"name": "dev", "spec": m{"password": "correct horse battery 9"}}, nil)
	c.do("POST", "/domains/-/identity/grants", m{"spec": m{"policy": "deployers", "user": "dev", "project": c.project()}}, nil)
	dev, err := c.c.Ident.ByPassword(t.Context(), admin.DomainName, "dev", "correct horse battery 9", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	deploy := func(name string, spec m) error {
		text, _ := json.Marshal(spec)
		_, err := c.c.Door.Do(t.Context(), &call.Call{Kind: c.c.App.Component.D, Verb: call.Create, Name: &name, Project: c.project(), Principal: dev, Spec: text})
		return err
	}
	if err := deploy("theirs", spec("obs://builds/v1/shop.jar")); !fail.Is(err, fail.Denied) {
		t.Errorf("a package of a bucket that one may not read: %v", err)
	}
	if err := deploy("image", m{"source": m{"image": "library/web:1"}}); err != nil {
		t.Errorf("an image: %v", err)
	}

	var token struct {
		Resource struct{ Status struct{ Token, Hook string } }
	}
	c.do("POST", "/projects/-/app/deploy-tokens", m{"name": "ci", "spec": m{"component": "shop"}}, &token)
	hook := func() string {
		t.Helper()
		req, _ := http.NewRequest("POST", c.c.URL()+token.Resource.Status.Hook, nil)
		req.Header.Set("Authorization", "Bearer "+token.Resource.Status.Token)
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusAccepted {
			t.Fatalf("a hook: %d %s", resp.StatusCode, b)
		}
		return string(b)
	}
	put("two")
	gate := make(chan struct{})
	builder.gate.Store(&gate)
	before := builder.builds.Load()
	hook()
	for end := time.Now().Add(30 * time.Second); builder.builds.Load() == before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the first hook builds nothing")
		}
	}
	put("three")
	for range 3 { // of many that come, one redeploy is made
		if said := hook(); !strings.Contains(said, "queued") {
			t.Errorf("a hook to a busy component: %s", said)
		}
	}
	close(gate)
	for end := time.Now().Add(60 * time.Second); !strings.HasSuffix(c.component("shop").Status.Image, digestOf([]byte("three"))); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after the hooks it runs %s", c.component("shop").Status.Image)
		}
	}
	if n := builder.builds.Load() - before; n != 2 {
		t.Errorf("%d builds for four hooks", n)
	}
}

// TestUploadsLieSealed: what is uploaded, what a build says, and what an earlier version kept as files, are nowhere in the
// clear, and can still be built from.
func TestUploadsLieSealed(t *testing.T) {
	dir := t.TempDir()
	builder := &sayingSource{}
	engine := sim.New(sim.Options{})
	t.Cleanup(func() { _ = engine.Close() })
	engines := func(context.Context, *Cloud) (Engines, error) {
		return Engines{Workload: keptEngine{engine}, Builder: builder}, nil
	}
	c := openOn(t, dir, engines)
	const mark = "the recipe of the cake, told once"
	upload := func(c *client, text string) string {
		t.Helper()
		req, _ := http.NewRequest("POST", c.c.URL()+"/awan/v1"+components+"/actions/upload", strings.NewReader(text))
		req.Header.Set("X-Auth-Token", c.token)
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK || !strings.Contains(string(b), digestOf([]byte(text))) {
			t.Fatalf("the upload: %d %s", resp.StatusCode, b)
		}
		return digestOf([]byte(text))
	}
	spec := func(digest string) m { return m{"probe": m{"type": "none"}, "source": m{"digest": digest}} }
	c.succeeds(c.finish("POST", components, m{"name": "cake", "spec": spec(upload(c, mark))}))
	c.refused("POST", components, m{"name": "no", "spec": spec(digestOf([]byte("other")))}, "there is no upload")
	project := c.project()
	if err := c.c.Close(); err != nil {
		t.Fatal(err)
	}
	inTheClear(t, dir, mark)

	old := filepath.Join(dir, "apps", "sources", project)
	if err := os.MkdirAll(old, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, strings.TrimPrefix(digestOf([]byte(mark+" twice")), "sha256:")+".tar.gz"), []byte(mark+" twice"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = openOn(t, dir, engines)
	c.succeeds(c.finish("POST", components, m{"name": "older", "spec": spec(digestOf([]byte(mark + " twice")))}))
	if _, said := c.try("POST", components+"/cake/actions/build-log", m{}); !strings.Contains(said, mark) {
		t.Errorf("the build's log says %s", said)
	}
	if err := c.c.Close(); err != nil {
		t.Fatal(err)
	}
	inTheClear(t, dir, mark)
}

// sayingSource builds like anySource, and prints what it built.
type sayingSource struct{ anySource }

func (b *sayingSource) Build(ctx context.Context, r build.Request, p build.Progress) (build.Output, error) {
	content, err := os.ReadFile(r.Archive)
	if err != nil {
		return build.Output{}, err
	}
	p.Log(string(content))
	return b.anySource.Build(ctx, r, p)
}

// inTheClear finds files that hold a text.
func inTheClear(t *testing.T, dir, text string) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil
		}
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), text) {
			t.Errorf("%s holds it in the clear", strings.TrimPrefix(path, dir))
		}
		return nil
	})
}
