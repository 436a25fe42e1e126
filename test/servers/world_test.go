// Package servers tells the story of networks, disks and servers, wired as the cloud wires them, on simulated engines.
package servers

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/cloud/iaas"
	disksim "github.com/awancloud/awan/internal/engine/disk/sim"
	fabricsim "github.com/awancloud/awan/internal/engine/fabric/sim"
	imagesim "github.com/awancloud/awan/internal/engine/image/sim"
	machinesim "github.com/awancloud/awan/internal/engine/machine/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store/mem"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/machine"
	"github.com/awancloud/awan/internal/service/volume"
)

// world is a cloud of servers in one process.
type world struct {
	testing.TB
	*kerneltest.Kernel
	*iaas.IaaS
	machines *machinesim.Engine
	fabric   *fabricsim.Engine
	disks    *disksim.Engine
	limits   map[ledger.Dim]int64
}

func newWorld(t testing.TB, o machinesim.Options) *world {
	t.Helper()
	return newWorldOn(t, o, func(e machine.Engine) machine.Engine { return e })
}

// newWorldOn puts something before the engine of machines.
func newWorldOn(t testing.TB, o machinesim.Options, before func(machine.Engine) machine.Engine) *world {
	t.Helper()
	w := &world{TB: t, machines: machinesim.New(o), fabric: fabricsim.New(fabricsim.Options{}), disks: disksim.New(disksim.Options{}), limits: map[ledger.Dim]int64{}}
	on := mem.New()
	sealer, err := secret.OpenSealer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	limits := func(d ledger.Dim) (int64, bool) {
		if n, ok := w.limits[d]; ok {
			return n, true
		}
		return 1 << 40, true
	}
	w.IaaS, err = iaas.New(iaas.Deps{Store: on, Fabric: w.fabric, Machine: before(w.machines), Disk: w.disks, Maker: imagesim.Maker{Names: []string{"debian", "debian-small"}},
		Door: func() *call.Door { return w.Kernel.Door }, Sealer: sealer, Limits: limits, Region: "awan-1", HostName: "here", Dir: t.TempDir(), Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	w.Kernel = kerneltest.StartNow(t, on, limits, w.IaaS.Kinds()...)
	w.IaaS.Ident = w.Kernel.Ident
	if err := w.IaaS.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.IaaS.Close)
	return w
}

// try sends one call as the administrator and waits for its job.
func (w *world) try(kindName, verb, name, body string) (kind.AnyRow, error) {
	w.Helper()
	c := &call.Call{Kind: w.Kernel.Door.KindOf(kindName), Verb: verb, Principal: w.Root}
	if c.Kind == nil {
		w.Fatalf("there is no kind %s", kindName)
	}
	switch verb {
	case call.Create:
		c.Name, c.Spec = &name, json.RawMessage(body)
	case call.Update:
		c.Target, c.Spec = name, json.RawMessage(body)
	default:
		c.Target, c.In = name, json.RawMessage(body)
	}
	r, err := w.Kernel.Door.Do(w.Context(), c)
	if err != nil {
		return nil, err
	}
	if r.Job != nil {
		ctx, cancel := context.WithTimeout(w.Context(), 15*time.Second)
		defer cancel()
		j, err := w.Kernel.Door.WaitJob(ctx, r.Job.ID)
		if err != nil {
			w.Fatalf("%s %s %s: %v (%s: %s: %v)", verb, kindName, name, err, j.Steps[j.Step].Name, j.Note, j.Error)
		}
		if j.State == job.Failed {
			return r.Row, j.Error.Err()
		}
		if r.Row != nil {
			name = string(r.Row.M().ID)
		}
		if verb == call.Delete {
			return nil, nil
		}
		return w.get(kindName, name), nil
	}
	return r.Row, nil
}

func (w *world) do(kindName, verb, name, body string) kind.AnyRow {
	w.Helper()
	r, err := w.try(kindName, verb, name, body)
	if err != nil {
		w.Fatalf("%s %s %s %s: %s", verb, kindName, name, body, fail.From(err).Public())
	}
	return r
}

// refused does what must not be, and looks for the reason.
func (w *world) refused(kindName, verb, name, body, because string) {
	w.Helper()
	_, err := w.try(kindName, verb, name, body)
	if err == nil || !strings.Contains(fail.From(err).Public(), because) {
		w.Errorf("%s %s %s %s: %v, want %q", verb, kindName, name, body, err, because)
	}
}

func (w *world) get(kindName, name string) kind.AnyRow {
	w.Helper()
	r, err := w.Kernel.Door.Do(w.Context(), &call.Call{Kind: w.Kernel.Door.KindOf(kindName), Verb: call.Get, Target: name, Principal: w.Root})
	if err != nil {
		w.Fatalf("get %s %s: %v", kindName, name, err)
	}
	return r.Row
}

func (w *world) count(kindName string) int {
	w.Helper()
	r, err := w.Kernel.Door.Do(w.Context(), &call.Call{Kind: w.Kernel.Door.KindOf(kindName), Verb: call.List, Principal: w.Root})
	if err != nil {
		w.Fatal(err)
	}
	return len(r.Rows)
}

const (
	server = "compute/server"
	disk   = "volume/volume"
	port   = "network/port"
)

func (w *world) server(name string) *compute.Row { return w.get(server, name).(*compute.Row) }
func (w *world) volume(name string) *volume.Row  { return w.get(disk, name).(*volume.Row) }

// small makes a server with the defaults.
func (w *world) small(name, more string) *compute.Row {
	w.Helper()
	return w.do(server, call.Create, name, `{"flavor":"t6.nano.1","image":"Debian 12 small"`+more+`}`).(*compute.Row)
}

// until waits for what the loop brings about.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			w.Fatalf("it never came to be that %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// beforeEnsure makes a hook that is asked before a machine is started.
func beforeEnsure(f func() error) func(context.Context, machinesim.Call) error {
	return func(_ context.Context, c machinesim.Call) error {
		if c.Method != "Ensure" {
			return nil
		}
		return f()
	}
}
