package qemu_test

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
	"github.com/awancloud/awan/test/guest"
)

// BenchmarkEnsure measures from Ensure to a machine that runs: with a disk, a card, a seed, and a kernel to boot.
func BenchmarkEnsure(b *testing.B) {
	o := options(b)
	e := open(b, o)
	b.Cleanup(func() { _ = e.Purge(context.Background()) })
	g := guest.Get(b)
	want := func() machine.Want {
		return machine.Want{Name: "bench", CPUs: 1, MemoryMiB: 128, Running: true, UUID: id.New().Dashed(),
			Disks:  []machine.Disk{{ID: id.New(), Device: "vda", Drive: disk(b, 1<<30)}},
			NICs:   []machine.NIC{nic(b)},
			Seed:   map[string][]byte{"meta-data": []byte("instance-id: i\n"), "user-data": []byte("#cloud-config\n")},
			Kernel: &machine.Kernel{Image: g.Kernel, Initrd: g.Initrd, Command: g.Command}}
	}
	if _, err := e.Ensure(b.Context(), id.New(), machine.Want{CPUs: 1, MemoryMiB: 16, Running: true}); err != nil { // the probe is over then
		b.Fatal(err)
	}
	b.Run("one by one", func(b *testing.B) {
		var times []time.Duration
		for b.Loop() {
			b.StopTimer()
			i, w := id.New(), want()
			b.StartTimer()
			began := time.Now()
			if _, err := e.Ensure(b.Context(), i, w); err != nil {
				b.Fatal(err)
			}
			times = append(times, time.Since(began))
			b.StopTimer()
			if err := e.Destroy(context.Background(), i); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		report(b, times)
	})
	b.Run("20 at once", func(b *testing.B) {
		var times []time.Duration
		for b.Loop() {
			b.StopTimer()
			wants, ids := make([]machine.Want, 20), make([]id.ID, 20)
			for n := range wants {
				wants[n], ids[n] = want(), id.New()
			}
			b.StartTimer()
			var wg sync.WaitGroup
			var mu sync.Mutex
			for n := range wants {
				wg.Go(func() {
					began := time.Now()
					if _, err := e.Ensure(b.Context(), ids[n], wants[n]); err != nil {
						b.Error(err)
					}
					mu.Lock()
					times = append(times, time.Since(began))
					mu.Unlock()
				})
			}
			wg.Wait()
			b.StopTimer()
			for _, i := range ids {
				if err := e.Destroy(context.Background(), i); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
		}
		report(b, times)
	})
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		b.Logf("load %s", load)
	}
}

func report(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Milliseconds()), "p50-ms")
	b.ReportMetric(float64(times[len(times)*9/10].Milliseconds()), "p90-ms")
	b.ReportMetric(float64(times[len(times)-1].Milliseconds()), "max-ms")
}
