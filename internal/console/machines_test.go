package console_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/awancloud/awan/internal/cloud/iaas"
	"github.com/awancloud/awan/internal/console"
	disks "github.com/awancloud/awan/internal/engine/disk/sim"
	wires "github.com/awancloud/awan/internal/engine/fabric/sim"
	makers "github.com/awancloud/awan/internal/engine/image/sim"
	machines "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store/mem"
	"github.com/awancloud/awan/internal/service/compute"
)

// startMachines is a world with servers, networks and disks as the cloud wires them, on simulated engines.
func startMachines(t *testing.T) *world {
	t.Helper()
	w := &world{}
	limits := func(d ledger.Dim) (int64, bool) {
		l, ok := map[ledger.Dim]int64{"compute.cpus": 8, "compute.memory": 8192, "compute.servers": 8}[d]
		return l, ok
	}
	on := mem.New()
	sealer, err := secret.OpenSealer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m, err := iaas.New(iaas.Deps{Store: on, Fabric: wires.New(wires.Options{}), Machine: machines.New(machines.Options{}), Disk: disks.New(disks.Options{}),
		Maker: makers.Maker{Names: []string{"debian", "debian-small"}}, Door: func() *call.Door { return w.Door }, Sealer: sealer, Limits: limits,
		Region: "awan-1", HostName: "here", Dir: t.TempDir(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w.Kernel = kerneltest.StartNow(t, on, limits, m.Kinds()...)
	m.Ident = w.Ident
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	w.NoFactors(t)
	w.Door.Rates = ledger.Rates{Currency: "EUR", Prices: map[ledger.Dim]ledger.Price{"compute.cpus": {Price: 0.012}, "compute.memory": {Price: 0.004, Per: 1024}, "network.public-ips": {Price: 0.004}, "volume.ssd": {Price: 0.0001}}}
	s := httptest.NewTLSServer(console.New(console.Options{Door: w.Door, Now: time.Now, Version: "test", URL: "https://cloud.example:7443", World: m.Networks.World}))
	t.Cleanup(s.Close)
	w.URL, w.client = s.URL, s.Client()
	if w.client.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) kind(t *testing.T, fullName string) *kind.Def {
	t.Helper()
	k := w.Door.KindOf(fullName)
	if k == nil {
		t.Fatalf("there is no kind %s", fullName)
	}
	return k
}

// newServer makes a server and gives the address of its page.
func (w *world) newServer(t *testing.T, name, spec string) (*kind.Row[compute.ServerSpec, compute.ServerStatus], string) {
	t.Helper()
	w.create(t, w.kind(t, "compute/server"), name, spec, nil)
	r, err := w.Door.Do(t.Context(), &call.Call{Kind: w.kind(t, "compute/server"), Verb: call.Get, Target: name, Principal: w.Root})
	if err != nil {
		t.Fatal(err)
	}
	return r.Row.(*kind.Row[compute.ServerSpec, compute.ServerStatus]), "/k/compute/servers/" + string(r.Row.M().ID)
}

// One browser and one cloud serve all of these, one after the other: starting them takes longer than each story.
func TestMachinesInTheBrowser(t *testing.T) {
	b := browse(t, func() *world { return startMachines(t) })
	b.enter(t)
	b.logIn(t) // somebody beside the browser
	for _, story := range []struct {
		name string
		tell func(*testing.T, *browser)
	}{{"a server in three clicks", threeClicks}, {"a server's page", aServersPage}, {"the serial console", theSerialConsole}, {"the screen", theScreen}, {"the picture of a network", thePicture}, {"volumes and images", volumesAndImages}} {
		if !t.Run(story.name, func(t *testing.T) { story.tell(t, b) }) {
			return
		}
	}
}

func aServersPage(t *testing.T, b *browser) {
	_, path := b.newServer(t, "paged", `{"flavor":"s6.small.1","image":"Debian 12","key_pair":"laptop","public_ip":{"bandwidth":5}}`)
	b.create(t, b.kind(t, "volume/volume"), "data", `{"size":3}`, nil)
	b.open(t, path)
	if got := b.text(t, "#power"); got != "running" {
		t.Fatalf("its power is %q", got)
	}
	b.run(t, chromedp.Click("form[action$=attach-volume] .button"))
	b.waitFor(t, `[...document.querySelectorAll("tbody tr")].some(r => r.textContent.includes("vdb") && r.textContent.includes("data") && r.textContent.includes("attached"))`)
	b.looks(t, "server", path)
	b.run(t, chromedp.Click("form[action$=detach-volume] .button"))
	b.waitFor(t, `!document.querySelector("tbody").textContent.includes("vdb")`)
	b.run(t, chromedp.Click(".confirm:has(#press-stop) summary"), chromedp.WaitVisible("#press-stop"), chromedp.Click("#press-stop"))
	b.waitFor(t, `document.querySelector("#power")?.textContent === "stopped" && document.querySelector("#press-start") && document.querySelector("#server-use").textContent.includes("does not run")`)
	b.run(t, chromedp.Click("#press-start"))
	b.waitFor(t, `document.querySelector("#power")?.textContent === "running"`)
}

// looks takes pictures of a page in both themes, wide and on a phone, where somebody wants to see them, and checks that
// nothing sticks out of a phone's window.
func (b *browser) looks(t *testing.T, name, path string) {
	t.Helper()
	b.run(t, chromedp.EmulateViewport(320, 700))
	b.open(t, path)
	if w := b.eval(t, `document.documentElement.scrollWidth`).(float64); w > 320 {
		t.Errorf("%s is %v wide in a window of 320: %v", path, w,
			b.eval(t, `[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > 321).map(e => e.tagName + "." + e.className).slice(0, 6).join(" ")`))
	}
	if os.Getenv("CONSOLE_SHOTS") != "" {
		for _, theme := range []string{"light", "dark"} {
			b.run(t, command(network.SetCookie, network.SetCookieParams{Name: "__Host-awan-theme", Value: theme, URL: b.URL, Secure: ptr(true), Path: "/"}))
			b.shot1(t, path, name+"-wide-"+theme, 1280, 860)
			b.shot1(t, path, name+"-phone-"+theme, 360, 740)
		}
	}
	b.run(t, chromedp.EmulateViewport(1280, 860))
	b.open(t, path)
}

func theSerialConsole(t *testing.T, b *browser) {
	_, path := b.newServer(t, "serial", `{"flavor":"s6.small.1","image":"Debian 12"}`)
	b.open(t, path+"?screen=serial")
	b.waitFor(t, `location.search === "?screen=serial" && document.querySelector("#serial-state").textContent === "connected"`)
	b.run(t, chromedp.KeyEvent("echo hello"), chromedp.KeyEvent(kb.Enter))
	b.waitFor(t, `document.querySelector("#serial pre").textContent.includes("echo hello")`)
	b.eval(t, `document.querySelector("#serial").blur()`)
	b.looks(t, "serial", path+"?screen=serial")
	b.waitFor(t, `document.querySelector("#serial-state").textContent === "connected"`)
	if a := b.post(t, path, path+"/actions/stop", url.Values{"in.hard": {"true"}}); a.status != 200 {
		t.Fatalf("stop gives %d", a.status)
	}
	b.waitFor(t, `document.querySelector("#serial-state").textContent !== "connected"`)
	b.waitFor(t, stopped("serial"))
}

// stopped asks again until the page says that the server does not run: the line may break before the row knows.
func stopped(what string) string {
	return fmt.Sprintf(`(() => { const again = document.querySelector("#%[1]s-again"); if (document.querySelector("#%[1]s-state").textContent.includes("does not run")) return true;
		if (!again.hidden) again.click(); return false })()`, what)
}

// The simulated screen takes the colour of the last three keys.
func theScreen(t *testing.T, b *browser) {
	row, path := b.newServer(t, "screen", `{"flavor":"s6.small.1","image":"Debian 12"}`)
	b.open(t, "/projects/"+string(b.Admin.ProjectID)+"/compute/servers/"+string(row.ID)+"?screen=vnc") // where other clouds' clients send people
	colour := func(want string) string {
		return `(() => { const c = document.querySelector("#vnc canvas"); return c && c.width && c.getContext("2d").getImageData(1, 1, 1, 1).data.join() === "` + want + `,255" })()`
	}
	b.waitFor(t, `document.querySelector("#vnc-state").textContent === "connected"`)
	b.waitFor(t, colour("32,32,32"))
	b.run(t, chromedp.KeyEvent("abc"))
	b.waitFor(t, colour("97,98,99"))
	b.run(t, chromedp.SendKeys("#vnc-line", "B"+kb.Enter)) // a capital comes with its shift key, a line with its end
	b.waitFor(t, colour("225,66,13"))
	b.looks(t, "screen", path+"?screen=vnc")
	b.waitFor(t, `document.querySelector("#vnc-state").textContent === "connected"`)
	if a := b.post(t, path, path+"/actions/stop", url.Values{"in.hard": {"true"}}); a.status != 200 {
		t.Fatalf("stop gives %d", a.status)
	}
	b.waitFor(t, `!document.querySelector("#vnc-again").hidden`)
	b.waitFor(t, stopped("vnc"))
}

// A person without anything: a key pair first, then a server with what is chosen already.
func threeClicks(t *testing.T, b *browser) {
	b.open(t, "/k/compute/servers")
	b.run(t, chromedp.Click("a.button.primary[href='/new/compute/servers']"), chromedp.WaitVisible("#first-key a.primary"))
	b.looks(t, "wizard-first", "/new/compute/servers")
	b.run(t, chromedp.Click("#first-key a.primary"), chromedp.WaitVisible("#f-name"), chromedp.SendKeys("#f-name", "laptop"), chromedp.Click(".form-end .primary"),
		chromedp.WaitVisible(".once"), chromedp.Click("a.button[href='/new/compute/servers']"), chromedp.WaitVisible("#create-server"))
	if got := b.eval(t, `document.querySelectorAll("#first-key").length + document.querySelector("#w-key").value + [...document.querySelectorAll(".choice :checked")].length`); got != "0laptop2" {
		t.Errorf("the form begins as %q", got)
	}
	if got := b.text(t, ".flavors .choice"); !strings.Contains(got, "1 vCPU") || !strings.Contains(got, "vCPU: 1 of 8 then used") {
		t.Errorf("the smallest size says %q", got)
	}
	if got := b.text(t, ".flavors .choice .price"); got != "0.013 EUR per hour" {
		t.Errorf("the smallest size costs %q", got)
	}
	if got := b.text(t, ".wizard"); !strings.Contains(got, "a public address 0.004") || !strings.Contains(got, "a GiB of SSD 0.0001") {
		t.Errorf("nothing says what disks and addresses cost: %q", got)
	}
	if got := b.eval(t, `[...document.querySelectorAll(".flavors .choice:has(:disabled)")].length > 0 && document.querySelector(".refused").textContent`); got == false || !strings.Contains(got.(string), "the quota has") {
		t.Errorf("what the quota does not hold says %q", got)
	}
	b.looks(t, "wizard", "/new/compute/servers")
	b.run(t, chromedp.Click("#create-server"))
	b.waitFor(t, `document.querySelector("h1")?.textContent === "server-1" && document.querySelector("#power")?.textContent === "running"`)

	// what is wrong is said beside its field, and what was chosen stays
	a := b.post(t, "/new/compute/servers", "/new/compute/servers", url.Values{"image": {"Debian 12"}, "flavor": {"s6.small.1"}, "key_pair": {"laptop"}, "name": {"two"},
		"root_size": {"1"}, "disk_size_0": {"5"}, "public": {"true"}, "bandwidth": {"lots"}, "user_data": {"#!/bin/sh\r\necho hi"}})
	if a.status != 400 || !strings.Contains(a.body, `&#34;lots&#34; is not a whole number`) || !strings.Contains(a.body, "echo hi") || !strings.Contains(a.body, `value="two"`) {
		t.Errorf("a wrong bandwidth gives %d", a.status)
	}
	for _, c := range []struct {
		field, value string
		after, says  string
	}{{"image", "nothing like it", "Image</legend>", "there is no image"}, {"flavor", "huge", "Size</legend>", "flavour"}, {"key_pair", "gone", "Key pair</label>", "there is no key pair"},
		{"root_size", "1", "Disk it boots from", "needs"}} {
		form := url.Values{"image": {"Debian 12"}, "flavor": {"s6.small.1"}, "key_pair": {"laptop"}, c.field: {c.value}}
		a := b.post(t, "/new/compute/servers", "/new/compute/servers", form)
		_, rest, _ := strings.Cut(a.body, c.after)
		rest, _, _ = strings.Cut(rest, "<legend>")
		if _, e, found := strings.Cut(rest, `class="field-error"`); a.status < 400 || !found || !strings.Contains(e, c.says) {
			t.Errorf("%s=%s gives %d, and not %q beside it", c.field, c.value, a.status, c.says)
		}
	}
}

// A web server that the world may see and a database that only the web server may: the picture says so, and by keyboard.
func thePicture(t *testing.T, b *browser) {
	group, rule := b.kind(t, "network/security-group"), b.kind(t, "network/security-rule")
	b.create(t, group, "web", `{}`, nil)
	b.create(t, group, "db", `{"bare":true}`, nil)
	b.create(t, rule, "", `{"group":"web","protocol":"tcp","ports":"80,443"}`, nil)
	b.create(t, rule, "", `{"group":"db","protocol":"tcp","ports":"5432","remote_group":"web"}`, nil)
	b.create(t, b.kind(t, "network/vpc"), "shop", `{"cidr":"10.1.0.0/16"}`, nil)
	b.create(t, b.kind(t, "network/subnet"), "front", `{"vpc":"shop","cidr":"10.1.1.0/24"}`, nil)
	b.create(t, b.kind(t, "network/subnet"), "back", `{"vpc":"shop","cidr":"10.1.2.0/24"}`, nil)
	web, _ := b.newServer(t, "web", `{"flavor":"s6.small.1","image":"Debian 12","networks":[{"subnet":"front"}],"groups":["web"],"public_ip":{"bandwidth":5}}`)
	db, _ := b.newServer(t, "db", `{"flavor":"s6.small.1","image":"Debian 12","networks":[{"subnet":"back"}],"groups":["db"]}`)
	path := "/k/network/vpcs/" + string(web.Status.Cards[0].VPC)
	b.open(t, path)
	b.run(t, chromedp.Click("a[href$='/picture']"), chromedp.WaitVisible("svg.picture"))
	from := func(server *kind.Row[compute.ServerSpec, compute.ServerStatus]) string {
		return path + "/picture?from=" + string(server.Status.Cards[0].Port)
	}
	for _, c := range []struct {
		page, other string
		sends, gets string
	}{{from(web), "db", "TCP 5432", "nothing"}, {from(web), "Outside", "all TCP; all UDP; ping", "TCP 80, 443 at " + web.Status.PublicIP},
		{from(db), "web", "nothing", "TCP 5432"}, {from(db), "Outside", "nothing", "nothing"}} {
		b.open(t, c.page)
		cell := func(n int) string {
			return b.eval(t, `[...document.querySelectorAll("#reach tbody tr")].find(r => r.cells[0].textContent.startsWith("`+c.other+`")).cells[`+strconv.Itoa(n)+`].textContent`).(string)
		}
		if s, g := cell(2), cell(3); !strings.HasPrefix(s, c.sends) || !strings.HasPrefix(g, c.gets) {
			t.Errorf("%s and %s: sends %q, want %q; gets %q, want %q", c.page, c.other, s, c.sends, g, c.gets)
		}
	}
	b.looks(t, "picture", from(web))
	b.eval(t, `document.querySelectorAll(".pic-node:not(.chosen)")[0].focus()`) // as the Tab key does
	b.run(t, chromedp.KeyEvent(kb.Enter))
	b.waitFor(t, `document.querySelector("#picture-title")?.textContent === "From db" && document.querySelectorAll(".pic-link.from").length === 1 && document.querySelectorAll(".pic-link.to").length === 0`)
	b.run(t, chromedp.EmulateViewport(360, 740))
	b.waitFor(t, `getComputedStyle(document.querySelector(".picture-card")).display === "none" && document.querySelector("#reach")`)
}

// A disk finds its server from its own page, and an image gets its content in the browser.
func volumesAndImages(t *testing.T, b *browser) {
	b.newServer(t, "a-disks-server", `{"flavor":"s6.small.1","image":"Debian 12"}`)
	v := b.create(t, b.kind(t, "volume/volume"), "more", `{"size":3}`, nil)
	own := b.create(t, b.kind(t, "image/image"), "own", `{}`, nil)
	path := "/k/volume/volumes/" + string(v.M().ID)
	b.open(t, path)
	b.looks(t, "volume", path)
	b.eval(t, `(() => { const s = document.querySelector("#attachment select"); s.value = [...s.options].find(o => o.text.startsWith("a-disks-server")).value; })()`)
	b.run(t, chromedp.Click("#attachment .button"))
	b.waitFor(t, `document.querySelector("#attachment")?.textContent.includes("vdb") && document.querySelector("#attachment a").textContent === "a-disks-server"`)
	b.waitIdleServers(t)
	b.run(t, chromedp.Click("#attachment .button"))
	b.waitFor(t, `document.querySelector(".flash")?.textContent.includes("being detached")`)
	b.waitIdleServers(t)
	b.open(t, path)
	b.waitFor(t, `document.querySelector("#attachment select")`)

	path = "/k/image/images/" + string(own.M().ID)
	b.open(t, path)
	b.run(t, chromedp.Click("#image-send"))
	b.waitFor(t, `document.querySelector("#image-state").textContent.includes("Choose a file first")`)
	b.looks(t, "image", path)
	choose := func(content string) {
		b.eval(t, `(() => { const d = new DataTransfer(); d.items.add(new File([`+content+`], "disk.img")); document.getElementById("image-file").files = d.files; })()`)
		b.run(t, chromedp.Click("#image-send"))
	}
	choose(`""`)
	b.waitFor(t, `document.querySelector("#image-state.field-error")?.textContent`) // what is wrong with it, and it may be sent again
	choose(`new Uint8Array(1 << 20).fill(7)`)
	b.waitFor(t, `!document.querySelector("#image-upload") && document.querySelector("main").textContent.includes("active")`)
	r, err := http.NewRequestWithContext(t.Context(), "PUT", b.URL+path+"/upload", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Csrf", "forged")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if a := b.send(t, r); a.status != http.StatusForbidden {
		t.Errorf("a forged upload gives %d", a.status)
	}
}

// waitIdleServers waits until no server is busy.
func (b *browser) waitIdleServers(t *testing.T) {
	t.Helper()
	for {
		r, err := b.Door.Do(t.Context(), &call.Call{Kind: b.kind(t, "compute/server"), Verb: call.List, Principal: b.Root})
		if err != nil {
			t.Fatal(err)
		}
		busy := ""
		for _, row := range r.Rows {
			busy += string(row.M().Job)
		}
		if busy == "" {
			return
		}
		if _, err := b.Door.WaitJob(t.Context(), r.Rows[0].M().Job); err != nil {
			t.Fatal(err)
		}
	}
}
