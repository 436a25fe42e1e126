package job_test

import (
	"errors"
	"log/slog"
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
