package containerd_test

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/engine/workload/containerd"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// The thinnest way through: start, look, run something inside, remove.
func TestStartObserveDestroy(t *testing.T) {
	e, ref := open(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	i := id.New()
	seen, err := e.Ensure(ctx, i, workload.Want{Image: ref, Command: []string{"sh", "-c", "echo hello; exec sleep 600"}, MilliCPU: 500, MemoryMiB: 64, Pids: 50,
		StorageMiB: 32, Network: workload.Network{Tenant: "t1"}})
	if err != nil {
		t.Fatal(err)
	}
	if seen.Phase != workload.PhaseRunning || seen.Pid == 0 || !seen.Address.IsValid() {
		t.Fatalf("not running: %+v", seen)
	}
	var out bytes.Buffer
	if code, err := e.Exec(ctx, i, workload.Exec{Command: []string{"hostname"}, Stdout: &out}); err != nil || code != 0 || out.Len() == 0 {
		t.Fatalf("exec: %d, %v, %q", code, err, out.String())
	}
	if err := e.Destroy(ctx, i); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Observe(ctx, i); !fail.Is(err, fail.Gone) {
		t.Fatalf("after Destroy: %v", err)
	}
}

// A shim that is killed takes its container along; the exit says so and the next Ensure starts it again.
func TestShimDies(t *testing.T) {
	e, ref := open(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w := workload.Want{Image: ref, Command: []string{"sleep", "600"}, Network: workload.Network{Tenant: "t"}}
	i := id.New()
	s, err := e.Ensure(ctx, i, w)
	if err != nil {
		t.Fatal(err)
	}
	shim := strings.Fields(run(t, "sh", "-c", "ps -o ppid= -p "+strconv.Itoa(s.Pid)))[0]
	run(t, "kill", "-9", shim)
	waitFor(t, "the exit", func() bool { s, err := e.Observe(ctx, i); return err == nil && s.Phase == workload.PhaseExited })
	if s, _ := e.Observe(ctx, i); s.Exit.Code != 137 || !strings.Contains(s.Exit.Reason, "supervisor") {
		t.Errorf("exit %+v", s.Exit)
	}
	waitFor(t, "its container to end", func() bool { return !alive(strconv.Itoa(s.Pid)) })
	if s, err := e.Ensure(ctx, i, w); err != nil || s.Phase != workload.PhaseRunning || s.Restarts != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
}

// A shim is started ahead of the next container, becomes its own, may be killed while it waits, and ends with the engine.
func TestSpareShim(t *testing.T) {
	o, ref := options(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := containerd.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = e.Close()
		if err := containerd.Purge(context.Background(), o.Dir, o.Key); err != nil {
			t.Error(err)
		}
		leftovers(t, o)
	})
	w := workload.Want{Image: ref, Command: []string{"sleep", "600"}, Network: workload.Network{Tenant: "t"}}
	shims := func(id string) []string {
		return strings.Fields(run(t, "sh", "-c", "ps ax -o pid,args | grep '"+o.Dir+"/bin/containerd-shim' | grep -v grep | grep -e '-id "+id+"' | awk '{print $1}' || true"))
	}
	waiting := func() (pid string) {
		t.Helper()
		waitFor(t, "a shim that waits", func() bool {
			all := shims("--")
			if len(all) == 1 {
				pid = all[0]
			}
			return len(all) == 1
		})
		return pid
	}
	start := func() id.ID {
		t.Helper()
		i := id.New()
		if s, err := e.Ensure(ctx, i, w); err != nil || s.Phase != workload.PhaseRunning {
			t.Fatalf("%+v, %v", s, err)
		}
		return i
	}
	start()
	spare := waiting()
	if i := start(); !slices.Equal(shims(string(i)), []string{spare}) {
		t.Errorf("the shim is %v, not the one that waited, %s", shims(string(i)), spare)
	}
	killed := waiting()
	run(t, "kill", "-9", killed)
	waitFor(t, "its end", func() bool { return !alive(killed) })
	start()
	spare = waiting()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the end of the shim that waits", func() bool { return !alive(spare) })
	if left := shims(""); len(left) != 3 {
		t.Errorf("3 containers run, with the shims %v", left)
	}
}

// Images in use stay, others go with their layers, and come back when asked for.
func TestUnusedImagesAreDropped(t *testing.T) {
	o, ref := options(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := containerd.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Purge(context.Background()); leftovers(t, o) })
	layers := func() int {
		return len(strings.Fields(run(t, "sh", "-c", "find "+o.Dir+"/images/snapshots -name busybox")))
	}
	blobs := func() int {
		return len(strings.Fields(run(t, "sh", "-c", "find "+o.Dir+"/images/content -type f -size +100k")))
	}
	w := workload.Want{Image: ref, Command: []string{"sleep", "600"}, Network: workload.Network{Tenant: "t"}}
	i := id.New()
	if _, err := e.Ensure(ctx, i, w); err != nil {
		t.Fatal(err)
	}
	if layers() != 1 || blobs() != 0 {
		t.Errorf("after the pull: %d layers, %d compressed ones", layers(), blobs())
	}
	if n, err := e.CollectImages(ctx, 0); err != nil || n != 0 || layers() != 1 {
		t.Fatalf("dropped %d, %v: the image is in use", n, err)
	}
	if err := e.Destroy(ctx, i); err != nil {
		t.Fatal(err)
	}
	if n, err := e.CollectImages(ctx, time.Hour); err != nil || n != 0 {
		t.Fatalf("dropped %d, %v: the image was used just now", n, err)
	}
	if n, err := e.CollectImages(ctx, 0); err != nil || n != 1 || layers() != 0 {
		t.Fatalf("dropped %d, %v, %d layers are left", n, err, layers())
	}
	if s, err := e.Ensure(ctx, i, w); err != nil || s.Phase != workload.PhaseRunning {
		t.Fatalf("%+v, %v", s, err)
	}
}
