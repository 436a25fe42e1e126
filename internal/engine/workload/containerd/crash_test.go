package containerd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/engine/workload/containerd"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// job tells a child process, which is this test binary too, what to do with an engine before it is killed.
type job struct {
	Dir, Key, Subnet string
	Keep             []id.ID // start these and say so
	Churn            []id.ID // then start, replace, stop and remove these without end
	Want             workload.Want
	Ends             map[id.ID][]string // commands of those that end while nobody looks
}

const childEnv = "AWAN_ENGINE_TEST_CHILD"

// child is the life of a cloud's process that will be killed.
func child() {
	var j job
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &j); err != nil {
		panic(err)
	}
	t := &testing.B{} // only for its Helper and Fatal
	transport, ref := newRegistry(t)
	ctx := context.Background()
	e, err := containerd.Open(ctx, containerd.Options{Dir: j.Dir, Key: j.Key, Subnet: netip.MustParsePrefix(j.Subnet), Registry: transport, RegistryHost: registryHost})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	j.Want.Image = ref
	for _, i := range j.Keep {
		w := j.Want
		if c := j.Ends[i]; c != nil {
			w.Command = c
		}
		s, err := e.Ensure(ctx, i, w)
		if err != nil {
			fmt.Println("ensure:", err)
			os.Exit(1)
		}
		fmt.Println("pid", i, s.Pid)
	}
	fmt.Println("ready")
	for n := 0; len(j.Churn) > 0; n++ {
		i := j.Churn[n%len(j.Churn)]
		w := j.Want
		w.Env = map[string]string{"ROUND": fmt.Sprint(n / len(j.Churn) / 2)}
		switch n % 5 {
		case 3:
			err = e.Destroy(ctx, i)
		case 4:
			err = e.Stop(ctx, i, 0)
		default:
			_, err = e.Ensure(ctx, i, w)
		}
		if err != nil {
			fmt.Println("churn:", err)
		}
	}
	select {}
}

// spawn starts a child and waits until it is ready; it gives what the child printed of pids.
func spawn(t *testing.T, j job) (*exec.Cmd, map[id.ID]string) {
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
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pids := map[id.ID]string{}
	s := bufio.NewScanner(out)
	for s.Scan() {
		if f := strings.Fields(s.Text()); len(f) == 3 && f[0] == "pid" {
			pids[id.ID(f[1])] = f[2]
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

// A cloud whose process is killed finds its containers running as they were, and knows what ended meanwhile.
func TestKilledProcessIsFollowedByAdoption(t *testing.T) {
	o, ref := options(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	runs, ends, hogs := id.New(), id.New(), id.New()
	want := workload.Want{Command: []string{"sh", "-c", "n=0; while :; do echo tick $n; n=$((n+1)); sleep 0.1; done"}, MemoryMiB: 64, Pids: 32, StorageMiB: 32,
		Network: workload.Network{Tenant: "t"}, Labels: map[string]string{"l": "m"}}
	j := job{Dir: o.Dir, Key: o.Key, Subnet: o.Subnet.String(), Want: want, Keep: []id.ID{runs, ends, hogs}, Ends: map[id.ID][]string{
		ends: {"sh", "-c", "sleep 1; exit 6"}, hogs: {"sh", "-c", "sleep 1; exec tail /dev/zero"}}}
	t.Cleanup(func() {
		if err := containerd.Purge(context.Background(), o.Dir, o.Key); err != nil {
			t.Error("purge:", err)
		}
		leftovers(t, o)
	})
	cmd, pids := spawn(t, j)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	killed := time.Now()
	waitFor(t, "the others to end while nobody looks", func() bool { return !alive(pids[ends]) && !alive(pids[hogs]) })

	e, err := containerd.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("opened again in %v", time.Since(killed))
	want.Image = ref
	s, err := e.Ensure(ctx, runs, want)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(s.Pid) != pids[runs] || s.Restarts != 0 || s.Labels["l"] != "m" || s.Usage.MemoryBytes == 0 {
		t.Fatalf("pid was %s, now %+v", pids[runs], s)
	}
	for i, code := range map[id.ID]int{ends: 6, hogs: 137} {
		waitFor(t, "the exit to be recorded", func() bool { s, err := e.Observe(ctx, i); return err == nil && s.Phase == workload.PhaseExited })
		s, _ := e.Observe(ctx, i)
		if s.Exit.Code != code || s.Exit.OOMKilled != (i == hogs) || s.Exit.At.Sub(killed) > 5*time.Second {
			t.Errorf("exit %+v", s.Exit)
		}
		if i == hogs && !strings.HasPrefix(s.Exit.Reason, "killed: memory limit 64 MiB reached at ") {
			t.Errorf("reason %q", s.Exit.Reason)
		}
	}
	// The log has no hole where nobody was there.
	n := 0
	for l, err := range e.Logs(ctx, runs, workload.LogQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Text != fmt.Sprintf("tick %d", n) {
			t.Fatalf("line %d is %q", n, l.Text)
		}
		n++
	}
	if n < 10 {
		t.Errorf("%d lines", n)
	}
	if err := e.Purge(ctx); err != nil {
		t.Fatal(err)
	}
}

// Killed at any moment of any operation, the engine opens again, every operation can be repeated, and in the end
// nothing is left.
func TestKilledAtAnyMoment(t *testing.T) {
	if testing.Short() {
		t.Skip("kills twelve processes")
	}
	o, ref := options(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	want := workload.Want{Command: []string{"sleep", "600"}, MemoryMiB: 64, Pids: 32, StorageMiB: 16, Network: workload.Network{Tenant: "t"}}
	churn := []id.ID{id.New(), id.New(), id.New()}
	steady := id.New()
	j := job{Dir: o.Dir, Key: o.Key, Subnet: o.Subnet.String(), Want: want, Keep: []id.ID{steady}, Churn: churn}
	t.Cleanup(func() {
		if err := containerd.Purge(context.Background(), o.Dir, o.Key); err != nil {
			t.Error("purge:", err)
		}
		leftovers(t, o)
	})
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	want.Image = ref
	var pid string
	for round := range 12 {
		cmd, pids := spawn(t, j)
		if pid != "" && pids[steady] != pid {
			t.Fatalf("round %d: the steady one was restarted: pid %s, then %s", round, pid, pids[steady])
		}
		pid = pids[steady]
		timer := time.NewTimer(time.Duration(random.IntN(400)) * time.Millisecond)
		<-timer.C
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	e, err := containerd.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range churn {
		if s, err := e.Ensure(ctx, i, want); err != nil || s.Phase != workload.PhaseRunning {
			t.Fatalf("after the kills: %+v, %v", s, err)
		}
		if code, err := e.Exec(ctx, i, workload.Exec{Command: []string{"sh", "-c", "ip addr | grep -q 10.; touch /x"}}); err != nil || code != 0 {
			t.Fatalf("inside: %d, %v", code, err)
		}
	}
	shims := func() string {
		return run(t, "sh", "-c", "ps ax -o pid,ppid,etimes,args | grep '"+o.Dir+"/bin/containerd-shim' | grep -v grep | grep -ve '-id --' || true")
	}
	first := shims()
	waitFor(t, "4 shims for 4 instances, not "+first, func() bool { return strings.Count(shims(), "\n") == 3 })
	for _, i := range append(churn, steady) {
		if err := e.Destroy(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	if left := run(t, "sh", "-c", "ip -o link | grep -c 'aw"+o.Key+"[0-9a-f]*@' || true"); left != "0" {
		t.Errorf("%s interfaces are left", left)
	}
	if left := run(t, "sh", "-c", "ls -d /sys/fs/cgroup/memory/awan-"+o.Key+"/* 2>/dev/null | grep -c / || true"); left != "3" && left != "0" && left != "1" {
		t.Logf("control groups: %s", run(t, "sh", "-c", "ls -d /sys/fs/cgroup/memory/awan-"+o.Key+"/*/"))
	}
	if left := run(t, "sh", "-c", "grep -c '/run/awan-"+o.Key+"/i/' /proc/self/mountinfo || true"); left != "0" {
		t.Errorf("%s mounts are left", left)
	}
	if err := e.Purge(ctx); err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func alive(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("never came:", what)
		}
	}
}

// leftovers fails the test if the machine still shows a purged cloud.
func leftovers(t testing.TB, o containerd.Options) {
	t.Helper()
	for what, script := range map[string]string{
		"interfaces":     "ip -o link | grep aw" + o.Key,
		"routes":         "ip route | grep " + o.Subnet.Addr().String(),
		"packet rules":   "nft list tables | grep " + o.Key,
		"mounts":         "grep awan-" + o.Key + " /proc/self/mountinfo",
		"control groups": "ls -d /sys/fs/cgroup/*/awan-" + o.Key + " /sys/fs/cgroup/awan-" + o.Key + " 2>/dev/null",
		"processes":      "ps ax -o args | grep '^" + o.Dir + "'",
		"loop devices":   "losetup -a | grep " + o.Dir,
		"directories":    "ls -d /run/awan-" + o.Key + " 2>/dev/null",
	} {
		if out, err := exec.Command("sh", "-c", script).Output(); err == nil {
			t.Errorf("%s are left: %s", what, out)
		}
	}
}
