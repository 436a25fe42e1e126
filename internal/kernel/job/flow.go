// Package job runs operations that outlast a request: flows of named, idempotent steps stored with the row they change.
//
// A job is in the same transaction as the row, the audit entry and the quota it goes with. The runner may die anywhere;
// the next one takes up each job at the step it had recorded, so a step may run more than once and must converge. When a
// step fails for good, the steps done so far are undone in reverse, the failed one first (it may have done half).
//
// It may import kernel/{store,fail,id,clock,ledger,event}; it knows no kind.
package job

import (
	"context"
	"errors"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Flow is the steps of one operation on a row of type T.
type Flow[T any] []Step[T]

// Step is one idempotent piece of a flow.
type Step[T any] struct {
	Name string
	// Do moves the world towards what the row wants. nil goes on, Nap(d) waits and calls again, a fail error of kind
	// Unavailable or Timeout is tried again until Deadline, any other fail error unwinds the job.
	// Changes to the row are stored when Do returns, an error included.
	Do func(ctx context.Context, row *T) error
	// Undo takes back what Do may have done, half-done included. It is retried until it succeeds. nil: nothing to undo.
	Undo func(ctx context.Context, row *T) error
	// Commit writes other rows in the very transaction that records this step as done. A step that has nothing else to do
	// shares that of the step before it.
	Commit func(ctx context.Context, tx store.Tx, row *T) error
	// Skip tells that the row has no need of this step: it is recorded as done together with the step before it.
	Skip func(row *T) bool
	// Deadline bounds the step, naps and retries included; zero is DefaultDeadline.
	Deadline time.Duration
}

// DefaultDeadline bounds a step that says nothing else.
const DefaultDeadline = 10 * time.Minute

// AnyStep is a Step whose row type is known only to its kind.
type AnyStep struct {
	Name     string
	Do       func(ctx context.Context, row any) error
	Undo     func(ctx context.Context, row any) error
	Commit   func(ctx context.Context, tx store.Tx, row any) error
	Skip     func(row any) bool
	Deadline time.Duration
}

// Erase makes a typed flow usable by the runner.
func Erase[T any](f Flow[T]) []AnyStep {
	out := make([]AnyStep, len(f))
	for i, s := range f {
		a := AnyStep{Name: s.Name, Deadline: s.Deadline}
		if a.Deadline == 0 {
			a.Deadline = DefaultDeadline
		}
		if s.Do != nil {
			a.Do = func(ctx context.Context, row any) error { return s.Do(ctx, row.(*T)) }
		}
		if s.Undo != nil {
			a.Undo = func(ctx context.Context, row any) error { return s.Undo(ctx, row.(*T)) }
		}
		if s.Commit != nil {
			a.Commit = func(ctx context.Context, tx store.Tx, row any) error { return s.Commit(ctx, tx, row.(*T)) }
		}
		if s.Skip != nil {
			a.Skip = func(row any) bool { return s.Skip(row.(*T)) }
		}
		out[i] = a
	}
	return out
}

type nap struct {
	d      time.Duration
	reason string
	after  id.ID
}

func (n nap) Error() string { return "nap: " + n.reason }

// Nap makes a step wait d and be called again; reason is what a person reads meanwhile ("waiting for 2 of 3 probes").
func Nap(d time.Duration, reason string) error { return nap{d: d, reason: reason} }

// After is a Nap that ends sooner when another job does.
func After(other id.ID, d time.Duration, reason string) error { return nap{d, reason, other} }

func asNap(err error) (nap, bool) {
	var n nap
	ok := errors.As(err, &n)
	return n, ok
}

// Loop converges rows when the world drifts: Do is called for each idle row every Every, one row at a time per row.
type Loop[T any] struct {
	Every time.Duration
	// Do observes and repairs. It reports whether the row's status changed and should be stored.
	Do func(ctx context.Context, row *T) (changed bool, err error)
}

type noteKey struct{}

// Note tells people what the running step is doing, in a few words; the job's view shows it. Outside a job it does
// nothing.
func Note(ctx context.Context, text string) {
	if f, ok := ctx.Value(noteKey{}).(func(string)); ok {
		f(text)
	}
}

type jobKey struct{}

// Current returns the job a step runs in; ok is false outside a job.
func Current(ctx context.Context) (Job, bool) {
	j, ok := ctx.Value(jobKey{}).(Job)
	return j, ok
}
