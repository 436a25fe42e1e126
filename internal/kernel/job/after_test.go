package job_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
)

// A step that naps after another job goes on when that ends, and at once where it has ended; not only when the nap is over.
func TestAStepWaitsForAnotherJob(t *testing.T) {
	for _, ended := range []bool{false, true} {
		s := mem.New()
		first := &program{script: script{}, seen: map[string]int{}, steps: []string{"a"}}
		if !ended {
			first.script["a"] = []error{job.Nap(50*time.Millisecond, "work")}
		}
		one := job.New("test/one", id.New(), "create", first.Steps(""), time.Now())
		then := &program{script: script{"b": {job.After(one.ID, time.Hour, "waiting for one")}}, seen: map[string]int{}, steps: []string{"b", "c"}}
		two := job.New("test/two", id.New(), "create", then.Steps(""), time.Now())
		r := job.NewRunner(s, func(kind string) job.Program {
			return map[string]job.Program{"test/one": first, "test/two": then}[kind]
		}, time.Now, slog.New(slog.DiscardHandler))
		defer r.Close()
		_, err := s.Update(t.Context(), func(tx store.Tx) error {
			return errors.Join(job.Put(tx, one), job.Put(tx, two), tx.Put("row", []byte("{}")))
		})
		if err != nil {
			t.Fatal(err)
		}
		r.Kick(one.ID)
		if ended {
			if _, err := r.Wait(t.Context(), one.ID); err != nil {
				t.Fatal(err)
			}
		}
		r.Kick(two.ID)
		got, err := r.Wait(t.Context(), two.ID)
		if err != nil || got.State != job.Succeeded {
			t.Errorf("%+v %v", got, err)
		}
		if n := then.seen["b"]; n != 2 {
			t.Errorf("the step was called %d times, want once more when the other job had ended", n)
		}
	}
}

// family makes parents whose step makes a child and waits for it.
type family struct {
	r  *job.Runner
	s  store.Store
	mu sync.Mutex
	of map[id.ID]id.ID // row of a parent -> its child's job
}

func (f *family) Steps(string) []job.AnyStep {
	return job.Erase(job.Flow[id.ID]{{Name: "child", Deadline: time.Hour, Do: func(ctx context.Context, row *id.ID) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		child, made := f.of[*row]
		if !made {
			j := job.New("test/child", *row, "create", (&leaf{}).Steps(""), time.Now())
			if _, err := f.s.Update(ctx, func(tx store.Tx) error { return job.Put(tx, j) }); err != nil {
				return err
			}
			f.r.Kick(j.ID)
			f.of[*row], child = j.ID, j.ID
		}
		j, err := f.r.Get(ctx, child)
		if err == nil && !j.Done() {
			return job.After(child, time.Hour, "waiting for the child")
		}
		return err
	}}, {Name: "end", Do: func(context.Context, *id.ID) error { return nil }}})
}
func (f *family) Load(_ store.Tx, row id.ID) (any, error)   { return &row, nil }
func (f *family) Turn(any, *job.Job) bool                   { return true }
func (f *family) Hold(id.ID) func()                         { return func() {} }
func (f *family) Save(context.Context, store.Tx, any) error { return nil }
func (f *family) Finish(context.Context, store.Tx, *job.Job, any) (*job.Job, error) {
	return nil, nil
}

type leaf struct{ family }

func (*leaf) Steps(string) []job.AnyStep {
	return job.Erase(job.Flow[id.ID]{{Name: "work", Do: func(context.Context, *id.ID) error { time.Sleep(100 * time.Microsecond); return nil }}})
}

// However many jobs there are, none waits for a child in vain: each nap here would be an hour.
func TestManyJobsWithChildren(t *testing.T) {
	s := mem.New()
	f := &family{s: s, of: map[id.ID]id.ID{}}
	f.r = job.NewRunner(s, func(kind string) job.Program {
		if kind == "test/child" {
			return &leaf{}
		}
		return f
	}, time.Now, slog.New(slog.DiscardHandler))
	defer f.r.Close()
	var all []id.ID
	for range 500 {
		j := job.New("test/parent", id.New(), "create", f.Steps(""), time.Now())
		if _, err := s.Update(t.Context(), func(tx store.Tx) error { return job.Put(tx, j) }); err != nil {
			t.Fatal(err)
		}
		all = append(all, j.ID)
	}
	for _, j := range all {
		f.r.Kick(j)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, j := range all {
		if got, err := f.r.Wait(ctx, j); err != nil || got.State != job.Succeeded {
			t.Fatalf("%+v %v", got, err)
		}
	}
}
