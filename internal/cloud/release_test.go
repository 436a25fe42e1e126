package cloud

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/engine/workload/sim"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
	"github.com/awancloud/awan/internal/service/workload"
)

// anyImage finds every image by its name; one digest each.
type anyImage struct{}

func (anyImage) Build(context.Context, build.Request, build.Progress) (build.Output, error) {
	return build.Output{}, fail.New(fail.Unsupported, "no builds here")
}

func (anyImage) Resolve(_ context.Context, _ id.ID, image string) (string, error) {
	return image + "@sha256:" + strings.Repeat("0", 64), nil
}

var simPorts atomic.Uint32

// simPort is where a simulated engine's instances listen: each engine of the machine has a port of its own, for the addresses
// are the same.
func simPort() uint16 { return uint16(20000 + uint32(os.Getpid())%200*100 + simPorts.Add(1)) }

// simWorld is what outlives a simulated cloud's process.
type simWorld struct {
	engine *sim.Engine
	port   uint16
	dir    string
}

// keptEngine is not closed with the cloud, for instances outlive it.
type keptEngine struct{ *sim.Engine }

func (keptEngine) Close() error { return nil }

// openSim starts a cloud on a simulated engine. An instance answers with the tag of its image; one tagged bad-… with
// status 500, one tagged slow-… after 30 ms.
func openSim(t *testing.T) (*client, *simWorld) {
	t.Helper()
	t.Parallel()
	w := &simWorld{dir: t.TempDir(), port: simPort()}
	w.engine = sim.New(sim.Options{Port: w.port, Handler: func(_ id.ID, want workload.Want) http.Handler {
		image, _, _ := strings.Cut(want.Image, "@")
		_, tag, _ := strings.Cut(image, ":")
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasPrefix(tag, "bad"):
				rw.WriteHeader(http.StatusInternalServerError)
			case strings.HasPrefix(tag, "slow"):
				time.Sleep(30 * time.Millisecond) // it is what a slow program does
			}
			_, _ = io.WriteString(rw, tag)
			if lane := r.Header.Get("X-Awan-Lane"); lane != "" {
				_, _ = io.WriteString(rw, " in "+lane)
			}
		})
	}, Program: func(want workload.Want) []sim.Step {
		if len(want.Command) > 0 && want.Command[0] == "migrate" {
			code := 0
			if len(want.Command) > 1 {
				code = 3
			}
			return []sim.Step{{Out: "migrating " + want.Env["DB"]}, {Exit: &code}}
		}
		return []sim.Step{{Forever: true}}
	}, Exec: func(_ context.Context, _ id.ID, _ workload.Want, x workload.Exec) (int, error) {
		fmt.Fprintln(x.Stdout, strings.Join(x.Command, " "))
		if x.Command[0] == "false" {
			return 1, nil
		}
		return 0, nil
	}})
	t.Cleanup(func() { _ = w.engine.Close() })
	return w.open(t), w
}

func (w *simWorld) open(t testing.TB) *client {
	t.Helper()
	return openOn(t, w.dir, func(context.Context, *Cloud) (Engines, error) {
		return Engines{Workload: keptEngine{w.engine}, Builder: anyImage{}}, nil
	})
}

type m = map[string]any

// deploy creates or changes an app so that it runs the image with the tag.
func (c *client) deploy(name, tag string, more m) jobView {
	c.t.Helper()
	spec := m{"source": m{"image": "library/" + name + ":" + tag}}
	for k, v := range more {
		spec[k] = v
	}
	var rows struct{ Items []component }
	c.do("GET", components+"?name="+name, nil, &rows)
	if !slices.ContainsFunc(rows.Items, func(r component) bool { return r.Name == name }) { // the filter takes a part of a name
		return c.finish("POST", components, m{"name": name, "spec": spec})
	}
	return c.finish("PATCH", components+"/"+name, m{"spec": spec})
}

func (c *client) succeeds(j jobView) {
	c.t.Helper()
	if j.State != "succeeded" {
		c.t.Fatalf("%+v %v", j, j.Error)
	}
}

func (c *client) act(name, verb string, in any) jobView {
	c.t.Helper()
	if in == nil {
		in = m{}
	}
	return c.finish("POST", components+"/"+name+"/actions/"+verb, in)
}

// refused sends a call that must be refused with words that tell what to do.
func (c *client) refused(method, path string, in any, words ...string) {
	c.t.Helper()
	code, body := c.try(method, path, in)
	if code < 400 {
		c.t.Errorf("%s %s is not refused: %d %s", method, path, code, body)
	}
	for _, w := range words {
		if !strings.Contains(body, w) {
			c.t.Errorf("%s %s: no %q in %s", method, path, w, body)
		}
	}
}

// share asks n times and gives the part that answered with the text.
func (c *client) share(url, text string, n int, header ...string) float64 {
	c.t.Helper()
	got := 0
	for range n {
		req, _ := http.NewRequest("GET", url, nil)
		for i := 0; i+1 < len(header); i += 2 {
			if header[i] != "" {
				req.Header.Set(header[i], header[i+1])
			}
		}
		resp, err := c.http.Do(req)
		if err != nil {
			c.t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			c.t.Fatalf("%s %s", resp.Status, b)
		}
		if string(b) == text {
			got++
		}
	}
	return float64(got) / float64(n)
}

// within tells whether a measured share can be a weight's: five standard deviations of n draws.
func within(share float64, weight, n int) bool {
	p := float64(weight) / 100
	return math.Abs(share-p) <= 5*math.Sqrt(p*(1-p)/float64(n))
}

func (c *client) eventually(what string, holds func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			c.t.Fatalf("never: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c *client) releases(name string) map[int]string {
	c.t.Helper()
	var rows struct {
		Items []struct {
			Spec   struct{ Number int }
			Status struct{ Rollout string }
		}
	}
	c.do("GET", "/projects/-/app/releases?by.component="+c.component(name).ID, nil, &rows)
	out := map[int]string{}
	for _, r := range rows.Items {
		out[r.Spec.Number] = r.Status.Rollout
	}
	return out
}

// TestAGrayReleaseIsCheckedContinuedAndTakenBack goes through all that can be done with one, under load.
func TestAGrayReleaseIsCheckedContinuedAndTakenBack(t *testing.T) {
	c, w := openSim(t)
	base := m{"port": w.port, "replicas": 2, "probe": m{"type": "http"}}
	c.succeeds(c.deploy("web", "one", base))
	url := c.component("web").Status.URL
	load := c.load(url, 2)
	const n = 500

	grayly := m{"strategy": "gray", "gray": m{"weight": 20, "steps": []int{50}, "rules": []m{{"source": "header", "name": "X-Tester", "value": "yes"}}}}
	c.succeeds(c.deploy("web", "two", grayly))
	if g := c.component("web").Status.Gray; g == nil || g.Phase != "open" || g.Release != 2 || g.Weight != 20 {
		t.Fatalf("%+v", g)
	}
	if s := c.share(url, "two", n); !within(s, 20, n) {
		t.Errorf("20 %% became %.1f %%", 100*s)
	}
	if s := c.share(url, "two", 50, "X-Tester", "yes"); s != 1 {
		t.Errorf("the header reaches the new release %.0f %% of the times", 100*s)
	}
	if got := fmt.Sprint(c.releases("web")); got != "map[1:live 2:gray]" {
		t.Error(got)
	}

	// A second release beside it is refused, how many instances run may change.
	c.refused("PATCH", components+"/web", m{"spec": m{"source": m{"image": "library/web:three"}}}, "under way", "awan gray continue web", "awan gray rollback web")
	c.refused("POST", components+"/web/actions/restart", m{}, "under way")
	c.refused("POST", components+"/web/actions/rollback", m{"release": 1}, "under way")
	c.refused("POST", components+"/web/actions/gray-continue", m{"weight": 10}, "awan gray modify")
	c.succeeds(c.act("web", "scale", m{"replicas": 3}))
	if web := c.component("web"); len(web.Status.Instances) != 4 || web.Status.Ready != 4 {
		t.Errorf("3 instances and one new: %+v", web.Status)
	}

	// It is a stored state: after a restart the shares are the same.
	load.end(100)
	if err := c.c.Close(); err != nil {
		t.Fatal(err)
	}
	c = w.open(t)
	c.eventually("the app answers again", func() bool {
		url = c.component("web").Status.URL
		code, _ := c.get(url)
		return code == 200
	})
	load = c.load(url, 2)
	if s := c.share(url, "two", n); !within(s, 20, n) {
		t.Errorf("after a restart 20 %% became %.1f %%", 100*s)
	}

	// The next step, another rule, and all of it.
	c.succeeds(c.act("web", "gray-continue", nil))
	if s := c.share(url, "two", n); !within(s, 50, n) {
		t.Errorf("50 %% became %.1f %%", 100*s)
	}
	c.succeeds(c.act("web", "gray-modify", m{"weight": 0, "match": "any", "rules": []m{{"source": "query", "name": "v", "op": "prefix", "value": "be"}, {"source": "cookie", "name": "beta", "value": "1"}}}))
	for query, want := range map[string]float64{"": 0, "?v=beta": 1, "?v=gamma": 0} {
		if s := c.share(url+query, "two", 50); s != want {
			t.Errorf("%q: %.2f", query, s)
		}
	}
	if s := c.share(url, "two", 50, "Cookie", "beta=1"); s != 1 {
		t.Errorf("the cookie: %.2f", s)
	}
	var view struct {
		Live, New struct{ Ready, Instances, Answers int }
	}
	c.do("POST", components+"/web/actions/gray-check", m{}, &view)
	if view.Live.Ready != 3 || view.New.Ready != 1 || view.New.Answers < n/2 {
		t.Errorf("%+v", view)
	}
	c.succeeds(c.act("web", "gray-continue", m{"weight": 100}))
	if s := c.share(url, "two", 50); s != 1 {
		t.Errorf("after all it is %.2f", s)
	}
	if got := fmt.Sprint(c.releases("web")); got != "map[1:superseded 2:live]" {
		t.Error(got)
	}

	// The next one is taken back.
	c.succeeds(c.deploy("web", "three", m{"memory": 64, "gray": m{"weight": 50, "sticky": true, "rules": []m{}}}))
	c.succeeds(c.act("web", "gray-rollback", nil))
	if s := c.share(url, "two", 50); s != 1 {
		t.Errorf("after the roll back it is %.2f", s)
	}
	web := c.component("web")
	if web.Status.Gray != nil || web.Status.Release != 2 || len(web.Status.Instances) != 3 {
		t.Errorf("%+v", web.Status)
	}
	if got := fmt.Sprint(c.releases("web")); got != "map[1:superseded 2:live 3:rolled back]" {
		t.Error(got)
	}
	load.end(100)
	c.refused("POST", components+"/web/actions/gray-continue", m{}, "no gray release", "awan deploy")
	c.succeeds(c.finish("DELETE", components+"/web?purge=true", nil))
	for i := range w.engine.List(t.Context()) {
		t.Errorf("instance %s is left", i)
	}
}

// TestAStickyClientStaysOnItsSide while the weight grows.
func TestAStickyClientStaysOnItsSide(t *testing.T) {
	c, w := openSim(t)
	c.succeeds(c.deploy("web", "one", m{"port": w.port}))
	c.succeeds(c.deploy("web", "two", m{"strategy": "gray", "gray": m{"weight": 30, "sticky": true}}))
	url := c.component("web").Status.URL
	var cookies []string
	side := map[string]string{}
	for range 60 {
		resp, err := c.http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		cookie, _, _ := strings.Cut(resp.Header.Get("Set-Cookie"), ";")
		if !strings.HasPrefix(cookie, "awan-bucket=") {
			t.Fatalf("no cookie: %q", cookie)
		}
		cookies, side[cookie] = append(cookies, cookie), string(b)
	}
	moved := 0
	check := func(grown bool) {
		t.Helper()
		for _, cookie := range cookies {
			now := "one"
			if c.share(url, "two", 2, "Cookie", cookie) == 1 {
				now = "two"
			}
			if now != side[cookie] && !grown {
				t.Errorf("%s was at %s, now at %s", cookie, side[cookie], now)
			}
			if grown && now == "one" && side[cookie] == "two" {
				t.Errorf("%s fell back", cookie)
			}
			if grown && now != side[cookie] {
				moved++
			}
		}
	}
	check(false)
	c.succeeds(c.act("web", "gray-continue", m{"weight": 90}))
	check(true)
	if moved == 0 {
		t.Error("a growing weight moved nobody")
	}
}

// TestABadReleaseIsTakenBackByItself: by its errors, by its latency, while it rolls out, in its window, and as a gray one.
func TestABadReleaseIsTakenBackByItself(t *testing.T) {
	for _, x := range []struct {
		name, tag string
		spec      m
		reason    string
		gray      bool
	}{
		{"errors between batches", "bad-1", m{"guard": m{"error_rate": 10}, "rolling": m{"batches": 3, "pause": "60s"}}, "were errors, more than 10 %", false},
		{"errors in the window", "bad-2", m{"guard": m{"error_rate": 10, "window": "60s"}}, "were errors, more than 10 %", false},
		{"latency in the window", "slow-3", m{"guard": m{"latency": "10ms", "window": "60s"}, "strategy": "recreate"}, "began later than 10ms", false},
		{"a gray release's errors", "bad-4", m{"guard": m{"error_rate": 10}, "strategy": "gray", "gray": m{"weight": 50}}, "were errors", true},
	} {
		t.Run(x.name, func(t *testing.T) {
			c, w := openSim(t)
			c.succeeds(c.deploy("web", "one", m{"port": w.port, "replicas": 3}))
			url := c.component("web").Status.URL
			stop := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
						c.get(url)
					}
				}
			}()
			defer func() { close(stop); <-done }()
			j := c.deploy("web", x.tag, x.spec)
			if x.gray {
				c.eventually("the gray release is gone", func() bool { return c.component("web").Status.Gray == nil && c.component("web").State == "active" })
			} else if j.State != "failed" || !strings.Contains(j.Error.Message, x.reason) {
				t.Fatalf("%+v %+v", j, j.Error)
			}
			c.eventually("all old ones run", func() bool {
				web := c.component("web")
				return web.Status.Ready == 3 && len(web.Status.Instances) == 3 && web.Status.Release == 1
			})
			if s := c.share(url, "one", 50); s != 1 {
				t.Errorf("it answers as before %.2f of the times", s)
			}
			n := 0
			for range w.engine.List(t.Context()) {
				n++
			}
			if n != 3 {
				t.Errorf("%d instances", n)
			}
			if x.gray && !strings.Contains(c.events("web"), x.reason) {
				t.Errorf("no event says why: %s", c.events("web"))
			}
		})
	}
}

func (c *client) events(name string) string {
	_, body := c.try("GET", components+"/"+name+"/events", nil)
	return body
}

// TestHooksRunAroundARelease: once before it takes traffic, once after, and in its instances.
func TestHooksRunAroundARelease(t *testing.T) {
	c, w := openSim(t)
	hooks := func(before ...string) m {
		return m{"port": w.port, "env": m{"DB": "shop"}, "hooks": m{"before": m{"command": before}, "after": m{"command": []string{"migrate"}}}}
	}
	c.succeeds(c.deploy("web", "one", hooks("migrate")))
	if e := c.events("web"); strings.Count(e, "migrating shop") != 2 || !strings.Contains(e, "the hook before release 1 succeeded") || !strings.Contains(e, "the hook after release 1 succeeded") {
		t.Error(e)
	}
	before := c.component("web").Status.Instances[0].ID
	c.succeeds(c.deploy("web", "one", hooks("migrate", "badly")))
	if after := c.component("web"); after.Status.Instances[0].ID != before || after.Status.Release != 1 {
		t.Error("a change of the hooks alone made a release")
	}
	if j := c.deploy("web", "two", nil); j.State != "failed" || !strings.Contains(j.Error.Message, "exit code 3") || !strings.Contains(j.Error.Message, "| migrating shop") {
		t.Errorf("%+v %v", j, j.Error)
	}
	if _, body := c.get(c.component("web").Status.URL); body != "one" {
		t.Errorf("it answers %q", body)
	}
	// Instances: what fails after the start fails the release at once, what runs before the stop is told.
	c.succeeds(c.deploy("web", "one", m{"hooks": m{"before": nil, "after": nil, "post_start": m{"command": []string{"false", "warm"}}, "pre_stop": m{"command": []string{"false", "bye"}}}}))
	if j := c.deploy("web", "two", nil); j.State != "failed" || !strings.Contains(j.Error.Message, "post-start command failed") || !strings.Contains(j.Error.Message, "| false warm") {
		t.Errorf("%+v %v", j, j.Error)
	}
	if e := c.events("web"); !strings.Contains(e, "pre-stop command") || !strings.Contains(e, "false bye") {
		t.Error(e)
	}
	n := 0
	for range w.engine.List(t.Context()) {
		n++
	}
	if n != 1 {
		t.Errorf("%d instances run, hooks left some", n)
	}
}

// TestRollingGoesInBatches with a pause after each.
func TestRollingGoesInBatches(t *testing.T) {
	c, w := openSim(t)
	c.succeeds(c.deploy("web", "one", m{"port": w.port, "replicas": 4}))
	url := c.component("web").Status.URL
	load := c.load(url, 2)
	begun := time.Now()
	c.succeeds(c.deploy("web", "two", m{"rolling": m{"batches": 2, "pause": "1s"}}))
	if took := time.Since(begun); took < time.Second {
		t.Errorf("no pause: it took %s", took)
	}
	load.end(20)
	if e := c.events("web"); strings.Count(e, "BatchReady") != 1 || !strings.Contains(e, "2 of 4 instances are new") {
		t.Error(e)
	}
	c.refused("PATCH", components+"/web", m{"spec": m{"rolling": m{"batch_size": 1}}}, "either batches or batch_size")
	c.refused("PATCH", components+"/web", m{"spec": m{"gray": m{"rules": []m{{"source": "header", "name": "X", "op": "regex", "value": "("}}}}}, "spec.gray.rules[0].value", "regular expression")
	c.refused("PATCH", components+"/web", m{"spec": m{"gray": m{"rules": []m{{"source": "address", "op": "prefix", "value": "10.0"}}}}}, "not a network")
	c.refused("PATCH", components+"/web", m{"spec": m{"gray": m{"steps": []int{50, 10}}}}, "must rise")
}

// TestFewerInstancesOfANewRelease: a change of what runs that also wants fewer of it.
func TestFewerInstancesOfANewRelease(t *testing.T) {
	c, w := openSim(t)
	c.succeeds(c.deploy("web", "one", m{"port": w.port, "replicas": 4}))
	load := c.load(c.component("web").Status.URL, 2)
	c.succeeds(c.deploy("web", "two", m{"replicas": 1}))
	c.succeeds(c.deploy("web", "three", m{"replicas": 3, "rolling": m{"batches": 3}}))
	c.succeeds(c.deploy("web", "four", m{"replicas": 2}))
	load.end(20)
	if web := c.component("web"); len(web.Status.Instances) != 2 || web.Status.Ready != 2 {
		t.Errorf("%+v", web.Status)
	}
}

// TestOneBatchFailsNoRequest: the old instances stop before the new ones start, and who asks meanwhile waits.
func TestOneBatchFailsNoRequest(t *testing.T) {
	c, w := openSim(t)
	c.succeeds(c.deploy("web", "one", m{"port": w.port, "replicas": 2}))
	url := c.component("web").Status.URL
	load := c.load(url, 2)
	c.succeeds(c.deploy("web", "two", m{"strategy": "recreate"}))
	c.succeeds(c.act("web", "rollback", nil))
	load.end(20)
	if s := c.share(url, "one", 10); s != 1 {
		t.Errorf("after the roll back %.2f", s)
	}
	c.succeeds(c.act("web", "stop", nil))
	if code, _ := c.get(url); code != 503 {
		t.Errorf("stopped on purpose: %d", code)
	}
}

// TestLanesLeadThroughSeveralComponents: the entry chooses, the header leads on, and where a lane has nothing of its own the
// baseline answers.
func TestLanesLeadThroughSeveralComponents(t *testing.T) {
	c, w := openSim(t)
	for _, name := range []string{"web", "cart", "cart-next"} {
		c.succeeds(c.deploy(name, name, m{"port": w.port}))
	}
	const groups, lanes = "/projects/-/app/lane-groups", "/projects/-/app/lanes"
	lane := func(name string, spec m) (method, path string, in any) {
		spec["group"] = "shop"
		return "POST", lanes, m{"name": name, "spec": spec}
	}
	refused := func(words string) func(method, path string, in any) {
		return func(method, path string, in any) { t.Helper(); c.refused(method, path, in, words) }
	}
	made := func(method, path string, in any) { t.Helper(); c.do(method, path, in, nil) }

	refused("there is no lane group")(lane("beta", m{}))
	refused("no component")("POST", groups, m{"name": "shop", "spec": m{"entry": "nothing"}})
	made("POST", groups, m{"name": "shop", "spec": m{"entry": "web"}})
	refused("has the lane group shop already")("POST", groups, m{"name": "shop2", "spec": m{"entry": "web"}})
	refused("baseline lane first")(lane("beta", m{"weight": 10}))
	refused("as they are")(lane("base", m{"type": "baseline", "weight": 10}))
	made(lane("base", m{"type": "baseline"}))
	refused("already")(lane("base2", m{"type": "baseline"}))
	refused("no component")(lane("beta", m{"components": m{"cart": "nothing"}}))
	refused("its own place")(lane("beta", m{"components": m{"cart": "cart"}}))
	made(lane("beta", m{"weight": 20, "components": m{"cart": "cart-next"}, "rules": []m{{"source": "cookie", "name": "beta", "op": "regex", "value": "^(1|yes)$"}}}))
	refused("120 %")(lane("gamma", m{"weight": 100}))
	refused("falls back")("DELETE", lanes+"/base", nil)
	refused("still in it")("DELETE", groups+"/shop", nil)

	web, cart := c.component("web").Status.URL, c.component("cart").Status.URL
	c.eventually("the cookie leads into the lane", func() bool { return c.share(web, "web in beta", 1, "Cookie", "beta=1") == 1 })
	const n = 400
	if s := c.share(web, "web in beta", n); !within(s, 20, n) {
		t.Errorf("20 %% became %.1f %%", 100*s)
	}
	for _, x := range []struct{ url, want, header, value string }{
		{cart, "cart-next in beta", "X-Awan-Lane", "beta"},
		{cart, "cart-next in beta", "Baggage", "user=7, awan-lane=beta;p=1"},
		{cart, "cart", "X-Awan-Lane", "nowhere"},
		{cart, "cart", "", ""},
	} {
		if s := c.share(x.url, x.want, 20, x.header, x.value); s != 1 {
			t.Errorf("%s %s: %q only %.2f of the times", x.header, x.value, x.want, s)
		}
	}
	if s := c.share(web, "web in beta", n, "X-Awan-Lane", "beta"); !within(s, 20, n) {
		t.Errorf("a header from outside decides at the entry: %.2f", s)
	}
	// Without an instance in the lane the baseline answers, still in the lane; who asks meanwhile is answered by one or the other.
	load := c.load(cart, 2, "X-Awan-Lane", "beta")
	c.succeeds(c.act("cart-next", "stop", nil))
	if s := c.share(cart, "cart in beta", 20, "X-Awan-Lane", "beta"); s != 1 {
		t.Errorf("the baseline answers in the lane %.2f of the times", s)
	}
	c.succeeds(c.act("cart-next", "start", nil))
	load.end(20)

	c.refused("DELETE", "/projects/-/app/applications/default", nil, "lane group shop")
	c.do("PATCH", "/projects/-/app/applications/default", m{"name": "renamed"}, nil)

	// Lanes are rows: a restart changes nothing. A disabled one leads nobody.
	if err := c.c.Close(); err != nil {
		t.Fatal(err)
	}
	c = w.open(t)
	c.eventually("the lane is there after a restart", func() bool {
		req, _ := http.NewRequest("GET", c.component("cart").Status.URL, nil)
		req.Header.Set("X-Awan-Lane", "beta")
		resp, err := c.http.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b) == "cart-next in beta"
	})
	c.do("PATCH", lanes+"/beta", m{"spec": m{"disabled": true}}, nil)
	web = c.component("web").Status.URL
	c.eventually("nobody travels a disabled lane", func() bool { return c.share(web, "web", 20, "Cookie", "beta=1") == 1 })
}
