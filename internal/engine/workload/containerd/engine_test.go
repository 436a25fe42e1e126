package containerd_test

import (
	"bytes"
	"context"
	"testing"
	"time"

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
	begin := time.Now()
	seen, err := e.Ensure(ctx, i, workload.Want{Image: ref, Command: []string{"sh", "-c", "echo hello; exec sleep 600"}, MilliCPU: 500, MemoryMiB: 64, Pids: 50,
		StorageMiB: 32, Network: workload.Network{Tenant: "t1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %v: %+v", time.Since(begin), seen)
	if seen.Phase != workload.PhaseRunning || seen.Pid == 0 || !seen.Address.IsValid() {
		t.Fatalf("not running: %+v", seen)
	}
	var out bytes.Buffer
	code, err := e.Exec(ctx, i, workload.Exec{Command: []string{"sh", "-c", "id; hostname; ip addr; ip route; cat /etc/hosts /etc/resolv.conf /proc/self/uid_map; mount; df; ls /sys/fs/cgroup; cat /proc/self/status | grep -iE 'cap|newpriv|seccomp'"}, Stdout: &out, Stderr: &out})
	t.Logf("exit %d %v\n%s", code, err, out.String())
	for l, err := range e.Logs(ctx, i, workload.LogQuery{}) {
		t.Log(l, err)
	}
	if err := e.Destroy(ctx, i); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Observe(ctx, i); !fail.Is(err, fail.Gone) {
		t.Fatalf("after Destroy: %v", err)
	}
}
