package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Metrics says where the instances of a component tell measurements of their own, in Prometheus' text format.
type Metrics struct {
	Path string `json:"path" doc:"path of the metrics, /metrics say; empty: there are none" max:"255"`
	Port int    `json:"port" doc:"their port; 0: the component's" min:"0" max:"65535"`
}

func checkMetrics(m Metrics) error {
	if m.Path != "" && (!strings.HasPrefix(m.Path, "/") || strings.ContainsAny(m.Path, " #\r\n")) {
		return fail.Field("spec.metrics.path", "must begin with / and be a path")
	}
	return nil
}

// Bounds is what a scaling policy says of a component's instances now.
type Bounds struct {
	Policy   string
	Min, Max int
}

// scale sets how many instances run, and notes why.
func (s *Service) scale(ctx context.Context, tx store.Tx, r *componentRow, in any) (string, error) {
	n, reason := *in.(*Scale).Replicas, in.(*Scale).Reason
	if err := s.bounded(ctx, tx, r, n, "replicas"); err != nil {
		return "", err
	}
	if reason == "" {
		reason = "by " + ident.From(ctx).UserName
	}
	if n != r.Spec.Replicas {
		e := event.Event{At: s.Now().UTC(), Level: event.Info, Type: "Scaled", Text: fmt.Sprintf("from %d to %d instances: %s", r.Spec.Replicas, n, reason)}
		if err := event.Emit(tx, r.ID, e); err != nil {
			return "", err
		}
	}
	r.Spec.Replicas, r.Spec.Stopped = n, false
	return "update", nil
}

// bounded refuses a number set by hand that a scaling policy would take back at once. Within its bounds the number holds
// for the policy's stabilisation time.
func (s *Service) bounded(ctx context.Context, tx store.Tx, r *componentRow, n int, field string) error {
	if s.Bounds == nil || ident.From(ctx).Method == ident.BySystem {
		return nil
	}
	b, err := s.Bounds(tx, r.ID)
	if err != nil || b == nil || n >= b.Min && n <= b.Max {
		return err
	}
	return fail.Field(field, "scaling policy %s keeps %s between %d and %d instances", b.Policy, r.Name, b.Min, b.Max).
		Then("change the policy (awan scaling-policy update %s), or delete it", b.Policy)
}

// MetricsIn says over what time is measured.
type MetricsIn struct {
	Window kind.Span `json:"window" doc:"the time that rates and percentiles are over" default:"1m" min:"30" max:"86400"`
}

func (s *Service) serveMetrics(ctx context.Context, row *componentRow, in any, st kind.Stream) error {
	if s.Measured == nil {
		return fail.New(fail.Unsupported, "nothing is measured here")
	}
	window := time.Duration(in.(*MetricsIn).Window)
	if window == 0 {
		window = time.Minute
	}
	lines, err := s.Measured(ctx, row.Project, row.Name, window)
	if err != nil {
		return err
	}
	return st.Emit(map[string]any{"items": lines, "window": window.String()})
}
