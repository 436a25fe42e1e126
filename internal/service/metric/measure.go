package metric

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// Measure reads every measurement once and stores it. Start calls it all the time; tests call it by themselves.
func (s *Service) Measure(ctx context.Context) error {
	if err := s.look(ctx); err != nil {
		return err
	}
	families, err := s.Registry.Gather()
	if err != nil {
		s.Log.Warn("not everything can be measured", "err", err) // what can is in families
	}
	w := s.writer(ctx, s.Now())
	for _, f := range families {
		w.family(f, nil)
	}
	s.scrape(ctx, w)
	return w.commit()
}

// writer stores the samples of one moment.
type writer struct {
	s       *Service
	app     storage.Appender
	at      int64
	builder labels.ScratchBuilder
	wrote   map[uint64]labels.Labels
	err     error
}

func (s *Service) writer(ctx context.Context, at time.Time) *writer {
	return &writer{s: s, app: s.db.Appender(ctx), at: timestamp.FromTime(at), wrote: map[uint64]labels.Labels{}}
}

// commit stores what was written, and ends the series that were there the last time and are not now: without that they
// would be taken to go on for five minutes.
func (w *writer) commit() error {
	s := w.s
	s.mu.Lock()
	was := s.alive
	s.alive = w.wrote
	s.mu.Unlock()
	for h, l := range was {
		if _, ok := w.wrote[h]; !ok {
			w.add(l, math.Float64frombits(value.StaleNaN))
		}
	}
	if w.err != nil {
		_ = w.app.Rollback()
		return w.err
	}
	return w.app.Commit()
}

func (w *writer) add(l labels.Labels, v float64) {
	if w.err != nil {
		return
	}
	// Older than what is there: the clock was set back, or two measurements came at once. The newer one stays.
	if _, err := w.app.Append(0, l, w.at, v); err != nil && !isOld(err) {
		w.err = err
	}
}

func isOld(err error) bool {
	for _, old := range []error{storage.ErrOutOfOrderSample, storage.ErrOutOfBounds, storage.ErrDuplicateSampleForTimestamp, storage.ErrTooOldSample} {
		if strings.Contains(err.Error(), old.Error()) {
			return true
		}
	}
	return false
}

// one writes one sample. Labels in force take the place of those that the sample brings.
func (w *writer) one(name string, pairs []*dto.LabelPair, force map[string]string, extraName, extraValue string, v float64) {
	w.builder.Reset()
	w.builder.Add(model.MetricNameLabel, name)
	for _, p := range pairs {
		if p.GetValue() == "" {
			continue
		}
		label := p.GetName()
		if _, taken := force[label]; taken {
			label = "exported_" + label
		}
		w.builder.Add(label, p.GetValue())
	}
	for k, v := range force {
		if v != "" {
			w.builder.Add(k, v)
		}
	}
	if extraName != "" {
		w.builder.Add(extraName, extraValue)
	}
	w.builder.Sort()
	l := w.builder.Labels()
	h := l.Hash()
	if _, twice := w.wrote[h]; twice {
		return
	}
	w.wrote[h] = l
	w.add(l, v)
}

// family writes the samples of one metric in the form of the text format: a histogram as its buckets, sum and count.
func (w *writer) family(f *dto.MetricFamily, force map[string]string) (n int) {
	name := f.GetName()
	for _, m := range f.GetMetric() {
		put := func(suffix, extra, value string, v float64) {
			w.one(name+suffix, m.GetLabel(), force, extra, value, v)
			n++
		}
		switch {
		case m.Counter != nil:
			put("", "", "", m.Counter.GetValue())
		case m.Gauge != nil:
			put("", "", "", m.Gauge.GetValue())
		case m.Untyped != nil:
			put("", "", "", m.Untyped.GetValue())
		case m.Summary != nil:
			for _, q := range m.Summary.GetQuantile() {
				put("", "quantile", number(q.GetQuantile()), q.GetValue())
			}
			put("_sum", "", "", m.Summary.GetSampleSum())
			put("_count", "", "", float64(m.Summary.GetSampleCount()))
		case m.Histogram != nil:
			inf := false
			for _, b := range m.Histogram.GetBucket() {
				inf = inf || math.IsInf(b.GetUpperBound(), 1)
				put("_bucket", "le", number(b.GetUpperBound()), float64(b.GetCumulativeCount()))
			}
			if !inf {
				put("_bucket", "le", "+Inf", float64(m.Histogram.GetSampleCount()))
			}
			put("_sum", "", "", m.Histogram.GetSampleSum())
			put("_count", "", "", float64(m.Histogram.GetSampleCount()))
		}
	}
	return n
}

func number(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
