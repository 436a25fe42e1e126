package qemu_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/engine/machine/qemu"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// job tells a child process, which is this test binary too, what to do with an engine before it is killed.
type job struct {
	Dir, Key string
	Keep     []id.ID // start these and say so
	Churn    []id.ID // then start, change, stop and destroy these without end
	Want     machine.Want
	More     machine.Disk
}

const childEnv = "AWAN_MACHINE_TEST_CHILD"

// The test binary is its own child.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
	}
	os.Exit(m.Run())
}

// child is the life of a cloud's process that will be killed.
func child() {
	var j job
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &j); err != nil {
		panic(err)
	}
	ctx := context.Background()
	e, err := qemu.Open(ctx, qemu.Options{Dir: j.Dir, Key: j.Key, Accelerator: "tcg"})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	for _, i := range j.Keep {
		w := j.Want
		w.Disks = nil
		s, err := e.Ensure(ctx, i, w)
		if err != nil {
			fmt.Println("ensure:", err)
			os.Exit(1)
		}
		fmt.Println("pid", i, s.Pid)
	}
	fmt.Println("ready")
	for n := 0; len(j.Churn) > 0; n++ {
		i, w := j.Churn[n%len(j.Churn)], j.Want
		switch n / len(j.Churn) % 4 {
		case 0:
			_, err = e.Ensure(ctx, i, w)
		case 1:
			w.Disks = append(slices.Clone(w.Disks), j.More)
			_, err = e.Ensure(ctx, i, w)
		case 2:
			err = e.Stop(ctx, i, 0)
		case 3:
			err = e.Destroy(ctx, i)
		}
		if err != nil && !fail.Is(err, fail.Conflict) && !fail.Is(err, fail.Unavailable) {
			fmt.Println("churn:", err)
		}
	}
	select {}
}

// spawn starts a child and waits until it is ready; it gives what the child printed of pids.
func spawn(t *testing.T, j job) (*exec.Cmd, map[id.ID]int) {
	t.Helper()
	spec, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(spec))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pids := map[id.ID]int{}
	s := bufio.NewScanner(out)
	for s.Scan() {
		var i id.ID
		var pid int
		if n, _ := fmt.Sscanf(s.Text(), "pid %s %d", &i, &pid); n == 2 {
			pids[i] = pid
		}
		if s.Text() == "ready" {
			go func() { _, _ = io.Copy(t.Output(), out) }()
			return cmd, pids
		}
		t.Log("child:", s.Text())
	}
	_ = cmd.Wait()
	t.Fatal("the child did not get ready")
	return nil, nil
}

// A cloud whose process is killed at any moment finds its machines running as they were, and nothing that it does not know.
func TestKilledAtAnyMoment(t *testing.T) {
	o := options(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	t.Cleanup(func() {
		if err := qemu.Purge(context.Background(), o.Dir, o.Key); err != nil {
			t.Error("purge:", err)
		}
		leftovers(t, o)
	})
	rounds := 3
	if os.Getenv("AWAN_LONG") != "" {
		rounds = 40
	}
	keep, churn := []id.ID{id.New()}, []id.ID{id.New(), id.New()}
	want := machine.Want{CPUs: 1, MemoryMiB: 16, Running: true}
	var pid int
	for round := range rounds {
		want.Disks = []machine.Disk{{ID: id.New(), Device: "vda", Drive: disk(t, 1<<20)}}
		more := machine.Disk{ID: id.New(), Device: "vdb", Drive: disk(t, 1<<20)}
		j := job{Dir: o.Dir, Key: o.Key, Want: want, Keep: keep, Churn: churn[:1], More: more}
		if round%2 == 1 {
			j.Churn = churn[1:]
		}
		cmd, pids := spawn(t, j)
		if pid != 0 && pids[keep[0]] != pid {
			t.Fatalf("round %d: the kept machine has process %d, it had %d", round, pids[keep[0]], pid)
		}
		pid = pids[keep[0]]
		time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond) // the moment is random, that is the test
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		e := open(t, o)
		if s, err := e.Observe(ctx, keep[0]); err != nil || s.Phase != machine.PhaseRunning || s.Pid != pid {
			t.Fatalf("round %d: the kept machine: %+v, %v", round, s, err)
		}
		known := slices.Collect(func(yield func(id.ID) bool) {
			for i, err := range e.List(ctx) {
				if err != nil || !yield(i) {
					return
				}
			}
		})
		for _, name := range groupsOf(o.Key) {
			if !slices.Contains(known, id.ID(name)) {
				t.Errorf("round %d: the group of %s has no machine", round, name)
			}
		}
		for _, i := range j.Churn { // whatever state it is in, it can be had as wanted
			if s, err := e.Observe(ctx, i); err == nil {
				t.Logf("round %d: cut off at %s with %d disks", round, s.Phase, len(s.Disks))
			}
			if err := e.Stop(ctx, i, 0); err != nil {
				t.Fatal(err)
			}
			s, err := e.Ensure(ctx, i, want)
			if err != nil || s.Phase != machine.PhaseRunning || len(s.Disks) != 1 {
				t.Fatalf("round %d: made again: %+v, %v", round, s, err)
			}
			if err := e.Destroy(ctx, i); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
