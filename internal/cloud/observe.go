package cloud

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/alarm"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/metric"
	"github.com/awancloud/awan/internal/service/scaling"
	"github.com/awancloud/awan/internal/service/workload"
)

// openMetrics opens what measures, and makes what acts on measurements: alarms and scaling policies.
func (c *Cloud) openMetrics() error {
	m, err := metric.Open(metric.Options{Dir: c.path("metrics"), Source: apps{c}, Now: time.Now, Log: c.Log})
	if err != nil {
		return err
	}
	c.Metrics = m
	c.closing(m.Close)
	c.calls = newCalls()
	m.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), c.calls.total, c.calls.took,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "awan_jobs_unfinished", Help: "Operations under way or waiting."}, c.unfinished))
	if s, ok := c.Store.(interface{ DiskUsage() uint64 }); ok {
		m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "awan_store_bytes", Help: "Bytes that the store takes on disk."},
			func() float64 { return float64(s.DiskUsage()) }))
	}
	c.observeBuckets()
	c.App.Ingress.Observe = func(o app.Observation) {
		m.Traffic.Observe(metric.Observation{Component: o.Component, Instance: o.Instance, Release: o.Release, Lane: o.Lane, Method: o.Method, Status: o.Status,
			Duration: o.Duration, Bytes: o.Out})
	}
	c.App.Measured = func(ctx context.Context, project id.ID, component string, window time.Duration) (any, error) {
		return m.Of(project).Summary(ctx, component, window, time.Now())
	}
	c.Alarms = alarm.New(alarm.Deps{Store: c.Store, Metrics: m, Host: host{c}, Outward: c.outward(), Mail: c.Mail, ProjectName: c.projectName, Now: time.Now, Log: c.Log})
	c.Scaling = scaling.New(scaling.Deps{Store: c.Store, Apps: c.App, Metrics: m, Door: func() *call.Door { return c.Door }, Now: time.Now, Log: c.Log})
	c.App.Ingress.Wake, c.App.Bounds = c.Scaling.Wake, c.Scaling.Bounds
	return nil
}

// projectName is what people call a project: its id where it is gone.
func (c *Cloud) projectName(tx store.Tx, project id.ID) string {
	if p, err := c.Ident.PlaceOf(tx, project); err == nil && p.Name != "" {
		return p.Name
	}
	return string(project)
}

// startMetrics begins to measure, and to act on it.
func (c *Cloud) startMetrics(ctx context.Context) {
	c.Metrics.Start(ctx)
	c.Alarms.Start(ctx)
	c.closing(func() error { c.Alarms.Close(); return nil })
	c.closing(func() error { c.Scaling.Close(); return nil })
	c.Scaling.Start(ctx)
}

// unfinished counts the jobs that have not ended.
func (c *Cloud) unfinished() (n float64) {
	err := c.Store.View(context.Background(), func(tx store.Tx) (err error) {
		n, err = job.Unfinished(tx)
		return err
	})
	if err != nil {
		c.Log.Debug("jobs cannot be counted", "err", err)
	}
	return n
}

// calls measures the door.
type calls struct {
	total *prometheus.CounterVec
	took  prometheus.Histogram
}

func newCalls() *calls {
	return &calls{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "awan_door_calls_total", Help: "Calls through the door, by kind, verb and outcome."}, []string{"kind", "verb", "outcome"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "awan_door_call_duration_seconds", Help: "Time that calls took, streams left out.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}})}
}

// observe counts one call.
func (m *calls) observe(c *call.Call, err error, took time.Duration) {
	outcome, verb := "ok", c.Verb
	if err != nil {
		outcome = string(fail.KindOf(err))
		if !slices.ContainsFunc(call.Verbs(c.Kind), func(v call.Verb) bool { return v.Verb == verb }) {
			verb = "unknown" // what clients make up must not make series
		}
	}
	m.total.WithLabelValues(c.Kind.FullName(), verb, outcome).Inc()
	if a := c.Kind.ActionOf(c.Verb); c.Verb != call.Watch && (a == nil || a.Serve == nil) {
		m.took.Observe(took.Seconds())
	}
}

// appAddresses are those that apps have for themselves.
var appAddresses = netip.MustParsePrefix("127.64.0.0/10")

// mayPost tells where notifications may go: to public addresses, to apps of this cloud, and to what the operator allows.
func (c *Cloud) mayPost(at netip.AddrPort) bool {
	a := at.Addr().Unmap()
	for _, p := range c.WebhookAllow {
		if p.Contains(a) {
			return true
		}
	}
	if appAddresses.Contains(a) {
		return at.Port() == c.Front.Addr().Port()
	}
	return a.IsGlobalUnicast() && !a.IsPrivate() && !reserved(a)
}

// reserved tells of address ranges that look public and are not (RFC 6890), and of those that stand for IPv4 addresses.
func reserved(a netip.Addr) bool {
	for _, p := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"64:ff9b::/96", "64:ff9b:1::/48", "2001::/23", "2001:db8::/32", "2002::/16", "100::/64"} {
		if netip.MustParsePrefix(p).Contains(a) {
			return true
		}
	}
	return false
}

// apps tells what runs, from the app service's rows and the engine.
type apps struct{ c *Cloud }

// Components is for metric.Source.
func (a apps) Components(ctx context.Context) (out []metric.Component, err error) {
	s := a.c.App
	err = s.Store.View(ctx, func(tx store.Tx) error {
		rows, err := s.Component.List(tx, "", kind.Filter{})
		for _, r := range rows {
			x := metric.Component{ID: r.ID, Project: r.Project, Domain: r.Domain, Name: r.Name, Application: r.Spec.Application, Environment: r.Spec.Environment,
				Replicas: r.Spec.Replicas, MilliCPU: r.Spec.CPU, MemoryMiB: r.Spec.Memory, ScrapePath: r.Spec.Metrics.Path, ScrapePort: r.Spec.Metrics.Port}
			if x.ScrapePort == 0 {
				x.ScrapePort = r.Spec.Port
			}
			if r.Spec.Stopped {
				x.Replicas = 0
			}
			for _, in := range r.Status.Instances {
				x.Instances = append(x.Instances, metric.Instance{ID: in.ID, Release: in.Release, Ready: in.Phase == "ready", Address: strings.TrimSpace(in.Address), Restarts: in.Restarts})
			}
			out = append(out, x)
		}
		return err
	})
	return out, err
}

// Usage is for metric.Source.
func (a apps) Usage(ctx context.Context, instance id.ID) (metric.Usage, bool) {
	seen, err := a.c.Engines.Workload.Observe(ctx, instance)
	if err != nil || seen.Phase != workload.PhaseRunning {
		return metric.Usage{}, false
	}
	u := seen.Usage
	return metric.Usage{CPU: u.CPU, MemoryBytes: u.MemoryBytes, StorageBytes: u.StorageBytes, Pids: u.Pids, RxBytes: u.RxBytes, TxBytes: u.TxBytes}, true
}
