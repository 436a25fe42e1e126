package metric

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/awancloud/awan/internal/kernel/id"
)

// TestAServerIsMeasuredByName: each name gives what its series say, of that server and of no other project's.
func TestAServerIsMeasuredByName(t *testing.T) {
	w := newTown(t)
	project, server := id.New(), id.New()
	of := prometheus.Labels{"project": string(project), "server": string(server), "name": "web"}
	counters := map[string]float64{ // a second's growth
		"cpu_seconds_total": 0.25, "disk_read_bytes_total": 2 << 20, "disk_written_bytes_total": 1 << 20, "disk_reads_total": 30, "disk_writes_total": 10,
		"network_receive_bytes_total": 1e6, "network_transmit_bytes_total": 5e5}
	made := map[string]prometheus.Counter{}
	for name := range counters {
		made[name] = prometheus.NewCounter(prometheus.CounterOpts{Name: "awan_server_" + name, ConstLabels: of})
		w.Registry.MustRegister(made[name])
	}
	for name, v := range map[string]float64{"cpu_limit_cores": 0.5, "memory_bytes": 300 << 20} {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "awan_server_" + name, ConstLabels: of})
		g.Set(v)
		w.Registry.MustRegister(g)
	}
	for range 2 {
		w.minute(func() {
			for name, c := range made {
				c.Add(counters[name] * 10)
			}
		})
	}
	got, err := w.Of(project).Server(t.Context(), server, time.Minute, w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"cpu": 50, "memory": 300, "disk-read": 2, "disk-written": 1, "disk-reads": 30, "disk-writes": 10, "network-in": 8, "network-out": 4}
	for name, v := range want {
		if math.Abs(got[name]-v) > v/5 {
			t.Errorf("%s is %v, not %v", name, got[name], v)
		}
	}
	if len(got) != len(ServerNames) || len(want) != len(ServerNames) {
		t.Errorf("of %d names %d are known", len(ServerNames), len(got))
	}
	if other, err := w.Of(w.apps[0].Project).Server(t.Context(), server, time.Minute, w.clock.Now()); err != nil || len(other) != 0 {
		t.Errorf("another project sees %v (%v)", other, err)
	}
	if ServerExpr("colour", server, time.Minute) != "" || !strings.Contains(ServerExpr("cpu", server, time.Minute), string(server)) {
		t.Error("names")
	}
}
