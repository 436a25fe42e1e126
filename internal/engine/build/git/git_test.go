package git

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/service/build"
)

const project = id.ID("0123456789abcdef0123456789abcdef")

// place is an engine whose own repositories an HTTPS server offers, with the password "sesame".
type place struct {
	*Engine
	t      *testing.T
	server *httptest.Server
	refuse func(context.Context, build.Push) error
	most   int64
	large  map[string]string // what Git LFS keeps
}

func open(t *testing.T) *place {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("confining git needs root")
	}
	for _, p := range []string{"runc", "git"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip(p + " is not installed")
		}
	}
	run, err := os.MkdirTemp("/run", "awan-gittest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	dir := t.TempDir()
	p := &place{t: t}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != p.server.Listener.Addr().String() {
			return nil, fail.New(fail.Denied, "%s is not public", address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	sealer, err := secret.OpenSealer(dir + "/keys")
	if err != nil {
		t.Fatal(err)
	}
	if p.Engine, err = New(Options{Dir: dir + "/git", Work: dir + "/job", Run: run + "/git", Key: fmt.Sprintf("gt%d", os.Getpid()), Dial: dial,
		Sealer: sealer, Idle: 50 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	p.server = httptest.NewTLSServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.server.Close)
	return p
}

func (p *place) serve(w http.ResponseWriter, r *http.Request) {
	if _, password, _ := r.BasicAuth(); password != "sesame" {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	name, what, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".git/")
	own := build.Own{Project: project, Name: name, Branch: "main", Most: p.most}
	var err error
	switch what {
	case "info/refs":
		service := r.URL.Query().Get("service")
		w.Header().Set("Content-Type", "application/x-"+service+"-advertisement")
		if r.Header.Get("Git-Protocol") != "version=2" || service == "git-receive-pack" {
			line := "# service=" + service + "\n"
			fmt.Fprintf(w, "%04x%s0000", len(line)+4, line)
		}
		err = p.Advertise(r.Context(), own, service, r.Header.Get("Git-Protocol"), w)
	case "git-upload-pack":
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		err = p.Upload(r.Context(), own, r.Header.Get("Git-Protocol"), r.Body, w)
	case "git-receive-pack":
		w.Header().Set("Content-Type", "application/x-git-receive-pack-result")
		err = p.Receive(r.Context(), own, r.Body, w, p.refuse)
	case "info/lfs/objects/batch":
		var ask struct{ Objects []lfsObject }
		_ = json.NewDecoder(r.Body).Decode(&ask)
		var told []map[string]any
		for _, o := range ask.Objects {
			if _, has := p.large[o.OID]; has {
				told = append(told, map[string]any{"oid": o.OID, "size": o.Size, "actions": map[string]any{"download": map[string]any{"href": p.server.URL + "/large.git/" + o.OID}}})
			} else {
				told = append(told, map[string]any{"oid": o.OID, "error": map[string]any{"code": 404, "message": "gone"}})
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"objects": told})
	default:
		text, has := p.large[what]
		if !has {
			err = errors.New("no such thing")
		}
		_, _ = io.WriteString(w, text)
	}
	if err != nil {
		p.t.Logf("%s %s: %v", r.Method, r.URL, err)
		w.WriteHeader(http.StatusNotFound)
	}
}

func (p *place) url(name string) string { return p.server.URL + "/" + name + ".git" }

func (p *place) access() *build.Access {
	return &build.Access{Username: "x", Password: "sesame", CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw}))}
}

// git runs the program as a user would.
func (p *place) git(dir string, args ...string) (string, error) {
	c := exec.CommandContext(p.t.Context(), "git", args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GIT_SSL_NO_VERIFY=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	out, err := c.CombinedOutput()
	return string(out), err
}

func (p *place) must(dir string, args ...string) string {
	p.t.Helper()
	out, err := p.git(dir, args...)
	if err != nil {
		p.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return out
}

// source makes a repository with one commit.
func (p *place) source() string {
	dir := p.t.TempDir()
	p.must(dir, "init", "-q", "-b", "main")
	_ = os.MkdirAll(filepath.Join(dir, "site"), 0o755)
	_ = os.WriteFile(filepath.Join(dir, "site", "index.html"), []byte("one"), 0o644)
	p.must(dir, "add", ".")
	p.must(dir, "commit", "-q", "-m", "first words")
	p.must(dir, "remote", "add", "awan", strings.Replace(p.url("shop"), "https://", "https://x:sesame@", 1))
	return dir
}

func names(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return strings.Join(out, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, h.Name)
	}
}

// TestPushCloneFetch is the life of a repository of ours: a push that is looked at and refused, one that is taken, a
// clone, and a fetch by the cloud itself with all that can be wrong with it.
func TestPushCloneFetch(t *testing.T) {
	p := open(t)
	dir := p.source()
	p.refuse = func(_ context.Context, x build.Push) error {
		x.Say("looking at it")
		return fail.New(fail.Invalid, "the build failed")
	}
	out, err := p.git(dir, "push", "awan", "main")
	if err == nil || !strings.Contains(out, "remote: looking at it") || !strings.Contains(out, "remote: refused: the build failed") || !strings.Contains(out, "rejected") {
		t.Fatalf("a refused push: %v\n%s", err, out)
	}
	var seen build.Commit
	p.refuse = func(_ context.Context, x build.Push) error {
		u := x.Updates()
		if len(u) != 1 || u[0].Ref != "refs/heads/main" || u[0].Deletes() {
			return fail.New(fail.Invalid, "updates %v", u)
		}
		file := filepath.Join(t.TempDir(), "s.tar")
		var err error
		if seen, err = x.Source(u[0].New, file); err != nil {
			return err
		}
		if got := names(t, file); !strings.Contains(got, "site/index.html") {
			return fail.New(fail.Invalid, "the source holds %s", got)
		}
		x.Say("taken")
		return nil
	}
	if out, err := p.git(dir, "push", "awan", "main"); err != nil || !strings.Contains(out, "remote: taken") {
		t.Fatalf("a push: %v\n%s", err, out)
	}
	if seen.Subject != "first words" || len(seen.ID) != 40 {
		t.Errorf("the commit: %+v", seen)
	}
	clone := t.TempDir()
	p.must(clone, "clone", "-q", strings.Replace(p.url("shop"), "https://", "https://x:sesame@", 1), "copy")
	if b, _ := os.ReadFile(filepath.Join(clone, "copy/site/index.html")); string(b) != "one" {
		t.Errorf("the clone holds %q", b)
	}

	file := filepath.Join(t.TempDir(), "source.tar")
	var said []string
	c, err := p.Fetch(t.Context(), "", build.Repository{URL: p.url("shop"), Ref: "main", Path: "site", Credential: p.access()}, file, func(l string) { said = append(said, l) })
	if err != nil {
		t.Fatal(err)
	}
	if c.ID != seen.ID || c.String() != seen.ID[:7]+" main: first words" || names(t, file) != "pax_global_header index.html" && names(t, file) != "index.html" {
		t.Errorf("%s, %s", c, names(t, file))
	}
	if _, err := p.Fetch(t.Context(), "", build.Repository{URL: p.url("shop"), Ref: seen.ID, Credential: p.access()}, file, func(string) {}); err != nil {
		t.Errorf("by commit: %v", err)
	}
	wrong := p.access()
	wrong.Password = "guess"
	for name, c := range map[string]struct {
		from build.Repository
		says string
	}{
		"no credential":     {build.Repository{URL: p.url("shop"), Credential: &build.Access{CA: p.access().CA}}, "spec.source.git.credential"},
		"a wrong password":  {build.Repository{URL: p.url("shop"), Credential: wrong}, "spec.source.git.credential"},
		"no such ref":       {build.Repository{URL: p.url("shop"), Ref: "nowhere", Credential: p.access()}, "spec.source.git.ref"},
		"no such folder":    {build.Repository{URL: p.url("shop"), Path: "nowhere", Credential: p.access()}, "spec.source.git.path"},
		"no repository":     {build.Repository{URL: p.url("none"), Credential: p.access()}, "spec.source.git.url"},
		"an unknown CA":     {build.Repository{URL: p.url("shop")}, "is not trusted"},
		"a private address": {build.Repository{URL: "https://127.0.0.1:1/x.git"}, "is not public"},
		"a local file":      {build.Repository{URL: "file:///etc"}, "spec.source.git.url"},
		"plain http":        {build.Repository{URL: "http://example.org/x"}, "spec.source.git.url"},
		"a password in it":  {build.Repository{URL: "https://a:b@example.org/x"}, "must not hold"},
		"an option as ref":  {build.Repository{URL: p.url("shop"), Ref: "--upload-pack=x"}, "spec.source.git.ref"},
		"a path upwards":    {build.Repository{URL: p.url("shop"), Path: "../x"}, "spec.source.git.path"},
		"ssh without a key": {build.Repository{URL: "git@example.org:x/y"}, "private key"},
	} {
		if _, err := p.Fetch(t.Context(), "", c.from, file, func(string) {}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}

	p.most = p.used(project) + 1000
	big := make([]byte, 1<<20)
	for i := range big {
		big[i] = byte(i * i >> 7)
	}
	_ = os.WriteFile(filepath.Join(dir, "big"), big, 0o644)
	p.must(dir, "add", ".")
	p.must(dir, "commit", "-q", "-m", "big")
	if out, err := p.git(dir, "push", "awan", "main"); err == nil {
		t.Errorf("a push beyond the quota went well\n%s", out)
	}
	if err := p.Remove(t.Context(), project, "shop"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(p.o.Dir, string(project))); err == nil {
		t.Error("the repository is left")
	}
}

// TestSubmodulesAndLargeFiles: a fetch brings them along, below a folder too, and says which one cannot be had.
func TestSubmodulesAndLargeFiles(t *testing.T) {
	p := open(t)
	p.refuse = func(context.Context, build.Push) error { return nil }
	make := func(name string, files map[string]string, links map[string]string) (commit string) {
		dir := t.TempDir()
		p.must(dir, "init", "-q", "-b", "main")
		for f, text := range files {
			_ = os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755)
			_ = os.WriteFile(filepath.Join(dir, f), []byte(text), 0o644)
		}
		p.must(dir, "add", ".")
		for at, commit := range links {
			p.must(dir, "update-index", "--add", "--cacheinfo", "160000,"+commit+","+at)
		}
		p.must(dir, "commit", "-q", "-m", name)
		p.must(dir, "push", "-q", strings.Replace(p.url(name), "https://", "https://x:sesame@", 1), "main")
		return strings.TrimSpace(p.must(dir, "rev-parse", "HEAD"))
	}
	module := func(at, url string) string {
		return "[submodule \"" + at + " x\"]\n\tpath = " + at + "\n\turl = " + url + "\n"
	}
	const photo = "a large photograph"
	sum := sha256.Sum256([]byte(photo))
	oid := hex.EncodeToString(sum[:])
	p.large = map[string]string{oid: photo}
	pointer := fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", oid, len(photo))

	inner := make("inner", map[string]string{"deep.txt": "deep"}, nil)
	lib := make("lib", map[string]string{"lib.txt": "lib", ".gitmodules": module("in", "../inner.git")}, map[string]string{"in": inner})
	host := strings.TrimPrefix(p.server.URL, "https://")
	make("shop", map[string]string{"web/index.html": "hi", "web/photo.jpg": pointer, ".gitattributes": "*.jpg filter=lfs diff=lfs merge=lfs -text\n",
		".gitmodules": module("web/lib", "../lib.git") + module("other", "https://"+host+"/inner.git")}, map[string]string{"web/lib": lib, "other": inner})
	file := filepath.Join(t.TempDir(), "source.tar")
	fetch := func(name, folder string) error {
		_, err := p.Fetch(t.Context(), "", build.Repository{URL: p.url(name), Path: folder, Credential: p.access()}, file, func(l string) { t.Log(l) })
		return err
	}
	if err := fetch("shop", ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"web/lib/lib.txt", "web/lib/in/deep.txt", "other/deep.txt"} {
		if got := names(t, file); !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	content := func(file, name string) string {
		b, _ := exec.Command("tar", "-xOf", file, name).Output()
		return string(b)
	}
	if got := content(file, "web/photo.jpg"); got != photo {
		t.Errorf("the photograph is %q", got)
	}
	if err := fetch("shop", "web"); err != nil || content(file, "photo.jpg") != photo || !strings.Contains(names(t, file), " lib/in/deep.txt") || strings.Contains(names(t, file), "other") {
		t.Errorf("a folder: %v: %s", err, names(t, file))
	}
	bad := strings.Repeat("0123456789", 4)
	for name, c := range map[string]struct{ modules, says string }{
		"gone":    {module("m", "../nothing.git"), "submodule m: "},
		"private": {module("m", "https://127.0.0.1:1/x.git"), "is not public"},
		"file":    {module("m", "file:///etc"), "is not fetched"},
	} {
		make(name, map[string]string{".gitmodules": c.modules}, map[string]string{"m": bad})
		if err := fetch(name, ""); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	make("lost", map[string]string{"x.jpg": strings.Replace(pointer, oid[:4], "beef", 1), ".gitattributes": "*.jpg filter=lfs\n"}, nil)
	if err := fetch("lost", ""); err == nil || !strings.Contains(err.Error(), "does not have the object beef") {
		t.Errorf("an object that is lost: %v", err)
	}
}

// TestConfinement looks around from where git runs.
func TestConfinement(t *testing.T) {
	p := open(t)
	dir, done, err := p.workdir()
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	out, err := newOutlet(t.Context(), p.o.Dial, "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer out.close()
	script := `set -e
test "$(id -u)" = 1879113728
ls / | tr '\n' ' '
! ls /root /home 2>/dev/null
! touch /usr/x 2>/dev/null
! touch /x 2>/dev/null
test "$(grep -c : /proc/net/dev)" = 1
test -z "$(tail -n +2 /proc/net/route)"
grep -q 'NoNewPrivs:.*1' /proc/self/status
grep -q 'CapEff:.*0000000000000000' /proc/self/status
`
	said := &strings.Builder{}
	err = p.run(t.Context(), task{args: []string{"/bin/sh", "-c", script}, env: environment(nil), cwd: "/job", dirs: map[string]string{"/job": dir}, netns: out.netns,
		out: said, time: time.Minute})
	if err != nil || said.String() != "bin dev etc job lib lib64 proc repo sbin tmp usr " {
		t.Errorf("%v: %s", err, said)
	}
	err = p.run(t.Context(), task{args: []string{"/bin/sh", "-c", "head -c 3000000000 /dev/zero >/job/big"}, env: environment(nil), cwd: "/job",
		dirs: map[string]string{"/job": dir}, time: time.Second})
	if err == nil {
		t.Error("a run without end ended well")
	}
}
