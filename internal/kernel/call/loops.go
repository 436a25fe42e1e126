package call

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// loops converge idle rows when the world drifts, and empty the trash.
type loops struct {
	d    *Door
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup
	wake map[string]*alarm
	// sealer is used by its own loop, and after that has ended.
	sealer ledger.Sealer
}

// alarm wakes the loop of a kind: for some rows, or for all.
type alarm struct {
	ring chan struct{}
	mu   sync.Mutex
	rows map[id.ID]bool
	all  bool
}

// set notes what to wake for; no rows: all.
func (a *alarm) set(rows []id.ID) {
	a.mu.Lock()
	a.all = a.all || len(rows) == 0
	for _, r := range rows {
		a.rows[r] = true
	}
	a.mu.Unlock()
	select {
	case a.ring <- struct{}{}:
	default:
	}
}

// take gives what it was woken for and forgets it: nothing, where a ring came for what was taken already.
func (a *alarm) take() (rows []id.ID, all bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	rows, all = slices.Collect(maps.Keys(a.rows)), a.all
	clear(a.rows)
	a.all = false
	return rows, all
}

// loopWorkers is how many rows of one kind are looked at at once.
const loopWorkers = 8

func newLoops(d *Door) *loops {
	l := &loops{d: d, wake: map[string]*alarm{}, sealer: ledger.Sealer{Store: d.Store, Signer: d.AuditSigner}}
	l.ctx, l.stop = context.WithCancel(ident.With(context.Background(), ident.System()))
	for name := range d.kinds {
		l.wake[name] = &alarm{ring: make(chan struct{}, 1), rows: map[id.ID]bool{}}
	}
	return l
}

func (l *loops) start() {
	for _, k := range l.d.kinds {
		if k.LoopDo != nil {
			a := l.wake[k.FullName()]
			l.every(k.LoopEvery, nil, func() { l.round(k) })
			l.every(0, a.ring, func() {
				if rows, all := a.take(); all {
					l.round(k)
				} else {
					l.work(k, rows)
				}
			})
		}
		if k.Retention > 0 {
			l.every(time.Minute, nil, func() { l.d.EmptyTrash(l.ctx, k) })
		}
	}
	l.every(time.Minute, nil, l.flushUses)
	l.every(sealEvery, nil, l.seal)
	l.every(time.Hour, nil, func() {
		if _, err := l.d.Ident.Sweep(l.ctx); err != nil && l.ctx.Err() == nil {
			l.d.Log.Error("expired tokens cannot be removed", "err", err)
		}
	})
}

func (l *loops) close() {
	l.stop()
	l.wg.Wait()
	l.flushUses()
	l.seal()
}

// flushUses stores what was used last; also at the end, when the loops' context has ended.
func (l *loops) flushUses() {
	if err := l.d.Ident.FlushUses(context.WithoutCancel(l.ctx)); err != nil {
		l.d.Log.Error("what was used last cannot be stored", "err", err)
	}
}

// every runs f each d (0: never by itself) and when woken.
func (l *loops) every(d time.Duration, wake chan struct{}, f func()) {
	l.wg.Go(func() {
		var tick <-chan time.Time
		for {
			if d > 0 {
				tick = time.After(d)
			}
			select {
			case <-tick:
			case <-wake:
			case <-l.ctx.Done():
				return
			}
			f()
		}
	})
}

// Wake makes the loop of a kind look at some rows now (none named: at all), because an engine saw something happen.
func (d *Door) Wake(fullName string, rows ...id.ID) {
	if a := d.loops.wake[fullName]; a != nil {
		a.set(rows)
	}
}

// Act calls an action of a row in the cloud's own name, because a loop found that it is time. It goes through the door
// like every call: policies, quota, job and audit entry.
func (d *Door) Act(ctx context.Context, m *kind.Meta, verb string, in any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	_, err = d.Do(ctx, &Call{Kind: d.kinds[m.Kind], Verb: verb, Target: string(m.ID), Domain: string(m.Domain), Project: string(m.Project), In: body,
		Principal: ident.System(), Dialect: "loop"})
	return err
}

// round converges all rows that no job works on.
func (l *loops) round(k *kind.Def) {
	var idle []id.ID
	err := l.d.Store.View(l.ctx, func(tx store.Tx) error {
		_, _, err := k.List(tx, "", kind.Filter{State: kind.Active, Where: func(r kind.AnyRow) bool {
			if r.M().Job == "" {
				idle = append(idle, r.M().ID)
			}
			return false
		}})
		return err
	})
	if err != nil {
		if l.ctx.Err() == nil {
			l.d.Log.Error("loop cannot read its rows", "kind", k.FullName(), "err", err)
		}
		return
	}
	l.work(k, idle)
}

// work converges some rows.
func (l *loops) work(k *kind.Def, rows []id.ID) {
	work := make(chan id.ID)
	var wg sync.WaitGroup
	for range min(loopWorkers, len(rows)) {
		wg.Go(func() {
			for row := range work {
				l.one(k, row)
			}
		})
	}
	for _, row := range rows {
		work <- row
	}
	close(work)
	wg.Wait()
}

// one converges a row, if it is still idle. Its status is stored only when nobody changed the row meanwhile; else the
// next round sees it.
func (l *loops) one(k *kind.Def, at id.ID) {
	defer l.d.holds.take(at)()
	var row kind.AnyRow
	err := l.d.Store.View(l.ctx, func(tx store.Tx) (err error) {
		row, err = k.Get(tx, at)
		return err
	})
	if err != nil || row == nil || row.M().State != kind.Active || row.M().Job != "" {
		return // a job works on it, or it is gone: nothing for a loop to do
	}
	changed, err := k.LoopDo(l.ctx, row)
	if err != nil && l.ctx.Err() == nil {
		l.d.Log.Warn("row cannot be converged", "kind", k.FullName(), "row", row.M().ID, "name", row.M().Name, "err", err)
	}
	if !changed {
		return
	}
	_, err = l.d.Store.Update(l.ctx, func(tx store.Tx) error {
		now, err := k.Get(tx, row.M().ID)
		if err != nil || now == nil || now.M().Revision != row.M().Revision {
			return err
		}
		return (&program{l.d, k}).Save(l.ctx, tx, row)
	})
	if err != nil && l.ctx.Err() == nil {
		l.d.Log.Error("status cannot be stored", "kind", k.FullName(), "row", row.M().ID, "err", err)
	}
}

// EmptyTrash deletes for good the rows of k whose retention has passed.
func (d *Door) EmptyTrash(ctx context.Context, k *kind.Def) {
	var due []id.ID
	var metas []kind.Meta
	err := d.Store.View(ctx, func(tx store.Tx) error {
		rows, _, err := k.List(tx, "", kind.Filter{State: kind.Trashed, Where: func(r kind.AnyRow) bool { return d.now().After(r.M().Purge) }})
		for _, r := range rows {
			due, metas = append(due, r.M().ID), append(metas, *r.M())
		}
		return err
	})
	for i, row := range due {
		c := &Call{Kind: k, Verb: Delete, Target: string(row), Domain: string(metas[i].Domain), Project: string(metas[i].Project), Purge: true,
			Principal: ident.System(), Dialect: "loop"}
		if _, derr := d.Do(ctx, c); derr != nil && !fail.Is(derr, fail.NotFound) {
			err = derr
		}
	}
	if err != nil && ctx.Err() == nil {
		d.Log.Error("the trash cannot be emptied", "kind", k.FullName(), "err", err)
	}
}
