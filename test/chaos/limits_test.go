// Package chaos does to a running cloud what its tenants and its operator will do one day.
package chaos

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/test/cloudtest"
)

// spoilers are apps that take all they can.
var spoilers = []struct{ name, script string }{
	{"forks", `bomb() { bomb & bomb & sleep 1000; }; (sleep 3; bomb) & exec sleep 1000`},
	{"memory", `sleep 3; exec tail /dev/zero`},
	{"logs", `sleep 3; exec yes "there is no end to what I have to say"`},
	{"disk", `sleep 3; i=0; while :; do dd if=/dev/zero of=/tmp/f$i bs=1M count=8 2>/dev/null; i=$((i+1)); sleep 0.1; done`},
}

const (
	memoryLimit  = 32 // MiB, of each spoiler
	storageLimit = 32
	pidsLimit    = 64
)

// TestLimitsHold lets one tenant's apps run wild beside another tenant's app.
func TestLimitsHold(t *testing.T) {
	p := cloudtest.New(t, cloudtest.Binary(t, t.TempDir()), t.TempDir(), "--log-level", "warn")
	p.Start()
	good := p.Admin()
	good.PushWeb("web:1", "calm")
	web := good.Deploy("web", "web:1", nil)
	neighbours := []neighbour{
		{"the other tenant's app", func(context.Context) error { return is(good.Get(web.Status.URL)) }},
		{"the API", func(ctx context.Context) error {
			_, err := good.Try(ctx, http.MethodGet, good.Components(), nil, nil)
			return err
		}},
	}
	before := together(t, 3*time.Second, neighbours)

	var made struct{ Resource struct{ ID string } }
	good.Do("POST", "/domains/-/identity/projects", map[string]any{"name": "mallory"}, &made)
	bad := good.In(made.Resource.ID)
	bad.Push("box:1", nil, "/bin/sh")
	bad.Do("PUT", "/projects/"+bad.Project+"/quota", map[string]any{"name": "app.components", "limit": 10}, nil)
	var deploying sync.WaitGroup
	for _, s := range spoilers {
		deploying.Go(func() {
			j := bad.Finish("POST", bad.Components(), map[string]any{"name": s.name, "spec": map[string]any{"source": map[string]any{"image": "box:1"},
				"command": []string{"/bin/sh", "-c", s.script}, "probe": map[string]any{"type": "none"},
				"cpu": 200, "memory": memoryLimit, "storage": storageLimit, "pids": pidsLimit}})
			if j.State != "succeeded" {
				t.Errorf("%s: %+v %v", s.name, j, j.Error)
			}
		})
	}
	deploying.Wait()
	if t.Failed() {
		return
	}

	ctx, cancel := context.WithCancel(t.Context())
	most := 0 // processes of the fork bomb at once: a shell that cannot fork ends, so they come and go
	var counting sync.WaitGroup
	counting.Go(func() {
		forks := bad.Component("forks").Status.Instances[0].ID
		for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
			most = max(most, len(p.Containers()[forks].Pids))
		}
	})
	for i, now := range together(t, 12*time.Second, neighbours) {
		if now > 10*before[i]+100*time.Millisecond {
			t.Errorf("%s answers in %s in the middle, in %s before the others came", neighbours[i].name, now, before[i])
		}
	}
	cancel()
	counting.Wait()
	if most < pidsLimit/2 || most > pidsLimit {
		t.Errorf("the fork bomb came to %d processes at once, its limit is %d", most, pidsLimit)
	}

	check(t, p, bad)
	if now := good.Component("web"); now.Status.Ready != 1 || now.Status.Instances[0].ID != web.Status.Instances[0].ID || now.Status.Instances[0].Restarts != 0 {
		t.Errorf("the other tenant's app was disturbed: %+v", now.Status)
	}
	var going sync.WaitGroup
	for _, s := range spoilers { // and they can be got rid of
		going.Go(func() {
			if j := bad.Finish("DELETE", bad.Components()+"/"+s.name+"?purge=true", nil); j.State != "succeeded" {
				t.Errorf("deleting %s: %+v %v", s.name, j, j.Error)
			}
		})
	}
	going.Wait()
	if left := p.Containers(); len(left) != 1 {
		t.Errorf("containers are left: %v", left)
	}
}

func is(status int, body string) error {
	if body != "calm" {
		return fmt.Errorf("%d %s", status, body)
	}
	return nil
}

// neighbour is somebody who must go on undisturbed.
type neighbour struct {
	name string
	ask  func(context.Context) error
}

// together asks all of them again and again; every answer must be right. It gives how long each took in the middle.
func together(t *testing.T, d time.Duration, all []neighbour) []time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	out := make([]time.Duration, len(all))
	var asking sync.WaitGroup
	for i, n := range all {
		asking.Go(func() {
			var took []time.Duration
			for ctx.Err() == nil {
				begin := time.Now()
				if err := n.ask(ctx); err != nil && ctx.Err() == nil {
					t.Errorf("%s: %v", n.name, err)
					return
				}
				took = append(took, time.Since(begin))
			}
			slices.Sort(took)
			k := len(took)
			t.Logf("%s answered %d times, p50 %s, p99 %s, longest %s", n.name, k, took[k/2], took[k*99/100], took[k-1])
			out[i] = took[k/2]
		})
	}
	asking.Wait()
	return out
}

// check looks from outside whether each spoiler was held within its limit.
func check(t *testing.T, p *cloudtest.Process, bad *cloudtest.Client) {
	t.Helper()
	runs := p.Containers()
	for _, s := range spoilers {
		c := bad.Component(s.name)
		for _, i := range c.Status.Instances {
			if n := len(runs[i.ID].Pids); n > pidsLimit {
				t.Errorf("%s has %d processes, its limit is %d", s.name, n, pidsLimit)
			}
			if n := size(filepath.Join(p.Data, "engine", "logs", i.ID)); n > 32<<20 {
				t.Errorf("the logs of %s take %d MiB", s.name, n>>20)
			}
		}
		var now struct {
			Items []struct {
				MemoryBytes  int64 `json:"memory_bytes"`
				StorageBytes int64 `json:"storage_bytes"`
			}
		}
		bad.Do("POST", bad.Components()+"/"+s.name+"/actions/instances", nil, &now)
		for _, u := range now.Items {
			if u.StorageBytes > storageLimit<<20 || u.MemoryBytes > memoryLimit<<20 {
				t.Errorf("%s uses %+v", s.name, u)
			}
			if s.name == "disk" && u.StorageBytes < storageLimit<<19 {
				t.Errorf("the disk filler wrote only %d bytes: this proves nothing", u.StorageBytes)
			}
		}
	}
	cloudtest.Wait(t, 10*time.Second, func() string {
		var e struct{ Items []struct{ Type, Text string } }
		bad.Do("GET", bad.Components()+"/memory/events", nil, &e)
		for _, i := range e.Items {
			if strings.Contains(i.Text, fmt.Sprintf("killed: memory limit %d MiB reached at ", memoryLimit)) {
				return ""
			}
		}
		return fmt.Sprintf("no event tells of the memory limit: %+v", e.Items)
	})
}

func size(path string) (n int64) {
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if i, err := os.Stat(filepath.Join(path, d.Name())); err == nil {
				n += i.Size()
			}
		}
		return nil
	})
	return n
}
