package console_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// browser is a headless Chromium on the console of a world. What it complains about fails the test: a policy that was
// broken, a script that failed, a thing loaded from elsewhere.
type browser struct {
	*world
	ctx   context.Context
	shots string // where screenshots go

	readers  sync.WaitGroup
	mu       sync.Mutex
	problems []string
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	b := openGated(t)
	close(b.gate)
	return b
}

func openGated(t *testing.T) *browser {
	t.Helper()
	return browse(t, func() *world {
		w := startGated(t)
		w.fill(t)
		return w
	})
}

// browse opens a browser on a world.
func browse(t *testing.T, start func() *world) *browser {
	t.Helper()
	bin, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	b := &browser{world: start(), shots: os.Getenv("CONSOLE_SHOTS")}
	if b.shots == "" {
		b.shots = t.TempDir()
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(bin), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.IgnoreCertErrors,
		chromedp.Flag("disable-component-update", true),
		chromedp.WindowSize(1280, 860))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	b.ctx = ctx
	if err := chromedp.Do(ctx); err != nil { // starts it; the deadline is for what follows
		t.Fatal(err)
	}
	var end context.CancelFunc
	b.ctx, end = context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(end)
	problem := func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.problems = append(b.problems, fmt.Sprintf(format, args...))
	}
	said, sent := chromedp.Console(b.ctx), chromedp.Events(b.ctx, network.RequestWillBeSent)
	b.run(t, command(network.Enable, network.EnableParams{}))
	b.readers.Go(func() {
		for m, err := range said {
			if err != nil {
				return
			}
			if (m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleException) && !strings.Contains(m.Text, "status of 40") && !strings.Contains(m.Text, networkChanged) {
				problem("%s", m.Text)
			}
		}
	})
	b.readers.Go(func() {
		for e, err := range sent {
			if err != nil {
				return
			}
			if u := e.Request.URL; !strings.HasPrefix(u, b.URL) && !strings.HasPrefix(u, "data:") && u != "about:blank" {
				problem("loaded %s", u)
			}
		}
	})
	t.Cleanup(func() {
		end()
		b.readers.Wait()
		for _, p := range b.problems {
			t.Errorf("the browser says: %s", p)
		}
	})
	return b
}

// command makes a step of a protocol command.
func command[P, R any](cmd cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, cmd, params)
		return chromedp.Void{}, err
	}
}

func (b *browser) run(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	for i, s := range steps {
		ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
		err := chromedp.Do(ctx, s)
		cancel()
		if err != nil {
			b.shot(t, "failed")
			t.Fatalf("step %d of %d: %v", i+1, len(steps), err)
		}
	}
}

// clear empties an input. (In a real browser "/" does not reach the box that it puts the focus on; the key event of the
// protocol does.)
func (b *browser) clear(sel string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Run(ctx, chromedp.Evaluate[any](fmt.Sprintf(`document.querySelector(%q).value = ""`, sel)))
		return chromedp.Void{}, err
	}
}

func (b *browser) open(t *testing.T, path string) {
	t.Helper()
	b.run(t, navigate(b.URL+path))
}

// navigate tries again when another program changed this machine's network meanwhile, which makes Chromium give up.
func navigate(url string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (v chromedp.Void, err error) {
		for range 10 {
			if v, err = chromedp.Navigate(url)(ctx, t); err == nil || !strings.Contains(err.Error(), networkChanged) {
				return v, err
			}
		}
		return v, err
	}
}

const networkChanged = "ERR_NETWORK_CHANGED"

func (b *browser) eval(t *testing.T, js string) any {
	t.Helper()
	out, err := chromedp.Run(b.ctx, chromedp.Evaluate[any](js))
	if err != nil {
		t.Fatalf("%s: %v", js, err)
	}
	return out
}

func (b *browser) text(t *testing.T, sel string) string {
	t.Helper()
	out, err := chromedp.Run(b.ctx, chromedp.Text(sel))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// waitFor waits until the JavaScript condition holds. The library's own waiting needs eval, which the pages' policy forbids.
func (b *browser) waitFor(t *testing.T, js string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(20 * time.Second)
	for {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+js+")"))
		if ok && err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			b.shot(t, "failed")
			t.Fatalf("waiting for %s: %v", js, err)
		}
	}
}

func (b *browser) shot(t *testing.T, name string) {
	t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.shots, name+".png"), png, 0o600); err != nil {
		t.Fatal(err)
	}
}

// enter logs in with the keyboard alone.
func (b *browser) enter(t *testing.T) {
	t.Helper()
	b.open(t, "/login")
	b.waitFor(t, `document.activeElement && document.activeElement.id === "domain"`)
	b.run(t, chromedp.KeyEvent(b.Admin.Domain), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(b.Admin.User), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(b.Admin.Password), chromedp.KeyEvent(kb.Enter),
		chromedp.WaitVisible("nav.side"))
}

func TestBrowserByKeyboardAlone(t *testing.T) {
	b := openBrowser(t)
	b.enter(t)
	b.run(t, chromedp.KeyEvent(kb.Tab))
	if got := b.eval(t, `document.activeElement.className`); got != "skip" {
		t.Errorf("the first stop is %v, not the link to the content", got)
	}
	b.run(t, chromedp.KeyEvent(kb.Enter))
	b.waitFor(t, `document.activeElement.id === "main"`)
	b.open(t, "/k/test/boxes")
	b.run(t, chromedp.KeyEvent("/"))
	b.waitFor(t, `document.activeElement.name === "name"`)
	b.run(t, b.clear("input[name=name]"), chromedp.KeyEvent("nothing-like-it"), chromedp.KeyEvent(kb.Enter))
	b.waitFor(t, `document.body.textContent.includes("Nothing matches")`)
	for range 45 { // every stop of the Tab key shows that it has the focus
		b.run(t, chromedp.KeyEvent(kb.Tab))
		if bare := b.eval(t, `(() => { const e = document.activeElement, s = getComputedStyle(e); return e === document.body || s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 || e.type === "checkbox" ? "" : e.outerHTML.slice(0, 80) })()`); bare != "" {
			t.Errorf("this does not show that it has the focus: %v", bare)
		}
	}
	unnamed := b.eval(t, `[...document.querySelectorAll("button, a, input:not([type=hidden]), select")].filter(e => !e.textContent.trim() && !e.getAttribute("aria-label") && !e.title && !(e.labels && e.labels.length)).map(e => e.outerHTML.slice(0, 80)).join("\n")`)
	if unnamed != "" {
		t.Errorf("these have no name:\n%v", unnamed)
	}
}

func TestBrowserCreatesThroughADerivedForm(t *testing.T) {
	b := openBrowser(t)
	b.enter(t)
	b.open(t, "/new/test/boxes")
	rows := b.eval(t, `document.querySelectorAll("#f-spec-env .map-row").length`).(float64)
	b.run(t, chromedp.SendKeys("#f-name", "crate"), b.clear("#f-spec-size"), chromedp.SendKeys("#f-spec-size", "50"), chromedp.Click("#f-spec-env .more"))
	b.waitFor(t, fmt.Sprintf(`document.querySelectorAll("#f-spec-env .map-row").length === %d`, int(rows)+1))
	b.run(t, chromedp.SendKeys("#f-spec-env .map-row:nth-last-of-type(1) input", "COLOUR"), chromedp.SendKeys("#f-spec-env .map-row:nth-last-of-type(1) input:nth-of-type(2)", "grün"),
		chromedp.Click(".form-end .primary"), chromedp.WaitVisible("#f-name-err"))
	if e := b.text(t, "#f-name-err"); !strings.Contains(e, "is there already") {
		t.Errorf("the field says %q", e)
	}
	if v := b.eval(t, `document.querySelector("#f-spec-size").value + " " + document.querySelector("#f-name").getAttribute("aria-invalid") + " " + [...document.querySelectorAll("#f-spec-env input:not([type=checkbox])")].map(i => i.value).join("")`); v != "50 true COLOURgrün" {
		t.Errorf("the form kept %q", v)
	}
	b.shot(t, "field-error")
	b.run(t, chromedp.SetValue("#f-name", "made-here"), chromedp.Click(".form-end .primary"), chromedp.WaitVisible(".once"))
	if !strings.Contains(b.text(t, ".once"), "key-shown-once") {
		t.Error("the key is not shown")
	}
	b.shot(t, "once")
	b.run(t, chromedp.Click("main .button.primary"), chromedp.WaitVisible("#row-state"))
	b.run(t, chromedp.Click(".card.danger summary"), chromedp.WaitVisible(".confirm-body"), chromedp.Click(".confirm-body .button"))
	b.waitFor(t, `document.querySelector(".flash")?.textContent.includes("in the trash")`)
}

func TestBrowserSeesAnAppLive(t *testing.T) {
	b := openBrowser(t)
	b.enter(t)
	b.open(t, "/apps/guestbook")
	if got := b.text(t, "#app-head"); !strings.Contains(got, "2 of 3 ready") {
		t.Fatalf("the head says %q", got)
	}
	b.eval(t, `window.same = document.querySelector(".tabs")`)
	_, err := b.Store.Update(b.ctx, func(tx store.Tx) error {
		old, err := b.app.Find(tx, string(b.Admin.ProjectID), "guestbook")
		if err != nil {
			return err
		}
		row := b.app.Clone(old).(*componentRow)
		row.Status.Ready = 3
		row.Status.Instances[2].Phase, row.Status.Instances[2].ID = "ready", id.New()
		return b.app.Put(tx, old, row)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.waitFor(t, `document.querySelector("#app-head").textContent.includes("3 of 3 ready") && document.querySelectorAll("#instances .badge.good").length === 3`)
	if b.eval(t, `window.same === document.querySelector(".tabs")`) != true {
		t.Error("the whole page was loaded again")
	}
	b.open(t, "/apps/guestbook/logs")
	b.waitFor(t, `document.querySelectorAll("#log .line").length === 40 && document.querySelector("#log-state").textContent === "live"`)
	if b.eval(t, `document.querySelectorAll("#log script").length`) != 0.0 {
		t.Error("a line of the log became part of the page")
	}
	b.shot(t, "logs")
	b.run(t, chromedp.KeyEvent("/"), b.clear("#log-search"), chromedp.KeyEvent("page=77 "))
	b.waitFor(t, `[...document.querySelectorAll("#log .line")].filter(l => l.offsetParent).length === 1`)
	b.run(t, chromedp.Click("#log-pause"))
	b.waitFor(t, `document.querySelector("#log-pause").getAttribute("aria-pressed") === "true"`)
}

func TestBrowserSeesARunningOperation(t *testing.T) {
	b := openGated(t)
	b.enter(t)
	b.open(t, "/apps/guestbook")
	b.run(t, chromedp.Click("#press-restart"))
	b.waitFor(t, `document.querySelector("#app-job .steps .now")?.textContent.includes("roll") && !document.querySelector("#press-restart")`)
	b.waitFor(t, `document.querySelector("#app-job .note")?.textContent === "waiting for 1 of 3 instances"`)
	b.shot(t, "running")
	close(b.gate)
	b.waitFor(t, `!document.querySelector("#app-job .steps") && document.querySelector("#press-restart")`)
}

// Without scripts everything but what is live works.
func TestBrowserWithoutScripts(t *testing.T) {
	b := openBrowser(t)
	b.run(t, command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	b.open(t, "/login")
	b.run(t, chromedp.SendKeys("#domain", b.Admin.Domain), chromedp.SendKeys("#user", b.Admin.User), chromedp.SendKeys("#password", b.Admin.Password+kb.Enter), chromedp.WaitVisible("nav.side"))
	b.open(t, "/new/identity/groups")
	b.run(t, chromedp.SendKeys("#f-name", "writers"), chromedp.SendKeys("#f-spec-description", "they write"), chromedp.Click(".form-end .primary"), chromedp.WaitVisible("#row-state"))
	b.run(t, chromedp.Click(".card.danger summary"), chromedp.WaitVisible(".confirm-body"), chromedp.Click(".confirm-body .button"))
	b.waitFor(t, `document.querySelector(".flash")?.textContent.includes("writers was deleted")`)
}

// Every page at the width of a small phone and of a desk, in both themes: nothing sticks out of the window sideways.
func TestBrowserEveryPageFitsEveryWindow(t *testing.T) {
	b := openBrowser(t)
	b.measure(t)
	b.beginGray(t)
	b.shot1(t, "/login", "login", 1280, 860)
	b.enter(t)
	b.logIn(t)
	var pages []string
	pages = append(pages, b.everyPage(t)...)
	pages = append(pages, "/no/such/page")
	for _, size := range [][2]int64{{320, 700}, {768, 1024}} {
		b.run(t, chromedp.EmulateViewport(size[0], size[1]))
		for _, p := range pages {
			derived := strings.HasPrefix(p, "/k/") || strings.HasPrefix(p, "/new/")
			if derived && !strings.Contains(p, "/test/") && (size[0] > 320 || strings.Contains(p, "zz")) {
				continue // derived pages are alike: the boxes stand for them
			}
			b.open(t, p)
			// open every part that can be opened, for its content must fit too
			b.eval(t, `document.querySelectorAll("main details").forEach(d => d.open = true)`)
			if w := b.eval(t, `document.documentElement.scrollWidth`).(float64); int64(w) > size[0] {
				worst := b.eval(t, fmt.Sprintf(`[...document.querySelectorAll("main *, .top *")].filter(e => e.getBoundingClientRect().right > %d + 1).map(e => e.tagName + "." + e.className).slice(0, 6).join(" ")`, size[0]))
				t.Errorf("%s is %v wide in a window of %d: %v", p, w, size[0], worst)
			}
		}
	}
	if os.Getenv("CONSOLE_SHOTS") == "" {
		return
	}
	pages = slices.DeleteFunc(pages, func(p string) bool {
		return strings.HasPrefix(p, "/k/identity/") && strings.Count(p, "/") != 4 || strings.Contains(p, "zz")
	})
	for _, theme := range []string{"light", "dark"} {
		b.run(t, command(network.SetCookie, network.SetCookieParams{Name: "__Host-awan-theme", Value: theme, URL: b.URL, Secure: ptr(true), Path: "/"}))
		for _, p := range pages {
			name := strings.NewReplacer("/", "_", "?", "_", "&", "_").Replace(p)
			if len(name) > 50 {
				name = name[:30] + name[len(name)-8:]
			}
			b.shot1(t, p, fmt.Sprintf("%s-wide%s", theme, name), 1280, 860)
			b.shot1(t, p, fmt.Sprintf("%s-phone%s", theme, name), 360, 740)
		}
	}
}

func (b *browser) shot1(t *testing.T, path, name string, w, h int64) {
	t.Helper()
	b.run(t, chromedp.EmulateViewport(w, h))
	b.open(t, path)
	b.shot(t, name)
}

// The three clicks of the tour, and a folder chosen in a real browser.
func TestBrowserDeploys(t *testing.T) {
	b := openBrowser(t)
	b.enter(t)
	b.open(t, "/deploy?from=template")
	b.run(t, chromedp.Click(".starter[href*=go]"), chromedp.WaitVisible("#deploy-now"), chromedp.Click("#deploy-now"), chromedp.WaitVisible("#arrived"))
	b.waitFor(t, `location.pathname === "/apps/hello-go/build" && document.querySelector("#arrived .done")`)
	b.uploaded.Reset()
	b.open(t, "/deploy?from=upload")
	b.eval(t, `(() => { // as when somebody drops it: a dropped archive names the app and is what is sent
		const drop = new DataTransfer();
		drop.items.add(new File(["zip"], "My Shop.zip"));
		document.getElementById("drop-zone").dispatchEvent(new DragEvent("drop", { dataTransfer: drop, bubbles: true, cancelable: true }));
	})()`)
	b.waitFor(t, `document.getElementById("f-name").value === "my-shop" && document.getElementById("drop-state").textContent.includes("My Shop.zip: 1 file")`)
	b.shot(t, "dropped")
	b.run(t, chromedp.Click("#deploy-now"))
	b.waitFor(t, `location.pathname === "/apps/my-shop/build"`)
	if b.uploaded.String() != "zip" {
		t.Errorf("uploaded %q", b.uploaded)
	}
	b.open(t, "/deploy?from=upload") // what is wrong is shown without losing the page
	b.run(t, chromedp.SendKeys("#f-name", "other"), chromedp.Click("#deploy-now"))
	b.waitFor(t, `document.querySelector("#drop-zone .field-error")?.textContent.includes("choose a folder") && document.getElementById("f-name").value === "other"`)
}
