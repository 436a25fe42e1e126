package console_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/awancloud/awan/internal/engine/object/mem"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/bucket"
)

func (w *world) openBuckets(t *testing.T) {
	t.Helper()
	sealer, err := secret.OpenSealer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.buckets.Deps = bucket.Deps{Store: w.Store, Blobs: mem.New(), Sealer: sealer, Now: w.Clock.Now, Log: slog.New(slog.DiscardHandler),
		DomainName: func(store.Tx, id.ID) (string, error) { return w.Admin.Domain, nil }}
	w.Door.Own = w.buckets.Own
	w.buckets.Serve(w.Door)
	if err := w.buckets.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.buckets.Close)
}

func (w *world) me() *bucket.Caller { return &bucket.Caller{Principal: w.Root} }

func (w *world) newBucket(t *testing.T, name string, spec bucket.BucketSpec) {
	t.Helper()
	if _, err := w.buckets.Create(t.Context(), w.me(), name, spec, "", nil); err != nil {
		t.Fatal(err)
	}
}

func (w *world) putObject(t *testing.T, name, key, typ, body string) *bucket.Object {
	t.Helper()
	o, err := w.buckets.Put(t.Context(), w.me(), &bucket.PutInput{Bucket: name, Key: key, Body: strings.NewReader(body), Size: int64(len(body)), Attributes: bucket.Attributes{ContentType: typ}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (w *world) object(t *testing.T, name, key, version string) (string, error) {
	t.Helper()
	c, err := w.buckets.Get(t.Context(), w.me(), &bucket.GetInput{Bucket: name, Key: key, Version: version})
	if err != nil {
		return "", err
	}
	defer c.Body.Close()
	b, err := io.ReadAll(c.Body)
	return string(b), err
}

// version is the newest version of an object, be it a delete marker.
func (w *world) version(t *testing.T, name, key string) string {
	t.Helper()
	l, err := w.buckets.List(t.Context(), w.me(), &bucket.ListInput{Bucket: name, Prefix: key, Max: 1, Versions: true})
	if err != nil || len(l.Objects) == 0 {
		t.Fatalf("%s: %v", key, err)
	}
	return l.Objects[0].Version
}

var dot, _ = base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPj/HwADBwIAMCbHYQAAAABJRU5ErkJggg==")

func (w *world) fillBucket(t *testing.T) {
	t.Helper()
	w.newBucket(t, "photos", bucket.BucketSpec{Versioning: "enabled", ObjectLock: true})
	w.newBucket(t, "scratch", bucket.BucketSpec{FileSystem: true})
	w.putObject(t, "photos", "2026/notes.txt", "text/plain", "first\n")
	w.putObject(t, "photos", "2026/notes.txt", "text/plain", "second "+evil+"\n")
	w.putObject(t, "photos", "2026/january/a long name of a picture that was taken at the sea.jpg", "image/jpeg", "not really")
	w.putObject(t, "photos", "dot.png", "image/png", string(dot))
	w.putObject(t, "photos", "page.html", "text/html", "<script>alert(1)</script>")
	w.putObject(t, "photos", "gone.txt", "text/plain", "come back")
	if _, err := w.buckets.Delete(t.Context(), w.me(), &bucket.DeleteInput{Bucket: "photos", Key: "gone.txt"}); err != nil {
		t.Fatal(err)
	}
}

func TestABucketsLifeInThePages(t *testing.T) {
	w := start(t)
	w.logIn(t)
	if a := w.get(t, "/buckets"); !strings.Contains(a.body, "No buckets yet") || !strings.Contains(a.body, "awan bucket create") {
		t.Errorf("the empty list does not say what to do: %s", w.plain(t, "buckets", "/buckets"))
	}
	if a := w.post(t, "/buckets", "/buckets", url.Values{"name": {"No Such Name"}}); a.status != 400 || !strings.Contains(a.body, `value="No Such Name"`) || !strings.Contains(a.body, "field-error") {
		t.Errorf("a bad name gives %d", a.status)
	}
	if a := w.post(t, "/buckets", "/buckets", url.Values{"name": {"photos"}, "versioning": {"enabled"}}); a.url.Path != "/buckets/photos" || !strings.Contains(a.body, "This bucket is empty") || !strings.Contains(a.body, "awan cp FILE awan://photos/") {
		t.Errorf("a new bucket leads to %s", a.url)
	}
	do := func(form url.Values) answer { return w.post(t, "/buckets/photos", "/buckets/photos/do", form) }
	do(url.Values{"do": {"folder"}, "prefix": {""}, "folder": {"2026"}})
	if a := w.get(t, "/buckets/photos"); !strings.Contains(a.body, "prefix=2026%2F") {
		t.Error("the new folder is not listed")
	}
	first := w.putObject(t, "photos", "2026/a.txt", "text/plain", "one")
	w.putObject(t, "photos", "2026/a.txt", "text/plain", "two")
	const page = "/buckets/photos/object?key=2026%2Fa.txt"
	if a := w.get(t, page); !strings.Contains(a.body, "two</pre>") || !strings.Contains(a.body, first.Version) {
		t.Errorf("the object's page shows neither its text nor its versions")
	}
	do(url.Values{"do": {"tags"}, "key": {"2026/a.txt"}, "tags#k": {"team", ""}, "tags#v": {evil, ""}})
	do(url.Values{"do": {"metadata"}, "key": {"2026/a.txt"}, "type": {"text/markdown"}, "meta#k": {"Author"}, "meta#v": {"me"}})
	if a := w.get(t, page); !strings.Contains(a.body, `value="text/markdown"`) || !strings.Contains(a.body, `value="author"`) || !strings.Contains(a.body, `value="team"`) {
		t.Error("tags and metadata are not kept")
	}
	do(url.Values{"do": {"restore"}, "key": {"2026/a.txt"}, "version": {first.Version}})
	if body, err := w.object(t, "photos", "2026/a.txt", ""); body != "one" {
		t.Errorf("the restored version holds %q, %v", body, err)
	}
	if a := do(url.Values{"do": {"selected"}, "keys": {"2026/"}, "prefix": {""}}); !strings.Contains(a.body, "2 objects and versions went") {
		t.Errorf("deleting a folder says %s", a.body)
	}
	if a := w.get(t, "/buckets/photos?prefix=2026/&deleted=1"); !strings.Contains(a.body, "Bring back") {
		t.Error("what was deleted is not listed")
	}
	do(url.Values{"do": {"undelete"}, "key": {"2026/a.txt"}, "version": {w.version(t, "photos", "2026/a.txt")}})
	if body, err := w.object(t, "photos", "2026/a.txt", ""); body != "one" {
		t.Errorf("undeleted it holds %q, %v", body, err)
	}
	do(url.Values{"do": {"purge"}, "key": {"2026/a.txt"}, "version": {first.Version}})
	if _, err := w.object(t, "photos", "2026/a.txt", first.Version); bucket.CodeOf(err) != "NoSuchVersion" {
		t.Errorf("a version that was deleted for good: %v", err)
	}
	if a := w.post(t, "/buckets/photos", "/buckets/photos/delete", url.Values{"confirm": {"photos"}}); a.status != 412 || !strings.Contains(a.body, "awan bucket empty photos") {
		t.Errorf("a full bucket is deleted with %d", a.status)
	}
	w.post(t, "/buckets/photos", "/buckets/photos/empty", url.Values{"confirm": {"photos"}})
	if a := w.post(t, "/buckets/photos", "/buckets/photos/delete", url.Values{"confirm": {"photos"}}); a.url.Path != "/buckets" || !strings.Contains(a.body, "was deleted") {
		t.Errorf("the emptied bucket is not deleted: %d", a.status)
	}
}

func TestLocksHoldInThePages(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	o := w.putObject(t, "photos", "deed.txt", "text/plain", "mine")
	do := func(form url.Values) answer {
		form.Set("key", "deed.txt")
		form.Set("version", o.Version)
		return w.post(t, "/buckets/photos", "/buckets/photos/do", form)
	}
	if a := do(url.Values{"do": {"lock"}, "mode": {"compliance"}, "until": {"soon"}}); a.status != 400 || !strings.Contains(a.body, "choose a day") {
		t.Errorf("a bad time gives %d", a.status)
	}
	do(url.Values{"do": {"lock"}, "mode": {"compliance"}, "until": {w.Clock.Now().UTC().Add(48 * time.Hour).Format("2006-01-02T15:04")}})
	do(url.Values{"do": {"hold"}, "hold": {"on"}})
	if a := do(url.Values{"do": {"purge"}}); a.status != 403 || !strings.Contains(a.body, `role="alert"`) || !strings.Contains(a.body, "legal hold") {
		t.Errorf("a locked version is deleted with %d", a.status)
	}
	if a := do(url.Values{"do": {"lock"}, "mode": {"compliance"}, "until": {w.Clock.Now().UTC().Add(time.Hour).Format("2006-01-02T15:04")}}); a.status != 403 {
		t.Errorf("a lock is shortened with %d", a.status)
	}
	if body, err := w.object(t, "photos", "deed.txt", o.Version); body != "mine" {
		t.Errorf("it holds %q, %v", body, err)
	}
}

// What tenants upload never acts in the console's name.
func TestContentIsKeptOutOfTheConsolesOrigin(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	w.putObject(t, "photos", "a.svg", "image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`)
	w.putObject(t, "photos", "a.pdf", "application/pdf", "%PDF-1.4")
	w.putObject(t, "photos", "lie.png", "text/html", "<script>alert(1)</script>")
	for _, c := range []struct{ key, show, typ, disposition, csp string }{
		{"page.html", "1", "application/octet-stream", "attachment", "sandbox"}, {"a.svg", "1", "image/svg+xml", "attachment", "sandbox"},
		{"a.svg", "", "application/octet-stream", "attachment", "sandbox"}, {"dot.png", "1", "image/png", "inline", "sandbox"}, {"dot.png", "", "application/octet-stream", "attachment", "sandbox"},
		{"a.pdf", "1", "application/pdf", "inline", "default-src 'none'"}, {"lie.png", "1", "image/png", "inline", "sandbox"},
	} {
		a := w.get(t, "/buckets/photos/content?key="+c.key+"&show="+c.show)
		if a.header.Get("Content-Type") != c.typ || !strings.HasPrefix(a.header.Get("Content-Disposition"), c.disposition) || !strings.Contains(a.header.Get("Content-Security-Policy"), c.csp) || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s show=%q is sent with %v", c.key, c.show, a.header)
		}
	}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", w.URL+"/buckets/photos/content?key=page.html", nil)
	r.Header.Set("Range", "bytes=1-6")
	if a := w.send(t, r); a.status != 206 || a.body != "script" || a.header.Get("Content-Range") != "bytes 1-6/25" {
		t.Errorf("a range gives %d %q %v", a.status, a.body, a.header)
	}
}

func TestAPolicyIsExplainedBeforeItHolds(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	send := func(form url.Values) answer {
		return w.post(t, "/buckets/photos/access", "/buckets/photos/access", form)
	}
	a := send(url.Values{"step": {"template"}, "template": {"public"}, "folder": {"2026"}})
	for _, want := range []string{"arn:aws:s3:::photos/2026/*", "everybody", "read objects", "objects whose names begin with 2026/", "makes the bucket public", `id="public-tick"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the template does not say %q", want)
		}
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/2026/*"}]}`
	if a := send(url.Values{"step": {"save"}, "policy": {policy}}); a.status != 412 || !strings.Contains(a.body, "tick its box") {
		t.Errorf("a public policy is saved without being confirmed: %d", a.status)
	}
	if a := send(url.Values{"step": {"save"}, "policy": {policy}, "public": {"1"}}); a.url.Path != "/buckets/photos/access" || !strings.Contains(a.body, "This bucket is public") {
		t.Errorf("the confirmed policy: %d", a.status)
	}
	nobody := &bucket.Caller{}
	if _, err := w.buckets.Get(t.Context(), nobody, &bucket.GetInput{Bucket: "photos", Key: "2026/notes.txt", Head: true}); err != nil {
		t.Errorf("everybody reads: %v", err)
	}
	if _, err := w.buckets.Get(t.Context(), nobody, &bucket.GetInput{Bucket: "photos", Key: "dot.png", Head: true}); err == nil {
		t.Error("everybody reads what is not in the folder")
	}
	for text, want := range map[string]string{
		"{": "line 1 is not JSON",
		`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"photos/*"},` + "\n" + `{"Effect":"Allow","Principal":"ann","Action":"s3:GetObject","Resource":"photos/*"}]}`: "Statement[1].Principal",
		`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"others/*"}]}`:                                                                                                "Statement[0].Resource",
		`{"Statement":[{"Effect":"Perhaps","Principal":"*","Action":"s3:GetObject","Resource":"photos/*"}]}`:                                                                                              "Statement[0].Effect",
	} {
		if a := send(url.Values{"step": {"save"}, "policy": {text}}); a.status != 400 || !strings.Contains(a.body, want) || !strings.Contains(a.body, `class="place"`) {
			t.Errorf("%s gives %d without %s", text, a.status, want)
		}
	}
	if a := send(url.Values{"step": {"template"}, "template": {"domain"}, "policy": {policy}}); a.status != 400 || !strings.Contains(a.body, "which domain") {
		t.Errorf("a template without its domain gives %d", a.status)
	}
	if a := send(url.Values{"step": {"save"}, "policy": {""}}); !strings.Contains(a.body, "There is no policy") {
		t.Error("the policy does not go away")
	}
}

func TestABucketsSettings(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	send := func(group string, form url.Values) answer {
		form.Set("group", group)
		return w.post(t, "/buckets/photos/settings", "/buckets/photos/settings", form)
	}
	send("lifecycle", url.Values{"spec.lifecycle[0].id": {"old"}, "spec.lifecycle[0].prefix": {"logs/"}, "spec.lifecycle[0].expire": {"30"}})
	send("space", url.Values{"spec.class": {"warm"}, "spec.quota": {"1048576"}})
	row, err := w.buckets.Bucket(t.Context(), w.me(), "photos", "")
	if err != nil {
		t.Fatal(err)
	}
	if s := row.Spec; len(s.Lifecycle) != 1 || s.Lifecycle[0].Expire != 30 || s.Class != "warm" || s.Quota != 1<<20 || s.Versioning != "enabled" {
		t.Errorf("saved: %+v", s)
	}
	if a := send("lifecycle", url.Values{"spec.lifecycle[0].id": {"idle"}}); a.status != 400 || !strings.Contains(a.body, "does nothing") {
		t.Errorf("a rule that does nothing gives %d", a.status)
	}
	if a := send("versions", url.Values{"spec.versioning": {"off"}, "spec.object_lock": {"true"}}); a.status != 400 || !strings.Contains(a.body, "leave versioning enabled") {
		t.Errorf("switching versions off gives %d", a.status)
	}
}

// script sends what the page's script sends.
func (w *world) script(t *testing.T, method, path, csrf string, body []byte) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("X-Csrf", csrf)
	return w.send(t, r)
}

func TestAnUploadGoesOnWhereItStopped(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	csrf := csrfField.FindStringSubmatch(w.get(t, "/buckets/photos").body)[1]
	whole := bytes.Repeat([]byte("0123456789abcdef"), (9<<20)/16)
	const at = "/buckets/photos/"
	key := "key=" + url.QueryEscape("big file.bin")
	if a := w.script(t, "POST", at+"upload?size=9437184&"+key, "wrong", nil); a.status != 403 {
		t.Errorf("without the page's token it gives %d", a.status)
	}
	var up struct {
		Upload string        `json:"upload"`
		Part   int64         `json:"part_size"`
		Parts  map[int]int64 `json:"parts"`
	}
	read := func(a answer) {
		t.Helper()
		if err := json.Unmarshal([]byte(a.body), &up); a.status != 200 || err != nil {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	read(w.script(t, "POST", at+"upload?size=9437184&"+key, csrf, nil))
	part := func(n int, b []byte) answer {
		return w.script(t, "PUT", fmt.Sprintf("%spart?%s&upload=%s&number=%d", at, key, up.Upload, n), csrf, b)
	}
	part(1, whole[:up.Part])
	if !strings.Contains(w.get(t, "/buckets/photos").body, "Not finished") {
		t.Error("the page does not list it")
	}
	read(w.script(t, "GET", at+"parts?"+key+"&upload="+up.Upload, csrf, nil))
	if len(up.Parts) != 1 || up.Parts[1] != 8<<20 {
		t.Errorf("there are %v", up.Parts)
	}
	if a := w.script(t, "POST", at+"complete?size=9437184&"+key+"&upload="+up.Upload, csrf, nil); a.status != 400 || !strings.Contains(a.body, `"message"`) {
		t.Errorf("an upload that lacks parts is completed with %d %s", a.status, a.body)
	}
	part(2, whole[8<<20:])
	if a := w.script(t, "POST", at+"complete?size=9437184&"+key+"&upload="+up.Upload, csrf, nil); a.status != 200 {
		t.Errorf("completing gives %d %s", a.status, a.body)
	}
	if body, err := w.object(t, "photos", "big file.bin", ""); body != string(whole) {
		t.Errorf("it holds %d bytes, %v", len(body), err)
	}
}

func TestALinkIsMadeForTheUser(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	a := w.post(t, "/buckets/photos", "/buckets/photos/do", url.Values{"do": {"share"}, "key": {"2026/notes.txt"}, "for": {"1h"}})
	for _, want := range []string{"/s3/photos/2026/notes.txt?", "X-Amz-Expires=3600", "X-Amz-Security-Token=", "without a log-in"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if a := w.post(t, "/buckets/photos", "/buckets/photos/do", url.Values{"do": {"share"}, "key": {"2026/notes.txt"}, "for": {"300h"}}); a.status != 400 || !strings.Contains(a.body, "1 minute to 24 hours") {
		t.Errorf("a link for ever gives %d", a.status)
	}
}

// Files dropped on a real page: a small one, a large one whose connection breaks, and one that goes on after a reload.
func TestBrowserUploads(t *testing.T) {
	b := openBrowser(t)
	b.enter(t)
	b.open(t, "/buckets/photos")
	drop := func(js string) {
		t.Helper()
		b.eval(t, `(() => { const drop = new DataTransfer(); `+js+`
			document.querySelector("main").dispatchEvent(new DragEvent("drop", { dataTransfer: drop, bubbles: true, cancelable: true })); })()`)
	}
	drop(`drop.items.add(new File(["hello"], "hello.txt", {type: "text/plain"})); drop.items.add(new File([new Uint8Array(20 << 20)], "large.bin", {lastModified: 5}));`)
	b.waitFor(t, `document.querySelector("#upload-sum").textContent === "2 done" && [...document.querySelectorAll("#selection a")].some(a => a.textContent === "large.bin")`)
	if n := b.eval(t, `document.querySelectorAll("#transfers .done").length`); n != 2.0 {
		t.Errorf("%v of 2 show that they are there", n)
	}
	b.shot(t, "uploaded")
	if body, err := b.object(t, "photos", "large.bin", ""); len(body) != 20<<20 {
		t.Errorf("large.bin holds %d bytes, %v", len(body), err)
	}

	// The connection breaks in the middle; the page is loaded again; the same file goes on.
	b.open(t, "/buckets/photos?prefix=2026/")
	b.eval(t, `(() => { let sent = 0; const send = XMLHttpRequest.prototype.send, open = XMLHttpRequest.prototype.open;
		XMLHttpRequest.prototype.open = function (m, u) { this.u = u; return open.apply(this, arguments); };
		XMLHttpRequest.prototype.send = function (x) { if (/part\?/.test(this.u) && ++sent > 1) { this.dispatchEvent(new Event("error")); return; } return send.call(this, x); } })()`)
	drop(`drop.items.add(new File([new Uint8Array(30 << 20)], "again.bin", {lastModified: 7}));`)
	b.waitFor(t, `/trying again/.test(document.querySelector("#transfers .transfer-note").textContent)`)
	b.waitFor(t, `document.querySelector("#transfers progress").value > 0.2`)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) { // what was sent is also there
		ups, _, _, err := b.buckets.Uploads(b.ctx, b.me(), &bucket.ListInput{Bucket: "photos", Max: 10})
		if err == nil && len(ups) == 1 {
			if _, parts, _, err := b.buckets.Parts(b.ctx, b.me(), "photos", ups[0].Key, ups[0].ID, 0, 10); err == nil && len(parts) > 0 {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatalf("no part came: %v %v", ups, err)
		}
	}
	b.shot(t, "broken-off")
	b.run(t, command(network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true}))
	b.open(t, "/buckets/photos?prefix=2026/")
	b.waitFor(t, `document.body.textContent.includes("Not finished")`)
	b.eval(t, `(() => { window.parts = 0; const open = XMLHttpRequest.prototype.open; XMLHttpRequest.prototype.open = function (m, u) { if (/part\?/.test(u)) window.parts++; return open.apply(this, arguments); } })()`)
	drop(`drop.items.add(new File([new Uint8Array(30 << 20)], "again.bin", {lastModified: 7}));`)
	b.waitFor(t, `document.querySelector("#upload-sum").textContent === "1 done"`)
	if n := b.eval(t, `window.parts`).(float64); n < 1 || n > 3 {
		t.Errorf("it sent %v of its 4 parts again", n)
	}
	if body, err := b.object(t, "photos", "2026/again.bin", ""); len(body) != 30<<20 {
		t.Errorf("again.bin holds %d bytes, %v", len(body), err)
	}
	ups, _, _, err := b.buckets.Uploads(b.ctx, b.me(), &bucket.ListInput{Bucket: "photos", Max: 10})
	if err != nil || len(ups) != 0 {
		t.Errorf("uploads are left: %v %v", ups, err)
	}
	b.run(t, chromedp.Click("#show-deleted"))
	b.waitFor(t, `location.search.includes("deleted=1") && !document.querySelector("#selection .row-buttons")?.textContent.trim()`)
}

// The pages of buckets at three widths in both themes, for people to look at.
func TestBrowserShowsBuckets(t *testing.T) {
	if os.Getenv("CONSOLE_SHOTS") == "" {
		t.Skip("CONSOLE_SHOTS names no folder")
	}
	b := openBrowser(t)
	b.enter(t)
	b.logIn(t)
	var pages []string
	for _, p := range b.everyPage(t) {
		if strings.HasPrefix(p, "/buckets") {
			pages = append(pages, p)
		}
	}
	for _, theme := range []string{"light", "dark"} {
		b.run(t, command(network.SetCookie, network.SetCookieParams{Name: "__Host-awan-theme", Value: theme, URL: b.URL, Secure: ptr(true), Path: "/"}))
		for i, p := range pages {
			b.shot1(t, p, fmt.Sprintf("buckets-%02d-%s-wide", i, theme), 1280, 860)
			b.shot1(t, p, fmt.Sprintf("buckets-%02d-%s-phone", i, theme), 360, 740)
		}
	}
}

// Nobody, and a user without rights, get nothing from any route of buckets, and change nothing.
func TestBucketsAreClosedToOthers(t *testing.T) {
	w := start(t)
	w.fill(t)
	if _, err := w.Door.Do(t.Context(), &call.Call{Kind: w.Door.KindOf("identity/user"), Verb: call.Create, Name: ptr("alice"), Spec: json.RawMessage(`{"password":"correct horse"}`), Principal: w.Root}); err != nil {
		t.Fatal(err)
	}
	const key = "key=2026%2Fnotes.txt"
	reads := []string{"", "/access", "/settings", "/usage", "/object?" + key, "/content?" + key, "/parts?" + key + "&upload=x"}
	writes := []string{"/settings", "/access", "/empty", "/delete", "/do"}
	scripts := map[string]string{"/put?": "PUT", "/part?upload=x&number=1&": "PUT", "/upload?size=1&": "POST", "/complete?size=1&upload=x&": "POST", "/abort?upload=x&": "POST"}
	try := func(who string, refused func(a answer) bool) {
		for _, p := range reads {
			if a := w.get(t, "/buckets/photos"+p); !refused(a) || strings.Contains(a.body, "notes.txt</a>") || strings.Contains(a.body, "second") {
				t.Errorf("%s reads %s: %d at %s", who, p, a.status, a.url)
			}
		}
		for _, p := range writes {
			form := url.Values{"confirm": {"photos"}, "do": {"delete"}, "key": {"2026/notes.txt"}, "group": {"space"}, "spec.quota": {"1"}, "step": {"save"}, "policy": {""}}
			if a := w.post(t, "/", "/buckets/photos"+p, form); !refused(a) {
				t.Errorf("%s posts to %s: %d at %s", who, p, a.status, a.url)
			}
		}
		csrf := ""
		if m := csrfField.FindStringSubmatch(w.get(t, "/").body); m != nil {
			csrf = m[1]
		}
		for p, method := range scripts {
			if a := w.script(t, method, "/buckets/photos"+p+key, csrf, []byte("x")); a.status < 400 || strings.Contains(a.body, "etag") {
				t.Errorf("%s sends %s %s: %d %s", who, method, p, a.status, a.body)
			}
		}
	}
	try("nobody", func(a answer) bool { return a.url.Path == "/login" || a.status >= 400 })
	w.post(t, "/login", "/login", url.Values{"domain": {w.Admin.Domain}, "user": {"alice"}, "password": {"correct horse"}})
	try("a user without rights", func(a answer) bool { return a.status == 403 || a.status == 404 })
	if a := w.get(t, "/buckets"); strings.Contains(a.body, "photos") {
		t.Error("a user without rights sees the list")
	}
	if body, err := w.object(t, "photos", "2026/notes.txt", ""); !strings.HasPrefix(body, "second") {
		t.Errorf("the object holds %q, %v", body, err)
	}
}
