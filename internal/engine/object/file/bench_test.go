package file_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/engine/object/file"
	"github.com/awancloud/awan/internal/service/object"
	"github.com/awancloud/awan/internal/service/object/objecttest"
)

// cpu is what this process has used.
func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// measure has writers do b.N operations between them, and reports the CPU that each took.
func measure(b *testing.B, writers int, op func() error) {
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	before := cpu()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := op(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

var benchSizes = []struct {
	name string
	size int
}{{"4KiB", 4096}, {"64KiB", object.Block}, {"1MiB", 16 * object.Block}}

// BenchmarkPut writes through the engine, and beside it one file per object with fsync of the file and of its folder.
func BenchmarkPut(b *testing.B) {
	for _, s := range benchSizes {
		c := objecttest.Content(1, s.size)
		for _, writers := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("%s/%d/engine", s.name, writers), func(b *testing.B) {
				e := open(b, file.Options{Dirs: dirs(b, 1)})
				measure(b, writers, func() error {
					_, err := objecttest.Put(b.Context(), e, c, int64(s.size), object.Block)
					return err
				})
				if err := e.Close(); err != nil {
					b.Fatal(err)
				}
			})
			b.Run(fmt.Sprintf("%s/%d/files", s.name, writers), func(b *testing.B) {
				dir := dirs(b, 1)[0]
				if err := os.Mkdir(dir, 0o700); err != nil {
					b.Fatal(err)
				}
				var n atomic.Int64
				measure(b, writers, func() error { return filePerObject(dir, n.Add(1), c) })
			})
		}
	}
}

func filePerObject(dir string, n int64, c []byte) error {
	name := filepath.Join(dir, fmt.Sprint(n))
	f, err := os.Create(name + ".new")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Write(c); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// BenchmarkGet opens, reads and closes one of 1,000 blobs, most of them in sealed volumes.
func BenchmarkGet(b *testing.B) {
	for _, s := range benchSizes {
		for _, readers := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/%d", s.name, readers), func(b *testing.B) {
				e := open(b, file.Options{Dirs: dirs(b, 1), VolumeBlobs: 100})
				var refs []object.Ref
				for i := range 200 {
					ref, err := objecttest.Put(b.Context(), e, objecttest.Content(uint64(i), s.size), int64(s.size), object.Block)
					if err != nil {
						b.Fatal(err)
					}
					refs = append(refs, ref)
				}
				pool := sync.Pool{New: func() any { p := make([]byte, s.size); return &p }}
				var n atomic.Int64
				measure(b, readers, func() error {
					r, err := e.Open(b.Context(), refs[int(n.Add(7919))%len(refs)])
					if err != nil {
						return err
					}
					p := pool.Get().(*[]byte)
					if _, err := r.ReadAt(*p, 0); err != nil {
						return err
					}
					pool.Put(p)
					return r.Close()
				})
				if err := e.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// BenchmarkIdle tells what a store with many blobs takes of memory while nothing happens.
func BenchmarkIdle(b *testing.B) {
	disk := dirs(b, 1)
	e := open(b, file.Options{Dirs: disk})
	const blobs = 200_000
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range blobs / 64 {
				if _, err := objecttest.Put(b.Context(), e, []byte("some bytes"), 10, 10); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		before := heap()
		begin := time.Now()
		e := open(b, file.Options{Dirs: disk})
		b.ReportMetric(float64(time.Since(begin).Microseconds())/1000, "ms/open")
		if _, err := e.Space(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(heap()-before)/blobs, "heap-B/blob")
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
