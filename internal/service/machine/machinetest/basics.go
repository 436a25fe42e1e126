package machinetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

func lifecycle(t *testing.T, k *kit) {
	before := time.Now().Add(-time.Second)
	w := k.want()
	d := k.disk("vda", 1<<20)
	w.Disks = []machine.Disk{d}
	i, s := k.start(w)
	if s.Phase != machine.PhaseRunning || s.Pid == 0 || s.Started.Before(before) || s.Exit != nil || s.Boots != 1 {
		t.Fatalf("after Ensure: %+v", s)
	}
	if s.CPUs != 1 || s.MemoryMiB != 32 || s.Disks[d.ID] != "vda" || s.Accelerator != k.Engine.Capabilities(k.ctx).Accelerator {
		t.Fatalf("after Ensure: %+v", s)
	}
	if again := k.ensure(i, w); again.Pid != s.Pid || !again.Started.Equal(s.Started) {
		t.Fatalf("an equal want changed something: %+v, then %+v", s, again)
	}
	c, err := k.Engine.Capacity(k.ctx)
	k.must("Capacity", err)
	if c.Machines != 1 || c.UsedCPUs != 1 || c.UsedMemoryMiB < 32 || c.CPUs == 0 || c.MemoryMiB == 0 {
		t.Fatalf("capacity is %+v", c)
	}
	if got := k.list(); !slices.Equal(got, []id.ID{i}) {
		t.Fatalf("List gives %v, want %v", got, i)
	}
	for range 2 {
		k.must("Destroy", k.Engine.Destroy(k.ctx, i))
		k.must("Stop of an absent one", k.Engine.Stop(k.ctx, i, time.Second))
	}
	_, err = k.Engine.Observe(k.ctx, i)
	k.wantKind(err, fail.Gone)
	_, err = k.Engine.Log(k.ctx, i, 0)
	k.wantKind(err, fail.Gone)
	k.wantKind(k.Engine.Reset(k.ctx, i), fail.Gone)
	if got := k.list(); len(got) != 0 {
		t.Fatalf("List gives %v after Destroy", got)
	}
}

func (k *kit) list() []id.ID {
	k.Helper()
	var out []id.ID
	for i, err := range k.Engine.List(k.ctx) {
		k.must("List", err)
		out = append(out, i)
	}
	return out
}

func refuses(t *testing.T, k *kit) {
	disk := func(spoil func(*machine.Disk)) func(*machine.Want) {
		return func(w *machine.Want) {
			d := k.disk("vda", 1<<20)
			spoil(&d)
			w.Disks = []machine.Disk{d}
		}
	}
	for field, spoil := range map[string]func(*machine.Want){
		"cpus":                  func(w *machine.Want) { w.CPUs = 0 },
		"milli_cpu":             func(w *machine.Want) { w.MilliCPU = 1001 },
		"memory_mib":            func(w *machine.Want) { w.MemoryMiB = -1 },
		"uuid":                  func(w *machine.Want) { w.UUID = "not one" },
		"serial":                func(w *machine.Want) { w.Serial = "a,b" },
		"disks[0].id":           disk(func(d *machine.Disk) { d.ID = "x" }),
		"disks[0].device":       disk(func(d *machine.Disk) { d.Device = "../vda" }),
		"disks[0].drive.path":   disk(func(d *machine.Disk) { d.Drive.Path = "" }),
		"disks[0].serial":       disk(func(d *machine.Disk) { d.Serial = "longer than twenty characters" }),
		"nics[0].mac":           func(w *machine.Want) { n := k.NIC(t); n.MAC = nil; w.NICs = []machine.NIC{n} },
		"disks[0].drive.format": disk(func(d *machine.Disk) { d.Drive.Format = "vmdk" }),
	} {
		w := k.want()
		spoil(&w)
		i := id.New()
		_, err := k.Engine.Ensure(k.ctx, i, w)
		if !fail.Is(err, fail.Invalid) || fail.From(err).Field != field {
			t.Errorf("%s: %v", field, err)
		}
		if _, err := k.Engine.Observe(k.ctx, i); !fail.Is(err, fail.Gone) {
			t.Errorf("%s left something: %v", field, err)
		}
	}
	if _, err := k.Engine.Ensure(k.ctx, "../etc", k.want()); !fail.Is(err, fail.Invalid) {
		t.Errorf("a path as id: %v", err)
	}
}

func stands(t *testing.T, k *kit) {
	w := k.want()
	w.Running = false
	i, s := k.start(w)
	if s.Phase != machine.PhaseStopped || s.Pid != 0 || s.Exit != nil {
		t.Fatalf("it was not to run: %+v", s)
	}
	if got := k.list(); !slices.Contains(got, i) {
		t.Fatal("List does not show it")
	}
	k.wantKind(k.Engine.Reset(k.ctx, i), fail.Precondition)
	k.wantKind(k.Engine.Pause(k.ctx, i, true), fail.Precondition)
	_, err := k.Engine.Serial(k.ctx, i)
	k.wantKind(err, fail.Precondition)
	w.Running = true
	if s := k.ensure(i, w); s.Phase != machine.PhaseRunning {
		t.Fatalf("it does not run: %+v", s)
	}
	w.Running = false // says how it is to be found, not to stop it
	if s := k.ensure(i, w); s.Phase != machine.PhaseRunning {
		t.Fatalf("Ensure stopped it: %+v", s)
	}
}

func buttons(t *testing.T, k *kit) {
	w := k.want()
	i, first := k.start(w)
	k.must("Pause", k.Engine.Pause(k.ctx, i, true))
	k.must("Pause again", k.Engine.Pause(k.ctx, i, true))
	if s := k.observe(i); s.Phase != machine.PhasePaused || s.Pid != first.Pid {
		t.Fatalf("paused: %+v", s)
	}
	k.must("Resume", k.Engine.Pause(k.ctx, i, false))
	if s := k.observe(i); s.Phase != machine.PhaseRunning {
		t.Fatalf("resumed: %+v", s)
	}
	k.must("Reset", k.Engine.Reset(k.ctx, i))
	s := k.until(i, "a second start", func(s machine.Seen) bool { return s.Boots == 2 })
	if s.Pid != first.Pid || s.Phase != machine.PhaseRunning {
		t.Fatalf("reset: %+v", s)
	}
	k.must("Stop", k.Engine.Stop(k.ctx, i, 0))
	k.must("Stop again", k.Engine.Stop(k.ctx, i, 0))
	s = k.observe(i)
	if s.Phase != machine.PhaseStopped || s.Exit == nil || s.Exit.Clean || s.Exit.Reason == "" || s.Pid != 0 {
		t.Fatalf("stopped: %+v, exit %+v", s, s.Exit)
	}
	w.MemoryMiB = 48 // what cannot change while it runs can now
	s = k.ensure(i, w)
	if s.Phase != machine.PhaseRunning || s.MemoryMiB != 48 || s.Boots != 1 || s.Exit != nil {
		t.Fatalf("started again: %+v", s)
	}
}

func crash(t *testing.T, k *kit) {
	w := k.want()
	i, _ := k.start(w)
	k.Crash(t, i)
	s := k.until(i, "its end", func(s machine.Seen) bool { return s.Phase == machine.PhaseStopped })
	if s.Exit == nil || s.Exit.Clean || s.Exit.Reason == "" || s.Exit.At.IsZero() {
		t.Fatalf("crashed: %+v, exit %+v", s, s.Exit)
	}
	if s := k.ensure(i, w); s.Phase != machine.PhaseRunning {
		t.Fatalf("not started again: %+v", s)
	}
}

func fixed(t *testing.T, k *kit) {
	w := k.want()
	i, first := k.start(w)
	for field, alter := range map[string]func(*machine.Want){
		"cpus":       func(w *machine.Want) { w.CPUs = 2 },
		"memory_mib": func(w *machine.Want) { w.MemoryMiB = 64 },
		"uuid":       func(w *machine.Want) { w.UUID = id.New().Dashed() },
	} {
		other := w
		alter(&other)
		_, err := k.Engine.Ensure(k.ctx, i, other)
		if !fail.Is(err, fail.Precondition) || fail.From(err).Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	w.MilliCPU = 300
	if s := k.ensure(i, w); s.Pid != first.Pid {
		t.Fatalf("a limit restarted it: %+v", s)
	}
}

func events(t *testing.T, k *kit) {
	var mu sync.Mutex
	var kinds []string
	seq := k.Engine.Events(k.ctx)
	i := id.New()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ev, err := range seq {
			if err != nil || ev.Machine != i || ev.At.IsZero() {
				t.Errorf("event %+v, %v", ev, err)
				return
			}
			mu.Lock()
			kinds = append(kinds, ev.Kind)
			n := len(kinds)
			mu.Unlock()
			if n == 5 {
				return
			}
		}
	}()
	w := k.want()
	k.ensure(i, w)
	k.must("Reset", k.Engine.Reset(k.ctx, i))
	k.until(i, "a second start", func(s machine.Seen) bool { return s.Boots == 2 })
	k.Crash(t, i)
	k.until(i, "its end", func(s machine.Seen) bool { return s.Phase == machine.PhaseStopped })
	k.ensure(i, w)
	k.must("Stop", k.Engine.Stop(k.ctx, i, 0))
	select {
	case <-done:
	case <-k.ctx.Done():
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"started", "reset", "crashed", "started", "stopped"}; !slices.Equal(kinds, want) {
		t.Fatalf("events are %v, want %v", kinds, want)
	}
}

func many(t *testing.T, k *kit) {
	const n = 6
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			w := k.want()
			i := id.New()
			if s, err := k.Engine.Ensure(k.ctx, i, w); err != nil || s.Phase != machine.PhaseRunning {
				t.Errorf("Ensure: %+v, %v", s, err)
			}
			if err := k.Engine.Destroy(k.ctx, i); err != nil {
				t.Error("Destroy:", err)
			}
		})
	}
	// The same machine wanted by several at once comes to be once.
	same, w := id.New(), k.want()
	pids := make([]int, 3)
	for n := range pids {
		wg.Go(func() {
			s, err := k.Engine.Ensure(k.ctx, same, w)
			if err != nil {
				t.Error("Ensure:", err)
			}
			pids[n] = s.Pid
		})
	}
	wg.Wait()
	if pids[0] != pids[1] || pids[1] != pids[2] {
		t.Fatalf("one machine has the processes %v", pids)
	}
	if got := k.list(); !slices.Equal(got, []id.ID{same}) {
		t.Fatalf("List gives %v, want only %v", got, same)
	}
}

func reopen(t *testing.T, k *kit) {
	if k.Reopen == nil {
		t.Skip("the engine cannot be opened again")
	}
	w := k.want()
	w.Disks = []machine.Disk{k.disk("vda", 1<<20)}
	runs, first := k.start(w)
	still := k.want()
	still.Running = false
	stopped, _ := k.start(still)
	dies, _ := k.start(k.want())
	k.must("Close", k.Engine.Close())
	k.Crash(t, dies)
	k.Harness = k.Reopen(t)
	s := k.observe(runs)
	if s.Phase != machine.PhaseRunning || s.Pid != first.Pid || !s.Started.Equal(first.Started) || s.Disks[w.Disks[0].ID] != "vda" {
		t.Fatalf("adopted: %+v, before %+v", s, first)
	}
	if s := k.observe(stopped); s.Phase != machine.PhaseStopped {
		t.Fatalf("the stopped one: %+v", s)
	}
	if s := k.observe(dies); s.Phase != machine.PhaseStopped || s.Exit == nil || s.Exit.Clean || s.Exit.Reason == "" {
		t.Fatalf("the one that died: %+v, exit %+v", s, s.Exit)
	}
	more := w
	more.Disks = append(slices.Clone(w.Disks), k.disk("vdb", 1<<20))
	if s := k.ensure(runs, more); s.Pid != first.Pid || len(s.Disks) != 2 {
		t.Fatalf("changed after adoption: %+v", s)
	}
	k.must("Reset", k.Engine.Reset(k.ctx, runs))
	k.must("Stop", k.Engine.Stop(k.ctx, runs, 0))
	for _, i := range []id.ID{runs, stopped, dies} {
		k.must("Destroy", k.Engine.Destroy(k.ctx, i))
	}
}
