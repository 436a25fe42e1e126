package sim_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/awancloud/awan/internal/engine/workload/sim"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/fault"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
	"github.com/awancloud/awan/internal/service/workload/workloadtest"
)

func TestContract(t *testing.T) {
	workloadtest.Run(t, func(t testing.TB) workloadtest.Harness {
		e := sim.New(sim.Options{})
		t.Cleanup(func() { _ = e.Close() })
		return workloadtest.Harness{Engine: e, Image: "tests/any@sha256:0", Command: words}
	})
}

// words puts a program into sim's words.
func words(p workloadtest.Program) []string {
	out := []string{"sim"}
	for _, l := range p.Out {
		out = append(out, "out:"+l)
	}
	for _, l := range p.Err {
		out = append(out, "err:"+l)
	}
	for _, n := range p.Env {
		out = append(out, "env:"+n)
	}
	if p.Wait > 0 {
		out = append(out, "wait:"+p.Wait.String())
	}
	switch {
	case p.HogMiB > 0:
		out = append(out, "oom")
	case p.Stubborn:
		out = append(out, "stubborn")
	case p.Forever:
		out = append(out, "forever")
	default:
		out = append(out, fmt.Sprintf("exit:%d", p.Exit))
	}
	return out
}

var want = workload.Want{Image: "p/a@sha256:0", MemoryMiB: 256, Network: workload.Network{Tenant: "t"}}

func TestStrikes(t *testing.T) {
	e := sim.New(sim.Options{})
	defer e.Close()
	i := id.New()
	if _, err := e.Ensure(t.Context(), i, want); err != nil {
		t.Fatal(err)
	}
	if err := e.OOM(i); err != nil {
		t.Fatal(err)
	}
	if s, _ := e.Observe(t.Context(), i); s.Exit == nil || !s.Exit.OOMKilled {
		t.Fatalf("%+v", s)
	}
	e.Lose(i)
	if _, err := e.Observe(t.Context(), i); !fail.Is(err, fail.Gone) {
		t.Fatal(err)
	}
}

func TestFaults(t *testing.T) {
	boom := fail.New(fail.Unavailable, "boom")
	e := sim.New(sim.Options{Before: sim.FailNth("Ensure", 1, boom), After: sim.FailNth("Ensure", 1, boom)})
	defer e.Close()
	i := id.New()
	if _, err := e.Ensure(t.Context(), i, want); !fail.Is(err, fail.Unavailable) {
		t.Fatal(err)
	}
	if _, err := e.Observe(t.Context(), i); !fail.Is(err, fail.Gone) {
		t.Fatal("a call that failed before had an effect:", err)
	}
	if _, err := e.Ensure(t.Context(), i, want); !fail.Is(err, fail.Unavailable) {
		t.Fatal(err)
	}
	if s, err := e.Observe(t.Context(), i); err != nil || s.Phase != workload.PhaseRunning {
		t.Fatal("a call that failed after had no effect:", err)
	}
}

func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := sim.New(sim.Options{Before: fault.Slow[sim.Call](time.Minute)})
		defer e.Close()
		i := id.New()
		w := want
		w.Command = []string{"sim", "wait:1h", "exit:9"}
		begin := time.Now()
		if _, err := e.Ensure(t.Context(), i, w); err != nil || time.Since(begin) != time.Minute {
			t.Fatal(err, time.Since(begin))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if s, _ := e.Observe(t.Context(), i); s.Phase != workload.PhaseExited || s.Exit.Code != 9 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestGateSteps(t *testing.T) {
	var g sim.Gate
	e := sim.New(sim.Options{Before: g.Hook})
	i := id.New()
	got := make(chan error, 1)
	go func() { _, err := e.Ensure(t.Context(), i, want); got <- err }()
	c, err := g.Next(t.Context())
	if err != nil || c.Method != "Ensure" || c.Instance != i {
		t.Fatal(c, err)
	}
	g.Pass(nil)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	_ = e.Close()
}

func TestHandler(t *testing.T) {
	e := sim.New(sim.Options{Port: 18080, Handler: func(id.ID, workload.Want) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	}})
	defer e.Close()
	i := id.New()
	s, err := e.Ensure(t.Context(), i, want)
	if err != nil {
		t.Skip("cannot listen on 127.80.0.1:", err)
	}
	url := fmt.Sprintf("http://%s:18080/", s.Address)
	get := func() error {
		r, _ := http.NewRequestWithContext(context.Background(), "GET", url, nil)
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	if err := e.Stop(t.Context(), i, time.Second); err != nil {
		t.Fatal(err)
	}
	if get() == nil {
		t.Fatal("a stopped instance answers")
	}
}
