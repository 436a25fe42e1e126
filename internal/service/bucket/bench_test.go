package bucket_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/engine/object/file"
	"github.com/awancloud/awan/internal/kernel/store/pebble"
	"github.com/awancloud/awan/internal/service/bucket"
)

// real is a world on the real store and the real engine.
func real(b testing.TB) *world {
	b.Helper()
	s, err := pebble.Open(b.TempDir(), pebble.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	blobs, err := file.Open(file.Options{Dirs: []string{b.TempDir()}, Reserve: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = blobs.Close(); _ = s.Close() })
	return startOn(b, s, blobs)
}

// cpu gives the process' time, of user and system.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkObjects is the model without the wire: durable, encrypted, authorised. cpu-µs is all of the process'.
func BenchmarkObjects(b *testing.B) {
	w := real(b)
	w.bucket("bench", bucket.BucketSpec{})
	for _, size := range []int{4 << 10, 1 << 20} {
		body := make([]byte, size)
		var n atomic.Int64
		run := func(name string, f func(i int64) error) {
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				b.SetParallelism(16)
				b.SetBytes(int64(size))
				began := cpu()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := f(n.Add(1)); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-µs/op")
			})
		}
		run("put", func(i int64) error {
			_, err := w.Put(b.Context(), w.me, &bucket.PutInput{Bucket: "bench", Key: fmt.Sprint(size, "/", i%1000), Body: bytes.NewReader(body), Size: int64(size)})
			return err
		})
		w.put("bench", "read", string(body))
		run("get", func(i int64) error {
			c, err := w.Get(b.Context(), w.me, &bucket.GetInput{Bucket: "bench", Key: "read"})
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, c.Body)
			_ = c.Body.Close()
			return err
		})
	}
	for i := range 2000 {
		w.put("bench", fmt.Sprintf("list/%05d", i), "")
	}
	b.Run("list/1000", func(b *testing.B) {
		for b.Loop() {
			if _, err := w.List(b.Context(), w.me, &bucket.ListInput{Bucket: "bench", Prefix: "list/", Max: 1000}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
