// Package sim is a workload engine in memory: for tests of everything above the port, and for running a whole cloud
// without root. It keeps the port's contract (workloadtest) and can be made to fail, to be slow and to lose instances.
// It is deterministic: no randomness, time from the time package (so testing/synctest drives it), no goroutine that
// acts by itself but the programs of instances. It may import kernel packages and the port.
package sim

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/engine/broadcast"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// Call is one call of the port, as hooks see it.
type Call struct {
	Method   string // "Ensure", "Stop", "Destroy", "Observe", "Exec", "Prefetch", "Logs"
	Instance id.ID
	Want     workload.Want
}

// Options say how the engine behaves. All may be left out.
type Options struct {
	// Before is asked before a call does anything: it may wait (stepping, delay) or return the error to give.
	Before func(context.Context, Call) error
	// After is asked when a call has had its effect: an error from it is given instead of the result, as when a
	// process dies between doing and telling.
	After func(context.Context, Call) error
	// Images tells whether an image can be pulled; by default every one but those of the project "nobody".
	Images func(string) error
	// Program gives what an instance does; by default what Command says in Steps' words, or else to run for ever.
	Program func(workload.Want) []Step
	// Handler, when given, serves HTTP for a running instance at its address, a real one in 127.0.0.0/8, port Port.
	Handler func(id.ID, workload.Want) http.Handler
	Port    uint16
	// Exec runs commands; by default echo, cat, env, true, false and sh -c "exit N".
	Exec func(context.Context, id.ID, workload.Want, workload.Exec) (int, error)
}

// Engine is a workload engine without containers.
type Engine struct {
	o Options

	mu        sync.Mutex
	instances map[id.ID]*instance
	closed    bool
	nextPid   int
	nextHost  uint32
	names     map[string]map[string]netip.Addr
	events    broadcast.Broadcast[workload.Event]
	work      sync.WaitGroup
}

var _ workload.Engine = (*Engine)(nil)

type instance struct {
	id    id.ID
	op    sync.Mutex // held by Ensure, Stop and Destroy
	want  workload.Want
	seen  workload.Seen
	log   []workload.Line
	grown chan struct{} // closed and renewed with each line

	user map[string][]byte // what was copied in
	kill chan exit         // how the running program is told to end
	done chan struct{}     // closed when it has ended
	http *http.Server
}

type exit struct {
	code   int
	oom    bool
	reason string
}

// New makes an empty engine.
func New(o Options) *Engine {
	return &Engine{o: o, instances: map[id.ID]*instance{}, names: map[string]map[string]netip.Addr{}, nextPid: 1000}
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

// get finds or makes an instance and holds its op lock; nil when there is none and create is false.
func (e *Engine) get(i id.ID, create bool) *instance {
	for {
		e.mu.Lock()
		in := e.instances[i]
		if in == nil && create {
			in = &instance{id: i, grown: make(chan struct{})}
			e.instances[i] = in
		}
		e.mu.Unlock()
		if in == nil {
			return nil
		}
		in.op.Lock()
		e.mu.Lock()
		same := e.instances[i] == in
		e.mu.Unlock()
		if same {
			return in
		}
		in.op.Unlock()
	}
}

// Ensure implements workload.Engine.
func (e *Engine) Ensure(ctx context.Context, i id.ID, want workload.Want) (workload.Seen, error) {
	c := Call{Method: "Ensure", Instance: i, Want: want}
	if err := e.before(ctx, c); err != nil {
		return workload.Seen{}, err
	}
	if err := check(i, want); err != nil {
		return workload.Seen{}, err
	}
	if err := e.image(want.Image); err != nil {
		return workload.Seen{}, err
	}
	in := e.get(i, true)
	defer in.op.Unlock()
	hash := want.Hash()
	e.mu.Lock()
	known, running := in.seen.WantHash != "", in.seen.Phase == workload.PhaseRunning
	same := known && in.seen.WantHash == hash
	e.mu.Unlock()
	if same && running {
		return e.look(in), e.after(ctx, c, nil)
	}
	if known && running {
		e.end(in, exit{code: 137, reason: "replaced"})
	}
	if err := e.start(in, want, hash, same); err != nil {
		return workload.Seen{}, err
	}
	return e.look(in), e.after(ctx, c, nil)
}

func check(i id.ID, w workload.Want) error {
	if p, ok := id.Parse(string(i)); !ok || p != i {
		return fail.Field("instance", "is not an id")
	}
	switch {
	case w.Image == "":
		return fail.Field("image", "is needed")
	case w.Network.Tenant == "":
		return fail.Field("network.tenant", "is needed")
	case w.MilliCPU < 0 || w.MemoryMiB < 0 || w.Pids < 0 || w.StorageMiB < 0:
		return fail.Field("limits", "must not be negative")
	case w.Network.Egress != workload.EgressNone && w.Network.Egress != workload.EgressInternet:
		return fail.Field("network.egress", "must be empty or internet")
	}
	return workload.CheckFiles(w.Files)
}

func (e *Engine) image(ref string) error {
	if e.o.Images != nil {
		return e.o.Images(ref)
	}
	if strings.HasPrefix(ref, "nobody/") {
		return fail.New(fail.NotFound, "image %s is not in the registry", ref).Then("build or push it first")
	}
	return nil
}

// start makes the state of a running instance and runs its program.
func (e *Engine) start(in *instance, want workload.Want, hash string, again bool) error {
	e.mu.Lock()
	s := workload.Seen{Phase: workload.PhaseRunning, Address: in.seen.Address, Started: time.Now(), WantHash: hash, Labels: maps.Clone(want.Labels)}
	if again {
		s.Restarts, s.Exit = in.seen.Restarts+1, in.seen.Exit
	}
	if !s.Address.IsValid() {
		e.nextHost++
		s.Address = netip.AddrFrom4([4]byte{127, 80 + byte(e.nextHost>>16), byte(e.nextHost >> 8), byte(e.nextHost)})
	}
	e.nextPid++
	s.Pid = e.nextPid
	in.want, in.seen = want, s
	in.kill, in.done = make(chan exit, 1), make(chan struct{})
	e.mu.Unlock()
	if err := e.serve(in); err != nil {
		e.mu.Lock()
		in.seen.Phase, in.seen.Pid = workload.PhaseCreated, 0
		e.mu.Unlock()
		return err
	}
	e.events.Send(workload.Event{Instance: in.id, At: s.Started, Type: workload.EventStarted})
	steps := program(want)
	if e.o.Program != nil {
		steps = e.o.Program(want)
	}
	e.work.Go(func() { e.run(in, want, steps, in.kill, in.done) })
	return nil
}

// serve listens at the instance's address, if it has a handler.
func (e *Engine) serve(in *instance) error {
	if e.o.Handler == nil {
		return nil
	}
	h := e.o.Handler(in.id, in.want)
	if h == nil {
		return nil
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(in.seen.Address, e.o.Port).String())
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "the simulated instance cannot listen")
	}
	in.http = &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	srv := in.http
	e.work.Go(func() { _ = srv.Serve(l) })
	return nil
}

// run is an instance's program.
func (e *Engine) run(in *instance, want workload.Want, steps []Step, kill chan exit, done chan struct{}) {
	x := e.perform(in, want, steps, kill)
	now := time.Now()
	out := workload.Exit{Code: x.code, At: now, OOMKilled: x.oom, Reason: reason(x, want, now)}
	e.mu.Lock()
	in.seen.Phase, in.seen.Pid, in.seen.Exit = workload.PhaseExited, 0, &out
	in.seen.Usage = workload.Usage{}
	srv := in.http
	in.http = nil
	e.mu.Unlock()
	if srv != nil {
		_ = srv.Close()
	}
	if x.oom {
		e.events.Send(workload.Event{Instance: in.id, At: now, Type: workload.EventOOM})
	}
	e.events.Send(workload.Event{Instance: in.id, At: now, Type: workload.EventExited, Exit: &out})
	close(done)
}

func reason(x exit, w workload.Want, at time.Time) string {
	clock := at.UTC().Format("15:04:05")
	switch {
	case x.oom:
		return fmt.Sprintf("killed: memory limit %d MiB reached at %s", w.MemoryMiB, clock)
	case x.reason != "":
		return x.reason + " at " + clock
	case x.code == 0:
		return "finished at " + clock
	case x.code == 127:
		return "ended with exit code 127 at " + clock + ": usually a command that was not found"
	}
	return fmt.Sprintf("ended with exit code %d at %s", x.code, clock)
}

// end makes a running program end and waits for it.
func (e *Engine) end(in *instance, x exit) {
	e.mu.Lock()
	kill, done, running := in.kill, in.done, in.seen.Phase == workload.PhaseRunning
	e.mu.Unlock()
	if !running {
		return
	}
	select {
	case kill <- x:
	default:
	}
	<-done
}

func (e *Engine) look(in *instance) workload.Seen {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := in.seen
	s.Labels = maps.Clone(s.Labels)
	if s.Exit != nil {
		x := *s.Exit
		s.Exit = &x
	}
	s.Usage.StorageBytes = -1
	return s
}

// Observe implements workload.Engine.
func (e *Engine) Observe(ctx context.Context, i id.ID) (workload.Seen, error) {
	c := Call{Method: "Observe", Instance: i}
	if err := e.before(ctx, c); err != nil {
		return workload.Seen{}, err
	}
	e.mu.Lock()
	in := e.instances[i]
	known := in != nil && in.seen.WantHash != ""
	e.mu.Unlock()
	if !known {
		return workload.Seen{}, fail.New(fail.Gone, "instance %s does not exist", i)
	}
	return e.look(in), e.after(ctx, c, nil)
}

// Stop implements workload.Engine.
func (e *Engine) Stop(ctx context.Context, i id.ID, grace time.Duration) error {
	c := Call{Method: "Stop", Instance: i}
	if err := e.before(ctx, c); err != nil {
		return err
	}
	in := e.get(i, false)
	if in == nil {
		return e.after(ctx, c, nil)
	}
	defer in.op.Unlock()
	e.mu.Lock()
	deaf, running, kill, done := stubborn(in.want), in.seen.Phase == workload.PhaseRunning, in.kill, in.done
	e.mu.Unlock()
	if !running {
		return e.after(ctx, c, nil)
	}
	x := exit{reason: "stopped"}
	if deaf || grace <= 0 {
		timer := time.NewTimer(max(0, grace))
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
		case <-ctx.Done():
		}
		x.code = 137
	}
	select {
	case kill <- x:
	default:
	}
	<-done
	return e.after(ctx, c, nil)
}

// Destroy implements workload.Engine.
func (e *Engine) Destroy(ctx context.Context, i id.ID) error {
	c := Call{Method: "Destroy", Instance: i}
	if err := e.before(ctx, c); err != nil {
		return err
	}
	in := e.get(i, false)
	if in == nil {
		return e.after(ctx, c, nil)
	}
	defer in.op.Unlock()
	e.end(in, exit{code: 137, reason: "removed"})
	e.mu.Lock()
	delete(e.instances, i)
	close(in.grown)
	in.grown = nil
	e.mu.Unlock()
	return e.after(ctx, c, nil)
}

// List implements workload.Engine.
func (e *Engine) List(ctx context.Context) iter.Seq2[id.ID, error] {
	return func(yield func(id.ID, error) bool) {
		if err := e.before(ctx, Call{Method: "List"}); err != nil {
			yield("", err)
			return
		}
		e.mu.Lock()
		var all []id.ID
		for i, in := range e.instances {
			if in.seen.WantHash != "" {
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

// Prefetch implements workload.Engine.
func (e *Engine) Prefetch(ctx context.Context, image string) error {
	c := Call{Method: "Prefetch", Want: workload.Want{Image: image}}
	if err := e.before(ctx, c); err != nil {
		return err
	}
	return e.after(ctx, c, e.image(image))
}

// Capabilities implements workload.Engine: what a simulation cannot show is reported as missing.
func (e *Engine) Capabilities(context.Context) workload.Capabilities {
	out := workload.Capabilities{Name: "sim", Version: "1", Features: []workload.Feature{
		{Name: "memory limit", OK: true}, {Name: "exec", OK: true}}}
	for _, n := range []string{"cpu limit", "pids limit", "layer quota", "user namespace", "seccomp", "network policy", "logs while the cloud is away"} {
		out.Features = append(out.Features, workload.Feature{Name: n, Reason: "a simulated instance is no process"})
	}
	return out
}

// Close ends the simulation: programs end too, as nothing of it can outlive the process.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	var all []*instance
	for _, in := range e.instances {
		all = append(all, in)
	}
	e.events.Close()
	e.mu.Unlock()
	for _, in := range all {
		e.end(in, exit{code: 137, reason: "the simulation ended"})
	}
	e.work.Wait()
	return nil
}

// Crash ends an instance as if its process had ended with code. fail.Gone when it does not run.
func (e *Engine) Crash(i id.ID, code int) error { return e.strike(i, exit{code: code}) }

// OOM ends an instance as if its memory limit had been reached.
func (e *Engine) OOM(i id.ID) error { return e.strike(i, exit{code: 137, oom: true}) }

func (e *Engine) strike(i id.ID, x exit) error {
	e.mu.Lock()
	in := e.instances[i]
	running := in != nil && in.seen.Phase == workload.PhaseRunning
	e.mu.Unlock()
	if !running {
		return fail.New(fail.Gone, "instance %s does not run", i)
	}
	e.end(in, x)
	return nil
}

// Lose makes an instance vanish without a trace, as when somebody removes it behind the cloud's back.
func (e *Engine) Lose(i id.ID) {
	in := e.get(i, false)
	if in == nil {
		return
	}
	defer in.op.Unlock()
	e.end(in, exit{code: 137})
	e.mu.Lock()
	delete(e.instances, i)
	e.mu.Unlock()
}

// SetUsage sets what Observe reports of a running instance.
func (e *Engine) SetUsage(i id.ID, u workload.Usage) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if in := e.instances[i]; in != nil {
		in.seen.Usage = u
	}
}

// Want gives what an instance was last asked to be, secrets included: for tests of what reaches the engine.
func (e *Engine) Want(i id.ID) (workload.Want, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	in := e.instances[i]
	if in == nil {
		return workload.Want{}, errors.New("no such instance")
	}
	return in.want, nil
}
