package file_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/awancloud/awan/internal/engine/object/file"
)

// long is the factor by which a test goes on when it may.
func long(factor int) int {
	if os.Getenv("AWAN_LONG") == "" {
		return 1
	}
	return factor
}

// TestPowerCut has 16 writers do random things on a disk that forgets what was not synced, all or some of it, and cuts
// the power at random points. What was acknowledged is there afterwards; what is there is whole.
func TestPowerCut(t *testing.T) {
	for _, n := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("%d folders", n), func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Log("seed", seed)
			r := rand.New(rand.NewPCG(seed, 1))
			disk := newSimDisk()
			disk.lazy = true
			var paths []string
			for i := range n {
				paths = append(paths, fmt.Sprintf("/disk%d", i))
			}
			m := newModel()
			cuts := 0
			for round := range 6 * long(20) {
				opts := small(paths)
				opts.Disk, opts.Reserve = disk, 64<<10
				disk.mu.Lock()
				disk.cutIn = 1 + r.IntN(3000)
				if round%3 == 1 {
					disk.cutIn = 1 + r.IntN(60) // during the start
				}
				disk.mu.Unlock()
				e, err := file.Open(opts)
				if err == nil {
					var wg sync.WaitGroup
					for w := range 16 {
						wg.Go(func() {
							r := rand.New(rand.NewPCG(seed+uint64(round), uint64(w)))
							if err := m.work(t.Context(), e, r, 40, 600_000); err != nil && !errors.Is(err, errDark) {
								t.Errorf("round %d: %v", round, err)
							}
						})
					}
					wg.Wait()
					if round%4 == 3 {
						_ = e.Close() // a clean end, unless the power went before
					}
				} else if !errors.Is(err, errDark) {
					t.Fatal(err)
				}
				if disk.isDead() {
					cuts++
				}
				keep := []float64{0, 0.5, 1, r.Float64()}[r.IntN(4)]
				disk = disk.cut(r, keep)
				if e != nil {
					_ = e.Close()
				}
				opts.Disk = disk
				again := open(t, opts)
				m.check(t, again)
				if t.Failed() {
					t.Fatalf("round %d, kept %.2f of what was not synced", round, keep)
				}
				if err := again.Close(); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("%d blobs of %d MiB were acknowledged; %d are there; %d cuts came in the middle", m.puts, m.bytes>>20, len(m.must), cuts)
		})
	}
}

func (d *simDisk) isDead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}
