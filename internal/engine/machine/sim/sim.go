// Package sim is a machine engine in memory: for tests of everything above the port, and for running a whole cloud without
// QEMU. It keeps the port's contract (machinetest) and can be made to fail, to be slow, to lose and to crash machines. It is
// deterministic: no randomness, time from the time package (so testing/synctest drives it), no goroutine that acts by
// itself. It may import kernel packages and the port.
package sim

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/engine/broadcast"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// Call is one call of the port, as hooks see it.
type Call struct {
	Method  string // "Ensure", "Observe", "Stop", "Reset", "Pause", "Destroy", "List", "Overlay", "Resized", "Serial", "VNC", "Log", "SetPassword"
	Machine id.ID
	Disk    id.ID
	Want    machine.Want
}

// Options say how the engine behaves. All may be left out.
type Options struct {
	// Before is asked before a call does anything: it may wait (stepping, delay) or return the error to give.
	Before func(context.Context, Call) error
	// After is asked when a call has had its effect: an error from it is given instead of the result, as when a process dies
	// between doing and telling.
	After func(context.Context, Call) error
	// CPUs and MemoryMiB are what there is to give; by default enough for a thousand machines.
	CPUs      int
	MemoryMiB int64
	// Agent tells whether the agent inside answers; by default it does.
	Agent func(machine.Want) bool
	// Stubborn tells whether the system ignores a request to shut down; by default none does.
	Stubborn func(machine.Want) bool
}

// Engine is a machine engine without machines.
type Engine struct {
	o Options

	mu       sync.Mutex
	machines map[id.ID]*guest
	closed   bool
	nextPid  int
	events   broadcast.Broadcast[machine.Event]
}

var _ machine.Engine = (*Engine)(nil)

type guest struct {
	id        id.ID
	op        sync.Mutex // held by what changes the machine
	want      machine.Want
	seen      machine.Seen
	console   console
	passwords map[string]string
	sizes     map[id.ID]int64
}

// New makes an empty engine.
func New(o Options) *Engine {
	if o.CPUs == 0 {
		o.CPUs = 8192
	}
	if o.MemoryMiB == 0 {
		o.MemoryMiB = 32 << 20
	}
	if o.Agent == nil {
		o.Agent = func(machine.Want) bool { return true }
	}
	if o.Stubborn == nil {
		o.Stubborn = func(machine.Want) bool { return false }
	}
	return &Engine{o: o, machines: map[id.ID]*guest{}, nextPid: 1000}
}

func (e *Engine) before(ctx context.Context, c Call) error {
	if err := ctx.Err(); err != nil {
		return fail.From(err)
	}
	e.mu.Lock()
	closed := e.closed
	e.mu.Unlock()
	if closed {
		return fail.New(fail.Unavailable, "the engine is closed")
	}
	if e.o.Before != nil {
		return e.o.Before(ctx, c)
	}
	return nil
}

func (e *Engine) after(ctx context.Context, c Call, err error) error {
	if err == nil && e.o.After != nil {
		return e.o.After(ctx, c)
	}
	return err
}

// get finds or makes a machine and holds its op lock; nil when there is none and create is false.
func (e *Engine) get(i id.ID, create bool) *guest {
	for {
		e.mu.Lock()
		g := e.machines[i]
		if g == nil && create {
			g = &guest{id: i, passwords: map[string]string{}, sizes: map[id.ID]int64{}}
			e.machines[i] = g
		}
		e.mu.Unlock()
		if g == nil {
			return nil
		}
		g.op.Lock()
		e.mu.Lock()
		same := e.machines[i] == g
		e.mu.Unlock()
		if same {
			return g
		}
		g.op.Unlock()
	}
}

// Ensure implements machine.Engine.
func (e *Engine) Ensure(ctx context.Context, i id.ID, want machine.Want) (machine.Seen, error) {
	c := Call{Method: "Ensure", Machine: i, Want: want}
	if err := e.before(ctx, c); err != nil {
		return machine.Seen{}, err
	}
	if err := machine.Check(i, want); err != nil {
		return machine.Seen{}, err
	}
	g := e.get(i, true)
	defer g.op.Unlock()
	seen, err := e.apply(g, want)
	return seen, e.after(ctx, c, err)
}

// apply makes a machine as wanted.
func (e *Engine) apply(g *guest, want machine.Want) (machine.Seen, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if g.running() {
		if err := machine.CheckLive(g.want, want); err != nil {
			return machine.Seen{}, err
		}
	}
	for _, d := range want.Disks {
		if k := slices.IndexFunc(g.want.Disks, func(o machine.Disk) bool { return o.ID == d.ID }); k < 0 {
			delete(g.sizes, d.ID)
		}
	}
	g.want = want
	g.want.Disks, g.want.NICs = slices.Clone(want.Disks), slices.Clone(want.NICs)
	switch {
	case g.running():
	case want.Running:
		e.nextPid++
		g.seen = machine.Seen{Phase: machine.PhaseRunning, Accelerator: "sim", Pid: e.nextPid, Started: time.Now(), Boots: 1}
		g.boot()
		e.tell(g.id, "started", "")
	default:
		exit := g.seen.Exit
		g.seen = machine.Seen{Phase: machine.PhaseStopped, Exit: exit}
	}
	return e.look(g), nil
}

func (g *guest) running() bool {
	return g.seen.Phase == machine.PhaseRunning || g.seen.Phase == machine.PhasePaused
}

// boot writes what a starting system writes.
func (g *guest) boot() {
	name := g.want.Name
	if name == "" {
		name = string(g.id)
	}
	g.console.write(fmt.Appendf(nil, "\r\nsimulated system, start %d\r\n%s login: ", g.seen.Boots, name))
}

// look gives what is seen; e.mu is held.
func (e *Engine) look(g *guest) machine.Seen {
	s := g.seen
	s.CPUs, s.MemoryMiB = g.want.CPUs, g.want.MemoryMiB
	s.Disks = map[id.ID]string{}
	for _, d := range g.want.Disks {
		s.Disks[d.ID] = d.Device
	}
	for _, n := range g.want.NICs {
		s.NICs = append(s.NICs, n.ID)
	}
	s.Agent = s.Phase == machine.PhaseRunning && e.o.Agent(g.want)
	if s.Exit != nil {
		x := *s.Exit
		s.Exit = &x
	}
	return s
}

// Observe implements machine.Engine.
func (e *Engine) Observe(ctx context.Context, i id.ID) (machine.Seen, error) {
	c := Call{Method: "Observe", Machine: i}
	if err := e.before(ctx, c); err != nil {
		return machine.Seen{}, err
	}
	e.mu.Lock()
	g := e.machines[i]
	if g == nil || g.seen.Phase == "" {
		e.mu.Unlock()
		return machine.Seen{}, gone(i)
	}
	s := e.look(g)
	e.mu.Unlock()
	return s, e.after(ctx, c, nil)
}

func gone(i id.ID) error { return fail.New(fail.Gone, "machine %s does not exist", i) }

// Stop implements machine.Engine. A stubborn system is waited for as long as grace says.
func (e *Engine) Stop(ctx context.Context, i id.ID, grace time.Duration) error {
	c := Call{Method: "Stop", Machine: i}
	if err := e.before(ctx, c); err != nil {
		return err
	}
	g := e.get(i, false)
	if g == nil {
		return e.after(ctx, c, nil)
	}
	defer g.op.Unlock()
	e.mu.Lock()
	running, stubborn := g.running(), e.o.Stubborn(g.want) || g.seen.Phase == machine.PhasePaused
	e.mu.Unlock()
	if running {
		if stubborn && grace > 0 {
			timer := time.NewTimer(grace)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
				return fail.From(ctx.Err())
			}
		}
		e.end(g, "stopped", !stubborn && grace > 0)
	}
	return e.after(ctx, c, nil)
}

var reasons = map[string]string{"stopped": "stopped", "shutdown": "the system shut down", "crashed": "crashed"}

// end makes a machine stand.
func (e *Engine) end(g *guest, kind string, clean bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !g.running() {
		return
	}
	now, reason := time.Now(), reasons[kind]
	if kind == "stopped" && !clean {
		reason = "stopped without waiting for the system"
	}
	g.seen = machine.Seen{Phase: machine.PhaseStopped, Started: g.seen.Started, Boots: g.seen.Boots,
		Exit: &machine.Exit{At: now, Clean: clean, Reason: reason + " at " + now.UTC().Format("15:04:05")}}
	g.console.hangUp()
	e.tell(g.id, kind, g.seen.Exit.Reason)
}

// Reset implements machine.Engine.
func (e *Engine) Reset(ctx context.Context, i id.ID) error {
	c := Call{Method: "Reset", Machine: i}
	err := e.withRunning(ctx, c, func(g *guest) error {
		g.seen.Phase = machine.PhaseRunning
		e.reboot(g)
		return nil
	})
	return e.after(ctx, c, err)
}

func (e *Engine) reboot(g *guest) {
	g.seen.Boots++
	g.boot()
	e.tell(g.id, "reset", "")
}

// Pause implements machine.Engine.
func (e *Engine) Pause(ctx context.Context, i id.ID, paused bool) error {
	c := Call{Method: "Pause", Machine: i}
	err := e.withRunning(ctx, c, func(g *guest) error {
		g.seen.Phase = machine.PhaseRunning
		if paused {
			g.seen.Phase = machine.PhasePaused
		}
		return nil
	})
	return e.after(ctx, c, err)
}

// withRunning does something with a machine that runs, with all locks held.
func (e *Engine) withRunning(ctx context.Context, c Call, do func(*guest) error) error {
	if err := e.before(ctx, c); err != nil {
		return err
	}
	g := e.get(c.Machine, false)
	if g == nil {
		return gone(c.Machine)
	}
	defer g.op.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !g.running() {
		return fail.New(fail.Precondition, "the machine does not run").Then("start it first")
	}
	return do(g)
}

// Destroy implements machine.Engine.
func (e *Engine) Destroy(ctx context.Context, i id.ID) error {
	c := Call{Method: "Destroy", Machine: i}
	if err := e.before(ctx, c); err != nil {
		return err
	}
	if g := e.get(i, false); g != nil {
		defer g.op.Unlock()
		e.end(g, "stopped", false)
		e.mu.Lock()
		delete(e.machines, i)
		e.mu.Unlock()
	}
	return e.after(ctx, c, nil)
}

// List implements machine.Engine.
func (e *Engine) List(ctx context.Context) iter.Seq2[id.ID, error] {
	return func(yield func(id.ID, error) bool) {
		if err := e.before(ctx, Call{Method: "List"}); err != nil {
			yield("", err)
			return
		}
		e.mu.Lock()
		var all []id.ID
		for i, g := range e.machines {
			if g.seen.Phase != "" {
				all = append(all, i)
			}
		}
		e.mu.Unlock()
		slices.Sort(all)
		for _, i := range all {
			if !yield(i, nil) {
				return
			}
		}
	}
}

// Capacity implements machine.Engine.
func (e *Engine) Capacity(ctx context.Context) (machine.Capacity, error) {
	if err := e.before(ctx, Call{Method: "Capacity"}); err != nil {
		return machine.Capacity{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	out := machine.Capacity{CPUs: e.o.CPUs, MemoryMiB: e.o.MemoryMiB}
	for _, g := range e.machines {
		if g.running() {
			out.Machines++
			out.UsedCPUs += g.want.CPUs
			out.UsedMemoryMiB += g.want.MemoryMiB
		}
	}
	return out, nil
}

// Capabilities implements machine.Engine.
func (e *Engine) Capabilities(context.Context) machine.Capabilities {
	return machine.Capabilities{Name: "sim", Version: "1", Accelerator: "sim", Why: "machines are simulated: no system runs in them",
		Missing: map[string]string{"system": "a simulated machine runs nothing"}}
}

// Close ends the simulation.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for _, g := range e.machines {
		g.console.hangUp()
	}
	e.events.Close()
	return nil
}

// Crash ends a machine as if its process had died. fail.Gone when it does not run.
func (e *Engine) Crash(i id.ID) error { return e.strike(i, "crashed", false) }

// ShutDown ends a machine as its own system does.
func (e *Engine) ShutDown(i id.ID) error { return e.strike(i, "shutdown", true) }

// Reboot starts a machine's system anew from inside.
func (e *Engine) Reboot(i id.ID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.machines[i]
	if g == nil || !g.running() {
		return gone(i)
	}
	e.reboot(g)
	return nil
}

func (e *Engine) strike(i id.ID, kind string, clean bool) error {
	e.mu.Lock()
	g := e.machines[i]
	running := g != nil && g.running()
	e.mu.Unlock()
	if !running {
		return gone(i)
	}
	e.end(g, kind, clean)
	return nil
}

// Lose makes a machine vanish without a trace, as when somebody removes it behind the cloud's back.
func (e *Engine) Lose(i id.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if g := e.machines[i]; g != nil {
		g.console.hangUp()
		delete(e.machines, i)
	}
}

// SetUsage sets what Observe reports of a running machine.
func (e *Engine) SetUsage(i id.ID, u machine.Usage) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if g := e.machines[i]; g != nil {
		g.seen.Usage = u
	}
}

// Want gives what a machine was last asked to be, secrets included: for tests of what reaches the engine.
func (e *Engine) Want(i id.ID) (machine.Want, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.machines[i]
	if g == nil {
		return machine.Want{}, errors.New("no such machine")
	}
	return g.want, nil
}

// Passwords gives those that were set inside a machine, by user.
func (e *Engine) Passwords(i id.ID) map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if g := e.machines[i]; g != nil {
		return maps.Clone(g.passwords)
	}
	return nil
}
