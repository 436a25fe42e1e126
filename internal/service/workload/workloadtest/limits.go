package workloadtest

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/service/workload"
)

func pidsLimit(t *testing.T, k *kit) {
	k.needs("pids limit")
	w := k.shell("n=0; while [ $n -lt 40 ]; do sleep 30 & n=$((n+1)); done; echo made $n; wait")
	w.Pids = 20
	i, _ := k.start(w)
	s := k.until(i, "20 processes", func(s workload.Seen) bool { return s.Usage.Pids >= 20 || s.Phase == workload.PhaseExited })
	if s.Usage.Pids > 20 {
		t.Fatalf("%d processes", s.Usage.Pids)
	}
}

func storageLimit(t *testing.T, k *kit) {
	k.needs("layer quota")
	w := k.shell("dd if=/dev/zero of=/big bs=1M count=200 2>&1; echo done; sleep 60")
	w.StorageMiB, w.MemoryMiB = 24, 128
	i, _ := k.start(w)
	k.untilLine(i, "done")
	if got := texts(k.lines(i, workload.LogQuery{})); !strings.Contains(got, "No space left on device") {
		t.Fatalf("200 MiB went into 24: %q", got)
	}
	if s := k.observe(i); s.Usage.StorageBytes > 24<<20 || s.Usage.StorageBytes < 10<<20 {
		t.Errorf("storage used is %d", s.Usage.StorageBytes)
	}
	if code, out := k.exec(i, "sh", "-c", "rm /big; echo ok > /small; cat /small"); code != 0 || out != "ok\n" {
		t.Errorf("after making room: %d %q", code, out)
	}
}

func layerStays(t *testing.T, k *kit) {
	w := k.shell("[ -f /mark ] && echo found || echo absent; touch /mark; [ -d /etc ] && echo x >> /etc/mine; sleep 0.1")
	i, _ := k.start(w)
	k.untilExited(i)
	k.ensure(i, w)
	k.untilExited(i)
	if got := texts(k.lines(i, workload.LogQuery{})); got != "stdout:absent|stdout:found" {
		t.Fatalf("log is %q", got)
	}
	w.Env = map[string]string{"ANOTHER": "want"}
	k.ensure(i, w)
	k.untilExited(i)
	if got := texts(k.lines(i, workload.LogQuery{})); got != "stdout:absent|stdout:found|stdout:absent" {
		t.Fatalf("a replaced instance kept its layer: %q", got)
	}
}

func imageNotShared(t *testing.T, k *kit) {
	w := k.shell("echo mine > /bin/new; rm /etc/passwd; echo ready; sleep 60")
	i, _ := k.start(w)
	k.untilLine(i, "ready")
	j, _ := k.start(k.shell("ls /bin/new /etc/passwd; sleep 60"))
	if got := k.untilLine(j, "passwd"); got != "/etc/passwd" {
		t.Fatalf("what one instance did to its files shows in another: %q", got)
	}
}

func userNamespace(t *testing.T, k *kit) {
	k.needs("user namespace")
	i, s := k.start(k.shell("id -u; touch /own && echo wrote; sleep 60"))
	k.untilLine(i, "wrote")
	if got := texts(k.lines(i, workload.LogQuery{})); got != "stdout:0|stdout:wrote" {
		t.Fatalf("inside it is %q", got)
	}
	uid := status(t, s.Pid, "Uid:")
	if uid == "0" || uid == "" {
		t.Fatalf("outside it is user %q", uid)
	}
	other := k.shell("sleep 60")
	other.Network.Tenant += "x"
	_, s2 := k.start(other)
	if again := status(t, s2.Pid, "Uid:"); again == uid {
		t.Errorf("two tenants are the same user %s of the host", uid)
	}
}

// status reads the first word after a name in /proc/PID/status.
func status(t *testing.T, pid int, name string) string {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), name); ok {
			return strings.Fields(rest)[0]
		}
	}
	return ""
}

func privileges(t *testing.T, k *kit) {
	_, s := k.start(k.shell("sleep 60"))
	if got := status(t, s.Pid, "NoNewPrivs:"); got != "1" {
		t.Errorf("NoNewPrivs is %q", got)
	}
	if got := status(t, s.Pid, "Seccomp:"); got != "2" {
		t.Errorf("Seccomp is %q", got)
	}
	caps, err := strconv.ParseUint(status(t, s.Pid, "CapBnd:"), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	for name, bit := range map[string]int{"NET_ADMIN": 12, "NET_RAW": 13, "SYS_MODULE": 16, "SYS_PTRACE": 19, "SYS_ADMIN": 21, "SYS_BOOT": 22, "MKNOD": 27, "BPF": 39} {
		if caps&(1<<bit) != 0 {
			t.Errorf("it may have %s", name)
		}
	}
	i, _ := k.start(k.shell("sleep 60"))
	for _, try := range []string{"mount -t tmpfs x /tmp", "mknod /tmp/d b 7 0", "echo 1 > /proc/sys/kernel/panic", "dd if=/proc/kcore of=/dev/null bs=1 count=1",
		"unshare -U true", "echo 1 > /sys/fs/cgroup/pids.max || echo 1 > /sys/fs/cgroup/pids/pids.max", "ip link set eth0 down", "ip addr add 10.9.9.9/32 dev eth0", "hostname x", "chroot /proc/1/root ls /sys/kernel/debug/x"} {
		if code, out := k.exec(i, "sh", "-c", try); code == 0 {
			t.Errorf("%q is allowed: %s", try, out)
		}
	}
}

func forkBomb(t *testing.T, k *kit) {
	k.needs("pids limit")
	bomb := k.shell("bomb() { bomb | bomb & }; while :; do bomb; done")
	bomb.Pids, bomb.MilliCPU = 60, 300
	b, _ := k.start(bomb)
	neighbour := k.want(Program{Forever: true})
	neighbour.Network.Tenant += "n"
	i, _ := k.start(neighbour)
	begin := time.Now()
	if code, out := k.exec(i, "echo", "alive"); code != 0 || out != "alive\n" {
		t.Fatalf("the neighbour gives %d %q", code, out)
	}
	t.Logf("exec beside the bomb took %v", time.Since(begin))
	if s := k.observe(b); s.Usage.Pids > 60 {
		t.Errorf("the bomb has %d processes", s.Usage.Pids)
	}
	if err := k.Engine.Destroy(k.ctx, b); err != nil {
		t.Fatal("the bomb cannot be removed:", err)
	}
}

func logFlood(t *testing.T, k *kit) {
	k.needs("logs while the cloud is away")
	flood := k.shell("yes 'the quick brown fox jumps over the lazy dog and floods the log of its tenant'")
	flood.MilliCPU = 500
	b, _ := k.start(flood)
	neighbour := k.want(Program{Out: []string{"hello"}, Forever: true})
	neighbour.Network.Tenant += "n"
	i, _ := k.start(neighbour)
	k.untilLine(i, "hello")
	k.untilLine(b, "quick")
	deadline := time.After(6 * time.Second)
	<-deadline
	begin := time.Now()
	if code, _ := k.exec(i, "true"); code != 0 {
		t.Fatal("the neighbour does not answer")
	}
	t.Logf("exec beside the flood took %v", time.Since(begin))
	var bytes int
	for _, l := range k.lines(b, workload.LogQuery{}) {
		bytes += len(l.Text)
	}
	t.Logf("the log holds %d KiB of text", bytes>>10)
	if bytes > 32<<20 {
		t.Errorf("the log holds %d MiB", bytes>>20)
	}
	if err := k.Engine.Destroy(k.ctx, b); err != nil {
		t.Fatal(err)
	}
}

func cpuLimit(t *testing.T, k *kit) {
	k.needs("cpu limit")
	w := k.shell("while :; do :; done")
	w.MilliCPU = 200
	i, _ := k.start(w)
	first, begin := k.observe(i).Usage.CPU, time.Now()
	var used time.Duration
	k.until(i, "1.5 s", func(s workload.Seen) bool {
		used = s.Usage.CPU - first
		return time.Since(begin) > 1500*time.Millisecond
	})
	share := float64(used) / float64(time.Since(begin))
	if share > 0.35 {
		t.Errorf("a fifth of a core allowed, %.2f taken", share)
	}
}
