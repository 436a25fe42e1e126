// Package workloadtest is the contract of workload.Engine as tests: every engine runs the same ones. A test that needs an
// ability the engine reports as missing is skipped, naming the ability. It may import the port and the kernel.
package workloadtest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// Program is what an instance does, in words that every engine's harness can turn into a command.
type Program struct {
	Out      []string      // lines on stdout
	Err      []string      // then lines on stderr
	Env      []string      // then "NAME=value" of these on stdout
	Wait     time.Duration // then stay this long
	HogMiB   int           // then take this much memory
	Forever  bool          // then stay until told to end, ending on SIGTERM with code 0
	Stubborn bool          // Forever, but deaf to SIGTERM
	Exit     int           // else end with this code
}

// Harness is an engine under test.
type Harness struct {
	Engine  workload.Engine
	Image   string                   // with a shell and busybox's tools, where programs are real
	Other   string                   // another reference of an image as good
	Command func(Program) []string   // the command that does it
	Reopen  func(testing.TB) Harness // closes the engine and opens it again over the same state; nil: cannot
	Real    bool                     // instances are real processes that run real commands
	HostIP  string                   // an address of the host that instances must not reach
}

// Run runs the contract. factory gives a fresh engine that is gone after the test.
func Run(t *testing.T, factory func(testing.TB) Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *kit)
	}{
		{"Lifecycle", lifecycle},
		{"EnsureIsIdempotent", idempotent},
		{"EnsureRefusesNonsense", refuses},
		{"UnknownImageIsNotFound", unknownImage},
		{"UnknownCommandIsInvalid", unknownCommand},
		{"AnotherWantReplaces", replaces},
		{"StopKeepsAndStartsAgain", stopStart},
		{"StubbornIsKilledAfterGrace", stubborn},
		{"ExitCodesAreExplained", exitCodes},
		{"RestartsAreCounted", restarts},
		{"MemoryLimitKillsAndSaysSo", oom},
		{"EnvironmentAndSecrets", environment},
		{"LogsByStreamTailSinceMatch", logs},
		{"LogsFollow", logsFollow},
		{"LongLinesAreCut", longLines},
		{"ExecGivesCodeAndOutput", execCode},
		{"ExecReadsStdin", execStdin},
		{"ExecNeedsARunningInstance", execStopped},
		{"ListAndDestroy", list},
		{"EventsTell", events},
		{"ManyAtOnce", many},
		{"ReopenAdopts", reopen},
		{"FilesAreThere", filesAreThere},
		{"FilesAreReplacedAtOnce", filesAreReplaced},
		{"FilesOutliveTheEngine", filesOverReopen},
		{"CopyInAndOut", copies},
		{"ExecTerminal", execTerminal},
		{"PidsLimitHolds", pidsLimit},
		{"StorageLimitHolds", storageLimit},
		{"LayerStaysOverRestart", layerStays},
		{"ImageIsNotShared", imageNotShared},
		{"RootInsideIsNobodyOutside", userNamespace},
		{"PrivilegesAreDropped", privileges},
		{"TenantsAreIsolated", isolation},
		{"HostIsOutOfReach", hostOutOfReach},
		{"AddressesCannotBeForged", spoofing},
		{"NamesResolve", hostAliases},
		{"NamesChange", namesChange},
		{"TrustIsGiven", trusts},
		{"ForkBombStaysInside", forkBomb},
		{"LogFloodIsBounded", logFlood},
		{"CPULimitHolds", cpuLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
			defer cancel()
			k := &kit{T: t, Harness: factory(t), ctx: ctx, tenant: "tenant-" + string(id.New())}
			c.test(t, k)
		})
	}
}

// kit is a harness with what tests need around it.
type kit struct {
	*testing.T
	Harness
	ctx    context.Context
	tenant string
}

// needs skips the test when the engine says it lacks an ability.
func (k *kit) needs(features ...string) {
	k.Helper()
	have := map[string]workload.Feature{}
	for _, f := range k.Engine.Capabilities(k.ctx).Features {
		have[f.Name] = f
	}
	for _, name := range features {
		f, known := have[name]
		switch {
		case !known:
			k.Skipf("the engine does not have: %s", name)
		case !f.OK:
			k.Skipf("the engine lacks here: %s: %s", name, f.Reason)
		}
	}
}

// needsReal skips the test for engines without real processes.
func (k *kit) needsReal() {
	k.Helper()
	if !k.Real {
		k.Skip("needs real processes")
	}
}

func (k *kit) want(p Program) workload.Want {
	return workload.Want{Image: k.Image, Command: k.Command(p), MilliCPU: 1000, MemoryMiB: 64, Pids: 64, StorageMiB: 32,
		Network: workload.Network{Tenant: k.tenant}}
}

// shell is a want that runs a real shell script.
func (k *kit) shell(script string) workload.Want {
	k.Helper()
	k.needsReal()
	w := k.want(Program{})
	w.Command = []string{"sh", "-c", script}
	return w
}

func (k *kit) ensure(i id.ID, w workload.Want) workload.Seen {
	k.Helper()
	s, err := k.Engine.Ensure(k.ctx, i, w)
	if err != nil {
		k.Fatalf("Ensure: %v", err)
	}
	return s
}

func (k *kit) start(w workload.Want) (id.ID, workload.Seen) {
	k.Helper()
	i := id.New()
	return i, k.ensure(i, w)
}

func (k *kit) observe(i id.ID) workload.Seen {
	k.Helper()
	s, err := k.Engine.Observe(k.ctx, i)
	if err != nil {
		k.Fatalf("Observe: %v", err)
	}
	return s
}

// until waits for a condition on the instance.
func (k *kit) until(i id.ID, what string, ok func(workload.Seen) bool) workload.Seen {
	k.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		s := k.observe(i)
		if ok(s) {
			return s
		}
		select {
		case <-k.ctx.Done():
			k.Fatalf("never came: %s; last seen %+v exit %+v", what, s, s.Exit)
		case <-tick.C:
		}
	}
}

func (k *kit) untilExited(i id.ID) workload.Seen {
	k.Helper()
	return k.until(i, "exit", func(s workload.Seen) bool { return s.Phase == workload.PhaseExited })
}

// lines reads a log as it is now.
func (k *kit) lines(i id.ID, q workload.LogQuery) []workload.Line {
	k.Helper()
	var out []workload.Line
	for l, err := range k.Engine.Logs(k.ctx, i, q) {
		if err != nil {
			k.Fatalf("Logs: %v", err)
		}
		out = append(out, l)
	}
	return out
}

// untilLine waits until the log has a line that contains text, and gives it.
func (k *kit) untilLine(i id.ID, text string) string {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.ctx, 30*time.Second)
	defer cancel()
	for l, err := range k.Engine.Logs(ctx, i, workload.LogQuery{Match: text, Follow: true}) {
		if err != nil {
			k.Fatalf("Logs: %v", err)
		}
		return l.Text
	}
	k.Fatalf("no line with %q came", text)
	return ""
}

// exec runs a command inside and gives its exit code and what it wrote.
func (k *kit) exec(i id.ID, command ...string) (int, string) {
	k.Helper()
	var out strings.Builder
	both := &safeWriter{w: &out}
	code, err := k.Engine.Exec(k.ctx, i, workload.Exec{Command: command, Stdout: both, Stderr: both})
	if err != nil {
		k.Fatalf("Exec %q: %v", command, err)
	}
	return code, out.String()
}

// connects tells whether a TCP connection from the host comes to be.
func (k *kit) connects(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func (k *kit) wantKind(err error, kind fail.Kind) {
	k.Helper()
	if !fail.Is(err, kind) {
		k.Fatalf("error is %v, want kind %s", err, kind)
	}
}

func texts(lines []workload.Line) string {
	var out []string
	for _, l := range lines {
		out = append(out, l.Stream+":"+l.Text)
	}
	return strings.Join(out, "|")
}

// Shell turns a program into a shell script: the harness of an engine with real processes.
func Shell(p Program) []string {
	var s strings.Builder
	for _, l := range p.Out {
		fmt.Fprintf(&s, "echo '%s'\n", l)
	}
	for _, l := range p.Err {
		fmt.Fprintf(&s, "echo '%s' >&2\n", l)
	}
	for _, n := range p.Env {
		fmt.Fprintf(&s, "echo \"%s=$%s\"\n", n, n)
	}
	if p.Wait > 0 {
		fmt.Fprintf(&s, "sleep %f\n", p.Wait.Seconds())
	}
	if p.HogMiB > 0 {
		fmt.Fprintf(&s, "exec tail /dev/zero\n") // keeps all it reads, hoping for a newline
	}
	switch {
	case p.Stubborn:
		s.WriteString("trap '' TERM\nwhile :; do sleep 1; done\n")
	case p.Forever:
		s.WriteString("trap 'exit 0' TERM\nwhile :; do sleep 1 & wait $!; done\n")
	default:
		fmt.Fprintf(&s, "exit %d\n", p.Exit)
	}
	return []string{"sh", "-c", s.String()}
}
