package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/test/cloudtest"
)

const (
	uploadsAtOnce = 64
	uploadSize    = 1 << 30
)

// uploads measures the memory of the process while many large uploads go on at once. All are announced as 1 GiB and stay
// open together until each has sent its part of what this machine's disk is asked for; then some go on to their end, and
// the others break off. What a connection costs does not depend on how much went over it; -whole has all of them sent whole.
func uploads(b *bench) {
	all, whole := int64(4<<30), 2
	if b.cold {
		all, whole = 16<<30, 8
	}
	ways := []string{"HTTP/1.1", "HTTP/2"}
	p := b.cloud()
	if b.whole {
		all, whole, ways = uploadsAtOnce*uploadSize, uploadsAtOnce, ways[:1]
		b.punch(filepath.Join(p.Data, "objects"))
	}
	env, err := adminenv.Read(filepath.Join(p.Data, adminenv.File))
	if err != nil {
		b.Fatalf("%v", err)
	}
	for _, way := range ways {
		h := p.HTTPClient(uploadsAtOnce)
		h.Timeout = 0
		h.Transport.(*http.Transport).ForceAttemptHTTP2 = way == "HTTP/2"
		cl := b.client(p.Addr(), env["AWAN_ACCESS_KEY"], env["AWAN_SECRET_KEY"], h.Transport, true)
		name := "uploads" + strings.ToLower(way[len(way)-1:])
		if err := cl.MakeBucket(context.Background(), name, minio.MakeBucketOptions{}); err != nil {
			b.Fatalf("%v", err)
		}
		before := settled(p)
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.Pid()), []byte("5"), 0); err != nil { // VmHWM begins anew
			b.Fatalf("%v", err)
		}
		began := time.Now()
		b.uploadTogether(cl, name, all/uploadsAtOnce, whole)
		took, after := time.Since(began), memory(p)
		what := fmt.Sprintf("%d uploads of 1 GiB at once, %s", uploadsAtOnce, way)
		b.add(what+": memory at most, the whole process", "MiB", after["VmHWM"]).aim("<= 200")
		b.add(what+": of that its own program file", "MiB", after["RssFile"])
		b.add(what+": more than before them", "MiB", after["VmHWM"]-before["VmRSS"])
		b.add(what+": received", "MiB/s", float64(all+int64(whole)*(uploadSize-all/uploadsAtOnce))/(1<<20)/took.Seconds())
		for o := range cl.ListObjects(context.Background(), name, minio.ListObjectsOptions{}) {
			if err := cl.RemoveObject(context.Background(), name, o.Key, minio.RemoveObjectOptions{}); err != nil {
				b.Fatalf("%v", err)
			}
		}
	}
}

// memory is what /proc says of the process, in MiB.
func memory(p *cloudtest.Process) map[string]float64 { return memoryOf(p.Pid()) }

func memoryOf(pid int) map[string]float64 {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	out := map[string]float64{}
	for line := range strings.Lines(string(raw)) {
		name, rest, _ := strings.Cut(line, ":")
		var kb float64
		if _, err := fmt.Sscanf(rest, "%f kB", &kb); err == nil {
			out[name] = kb / 1024
		}
	}
	return out
}

// settled waits until the process gives no more memory back: its start, and uploads that are over, leave some behind.
func settled(p *cloudtest.Process) map[string]float64 {
	now := memory(p)
	for range 10 {
		was := now["VmRSS"]
		time.Sleep(3 * time.Second)
		if now = memory(p); now["VmRSS"] > was-0.5 {
			break
		}
	}
	return now
}

// uploadTogether sends each bytes of every upload, then the first ones to their end; the others break off.
func (b *bench) uploadTogether(cl *minio.Client, name string, each int64, whole int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var sent, ends sync.WaitGroup
	goOn := make(chan struct{})
	failed := make(chan error, uploadsAtOnce)
	sent.Add(uploadsAtOnce)
	first := make(chan struct{}, whole)
	for i := range uploadsAtOnce {
		body := &pacedBody{left: uploadSize, pause: uploadSize - each, ctx: ctx, whole: i < whole, goOn: goOn, reached: sync.OnceFunc(sent.Done)}
		ends.Go(func() {
			defer body.reached()
			if body.whole {
				defer func() { first <- struct{}{} }()
			}
			_, err := cl.PutObject(ctx, name, fmt.Sprintf("u/%d", i), body, uploadSize, minio.PutObjectOptions{DisableMultipart: true, DisableContentSha256: true})
			if err != nil && (body.whole || ctx.Err() == nil) {
				failed <- fmt.Errorf("upload %d: %w", i, err)
			}
		})
	}
	sent.Wait()
	close(goOn)
	for range whole {
		<-first
	}
	cancel()
	ends.Wait()
	select {
	case err := <-failed:
		b.Fatalf("%v", err)
	default:
	}
}

// pacedBody gives left bytes; with pause of them left it trickles until goOn is closed, and where it is not to end until ctx is done.
type pacedBody struct {
	left, pause int64
	whole       bool
	reached     func()
	goOn        chan struct{}
	ctx         context.Context
}

func (p *pacedBody) Read(b []byte) (int, error) {
	switch {
	case p.left == 0:
		return 0, io.EOF
	case p.left <= p.pause:
		p.reached()
		goOn := p.goOn
		if !p.whole {
			goOn = nil
		}
		select {
		case <-goOn:
			p.pause = 0
		case <-p.ctx.Done():
			return 0, p.ctx.Err()
		case <-time.After(20 * time.Second): // who is silent for a minute is cut off
			b, p.pause = b[:1], p.pause-1
		}
	}
	if int64(len(b)) > p.left {
		b = b[:p.left]
	}
	if over := p.left - p.pause; p.pause > 0 && int64(len(b)) > over {
		b = b[:over]
	}
	p.left -= int64(len(b))
	return len(b), nil
}
