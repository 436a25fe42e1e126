package workloadtest

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

func lifecycle(t *testing.T, k *kit) {
	w := k.want(Program{Forever: true})
	w.Labels = map[string]string{"app": "shop", "release": "7"}
	before := time.Now().Add(-time.Second)
	i, s := k.start(w)
	if s.Phase != workload.PhaseRunning || s.WantHash != w.Hash() || s.Restarts != 0 || s.Exit != nil {
		t.Fatalf("after Ensure: %+v", s)
	}
	if !s.Address.IsValid() || s.Pid == 0 || s.Started.Before(before) {
		t.Fatalf("after Ensure: address %v, pid %d, started %v", s.Address, s.Pid, s.Started)
	}
	s = k.observe(i)
	if s.Labels["app"] != "shop" || s.Labels["release"] != "7" {
		t.Fatalf("labels are %v", s.Labels)
	}
	if err := k.Engine.Destroy(k.ctx, i); err != nil {
		t.Fatal(err)
	}
	_, err := k.Engine.Observe(k.ctx, i)
	k.wantKind(err, fail.Gone)
	for range k.Engine.Logs(k.ctx, i, workload.LogQuery{}) {
		if _, err := k.Engine.Observe(k.ctx, i); err == nil {
			t.Fatal("it has a log after Destroy")
		}
	}
}

func idempotent(t *testing.T, k *kit) {
	w := k.want(Program{Forever: true})
	i, first := k.start(w)
	second := k.ensure(i, w)
	if second.Pid != first.Pid || second.Address != first.Address || second.Restarts != 0 {
		t.Fatalf("an equal want changed something: %+v, then %+v", first, second)
	}
	for range 2 {
		if err := k.Engine.Destroy(k.ctx, i); err != nil {
			t.Fatal("Destroy:", err)
		}
		if err := k.Engine.Stop(k.ctx, i, time.Second); err != nil {
			t.Fatal("Stop of an absent one:", err)
		}
	}
}

func refuses(t *testing.T, k *kit) {
	good := k.want(Program{Forever: true})
	for name, spoil := range map[string]func(*workload.Want){
		"no image":        func(w *workload.Want) { w.Image = "" },
		"no tenant":       func(w *workload.Want) { w.Network.Tenant = "" },
		"negative memory": func(w *workload.Want) { w.MemoryMiB = -1 },
		"unknown egress":  func(w *workload.Want) { w.Network.Egress = "moon" },
	} {
		w := good
		spoil(&w)
		i := id.New()
		if _, err := k.Engine.Ensure(k.ctx, i, w); !fail.Is(err, fail.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := k.Engine.Observe(k.ctx, i); !fail.Is(err, fail.Gone) {
			t.Errorf("%s left something: %v", name, err)
		}
	}
	if _, err := k.Engine.Ensure(k.ctx, "../etc", good); !fail.Is(err, fail.Invalid) {
		t.Errorf("a path as id: %v", err)
	}
}

func unknownImage(t *testing.T, k *kit) {
	w := k.want(Program{Forever: true})
	w.Image = "nobody/nothing@sha256:" + strings.Repeat("0", 64)
	i := id.New()
	_, err := k.Engine.Ensure(k.ctx, i, w)
	k.wantKind(err, fail.NotFound)
	if msg := fail.From(err).Public(); !strings.Contains(msg, "nobody/nothing") {
		t.Errorf("the message does not name the image: %s", msg)
	}
	k.wantKind(k.Engine.Prefetch(k.ctx, w.Image), fail.NotFound)
	if err := k.Engine.Prefetch(k.ctx, k.Image); err != nil {
		t.Fatal("Prefetch:", err)
	}
}

func unknownCommand(t *testing.T, k *kit) {
	k.needsReal()
	w := k.want(Program{})
	w.Command = []string{"no-such-program"}
	i := id.New()
	_, err := k.Engine.Ensure(k.ctx, i, w)
	k.wantKind(err, fail.Invalid)
	if msg := fail.From(err).Public(); !strings.Contains(msg, "no-such-program") {
		t.Errorf("the message does not name the command: %s", msg)
	}
	w.Command = k.Command(Program{Forever: true})
	if s := k.ensure(i, w); s.Phase != workload.PhaseRunning {
		t.Fatalf("a corrected want does not run: %+v", s)
	}
}

func replaces(t *testing.T, k *kit) {
	w := k.want(Program{Out: []string{"one"}, Forever: true})
	i, first := k.start(w)
	k.untilLine(i, "one")
	w2 := k.want(Program{Out: []string{"two"}, Forever: true})
	w2.Env = map[string]string{"A": "b"}
	second := k.ensure(i, w2)
	if second.Phase != workload.PhaseRunning || second.WantHash != w2.Hash() || second.Pid == first.Pid {
		t.Fatalf("not replaced: %+v", second)
	}
	if second.Address != first.Address || second.Restarts != 0 || second.Exit != nil {
		t.Fatalf("address %v, restarts %d, exit %v", second.Address, second.Restarts, second.Exit)
	}
	k.untilLine(i, "two")
}

func stopStart(t *testing.T, k *kit) {
	w := k.want(Program{Out: []string{"up"}, Forever: true})
	i, first := k.start(w)
	k.untilLine(i, "up")
	if err := k.Engine.Stop(k.ctx, i, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	s := k.observe(i)
	if s.Phase != workload.PhaseExited || s.Pid != 0 || s.Exit == nil || s.Exit.Code != 0 {
		t.Fatalf("after Stop: %+v, exit %+v", s, s.Exit)
	}
	if !strings.Contains(s.Exit.Reason, "stopped") {
		t.Errorf("the reason does not say that it was stopped: %q", s.Exit.Reason)
	}
	if err := k.Engine.Stop(k.ctx, i, time.Second); err != nil {
		t.Fatal("Stop of a stopped one:", err)
	}
	if got := texts(k.lines(i, workload.LogQuery{})); !strings.Contains(got, "stdout:up") {
		t.Errorf("the log went with the process: %q", got)
	}
	again := k.ensure(i, w)
	if again.Phase != workload.PhaseRunning || again.Address != first.Address || again.Restarts != 1 {
		t.Fatalf("started again: %+v", again)
	}
}

func stubborn(t *testing.T, k *kit) {
	i, _ := k.start(k.want(Program{Out: []string{"up"}, Stubborn: true}))
	k.untilLine(i, "up")
	if err := k.Engine.Stop(k.ctx, i, 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if s := k.observe(i); s.Phase != workload.PhaseExited || s.Exit.Code != 137 || s.Exit.OOMKilled {
		t.Fatalf("after Stop: %+v", s.Exit)
	}
}

func exitCodes(t *testing.T, k *kit) {
	for _, c := range []struct {
		code int
		says string
	}{{0, "finished"}, {3, "exit code 3"}, {127, "not found"}} {
		i, _ := k.start(k.want(Program{Wait: 50 * time.Millisecond, Exit: c.code}))
		s := k.untilExited(i)
		if s.Exit.Code != c.code || s.Exit.OOMKilled || !strings.Contains(s.Exit.Reason, c.says) || s.Exit.At.Before(s.Started) {
			t.Errorf("exit %d: %+v", c.code, s.Exit)
		}
	}
}

func restarts(t *testing.T, k *kit) {
	w := k.want(Program{Exit: 1})
	i, _ := k.start(w)
	for n := 1; n <= 3; n++ {
		k.untilExited(i)
		if s := k.ensure(i, w); s.Restarts != n {
			t.Fatalf("restart %d is counted as %d", n, s.Restarts)
		}
	}
	if s := k.untilExited(i); s.Exit.Code != 1 {
		t.Fatalf("exit %+v", s.Exit)
	}
}

func oom(t *testing.T, k *kit) {
	k.needs("memory limit")
	w := k.want(Program{HogMiB: 200})
	i, _ := k.start(w)
	s := k.untilExited(i)
	if !s.Exit.OOMKilled || s.Exit.Code != 137 || !strings.HasPrefix(s.Exit.Reason, "killed: memory limit 64 MiB reached at ") {
		t.Fatalf("exit %+v", s.Exit)
	}
}

func environment(t *testing.T, k *kit) {
	w := k.want(Program{Env: []string{"COLOUR", "PASSWORD"}, Forever: true})
	w.Env = map[string]string{"COLOUR": "green"}
	w.Secrets = map[string]string{"PASSWORD": "correct horse"}
	w.Labels = map[string]string{"a": "b"}
	i, s := k.start(w)
	k.untilLine(i, "COLOUR=green")
	k.untilLine(i, "PASSWORD=correct horse")
	if printed := fmt.Sprintf("%+v", s); strings.Contains(printed, "horse") {
		t.Errorf("the secret is in what Ensure returns: %s", printed)
	}
	changed := w
	changed.Secrets = map[string]string{"PASSWORD": "battery staple"}
	k.ensure(i, changed)
	k.untilLine(i, "PASSWORD=battery staple")
}

func list(t *testing.T, k *kit) {
	var want []id.ID
	for range 3 {
		i, _ := k.start(k.want(Program{Forever: true}))
		want = append(want, i)
	}
	if err := k.Engine.Stop(k.ctx, want[1], 0); err != nil {
		t.Fatal(err)
	}
	check := func(want []id.ID) {
		t.Helper()
		var got []id.ID
		for i, err := range k.Engine.List(k.ctx) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, i)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("List gives %v, want %v", got, want)
		}
	}
	check(want)
	if err := k.Engine.Destroy(k.ctx, want[0]); err != nil {
		t.Fatal(err)
	}
	check(want[1:])
}

func events(t *testing.T, k *kit) {
	got := make(chan workload.Event, 16)
	stream := k.Engine.Events(k.ctx)
	go func() {
		defer close(got)
		for ev, err := range stream {
			if err != nil {
				return
			}
			got <- ev
		}
	}()
	next := func() workload.Event {
		t.Helper()
		select {
		case ev := <-got:
			return ev
		case <-time.After(20 * time.Second):
			t.Fatal("no event came")
			return workload.Event{}
		}
	}
	i, _ := k.start(k.want(Program{Wait: 100 * time.Millisecond, Exit: 4}))
	if ev := next(); ev.Type != workload.EventStarted || ev.Instance != i {
		t.Fatalf("first event %+v", ev)
	}
	if ev := next(); ev.Type != workload.EventExited || ev.Instance != i || ev.Exit == nil || ev.Exit.Code != 4 {
		t.Fatalf("second event %+v", ev)
	}
}

func many(t *testing.T, k *kit) {
	const n = 8
	var wg sync.WaitGroup
	seen := make([]workload.Seen, n)
	ids := make([]id.ID, n)
	for x := range n {
		ids[x] = id.New()
		wg.Go(func() {
			s, err := k.Engine.Ensure(k.ctx, ids[x], k.want(Program{Forever: true}))
			if err != nil {
				t.Error(err)
			}
			seen[x] = s
		})
	}
	wg.Wait()
	addresses := map[string]bool{}
	for _, s := range seen {
		addresses[s.Address.String()] = true
	}
	if len(addresses) != n {
		t.Fatalf("%d instances have %d addresses", n, len(addresses))
	}
	for x := range n {
		wg.Go(func() {
			if err := k.Engine.Destroy(k.ctx, ids[x]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range k.Engine.List(k.ctx) {
		t.Errorf("%s is left", i)
	}
}

func reopen(t *testing.T, k *kit) {
	if k.Reopen == nil {
		t.Skip("the engine keeps nothing over a restart")
	}
	stays := k.want(Program{Out: []string{"up"}, Forever: true})
	ends := k.want(Program{Wait: 300 * time.Millisecond, Exit: 5})
	a, before := k.start(stays)
	b, _ := k.start(ends)
	k.Harness = k.Reopen(t)
	after := k.ensure(a, stays)
	if after.Pid != before.Pid || after.Restarts != 0 || after.Address != before.Address || after.Phase != workload.PhaseRunning {
		t.Fatalf("not adopted: %+v, then %+v", before, after)
	}
	if s := k.untilExited(b); s.Exit.Code != 5 {
		t.Fatalf("the exit that happened meanwhile: %+v", s.Exit)
	}
	if err := k.Engine.Stop(k.ctx, a, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if s := k.observe(a); s.Phase != workload.PhaseExited {
		t.Fatalf("an adopted one does not stop: %+v", s)
	}
}

// safeWriter lets two pipes write to one buffer.
type safeWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *safeWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}
