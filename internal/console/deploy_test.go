package console_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// files lists what an uploaded archive holds.
func files(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = string(b)
	}
}

// part is a field of a form, or a file when it has a name.
type part struct{ field, file, text string }

// upload posts a form with files, as a browser does. Texts come first.
func (w *world) upload(t *testing.T, csrf bool, parts ...part) answer {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	if csrf {
		parts = append([]part{{"csrf", "", csrfField.FindStringSubmatch(w.get(t, "/deploy?from=upload").body)[1]}}, parts...)
	}
	for _, p := range parts {
		h := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name=%q`, p.field)}}
		if p.file != "" {
			h.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q; filename=%q`, p.field, strings.TrimSuffix(p.file, "-")))
		}
		f, err := m.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(f, p.text)
	}
	_ = m.Close()
	r, err := http.NewRequestWithContext(t.Context(), "POST", w.URL+"/deploy", &b)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", m.FormDataContentType())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return w.send(t, r)
}

func TestAnEmptyProjectIsLedToItsFirstApp(t *testing.T) {
	w := start(t)
	w.logIn(t)
	page := w.get(t, "/").body
	if !strings.Contains(page, "three clicks") || !strings.Contains(page, "/deploy?from=template&amp;template=go") {
		t.Fatal("the dashboard of an empty project shows no tour")
	}
	a := w.post(t, "/deploy?from=template&template=go", "/deploy", url.Values{"from": {"template"}, "template": {"go"}, "name": {"hello-go"}})
	if a.url.Path != "/apps/hello-go/build" || !strings.Contains(a.body, `id="arrived"`) {
		t.Fatalf("deploying leads to %s:\n%s", a.url, a.body)
	}
	got := files(t, w.uploaded.Bytes())
	if !strings.Contains(got["main.go"], "package main") || got["go.mod"] == "" || strings.Contains(got["awan.yaml"], "@NAME@") {
		t.Errorf("the source is %v", got)
	}
	if strings.Contains(w.get(t, "/").body, "three clicks") {
		t.Error("the tour is in the way afterwards")
	}
}

func TestDeployFromTheBrowser(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	row := func(name string) *componentRow {
		r, err := w.Door.Do(t.Context(), w.read(w.app, name))
		if err != nil {
			t.Fatal(err)
		}
		return r.Row.(*componentRow)
	}
	for _, c := range []struct {
		name  string
		parts []part
		path  string            // where it leads
		says  string            // on that page
		files map[string]string // that were uploaded
	}{
		{"a folder", []part{{"from", "", "upload"}, {"name", "", "shop"}, {"archive", "-", ""}, {"folder", "site/index.html", "<h1>hi</h1>"}, {"folder", "site/css/a.css", "b{}"},
			{"folder", "site/.git/config", "secret"}, {"folder", "site/../../etc/passwd", "x"}}, "/apps/shop/build", "shop", map[string]string{"index.html": "<h1>hi</h1>", "css/a.css": "b{}", "passwd": "x"}},
		{"nothing", []part{{"from", "", "upload"}, {"name", "", "none"}, {"folder", "-", ""}, {"archive", "-", ""}}, "/deploy", "choose a folder or an archive", nil},
		{"a name that is taken", []part{{"from", "", "upload"}, {"name", "", "guestbook"}, {"archive", "a.tgz", "x"}}, "/deploy", "guestbook is there already", nil},
		{"a name that cannot be", []part{{"from", "", "git"}, {"name", "", "No Name"}, {"spec.source.git.url", "", "https://git.example.org/a.git"}}, "/deploy", "f-name-err", nil},
		{"git", []part{{"from", "", "git"}, {"name", "", "fromgit"}, {"spec.source.git.url", "", "https://git.example.org/a.git"}, {"spec.source.git.ref", "", "v1"}, {"spec.source.git.path", "", "web"}}, "/apps/fromgit/build", "fromgit", nil},
		{"an image", []part{{"from", "", "image"}, {"name", "", "fromimage"}, {"spec.source.image", "", "awan-1/x:1"}, {"spec.port", "", "9000"}}, "/apps/fromimage", "fromimage", nil},
		{"a port that is none", []part{{"from", "", "image"}, {"name", "", "other"}, {"spec.source.image", "", "awan-1/x:1"}, {"spec.port", "", "many"}}, "/deploy", "is not a whole number", nil},
		{"no template", []part{{"from", "", "template"}, {"template", "", "../go"}, {"name", "", "other"}}, "/deploy", "there is no template", nil},
	} {
		w.uploaded.Reset()
		a := w.upload(t, true, c.parts...)
		if a.url.Path != c.path || !strings.Contains(a.body, c.says) {
			t.Errorf("%s: leads to %s (%d), without %q:\n%s", c.name, a.url, a.status, c.says, a.body)
			continue
		}
		if c.files != nil {
			if got := files(t, w.uploaded.Bytes()); fmt.Sprint(got) != fmt.Sprint(c.files) {
				t.Errorf("%s: uploaded %v", c.name, got)
			}
		}
	}
	if s := row("fromgit").Spec.Source.Git; s.URL != "https://git.example.org/a.git" || s.Ref != "v1" || s.Path != "web" {
		t.Errorf("the git source is %+v", s)
	}
	if s := row("fromimage").Spec; s.Source.Image != "awan-1/x:1" || s.Port != 9000 {
		t.Errorf("the image is %+v", s)
	}
	// the next release of an app: from elsewhere, and gray
	w.upload(t, true, part{"from", "", "upload"}, part{"app", "", "fromgit"}, part{"spec.strategy", "", "gray"}, part{"spec.gray.weight", "", "20"}, part{"archive", "a.zip", "zip"})
	if s := row("fromgit").Spec; s.Source.Git.URL != "" || s.Source.Digest == "" || s.Strategy != "gray" || s.Gray.Weight != 20 || w.uploaded.String() != "zip" {
		t.Errorf("the next source is %+v, by %s", s.Source, s.Strategy)
	}
}

func TestAnUploadNeedsTheFormsToken(t *testing.T) {
	w := start(t)
	w.logIn(t)
	for name, parts := range map[string][]part{"none": {{"name", "", "shop"}, {"archive", "a.tgz", "x"}}, "after the file": {{"archive", "a.tgz", "x"}, {"csrf", "", csrfField.FindStringSubmatch(w.get(t, "/deploy").body + `name="csrf" value="x"`)[1]}}} {
		if a := w.upload(t, false, parts...); a.status != 403 || w.uploaded.Len() > 0 {
			t.Errorf("token %s: %d", name, a.status)
		}
	}
}

func TestAGrayReleaseIsWatchedAndDecided(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	w.beginGray(t)
	page := w.get(t, "/apps/guestbook").body
	for _, want := range []string{"Gray release", "Release 4", "20 %", "Continue: 50 %", "header X-Tester is &#34;yes&#34;", "12\u202f345", `aria-label="Release 3 80 %, Release 4 20 %"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, c := range []struct {
		verb string
		form url.Values
		says string
		want string
	}{
		{"gray-modify", url.Values{"in.weight": {"35"}, "in.match": {"all"}, "in.rules[0].source": {"header"}, "in.rules[0].name": {"X"}, "in.rules[0].op": {"exact"}, "in.rules[0].value": {"y"}}, "Changed: release 4 gets 35 %", "35 1"},
		{"gray-modify", url.Values{"in.weight": {"36"}, "in.match": {"all"}}, "Changed: release 4 gets 36 %", "36 0"}, // its rules were taken out
		{"gray-continue", nil, "Continued: release 4 gets 50 %", "50 0"},
		{"gray-rollback", nil, "Rolled back: release 3 gets all requests", ""},
	} {
		a := w.post(t, "/apps/guestbook", "/apps/guestbook/actions/"+c.verb, c.form)
		if !strings.Contains(a.body, c.says) {
			t.Errorf("%s does not say %q:\n%s", c.verb, c.says, a.body)
		}
		if got := w.grayNow(t); got != c.want {
			t.Errorf("%s: now %q, want %q", c.verb, got, c.want)
		}
	}
	if strings.Contains(w.get(t, "/apps/guestbook").body, "Gray release</h2>") {
		t.Error("a gray release that ended is still shown")
	}
	if !slices.Contains(w.everyPage(t), "/apps/guestbook/metrics") {
		t.Error("metrics are no page")
	}
}
