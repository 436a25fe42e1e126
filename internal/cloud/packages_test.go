package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/awancloud/awan/internal/engine/build/outward"
	"github.com/awancloud/awan/internal/engine/workload/sim"
	"github.com/awancloud/awan/internal/service/build"
)

// anySource builds every archive to the image of its digest.
type anySource struct {
	anyImage
	builds atomic.Int32
}

func (b *anySource) Build(_ context.Context, r build.Request, _ build.Progress) (build.Output, error) {
	b.builds.Add(1)
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
