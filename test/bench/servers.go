package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/test/cloudtest"
)

// Paths of the native API.
const (
	serversAt   = "/projects/-/compute/servers"
	volumesAt   = "/projects/-/volume/volumes"
	snapshotsAt = "/projects/-/volume/snapshots"
)

type serverRow struct {
	ID, State string
	Status    struct{ Power string }
}

// manyServers makes thousands of servers on simulated engines, and lists them by each API.
func manyServers(b *bench) {
	p := b.cloud("--simulate")
	c := p.Admin()
	lift(c)
	var subnet struct {
		Resource struct{ ID string }
	}
	c.Do("POST", "/projects/-/network/vpcs", map[string]any{"name": "wide", "spec": map[string]any{"cidr": "10.0.0.0/8"}}, nil)
	c.Must("POST", "/projects/-/network/subnets", map[string]any{"name": "wide", "spec": map[string]any{"vpc": "wide", "cidr": "10.0.0.0/16"}})
	c.Do("GET", "/projects/-/network/subnets/wide", nil, &subnet)
	token := []string{"X-Auth-Token", c.Token}
	n := int64(10_000)
	began, used := time.Now(), processTime(p.Pid())
	r := load(at(p, func(i int64) []byte {
		return send("POST", "127.0.0.1", "/awan/v1"+serversAt, fmt.Appendf(nil, `{"name":"s-%05d","spec":{"flavor":"t6.nano.1","image":"Debian 12 small","networks":[{"subnet":%q}]}}`, i, subnet.Resource.ID), token...)
	}), 32, 10*time.Minute, n)
	if r.err != nil {
		b.Fatalf("create: %v", r.err)
	}
	b.wait(10*time.Minute, func() string {
		var page struct{ Items []serverRow }
		c.Do("GET", serversAt+"?state=creating&limit=1", nil, &page)
		if len(page.Items) > 0 {
			return "a server is still being created"
		}
		return ""
	})
	b.add("servers created (simulated engines), until the last is active, 32 clients", "/s", float64(n)/time.Since(began).Seconds()).aim(">= 200")
	b.add("server created (simulated engines): server CPU", "ms", ms(processTime(p.Pid())-used)/float64(n))
	var page struct {
		Items []serverRow
		Next  string
	}
	marker := ""
	for range 5 {
		c.Do("GET", serversAt+"?limit=1000"+marker, nil, &page)
		marker = "&marker=" + page.Next
	}
	env, err := adminenv.Read(p.Data + "/" + adminenv.File)
	if err != nil {
		b.Fatalf("%v", err)
	}
	region := env[adminenv.Project]
	for _, l := range []struct{ what, host, path string }{
		{"native API", "127.0.0.1", "/awan/v1" + serversAt + "?limit=100" + marker},
		{"ECS", "ecs." + region + ".awan.localhost", "/v1/" + c.Project + "/cloudservers/detail?limit=100&offset=50"},
		{"Nova", "127.0.0.1", "/compute/v2.1/servers/detail?limit=100&marker=" + page.Items[0].ID},
	} {
		r := b.load(at(p, fixed(get(l.host, l.path, token...))), 1, 0)
		b.add(fmt.Sprintf("list of %d servers, page of 100 in the middle, %s, p50", n, l.what), "ms", ms(r.p50)).aim("< 50")
	}
	b.add(fmt.Sprintf("resident memory with %d servers (simulated engines)", n), "MB", float64(p.RSS())/1e6)
}

// lift takes the quotas of the project away.
func lift(c *cloudtest.Client) {
	var all struct{ Items []struct{ Name string } }
	c.Do("GET", "/projects/-/quota", nil, &all)
	for _, q := range all.Items {
		c.Do("PUT", "/projects/-/quota", map[string]any{"name": q.Name, "limit": 1 << 40}, nil)
	}
}

// wait asks until why is empty.
func (b *bench) wait(most time.Duration, ask func() (why string)) time.Duration {
	began := time.Now()
	for {
		why := ask()
		if why == "" {
			return time.Since(began)
		}
		if time.Since(began) > most {
			b.Fatalf("after %s: %s", most, why)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// servers makes real machines, disks and cards.
func servers(b *bench) {
	p := b.cloud("--overcommit-cpus", "16") // twenty fit on two cores
	c := p.Admin()
	lift(c)
	running := func(name string) {
		b.wait(2*time.Minute, func() string {
			var r struct{ Resource serverRow }
			c.Do("GET", serversAt+"/"+name, nil, &r)
			if r.Resource.State == "failed" {
				b.Fatalf("server %s failed", name)
			}
			if r.Resource.Status.Power != "running" {
				return name + " does not run"
			}
			return ""
		})
	}
	body := func(name string) map[string]any {
		return map[string]any{"name": name, "spec": map[string]any{"flavor": "t6.nano.1", "image": "Debian 12 small"}}
	}
	remove := func(name string) { c.Must("DELETE", serversAt+"/"+name+"?purge=true", nil) }
	c.Must("POST", serversAt, body("first")) // makes the image, and the probe of KVM is over
	login := time.Now()
	b.wait(10*time.Minute, func() string {
		if !strings.Contains(b.console(c, "first"), "login:") {
			return "there is no prompt"
		}
		return ""
	})
	b.add("server: running → login prompt, "+accelerator(c), "s", time.Since(login).Seconds())
	var took []time.Duration
	for i := range 8 {
		name := fmt.Sprintf("one-%d", i)
		began := time.Now()
		c.Do("POST", serversAt, body(name), nil)
		running(name)
		took = append(took, time.Since(began))
		remove(name)
	}
	b.add("server: create → QEMU runs, p50 of 8 in a row", "ms", ms(median(took))).aim("<= 700")
	b.attach(c, "first")
	remove("first")
	began := time.Now()
	var wg sync.WaitGroup
	refused := make([]error, 20) // a failure must not end this process from within another goroutine
	for i := range refused {
		wg.Go(func() {
			_, refused[i] = c.Try(context.Background(), "POST", serversAt, body(fmt.Sprintf("many-%d", i)), nil)
		})
	}
	wg.Wait()
	if err := errors.Join(refused...); err != nil {
		b.Fatalf("20 at once: %v", err)
	}
	for i := range 20 {
		running(fmt.Sprintf("many-%d", i))
	}
	b.add("20 servers at once: until all run", "s", time.Since(began).Seconds())
	for i := range 20 {
		remove(fmt.Sprintf("many-%d", i))
	}
}

// console is what a server's serial console wrote.
func (b *bench) console(c *cloudtest.Client, server string) string {
	req, err := http.NewRequest("POST", c.URL+"/awan/v1"+serversAt+"/"+server+"/actions/console-log", strings.NewReader("{}"))
	if err != nil {
		b.Fatalf("%v", err)
	}
	req.Header.Set("X-Auth-Token", c.Token)
	resp, err := c.HTTP.Do(req)
	if err != nil {
		b.Fatalf("console log: %v", err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

func accelerator(c *cloudtest.Client) string {
	var r struct {
		Resource struct{ Status struct{ Accelerator string } }
	}
	c.Do("GET", serversAt+"/first", nil, &r)
	return r.Resource.Status.Accelerator
}

// attach times what is done with a volume of 10 GiB while its server runs.
func (b *bench) attach(c *cloudtest.Client, server string) {
	var made, taken, cloned, on, off []time.Duration
	timed := func(into *[]time.Duration, method, path string, in any) {
		began := time.Now()
		c.Must(method, path, in)
		*into = append(*into, time.Since(began))
	}
	for i := range 5 {
		v, s, k := fmt.Sprintf("v-%d", i), fmt.Sprintf("s-%d", i), fmt.Sprintf("k-%d", i)
		timed(&made, "POST", volumesAt, map[string]any{"name": v, "spec": map[string]any{"size": 10}})
		timed(&on, "POST", serversAt+"/"+server+"/actions/attach-volume", map[string]any{"volume": v})
		timed(&taken, "POST", snapshotsAt, map[string]any{"name": s, "spec": map[string]any{"volume": v}})
		timed(&cloned, "POST", volumesAt, map[string]any{"name": k, "spec": map[string]any{"size": 10, "source": map[string]any{"snapshot": s}}})
		timed(&off, "POST", serversAt+"/"+server+"/actions/detach-volume", map[string]any{"volume": v})
		for _, path := range []string{volumesAt + "/" + k, snapshotsAt + "/" + s, volumesAt + "/" + v} {
			c.Must("DELETE", path+"?purge=true", nil)
		}
	}
	b.add("volume of 10 GiB, encrypted: create, p50", "ms", ms(median(made)))
	b.add("volume of 10 GiB: attach to a running server, p50", "ms", ms(median(on)))
	b.add("volume of 10 GiB: snapshot while its server runs, p50", "ms", ms(median(taken))).aim("<= 100")
	b.add("volume of 10 GiB: clone of a snapshot, p50", "ms", ms(median(cloned)))
	b.add("volume of 10 GiB: detach from a running server, p50", "ms", ms(median(off)))
}

var portMetric = regexp.MustCompile(`([\d.e+]+) ((?:groups|unchecked|bridge)-(?:pps|Gbit/s)|groups/(?:bridge|unchecked))`)

// packets measures what two ports carry with the rules of their groups, without, and beside a bare bridge.
func packets(b *bench) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	for _, m := range []struct{ bench, what string }{{"BenchmarkPackets", "small datagrams"}, {"BenchmarkStream", "one TCP stream"}} {
		out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^"+m.bench+"$", "-benchtime", "1x", "./internal/engine/fabric/linux").CombinedOutput()
		if err != nil {
			b.Fatalf("the engine's benchmark: %v\n%s", err, out)
		}
		for _, f := range portMetric.FindAllStringSubmatch(string(out), -1) {
			v, _ := strconv.ParseFloat(f[1], 64)
			switch f[2] {
			case "groups/bridge":
				b.add("two ports with 23 rules beside a bare bridge, "+m.what, "ratio", v).aim(">= 0.9")
			case "groups/unchecked":
				b.add("two ports with 23 rules beside two without, "+m.what, "ratio", v)
			default:
				name, unit, _ := strings.Cut(f[2], "-")
				b.add(m.what+" through "+name, unit, v)
			}
		}
	}
}
