package job_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
)

// row is what the steps write their story into.
type row struct{ Story []string }

// script says what each call of a step does: the nth entry for the nth call, then success.
type script map[string][]error

type program struct {
	mu     sync.Mutex
	script script
	seen   map[string]int
	steps  []string
}

func (p *program) next(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.seen[name]
	p.seen[name]++
	if n < len(p.script[name]) {
		if err := p.script[name][n]; err != errPanic {
			return err
		}
		panic("as the script says")
	}
	return nil
}

var errPanic = errors.New("panic")

func (p *program) Steps(string) []job.AnyStep {
	var f job.Flow[row]
	for _, name := range p.steps {
		act := func(what string) func(context.Context, *row) error {
			return func(_ context.Context, r *row) error {
				r.Story = append(r.Story, what)
				return p.next(what)
			}
		}
		f = append(f, job.Step[row]{Name: name, Do: act(name), Undo: act("undo " + name), Deadline: time.Minute})
	}
	return job.Erase(f)
}

func (p *program) Load(tx store.Tx, _ id.ID) (any, error) {
	b, ok, err := tx.Get("row")
	if err != nil || !ok {
		return nil, err
	}
	r := new(row)
	return r, json.Unmarshal(b, r)
}

func (p *program) Turn(any, *job.Job) bool { return true }

func (p *program) Hold(id.ID) func() { return func() {} }

func (p *program) Save(_ context.Context, tx store.Tx, r any) error {
	b, _ := json.Marshal(r)
	return tx.Put("row", b)
}

func (p *program) Finish(context.Context, store.Tx, *job.Job, any) (*job.Job, error) { return nil, nil }

func TestFlows(t *testing.T) {
	busy := fail.New(fail.Unavailable, "busy")
	full := fail.New(fail.NoSpace, "no room")
	for _, c := range []struct {
		name   string
		flow   string
		script script
		state  job.State
		story  string
	}{
		{"every step once", "create", nil, job.Succeeded, "a b c"},
		{"a nap comes back to the same step", "create", script{"b": {job.Nap(time.Millisecond, "waiting"), job.Nap(time.Millisecond, "waiting")}}, job.Succeeded, "a b b b c"},
		{"what is not there now is tried again", "create", script{"b": {busy}}, job.Succeeded, "a b b c"},
		{"a failure unwinds, the failing step first", "create", script{"c": {full}}, job.Failed, "a b c undo c undo b undo a"},
		{"an undo is tried until it succeeds", "create", script{"b": {full}, "undo b": {busy, full}}, job.Failed, "a b undo b undo b undo b undo a"},
		{"a panic is a failure", "create", script{"b": {errPanic}}, job.Failed, "a b undo b undo a"},
		{"a delete never gives up", "delete", script{"b": {full}}, job.Succeeded, "a b b c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := mem.New()
			p := &program{script: c.script, seen: map[string]int{}, steps: []string{"a", "b", "c"}}
			r := job.NewRunner(s, func(string) job.Program { return p }, time.Now, slog.New(slog.DiscardHandler))
			defer r.Close()
			j := job.New("test/row", id.New(), c.flow, p.Steps(c.flow), time.Now())
			_, err := s.Update(t.Context(), func(tx store.Tx) error {
				return errors.Join(job.Put(tx, j), tx.Put("row", []byte("{}")))
			})
			if err != nil {
				t.Fatal(err)
			}
			r.Kick(j.ID)
			got, err := r.Wait(t.Context(), j.ID)
			if err != nil || got.State != c.state {
				t.Fatalf("%+v %v", got, err)
			}
			if c.state == job.Failed && got.Error == nil || got.Ended.IsZero() {
				t.Errorf("%+v", got)
			}
			_ = s.View(t.Context(), func(tx store.Tx) error {
				v, _ := p.Load(tx, "")
				if story := strings.Join(v.(*row).Story, " "); story != c.story {
					t.Errorf("%s\nwant %s", story, c.story)
				}
				for k := range tx.Scan("jobdue/", "") {
					t.Errorf("%s is still due", k)
				}
				return nil
			})
		})
	}
}

func TestADeadlineEndsAStepThatOnlyWaits(t *testing.T) {
	s := mem.New()
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { // an hour passes with every look
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Hour)
		return now
	}
	p := &program{script: script{"b": {job.Nap(0, "waiting for Godot"), job.Nap(0, "waiting for Godot")}}, seen: map[string]int{}, steps: []string{"a", "b"}}
	r := job.NewRunner(s, func(string) job.Program { return p }, clock, slog.New(slog.DiscardHandler))
	defer r.Close()
	j := job.New("test/row", id.New(), "create", p.Steps(""), now)
	if _, err := s.Update(t.Context(), func(tx store.Tx) error { return errors.Join(job.Put(tx, j), tx.Put("row", []byte("{}"))) }); err != nil {
		t.Fatal(err)
	}
	r.Kick(j.ID)
	got, err := r.Wait(t.Context(), j.ID)
	if err != nil || got.State != job.Failed || !strings.Contains(got.Error.Message, "waiting for Godot") {
		t.Errorf("%+v %v", got, err)
	}
}

func TestAnotherRunnerGoesOn(t *testing.T) {
	s := mem.New()
	p := &program{script: script{"b": {job.Nap(time.Hour, "long")}}, seen: map[string]int{}, steps: []string{"a", "b", "c"}}
	programs := func(string) job.Program { return p }
	j := job.New("test/row", id.New(), "create", p.Steps(""), time.Now())
	if _, err := s.Update(t.Context(), func(tx store.Tx) error { return errors.Join(job.Put(tx, j), tx.Put("row", []byte("{}"))) }); err != nil {
		t.Fatal(err)
	}
	first := job.NewRunner(s, programs, time.Now, slog.New(slog.DiscardHandler))
	first.Kick(j.ID)
	for {
		if got, err := first.Get(t.Context(), j.ID); err != nil || got.Note == "long" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	first.Close()
	later := func() time.Time { return time.Now().Add(2 * time.Hour) }
	second := job.NewRunner(s, programs, later, slog.New(slog.DiscardHandler))
	defer second.Close()
	if err := second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := second.Wait(t.Context(), j.ID); err != nil || got.State != job.Succeeded {
		t.Errorf("%+v %v", got, err)
	}
}

// fixed is a program of one flow.
type fixed struct {
	program
	flow []job.AnyStep
}

func (p *fixed) Steps(string) []job.AnyStep { return p.flow }

// counted counts the transactions that were not taken back.
type counted struct {
	store.Store
	n atomic.Int32
}

func (c *counted) Update(ctx context.Context, fn func(store.Tx) error) (store.Rev, error) {
	rev, err := c.Store.Update(ctx, fn)
	if err == nil {
		c.n.Add(1)
	}
	return rev, err
}

// TestStepsShareATransaction: what only writes, or is not needed, is recorded with the step before it; what is refused then is
// the failure of its own step.
func TestStepsShareATransaction(t *testing.T) {
	for _, c := range []struct {
		name   string
		refuse error
		state  job.State
		writes int32
		story  string
	}{
		{"all of them", nil, job.Succeeded, 3, "a c write e"},
		{"one is refused", fail.New(fail.Precondition, "no"), job.Failed, 7, "a c write write undo write undo c undo b undo a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &counted{Store: mem.New()}
			say := func(what string) func(context.Context, *row) error {
				return func(_ context.Context, r *row) error { r.Story = append(r.Story, what); return nil }
			}
			p := &fixed{flow: job.Erase(job.Flow[row]{
				{Name: "a", Do: say("a"), Undo: say("undo a")},
				{Name: "b", Do: say("b"), Undo: say("undo b"), Skip: func(*row) bool { return true }},
				{Name: "c", Do: say("c"), Undo: say("undo c")},
				{Name: "write", Undo: say("undo write"), Commit: func(ctx context.Context, _ store.Tx, r *row) error {
					_ = say("write")(ctx, r)
					return c.refuse
				}},
				{Name: "e", Do: say("e")},
			})}
			r := job.NewRunner(s, func(string) job.Program { return p }, time.Now, slog.New(slog.DiscardHandler))
			defer r.Close()
			j := job.New("test/row", id.New(), "create", p.flow, time.Now())
			if _, err := s.Store.Update(t.Context(), func(tx store.Tx) error { return errors.Join(job.Put(tx, j), tx.Put("row", []byte("{}"))) }); err != nil {
				t.Fatal(err)
			}
			r.Kick(j.ID)
			got, err := r.Wait(t.Context(), j.ID)
			if err != nil || got.State != c.state {
				t.Fatalf("%+v %v", got, err)
			}
			if got.State == job.Succeeded && (got.Steps[1].Ended.IsZero() || got.Steps[3].Ended.IsZero()) || got.State == job.Failed && got.Error.Step != "write" {
				t.Errorf("%+v %+v", got.Steps, got.Error)
			}
			_ = s.View(t.Context(), func(tx store.Tx) error {
				v, _ := p.Load(tx, "")
				if story := strings.Join(v.(*row).Story, " "); story != c.story {
					t.Errorf("%s\nwant %s", story, c.story)
				}
				return nil
			})
			if n := s.n.Load(); n != c.writes {
				t.Errorf("%d transactions, not %d", n, c.writes)
			}
		})
	}
}
