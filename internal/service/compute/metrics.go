package compute

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// MetricsIn says over what time is measured.
type MetricsIn struct {
	Window kind.Span `json:"window" doc:"the time that rates are over" default:"1m" min:"30" max:"86400"`
}

func (s *Service) serveMetrics(ctx context.Context, row *serverRow, in any, st kind.Stream) error {
	if s.Measured == nil {
		return fail.New(fail.Unsupported, "nothing is measured here")
	}
	window := time.Duration(in.(*MetricsIn).Window)
	if window == 0 {
		window = time.Minute
	}
	m, err := s.Measured(ctx, row.Project, row.ID, window)
	if err != nil {
		return err
	}
	return st.Emit(map[string]any{"item": m, "window": window.String()})
}

// Cores is how much of processors a server may use.
func (s *Service) Cores(tx store.Tx, row *Row) (float64, error) {
	f, err := s.sizeOf(tx, row)
	if f.MilliCPU == 0 {
		f.MilliCPU = 1000
	}
	return float64(f.MilliCPU*row.Spec.CPUs) / 1000, err
}
