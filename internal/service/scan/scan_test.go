package scan

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/sirupsen/logrus"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/registry"
)

// TestMain keeps the registry's own request log out of the tests' output.
func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard)
	os.Exit(m.Run())
}

// place is a registry with scans over a kernel.
type place struct {
	*kerneltest.Kernel
	t    *testing.T
	reg  *registry.Registry
	scan *Service
}

func open(t *testing.T) *place {
	p := &place{t: t}
	proxy := &lateKernel{}
	var err error
	// The registry and the kinds want the store, which the kernel makes with the kinds.
	p.reg, err = registry.New(registry.Options{Dir: t.TempDir(), Host: "registry.test", Authorize: func(*http.Request, string, []string) (ident.Principal, error) { return ident.System(), nil },
		Store: proxy, Project: func(tx store.Tx, project id.ID) (id.ID, error) {
			row, err := p.Ident.Kinds.Project.Get(tx, project)
			if row == nil || err != nil {
				return "", err
			}
			return row.Domain, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.reg.Close() })
	kinds := registry.NewKinds(registry.KindDeps{Registry: p.reg})
	p.scan = New(Deps{Store: proxy, Registry: p.reg, Kinds: kinds, Dir: t.TempDir(), Now: time.Now})
	p.Kernel = kerneltest.Start(t, nil, append(kinds.All(), p.scan.All()...)...)
	proxy.Store = p.Kernel.Store
	p.scan.Now = p.Clock.Now
	return p
}

type lateKernel struct{ store.Store }

// layer is a tar of files.
func layer(t *testing.T, files map[string]string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for n, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: n, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write([]byte(text))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return static.NewLayer(b.Bytes(), types.OCIUncompressedLayer)
}

// push makes an image of layers, the lowest first, and gives its name by digest.
func (p *place) push(image string, layers ...map[string]string) string {
	p.t.Helper()
	im := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	var err error
	for _, l := range layers {
		if im, err = mutate.AppendLayers(im, layer(p.t, l)); err != nil {
			p.t.Fatal(err)
		}
	}
	project := string(p.Admin.ProjectID)
	ref, err := name.ParseReference("registry.test/" + project + "/" + image)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := remote.Write(ref, im, remote.WithTransport(p.reg.Transport(project))); err != nil {
		p.t.Fatal(err)
	}
	d, _ := im.Digest()
	return ref.Context().RepositoryStr() + "@" + d.String()
}

// load loads a list through the door.
func (p *place) load(list string, body []byte) error {
	in, _ := json.Marshal(LoadIn{Name: list})
	_, err := p.Door.Do(context.Background(), &call.Call{Kind: p.scan.List.D, Verb: "load", In: in, Principal: p.Root,
		Stream: kind.Stream{Body: bytes.NewReader(body), Emit: func(any) error { return nil }}})
	return err
}

const debian12 = "ID=debian\nVERSION_ID=\"12\"\n"

const openssl = `Package: libssl3
Status: install ok installed
Source: openssl
Version: 3.0.11-1~deb12u1

Package: removed
Status: deinstall ok config-files
Version: 1
`

func flaw(flawID, eco, pkg, fixed, severity string) map[string]any {
	events := []map[string]string{{"introduced": "0"}}
	if fixed != "" {
		events = append(events, map[string]string{"fixed": fixed})
	}
	return map[string]any{"id": flawID, "aliases": []string{"ALIAS-" + flawID}, "summary": "a flaw", "database_specific": map[string]string{"severity": severity},
		"affected": []any{map[string]any{"package": map[string]string{"ecosystem": eco, "name": pkg}, "ranges": []any{map[string]any{"type": "ECOSYSTEM", "events": events}}}}}
}

func zipped(t *testing.T, docs ...map[string]any) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i, d := range docs {
		f, err := w.Create(fmt.Sprintf("%d.json", i))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(f).Encode(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestStory: an image is scanned against nothing, then against lists; a policy refuses it, an exception lets it pass
// until it ends.
func TestStory(t *testing.T) {
	p := open(t)
	ctx := context.Background()
	image := p.push("web:v1", map[string]string{"etc/os-release": debian12, "var/lib/dpkg/status": openssl},
		map[string]string{"app/node_modules/left-pad/package.json": `{"name":"left-pad","version":"1.0.0"}`,
			"usr/lib/python3/dist-packages/Some_Thing-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: Some_Thing\nVersion: 1.2\n\ntext"})
	status := func() Status {
		t.Helper()
		repository, d := split(image)
		st, err := p.scan.examine(ctx, repository, d)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	if st := status(); st.Verdict != NoList || st.Packages != 3 {
		t.Errorf("without a list: %+v", st)
	}
	web := &kind.Meta{Project: p.Admin.ProjectID}
	if err := p.scan.Guard(ctx, web, "default", image); err != nil {
		t.Errorf("without a policy: %v", err)
	}
	spec, _ := json.Marshal(PolicySpec{Block: High, Unknown: Medium})
	policy := "strict"
	if _, err := p.Door.Do(ctx, &call.Call{Kind: p.scan.Policy.D, Verb: call.Create, Name: &policy, Spec: spec, Principal: p.Root}); err != nil {
		t.Fatal(err)
	}
	if err := p.scan.Guard(ctx, web, "default", image); !fail.Is(err, fail.Precondition) || !strings.Contains(err.Error(), NoList) {
		t.Errorf("a policy without a list: %v", err)
	}
	if err := p.load("debian", zipped(t, flaw("CVE-1", "Debian:12", "openssl", "3.0.14-1~deb12u1", "HIGH"), flaw("CVE-2", "Debian:12", "openssl", "3.0.10-1", "CRITICAL"),
		flaw("CVE-3", "Debian:11", "openssl", "", "CRITICAL"))); err != nil {
		t.Fatal(err)
	}
	st := status()
	if len(st.Findings) != 1 || st.Findings[0].ID != "CVE-1" || st.Findings[0].Fixed != "3.0.14-1~deb12u1" || st.Findings[0].Package != "libssl3" ||
		!slices.Equal(st.Unchecked, []string{"PyPI", "npm"}) || !strings.Contains(st.Verdict, "not checked: PyPI, npm") {
		t.Errorf("with a list: %+v", st)
	}
	err := p.scan.Guard(ctx, web, "default", image)
	for _, part := range []string{"libssl3", "3.0.11-1~deb12u1", "CVE-1", "fixed in 3.0.14-1~deb12u1", "strict"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the refusal %v does not name %s", err, part)
		}
	}
	patch, _ := json.Marshal(map[string]any{"exceptions": []Exception{{ID: "ALIAS-CVE-1", Reason: "not reachable", Until: p.Clock.Now().Add(time.Hour)}}})
	if _, err := p.Door.Do(ctx, &call.Call{Kind: p.scan.Policy.D, Verb: call.Update, Target: policy, Spec: patch, Principal: p.Root}); err != nil {
		t.Fatal(err)
	}
	if err := p.scan.Guard(ctx, web, "default", image); err != nil {
		t.Errorf("with an exception: %v", err)
	}
	p.Clock.Add(2 * time.Hour)
	if err := p.scan.Guard(ctx, web, "default", image); !fail.Is(err, fail.Precondition) {
		t.Errorf("after the exception: %v", err)
	}

	// The push put a scan down; the loop scans it, and again when the lists change.
	var rows []*row
	read := func() *row {
		t.Helper()
		_ = p.Store.View(ctx, func(tx store.Tx) (err error) {
			rows, err = p.scan.Scan.List(tx, string(p.Admin.ProjectID), kind.Filter{})
			return err
		})
		if len(rows) != 1 {
			t.Fatalf("%d scans", len(rows))
		}
		return rows[0]
	}
	r := read()
	if r.Status.Verdict != waiting || r.Spec.Image != "web:v1" {
		t.Errorf("after the push: %+v", r)
	}
	if changed, err := p.scan.refresh(ctx, r); !changed || err != nil || r.Status.Counts[High] != 1 {
		t.Errorf("the loop: %v %v %+v", changed, err, r.Status)
	}
	if changed, _ := p.scan.refresh(ctx, r); changed {
		t.Error("nothing changed, and it was scanned again")
	}
	if err := p.load("npm", zipped(t, flaw("GHSA-1", "npm", "left-pad", "1.0.1", "MODERATE"))); err != nil {
		t.Fatal(err)
	}
	if changed, err := p.scan.refresh(ctx, r); !changed || err != nil || r.Status.Counts[Medium] != 1 {
		t.Errorf("after another list: %v %v %+v", changed, err, r.Status)
	}
	if err := p.load("npm", []byte("nonsense")); !fail.Is(err, fail.Invalid) {
		t.Errorf("a damaged list: %v", err)
	}
	if st := status(); st.Counts[Medium] != 1 {
		t.Error("a list that could not be read took the old one's place")
	}
	var out bytes.Buffer
	if err := p.scan.serveSBOM(ctx, r, nil, kind.Stream{Raw: func(string) (io.Writer, error) { return &out, nil }}); err != nil ||
		!strings.Contains(out.String(), "pkg:deb/debian/libssl3@3.0.11-1~deb12u1") || !strings.Contains(out.String(), "pkg:pypi/some-thing@1.2") {
		t.Errorf("SBOM: %v %s", err, out.String())
	}
}

// TestInventory reads what each ecosystem leaves in an image, layers over layers.
func TestInventory(t *testing.T) {
	p := open(t)
	self, err := os.Executable() // a Go program with its modules
	if err != nil {
		t.Fatal(err)
	}
	var jar bytes.Buffer
	z := zip.NewWriter(&jar)
	f, _ := z.Create("META-INF/maven/org.example/thing/pom.properties")
	_, _ = f.Write([]byte("groupId=org.example\nartifactId=thing\nversion=2.0\n"))
	_ = z.Close()
	for what, c := range map[string]struct {
		layers []map[string]string
		want   []string
	}{
		"alpine":     {[]map[string]string{{"etc/os-release": "ID=alpine\nVERSION_ID=3.19.1\n", "lib/apk/db/installed": "P:musl\nV:1.2.4-r2\no:musl\n\nP:ssl_client\nV:1.36-r1\no:busybox\n"}}, []string{"Alpine:v3.19 musl 1.2.4-r2", "Alpine:v3.19 ssl_client 1.36-r1"}},
		"jar":        {[]map[string]string{{"app/thing.jar": jar.String()}}, []string{"Maven org.example:thing 2.0"}},
		"lock":       {[]map[string]string{{"app/package-lock.json": `{"packages":{"":{},"node_modules/a":{"version":"1.0.0"},"node_modules/@s/b":{"version":"2.0.0"},"node_modules/c":{"version":"3.0.0","dev":true}}}`}}, []string{"npm @s/b 2.0.0", "npm a 1.0.0"}},
		"taken away": {[]map[string]string{{"app/node_modules/a/package.json": `{"name":"a","version":"1.0.0"}`}, {"app/.wh.node_modules": ""}}, nil},
		"opaque":     {[]map[string]string{{"app/node_modules/a/package.json": `{"name":"a","version":"1.0.0"}`}, {"app/.wh..wh..opq": "", "app/node_modules/b/package.json": `{"name":"b","version":"1.0.0"}`}}, []string{"npm b 1.0.0"}},
		"replaced":   {[]map[string]string{{"app/node_modules/a/package.json": `{"name":"a","version":"1.0.0"}`}, {"app/node_modules/a/package.json": `{"name":"a","version":"1.1.0"}`}}, []string{"npm a 1.1.0"}},
		"rpm":        {[]map[string]string{{"var/lib/rpm/rpmdb.sqlite": "x"}}, nil},
	} {
		t.Run(what, func(t *testing.T) {
			repository, d := split(p.push("x:"+strings.ReplaceAll(what, " ", "-"), c.layers...))
			inv, err := p.scan.inventory(context.Background(), repository, d)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, pk := range inv.Packages {
				got = append(got, pk.Eco+" "+pk.Name+" "+pk.Version)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if what == "rpm" && len(inv.Unread) != 1 {
				t.Errorf("what cannot be read is not told: %+v", inv)
			}
		})
	}
	t.Run("go", func(t *testing.T) {
		f, err := os.Open(self)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		w := &walker{out: &Inventory{}}
		w.goProgram("app", f)
		// The go command leaves modules out of test programs; the toolchain's own library is always there.
		if !slices.ContainsFunc(w.out.Packages, func(p Package) bool { return p.Eco == "Go" && p.Name == "stdlib" && p.Version != "" }) {
			t.Errorf("%d packages of this test", len(w.out.Packages))
		}
	})
}

func TestAffects(t *testing.T) {
	between := func(from, to string) rng { return rng{[]evt{{Introduced: from}, {Fixed: to}}} }
	for _, c := range []struct {
		eco, version string
		r            rng
		hit          bool
		fixed        string
	}{
		{"Debian:12", "1:2.0-1", between("0", "1:2.0-2"), true, "1:2.0-2"},
		{"Debian:12", "1:2.0-2", between("0", "1:2.0-2"), false, ""},
		{"Debian:12", "2.0~rc1-1", between("0", "2.0-1"), true, "2.0-1"},
		{"Alpine:v3.19", "1.2.4-r2", between("0", "1.2.4-r3"), true, "1.2.4-r3"},
		{"Alpine:v3.19", "1.2.4-r10", between("0", "1.2.4-r9"), false, ""},
		{"Go", "1.21.0", between("1.21.0-0", "1.21.5"), true, "1.21.5"},
		{"Go", "1.21rc2", between("0", "1.21.0"), true, "1.21.0"},
		{"npm", "2.0.0", rng{[]evt{{Introduced: "0"}, {Fixed: "1.5.0"}, {Introduced: "2.0.0"}, {Fixed: "2.1.0"}}}, true, "2.1.0"},
		{"npm", "1.9.0", rng{[]evt{{Introduced: "0"}, {Fixed: "1.5.0"}, {Introduced: "2.0.0"}, {Fixed: "2.1.0"}}}, false, ""},
		{"PyPI", "1.0.post1", between("0", "1.1"), true, "1.1"},
		{"PyPI", "2.0", rng{[]evt{{Introduced: "0"}, {LastAffected: "2.0"}}}, true, ""},
		{"PyPI", "2.1", rng{[]evt{{Introduced: "0"}, {LastAffected: "2.0"}}}, false, ""},
		{"Maven", "1.0-rc1", between("0", "1.0"), true, "1.0"},
		{"unheard-of", "1", between("0", "2"), false, ""},
	} {
		hit, fixed := c.r.affects(c.eco, c.version)
		if hit != c.hit || hit && fixed != c.fixed {
			t.Errorf("%s %s in %v: %v %q, want %v %q", c.eco, c.version, c.r, hit, fixed, c.hit, c.fixed)
		}
	}
}

func TestSeverity(t *testing.T) {
	for vector, want := range map[string]Severity{
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H": Critical,
		"CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N": High,
		"CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N": Low,
		"AV:N/AC:L/Au:N/C:P/I:P/A:P":                   High,
		"nonsense":                                     Unknown,
	} {
		if got := gravest([]cvss{{Score: vector}}); got != want {
			t.Errorf("%s: %s, want %s", vector, got, want)
		}
	}
}

// TestTracker reads Debian's own form.
func TestTracker(t *testing.T) {
	var got []entry
	err := document("x", []byte(`{"openssl":{"CVE-9":{"description":"d","releases":{
		"bookworm":{"status":"resolved","fixed_version":"3.0.1-1","urgency":"high"},
		"bullseye":{"status":"open","urgency":"not yet assigned"},
		"trixie":{"status":"resolved","fixed_version":"0","urgency":"low"}}}}}`), func(e []entry) error { got = e; return nil })
	if err != nil || len(got) != 2 || got[0].eco != "Debian:11" || got[1].eco != "Debian:12" || got[1].Severity != High || got[0].Severity != Unknown {
		t.Fatalf("%+v %v", got, err)
	}
	if hit, fixed := got[1].affects("Debian:12", "3.0.0-1"); !hit || fixed != "3.0.1-1" {
		t.Errorf("%v %q", hit, fixed)
	}
}
