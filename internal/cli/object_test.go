package cli_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"math/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/s3"
	"github.com/awancloud/awan/internal/engine/object/mem"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/bucket"
)

// objectStore answers S3's requests as the cloud does, and loses the connection when it is told to.
func (c *cloud) objectStore(b *bucket.Service) http.Handler {
	sealer, err := secret.OpenSealer(c.t.TempDir())
	if err != nil {
		c.t.Fatal(err)
	}
	b.Deps = bucket.Deps{Store: c.k.Store, Blobs: mem.New(), Sealer: sealer, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		DomainName: func(store.Tx, id.ID) (string, error) { return c.k.Admin.Domain, nil }}
	c.k.Door.Own = b.Own
	b.Serve(c.k.Door)
	if err := b.Start(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(b.Close)
	api := s3.New(s3.Options{Buckets: b, Ident: c.k.Ident, Auth: &auth.Authenticator{Ident: c.k.Ident, Now: time.Now, OriginalPath: front.OriginalPath}, Region: "awan-1"})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		part := r.Method == http.MethodPut && r.URL.Query().Has("partNumber")
		if part && c.lose.Load() > 0 && c.lose.Add(-1) == 0 {
			c.lose.Store(1) // it stays lost
			_, _ = io.Copy(io.Discard, r.Body)
			for c.kept.Load() < 2 { // the parts before it are on their way: they arrive
				time.Sleep(time.Millisecond)
			}
			panic(http.ErrAbortHandler)
		}
		r = r.WithContext(front.With(r.Context(), front.Info{Path: r.URL.EscapedPath(), Secure: true}))
		http.StripPrefix("/s3", api).ServeHTTP(w, r)
		if part {
			c.kept.Add(1)
		}
	})
}

func (c *cloud) file(name string, content []byte) string {
	c.t.Helper()
	path := filepath.Join(c.data, "files", filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestObjectsOnTheCommandLine(t *testing.T) {
	c := start(t)
	one := c.file("site/index.html", []byte("hello\n"))
	c.file("site/img/a b+é?.txt", []byte("odd\n"))
	c.file("site/x.tmp", []byte("no\n"))
	site := filepath.Dir(one)
	out := filepath.Join(c.data, "out")
	for _, tc := range []struct {
		args         []string
		code         int
		stdout, errs []string
	}{
		{[]string{"ls"}, 0, nil, []string{"there are no buckets", "awan bucket create NAME"}},
		{[]string{"bucket", "create", "photos", "--versioning", "enabled"}, 0, []string{"photos"}, nil},
		{[]string{"bucket", "create", "Photos_1"}, 2, nil, []string{"lower-case letters, digits, dots and hyphens"}},
		{[]string{"ls", "photos"}, 0, nil, []string{"is empty", "awan cp FILE awan://photos/"}},
		{[]string{"cp", site, "awan://photos/"}, 2, nil, []string{"is a folder: add -r"}},
		{[]string{"cp", one, "elsewhere"}, 2, nil, []string{"one side must be a bucket"}},
		{[]string{"cp", "--dry-run", one, "shop:/tmp/x"}, 2, nil, []string{"are of copies to and from buckets"}},
		{[]string{"cp", one, "awan://"}, 2, nil, []string{"names no bucket"}},
		{[]string{"cp", "no-such-file", "awan://photos/"}, 4, nil, []string{"there is no no-such-file here"}},
		{[]string{"cp", one, "awan://nobody/"}, 4, nil, []string{`there is no bucket "nobody"`}},
		{[]string{"cp", "-r", site, "awan://photos/site", "--exclude", "*.tmp", "--dry-run"}, 0, nil, []string{"index.html -> awan://photos/site/index.html", "2 would be copied"}},
		{[]string{"cp", "-r", site, "awan://photos/site", "--exclude", "*.tmp"}, 0, nil, []string{"2 copied"}},
		{[]string{"cp", "-r", site, "awan://photos/site", "--exclude", "[a"}, 2, nil, []string{"is no pattern"}},
		{[]string{"ls", "photos"}, 0, []string{"folder  site/"}, nil},
		{[]string{"ls", "-r", "awan://photos/site/"}, 0, []string{"site/index.html", "site/img/a b+é?.txt"}, nil},
		{[]string{"cp", "awan://photos/site", out}, 2, nil, []string{"awan://photos/site is a folder: add -r"}},
		{[]string{"cp", "awan://photos/si", out}, 4, nil, []string{"there is no awan://photos/si"}},
		{[]string{"ls", "photos/nothing"}, 4, nil, []string{"nothing in bucket photos begins with"}},
		{[]string{"cat", "photos/site/index.html"}, 0, []string{"hello\n"}, nil},
		{[]string{"cat", "photos/site/img/a b+é?.txt"}, 0, []string{"odd\n"}, nil},
		{[]string{"cp", "awan://photos/site/index.html", "-"}, 0, []string{"hello\n"}, nil},
		{[]string{"cat", "photos/nope"}, 4, nil, []string{`there is no object "nope"`}},
		{[]string{"cp", "s3://photos/site/index.html", "obs://photos/copy/"}, 0, nil, []string{"1 copied"}},
		{[]string{"mv", "awan://photos/copy/index.html", "awan://photos/moved.html"}, 0, nil, []string{"1 moved"}},
		{[]string{"cat", "photos/copy/index.html"}, 4, nil, nil},
		{[]string{"cat", "photos/moved.html"}, 0, []string{"hello\n"}, nil},
		{[]string{"rm", "photos/moved.html"}, 0, nil, []string{"deleted awan://photos/moved.html"}},
		{[]string{"rm", "photos/moved.html"}, 4, nil, []string{"there is no awan://photos/moved.html"}},
		{[]string{"rm", "photos"}, 2, nil, []string{"awan bucket empty photos"}},
		{[]string{"ls", "--versions", "photos/moved.html"}, 0, []string{"deleted", "(newest)"}, nil},
		{[]string{"undelete", "photos/moved.html"}, 0, nil, []string{"is back"}},
		{[]string{"undelete", "photos/moved.html"}, 4, nil, []string{"nothing that was deleted"}},
		{[]string{"sync", "awan://photos/site", out}, 0, nil, []string{"2 copied"}},
		{[]string{"sync", "awan://photos/site", out}, 0, nil, []string{"0 copied", "2 are the same"}},
		{[]string{"sync", "--checksum", out, "awan://photos/site"}, 0, nil, []string{"0 copied", "2 are the same"}},
		{[]string{"sync", site, "awan://photos/site", "--delete", "--exclude", "img"}, 0, nil, []string{"1 copied", "1 is the same"}},
		{[]string{"share", "photos/nope"}, 4, nil, []string{"there is no awan://photos/nope"}},
		{[]string{"share", "photos/moved.html", "--for", "48h"}, 2, nil, []string{"1 minute to 24 hours"}},
		{[]string{"bucket", "delete", "photos"}, 5, nil, []string{"awan bucket empty photos"}},
		{[]string{"bucket", "empty", "photos"}, 2, nil, []string{"add --yes"}},
		{[]string{"bucket", "empty", "nobody", "--yes"}, 4, nil, []string{`there is no bucket "nobody"`}},
		{[]string{"rm", "-r", "--versions", "--yes", "photos/site/"}, 0, nil, []string{"3 deleted"}},
		{[]string{"bucket", "empty", "photos", "--yes"}, 0, nil, []string{"were deleted"}},
		{[]string{"bucket", "delete", "photos"}, 0, nil, []string{"deleted bucket photos"}},
	} {
		stdout, errs, code := c.awan(tc.args...)
		if code != tc.code {
			t.Errorf("awan %s: exit %d, want %d\n%s%s", strings.Join(tc.args, " "), code, tc.code, stdout, errs)
		}
		for _, w := range tc.stdout {
			if !strings.Contains(stdout, w) {
				t.Errorf("awan %s: %q is not in\n%s", strings.Join(tc.args, " "), w, stdout)
			}
		}
		for _, w := range tc.errs {
			if !strings.Contains(errs, w) {
				t.Errorf("awan %s: %q is not in\n%s", strings.Join(tc.args, " "), w, errs)
			}
		}
	}
}

func TestSyncDeletesOnlyWhatIsGone(t *testing.T) {
	c := start(t)
	c.ok("bucket", "create", "mirror")
	keep := c.file("from/keep.txt", []byte("keep"))
	c.file("from/go.txt", []byte("go"))
	dir := filepath.Dir(keep)
	c.ok("sync", dir, "awan://mirror/a/")
	c.in = "other"
	c.ok("cp", "-", "awan://mirror/b/other.txt")
	if err := os.Remove(filepath.Join(dir, "go.txt")); err != nil {
		t.Fatal(err)
	}
	_, errs, _ := c.awan("sync", "--delete", "--dry-run", dir, "awan://mirror/a/")
	if !strings.Contains(errs, "delete awan://mirror/a/go.txt") || !strings.Contains(errs, "1 would be deleted") {
		t.Errorf("the dry run says %s", errs)
	}
	if got := c.ok("ls", "-r", "mirror"); !strings.Contains(got, "a/go.txt") {
		t.Error("the dry run deleted")
	}
	c.ok("sync", "--delete", dir, "awan://mirror/a/")
	if got := c.ok("ls", "-r", "mirror"); strings.Contains(got, "go.txt") || !strings.Contains(got, "a/keep.txt") || !strings.Contains(got, "b/other.txt") {
		t.Errorf("left is\n%s", got)
	}
	c.in = "x"
	c.ok("cp", "-", "awan://mirror/evil/../../out.txt")
	if _, errs, code := c.awan("cp", "-r", "awan://mirror/evil", filepath.Join(c.data, "safe")); code != 3 || !strings.Contains(errs, "leads out of the folder") {
		t.Errorf("a name that leads out: %d %s", code, errs)
	}
}

// Large files travel in parts; one that broke off goes on where it stopped.
func TestALargeUploadGoesOn(t *testing.T) {
	c := start(t)
	c.ok("bucket", "create", "big")
	whole := make([]byte, 70<<20)
	rand.New(rand.NewSource(1)).Read(whole)
	path := c.file("whole.bin", whole)
	c.lose.Store(3)
	ctx, stop := t.Context(), func() {}
	defer stop()
	done := make(chan int)
	go func() {
		_, _, code := c.within(ctx, "--data", c.data, "cp", path, "awan://big/")
		done <- code
	}()
	var list struct {
		Status struct{ Bytes, Uploads int64 }
	}
	select {
	case code := <-done:
		if code == 0 {
			t.Fatal("it was uploaded without a connection")
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("it does not give up")
	}
	if err := json.Unmarshal([]byte(c.ok("bucket", "show", "big", "-o", "json")), &list); err != nil || list.Status.Uploads != 1 || list.Status.Bytes < 16<<20 {
		t.Fatalf("left is %+v, %v", list, err)
	}
	c.lose.Store(0)
	_, errs, code := c.awan("cp", path, "awan://big/")
	if code != 0 {
		t.Fatalf("it does not go on: %s", errs)
	}
	back := filepath.Join(c.data, "back.bin")
	c.ok("cp", "awan://big/whole.bin", back)
	if content(t, back) != string(whole) {
		t.Error("it came back as something else")
	}
	if err := json.Unmarshal([]byte(c.ok("bucket", "show", "big", "-o", "json")), &list); err != nil || list.Status.Uploads != 0 || list.Status.Bytes != int64(len(whole)) {
		t.Errorf("the bucket holds %+v, %v: not the one upload", list, err)
	}
	c.in = string(whole[:40<<20])
	c.ok("cp", "-", "awan://big/stream.bin")
	if got := c.ok("cat", "big/stream.bin"); got != c.in {
		t.Error("the stream came back as something else")
	}
}

// A link works without a log-in, for its object only; and a token does what a key does.
func TestALinkAndAToken(t *testing.T) {
	c := start(t)
	token, _, err := c.k.Ident.IssueToken(t.Context(), kerneltest.Token(c.k), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c.env = map[string]string{adminenv.URL: c.url, adminenv.CA: filepath.Join(c.data, "ca.pem"), adminenv.Token: token}
	run := func(args ...string) string {
		t.Helper()
		out, errs, code := c.bare(args...)
		if code != 0 {
			t.Fatalf("awan %v: %d %s", args, code, errs)
		}
		return out
	}
	run("bucket", "create", "shared")
	for _, name := range []string{"a b+é?.txt", "private.txt"} {
		c.in = name
		run("cp", "-", "awan://shared/"+name)
	}
	var made struct {
		URL     string
		Expires time.Time
	}
	if err := json.Unmarshal([]byte(run("share", "shared/a b+é?.txt", "--for", "5m", "-o", "json")), &made); err != nil || time.Until(made.Expires) > 5*time.Minute {
		t.Fatalf("%+v %v", made, err)
	}
	c.in = "<script>alert(1)</script>"
	run("cp", "-", "awan://shared/page.html")
	get := func(url string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.trusting().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		// At the console's own address nothing that was uploaded runs.
		if h := resp.Header; resp.StatusCode == 200 && (h.Get("Content-Security-Policy") != "sandbox" || h.Get("X-Content-Type-Options") != "nosniff") {
			t.Errorf("%s is not confined: %v", url, h)
		}
		return resp.StatusCode, string(bytes.TrimSpace(b))
	}
	if code, _ := get(strings.TrimSpace(run("share", "shared/page.html"))); code != 200 {
		t.Errorf("a page is shared with %d", code)
	}
	if code, body := get(made.URL); code != 200 || body != "a b+é?.txt" {
		t.Errorf("the link gives %d %s", code, body)
	}
	if code, _ := get(strings.Replace(made.URL, "/shared/a%20b%2B%C3%A9%3F.txt", "/shared/private.txt", 1)); code != 403 {
		t.Errorf("bent to another object it gives %d", code)
	}
}

// trusting is a client that knows the cloud's certificate and nobody's credential.
func (c *cloud) trusting() *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(c.pem))
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
}
