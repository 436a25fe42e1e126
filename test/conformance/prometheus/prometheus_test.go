// Package prometheus_test lets Prometheus' own Go client, which Grafana and promtool are made with, read the cloud's metrics.
package prometheus_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/internal/cloud"
	"github.com/awancloud/awan/internal/engine/workload/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/build"
	"github.com/awancloud/awan/internal/service/workload"
)

// images finds every image and builds none.
type images struct{}

func (images) Build(context.Context, build.Request, build.Progress) (build.Output, error) {
	return build.Output{}, fail.New(fail.Unsupported, "nothing is built here")
}

func (images) Resolve(_ context.Context, _ id.ID, image string) (string, error) {
	return image + "@sha256:" + strings.Repeat("0", 64), nil
}

// basic sends an access key and its secret, as Grafana's data source does.
type basic struct {
	http.RoundTripper
	key, secret string
}

func (b basic) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.SetBasicAuth(b.key, b.secret)
	return b.RoundTripper.RoundTrip(r)
}

// boot starts a cloud with one app, which was asked and measured.
func boot(t *testing.T) (c *cloud.Cloud, admin map[string]string, tr http.RoundTripper) {
	t.Helper()
	dir := t.TempDir()
	c, err := cloud.Open(t.Context(), cloud.Options{PasswordOnAPIs: true, Data: dir, Listen: "127.0.0.1:0", Domain: cloud.DefaultDomain, Region: cloud.DefaultRegion,
		Account: cloud.DefaultAccount, Version: "test", Log: slog.New(slog.DiscardHandler), WebhookAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Engines: func(context.Context, *cloud.Cloud) (cloud.Engines, error) {
			e := sim.New(sim.Options{Port: 8080, Handler: func(id.ID, workload.Want) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })
			}})
			return cloud.Engines{Workload: e, Builder: images{}, Close: e.Close}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if admin, err = adminenv.Read(filepath.Join(dir, adminenv.File)); err != nil {
		t.Fatal(err)
	}
	ht := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.CA.Pool()}}
	t.Cleanup(ht.CloseIdleConnections)
	p, _, err := c.Ident.ByKey(t.Context(), admin[adminenv.AccessKey])
	if err != nil {
		t.Fatal(err)
	}
	name := "web"
	r, err := c.Door.Do(t.Context(), &call.Call{Kind: c.App.Component.D, Verb: call.Create, Principal: p, Project: admin[adminenv.Project], Name: &name,
		Spec: []byte(`{"source":{"image":"library/web:1"},"memory":64}`)})
	if err != nil {
		t.Fatal(err)
	}
	if j, err := c.Door.WaitJob(t.Context(), r.Job.ID); err != nil || j.State != "succeeded" {
		t.Fatalf("%+v %v", j, err)
	}
	return c, admin, ht
}

func TestPrometheusClient(t *testing.T) {
	c, admin, tr := boot(t)
	var url string
	var project id.ID
	err := c.Store.View(t.Context(), func(tx store.Tx) error {
		rows, _, err := c.App.Component.D.List(tx, "", kind.Filter{})
		m := rows[0].M()
		url, project = rows[0].StatusPtr().(*app.ComponentStatus).URL, m.Project
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	plain := &http.Client{Transport: tr}
	ask := func() {
		for range 50 {
			resp, err := plain.Get(url)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v %v", resp, err)
			}
			_ = resp.Body.Close()
		}
	}
	ask()
	begin := time.Now()
	measure := func() {
		t.Helper()
		if err := c.Metrics.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	measure()
	ask()
	time.Sleep(time.Until(begin.Add(1100 * time.Millisecond))) // rates need two moments
	measure()

	client, err := api.NewClient(api.Config{Address: c.URL() + "/metrics/projects/" + admin[adminenv.Project], RoundTripper: basic{tr, admin[adminenv.AccessKey], admin[adminenv.SecretKey]}})
	if err != nil {
		t.Fatal(err)
	}
	a, ctx := v1.NewAPI(client), t.Context()
	now := time.Now()
	value, _, _, err := a.Query(ctx, `sum by (component, code) (awan_http_requests_total)`, now)
	if v, ok := value.(model.Vector); err != nil || !ok || len(v) != 1 || v[0].Value != 100 || v[0].Metric["component"] != "web" || v[0].Metric["code"] != "200" {
		t.Errorf("query: %v %v", value, err)
	}
	value, _, _, err = a.Query(ctx, `histogram_quantile(0.95, sum by (le) (awan_http_request_duration_seconds_bucket))`, now)
	if v, ok := value.(model.Vector); err != nil || !ok || len(v) != 1 || v[0].Value <= 0 || v[0].Value > 5 {
		t.Errorf("percentile: %v %v", value, err)
	}
	value, _, _, err = a.QueryRange(ctx, `awan_component_replicas`, v1.Range{Start: now.Add(-time.Minute), End: now, Step: 5 * time.Second})
	if m, ok := value.(model.Matrix); err != nil || !ok || len(m) != 1 || m[0].Metric["project"] != model.LabelValue(project) {
		t.Errorf("range: %v %v", value, err)
	}
	series, _, _, err := a.Series(ctx, []string{`{__name__=~"awan_instance_.*"}`}, now.Add(-time.Hour), now)
	if err != nil || len(series) < 2 {
		t.Errorf("series: %v %v", series, err)
	}
	names, _, _, err := a.LabelNames(ctx, nil, now.Add(-time.Hour), now)
	if err != nil || !slices.Contains(names, "component") {
		t.Errorf("label names: %v %v", names, err)
	}
	values, _, _, err := a.LabelValues(ctx, "component", []string{"awan_component_ready"}, now.Add(-time.Hour), now)
	if err != nil || len(values) != 1 || values[0] != "web" {
		t.Errorf("label values: %v %v", values, err)
	}
	meta, err := a.Metadata(ctx, "awan_http_requests_total", "")
	if err != nil || len(meta["awan_http_requests_total"]) != 1 || meta["awan_http_requests_total"][0].Type != v1.MetricTypeCounter {
		t.Errorf("metadata: %v %v", meta, err)
	}
	if info, err := a.Buildinfo(ctx); err != nil || !strings.HasPrefix(info.Version, "3.") {
		t.Errorf("build info: %+v %v", info, err)
	}
	if ex, err := a.QueryExemplars(ctx, "awan_http_requests_total", now.Add(-time.Hour), now); err != nil || len(ex) != 0 {
		t.Errorf("exemplars: %v %v", ex, err)
	}
	for query, want := range map[string]v1.ErrorType{"sum(": v1.ErrBadData, "": v1.ErrBadData} {
		if _, _, _, err := a.Query(ctx, query, now); err == nil || err.(*v1.Error).Type != want {
			t.Errorf("%q: %v", query, err)
		}
	}
	rules(t, c, a, admin)
	exposition(t, c, basic{tr, admin[adminenv.AccessKey], admin[adminenv.SecretKey]})
}

// rules: alarms are Prometheus' alerting rules.
func rules(t *testing.T, c *cloud.Cloud, a v1.API, admin map[string]string) {
	p, _, err := c.Ident.ByKey(t.Context(), admin[adminenv.AccessKey])
	if err != nil {
		t.Fatal(err)
	}
	name := "up"
	if _, err := c.Door.Do(ident.With(t.Context(), p), &call.Call{Kind: c.Alarms.Alarm.D, Verb: call.Create, Principal: p, Project: admin[adminenv.Project], Name: &name,
		Spec: []byte(`{"metric":"ready","component":"web","comparison":">=","value":1,"for":"0s","severity":"info"}`)}); err != nil {
		t.Fatal(err)
	}
	if err := c.Alarms.Evaluate(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := a.Rules(t.Context(), nil)
	if err != nil || len(r.Groups) != 1 || len(r.Groups[0].Rules) != 1 || r.Groups[0].Rules[0].(v1.AlertingRule).State != "firing" {
		t.Errorf("rules: %+v %v", r, err)
	}
	alerts, err := a.Alerts(t.Context())
	if err != nil || len(alerts.Alerts) != 1 || alerts.Alerts[0].Labels["alertname"] != "up" || alerts.Alerts[0].State != v1.AlertStateFiring {
		t.Errorf("alerts: %+v %v", alerts, err)
	}
}

// exposition: an operator's own Prometheus can scrape the cloud.
func exposition(t *testing.T, c *cloud.Cloud, tr http.RoundTripper) {
	resp, err := (&http.Client{Transport: tr}).Get(c.URL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"awan_door_calls_total", "awan_door_call_duration_seconds", "awan_jobs_unfinished", "awan_store_bytes", "awan_http_requests_total", "process_resident_memory_bytes"} {
		if families[name] == nil {
			t.Errorf("%s is not told", name)
		}
	}
}
