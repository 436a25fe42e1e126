package console_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/config"
	"github.com/awancloud/awan/internal/service/metric"
)

func (w *world) read(k *kind.Def, name string) *call.Call {
	return &call.Call{Kind: k, Verb: call.Get, Target: name, Principal: w.Root}
}

func (w *world) guestbook() (*componentRow, error) {
	r, err := w.Door.Do(context.Background(), w.read(w.app, "guestbook"))
	if err != nil {
		return nil, err
	}
	return r.Row.(*componentRow), nil
}

// change writes to the guestbook's row, as the app service would.
func (w *world) change(t *testing.T, edit func(*componentRow)) {
	t.Helper()
	_, err := w.Store.Update(t.Context(), func(tx store.Tx) error {
		old, err := w.app.Find(tx, string(w.Admin.ProjectID), "guestbook")
		if err != nil {
			return err
		}
		row := w.app.Clone(old).(*componentRow)
		edit(row)
		return w.app.Put(tx, old, row)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) beginGray(t *testing.T) {
	t.Helper()
	w.change(t, func(r *componentRow) {
		r.Spec.Gray.Steps = []int{50}
		r.Status.Gray = &app.Gray{Phase: "open", Release: 4, Instances: 1, Since: w.Clock.Now(), Traffic: app.Traffic{Weight: 20, Match: "all", Rules: []app.Rule{{Source: "header", Name: "X-Tester", Op: "exact", Value: "yes"}}}}
	})
}

// grayNow is the share, and the number of rules, that a gray release will have; "" when none is under way.
func (w *world) grayNow(t *testing.T) string {
	t.Helper()
	r, err := w.guestbook()
	if err != nil {
		t.Fatal(err)
	}
	if r.Status.Gray == nil || r.Status.Gray.Next == nil {
		return ""
	}
	return fmt.Sprint(r.Status.Gray.Next.Weight, " ", len(r.Status.Gray.Next.Rules))
}

// Components is for metric.Source.
func (w *world) Components(context.Context) ([]metric.Component, error) {
	r, err := w.guestbook()
	if err != nil {
		return nil, nil
	}
	c := metric.Component{ID: r.ID, Project: r.Project, Name: r.Name, Replicas: 3, MilliCPU: 500, MemoryMiB: 256}
	for _, in := range r.Status.Instances {
		c.Instances = append(c.Instances, metric.Instance{ID: in.ID, Release: in.Release, Ready: in.Phase == "ready"})
	}
	return []metric.Component{c}, nil
}

// Usage is for metric.Source.
func (w *world) Usage(context.Context, id.ID) (metric.Usage, bool) {
	return metric.Usage{MemoryBytes: 64 << 20, StorageBytes: -1}, true
}

// measure makes ten minutes of traffic.
func (w *world) measure(t *testing.T) {
	t.Helper()
	r, err := w.guestbook()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		w.Clock.Add(10 * time.Second)
		for n := range 20 + i%7*10 {
			status := 200
			if n%20 == 0 {
				status = 500
			}
			in := r.Status.Instances[n%2]
			w.metrics.Traffic.Observe(metric.Observation{Component: r.ID, Instance: in.ID, Release: 3, Method: "GET", Status: status, Duration: time.Duration(5+n%40) * time.Millisecond})
		}
		if err := w.metrics.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMeasurementsAreDrawn(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.measure(t)
	w.logIn(t)
	page := w.get(t, "/apps/guestbook/metrics?range=15m").body
	if n := strings.Count(page, `class="series `); n != 7 { // one each, and three percentiles
		t.Errorf("%d lines are drawn", n)
	}
	for _, want := range []string{"all instances", "p99", "As a table", `<td class="num">25</td>`, "most "} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(w.get(t, "/apps/guestbook/metrics?range=15m&by=instance").body, `class="series `); n < 10 {
		t.Errorf("%d lines of the instances", n)
	}
}

func TestAConfigIsEditedWithItsDifferenceInSight(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	page := w.get(t, "/configs/shop.properties").body
	for _, want := range []string{"color=blue", `href="/apps/guestbook"`, "as variables", "Roll back"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	version := func() int {
		r, err := w.Door.Do(t.Context(), w.read(w.Door.KindOf("config/config"), "shop.properties"))
		if err != nil {
			t.Fatal(err)
		}
		return r.Row.(*kind.Row[config.Spec, config.Status]).Status.Version
	}
	post := func(step, text string) answer {
		return w.post(t, "/configs/shop.properties", "/configs/shop.properties", url.Values{"step": {step}, "text": {text}})
	}
	a := post("diff", "color=blue\r\nsize=2\r\n")
	if !strings.Contains(a.body, "size=1") || !strings.Contains(a.body, `diff-line add`) || !strings.Contains(a.body, "Save this") || version() != 2 {
		t.Errorf("the difference is not shown before it is saved (version %d):\n%s", version(), a.body)
	}
	if a = post("diff", "no variable"); a.status != 400 || !strings.Contains(a.body, "line 1 is not NAME=VALUE") || strings.Contains(a.body, "Save this") {
		t.Errorf("a wrong text gives %d", a.status)
	}
	if a = post("save", "color=blue\nsize=2\n"); !strings.Contains(a.body, "Saved as version 3") {
		t.Errorf("saving says:\n%s", a.body)
	}
	if a = w.get(t, "/configs/shop.properties?from=1&to=3"); !strings.Contains(a.body, "color=red") || !strings.Contains(a.body, "diff-line del") {
		t.Error("versions 1 and 3 are not compared")
	}
	if a = w.post(t, "/configs/shop.properties", "/configs/shop.properties/rollback", url.Values{"version": {"1"}}); !strings.Contains(a.body, "color=red") || version() != 4 {
		t.Errorf("roll back leads to version %d", version())
	}
	page = w.get(t, "/apps/guestbook/variables").body
	for _, want := range []string{"config shop.properties", "this app&#39;s secrets", "its port", "GREETING"} {
		if !strings.Contains(page, want) {
			t.Errorf("the variables lack %q", want)
		}
	}
}

func TestRightsAreExplained(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	k := w.Door.KindOf
	w.create(t, k("identity/group"), "devs", `{}`, nil)
	w.create(t, k("identity/user"), "ann", `{"groups":["devs"]}`, nil)
	w.create(t, k("identity/grant"), "", `{"policy":"app-developer","group":"devs","project":"awan-1"}`, nil)
	page := w.get(t, "/k/identity/users/ann").body
	for _, want := range []string{"What ann may do", "app-developer", "by group devs", "project awan-1"} {
		if !strings.Contains(page, want) {
			t.Errorf("the user's page lacks %q", want)
		}
	}
	page = w.get(t, "/simulate?ask=1&user=ann&project=awan-1&actions=app:component:create+identity:user:delete").body
	if !strings.Contains(page, ">allowed<") || !strings.Contains(page, ">denied<") || !strings.Contains(page, "app-developer") {
		t.Errorf("the simulator says:\n%s", page)
	}
	a := w.get(t, "/simulate?ask=1&actions=app:component:create&document="+url.QueryEscape("{\n \"Version\": \"5.0\",\n \"Statement\": [\n  {\"Effect\": \"Alow\", \"Action\": [\"app:*\"]}\n ]\n}"))
	if a.status != 400 || !strings.Contains(a.body, `class="wrong"><span class="quiet num">4<`) {
		t.Errorf("a wrong document gives %d, without its line:\n%s", a.status, a.body)
	}
	a = w.post(t, "/new/identity/policies", "/k/identity/policies", url.Values{"name": {"mine"}, "spec.document": {"{\n \"Version\": \"5.0\",\n oops\n}"}})
	if a.status != 400 || !strings.Contains(a.body, "line 3 is not JSON") || !strings.Contains(a.body, `class="wrong"><span class="quiet num">3<`) {
		t.Errorf("a policy that is no JSON gives %d:\n%s", a.status, a.body)
	}
	var entry ledger.Entry
	for _, e := range w.auditOf(t, ledger.Succeeded) {
		if e.Decision != nil {
			entry = e
		}
	}
	if page = w.get(t, "/audit").body; !strings.Contains(page, "/audit/"+string(entry.ID)+"/why") {
		t.Fatal("the audit log has no link to why")
	}
	if page = w.get(t, "/audit/"+string(entry.ID)+"/why").body; !strings.Contains(page, "Why was this allowed?") || !strings.Contains(page, "Decided by") || !strings.Contains(page, "&#34;Effect&#34;") {
		t.Errorf("why says:\n%s", page)
	}
}

// TestUnusedRightsAreReported: what was used is not listed, and a page that asks what it may offer uses nothing.
func TestUnusedRightsAreReported(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	w.create(t, w.Door.KindOf("identity/user"), "ann", `{}`, nil)
	w.create(t, w.Door.KindOf("identity/grant"), "", `{"policy":"app-developer","user":"ann"}`, nil)
	w.get(t, "/k/identity/users") // its menus ask about everything
	page := w.get(t, "/unused").body
	for _, want := range []string{">ann</a>", "never did anything", "nobody ever used it", ">admin</a>", "<b>identity:agency</b>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if a := w.get(t, "/unused?days=many"); a.status != 400 || !strings.Contains(a.body, "whole number") {
		t.Errorf("no number of days: %d", a.status)
	}
}

// TestTheAuditLogIsCheckedInThePages seals what was done, keeps a checkpoint, and finds out that an entry was changed.
func TestTheAuditLogIsCheckedInThePages(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	sealed := func() string { return w.get(t, "/audit/verify").body }
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(sealed(), "cloud.test/audit/"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is sealed")
		}
	}
	head, _, _, err := w.Door.AuditHead(t.Context(), &call.Call{Principal: w.Root})
	if err != nil {
		t.Fatal(err)
	}
	check := "/audit/verify?check=1&kept=" + url.QueryEscape(strings.ReplaceAll(head.Note, "\n", "\r\n"))
	if page := w.get(t, check).body; !strings.Contains(page, "as it was sealed</span>") || strings.Contains(page, "not as it was") || !strings.Contains(page, "the one you kept") {
		t.Errorf("an honest log: %s", page)
	}
	if a := w.get(t, "/audit/verify?check=1&kept=nonsense"); a.status != 400 || !strings.Contains(a.body, "no checkpoint") {
		t.Errorf("nonsense: %d", a.status)
	}
	_, err = w.Store.Update(t.Context(), func(tx store.Tx) error {
		for key, b := range tx.Scan("audit/", "") {
			return tx.Put(key, []byte(strings.Replace(string(b), "succeeded", "failed", 1)))
		}
		return tx.ScanErr()
	})
	if err != nil {
		t.Fatal(err)
	}
	if page := w.get(t, check).body; !strings.Contains(page, "was changed after it was sealed") {
		t.Errorf("an edited log: %s", page)
	}
}

func TestTheExplorerRunsExamples(t *testing.T) {
	w := start(t)
	w.fill(t)
	w.logIn(t)
	page := w.get(t, "/explorer/test/boxes").body
	for _, want := range []string{"/awan/v1/projects/awan-1/test/boxes/crate", "awan box show crate", "https://cloud.example:7443/awan/v1", "spec.limits.memory"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	run := func(verb, at, body string, more ...string) answer {
		f := url.Values{"verb": {verb}, "at": {at}, "body": {body}}
		for i := 0; i+1 < len(more); i += 2 {
			f.Set(more[i], more[i+1])
		}
		return w.post(t, "/explorer/test/boxes", "/explorer/test/boxes", f)
	}
	const base = "/awan/v1/projects/awan-1/test/boxes"
	if a := run("list", base+"?limit=5", ""); !strings.Contains(a.body, "200 OK") || !strings.Contains(a.body, "&#34;name&#34;: &#34;crate&#34;") {
		t.Errorf("list gives:\n%s", a.body)
	}
	count := func() int {
		r, err := w.Door.Do(t.Context(), &call.Call{Kind: w.box, Verb: call.List, Principal: w.Root})
		if err != nil {
			t.Fatal(err)
		}
		return len(r.Rows)
	}
	if a := run("create", base, `{"name":"second"}`); !strings.Contains(a.body, "Run it?") || count() != 1 {
		t.Errorf("a change is not asked about first (%d boxes)", count())
	}
	if a := run("create", base, `{"name":"second"}`, "confirmed", "yes"); !strings.Contains(a.body, "202 Accepted") || count() != 2 {
		t.Errorf("a confirmed change gives %d boxes", count())
	}
	for _, at := range []string{"https://elsewhere.example" + base, "/awan/v1/domains/awan/identity/users", "/login", base + "/crate/../..", "//elsewhere.example/awan/v1"} {
		if a := run("list", at, ""); a.status != 400 {
			t.Errorf("list of %s gives %d", at, a.status)
		}
	}
}
