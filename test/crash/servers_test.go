package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/cloud/iaas"
	disksim "github.com/awancloud/awan/internal/engine/disk/sim"
	fabricsim "github.com/awancloud/awan/internal/engine/fabric/sim"
	imagesim "github.com/awancloud/awan/internal/engine/image/sim"
	machinesim "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/fault"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
	"github.com/awancloud/awan/internal/service/balancer"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/dns"
	"github.com/awancloud/awan/internal/service/machine"
)

// hardware is what outlives the process: rows, machines, wires, disks.
type hardware struct {
	t        testing.TB
	store    store.Store
	plan     *fault.Plan // of the present incarnation
	sealer   *secret.Sealer
	admin    *ident.Admin
	dir      string
	machines *machinesim.Engine
	fabric   *fabricsim.Engine
	disks    *disksim.Engine
}

// brain is one life of the process.
type brain struct {
	*iaas.IaaS
	balancer *balancer.Service
	dns      *dns.Service
	h        *hardware
	on       store.Store
	door     *call.Door
	root     ident.Principal
}

func newHardware(t testing.TB) *hardware {
	t.Helper()
	h := &hardware{t: t, store: mem.New(), plan: fault.Never(), dir: t.TempDir()}
	at := func(when, engine, method string) error {
		switch method {
		case "Ensure", "EnsureVPC", "EnsurePort", "EnsureGroup", "Destroy", "DestroyPort", "DestroyVPC", "DestroyGroup", "Stop", "Reset", "Overlay", "Snapshot", "DestroySnapshot":
			return h.plan.Call(when+" "+engine+" "+method, func() error { return nil })
		}
		return h.plan.Live()
	}
	h.machines = machinesim.New(machinesim.Options{
		Before: func(_ context.Context, c machinesim.Call) error { return at("before", "machine", c.Method) },
		After:  func(_ context.Context, c machinesim.Call) error { return at("after", "machine", c.Method) }})
	h.fabric = fabricsim.New(fabricsim.Options{
		Before: func(_ context.Context, c fabricsim.Call) error { return at("before", "fabric", c.Method) },
		After:  func(_ context.Context, c fabricsim.Call) error { return at("after", "fabric", c.Method) }})
	h.disks = disksim.New(disksim.Options{
		Before: func(_ context.Context, c disksim.Call) error { return at("before", "disk", c.Method) },
		After:  func(_ context.Context, c disksim.Call) error { return at("after", "disk", c.Method) }})
	var err error
	if h.sealer, err = secret.OpenSealer(h.dir); err != nil {
		t.Fatal(err)
	}
	if h.admin, err = h.ident(h.store).Bootstrap(t.Context(), "awan", "awan-1"); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *hardware) ident(s store.Store) *ident.Service {
	return ident.New(s, secret.NewPasswords(kerneltest.Cheap), h.sealer, time.Now)
}

// live starts an incarnation under a plan.
func (h *hardware) live(plan *fault.Plan) *brain {
	h.t.Helper()
	h.plan = plan
	b := &brain{h: h, on: fault.Store(h.store, plan)}
	identity, log := h.ident(b.on), slog.New(slog.DiscardHandler)
	var err error
	b.IaaS, err = iaas.New(iaas.Deps{Store: b.on, Fabric: h.fabric, Machine: h.machines, Disk: h.disks, Maker: imagesim.Maker{Names: []string{"debian", "debian-small"}},
		Door: func() *call.Door { return b.door }, Ident: identity, Sealer: h.sealer, Region: "awan-1", HostName: "here", Dir: h.dir, Now: time.Now, Log: log})
	if err != nil {
		h.t.Fatal(err)
	}
	b.balancer = balancer.New(balancer.Deps{Store: b.on, Networks: iaas.Balancers(b.Networks), Fabric: h.fabric, Now: time.Now, Log: log})
	b.dns = dns.New(dns.Deps{Store: b.on, Networks: iaas.Zones(b.Networks), NameServers: []string{"ns1.awan.test"}, Reserved: func(string) bool { return false }, Now: time.Now, Log: log})
	b.door = call.NewDoor(call.Options{Store: b.on, Ident: identity, Kinds: slices.Concat(b.kinds(), identity.Kinds.All()), Region: "awan-1", Now: time.Now, Log: log})
	b.root = ident.Principal{User: h.admin.UserID, UserName: "admin", Domain: h.admin.DomainID, DomainName: "awan", Project: h.admin.ProjectID, Method: ident.ByPassword}
	b.balancer.Host, b.dns.Host = b.door, b.door
	for _, start := range []func(context.Context) error{b.IaaS.Start, b.balancer.Start, b.dns.Start} {
		if err := start(context.Background()); err != nil && plan.Live() == nil {
			h.t.Fatal(err)
		}
	}
	if err := b.door.Start(context.Background()); err != nil && plan.Live() == nil {
		h.t.Fatal(err)
	}
	return b
}

func (b *brain) close() {
	b.door.Close()
	b.dns.Close()
	b.balancer.Close()
	b.IaaS.Close()
}

func (b *brain) kinds() []*kind.Def {
	return slices.Concat(b.IaaS.Kinds(), b.balancer.Kinds(), b.dns.Kinds())
}

// line is one line of a story.
type line struct {
	kind, verb, target, body string
}

var serverStory = []line{
	{"compute/server", call.Create, "web", `{"flavor":"t6.nano.1","image":"Debian 12 small","public_ip":{},"release_ip":true,"volumes":[{"size":1,"delete":true}]}`},
	{"volume/volume", call.Create, "data", `{"size":1}`},
	{"compute/server", "attach-volume", "web", `{"volume":"data"}`},
	{"volume/snapshot", call.Create, "snap", `{"volume":"data"}`},
	{"compute/server", "attach-interface", "web", `{}`},
	{"compute/server", "resize", "web", `{"flavor":"m1.tiny"}`},
	{"compute/server", "detach-volume", "web", `{"volume":"data"}`},
	{"compute/server", "rebuild", "web", `{}`},
	{"compute/server", "stop", "web", ``},
	{"compute/server", "start", "web", ``},
	{"volume/snapshot", call.Delete, "snap", ``},
	{"volume/volume", purge, "data", ``},
	{"compute/server", call.Delete, "web", ``},
}

var balancerStory = []line{
	{"network/public-ip", call.Create, "pub", `{}`},
	{"balancer/load-balancer", call.Create, "front", `{"public_ip":"pub"}`},
	{"balancer/load-balancer", call.Create, "own", `{"public_mbit":5}`},
	{"balancer/pool", call.Create, "web", `{"balancer":"front","protocol":"http"}`},
	{"balancer/member", call.Create, "one", `{"pool":"web","address":"192.168.0.10","port":8080}`},
	{"balancer/health-monitor", call.Create, "check", `{"pool":"web","type":"http"}`},
	{"balancer/listener", call.Create, "plain", `{"balancer":"front","protocol":"http","port":80,"pool":"web"}`},
	{"balancer/forwarding-policy", call.Create, "sorry", `{"listener":"plain","action":"respond","status":503}`},
	{"balancer/forwarding-rule", call.Create, "old", `{"policy":"sorry","of":"host","values":["old.test"]}`},
	{"balancer/listener", call.Update, "plain", `{"idle_timeout":"20s"}`},
	{"dns/zone", call.Create, "example.org", `{}`},
	{"dns/record-set", call.Create, "www.example.org", `{"zone":"example.org","type":"A","values":["192.0.2.1"]}`},
	{"dns/record-set", call.Update, "www.example.org", `{"values":["192.0.2.2"]}`},
}

// balancerEnd takes everything of that story away.
var balancerEnd = []line{
	{"dns/zone", call.Delete, "example.org", ``},
	{"balancer/forwarding-rule", call.Delete, "old", ``},
	{"balancer/forwarding-policy", call.Delete, "sorry", ``},
	{"balancer/listener", call.Delete, "plain", ``},
	{"balancer/health-monitor", call.Delete, "check", ``},
	{"balancer/member", call.Delete, "one", ``},
	{"balancer/pool", call.Delete, "web", ``},
	{"balancer/load-balancer", call.Delete, "own", ``},
	{"balancer/load-balancer", call.Delete, "front", ``},
	{"network/public-ip", call.Delete, "pub", ``},
}

// tell does one line and waits for its job.
func (b *brain) tell(l line) error {
	c := &call.Call{Kind: b.door.KindOf(l.kind), Verb: l.verb, Target: l.target, Principal: b.root}
	switch l.verb {
	case purge:
		c.Verb, c.Purge = call.Delete, true
	case call.Create:
		c.Name, c.Target, c.Spec = &l.target, "", json.RawMessage(l.body)
	default:
		c.In = json.RawMessage(l.body)
	}
	r, err := b.door.Do(context.Background(), c)
	if err != nil || r.Job == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go func() {
		select {
		case <-b.h.plan.Died():
			cancel()
		case <-ctx.Done():
		}
	}()
	j, err := b.door.WaitJob(ctx, r.Job.ID)
	if err == nil && j.State != job.Succeeded {
		err = fmt.Errorf("job: %v", j.Error.Err())
	}
	return err
}

// TestServersDieAtEveryMoment makes, changes and deletes a server with everything that it has, and dies at a moment of that:
// afterwards what runs, what is plugged in and what is stored equals the rows.
func TestServersDieAtEveryMoment(t *testing.T) {
	everyMoment(t, serverStory, []line{{"compute/server", call.Delete, "web", ""}, {"volume/snapshot", call.Delete, "snap", ""}, {"volume/volume", purge, "data", ""}})
}

// TestBalancersDieAtEveryMoment does so with load balancers and zones.
func TestBalancersDieAtEveryMoment(t *testing.T) {
	everyMoment(t, slices.Concat(balancerStory, balancerEnd), balancerEnd)
}

func everyMoment(t *testing.T, story, end []line) {
	const width = 64
	step := 5 // of the moments, every fifth; all of them where there is time
	if os.Getenv("AWAN_LONG") != "" {
		step = 1
	}
	for from := 1; ; from += width * step {
		beyond := false
		fired := make([]bool, width)
		var lives sync.WaitGroup
		for i := range width {
			lives.Go(func() {
				t.Run(fmt.Sprint(from+i*step), func(t *testing.T) { fired[i] = diesAt(t, from+i*step, story, end) })
			})
		}
		lives.Wait()
		for _, f := range fired {
			beyond = beyond || !f
		}
		if beyond || t.Failed() {
			return
		}
	}
}

func diesAt(t *testing.T, n int, story, end []line) (fired bool) {
	h := newHardware(t)
	plan := fault.At(n, fault.Die)
	b := h.live(plan)
	during := "the start"
	for _, l := range story {
		if plan.Live() != nil {
			break
		}
		during = l.verb + " " + l.kind
		if err := b.tell(l); err != nil && plan.Live() == nil {
			t.Fatalf("%s: %v", during, err)
		}
	}
	b.close()
	if !plan.Fired() {
		return false
	}
	what := fmt.Sprintf("died during %s, %s", during, plan.Moment())
	b = h.live(fault.Never())
	defer b.close()
	b.settles(what)
	for _, l := range end {
		if err := b.tell(l); err != nil && !fail.Is(err, fail.NotFound) {
			t.Errorf("%s: cleaning up: %s %s: %v", what, l.verb, l.target, err)
		}
	}
	b.settles(what + ", after the delete")
	for name, list := range map[string]iter.Seq2[id.ID, error]{"machine": h.machines.List(t.Context()), "port": h.fabric.Ports(t.Context()), "disk": h.disks.List(t.Context()), "snapshot": h.disks.Snapshots(t.Context())} {
		for i := range list {
			t.Errorf("%s: %s %s is left after the delete", what, name, i)
		}
	}
	return true
}

// settles waits until no job is left and the engines hold what the rows say, then compares the counts.
func (b *brain) settles(what string) {
	b.h.t.Helper()
	deadline, why := time.Now().Add(time.Minute), ""
	for {
		b.Networks.Settle()
		if why = b.unsettled(); why == "" {
			break
		}
		if time.Now().After(deadline) {
			b.h.t.Fatalf("%s: does not settle: %s", what, why)
		}
		b.door.Wake("compute/server")
		time.Sleep(20 * time.Millisecond)
	}
	err := b.on.View(context.Background(), func(tx store.Tx) error {
		if err := countsAreRight(b.h.t, tx, b.h.admin, b.kinds(), what); err != nil {
			return err
		}
		entries, _, err := ledger.Search(tx, ledger.Query{Domain: b.h.admin.DomainID, Limit: 1000})
		for _, e := range entries {
			if e.Outcome == ledger.Begun {
				b.h.t.Errorf("%s: audit entry %s of %s never ended", what, e.ID, e.Action)
			}
		}
		return err
	})
	if err != nil {
		b.h.t.Errorf("%s: %v", what, err)
	}
}

func (b *brain) unsettled() (why string) {
	ctx := context.Background()
	want := map[string]map[id.ID]bool{"machine": {}, "port": {}, "disk": {}, "snapshot": {}}
	err := b.on.View(ctx, func(tx store.Tx) error {
		for k := range tx.Scan("jobdue/", "") {
			why = "job " + k
		}
		servers, err := b.Servers.Server.List(tx, "", kind.Filter{})
		for _, r := range servers {
			if r.State == kind.Failed {
				continue
			}
			want["machine"][r.ID] = true
			for _, n := range r.Status.Cards {
				want["port"][n.Port] = true
			}
			seen, err := b.h.machines.Observe(ctx, r.ID)
			if err == nil && (seen.Phase == machine.PhaseRunning) == r.Spec.Stopped {
				why = fmt.Sprintf("server %s is %s, stopped is %v", r.Name, seen.Phase, r.Spec.Stopped)
			}
			if err == nil && (len(seen.Disks) != len(r.Status.Disks) || len(seen.NICs) != len(r.Status.Cards)) {
				why = fmt.Sprintf("the machine has %v %v, the row %v %v", seen.Disks, seen.NICs, r.Status.Disks, r.Status.Cards)
			}
			for _, d := range r.Status.Disks {
				if d.Phase != compute.Attached {
					why = fmt.Sprintf("disk %+v", d)
				}
			}
		}
		if err != nil {
			return err
		}
		balancers, err := b.balancer.Balancer.List(tx, "", kind.Filter{})
		for _, r := range balancers {
			if r.State != kind.Failed {
				want["port"][id.ID(r.Status.Port)] = true
			}
		}
		if err != nil {
			return err
		}
		volumes, err := b.Volumes.Volumes.List(tx, "", kind.Filter{Where: func(kind.AnyRow) bool { return true }})
		for _, v := range volumes {
			if v.State != kind.Failed {
				want["disk"][v.ID] = true
			}
		}
		if err != nil {
			return err
		}
		snaps, err := b.Volumes.Snapshots.List(tx, "", kind.Filter{})
		for _, s := range snaps {
			if s.State != kind.Failed {
				want["snapshot"][s.ID] = true
			}
		}
		return err
	})
	if err != nil {
		return err.Error()
	}
	has := map[string]iter.Seq2[id.ID, error]{"machine": b.h.machines.List(ctx), "port": b.h.fabric.Ports(ctx), "disk": b.h.disks.List(ctx), "snapshot": b.h.disks.Snapshots(ctx)}
	for name, list := range has {
		for i := range list {
			if !want[name][i] {
				why = "orphan " + name + " " + string(i)
			}
			delete(want[name], i)
		}
		for i := range want[name] {
			why = "missing " + name + " " + string(i)
		}
	}
	return why
}
