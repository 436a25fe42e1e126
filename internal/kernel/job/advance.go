package job

import (
	"context"
	"errors"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// advance runs the present step of a job once and stores what came of it.
func (r *Runner) advance(j *Job, row any, a *active) (next id.ID, err error) {
	p := r.programs(j.Kind)
	steps := p.Steps(j.Flow)
	if row == nil {
		return r.store1(j, p, a, nil, func(tx store.Tx, j *Job, _ any) error {
			j.State = Failed
			if j.Flow == "delete" {
				j.State = Succeeded
			}
			j.Error = failure(fail.New(fail.NotFound, "the resource is gone"), "")
			return nil
		})
	}
	if j.Cancel && j.State == Running {
		return r.store1(j, p, a, row, func(_ store.Tx, j *Job, _ any) error {
			r.unwind(j, fail.New(fail.Canceled, "cancelled, because the resource is being deleted"))
			return nil
		})
	}
	if j.State == Undoing {
		return r.undo(j, p, steps, row, a)
	}
	if j.Step >= len(steps) {
		return r.store1(j, p, a, row, func(_ store.Tx, j *Job, _ any) error {
			j.State = Succeeded
			return nil
		})
	}
	s := steps[j.Step]
	begun := r.now()
	if j.Try == 0 {
		j.Deadline, j.Steps[j.Step].Started = begun.Add(s.Deadline), begun
	}
	j.Try++
	doErr := r.call(j, a, j.Deadline, s.Do, row)
	if r.ctx.Err() != nil {
		return "", nil // closing: the step runs again after the next start
	}
	alone := false
	store := func(tx store.Tx, j *Job, row any) error {
		j.Note = ""
		if j.Steps[j.Step].Started.IsZero() {
			j.Steps[j.Step].Started, j.Deadline = begun, begun.Add(s.Deadline)
		}
		j.Try++
		if doErr == nil && s.Commit != nil {
			if err := s.Commit(context.WithValue(r.ctx, jobKey{}, *j), tx, row); err != nil {
				if fail.Is(err, fail.Internal) {
					return err
				}
				doErr = err
			}
		}
		r.settle(j, doErr)
		if doErr != nil || alone {
			return nil
		}
		return r.along(tx, j, steps, row)
	}
	if next, err = r.store1(j, p, a, row, store); errors.Is(err, errAlong) {
		alone = true
		next, err = r.store1(j, p, a, row, store)
	}
	if n, ok := asNap(doErr); ok && n.after != "" && err == nil {
		r.await(a, n.after)
	}
	return next, err
}

// errAlong takes back a transaction because of a step that was to share it.
var errAlong = errors.New("the step after this one needs a transaction of its own")

// along records the steps that share the transaction of the one before them: there is nothing to wait for. A step that is
// refused gets one of its own, for what is refused there is its own failure.
func (r *Runner) along(tx store.Tx, j *Job, steps []AnyStep, row any) error {
	for j.State == Running && j.Step < len(steps) && !j.Cancel {
		s := steps[j.Step]
		if skip := s.Skip != nil && s.Skip(row); !skip {
			if s.Do != nil || s.Commit == nil {
				return nil
			}
			if s.Commit(context.WithValue(r.ctx, jobKey{}, *j), tx, row) != nil {
				return errAlong
			}
		}
		now := r.now()
		j.Steps[j.Step].Started, j.Deadline = now, now.Add(s.Deadline)
		r.settle(j, nil)
	}
	return nil
}

// settle decides what follows from the result of a step.
func (r *Runner) settle(j *Job, err error) {
	now := r.now()
	if err == nil {
		j.Steps[j.Step].Ended = now
		j.Step++
		j.Try, j.NotBefore = 0, time.Time{}
		if j.Step == len(j.Steps) {
			j.State = Succeeded
		}
		return
	}
	late := now.After(j.Deadline)
	if n, ok := asNap(err); ok {
		if late && j.Flow != "delete" {
			r.unwind(j, fail.New(fail.Timeout, "step %q took too long: still %s", j.Steps[j.Step].Name, n.reason))
			return
		}
		j.NotBefore, j.Note = now.Add(n.d), n.reason
		return
	}
	kind := fail.KindOf(err)
	retry := kind == fail.Unavailable || kind == fail.Timeout || kind == fail.Canceled || kind == fail.Conflict
	if j.Flow == "delete" || retry && !late {
		j.NotBefore, j.Note = now.Add(backoff(j.Try)), fail.From(err).Public()
		r.log.Warn("step will be tried again", "job", j.ID, "kind", j.Kind, "flow", j.Flow, "step", j.Steps[j.Step].Name, "try", j.Try, "err", err)
		return
	}
	r.log.Warn("step failed", "job", j.ID, "kind", j.Kind, "flow", j.Flow, "step", j.Steps[j.Step].Name, "err", err)
	r.unwind(j, err)
}

func (r *Runner) unwind(j *Job, err error) {
	step := ""
	if j.Step < len(j.Steps) {
		step = j.Steps[j.Step].Name
		j.Steps[j.Step].Ended = r.now()
	} else {
		j.Step = len(j.Steps) - 1
	}
	j.State, j.Error, j.Try, j.NotBefore = Undoing, failure(err, step), 0, time.Time{}
}

func (r *Runner) undo(j *Job, p Program, steps []AnyStep, row any, a *active) (id.ID, error) {
	var undoErr error
	if j.Step >= 0 && j.Step < len(steps) {
		undoErr = r.call(j, a, r.now().Add(steps[j.Step].Deadline), steps[j.Step].Undo, row)
		if r.ctx.Err() != nil {
			return "", nil
		}
	}
	return r.store1(j, p, a, row, func(_ store.Tx, j *Job, _ any) error {
		j.Try++
		if undoErr != nil {
			j.NotBefore, j.Note = r.now().Add(backoff(j.Try)), "taking back: "+fail.From(undoErr).Public()
			r.log.Warn("undo will be tried again", "job", j.ID, "kind", j.Kind, "flow", j.Flow, "step", j.Step, "err", undoErr)
			return nil
		}
		if j.Step >= 0 && j.Step < len(j.Steps) {
			j.Steps[j.Step].Undone = true
		}
		j.Step--
		j.Try, j.NotBefore, j.Note = 0, time.Time{}, ""
		if j.Step < 0 {
			j.Step, j.State = 0, Failed
		}
		return nil
	})
}

// store1 reads the job again in one transaction, lets change decide, and stores job and row together.
func (r *Runner) store1(was *Job, p Program, a *active, row any, change func(tx store.Tx, j *Job, row any) error) (next id.ID, err error) {
	_, err = r.store.Update(r.ctx, func(tx store.Tx) error {
		next = ""
		j, err := a.known.get(tx, was.ID)
		if err != nil {
			return err
		}
		if j.Done() || j.Step != was.Step || j.State != was.State {
			return nil // somebody else moved it on: look again
		}
		if err := change(tx, j, row); err != nil {
			return err
		}
		if row != nil {
			if err := p.Save(r.ctx, tx, row); err != nil {
				return err
			}
		}
		if j.Done() {
			j.Ended, j.NotBefore, j.Note = r.now(), time.Time{}, ""
			follow, err := p.Finish(r.ctx, tx, j, row)
			if err != nil {
				return err
			}
			if follow != nil {
				next = follow.ID
			}
		}
		return Put(tx, j)
	})
	return next, err
}

// backoff grows from 0.2 s to 30 s.
func backoff(try int) time.Duration {
	d := 200 * time.Millisecond << min(try, 8)
	return min(d, 30*time.Second)
}
