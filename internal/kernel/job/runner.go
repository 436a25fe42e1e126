package job

import (
	"context"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Program is what the runner must know of a kind: its flows, and how its rows are read, stored and finished.
type Program interface {
	Steps(flow string) []AnyStep
	// Load reads a row; nil when it is gone.
	Load(tx store.Tx, row id.ID) (any, error)
	// Turn reports whether it is the job's turn: another one that runs on the row goes first.
	Turn(row any, j *Job) bool
	// Hold keeps everybody else from working on the row until it is released.
	Hold(row id.ID) (release func())
	// Save stores the row as a step left it.
	Save(ctx context.Context, tx store.Tx, row any) error
	// Finish settles the row, the quota, the meters and the audit entry in the transaction in which the job ends. It
	// returns a job to run next (a delete that waited for this one to unwind), or nil.
	Finish(ctx context.Context, tx store.Tx, j *Job, row any) (*Job, error)
}

// Runner runs jobs. One per store.
type Runner struct {
	store    store.Store
	programs func(kind string) Program
	now      clock.Clock
	log      *slog.Logger
	slots    chan struct{} // bounds the steps that run at once

	mu      sync.Mutex
	active  map[id.ID]*active
	stopped bool
	ctx     context.Context
	stop    context.CancelFunc
	wg      sync.WaitGroup
}

type active struct {
	wake chan struct{}      // the stored job changed: look again
	cut  context.CancelFunc // cuts the running step short
	note string
	from time.Time // when the running step was first called
	done chan struct{}
	// waiters are woken at its end; due: what this one waited for has ended.
	waiters []*active
	due     bool
	known   known
}

// Slots is how many steps run at once; the others wait their turn.
const Slots = 32

// NewRunner makes a runner; nothing runs until Start.
func NewRunner(s store.Store, programs func(kind string) Program, now clock.Clock, log *slog.Logger) *Runner {
	ctx, stop := context.WithCancel(context.Background())
	return &Runner{store: s, programs: programs, now: now, log: log, slots: make(chan struct{}, Slots),
		active: map[id.ID]*active{}, ctx: ctx, stop: stop}
}

// Start takes up every job that is not done.
func (r *Runner) Start(ctx context.Context) error {
	var due []id.ID
	err := r.store.View(ctx, func(tx store.Tx) error {
		for k := range tx.Scan(duePrefix, "") {
			due = append(due, id.ID(k[len(duePrefix):]))
		}
		return tx.ScanErr()
	})
	for _, j := range due {
		r.Kick(j)
	}
	return err
}

// Kick starts a stored job, or makes a running one look at its record again.
func (r *Runner) Kick(jobID id.ID) {
	if jobID == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	if a := r.active[jobID]; a != nil {
		select {
		case a.wake <- struct{}{}:
		default:
		}
		if a.cut != nil {
			a.cut()
		}
		return
	}
	a := &active{wake: make(chan struct{}, 1), done: make(chan struct{})}
	r.active[jobID] = a
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		next := r.run(jobID, a)
		r.mu.Lock()
		delete(r.active, jobID)
		for _, w := range a.waiters {
			w.ended()
		}
		r.mu.Unlock()
		close(a.done)
		r.Kick(next)
	}()
}

// await wakes a job, which naps, when another ends.
func (r *Runner) await(a *active, other id.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch b := r.active[other]; {
	case b == nil:
		a.ended()
	case !slices.Contains(b.waiters, a):
		b.waiters = append(b.waiters, a)
	}
}

// ended ends a nap: what it was for has ended. The runner is locked.
func (a *active) ended() {
	a.due = true
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// pause is how long a job naps yet.
func (r *Runner) pause(j *Job, a *active) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.due || j.Cancel {
		return 0
	}
	return j.NotBefore.Sub(r.now())
}

// Close cuts running steps short and waits for them; their jobs stay stored and go on at the next Start.
func (r *Runner) Close() {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.stop()
	r.wg.Wait()
}

// Wait returns the job when it is done, or ctx's error.
func (r *Runner) Wait(ctx context.Context, jobID id.ID) (*Job, error) {
	for {
		j, err := r.Get(ctx, jobID)
		if err != nil || j.Done() {
			return j, err
		}
		r.mu.Lock()
		a := r.active[jobID]
		r.mu.Unlock()
		var done chan struct{}
		if a != nil {
			done = a.done
		}
		select {
		case <-done:
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return j, ctx.Err()
		}
	}
}

// Get reads a job with the newest note of its running step.
func (r *Runner) Get(ctx context.Context, jobID id.ID) (*Job, error) {
	var j *Job
	err := r.store.View(ctx, func(tx store.Tx) (err error) {
		j, err = Get(tx, jobID)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.active[jobID]; a != nil && !j.Done() {
		if a.note != "" {
			j.Note = a.note
		}
		if j.State == Running && j.Step < len(j.Steps) && j.Steps[j.Step].Started.IsZero() {
			j.Steps[j.Step].Started = a.from // stored when the step has been called once
		}
	}
	return j, nil
}

// run drives one job until it is done or the runner closes; it returns the job to run next.
func (r *Runner) run(jobID id.ID, a *active) (next id.ID) {
	var j *Job
	going := false // its last step ended well: it is still its turn
	for {
		if !going {
			var err error
			if j, err = r.job(jobID, a); err != nil {
				if fail.Is(err, fail.NotFound) || r.ctx.Err() != nil {
					return ""
				}
				r.log.Error("job cannot be loaded", "job", jobID, "err", err)
				if !r.wait(a, time.Second) {
					return ""
				}
				continue
			}
			if j.Done() {
				return ""
			}
			if d := r.pause(j, a); d > 0 {
				if !r.wait(a, d) {
					return ""
				}
				continue
			}
		}
		if next, going = r.slot(j, a, going); next != "" || r.ctx.Err() != nil {
			return next
		}
	}
}

// otherTurn is how long a job waits before it looks again whether it is its turn.
const otherTurn = 250 * time.Millisecond

// slot advances the job once when there is room for it. going says that it may be advanced again at once.
func (r *Runner) slot(j *Job, a *active, was bool) (next id.ID, going bool) {
	select {
	case r.slots <- struct{}{}:
	case <-r.ctx.Done():
		return "", false
	}
	next, going, turn, err := r.hold(j, a, was)
	<-r.slots
	if r.ctx.Err() != nil {
		return "", false
	}
	switch {
	case err != nil:
		r.log.Error("job cannot be advanced", "job", j.ID, "kind", j.Kind, "flow", j.Flow, "err", err)
		r.wait(a, time.Second)
	case !turn:
		r.wait(a, otherTurn)
	}
	return next, going && err == nil
}

// hold advances the job while nobody else works on its row, from what is stored then. turn is false when another job of
// the row goes first.
func (r *Runner) hold(j *Job, a *active, was bool) (next id.ID, going, turn bool, err error) {
	p := r.programs(j.Kind)
	if p == nil {
		return "", false, true, fail.New(fail.Internal, "no program for kind %s", j.Kind)
	}
	defer p.Hold(j.Row)()
	j, row, err := r.load(p, j.ID, a)
	if err != nil || j.Done() || r.pause(j, a) > 0 {
		return "", false, true, err
	}
	r.mu.Lock()
	a.due = false
	r.mu.Unlock()
	if !was && row != nil && !p.Turn(row, j) {
		return "", false, false, nil
	}
	next, err = r.advance(j, row, a)
	return next, true, true, err
}

// wait sleeps d, until woken, or until the runner closes (false).
func (r *Runner) wait(a *active, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-a.wake:
		return true
	case <-r.ctx.Done():
		return false
	}
}

func (r *Runner) job(jobID id.ID, a *active) (j *Job, err error) {
	err = r.store.View(r.ctx, func(tx store.Tx) (err error) {
		j, err = a.known.get(tx, jobID)
		return err
	})
	return j, err
}

func (r *Runner) load(p Program, jobID id.ID, a *active) (j *Job, row any, err error) {
	err = r.store.View(r.ctx, func(tx store.Tx) (err error) {
		if j, err = a.known.get(tx, jobID); err == nil {
			row, err = p.Load(tx, j.Row)
		}
		return err
	})
	return j, row, err
}

// call runs one Do or Undo with the step's deadline, turning a panic into an error.
func (r *Runner) call(j *Job, a *active, deadline time.Time, f func(context.Context, any) error, row any) (err error) {
	if f == nil {
		return nil
	}
	ctx, cancel := context.WithDeadline(r.ctx, time.Now().Add(deadline.Sub(r.now())))
	ctx = context.WithValue(ctx, jobKey{}, *j)
	ctx = context.WithValue(ctx, noteKey{}, func(s string) {
		r.mu.Lock()
		a.note = s
		r.mu.Unlock()
	})
	r.mu.Lock()
	a.cut, a.note = cancel, ""
	if j.Try <= 1 {
		a.from = r.now()
	}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		a.cut = nil
		r.mu.Unlock()
		cancel()
		if p := recover(); p != nil {
			r.log.Error("step panicked", "job", j.ID, "kind", j.Kind, "panic", p, "stack", string(debug.Stack()))
			err = fail.New(fail.Internal, "a defect in the cloud stopped this step").Then("the operator finds it in the log under job %s", j.ID)
		}
	}()
	return f(ctx, row)
}
