package servers

import (
	"context"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	machinesim "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/fabric/reach"
	"github.com/awancloud/awan/internal/service/machine"
)

// gathered is what a scrape gives, by series and server.
func gathered(t *testing.T, from prometheus.Gatherer) map[string]map[string]float64 {
	t.Helper()
	all, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]float64{}
	for _, f := range all {
		for _, m := range f.Metric {
			name, labels := strings.TrimPrefix(f.GetName(), "awan_server_"), map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["project"] == "" || labels["server"] == "" {
				t.Errorf("%s does not say whose it is: %v", name, labels)
			}
			if out[name] == nil {
				out[name] = map[string]float64{}
			}
			if out[name][labels["name"]] = m.GetCounter().GetValue(); m.Gauge != nil {
				out[name][labels["name"]] = m.GetGauge().GetValue()
			}
		}
	}
	return out
}

// TestWhatServersUseIsMeasured: each series is what its engine counts, in its unit; a server that does not run has none, and
// one whose machine does not answer takes away nobody else's.
func TestWhatServersUseIsMeasured(t *testing.T) {
	var mute atomic.Value // an id.ID
	w := newWorld(t, machinesim.Options{Before: func(_ context.Context, c machinesim.Call) error {
		if c.Method == "Observe" && mute.Load() == c.Machine {
			return fail.New(fail.Unavailable, "it does not answer")
		}
		return nil
	}})
	registry := prometheus.NewRegistry()
	registry.MustRegister(w.IaaS.Metrics())
	made := map[string]*compute.Row{}
	for _, name := range []string{"one", "two", "off"} {
		made[name] = w.do(server, call.Create, name, `{"flavor":"t6.nano.1","image":"Debian 12 small"}`).(*kind.Row[compute.ServerSpec, compute.ServerStatus])
	}
	w.do(server, "stop", "off", `{}`)
	w.machines.SetUsage(made["one"].ID, machine.Usage{CPU: 1500 * time.Millisecond, MemoryBytes: 1 << 20, ReadBytes: 10, WriteBytes: 20, ReadOps: 3, WriteOps: 4})
	to := netip.MustParseAddr(made["two"].Status.Cards[0].Addresses[0])
	for range 3 {
		if v := w.fabric.Sends(made["one"].Status.Cards[0].Port, reach.Packet{Protocol: "udp", To: to, Port: 53}); !v.Passes {
			t.Fatalf("members of a group cannot speak to each other: %+v", v)
		}
	}
	got := gathered(t, registry)
	for name, want := range map[string]float64{"cpu_seconds_total": 1.5, "cpu_limit_cores": 0.5, "memory_bytes": 1 << 20, "disk_read_bytes_total": 10,
		"disk_written_bytes_total": 20, "disk_reads_total": 3, "disk_writes_total": 4, "network_transmit_bytes_total": 192, "network_receive_bytes_total": 0, "network_dropped_packets_total": 0} {
		if v, there := got[name]["one"]; !there || v != want {
			t.Errorf("%s is %v, not %v", name, v, want)
		}
		if _, there := got[name]["off"]; there {
			t.Errorf("%s of a server that is stopped", name)
		}
	}
	if v := got["network_receive_bytes_total"]["two"]; v != 192 {
		t.Errorf("it received %v bytes", v)
	}
	mute.Store(made["two"].ID)
	got = gathered(t, registry)
	if _, there := got["memory_bytes"]["two"]; there || len(got["memory_bytes"]) != 1 {
		t.Errorf("of a machine that does not answer: %v", got["memory_bytes"])
	}
}
