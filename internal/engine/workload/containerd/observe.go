package containerd

import (
	"context"
	"iter"
	"maps"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// Observe implements workload.Engine.
func (e *Engine) Observe(_ context.Context, i id.ID) (workload.Seen, error) {
	e.mu.Lock()
	in := e.instances[i]
	e.mu.Unlock()
	if in == nil {
		return workload.Seen{}, fail.New(fail.Gone, "instance %s does not exist", i)
	}
	rec, t, _, known := in.snapshot()
	if !known {
		return workload.Seen{}, fail.New(fail.Gone, "instance %s does not exist", i)
	}
	return e.seen(&rec, t), nil
}

func (e *Engine) seen(rec *record, t *task) workload.Seen {
	s := workload.Seen{Phase: workload.PhaseCreated, Address: rec.Address, Started: rec.Started, Restarts: rec.Restarts,
		Labels: maps.Clone(rec.Want.Labels), WantHash: rec.Hash, Usage: workload.Usage{StorageBytes: -1}}
	if rec.Exit != nil {
		x := *rec.Exit
		s.Exit = &x
	}
	switch {
	case rec.Started.IsZero():
		return s
	case !rec.running():
		s.Phase = workload.PhaseExited
		return s
	}
	s.Phase = workload.PhaseRunning
	if t != nil {
		s.Pid = t.pid
		s.Usage.CPU, s.Usage.MemoryBytes, s.Usage.Pids = e.cg.Usage(string(t.id))
		s.Usage.StorageBytes = e.storageUsed(t.id)
		s.Usage.RxBytes, s.Usage.TxBytes = e.net.Traffic(rec.Address)
	}
	return s
}

// List implements workload.Engine.
func (e *Engine) List(ctx context.Context) iter.Seq2[id.ID, error] {
	return func(yield func(id.ID, error) bool) {
		e.mu.Lock()
		all := slices.Sorted(maps.Keys(e.instances))
		e.mu.Unlock()
		for _, i := range all {
			if err := ctx.Err(); err != nil {
				yield("", fail.From(err))
				return
			}
			e.mu.Lock()
			in := e.instances[i]
			e.mu.Unlock()
			if in == nil {
				continue
			}
			if _, _, _, known := in.snapshot(); known && !yield(i, nil) {
				return
			}
		}
	}
}

// Prefetch implements workload.Engine.
func (e *Engine) Prefetch(ctx context.Context, image string) error {
	e.img.gate.RLock()
	defer e.img.gate.RUnlock()
	_, err := e.img.get(inNamespace(ctx), image)
	return err
}
