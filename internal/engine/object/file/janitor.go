package file

import (
	"cmp"
	"context"
	"slices"

	"golang.org/x/time/rate"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// janitor seals full volumes, and compacts those of which much is deleted, until the engine is closed.
func (e *Engine) janitor(ctx context.Context) {
	defer close(e.stopped)
	pace := rate.NewLimiter(rate.Limit(e.opts.CompactRate), int(max(maxBurst, e.opts.CompactRate/10)))
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.poked:
		}
		if e.full.Load() {
			e.makeRoom(ctx)
			continue
		}
		for _, v := range e.allVolumes() {
			if ctx.Err() != nil {
				return
			}
			e.said(v, "sealing", e.seal(v))
			if e.worth(v, e.opts.CompactAt) > 0 {
				e.said(v, "compacting", e.compact(ctx, v, pace))
			}
		}
	}
}

func (e *Engine) said(v *volume, doing string, err error) {
	if err != nil && !fail.Is(err, fail.Canceled) {
		e.opts.Log.Warn("a volume of objects is left as it is", "volume", v.id, "while", doing, "cause", err)
	}
}

// worth is how much compaction would free, if it is at least share of the volume; a volume without blobs is always worth it.
func (e *Engine) worth(v *volume, share float64) int64 {
	v.mu.RLock()
	sealed, gone := v.sealed, v.gone
	v.mu.RUnlock()
	if !sealed || gone || e.count(v) != nil {
		return 0
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.blobs == 0 {
		return max(1, v.end)
	}
	if v.dead == 0 || float64(v.dead) < share*float64(v.end) {
		return 0
	}
	return v.dead
}

// makeRoom is compaction on a full disk: into the space held back for it, the volumes first that give the most.
func (e *Engine) makeRoom(ctx context.Context) {
	const share = 0.05
	for _, l := range e.lanes { // also what the growing volumes have to give
		l.hold(func() {
			if v := l.vol; v != nil && e.growingWorth(v, share) {
				l.retire()
			}
		})
	}
	released := false
	release := func() {
		if !released {
			e.release()
			released = true
		}
	}
	all := e.allVolumes()
	for _, v := range all {
		if v.unsealed() {
			release()
			e.said(v, "sealing", e.seal(v))
		}
	}
	gain := map[*volume]int64{}
	for _, v := range all {
		gain[v] = e.worth(v, share)
	}
	slices.SortFunc(all, func(a, b *volume) int { return cmp.Compare(gain[b], gain[a]) })
	for _, v := range all {
		if gain[v] == 0 || ctx.Err() != nil {
			break
		}
		release()
		e.said(v, "compacting", e.compact(ctx, v, nil))
	}
	e.reserve()
}

func (v *volume) unsealed() bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.retired && !v.sealed && !v.gone
}

func (e *Engine) growingWorth(v *volume, share float64) bool {
	if e.count(v) != nil {
		return false
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.dead > 0 && float64(v.dead) >= share*float64(v.end)
}

// hold does something while nobody appends to the lane.
func (l *lane) hold(do func()) {
	_ = l.append(&record{hold: do, wake: make(chan bool, 1)})
}
