package app

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/metric"
)

// BenchmarkIngressObserved is a request through the ingress, counted and not.
func BenchmarkIngressObserved(b *testing.B) {
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer inner.Close()
	m, err := metric.Open(metric.Options{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	for _, name := range []string{"without", "with"} {
		g := newIngress(slog.New(slog.DiscardHandler))
		if name == "with" {
			g.Observe = func(o Observation) {
				m.Traffic.Observe(metric.Observation{Component: o.Component, Instance: o.Instance, Release: o.Release, Method: o.Method, Status: o.Status, Duration: o.Duration, Bytes: o.Out})
			}
		}
		component := id.New()
		g.Expose(id.New(), component, "app", netip.MustParseAddr("127.1.2.3"), "app.test")
		g.Attach(component, id.New(), 1, netip.MustParseAddrPort(inner.Listener.Addr().String()), true)
		h := g.Handler("app.test")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("GET", "http://app.test/", nil)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != 200 {
					b.Fatal(w.Code)
				}
			}
		})
	}
}
