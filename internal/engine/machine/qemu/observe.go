package qemu

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/engine/machine/qemu/qmp"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// Observe implements machine.Engine.
func (e *Engine) Observe(ctx context.Context, i id.ID) (machine.Seen, error) {
	e.mu.Lock()
	g := e.machines[i]
	e.mu.Unlock()
	if g == nil {
		return machine.Seen{}, gone(i)
	}
	if _, _, known := g.view(); !known {
		return machine.Seen{}, gone(i)
	}
	return e.look(ctx, g), nil
}

// look tells what a machine is now.
func (e *Engine) look(ctx context.Context, g *guest) machine.Seen {
	g.mu.Lock()
	s := machine.Seen{Phase: machine.PhaseStopped, Disks: map[id.ID]string{}}
	var q *qmp.Client
	if r := g.rec; r != nil {
		s.CPUs, s.MemoryMiB, s.Accelerator, s.Started, s.Boots = r.Want.CPUs, r.Want.MemoryMiB, r.Accel, r.Started, r.Boots
		for _, d := range r.Want.Disks {
			s.Disks[d.ID] = d.Device
		}
		for _, n := range r.Want.NICs {
			s.NICs = append(s.NICs, n.ID)
		}
		if r.Exit != nil {
			x := *r.Exit
			s.Exit = &x
		}
	}
	if g.q != nil {
		q = g.q
		s.Phase, s.Pid, s.Agent = machine.PhaseRunning, g.pid, g.agent
		if g.paused {
			s.Phase, s.Agent = machine.PhasePaused, false
		}
	}
	g.mu.Unlock()
	if q != nil {
		s.Usage = e.usage(ctx, g.id, q)
	}
	return s
}

// usage counts; what cannot be read is 0.
func (e *Engine) usage(ctx context.Context, i id.ID, q *qmp.Client) machine.Usage {
	var u machine.Usage
	u.CPU, u.MemoryBytes, _ = e.cg.Usage(e.group(i))
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var list []struct {
		QDev  string
		Stats struct {
			ReadBytes  int64 `json:"rd_bytes"`
			WriteBytes int64 `json:"wr_bytes"`
			ReadOps    int64 `json:"rd_operations"`
			WriteOps   int64 `json:"wr_operations"`
		}
	}
	if q.Do(ctx, "query-blockstats", nil, &list) != nil {
		return u
	}
	for _, b := range list {
		if strings.Contains(b.QDev, "disk-") {
			u.ReadBytes += b.Stats.ReadBytes
			u.WriteBytes += b.Stats.WriteBytes
			u.ReadOps += b.Stats.ReadOps
			u.WriteOps += b.Stats.WriteOps
		}
	}
	return u
}

// List implements machine.Engine.
func (e *Engine) List(ctx context.Context) iter.Seq2[id.ID, error] {
	return func(yield func(id.ID, error) bool) {
		e.mu.Lock()
		var all []id.ID
		for i, g := range e.machines {
			if _, _, known := g.view(); known {
				all = append(all, i)
			}
		}
		e.mu.Unlock()
		slices.Sort(all)
		for _, i := range all {
			if ctx.Err() != nil {
				yield("", fail.From(ctx.Err()))
				return
			}
			if !yield(i, nil) {
				return
			}
		}
	}
}

// Capacity implements machine.Engine.
func (e *Engine) Capacity(context.Context) (machine.Capacity, error) {
	memory, err := hostMemory()
	if err != nil {
		return machine.Capacity{}, fail.Wrap(err, fail.Unavailable, "the machine's memory cannot be read")
	}
	out := machine.Capacity{CPUs: runtime.NumCPU(), MemoryMiB: memory}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.machines {
		if rec, q, _ := g.view(); q != nil {
			out.Machines++
			out.UsedCPUs += rec.Want.CPUs
			out.UsedMemoryMiB += rec.Want.MemoryMiB
		}
	}
	return out, nil
}

func hostMemory() (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var kib int64
		if n, _ := fmt.Sscanf(s.Text(), "MemTotal: %d kB", &kib); n == 1 {
			return kib >> 10, nil
		}
	}
	return 0, fmt.Errorf("/proc/meminfo names no total")
}

// Capabilities implements machine.Engine. It does not wait for the probe.
func (e *Engine) Capabilities(context.Context) machine.Capabilities {
	accelerator, why := e.probe.state()
	c := machine.Capabilities{Name: "qemu", Version: e.probe.version, Accelerator: accelerator, Why: why, Missing: map[string]string{}}
	if accelerator != "kvm" {
		c.Missing["kvm"] = why
	}
	return c
}
