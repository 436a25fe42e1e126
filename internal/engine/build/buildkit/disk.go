package buildkit

import (
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// meter counts what one build writes to disk and cancels it beyond its limit. The file system's free space, which is
// cheap to ask for, says when it is worth walking the folders that running steps write to.
type meter struct {
	dir   string
	limit int64

	mu   sync.Mutex
	done int64 // what finished steps left
}

// bomb is how many times a build may be refused another process.
const bomb = 5000

// reserve is what builds leave free on the disk whatever their limits say.
const reserve = 1 << 30

func newMeter(dir string, limit int64) *meter { return &meter{dir: dir, limit: limit} }

// watch is a step being watched.
type watch struct {
	meter *meter
	run   *run
	quit  chan struct{}
	over  sync.WaitGroup

	mu      sync.Mutex
	folders map[string]int64 // what was there before the step, per folder; -1 until it is known
}

// watch begins to watch a step of r; stop ends it and adds up what the step left.
func (m *meter) watch(r *run) *watch {
	w := &watch{meter: m, run: r, quit: make(chan struct{}), folders: map[string]int64{}}
	w.over.Go(w.loop)
	return w
}

// add names a folder that the step writes to. A step's own root counts from nothing; a cache counts what is added to it.
func (w *watch) add(folder string, root bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.folders[folder]; known {
		return
	}
	w.folders[folder] = 0
	if !root {
		w.folders[folder] = -1
		w.over.Go(func() {
			before := size(folder)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.folders[folder] = before
		})
	}
}

func (w *watch) stop() {
	close(w.quit)
	w.over.Wait()
	n := w.written()
	w.meter.mu.Lock()
	defer w.meter.mu.Unlock()
	w.meter.done += n
}

// written is how much the step's folders grew.
func (w *watch) written() int64 {
	w.mu.Lock()
	folders := make(map[string]int64, len(w.folders))
	for f, before := range w.folders {
		folders[f] = before
	}
	w.mu.Unlock()
	total := int64(0)
	for f, before := range folders {
		if before >= 0 {
			total += max(0, size(f)-before)
		}
	}
	return total
}

func (w *watch) loop() {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	begun := free(w.meter.dir)
	asked, left := time.Now(), w.meter.limit/4
	for {
		select {
		case <-w.quit:
			return
		case <-tick.C:
		}
		// The kernel holds the limit on processes; a step that goes on trying does nothing else.
		if w.run.cgroup.refused() > bomb {
			w.run.cancel(fail.New(fail.Invalid, "the build went on starting processes beyond its limit of %d", w.run.want.Limits.Pids).
				Then("start fewer at a time, or raise the build's limit of processes"))
			return
		}
		now := free(w.meter.dir)
		if now < reserve {
			w.run.cancel(fail.New(fail.NoSpace, "the machine's disk is nearly full").Then("the operator must make room"))
			return
		}
		// The walk is worth it when enough is gone to reach the limit, or after a while, for a great many small files.
		if begun-now < left && time.Since(asked) < 5*time.Second {
			continue
		}
		w.meter.mu.Lock()
		used := w.meter.done
		w.meter.mu.Unlock()
		used += w.written()
		if used > w.meter.limit {
			w.run.cancel(fail.New(fail.Invalid, "the build wrote more than its disk limit of %d MiB", w.meter.limit>>20).
				Then("write less, or raise the build's disk limit"))
			return
		}
		begun, asked, left = now, time.Now(), max((w.meter.limit-used)/2, 16<<20)
	}
}

// free is the room left on the file system, in bytes.
func free(dir string) int64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 1 << 62
	}
	return int64(s.Bavail) * s.Bsize
}

// size adds up what a folder's files take on disk, and a little for each file itself.
func size(dir string) int64 {
	total := int64(0)
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it vanished meanwhile
		}
		if info, err := d.Info(); err == nil {
			if s, ok := info.Sys().(*syscall.Stat_t); ok {
				total += s.Blocks*512/int64(max(1, s.Nlink)) + 512
			}
		}
		return nil
	})
	return total
}
