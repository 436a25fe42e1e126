// Package metric keeps time series of what runs in the cloud, answers PromQL over them, and raises alarms.
//
// The series are kept by Prometheus' own storage and asked by its own engine, both as libraries. Every series of a tenant
// carries the label project, and a reader of one project is given a view that holds nothing else. It may import the
// kernel; what it measures is handed to it by the cloud's wiring.
package metric

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// Defaults of Options.
const (
	DefaultEvery     = 10 * time.Second
	DefaultRetention = 15 * 24 * time.Hour
	DefaultMaxBytes  = 2 << 30
)

// Bounds of one query.
const (
	queryTime    = 30 * time.Second
	querySamples = 5_000_000
	lookback     = 5 * time.Minute
)

// Options say what is measured and where it is kept.
type Options struct {
	Dir       string
	Source    Source        // the apps that run; nil: none
	Every     time.Duration // between two measurements
	Retention time.Duration // how long series are kept
	MaxBytes  int64         // on disk; the oldest go first
	Now       clock.Clock
	Log       *slog.Logger
}

// Service is the metrics service.
type Service struct {
	Options
	Traffic  *Traffic
	Registry *prometheus.Registry // what is measured; others may add collectors before Start

	db     *tsdb.DB
	engine *promql.Engine
	client *http.Client // of scrapes

	mu         sync.Mutex
	components []Component // as they were at the newest measurement
	usage      map[string]Usage
	alive      map[uint64]labels.Labels // series of the newest measurement
	stop       context.CancelFunc
	running    sync.WaitGroup
}

// Open opens the storage in o.Dir, making it when it is absent.
func Open(o Options) (*Service, error) {
	if o.Every == 0 {
		o.Every = DefaultEvery
	}
	if o.Retention == 0 {
		o.Retention = DefaultRetention
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fail.Wrap(err, fail.Unavailable, "the folder for metrics cannot be made")
	}
	s := &Service{Options: o, Registry: prometheus.NewRegistry(), client: scrapeClient()}
	s.Traffic = newTraffic(s)
	s.Registry.MustRegister(s.Traffic, &instances{s})
	if err := s.openDB(); err != nil {
		return nil, err
	}
	s.engine = promql.NewEngine(promql.EngineOpts{Logger: quiet(o.Log), MaxSamples: querySamples, Timeout: queryTime, LookbackDelta: lookback,
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: language,
		NoStepSubqueryIntervalFn: func(int64) int64 { return o.Every.Milliseconds() }})
	return s, nil
}

// openDB opens the storage. What a crash left half written is repaired or, where it cannot be, put aside: measurements
// must never keep the cloud from starting.
func (s *Service) openDB() (err error) {
	o := tsdb.DefaultOptions()
	o.RetentionDuration, o.MaxBytes = s.Retention.Milliseconds(), s.MaxBytes
	o.WALCompression, o.WALSegmentSize = compression.Snappy, 4<<20
	o.StripeSize, o.HeadChunksWriteBufferSize = 256, 64<<10 // a small cloud has few series: the defaults are for millions
	o.NoLockfile = true                                     // the store's lock guards the whole data folder
	if s.db, err = tsdb.Open(s.Dir, quiet(s.Log), nil, o, nil); err == nil {
		return nil
	}
	aside := s.Dir + ".damaged-" + s.Now().UTC().Format("20060102T150405")
	s.Log.Error("metrics cannot be read; they are put aside and begun anew", "folder", filepath.Base(aside), "err", err)
	if err := os.Rename(s.Dir, aside); err != nil {
		return fail.Wrap(err, fail.Unavailable, "the metrics cannot be read, nor put aside")
	}
	if s.db, err = tsdb.Open(s.Dir, quiet(s.Log), nil, o, nil); err != nil {
		return fail.Wrap(err, fail.Unavailable, "the metrics cannot be stored")
	}
	return nil
}

// quiet keeps the library's chatter (every compaction, every replay) out of the log unless it is a warning.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(atLeast{log.Handler()}) }

type atLeast struct{ slog.Handler }

// Enabled lets warnings and errors through.
func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// WithAttrs keeps the level.
func (h atLeast) WithAttrs(a []slog.Attr) slog.Handler { return atLeast{h.Handler.WithAttrs(a)} }

// WithGroup keeps the level.
func (h atLeast) WithGroup(n string) slog.Handler { return atLeast{h.Handler.WithGroup(n)} }

// Start begins to measure.
func (s *Service) Start(ctx context.Context) {
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.running.Go(func() {
		t := time.NewTicker(s.Every)
		defer t.Stop()
		for {
			if err := s.Measure(ctx); err != nil && ctx.Err() == nil {
				s.Log.Warn("measurements cannot be stored", "err", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	})
}

// Close stops measuring and closes the storage.
func (s *Service) Close() error {
	if s.stop != nil {
		s.stop()
	}
	s.running.Wait()
	return s.db.Close()
}
