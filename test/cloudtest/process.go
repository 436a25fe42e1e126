// Package cloudtest runs the real program as a process of its own, talks to it as its users do, and looks from outside
// at what it left on the machine. Tests and benchmarks import it; it imports no part of the program but what reads the
// files it writes and the purge of its engine, so that nothing it says rests on the program's own memory.
package cloudtest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/awancloud/awan/internal/engine/workload/containerd"
)

// T is what is used of testing.TB, so that benchmarks that are programs can give their own.
type T interface {
	Helper()
	Cleanup(func())
	Logf(string, ...any)
	Errorf(string, ...any)
	Fatalf(string, ...any)
	Skipf(string, ...any)
}

// Binary gives the program: AWAN_BIN where it is set, else it is built into dir.
func Binary(t T, dir string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("running containers needs root")
	}
	if b := os.Getenv("AWAN_BIN"); b != "" {
		return b
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatalf("where the module lies: %v", err)
	}
	bin := filepath.Join(dir, "awan")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", bin, "./cmd/awan")
	build.Dir = strings.TrimSpace(string(out))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// Process is a cloud in a data folder, and at times a process that serves it.
type Process struct {
	Bin, Data string
	Args      []string // further flags of awan up
	Before    []string // a command that runs the program: ip netns exec NAME, say
	Ready     time.Duration
	t         T
	cmd       *exec.Cmd
	addr      string
	log       tail
}

// New prepares a cloud in dir; all it leaves on the machine is taken away with the test.
func New(t T, bin, dir string, args ...string) *Process {
	p := &Process{Bin: bin, Data: dir, Args: args, t: t}
	t.Cleanup(p.Purge)
	return p
}

// Start starts the process and waits until it says that it is ready.
func (p *Process) Start() {
	p.t.Helper()
	if p.addr == "" {
		p.addr = "127.0.0.1:0"
	}
	args := append(append([]string{}, p.Before...), p.Bin, "up", "--data", p.Data, "--listen", p.addr)
	args = append(args, p.Args...)
	p.cmd = exec.Command(args[0], args[1:]...)
	out, w, err := os.Pipe()
	if err != nil {
		p.t.Fatalf("pipe: %v", err)
	}
	p.cmd.Stdout, p.cmd.Stderr = w, &p.log
	p.cmd.WaitDelay = time.Second
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("%v: %v", args, err)
	}
	_ = w.Close()
	ready := make(chan bool, 1)
	go func() { // ends with the process, which holds the other end
		defer out.Close()
		s := bufio.NewScanner(out)
		for s.Scan() {
			if s.Text() == "ready" {
				ready <- true
			}
		}
		ready <- false
	}()
	select {
	case ok := <-ready:
		if !ok {
			err := p.cmd.Wait()
			p.cmd = nil
			p.t.Fatalf("awan up ended: %v\n%s", err, p.Log())
		}
	case <-time.After(time.Minute):
		p.Kill()
		p.t.Fatalf("awan up is not ready after a minute\n%s", p.Log())
	}
	p.Ready = time.Since(began)
	b, err := os.ReadFile(filepath.Join(p.Data, "listen"))
	if err != nil {
		p.t.Fatalf("%v", err)
	}
	p.addr = strings.TrimSpace(string(b)) // the next start takes the same port
}

// Addr is where it listens.
func (p *Process) Addr() string { return p.addr }

// Pid is the process's id; 0 when none runs.
func (p *Process) Pid() int {
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Kill ends the process with SIGKILL.
func (p *Process) Kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// Stop ends the process with SIGTERM.
func (p *Process) Stop() {
	p.t.Helper()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(30*time.Second, func() { _ = p.cmd.Process.Kill() })
	err := p.cmd.Wait()
	p.cmd = nil
	if !timer.Stop() {
		p.t.Errorf("SIGTERM did not stop it within 30 s\n%s", p.Log())
	} else if err != nil {
		p.t.Errorf("after SIGTERM: %v\n%s", err, p.Log())
	}
}

// Key tells this cloud's cgroups and bridges from those of others.
func (p *Process) Key() string {
	b, _ := os.ReadFile(filepath.Join(p.Data, "instance"))
	return strings.TrimSpace(string(b))
}

// Purge ends the process and takes away everything it left on the machine, but for its data folder.
func (p *Process) Purge() {
	p.Kill()
	if p.Key() == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := containerd.Purge(ctx, filepath.Join(p.Data, "engine"), p.Key()); err != nil {
		p.t.Errorf("purge: %v", err)
	}
}

// Log is the newest part of what the process logged.
func (p *Process) Log() string { return p.log.String() }

// Container is one that the machine runs for the cloud.
type Container struct {
	ID   string
	Pids []string
}

// Containers reads from the control groups what runs for the cloud.
func (p *Process) Containers() map[string]Container {
	out := map[string]Container{}
	for _, tree := range []string{"/sys/fs/cgroup/memory", "/sys/fs/cgroup"} {
		groups, _ := filepath.Glob(filepath.Join(tree, "awan-"+p.Key(), "*"))
		for _, g := range groups {
			if s, err := os.Stat(g); err != nil || !s.IsDir() || len(filepath.Base(g)) != 32 {
				continue
			}
			b, err := os.ReadFile(filepath.Join(g, "cgroup.procs"))
			if err == nil {
				out[filepath.Base(g)] = Container{filepath.Base(g), strings.Fields(string(b))}
			}
		}
	}
	return out
}

// RSS is the process's resident memory, in bytes.
func (p *Process) RSS() int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	for line := range strings.Lines(string(b)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	return 0
}

// Wait asks until ask says no more, every few milliseconds; it fails with ask's last words after most.
func Wait(t T, most time.Duration, ask func() (why string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		why := ask()
		if why == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("after %s: %s", most, why)
		case <-tick.C:
		}
	}
}

// tail keeps the end of a log.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailSize = 64 << 10

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(b)
	if over := l.buf.Len() - tailSize; over > tailSize {
		l.buf.Next(over)
	}
	return len(b), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// drain reads a body so that its connection can serve again.
func drain(r io.ReadCloser) []byte {
	b, _ := io.ReadAll(r)
	_ = r.Close()
	return b
}
