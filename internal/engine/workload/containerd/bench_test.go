package containerd_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// BenchmarkStart measures a container's start with its image unpacked: Ensure of a fresh instance with every limit on.
func BenchmarkStart(b *testing.B) {
	e, ref := open(b)
	ctx := context.Background()
	want := workload.Want{Image: ref, Command: []string{"sleep", "600"}, MilliCPU: 500, MemoryMiB: 64, Pids: 32, StorageMiB: 64,
		Network: workload.Network{Tenant: "bench"}}
	if err := e.Prefetch(ctx, ref); err != nil {
		b.Fatal(err)
	}
	var took, gone []time.Duration
	for b.Loop() {
		i := id.New()
		begin := time.Now()
		if _, err := e.Ensure(ctx, i, want); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
		begin = time.Now()
		if err := e.Destroy(ctx, i); err != nil {
			b.Fatal(err)
		}
		gone = append(gone, time.Since(begin))
	}
	report(b, took, "start")
	report(b, gone, "destroy")
}

func report(b *testing.B, d []time.Duration, name string) {
	slices.Sort(d)
	ms := func(p float64) float64 { return float64(d[int(p*float64(len(d)-1))].Microseconds()) / 1000 }
	b.ReportMetric(ms(0.5), name+"-p50-ms")
	b.ReportMetric(ms(0.99), name+"-p99-ms")
}

// BenchmarkOpen measures taking over 20 running containers, as after a restart of the cloud's process.
func BenchmarkOpen(b *testing.B) {
	h := harness(b)
	for range 20 {
		if _, err := h.Engine.Ensure(context.Background(), id.New(), workload.Want{Image: h.Image, Command: []string{"sleep", "600"}, Network: workload.Network{Tenant: "bench"}}); err != nil {
			b.Fatal(err)
		}
	}
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		h = h.Reopen(b)
		took = append(took, time.Since(begin))
	}
	report(b, took, "open")
}

// BenchmarkMemory tells what one more idle container takes: its shim, as resident and as private memory.
func BenchmarkMemory(b *testing.B) {
	e, ref := open(b)
	ctx := context.Background()
	var ids []id.ID
	for b.Loop() {
		i := id.New()
		if _, err := e.Ensure(ctx, i, workload.Want{Image: ref, Command: []string{"sleep", "600"}, Network: workload.Network{Tenant: "bench"}}); err != nil {
			b.Fatal(err)
		}
		ids = append(ids, i)
	}
	time.Sleep(4 * time.Second) // the shims give memory back after three
	var rss, private float64
	n := 0.0
	procs, _ := os.ReadDir("/proc")
	for _, p := range procs {
		cmd, _ := os.ReadFile("/proc/" + p.Name() + "/cmdline")
		if !strings.Contains(string(cmd), "containerd-shim-runc-v2") || !slices.ContainsFunc(ids, func(i id.ID) bool { return strings.Contains(string(cmd), string(i)) }) {
			continue
		}
		r, q := rollup(p.Name())
		rss, private, n = rss+r, private+q, n+1
	}
	r, q := rollup("self")
	b.ReportMetric(rss/n, "shim-rss-MiB")
	b.ReportMetric(private/n, "shim-private-MiB")
	b.ReportMetric(r, "engine-rss-MiB")
	b.ReportMetric(q, "engine-private-MiB")
}

func rollup(pid string) (rss, private float64) {
	f, _ := os.ReadFile("/proc/" + pid + "/smaps_rollup")
	for line := range strings.Lines(string(f)) {
		var kb float64
		if _, err := fmt.Sscanf(line, "Rss: %f kB", &kb); err == nil {
			rss = kb / 1024
		}
		if _, err := fmt.Sscanf(line, "Private_Dirty: %f kB", &kb); err == nil {
			private += kb / 1024
		}
	}
	return rss, private
}
