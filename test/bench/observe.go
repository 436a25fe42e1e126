package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// wake measures the first answer of an app of which no instance runs. The app is a static file server that starts within
// milliseconds, so what is measured is what the cloud adds.
func wake(b *bench) {
	p := b.cloud()
	c := p.Admin()
	c.PushWeb("web:1", "awake")
	app := c.Deploy("web", "web:1", nil)
	c.Must("POST", "/projects/-/app/scaling-policies", map[string]any{"name": "web", "spec": map[string]any{"component": "web", "min": 0, "max": 2, "idle": "1h"}})
	var took []time.Duration
	for range 10 {
		c.Must("POST", c.Components()+"/web/actions/scale", map[string]any{"replicas": 0})
		begin := time.Now()
		if code, body := c.Get(app.Status.URL); code != http.StatusOK || body != "awake" {
			b.Fatalf("woken, it answers %d %q", code, body)
		}
		took = append(took, time.Since(begin))
		for end := time.Now().Add(time.Minute); c.Component("web").State != "active"; {
			if time.Now().After(end) {
				b.Fatalf("the wake does not end")
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	own := b.ownStart("awake")
	b.add("first answer of an app that sleeps, p50", "ms", ms(median(took))).beside(own, "(the app alone, as a process)")
	b.add("first answer of an app that sleeps, over the app's own start", "ms", ms(median(took))-own).aim("<= 300")
	b.add("first answer of an app that sleeps, slowest of 10", "ms", ms(took[len(took)-1])) // median has sorted them
}

// ownStart is how long the same app takes from its start as a plain process to its first answer, in milliseconds.
func (b *bench) ownStart(text string) float64 {
	dir, err := os.MkdirTemp(b.dir, "www-")
	if err != nil {
		b.Fatalf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte(text), 0o600); err != nil {
		b.Fatalf("%v", err)
	}
	var took []time.Duration
	for range 10 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatalf("%v", err)
		}
		addr := l.Addr().String()
		_ = l.Close()
		cmd := exec.Command("/bin/busybox", "sh", "-c", "busybox httpd -f -p "+addr+" -h "+dir+" & trap \"kill $!\" TERM; wait")
		begin := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatalf("%v", err)
		}
		for {
			resp, err := http.Get("http://" + addr + "/")
			if err == nil {
				_ = resp.Body.Close()
				break
			}
			if time.Since(begin) > time.Minute {
				b.Fatalf("the app alone does not answer: %v", err)
			}
			time.Sleep(time.Millisecond)
		}
		took = append(took, time.Since(begin))
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	return ms(median(took))
}

var nsPerOp = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op`)

// observe measures what it costs to count one request, alone and as part of a request through the ingress.
func observe(b *bench) {
	out, err := exec.Command("go", "test", "-run", "^$", "-bench", "^Benchmark(Observe|IngressObserved)$", "-benchtime", "1s",
		"./internal/service/metric", "./internal/service/app").CombinedOutput()
	if err != nil {
		b.Fatalf("the benchmarks: %v\n%s", err, out)
	}
	took := map[string]float64{}
	for _, m := range nsPerOp.FindAllStringSubmatch(string(out), -1) {
		took[m[1]], _ = strconv.ParseFloat(m[2], 64)
	}
	if len(took) != 3 {
		b.Fatalf("the benchmarks say\n%s", out)
	}
	b.add("observation of one request", "ns", took["Observe"]).aim("<= 1000")
	with, without := took["IngressObserved/with"], took["IngressObserved/without"]
	b.add("request through the ingress, observed", "us", with/1000).beside(without/1000, "(not observed)")
	b.add("request through the ingress, observed beside not", "%", 100*with/without).aim("<= 105")
	b.Logf("%s", fmt.Sprintf("bench: observation took %.0f ns of %.0f", with-without, with))
}
