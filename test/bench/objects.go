package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
)

// objects measures small and large objects, beside the stores whose programs are at hand: MinIO (which syncs the data of
// an upload, not its folder) and versitygw (which syncs nothing), each over TLS and in clear text, with signed requests.
// The aims of issue 4 were set in clear text, where clients sign the payload too.
func objects(b *bench) {
	p := b.cloud()
	began := memory(p)
	stores := map[string][]store{}
	for _, way := range ways {
		stores[way.name] = append([]store{b.ours(p, way.tls)}, b.peers(way.tls)...)
		for _, s := range stores[way.name] {
			if there, err := s.cl.BucketExists(context.Background(), "bench"); err == nil && there {
				continue // ours, by the other way
			}
			if err := s.cl.MakeBucket(context.Background(), "bench", minio.MakeBucketOptions{}); err != nil {
				b.Fatalf("%s: %v", s.name, err)
			}
		}
	}
	for _, m := range []struct {
		what  string
		size  int
		write bool
		aim   string // server CPU per operation
	}{
		{"put 4 KiB", 4 << 10, true, "<= 350"}, {"get 4 KiB", 4 << 10, false, "<= 150"},
		{"put 1 MiB", 1 << 20, true, "<= 2600"}, {"get 1 MiB", 1 << 20, false, "<= 1000"},
	} {
		for _, clients := range []int{8, 32} {
			for _, way := range ways {
				aim := m.aim
				if way.tls {
					aim = ""
				}
				b.hammerAll(stores[way.name], m.size, m.write, clients, fmt.Sprintf("%s, %d clients, %s", m.what, clients, way.name), aim)
			}
		}
	}
	now := memory(p)
	b.add("memory of the process after it", "MiB", now["VmRSS"]).aim("<= 150")
	b.add("memory after it: of that its own program file", "MiB", now["RssFile"])
	b.add("memory before it", "MiB", began["VmRSS"])
	for _, s := range stores[ways[0].name][1:] {
		b.add("memory of "+s.name+" after it (one of its two processes)", "MiB", memoryOf(s.pid)["VmRSS"])
	}
	b.lists(stores[ways[len(ways)-1].name])
}

// hammerAll has stores do the same one after another: ours first, the next one beside it, others in rows of their own.
func (b *bench) hammerAll(stores []store, size int, write bool, clients int, what, aim string) {
	for i, s := range stores {
		rate, cost := b.hammer(s, size, write, clients)
		switch n := len(b.rows); i {
		case 0:
			b.add(what, "/s", rate)
			b.add(what+": server CPU", "µs", cost).aim(aim)
		case 1:
			b.rows[n-2].beside(rate, "("+s.name+")")
			b.rows[n-1].beside(cost, "("+s.name+")")
		default:
			b.add(what+", "+s.name, "/s", rate)
			b.add(what+", "+s.name+": server CPU", "µs", cost)
		}
	}
}

// hammer puts or gets objects for a spell; it gives operations per second and the server's CPU per operation in µs.
func (b *bench) hammer(s store, size int, write bool, clients int) (rate, cost float64) {
	ctx := context.Background()
	body := bytes.Repeat([]byte("awan"), size/4)
	put := func(i int64) error {
		_, err := s.cl.PutObject(ctx, "bench", fmt.Sprintf("%d/%d", size, i%1000), bytes.NewReader(body), int64(size), minio.PutObjectOptions{DisableMultipart: true})
		return err
	}
	for i := range int64(100) {
		if err := put(i); err != nil {
			b.Fatalf("%s: %v", s.name, err)
		}
	}
	get := func(i int64) error {
		o, err := s.cl.GetObject(ctx, "bench", fmt.Sprintf("%d/%d", size, i%100), minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer func() { _ = o.Close() }()
		n, err := io.Copy(io.Discard, o)
		if err == nil && n != int64(size) {
			err = fmt.Errorf("%d bytes", n)
		}
		return err
	}
	do := get
	if write {
		do = put
	}
	var n, failed atomic.Int64
	before, began := processTime(s.pid), time.Now()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for time.Since(began) < spell {
				if err := do(n.Add(1)); err != nil {
					if failed.Add(1) == 1 {
						b.Logf("%s: %v", s.name, err)
					}
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	if failed.Load() > 0 {
		b.Fatalf("%s: %d of %d operations failed", s.name, failed.Load(), n.Load())
	}
	ops := float64(n.Load())
	return ops / took.Seconds(), float64((processTime(s.pid) - before).Microseconds()) / ops
}

// lists measures pages of a large bucket, and deletes.
func (b *bench) lists(stores []store) {
	ctx := context.Background()
	const objects, page = 10_000, 1000
	var pages, deletes []float64
	for _, s := range stores {
		var n atomic.Int64
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for i := n.Add(1); i <= objects; i = n.Add(1) {
					if _, err := s.cl.PutObject(ctx, "bench", fmt.Sprintf("list/%03d/%06d", i%100, i), strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
						b.Logf("%s: %v", s.name, err)
						return
					}
				}
			})
		}
		wg.Wait()
		began, seen := time.Now(), 0
		for o := range s.cl.ListObjects(ctx, "bench", minio.ListObjectsOptions{Prefix: "list/", Recursive: true, MaxKeys: page}) {
			if o.Err != nil {
				b.Fatalf("%s: %v", s.name, o.Err)
			}
			seen++
		}
		pages = append(pages, float64(seen)/time.Since(began).Seconds())
		began = time.Now()
		for i := range 500 {
			if err := s.cl.RemoveObject(ctx, "bench", fmt.Sprintf("list/%03d/%06d", (i+1)%100, i+1), minio.RemoveObjectOptions{}); err != nil {
				b.Fatalf("%s: %v", s.name, err)
			}
		}
		deletes = append(deletes, 500/time.Since(began).Seconds())
	}
	for what, rates := range map[string][]float64{"names listed, 10,000 in pages of 1,000, 1 client": pages, "delete, 1 client": deletes} {
		b.add(what, "/s", rates[0])
		if len(stores) > 1 {
			b.rows[len(b.rows)-1].beside(rates[1], "("+stores[1].name+")")
		}
		for i, s := range stores[min(2, len(stores)):] {
			b.add(what+", "+s.name, "/s", rates[i+2])
		}
	}
}

// processTime is the CPU a process used so far, in user and system.
func processTime(pid int) time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}
