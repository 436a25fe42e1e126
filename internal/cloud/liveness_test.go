package cloud

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/awancloud/awan/internal/engine/workload/sim"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// TestAnInstanceThatHangsIsStartedAgain: the liveness probe tells, the others run on, and a new start is a cure.
func TestAnInstanceThatHangsIsStartedAgain(t *testing.T) {
	t.Parallel()
	var sick atomic.Value
	sick.Store(id.ID(""))
	engine := sim.New(sim.Options{Exec: func(_ context.Context, i id.ID, _ workload.Want, x workload.Exec) (int, error) {
		if x.Command[0] == "alive" && sick.Load() == i {
			return 1, nil
		}
		return 0, nil
	}, After: func(_ context.Context, c sim.Call) error {
		if c.Method == "Ensure" {
			sick.CompareAndSwap(c.Instance, id.ID(""))
		}
		return nil
	}})
	t.Cleanup(func() { _ = engine.Close() })
	c := openOn(t, t.TempDir(), func(context.Context, *Cloud) (Engines, error) {
		return Engines{Workload: keptEngine{engine}, Builder: anyImage{}}, nil
	})
	c.refused("POST", components, m{"name": "web", "spec": m{"source": m{"image": "library/web:1"}, "liveness": m{"path": "/x"}}}, "spec.liveness.type")
	c.refused("POST", components, m{"name": "web", "spec": m{"source": m{"image": "library/web:1"}, "liveness": m{"type": "command"}}}, "spec.liveness.command")
	c.succeeds(c.deploy("web", "1", m{"replicas": 2, "probe": m{"type": "none"}, "liveness": m{"type": "command", "command": []string{"alive"}, "interval": "1s", "failures": 2}}))
	before := c.component("web").Status.Instances
	started := func(i string) string {
		seen, err := engine.Observe(t.Context(), id.ID(i))
		if err != nil || seen.Phase != workload.PhaseRunning {
			return ""
		}
		return seen.Started.String()
	}
	hangs, runs := started(before[0].ID), started(before[1].ID)
	sick.Store(id.ID(before[0].ID))
	c.eventually("what hangs is started again", func() bool {
		now := started(before[0].ID)
		return now != "" && now != hangs && c.component("web").Status.Ready == 2
	})
	if started(before[1].ID) != runs {
		t.Error("the other instance did not run on")
	}
	if e := c.events("web"); !strings.Contains(e, "Unhealthy") || !strings.Contains(e, "ended with code 1") {
		t.Error(e)
	}
}
