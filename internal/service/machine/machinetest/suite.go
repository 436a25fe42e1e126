// Package machinetest is the contract of machine.Engine as tests: every engine runs the same ones. It may import the port and
// the kernel.
package machinetest

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// Harness is an engine under test.
type Harness struct {
	Engine machine.Engine
	// System makes want's machine boot a system that writes Prompt on its serial console, gives a root shell there, obeys the
	// power button and has an agent. Nil: the engine writes Prompt by itself, and no system runs.
	System func(*machine.Want)
	Prompt string
	Disk   func(t testing.TB, bytes int64) machine.Drive          // an empty disk
	Layer  func(t testing.TB, over machine.Drive) machine.Drive   // a new layer over it
	NIC    func(t testing.TB) machine.NIC                         // plugged into nothing
	Crash  func(t testing.TB, i id.ID)                            // the machine's process dies
	Reopen func(t testing.TB) Harness                             // closes the engine and opens it again over the same state; nil: cannot
	Sizes  func(t testing.TB, d machine.Drive, bytes int64) error // whether the file says that the disk has this size; nil: nothing to see
}

// Run runs the contract. factory gives a fresh engine that is gone after the test.
func Run(t *testing.T, factory func(testing.TB) Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *kit)
	}{
		{"Lifecycle", lifecycle},
		{"EnsureRefusesNonsense", refuses},
		{"StandsUntilItIsToRun", stands},
		{"StopStartResetPause", buttons},
		{"CrashIsSeenAndMended", crash},
		{"WhatCannotChangeIsRefused", fixed},
		{"DevicesComeAndGo", devices},
		{"OverlayAndResize", layers},
		{"ConsoleAndScreen", consoles},
		{"EventsTell", events},
		{"ManyAtOnce", many},
		{"ReopenAdopts", reopen},
		{"TheSystemInside", system},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // a busy machine boots slowly
			defer cancel()
			c.test(t, &kit{T: t, Harness: factory(t), ctx: ctx})
		})
	}
}

// kit is a harness with what tests need around it.
type kit struct {
	*testing.T
	Harness
	ctx context.Context
}

// want is a machine without a system: its firmware finds nothing to boot.
func (k *kit) want() machine.Want {
	return machine.Want{Name: "test", CPUs: 1, MemoryMiB: 32, Running: true, UUID: id.New().Dashed(), Serial: "S-1"}
}

func (k *kit) disk(device string, bytes int64) machine.Disk {
	return machine.Disk{ID: id.New(), Device: device, Serial: "serial-" + device, Drive: k.Disk(k.T, bytes)}
}

func (k *kit) ensure(i id.ID, w machine.Want) machine.Seen {
	k.Helper()
	s, err := k.Engine.Ensure(k.ctx, i, w)
	if err != nil {
		k.Fatalf("Ensure: %v", err)
	}
	return s
}

func (k *kit) start(w machine.Want) (id.ID, machine.Seen) {
	k.Helper()
	i := id.New()
	return i, k.ensure(i, w)
}

func (k *kit) observe(i id.ID) machine.Seen {
	k.Helper()
	s, err := k.Engine.Observe(k.ctx, i)
	if err != nil {
		k.Fatalf("Observe: %v", err)
	}
	return s
}

// until waits for a condition on the machine.
func (k *kit) until(i id.ID, what string, ok func(machine.Seen) bool) machine.Seen {
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

func (k *kit) must(what string, err error) {
	k.Helper()
	if err != nil {
		k.Fatalf("%s: %v", what, err)
	}
}

func (k *kit) wantKind(err error, kind fail.Kind) {
	k.Helper()
	if !fail.Is(err, kind) {
		k.Fatalf("error is %v, want kind %s", err, kind)
	}
}

// line is one who watches a serial console.
type line struct {
	k *kit
	c io.ReadWriteCloser

	mu   sync.Mutex
	seen bytes.Buffer
	grew chan struct{}
	over bool
}

func (k *kit) join(i id.ID) *line {
	k.Helper()
	c, err := k.Engine.Serial(k.ctx, i)
	if err != nil {
		k.Fatalf("Serial: %v", err)
	}
	l := &line{k: k, c: c, grew: make(chan struct{}, 1)}
	k.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			l.mu.Lock()
			l.seen.Write(b[:n])
			l.over = err != nil
			l.mu.Unlock()
			select {
			case l.grew <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	return l
}

// expect waits for text and forgets what came up to its end.
func (l *line) expect(text string) string {
	l.k.Helper()
	for {
		l.mu.Lock()
		all, over := l.seen.String(), l.over
		before, after, ok := strings.Cut(all, text)
		if ok {
			l.seen.Reset()
			l.seen.WriteString(after)
		}
		l.mu.Unlock()
		switch {
		case ok:
			return before
		case over:
			l.k.Fatalf("the line ended before %q came: %q", text, all)
		}
		select {
		case <-l.grew:
		case <-l.k.ctx.Done():
			l.k.Fatalf("never came: %q; what came: %q", text, all)
		}
	}
}

// ended waits for the end of the line.
func (l *line) ended() {
	l.k.Helper()
	for {
		l.mu.Lock()
		over := l.over
		l.mu.Unlock()
		if over {
			return
		}
		select {
		case <-l.grew:
		case <-l.k.ctx.Done():
			l.k.Fatal("the line did not end")
		}
	}
}

func (l *line) send(text string) {
	l.k.Helper()
	if _, err := l.c.Write([]byte(text)); err != nil {
		l.k.Fatalf("write to the console: %v", err)
	}
}

// run gives what a command in the shell on the console writes.
func (l *line) run(command string) string {
	l.k.Helper()
	l.send("echo BEG''IN; " + command + "; echo EN''D\n")
	l.expect("BEGIN")
	return strings.TrimSpace(strings.ReplaceAll(l.expect("END"), "\r", ""))
}
