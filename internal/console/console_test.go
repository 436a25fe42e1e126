package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/console"
	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/bucket"
	"github.com/awancloud/awan/internal/service/config"
	"github.com/awancloud/awan/internal/service/metric"
)

// A kind with a field of every type, and an app like the real one.
type rule struct {
	Port  int    `json:"port" doc:"where" min:"1" max:"65535" required:"true"`
	Proto string `json:"protocol" doc:"how" enum:"tcp,udp" default:"tcp"`
}
type limitsSpec struct {
	Memory int64     `json:"memory" doc:"most it may use" unit:"MiB" min:"16" max:"1024" default:"64"`
	Every  kind.Span `json:"every" doc:"how often" default:"30s" min:"1" max:"300"`
}
type boxSpec struct {
	Size   int64             `json:"size" doc:"how big" unit:"cm" min:"1" max:"100" default:"5"`
	Color  string            `json:"color" doc:"paint" enum:"red,blue" default:"red"`
	Shape  string            `json:"shape" doc:"form" immutable:"true" pattern:"^[a-z]*$"`
	Closed bool              `json:"closed" doc:"nothing gets in"`
	Token  string            `json:"token" doc:"opens it" secret:"true"`
	Words  []string          `json:"words" doc:"written on it" max:"5"`
	Env    map[string]string `json:"env" doc:"what it knows" max:"10"`
	Hidden map[string]string `json:"hidden" doc:"what it knows and tells nobody" secret:"true"`
	Limits limitsSpec        `json:"limits" doc:"how much"`
	Rules  []rule            `json:"rules" doc:"what gets in"`
	Free   json.RawMessage   `json:"free" doc:"any document"`
	Group  string            `json:"group" doc:"who owns it" ref:"identity/group"`
}
type boxStatus struct {
	Key  string    `json:"key" doc:"made for it" secret:"true"`
	Seen time.Time `json:"seen,omitzero" doc:"when it was last seen"`
}
type boxRow = kind.Row[boxSpec, boxStatus]

func boxes() *kind.Def {
	return kind.Kind[boxSpec, boxStatus]{Service: "test", Name: "box", Plural: "boxes", Scope: kind.InProject, Doc: "A box.", Columns: []string{"spec.size", "spec.color", "spec.rules"},
		Prepare: func(_ context.Context, old, row *boxRow) error {
			if old == nil {
				row.Status.Key = "key-shown-once"
			}
			return nil
		},
		Create:    job.Flow[boxRow]{{Name: "cut", Do: func(context.Context, *boxRow) error { return nil }}},
		Retention: 24 * time.Hour,
		Quota:     map[ledger.Dim]func(boxSpec) int64{"test.size": func(s boxSpec) int64 { return s.Size }},
		Meter:     map[ledger.Dim]func(boxSpec, boxStatus) int64{"test.size": func(s boxSpec, _ boxStatus) int64 { return s.Size }},
		Actions: []kind.Action[boxSpec, boxStatus]{{Verb: "paint", Doc: "paints it", Level: kind.Write, In: struct {
			Color string `json:"color" doc:"paint" enum:"red,blue" required:"true"`
			Coats int    `json:"coats" doc:"how often" min:"1" max:"3" default:"1"`
		}{}, Change: func(_ context.Context, _ store.Tx, r *boxRow, in any) (string, error) {
			r.Spec.Color = docString(in, "Color")
			return "", nil
		}}}}.Def()
}

func docString(v any, name string) string {
	b, _ := json.Marshal(v)
	m := map[string]any{}
	_ = json.Unmarshal(b, &m)
	return fmt.Sprint(m[strings.ToLower(name)])
}

type componentRow = kind.Row[app.ComponentSpec, app.ComponentStatus]

type releaseRow = kind.Row[app.ReleaseSpec, app.ReleaseStatus]

const evil = `<script>alert("x")</script>'"&`

type world struct {
	*kerneltest.Kernel
	URL    string
	client *http.Client
	box    *kind.Def
	app    *kind.Def
	rel    *kind.Def
	gate   chan struct{}

	uploaded *bytes.Buffer   // what was uploaded
	configs  *config.Service // with its kinds in this world
	buckets  *bucket.Service
	metrics  *metric.Service
}

func start(t *testing.T) *world {
	t.Helper()
	w := startGated(t)
	close(w.gate)
	return w
}

// startGated makes a world in which updates of apps wait until its gate is closed.
func startGated(t *testing.T) *world {
	t.Helper()
	gate := make(chan struct{})
	w := &world{box: boxes(), rel: releases(), gate: gate, uploaded: new(bytes.Buffer), configs: config.New(config.Deps{})}
	w.app = components(gate, w.uploaded)
	w.buckets = bucket.New(bucket.Deps{})
	w.Kernel = kerneltest.Start(t, func(d ledger.Dim) (int64, bool) { return 4096, true }, append(append(w.configs.Kinds(), w.buckets.Kinds()...), w.box, w.app, w.rel)...)
	w.openBuckets(t)
	w.configs.Deps = config.Deps{Store: w.Store, Now: w.Clock.Now, Unseal: w.Door.Unseal, UsedBy: func(store.Tx, id.ID, string) (string, error) { return "", nil }}
	w.NoFactors(t)
	var err error
	if w.metrics, err = metric.Open(metric.Options{Dir: t.TempDir(), Source: w, Now: w.Clock.Now, Log: w.Door.Log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.metrics.Close() })
	api := native.New(w.Door, &auth.Authenticator{Ident: w.Ident, Now: w.Clock.Now}, "test")
	s := httptest.NewTLSServer(console.New(console.Options{Door: w.Door, Now: w.Clock.Now, Version: "test", URL: "https://cloud.example:7443", Metrics: w.metrics, Buckets: w.buckets, API: api}))
	t.Cleanup(s.Close)
	w.URL, w.client = s.URL, s.Client()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.client.Jar = jar
	return w
}

func ptr[T any](v T) *T { return &v }

func (w *world) create(t *testing.T, k *kind.Def, name, spec string, tags map[string]string) kind.AnyRow {
	t.Helper()
	c := &call.Call{Kind: k, Verb: call.Create, Name: &name, Spec: json.RawMessage(spec), Principal: w.Root}
	if tags != nil {
		c.Tags = &tags
	}
	r, err := w.Door.Do(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Job != nil {
		if _, err := w.Door.WaitJob(t.Context(), r.Job.ID); err != nil {
			t.Fatal(err)
		}
	}
	return r.Row
}

// fill puts an app with instances and releases into the store, as the app service would.
func (w *world) fill(t *testing.T) {
	t.Helper()
	w.create(t, w.box, "crate", `{"size":7,"token":"hush-hush","words":["fragile","`+"<b>up</b>"+`"],"env":{"A":"`+jsonText(evil)+`"},"hidden":{"KEY":"tell-nobody"},"rules":[{"port":443}],"free":{"deep":[1,2]}}`, map[string]string{"team": evil})
	w.fillBucket(t)
	w.create(t, w.Door.KindOf("config/config"), "shop.properties", `{"type":"properties","content":"color=red\nsize=1\n"}`, nil)
	if _, err := w.Door.Do(t.Context(), &call.Call{Kind: w.Door.KindOf("config/config"), Verb: call.Update, Target: "shop.properties", Spec: json.RawMessage(`{"content":"color=blue\nsize=1\n"}`), Principal: w.Root}); err != nil {
		t.Fatal(err)
	}
	w.create(t, w.app, "guestbook", `{"mounts":[{"config":"shop.properties","as":"variables"}],"replicas":3,"env":{"GREETING":"`+jsonText(evil)+`"},"secrets":{"DB_PASSWORD":"tell-nobody"}}`, nil)
	now := w.Clock.Now()
	_, err := w.Store.Update(t.Context(), func(tx store.Tx) error {
		old, err := w.app.Find(tx, string(w.Admin.ProjectID), "guestbook")
		if err != nil {
			return err
		}
		row := w.app.Clone(old).(*componentRow)
		row.Status = app.ComponentStatus{URL: "https://guestbook.awan-1.apps.localhost:7443", Release: 3, Ready: 2, Stack: "go", Image: "awan-1/guestbook@sha256:" + strings.Repeat("ab", 32)}
		for i, phase := range []string{"ready", "ready", "exited"} {
			in := app.Instance{ID: id.New(), Release: 3, Phase: phase, Started: now.Add(-time.Duration(i+1) * 47 * time.Minute), Restarts: i}
			if phase == "exited" {
				in.LastExit, in.RetryAt = "killed: memory limit 256 MiB reached at 12:03:07 "+evil, now.Add(9*time.Second)
			}
			row.Status.Instances = append(row.Status.Instances, in)
		}
		if err := w.app.Put(tx, old, row); err != nil {
			return err
		}
		for n := 1; n <= 3; n++ {
			state := "superseded"
			if n == 3 {
				state = "live"
			}
			r := &releaseRow{Meta: kind.Meta{ID: id.New(), Kind: "app/release", Domain: row.Domain, Project: row.Project, Name: fmt.Sprintf("guestbook-%d", n), State: kind.Active, Created: now.Add(time.Duration(n-4) * time.Hour)},
				Spec: app.ReleaseSpec{Component: string(row.ID), Number: n, Image: row.Status.Image, Stack: "go", By: "admin", Note: "deploy"}, Status: app.ReleaseStatus{State: state}}
			if err := w.rel.Put(tx, nil, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func jsonText(s string) string {
	b, _ := json.Marshal(s)
	return strings.Trim(string(b), `"`)
}

type answer struct {
	status int
	body   string
	header http.Header
	url    *url.URL
}

func (w *world) send(t *testing.T, r *http.Request) answer {
	t.Helper()
	resp, err := w.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, string(b), resp.Header, resp.Request.URL}
}

func (w *world) get(t *testing.T, path string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", w.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.send(t, r)
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// post sends a form as a browser would: with the token of a page that was loaded before.
func (w *world) post(t *testing.T, page, to string, form url.Values, edit ...func(*http.Request)) answer {
	t.Helper()
	if form == nil {
		form = url.Values{}
	}
	if m := csrfField.FindStringSubmatch(w.get(t, page).body); m != nil && form["csrf"] == nil {
		form.Set("csrf", m[1])
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", w.URL+to, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, e := range edit {
		e(r)
	}
	return w.send(t, r)
}

func (w *world) logIn(t *testing.T) {
	t.Helper()
	a := w.post(t, "/login", "/login", url.Values{"domain": {w.Admin.Domain}, "user": {w.Admin.User}, "password": {w.Admin.Password}, "next": {"/"}})
	if a.status != 200 || a.url.Path != "/" {
		t.Fatalf("log-in gives %d at %s:\n%s", a.status, a.url, a.body)
	}
}

func (w *world) boxID(t *testing.T, k *kind.Def, name string) string {
	t.Helper()
	r, err := w.Door.Do(t.Context(), &call.Call{Kind: k, Verb: call.Get, Target: name, Principal: w.Root})
	if err != nil {
		t.Fatal(err)
	}
	return string(r.Row.M().ID)
}

// everyPage lists the address of every page there is for the rows there are.
func (w *world) everyPage(t *testing.T) []string {
	t.Helper()
	pages := []string{"/", "/deploy", "/apps", "/audit", "/audit?text=box&outcome=succeeded&since=24h", "/usage", "/usage?period=last", "/quota", "/trash",
		"/deploy?from=template&template=go", "/deploy?from=upload", "/deploy?from=git", "/deploy?from=image", "/deploy?app=guestbook", "/deploy?app=guestbook&from=git",
		"/audit/verify", "/audit/verify?check=1", "/unused", "/unused?user=admin&days=1", "/simulate", "/simulate?ask=1&actions=test%3Abox%3Alist%0Atest%3Abox%3Acreate&user=admin", "/explorer", "/explorer/test/boxes", "/explorer/app/components",
		"/buckets", "/buckets?name=zz", "/buckets/photos", "/buckets/photos?prefix=2026/", "/buckets/photos?deleted=1", "/buckets/photos?filter=zz", "/buckets/photos/access", "/buckets/photos/settings", "/buckets/photos/usage",
		"/buckets/photos/object?key=2026/notes.txt", "/buckets/photos/object?key=gone.txt&version=" + w.version(t, "photos", "gone.txt"), "/buckets/photos/object?key=dot.png",
		"/configs/shop.properties", "/configs/shop.properties?from=1&to=2",
		"/apps/guestbook/metrics", "/apps/guestbook/metrics?range=15m&by=instance", "/apps/guestbook/build?new=1",
		"/apps/guestbook", "/apps/guestbook/logs", "/apps/guestbook/releases", "/apps/guestbook/events", "/apps/guestbook/variables", "/apps/guestbook/settings", "/apps/guestbook/exec"}
	for _, k := range w.Door.Kinds {
		list := "/k/" + k.Service + "/" + k.Plural
		pages = append(pages, list, list+"?name=zz")
		if !k.ReadOnly {
			pages = append(pages, "/new/"+k.Service+"/"+k.Plural)
		}
		r, err := w.Door.Do(t.Context(), &call.Call{Kind: k, Verb: call.List, Principal: w.Root})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Rows) == 0 {
			continue
		}
		row := list + "/" + string(r.Rows[0].M().ID)
		pages = append(pages, row)
		if !k.ReadOnly {
			pages = append(pages, row+"/edit")
		}
		for _, a := range k.Desc.Actions {
			if !a.Stream && !a.Collection {
				pages = append(pages, row+"/actions/"+a.Verb)
			}
		}
	}
	return pages
}

func TestEveryPageRendersForAnAdministrator(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	for _, p := range w.everyPage(t) {
		a := w.get(t, p)
		if a.status != 200 || !strings.Contains(a.body, "</html>") {
			t.Errorf("%s gives %d:\n%s", p, a.status, a.body)
			continue
		}
		for _, bad := range []string{"<script>alert", "<b>up</b>", "tell-nobody", "hush-hush", "ZgotmplZ", "style=\"", "onclick", "sealed:"} {
			if strings.Contains(a.body, bad) {
				t.Errorf("%s shows %q", p, bad)
			}
		}
		h := a.header
		if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'; style-src 'self';") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", p, csp)
		}
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", p, h)
		}
	}
	if n := len(w.auditOf(t, ledger.Denied)); n > 0 {
		t.Errorf("looking at pages left %d denials in the audit log", n)
	}
}

func (w *world) auditOf(t *testing.T, o ledger.Outcome) []ledger.Entry {
	t.Helper()
	var out []ledger.Entry
	err := w.Store.View(t.Context(), func(tx store.Tx) (err error) {
		out, _, err = ledger.Search(tx, ledger.Query{Domain: w.Admin.DomainID, Outcome: o, Limit: 100})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStaticFilesAreKeptForGood(t *testing.T) {
	w := start(t)
	page := w.get(t, "/login").body
	for _, m := range regexp.MustCompile(`(?:href|src)="(/static/[^"]+)"`).FindAllStringSubmatch(page, -1) {
		a := w.get(t, m[1])
		if a.status != 200 || !strings.Contains(a.header.Get("Cache-Control"), "immutable") || a.header.Get("Content-Type") == "" {
			t.Errorf("%s gives %d %v", m[1], a.status, a.header)
		}
	}
	for _, m := range regexp.MustCompile(`(?:href|src)="([a-z]+:)?//`).FindAllString(page, -1) {
		t.Errorf("the page loads %s from elsewhere", m)
	}
}

func TestLogInAndOut(t *testing.T) {
	w := start(t)
	if a := w.get(t, "/k/test/boxes?name=x"); a.url.Path != "/login" || a.url.Query().Get("next") != "/k/test/boxes?name=x" {
		t.Errorf("without a session the answer is %s", a.url)
	}
	bad := w.post(t, "/login", "/login", url.Values{"domain": {w.Admin.Domain}, "user": {"admin"}, "password": {"wrong"}})
	if bad.status != 401 || !strings.Contains(bad.body, "user name, domain or password is wrong") {
		t.Errorf("a wrong password gives %d", bad.status)
	}
	form := url.Values{"domain": {w.Admin.Domain}, "user": {w.Admin.User}, "password": {w.Admin.Password}, "next": {"/k/test/boxes?name=x"}}
	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	a := w.post(t, "/login", "/login", form)
	if a.status != 303 || a.header.Get("Location") != "/k/test/boxes?name=x" {
		t.Fatalf("log-in gives %d to %q", a.status, a.header.Get("Location"))
	}
	session := ""
	for _, c := range a.header.Values("Set-Cookie") {
		if v, ok := strings.CutPrefix(c, "__Host-awan="); ok {
			session, _, _ = strings.Cut(v, ";")
			for _, flag := range []string{"HttpOnly", "Secure", "SameSite=Strict", "Path=/", "Max-Age=28800"} {
				if !strings.Contains(c, flag) {
					t.Errorf("the session's cookie lacks %s: %s", flag, c)
				}
			}
		}
	}
	if p, tok, err := w.Ident.ByToken(t.Context(), session); err != nil || p.UserName != "admin" || tok.Expires.Sub(tok.Issued) > console.SessionLife {
		t.Errorf("the cookie holds %v %v %v", p, tok, err)
	}
	for _, next := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "evil", "javascript:alert(1)", "/\t/evil.example"} {
		w.client.Jar, _ = cookiejar.New(nil)
		form.Del("csrf")
		form.Set("next", next)
		if a := w.post(t, "/login", "/login", form); a.header.Get("Location") != "/" {
			t.Errorf("next=%q leads to %q", next, a.header.Get("Location"))
		}
	}
	out := w.post(t, "/", "/logout", nil)
	if out.status != 303 || out.header.Get("Location") != "/login" {
		t.Errorf("log-out gives %d", out.status)
	}
	w.client.CheckRedirect = nil
	if a := w.get(t, "/"); a.url.Path != "/login" {
		t.Errorf("after the log-out / is at %s", a.url)
	}
}

func TestALoggedOutTokenIsWorthless(t *testing.T) {
	w := start(t)
	w.logIn(t)
	u, _ := url.Parse(w.URL)
	token := ""
	for _, c := range w.client.Jar.Cookies(u) {
		if c.Name == "__Host-awan" {
			token = c.Value
		}
	}
	w.post(t, "/", "/logout", nil)
	if _, _, err := w.Ident.ByToken(t.Context(), token); !fail.Is(err, fail.Unauthenticated) {
		t.Errorf("the token still works: %v", err)
	}
}

func TestAnEndedSessionGoesToTheLogIn(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	w.Clock.Add(console.SessionLife + time.Minute)
	if a := w.get(t, "/apps/guestbook/logs"); a.url.Path != "/login" || a.url.Query().Get("next") != "/apps/guestbook/logs" {
		t.Errorf("the page is at %s", a.url)
	}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", w.URL+"/apps/guestbook/live", nil)
	r.Header.Set("HX-Request", "true")
	r.Header.Set("HX-Current-URL", "https://evil.example/apps/guestbook?a=1")
	if a := w.send(t, r); a.status != 401 || a.header.Get("HX-Redirect") != "/login?next=%2Fapps%2Fguestbook%3Fa%3D1" {
		t.Errorf("a poll gives %d to %q", a.status, a.header.Get("HX-Redirect"))
	}
}

func TestForgedPostsAreRefused(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	form := func() url.Values { return url.Values{"name": {"forged"}, "spec.size": {"3"}} }
	for what, send := range map[string]func() answer{
		"no token": func() answer {
			f := form()
			f.Set("csrf", "")
			return w.post(t, "/", "/k/test/boxes", f)
		},
		"a wrong token": func() answer {
			f := form()
			f.Set("csrf", "x")
			return w.post(t, "/", "/k/test/boxes", f)
		},
		"another site": func() answer {
			return w.post(t, "/", "/k/test/boxes", form(), func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
		},
		"another origin": func() answer {
			return w.post(t, "/", "/k/test/boxes", form(), func(r *http.Request) {
				r.Header.Del("Sec-Fetch-Site")
				r.Header.Set("Origin", "https://evil.example")
			})
		},
	} {
		if a := send(); a.status != 403 {
			t.Errorf("a post with %s gives %d", what, a.status)
		}
	}
	jar := w.client.Jar
	w.client.Jar, _ = cookiejar.New(nil)
	guest := csrfField.FindStringSubmatch(w.get(t, "/login").body)[1]
	w.client.Jar = jar
	f := form()
	f.Set("csrf", guest)
	if a := w.post(t, "/", "/k/test/boxes", f); a.status != 403 {
		t.Errorf("a post with the token of another session gives %d", a.status)
	}
	if _, err := w.Door.Do(t.Context(), &call.Call{Kind: w.box, Verb: call.Get, Target: "forged", Principal: w.Root}); !fail.Is(err, fail.NotFound) {
		t.Errorf("a forged post made a row: %v", err)
	}
}

func TestLifeOfARowInThePages(t *testing.T) {
	w := start(t)
	w.logIn(t)
	if a := w.get(t, "/k/test/boxes"); !strings.Contains(a.body, "No boxes yet") || !strings.Contains(a.body, "awan box create NAME") {
		t.Error("the empty list does not say what to do")
	}
	form := url.Values{"name": {"crate"}, "spec.size": {"700"}, "spec.color": {"blue"}, "spec.shape": {"cube"}, "spec.token": {"hush"}, "spec.words": {"one\r\ntwo\r\n"},
		"spec.env#k": {"A", "", "B"}, "spec.env#v": {"1", "", evil}, "spec.hidden#k": {"KEY"}, "spec.hidden#v": {"tell-nobody"}, "spec.limits.memory": {"128"},
		"spec.rules[0].port": {"443"}, "spec.rules[0].protocol": {"udp"}, "spec.rules[1].port": {""}, "spec.rules[1].protocol": {""}, "spec.free": {`{"a": [1]}`}, "tags#k": {"team"}, "tags#v": {evil}, "once": {"k1"}}
	a := w.post(t, "/new/test/boxes", "/k/test/boxes", form)
	if a.status != 400 || !strings.Contains(a.body, `id="f-spec-size-err"`) || !strings.Contains(a.body, "too large; the most is 100 cm") {
		t.Fatalf("a size of 700 gives %d, or its error is not at its field:\n%s", a.status, a.body)
	}
	for _, keep := range []string{`value="700"`, "one\ntwo</textarea>", `value="443"`, `<option value="udp" selected>`, `value="k1"`} {
		if !strings.Contains(a.body, keep) {
			t.Errorf("the form that is shown again lost %s", keep)
		}
	}
	form.Set("spec.size", "many")
	if a := w.post(t, "/new/test/boxes", "/k/test/boxes", form); a.status != 400 || !strings.Contains(a.body, "is not a whole number") {
		t.Errorf("a size of many gives %d", a.status)
	}
	form.Set("spec.size", "7")
	a = w.post(t, "/new/test/boxes", "/k/test/boxes", form)
	if a.status != 200 || !strings.Contains(a.body, "key-shown-once") || !strings.Contains(a.body, "never shown again") {
		t.Fatalf("create gives %d:\n%s", a.status, a.body)
	}
	if a := w.post(t, "/new/test/boxes", "/k/test/boxes", form); a.status != 200 || strings.Contains(a.body, "key-shown-once") || !strings.Contains(a.body, "shown before") {
		t.Errorf("the same form again gives %d, or shows the key again", a.status)
	}
	got := func() *boxRow {
		r, err := w.Door.Do(t.Context(), &call.Call{Kind: w.box, Verb: call.Get, Target: "crate", Principal: w.Root})
		if err != nil {
			t.Fatal(err)
		}
		return r.Row.(*boxRow)
	}
	s := got().Spec
	if s.Size != 7 || s.Color != "blue" || len(s.Words) != 2 || s.Env["B"] != evil || s.Hidden["KEY"] != kind.Mask || s.Limits.Memory != 128 || len(s.Rules) != 1 || s.Rules[0].Proto != "udp" || string(s.Free) != `{"a":[1]}` || got().Tags["team"] != evil {
		t.Errorf("the row is %+v %v", s, got().Tags)
	}

	box := "/k/test/boxes/" + w.boxID(t, w.box, "crate")
	w.waitIdle(t, "crate")
	if a := w.get(t, box+"/edit"); !regexp.MustCompile(`name="spec.shape"[^>]* disabled`).MatchString(a.body) {
		t.Error("an immutable field can be edited")
	}
	edit := url.Values{"name": {"crate"}, "spec.size": {"9"}, "spec.color": {"blue"}, "spec.token": {""}, "spec.words": {"one"}, "spec.env#k": {"A"}, "spec.env#v": {"2"}, "spec.hidden#k": {"KEY", "NEW"}, "spec.hidden#v": {"", "n"},
		"spec.limits.memory": {"128"}, "spec.limits.every": {"30s"}, "spec.free": {`{"b":2}`}, "spec.closed": {"true"}}
	if a := w.post(t, box+"/edit", box, edit); a.status != 200 || a.url.Path != box || !strings.Contains(a.body, "was saved") {
		t.Fatalf("edit gives %d at %s:\n%s", a.status, a.url, a.body)
	}
	s = got().Spec
	if s.Size != 9 || len(s.Env) != 1 || s.Env["A"] != "2" || len(s.Rules) != 0 || s.Token != kind.Mask || s.Shape != "cube" || string(s.Free) != `{"b":2}` || !s.Closed || len(s.Hidden) != 2 {
		t.Errorf("after the edit the row is %+v", s)
	}
	if plain := w.plain(t, "crate", "hidden.KEY"); plain != "tell-nobody" {
		t.Errorf("the secret that was left alone is now %q", plain)
	}
	if a := w.post(t, box, box+"/actions/paint", url.Values{"in.color": {"green"}}); a.status != 400 || !strings.Contains(a.body, `id="f-in-color-err"`) {
		t.Errorf("painting it green gives %d", a.status)
	}
	if a := w.post(t, box, box+"/actions/paint", url.Values{"in.color": {"red"}}); a.status != 200 || got().Spec.Color != "red" {
		t.Errorf("painting it red gives %d", a.status)
	}
	if a := w.post(t, box, box+"/delete", nil); a.url.Path != "/k/test/boxes" || !strings.Contains(a.body, "in the trash for 24 h") {
		t.Errorf("delete ends at %s", a.url)
	}
	if a := w.get(t, "/trash"); !strings.Contains(a.body, "crate") {
		t.Error("the trash does not show it")
	}
	if a := w.post(t, "/trash", box+"/restore", nil); a.url.Path != box || !strings.Contains(a.body, "back from the trash") {
		t.Errorf("restore ends at %s:\n%s", a.url, a.body)
	}
	w.waitIdle(t, "crate")
	w.post(t, box, box+"/delete", nil)
	w.waitIdle(t, "crate")
	if a := w.post(t, "/trash", box+"/delete", url.Values{"purge": {"true"}, "from": {"trash"}}); a.url.Path != "/trash" {
		t.Errorf("delete for good ends at %s:\n%s", a.url, a.body)
	}
	for _, e := range w.auditOf(t, "") {
		if strings.HasPrefix(e.Action, "test:box:") && e.Dialect != "console" {
			t.Errorf("the audit log says %s by %s", e.Action, e.Dialect)
		}
	}
}

func (w *world) waitIdle(t *testing.T, name string) {
	t.Helper()
	r, err := w.Door.Do(t.Context(), &call.Call{Kind: w.box, Verb: call.Get, Target: name, Principal: w.Root})
	if err != nil {
		t.Fatal(err)
	}
	if j := r.Row.M().Job; j != "" {
		if _, err := w.Door.WaitJob(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) plain(t *testing.T, name, path string) (out string) {
	t.Helper()
	err := w.Store.View(t.Context(), func(tx store.Tx) error {
		row, err := w.box.Find(tx, string(w.Admin.ProjectID), name)
		if err != nil {
			return err
		}
		return kind.EachSecret(row.SpecPtr(), w.box.Spec, func(p, v string) (string, error) {
			if p == path {
				out, err = w.Door.Unseal(row.M(), "spec", p, v)
			}
			return v, err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAnAppsPages(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	a := w.get(t, "/apps/guestbook")
	for _, want := range []string{"2 of 3 ready", "https://guestbook.awan-1.apps.localhost:7443", "killed: memory limit 256 MiB reached at 12:03:07", "&lt;script&gt;", `hx-trigger="every 2s"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the app's page lacks %q", want)
		}
	}
	live := w.get(t, "/apps/guestbook/live?v=__TAG__")
	tag := regexp.MustCompile(`live\?v=([0-9a-f]+)"`).FindStringSubmatch(live.body)
	if live.status != 200 || tag == nil || strings.Contains(live.body, "<html") {
		t.Fatalf("the live part gives %d:\n%s", live.status, live.body)
	}
	if again := w.get(t, "/apps/guestbook/live?v="+tag[1]); again.status != 204 {
		t.Errorf("the live part that did not change gives %d", again.status)
	}
	log := w.get(t, "/apps/guestbook/log")
	if log.status != 200 || log.header.Get("Content-Type") != "application/x-ndjson" || strings.Count(log.body, "\n") != 40 {
		t.Errorf("the log gives %d %s", log.status, log.header.Get("Content-Type"))
	}
	if text := w.get(t, "/apps/guestbook/log.txt"); text.header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(text.body, "GET /api/items") {
		t.Errorf("the log as text is %s", text.header.Get("Content-Type"))
	}
	if a := w.post(t, "/apps/guestbook/exec", "/apps/guestbook/exec", url.Values{"command": {`echo "a  b" 'c'`}}); a.status != 200 || !strings.Contains(a.body, `[&#34;echo&#34;,&#34;a  b&#34;,&#34;c&#34;]`) || !strings.Contains(a.body, "exit code 3") || strings.Contains(a.body, "<script>alert") {
		t.Errorf("running a command gives %d:\n%s", a.status, a.body)
	}
	if a := w.post(t, "/apps/guestbook/exec", "/apps/guestbook/exec", url.Values{"command": {"flood"}, "shell": {"true"}}); a.status != 200 || !strings.Contains(a.body, "it printed too much") || len(a.body) > 400<<10 {
		t.Errorf("a flood gives %d and %d bytes", a.status, len(a.body))
	}
	if a := w.post(t, "/apps/guestbook/exec", "/apps/guestbook/exec", url.Values{"command": {`echo "`}}); !strings.Contains(a.body, "a quote is not closed") {
		t.Errorf("an open quote gives %d", a.status)
	}
	if a := w.post(t, "/apps/guestbook", "/apps/guestbook/actions/scale", url.Values{"in.replicas": {"99"}}); a.status != 400 || !strings.Contains(a.body, "the most is 50") {
		t.Errorf("scaling to 99 gives %d", a.status)
	}
	if a := w.post(t, "/apps/guestbook", "/apps/guestbook/actions/scale", url.Values{"in.replicas": {"2"}}); a.status != 200 || !strings.Contains(a.body, "2 of 2 ready") {
		t.Errorf("scaling to 2 gives %d", a.status)
	}
	if a := w.post(t, "/apps/guestbook", "/apps/guestbook/actions/stop", nil); !strings.Contains(a.body, "stopped") || !strings.Contains(a.body, "actions/start") {
		t.Error("a stopped app does not say so")
	}
	if a := w.post(t, "/apps/guestbook/releases", "/apps/guestbook/actions/rollback", url.Values{"in.release": {"1"}}); a.status != 200 || !strings.Contains(a.body, "release 1") {
		t.Errorf("rolling back gives %d", a.status)
	}
	vars := url.Values{"spec.env#k": {"GREETING", "NEW"}, "spec.env#v": {"hi", "x y"}, "spec.secrets#k": {"DB_PASSWORD", "TOKEN"}, "spec.secrets#v": {"", "t0k"}}
	if a := w.post(t, "/apps/guestbook/variables", "/apps/guestbook/variables", vars); a.status != 200 || !strings.Contains(a.body, "rolled out") {
		t.Errorf("saving variables gives %d:\n%s", a.status, a.body)
	}
	r, err := w.Door.Do(t.Context(), &call.Call{Kind: w.app, Verb: call.Get, Target: "guestbook", Principal: w.Root})
	if err != nil {
		t.Fatal(err)
	}
	if j := r.Row.M().Job; j != "" {
		if _, err := w.Door.WaitJob(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	if s := r.Row.(*componentRow).Spec; s.Env["NEW"] != "x y" || s.Env["GREETING"] != "hi" || len(s.Secrets) != 2 || s.Replicas != 2 || s.Memory != 256 {
		t.Errorf("the app is now %+v", s)
	}
	if a := w.post(t, "/apps/guestbook/settings", "/apps/guestbook/delete", url.Values{"confirm": {"guest"}}); a.status != 400 {
		t.Errorf("deleting under a wrong name gives %d", a.status)
	}
	if a := w.post(t, "/apps/guestbook/settings", "/apps/guestbook/delete", url.Values{"confirm": {"guestbook"}}); a.url.Path != "/apps" || !strings.Contains(a.body, "in the trash until") {
		t.Errorf("deleting ends at %s", a.url)
	}
	if a := w.get(t, "/apps/guestbook"); a.status != 404 || !strings.Contains(a.body, "in the trash") {
		t.Errorf("the page of a deleted app gives %d", a.status)
	}
}

func TestANewUserSeesNothingAndIsTold(t *testing.T) {
	w := start(t)
	w.fill(t)
	if _, err := w.Door.Do(t.Context(), &call.Call{Kind: w.Door.KindOf("identity/user"), Verb: call.Create, Name: ptr("alice"), Spec: json.RawMessage(`{"password":"correct horse"}`), Principal: w.Root}); err != nil {
		t.Fatal(err)
	}
	a := w.post(t, "/login", "/login", url.Values{"domain": {w.Admin.Domain}, "user": {"alice"}, "password": {"correct horse"}})
	if a.status != 200 || !strings.Contains(a.body, "No project") || strings.Contains(a.body, "guestbook") {
		t.Fatalf("her dashboard gives %d:\n%s", a.status, a.body)
	}
	if n := len(w.auditOf(t, ledger.Denied)); n > 0 {
		t.Errorf("her dashboard left %d denials in the audit log", n)
	}
	for _, p := range []string{"/k/identity/users", "/audit", "/new/test/boxes", "/k/identity/users/" + string(w.Admin.UserID)} {
		if a := w.get(t, p); p != "/new/test/boxes" && a.status != 403 {
			t.Errorf("%s gives her %d", p, a.status)
		}
	}
	if a := w.get(t, "/no/such/page"); a.status != 404 || !strings.Contains(a.body, "Not found") {
		t.Errorf("a page that is not there gives %d", a.status)
	}
}

func TestThemeIsRemembered(t *testing.T) {
	w := start(t)
	w.logIn(t)
	if a := w.post(t, "/quota", "/theme", url.Values{"theme": {"dark"}, "next": {"/quota"}}); a.url.Path != "/quota" || !strings.Contains(a.body, `data-theme="dark"`) {
		t.Errorf("the page is at %s", a.url)
	}
}

func TestQuotaIsSetByAnOperator(t *testing.T) {
	w := start(t)
	w.logIn(t)
	if a := w.post(t, "/quota", "/quota", url.Values{"name": {"test.size"}, "limit": {"12"}}); a.status != 200 || !strings.Contains(a.body, "was changed") || !strings.Contains(a.body, ">own<") {
		t.Errorf("setting a limit gives %d", a.status)
	}
	if a := w.post(t, "/quota", "/quota", url.Values{"name": {"test.size"}, "limit": {"-3"}}); a.status != 400 {
		t.Errorf("a negative limit gives %d", a.status)
	}
}
