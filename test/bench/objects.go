package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/awancloud/awan/internal/adminenv"
)

// store is an object store under measurement.
type store struct {
	name string
	pid  int
	cl   *minio.Client
}

// objects measures small and large objects, beside the stores whose programs are at hand: MinIO (which syncs the data of
// an upload, not its folder) and versitygw (which syncs nothing). They speak clear text with signed bodies, we TLS.
func objects(b *bench) {
	p := b.cloud()
	env, err := adminenv.Read(filepath.Join(p.Data, adminenv.File))
	if err != nil {
		b.Fatalf("%v", err)
	}
	stores := []store{{"awan", p.Pid(), b.client(p.Addr(), env["AWAN_ACCESS_KEY"], env["AWAN_SECRET_KEY"], p.HTTPClient(64))}}
	for _, peer := range []struct {
		name string
		args func(dir, addr string) []string
		env  []string
	}{
		{"minio", func(dir, addr string) []string { return []string{"server", dir, "--address", addr, "--quiet"} },
			[]string{"MINIO_ROOT_USER=benchbench", "MINIO_ROOT_PASSWORD=benchbench", "MINIO_BROWSER=off"}},
		{"versitygw", func(dir, addr string) []string {
			return []string{"--port", addr, "--access", "benchbench", "--secret", "benchbench", "posix", dir}
		}, nil},
	} {
		s, why := b.objectPeer(peer.name, peer.args, peer.env)
		if why != "" {
			b.Logf("bench: %s is not beside us: %s", peer.name, why)
			continue
		}
		stores = append(stores, s)
	}
	for _, s := range stores {
		if err := s.cl.MakeBucket(context.Background(), "bench", minio.MakeBucketOptions{}); err != nil {
			b.Fatalf("%s: %v", s.name, err)
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
			var rates, costs []float64
			for _, s := range stores {
				rate, cost := b.hammer(s, m.size, m.write, clients)
				rates, costs = append(rates, rate), append(costs, cost)
			}
			what := fmt.Sprintf("%s, %d clients", m.what, clients)
			at := len(b.rows)
			b.add(what, "/s", rates[0])
			b.add(what+": server CPU", "µs", costs[0]).aim(m.aim)
			for i, s := range stores[1:] {
				if i == 0 {
					b.rows[at].beside(rates[1], "("+s.name+")")
					b.rows[at+1].beside(costs[1], "("+s.name+")")
					continue
				}
				b.add(what+", "+s.name, "/s", rates[i+1])
				b.add(what+", "+s.name+": server CPU", "µs", costs[i+1])
			}
		}
	}
	b.add("memory of the process after it", "MB", float64(p.RSS())/1e6).aim("<= 150")
	b.lists(stores)
}

func (b *bench) client(addr, access, secret string, h *http.Client) *minio.Client {
	o := &minio.Options{Creds: credentials.NewStaticV4(access, secret, ""), Region: "us-east-1", BucketLookup: minio.BucketLookupPath}
	if h != nil {
		o.Secure, o.Transport = true, h.Transport
	}
	cl, err := minio.New(addr, o)
	if err != nil {
		b.Fatalf("%v", err)
	}
	return cl
}

// objectPeer starts another store in a folder of its own; why says what is missing.
func (b *bench) objectPeer(name string, args func(dir, addr string) []string, env []string) (s store, why string) {
	program, err := exec.LookPath(name)
	if err != nil {
		return s, "the program is not installed"
	}
	dir, err := os.MkdirTemp(b.dir, name+"-")
	if err != nil {
		b.Fatalf("%v", err)
	}
	addr := "127.0.0.1:" + freePort(b)
	cmd := exec.Command(program, args(dir, addr)...)
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		return s, err.Error()
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s = store{name, cmd.Process.Pid, b.client(addr, "benchbench", "benchbench", nil)}
	for range 100 {
		if _, err = s.cl.ListBuckets(context.Background()); err == nil {
			return s, ""
		}
		time.Sleep(100 * time.Millisecond)
	}
	return s, err.Error()
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
