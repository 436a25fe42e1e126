package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/test/cloudtest"
)

// TestKillTheProcess kills the real process with SIGKILL at random moments of deploys, roll-outs, scalings, roll backs
// and deletes. AWAN_SEED repeats a run as far as a real machine can; AWAN_LONG=1 makes it long.
func TestKillTheProcess(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("AWAN_SEED"), 10, 64); err == nil {
		seed = s
	}
	moments := 8
	if os.Getenv("AWAN_LONG") != "" {
		moments = 50
	}
	t.Logf("AWAN_SEED=%d, %d moments", seed, moments)
	k := &killing{T: t, random: rand.New(rand.NewPCG(seed, 0)), p: cloudtest.New(t, cloudtest.Binary(t, t.TempDir()), t.TempDir(), "--log-level", "warn")}
	k.p.Start()
	k.c = k.p.Admin()
	k.c.PushWeb("web:one", "one")
	k.c.PushWeb("web:two", "two")
	k.c.PushWeb("steady:1", "steady")
	k.c.Deploy("steady", "steady:1", nil)
	for i := range 3 {
		k.users = append(k.users, &user{k: k, app: fmt.Sprintf("app-%d", i), random: rand.New(rand.NewPCG(seed, uint64(i+1)))})
	}
	k.settled()
	for n := range moments {
		if t.Failed() {
			t.Fatalf("after %d moments; the process logged:\n%s", n, k.p.Log())
		}
		k.round(n)
	}
	t.Logf("%d writes acknowledged, %d cut off", k.acknowledged, k.cutOff)
	if k.acknowledged < moments {
		t.Errorf("only %d writes were acknowledged: the test proves little", k.acknowledged)
	}
}

// killing is a cloud under test and what its users know of it.
type killing struct {
	*testing.T
	random               *rand.Rand
	p                    *cloudtest.Process
	c                    *cloudtest.Client
	users                []*user
	ran                  map[string][]string // container -> pids, as of the last check
	of                   map[string][]string // app -> containers
	acknowledged, cutOff int
}

// round lets the users work, kills the process, starts it again and checks.
func (k *killing) round(n int) {
	ctx, cancel := context.WithCancel(k.Context())
	defer cancel()
	began := time.Now()
	var working sync.WaitGroup
	for _, u := range k.users {
		u.acknowledged, u.touched = nil, false
		working.Go(func() { u.work(ctx) })
	}
	after := 50*time.Millisecond + time.Duration(k.random.Int64N(int64(2500*time.Millisecond)))
	timer := time.NewTimer(after)
	<-timer.C
	k.p.Kill()
	cancel()
	working.Wait()
	k.p.Start()
	what := fmt.Sprintf("moment %d, killed after %s", n, after)
	steady := k.c.Component("steady")
	cloudtest.Wait(k, 5*time.Second, func() string {
		if code, body := k.c.Get(steady.Status.URL); body != "steady" {
			return fmt.Sprintf("%s: the app that nobody touched answers %d %q", what, code, body)
		}
		return ""
	})
	ran, of := k.ran, k.of
	k.settled()
	untouched := []string{"steady"}
	for _, u := range k.users {
		u.judge(what)
		if !u.touched {
			untouched = append(untouched, u.app)
		}
	}
	for _, app := range untouched {
		for _, c := range of[app] {
			same := func(pid string) bool { return slices.Contains(k.ran[c], pid) } // others come and go with requests
			if !slices.ContainsFunc(ran[c], same) {
				k.Errorf("%s: %s was not touched, but its container's processes %v became %v", what, app, ran[c], k.ran[c])
			}
		}
	}
	k.quota(what)
	k.audit(what, time.Since(began))
}

// settled waits until nothing is on its way and the machine runs what is written down, no more and no less.
func (k *killing) settled() {
	k.Helper()
	cloudtest.Wait(k, 40*time.Second, func() string {
		runs := k.p.Containers()
		k.ran, k.of = map[string][]string{}, map[string][]string{}
		for _, c := range k.c.List() {
			if c.State != "active" {
				return fmt.Sprintf("%s is %s: %s", c.Name, c.State, c.Reason)
			}
			want := int(c.Spec.Replicas)
			if c.Spec.Stopped {
				want = 0
			}
			if c.Status.Ready != want || len(c.Status.Instances) != want {
				return fmt.Sprintf("%s has %d ready of %+v, wants %d", c.Name, c.Status.Ready, c.Status.Instances, want)
			}
			for _, i := range c.Status.Instances {
				if len(runs[i.ID].Pids) == 0 {
					return fmt.Sprintf("no container for instance %s of %s", i.ID, c.Name)
				}
				k.ran[i.ID] = runs[i.ID].Pids
				k.of[c.Name] = append(k.of[c.Name], i.ID)
				delete(runs, i.ID)
			}
		}
		for id := range runs {
			return "orphan container " + id
		}
		return ""
	})
}

// quota compares every counter with the rows it counts.
func (k *killing) quota(what string) {
	k.Helper()
	var q struct {
		Items []struct {
			Name string
			Used int64
		}
	}
	k.c.Do("GET", "/projects/"+k.c.Project+"/quota", nil, &q)
	want := map[string]int64{}
	for _, c := range k.c.List() {
		want["app.components"]++
		want["app.cpu"] += c.Spec.Replicas * c.Spec.CPU
		want["app.memory"] += c.Spec.Replicas * c.Spec.Memory
	}
	var images struct {
		Items []struct{ Status struct{ Bytes int64 } }
	}
	k.c.Do("GET", "/projects/"+k.c.Project+"/registry/repositories", nil, &images)
	for _, r := range images.Items {
		want["registry.repositories"]++
		want["registry.storage"] += (r.Status.Bytes + 1<<20 - 1) >> 20
	}
	for _, kind := range []string{"vpcs", "subnets", "security-groups", "security-rules"} { // those that every project has
		var rows struct{ Items []json.RawMessage }
		k.c.Do("GET", "/projects/"+k.c.Project+"/network/"+kind, nil, &rows)
		want["network."+kind] = int64(len(rows.Items))
	}
	for _, i := range q.Items {
		if i.Used != want[i.Name] {
			k.Errorf("%s: quota %s counts %d, the rows hold %d", what, i.Name, i.Used, want[i.Name])
		}
	}
}

// audit looks for the entry of every acknowledged write; none may be left open.
func (k *killing) audit(what string, ago time.Duration) {
	k.Helper()
	var a struct {
		Items []struct {
			Action, Outcome string
			RequestID       string `json:"request_id"`
		}
	}
	k.c.Do("GET", fmt.Sprintf("/domains/-/audit?action=app:component:*&limit=1000&since=%s", (ago+time.Second).Round(time.Second)), nil, &a)
	known := map[string]bool{}
	for _, e := range a.Items {
		known[e.RequestID] = true
		if e.Outcome == "begun" {
			k.Errorf("%s: the audit entry of %s %s never ended", what, e.Action, e.RequestID)
		}
	}
	for _, u := range k.users {
		for _, r := range u.acknowledged {
			k.acknowledged++
			if !known[r] {
				k.Errorf("%s: request %s of %s was acknowledged, and is not in the audit log", what, r, u.app)
			}
		}
		if u.cut {
			k.cutOff++
			u.cut = false
		}
	}
}

// belief is what a user knows of its app: the newest acknowledged writes.
type belief struct {
	there    bool
	replicas int64
	stopped  bool
	image    string // "": a roll back decides it
}

// user changes one app, one write after the other, as fast as it is let.
type user struct {
	k            *killing
	app          string
	random       *rand.Rand
	is, maybe    belief // maybe: what it is if the write without an answer was done
	cut          bool   // a write got no answer
	touched      bool
	acknowledged []string
}

func (u *user) work(ctx context.Context) {
	pause := time.NewTimer(time.Duration(u.random.Int64N(int64(time.Second))))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return
	}
	for ctx.Err() == nil {
		method, path, in, then := u.next()
		u.maybe, u.cut, u.touched = then, true, true
		var r struct{ Job *cloudtest.Job }
		request, err := u.k.c.Try(context.WithoutCancel(ctx), method, u.k.c.Components()+path, in, &r)
		var no *cloudtest.Refused
		if errors.As(err, &no) {
			u.cut = false
			if no.Status >= 500 || no.Status == 400 {
				u.k.Errorf("%s %s %v: %v", method, path, in, err)
			}
			return
		}
		if err != nil {
			return
		}
		u.is, u.cut = then, false
		if r.Job != nil { // without one it was as asked for already, and nothing was written
			u.acknowledged = append(u.acknowledged, request)
		}
		if r.Job == nil || u.random.IntN(4) == 0 && u.is.there {
			continue // the next write comes while this one is on its way
		}
		if j, err := u.k.c.WaitJob(ctx, r.Job.ID); err == nil && j.State != "succeeded" {
			u.k.Errorf("%s %s %v: job %s %s: %+v", method, path, in, j.ID, j.State, j.Error)
		}
	}
}

// next chooses what to do.
func (u *user) next() (method, path string, in any, then belief) {
	image := func() string { return []string{"web:one", "web:two"}[u.random.IntN(2)] }
	then = u.is
	if !u.is.there {
		then = belief{there: true, replicas: 1 + u.random.Int64N(2), image: image()}
		return "POST", "", map[string]any{"name": u.app, "spec": map[string]any{"source": map[string]any{"image": then.image}, "replicas": then.replicas, "memory": 32, "cpu": 100}}, then
	}
	act := "/" + u.app + "/actions/"
	switch u.random.IntN(6) {
	case 0:
		then.replicas, then.stopped = u.random.Int64N(4), false
		return "POST", act + "scale", map[string]any{"replicas": then.replicas}, then
	case 1:
		then.image = image()
		return "PATCH", "/" + u.app, map[string]any{"spec": map[string]any{"source": map[string]any{"image": then.image}}}, then
	case 2:
		then.image = ""
		return "POST", act + "rollback", map[string]any{}, then
	case 3:
		then.stopped = true
		return "POST", act + "stop", nil, then
	case 4:
		then.stopped = false
		return "POST", act + "start", nil, then
	}
	return "DELETE", "/" + u.app + "?purge=true", nil, belief{}
}

// judge compares what the cloud says with what the user was told.
func (u *user) judge(what string) {
	u.k.Helper()
	var now belief
	for _, c := range u.k.c.List() {
		if c.Name == u.app {
			now = belief{true, c.Spec.Replicas, c.Spec.Stopped, c.Spec.Source.Image}
		}
	}
	if !now.fits(u.is) && !(u.cut && now.fits(u.maybe)) {
		u.k.Errorf("%s: %s is %+v; acknowledged was %+v, without an answer (%v) %+v", what, u.app, now, u.is, u.cut, u.maybe)
	}
	u.is = now
}

func (b belief) fits(told belief) bool {
	if told.image == "" {
		b.image = ""
	}
	return b == told
}
