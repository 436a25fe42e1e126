package cloud

import (
	"encoding/pem"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/awancloud/awan/test/cloudtest"
)

// TestAnImageOfAnotherRegistryRuns in a container, where the operator allows that registry and a credential opens it.
func TestAnImageOfAnotherRegistryRuns(t *testing.T) {
	if os.Getenv("AWAN_LONG") == "" {
		t.Skip("AWAN_LONG=1 runs it")
	}
	images := registry.New(registry.Logger(log.New(testWriter{t}, "", 0)))
	other := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "deploy" || password != "hush" {
			w.Header().Set("WWW-Authenticate", `Basic realm="images"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		images.ServeHTTP(w, r)
	}))
	t.Cleanup(other.Close)
	host := strings.TrimPrefix(other.URL, "https://")
	files, command := cloudtest.Web("from elsewhere")
	image, err := cloudtest.Image(files, command...)
	if err != nil {
		t.Fatal(err)
	}
	inside := httptest.NewServer(images) // the same images, for the test's own push
	t.Cleanup(inside.Close)
	to, err := name.ParseReference(strings.TrimPrefix(inside.URL, "http://") + "/team/web:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(to, image, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}

	c := openWith(t, func(o *Options) { o.Registries = []string{host} })
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw}))
	for credential, password := range map[string]string{"wrong": "guess", "right": "hush"} {
		c.do("POST", "/projects/-/app/credentials", m{"name": credential, "spec": m{"host": host, "username": "deploy", "password": password, "ca": ca}}, nil)
	}
	create := func(app, image, credential string) jobView {
		return c.finish("POST", components, m{"name": app, "spec": m{"memory": 32, "source": m{"image": image, "credential": credential}}})
	}
	for app, x := range map[string][3]string{
		"no-certificate": {host + "/team/web:1", "", "is not reached by https"},
		"no-entry":       {host + "/team/web:1", "wrong", "does not let us have"},
		"no-image":       {host + "/team/nothing:1", "right", "has no"},
		"no-leave":       {"registry.example.org/team/web:1", "", "not allowed here"},
	} {
		if j := create(app, x[0], x[1]); j.State != "failed" || !strings.Contains(j.Error.Message, x[2]) {
			t.Errorf("%s: %+v %v", app, j, j.Error)
		}
	}
	c.succeeds(create("web", host+"/team/web:1", "right"))
	c.eventually("it answers", func() bool { _, body := c.get(c.component("web").Status.URL); return body == "from elsewhere" })
	other.Close() // what runs needs the other registry no more
	c.succeeds(c.act("web", "scale", m{"replicas": 2}))
	c.succeeds(c.act("web", "restart", nil))
}
