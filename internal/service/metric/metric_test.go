package metric

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// town is two projects with an app each, measured by hand.
type town struct {
	*Service
	t     *testing.T
	clock *clock.Manual
	apps  []Component
	usage map[id.ID]Usage
}

func (w *town) Components(context.Context) ([]Component, error) { return w.apps, nil }

func (w *town) Usage(_ context.Context, i id.ID) (Usage, bool) { u, ok := w.usage[i]; return u, ok }

func newTown(t *testing.T) *town {
	t.Helper()
	w := &town{t: t, clock: clock.NewManual(time.Now().Truncate(time.Second)), usage: map[id.ID]Usage{}}
	for _, name := range []string{"web", "shop"} {
		in := Instance{ID: id.New(), Release: 2, Ready: true}
		w.apps = append(w.apps, Component{ID: id.New(), Project: id.New(), Name: name, Replicas: 1, MilliCPU: 500, MemoryMiB: 256, Instances: []Instance{in}})
		w.usage[in.ID] = Usage{MemoryBytes: 64 << 20, StorageBytes: -1}
	}
	w.open(t.TempDir())
	return w
}

func (w *town) open(dir string) {
	w.t.Helper()
	s, err := Open(Options{Dir: dir, Source: w, Now: w.clock.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service = s
	w.t.Cleanup(func() { _ = s.Close() })
}

// minute measures for a minute; each runs before each measurement.
func (w *town) minute(each func()) {
	w.t.Helper()
	for range 7 {
		w.clock.Add(10 * time.Second)
		each()
		if err := w.Measure(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *town) request(app int, status int, took time.Duration) {
	c := w.apps[app]
	w.Traffic.Observe(Observation{Component: c.ID, Instance: c.Instances[0].ID, Release: 2, Method: "GET", Status: status, Duration: took, Bytes: 100})
}

func (w *town) value(v View, expr string) float64 {
	w.t.Helper()
	x, ok, err := v.Value(w.t.Context(), expr, w.clock.Now())
	if err != nil {
		w.t.Fatalf("%s: %v", expr, err)
	}
	if !ok {
		return -1
	}
	return x
}

func near(a, b float64) bool { return a > b*0.95 && a < b*1.05 }

func TestWhatPeopleAskForIsMeasured(t *testing.T) {
	w := newTown(t)
	web := w.apps[0]
	w.request(0, 200, time.Millisecond) // a counter's first value is no increase
	w.request(0, 500, time.Millisecond)
	w.minute(func() {
		for i := range 100 {
			status, took := 200, 8*time.Millisecond
			if i < 10 {
				status, took = 503, 800*time.Millisecond
			}
			w.request(0, status, took)
		}
		u := w.usage[web.Instances[0].ID]
		u.CPU += 2 * time.Second // in 10 s: 0.2 of 0.5 cores
		w.usage[web.Instances[0].ID] = u
	})
	v := w.Of(web.Project)
	for name, want := range map[string]float64{"requests": 10, "errors": 10, "cpu": 40, "memory": 25, "ready": 1} {
		if got := w.value(v, Expr(name, "web", time.Minute)); !near(got, want) {
			t.Errorf("%s is %g, want %g", name, got, want)
		}
	}
	if p50, p99 := w.value(v, Expr("latency-p50", "web", time.Minute)), w.value(v, Expr("latency-p99", "web", time.Minute)); p50 < 5 || p50 > 10 || p99 < 500 || p99 > 1000 {
		t.Errorf("p50 %g ms, p99 %g ms", p50, p99)
	}
	lines, err := v.Summary(t.Context(), "web", time.Minute, w.clock.Now())
	if err != nil || len(lines) != 2 || !near(lines[0].Requests, 10) || lines[1].Instance != web.Instances[0].ID || lines[1].Release != 2 || !near(lines[1].CPU, 40) {
		t.Errorf("%+v %v", lines, err)
	}
	for name := range Names {
		if _, err := Parse(Expr(name, `odd "name"`, time.Minute)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAViewHoldsOneProject(t *testing.T) {
	w := newTown(t)
	w.minute(func() { w.request(0, 200, time.Millisecond); w.request(1, 200, time.Millisecond) })
	web, shop := w.apps[0], w.apps[1]
	v := w.Of(web.Project)
	other := string(shop.Project)
	for _, expr := range []string{`awan_component_replicas{project="` + other + `"}`, `awan_component_replicas{component="shop"}`, `{project=~".+",component="shop"}`,
		`sum_over_time(awan_component_replicas{project="` + other + `"}[5m])`, `awan_component_replicas{component="web"} or awan_component_replicas{component="shop"} unless awan_component_replicas{component="web"}`,
		`max_over_time((awan_component_replicas{component="shop"})[5m:10s])`, `go_goroutines`} {
		a, err := v.Query(t.Context(), expr, w.clock.Now())
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		for _, s := range a.Value.(promql.Vector) {
			if s.Metric.Get("component") != "web" {
				t.Errorf("%s shows %s", expr, s.Metric)
			}
		}
	}
	from, to := w.clock.Now().Add(-time.Hour), w.clock.Now()
	series, err := v.Series(t.Context(), []string{`{__name__=~".+"}`}, from, to, 0)
	if err != nil || len(series) == 0 {
		t.Fatal(len(series), err)
	}
	for _, l := range series {
		if l.Get("project") != string(web.Project) {
			t.Errorf("series shows %s", l)
		}
	}
	for name, want := range map[string]string{"component": "[web]", "project": "[" + string(web.Project) + "]"} {
		for _, match := range [][]string{nil, {`{component="shop"}`, `awan_component_replicas`}} {
			if got, err := v.Labels(t.Context(), name, match, from, to); err != nil || fmt.Sprint(got) != want {
				t.Errorf("values of %s: %v %v", name, got, err)
			}
		}
	}
	if n := w.value(w.All(), `count(awan_component_replicas)`); n != 2 {
		t.Errorf("an operator sees %g components", n)
	}
}

// TestAppsTellTheirOwn: what an app tells is kept under labels that it cannot choose.
func TestAppsTellTheirOwn(t *testing.T) {
	w := newTown(t)
	page := "# TYPE jobs_total counter\njobs_total{project=\"" + string(w.apps[1].Project) + "\",kind=\"mail\"} 5\nawan_component_ready 99\n" +
		"# TYPE wait_seconds histogram\nwait_seconds_bucket{le=\"1\"} 3\nwait_seconds_bucket{le=\"+Inf\"} 4\nwait_seconds_sum 7\nwait_seconds_count 4\n"
	app := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			_, _ = io.WriteString(rw, page)
		}
	}))
	defer app.Close()
	host, port, _ := net.SplitHostPort(app.Listener.Addr().String())
	w.apps[0].ScrapePath, w.apps[0].Instances[0].Address = "/metrics", host
	w.apps[0].ScrapePort, _ = strconv.Atoi(port)
	w.minute(func() {})
	v := w.Of(w.apps[0].Project)
	for expr, want := range map[string]float64{`jobs_total{component="web",kind="mail"}`: 5, `wait_seconds_bucket{le="1"}`: 3, `wait_seconds_count`: 4,
		`awan_scrape_ok`: 1, `awan_component_ready`: 1, `count(jobs_total{exported_project="` + string(w.apps[1].Project) + `"})`: 1} {
		if got := w.value(v, expr); got != want {
			t.Errorf("%s is %g, want %g", expr, got, want)
		}
	}
	if got := w.value(w.Of(w.apps[1].Project), "count(jobs_total)"); got != -1 {
		t.Errorf("the other project has %g of them", got)
	}
	page = ""
	for i := range scrapeSamples + 1 {
		page += fmt.Sprintf("many{n=\"%d\"} 1\n", i)
	}
	w.minute(func() {})
	if ok, n := w.value(v, "awan_scrape_ok"), w.value(v, "count(many)"); ok != 0 || n != -1 {
		t.Errorf("too many samples: ok is %g, %g were taken", ok, n)
	}
}

// TestWhatIsGoneEnds: the series of an instance that was removed end at once, and outlive a restart until then.
func TestWhatIsGoneEnds(t *testing.T) {
	w := newTown(t)
	dir := w.Dir
	w.minute(func() {})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w.open(dir)
	v := w.Of(w.apps[0].Project)
	if n := w.value(v, "awan_instance_ready"); n != 1 {
		t.Errorf("after a restart the measurement is %g", n)
	}
	w.minute(func() {})
	w.apps[0].Instances = nil
	w.minute(func() {})
	if n := w.value(v, "count(awan_instance_ready)"); n != -1 {
		t.Errorf("an instance that is gone is still there: %g", n)
	}
}

func TestBadQueriesSayWhy(t *testing.T) {
	w := newTown(t)
	now := w.clock.Now()
	for _, expr := range []string{"", "sum(", "rate(x)", "{}"} {
		if _, err := w.All().Query(t.Context(), expr, now); !fail.Is(err, fail.Invalid) {
			t.Errorf("%q: %v", expr, err)
		}
	}
	for _, r := range []struct {
		expr     string
		from, to time.Time
		step     time.Duration
	}{{"x", now, now.Add(-time.Second), time.Second}, {"x", now.Add(-time.Hour), now, 0}, {"x", now.Add(-24 * time.Hour), now, time.Second}, {"x[5m]", now, now, time.Second}} {
		if _, err := w.All().Range(t.Context(), r.expr, r.from, r.to, r.step); !fail.Is(err, fail.Invalid) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	t := newTraffic(nil)
	o := Observation{Component: id.New(), Instance: id.New(), Release: 1, Method: "GET", Status: 200, Duration: 3 * time.Millisecond, Bytes: 1000}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			t.Observe(o)
		}
	})
}
