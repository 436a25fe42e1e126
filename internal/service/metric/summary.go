package metric

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Names of the measurements that alarms, scaling and people ask for by name, with their units.
var Names = map[string]string{
	"requests": "requests per second", "errors": "% of requests answered with 5xx", "latency-p50": "ms", "latency-p95": "ms", "latency-p99": "ms",
	"cpu": "% of the limit", "memory": "% of the limit", "restarts": "restarts in 10 minutes", "ready": "instances that take requests",
}

// Expr gives a named measurement of a component as PromQL; by are labels to keep apart, none for the component as one.
// A measurement in % of the limit is the mean of the instances.
func Expr(name, component string, window time.Duration, by ...string) string {
	c, w, b := `{component=`+strconv.Quote(component)+`}`, fmt.Sprintf("[%ds]", int(window.Seconds())), ""
	if len(by) > 0 {
		b = " by (" + strings.Join(by, ",") + ") "
	}
	le := " by (" + strings.Join(append([]string{"le"}, by...), ",") + ") "
	requests := "sum" + b + "(rate(awan_http_requests_total" + c + w + "))"
	failed := "sum" + b + "(rate(awan_http_requests_total" + strings.TrimSuffix(c, "}") + `,code=~"5.."}` + w + "))"
	quantile := func(q string) string {
		return "1000*histogram_quantile(" + q + ", sum" + le + "(rate(awan_http_request_duration_seconds_bucket" + c + w + ")))"
	}
	switch name {
	case "requests":
		return requests
	case "errors":
		return "100*(" + failed + " or 0*" + requests + ")/" + requests
	case "latency-p50":
		return quantile("0.5")
	case "latency-p95":
		return quantile("0.95")
	case "latency-p99":
		return quantile("0.99")
	case "cpu":
		return "100*sum" + b + "(rate(awan_instance_cpu_seconds_total" + c + w + "))/sum" + b + "(awan_instance_cpu_limit_cores" + c + ")"
	case "memory":
		return "100*sum" + b + "(awan_instance_memory_bytes" + c + ")/sum" + b + "(awan_instance_memory_limit_bytes" + c + ")"
	case "restarts":
		return "sum" + b + "(increase(awan_instance_restarts_total" + c + "[10m]))"
	case "ready":
		return "sum(awan_component_ready" + c + ")"
	}
	return ""
}

// Value evaluates an expression that gives one number now; false when there is none.
func (v View) Value(ctx context.Context, expr string, at time.Time) (float64, bool, error) {
	a, err := v.Query(ctx, expr, at)
	if err != nil {
		return 0, false, err
	}
	switch x := a.Value.(type) {
	case promql.Scalar:
		return x.V, !math.IsNaN(x.V), nil
	case promql.Vector:
		if len(x) == 1 && !math.IsNaN(x[0].F) {
			return x[0].F, true, nil
		}
	}
	return 0, false, nil
}

// Line is what was measured of one instance, or of all of a component's.
type Line struct {
	Instance    id.ID   `json:"instance,omitempty"` // empty: all together
	Release     int     `json:"release,omitempty"`
	Lane        string  `json:"lane,omitempty"`
	Requests    float64 `json:"requests_per_second"`
	Errors      float64 `json:"errors_percent"`
	P50         float64 `json:"latency_p50_ms"`
	P95         float64 `json:"latency_p95_ms"`
	P99         float64 `json:"latency_p99_ms"`
	CPU         float64 `json:"cpu_percent"`
	Memory      float64 `json:"memory_percent"`
	MemoryBytes float64 `json:"memory_bytes"`
	Receive     float64 `json:"receive_bytes_per_second"`
	Transmit    float64 `json:"transmit_bytes_per_second"`
	Restarts    float64 `json:"restarts"`
}

// Summary measures a component over the last window: the whole first, then each instance that was there.
func (v View) Summary(ctx context.Context, component string, window time.Duration, at time.Time) ([]Line, error) {
	total, each := Line{}, map[string]*Line{}
	c, w := `{component=`+strconv.Quote(component)+`}`, fmt.Sprintf("[%ds]", int(window.Seconds()))
	sum := func(expr string) func(...string) string {
		return func(by ...string) string {
			if len(by) == 0 {
				return "sum(" + expr + ")"
			}
			return "sum by (" + strings.Join(by, ",") + ") (" + expr + ")"
		}
	}
	named := func(n string) func(...string) string {
		return func(by ...string) string { return Expr(n, component, window, by...) }
	}
	for _, q := range []struct {
		expr func(by ...string) string
		into func(*Line) *float64
	}{
		{named("requests"), func(l *Line) *float64 { return &l.Requests }}, {named("errors"), func(l *Line) *float64 { return &l.Errors }},
		{named("latency-p50"), func(l *Line) *float64 { return &l.P50 }}, {named("latency-p95"), func(l *Line) *float64 { return &l.P95 }},
		{named("latency-p99"), func(l *Line) *float64 { return &l.P99 }}, {named("cpu"), func(l *Line) *float64 { return &l.CPU }},
		{named("memory"), func(l *Line) *float64 { return &l.Memory }}, {sum("awan_instance_memory_bytes" + c), func(l *Line) *float64 { return &l.MemoryBytes }},
		{sum("rate(awan_instance_network_receive_bytes_total" + c + w + ")"), func(l *Line) *float64 { return &l.Receive }},
		{sum("rate(awan_instance_network_transmit_bytes_total" + c + w + ")"), func(l *Line) *float64 { return &l.Transmit }},
		{sum("awan_instance_restarts_total" + c), func(l *Line) *float64 { return &l.Restarts }},
	} {
		all, ok, err := v.Value(ctx, q.expr(), at)
		if err != nil {
			return nil, err
		}
		if ok {
			*q.into(&total) = all
		}
		a, err := v.Query(ctx, q.expr("instance", "release", "lane"), at)
		if err != nil {
			return nil, err
		}
		vector, _ := a.Value.(promql.Vector)
		for _, s := range vector {
			in := s.Metric.Get("instance")
			if in == "" || math.IsNaN(s.F) {
				continue
			}
			l := each[in]
			if l == nil {
				l = &Line{Instance: id.ID(in), Lane: s.Metric.Get("lane")}
				l.Release, _ = strconv.Atoi(s.Metric.Get("release"))
				each[in] = l
			}
			*q.into(l) = s.F
		}
	}
	out := []Line{total}
	for _, l := range each {
		out = append(out, *l)
	}
	slices.SortFunc(out[1:], func(a, b Line) int { return strings.Compare(string(a.Instance), string(b.Instance)) })
	return out, nil
}
