package containerd_test

import (
	"context"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/engine/workload/containerd"
	"github.com/awancloud/awan/internal/service/workload/workloadtest"
)

func TestContract(t *testing.T) {
	if testing.Short() {
		t.Skip("starts some fifty containers")
	}
	workloadtest.Run(t, harness)
}

func harness(t testing.TB) workloadtest.Harness {
	o, ref := options(t)
	var e *containerd.Engine
	var start func(t testing.TB) workloadtest.Harness
	start = func(t testing.TB) workloadtest.Harness {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		var err error
		if e, err = containerd.Open(ctx, o); err != nil {
			_ = containerd.Purge(ctx, o.Dir, o.Key)
			t.Fatal(err)
		}
		return workloadtest.Harness{Engine: e, Image: ref, Command: workloadtest.Shell, Real: true, HostIP: hostIP(),
			Reopen: func(t testing.TB) workloadtest.Harness {
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
				return start(t)
			}}
	}
	h := start(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		if err := e.Purge(ctx); err != nil {
			t.Error("purge:", err)
		}
		leftovers(t, o)
	})
	return h
}
