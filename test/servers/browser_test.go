package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/test/cloudtest"
)

// TestARealSystemInTheBrowser starts a server on a real machine and works at its serial console and before its screen as a
// person does, in Chromium. Without KVM its start takes minutes.
func TestARealSystemInTheBrowser(t *testing.T) {
	if os.Getenv("AWAN_LONG") == "" {
		t.Skip("a real system starts, in minutes without KVM: AWAN_LONG=1 runs it")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("qemu-system-x86 is not installed")
	}
	p := cloudtest.New(t, cloudtest.Binary(t, t.TempDir()), filepath.Join(t.TempDir(), "data"))
	p.Start()
	c := p.Admin()
	c.Do("PATCH", "/domains/-/identity/security-policies/rules", map[string]any{"spec": map[string]any{"mfa": "off"}}, nil) // log-ins have tests of their own
	const password = "open-Sesame-42"
	c.Must("POST", "/projects/-/compute/servers", map[string]any{"name": "desk", "spec": map[string]any{
		"flavor": "t6.nano.1", "image": "Debian 12 small", "password": password}})
	var made struct {
		Resource struct{ ID string }
	}
	c.Do("GET", "/projects/-/compute/servers/desk", nil, &made)
	at := c.URL + "/projects/" + c.Project + "/compute/servers/" + made.Resource.ID + "?screen="

	env, err := adminenv.Read(filepath.Join(p.Data, adminenv.File))
	if err != nil {
		t.Fatal(err)
	}
	b := openChromium(t, chromium)
	b.do(chromedp.Navigate(c.URL+"/login"), chromedp.SendKeys("#domain", env[adminenv.Domain]), chromedp.SendKeys("#user", env[adminenv.User]),
		chromedp.SendKeys("#password", env[adminenv.Password]+kb.Enter), chromedp.WaitVisible("nav.side"))

	b.do(chromedp.Navigate(at + "serial"))
	b.until("the serial console is connected", `document.querySelector("#serial-state").textContent === "connected"`)
	written := func(s string) string {
		return fmt.Sprintf(`document.querySelector("#serial pre").textContent.includes(%q)`, s)
	}
	say := func(s string) { b.do(chromedp.SendKeys("#serial-line", s+kb.Enter)) }
	b.until("the system asks who is there", written("login:"))
	say("debian")
	b.until("it asks for the password", written("Password:"))
	say(password)
	b.until("there is a shell", `/[$#] *$/.test(document.querySelector("#serial pre").textContent.trimEnd())`)
	say("echo six-times-seven-$((6*7))")
	b.until("the shell answers", written("six-times-seven-42"))

	b.do(chromedp.Navigate(at + "vnc"))
	b.until("the screen is connected", `document.querySelector("#vnc-state").textContent === "connected"`)
	b.until("the screen shows something", `(() => { const c = document.querySelector("#vnc canvas"); if (!c || !c.width) return false;
		const d = new Uint32Array(c.getContext("2d").getImageData(0, 0, c.width, c.height).data.buffer); return d.some((x) => x !== d[0]) })()`)
	b.do(chromedp.SendKeys("#vnc-line", "x"+kb.Enter))

	c.Do("POST", "/projects/-/compute/servers/desk/actions/stop", map[string]any{}, nil)
	b.until("the page says that the screen went", `document.querySelector("#vnc-state").textContent !== "connected"`)
}

// chromium is a browser whose steps a test waits for.
type chromium struct {
	t   *testing.T
	ctx context.Context
}

func openChromium(t *testing.T, bin string) *chromium {
	t.Helper()
	alloc, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(bin), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.IgnoreCertErrors, chromedp.WindowSize(1280, 860))...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return &chromium{t, ctx}
}

func (b *chromium) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	for i, s := range steps {
		ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
		err := chromedp.Do(ctx, s)
		cancel()
		if err != nil {
			b.t.Fatalf("step %d of %d: %v", i+1, len(steps), err)
		}
	}
}

// until waits for a condition of the page.
func (b *chromium) until(what, js string) {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Minute); ; time.Sleep(500 * time.Millisecond) {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](js))
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			page, _ := chromedp.Run(b.ctx, chromedp.Text("#main"))
			b.t.Fatalf("it never came to be that %s (%v); the page:\n%s", what, err, page)
		}
	}
}
