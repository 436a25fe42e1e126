package file

import (
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// spread does something with the volume's log on every shard, at the same time where there are several. A shard that
// fails is left out from then on, as long as the others suffice; a full disk fails at once.
func (e *Engine) spread(v *volume, what string, do func(shard int, h *handle) error) error {
	errs := make([]error, len(v.logs))
	if len(v.logs) == 1 {
		if v.logs[0] == nil {
			return fail.New(fail.Unavailable, "the disk of the objects failed before")
		}
		errs[0] = do(0, v.logs[0])
	} else {
		var wg sync.WaitGroup
		for i, h := range v.logs {
			if h != nil {
				wg.Go(func() { errs[i] = do(i, h) })
			}
		}
		wg.Wait()
	}
	return e.judge(what, errs, func(i int) bool { return v.logs[i] != nil }, func(i int) {
		v.mu.Lock()
		h := v.logs[i]
		v.logs[i] = nil
		v.mu.Unlock()
		e.handles.put(h)
	})
}

// judge decides whether shards that failed may be done without.
func (e *Engine) judge(what string, errs []error, there func(int) bool, without func(int)) error {
	working, failed := 0, 0
	var first error
	for i, err := range errs {
		switch {
		case err != nil:
			failed++
			if refused := refuse(err); first == nil || fail.Is(refused, fail.NoSpace) {
				first = refused
			}
		case there(i):
			working++
		}
	}
	if failed == 0 {
		return nil
	}
	if fail.Is(first, fail.NoSpace) {
		e.full.Store(true)
		e.poke()
		return first
	}
	e.opts.Log.Error("a disk of the objects failed", "during", what, "cause", first)
	if working < e.shape.data || e.shape.parity == 0 {
		return first
	}
	for i, err := range errs {
		if err != nil {
			without(i)
		}
	}
	return nil
}
