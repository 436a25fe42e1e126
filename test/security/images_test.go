package security_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// image pushes an image of these files from inside.
func (w *whole) image(path string, files map[string]string) {
	w.t.Helper()
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	for n, text := range files {
		if err := t.WriteHeader(&tar.Header{Name: n, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			w.t.Fatal(err)
		}
		_, _ = t.Write([]byte(text))
	}
	if err := t.Close(); err != nil {
		w.t.Fatal(err)
	}
	im, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON),
		static.NewLayer(b.Bytes(), types.OCIUncompressedLayer))
	if err != nil {
		w.t.Fatal(err)
	}
	ref, err := name.ParseReference(w.Registry.Host() + "/" + path)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := remote.Write(ref, im, remote.WithTransport(w.Registry.Transport(""))); err != nil {
		w.t.Fatal(err)
	}
}

// load loads a list of vulnerabilities as the operator does.
func (w *whole) load(token, list, body string) {
	w.t.Helper()
	in := url.QueryEscape(`{"name":"` + list + `"}`)
	r, err := http.NewRequestWithContext(w.t.Context(), "POST", w.URL()+"/awan/v1/registry/vulnerability-lists/actions/load?in="+in, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	r.Header.Set("X-Auth-Token", token)
	if a := w.send(r); a.status != 200 {
		w.t.Fatalf("loading a list: %d %s", a.status, a.body)
	}
}

// proveS28: a pushed image with a package that the operator's list knows a grave flaw of is not released; the refusal
// names package, version, id and fixed version. With an exception that says why it is released. Without a list nothing
// is called clean.
func proveS28(t *testing.T) {
	w := boot(t, t.TempDir())
	root := w.root()
	var who struct {
		ProjectID string `json:"project_id"`
	}
	w.native(root, "GET", "/whoami", nil, &who)
	in := "/projects/" + who.ProjectID + "/"
	w.make(root, in+"registry/scan-policies", "no-grave-flaws", `{"block":"high"}`)
	w.image(who.ProjectID+"/shop:1", map[string]string{"etc/os-release": "ID=debian\nVERSION_ID=\"12\"\n",
		"var/lib/dpkg/status": "Package: libssl3\nStatus: install ok installed\nSource: openssl\nVersion: 3.0.11-1\n"})
	release := func(app string) string {
		t.Helper()
		var r row
		w.native(root, "POST", in+"app/components", map[string]any{"name": app, "spec": json.RawMessage(`{"source":{"image":"shop:1"},"probe":{"type":"none"}}`)}, &r)
		var j struct {
			State string
			Error struct{ Message string }
		}
		w.native(root, "GET", "/jobs/"+r.Job.ID+"?wait=60s", nil, &j)
		return j.State + ": " + j.Error.Message
	}
	if got := release("first"); !strings.HasPrefix(got, "failed") || !strings.Contains(got, "no list loaded") {
		t.Errorf("without a list: %s", got)
	}
	w.load(root, "debian", `[{"id":"DEBIAN-CVE-2024-1","aliases":["CVE-2024-1"],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
		"affected":[{"package":{"ecosystem":"Debian:12","name":"openssl"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"3.0.13-1"}]}]}]}]`)
	got := release("second")
	for _, part := range []string{"failed", "libssl3", "3.0.11-1", "DEBIAN-CVE-2024-1", "critical", "fixed in 3.0.13-1", "no-grave-flaws"} {
		if !strings.Contains(got, part) {
			t.Errorf("the refusal %q does not say %s", got, part)
		}
	}
	exception := `{"exceptions":[{"id":"CVE-2024-1","reason":"the app speaks no TLS","until":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}]}`
	w.native(root, "PATCH", in+"registry/scan-policies/no-grave-flaws", map[string]any{"spec": json.RawMessage(exception)}, nil)
	if got := release("third"); !strings.HasPrefix(got, "succeeded") {
		t.Errorf("with an exception: %s", got)
	}
}
