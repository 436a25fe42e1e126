package rest

import (
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// busyWait is how long a change waits for a row's job to end. A client that was told "done" of a small change sends the
// next one at once, and knows nothing of the job that carries the first one out.
const busyWait = 20 * time.Second

// Send sends a change through the door. Where something runs on the row, it waits for that to end.
func Send(x *Exchange, k *kind.Def, verb, target string, edit func(*call.Call)) (call.Reply, error) {
	c := x.Call
	c.Kind, c.Verb, c.Target = k, verb, target
	if edit != nil {
		edit(&c)
	}
	for begun, last := time.Now(), false; ; {
		r, err := x.API.Door.Do(x.R.Context(), &c)
		if !fail.Is(err, fail.Conflict) || verb == call.Create || time.Since(begun) > busyWait || last {
			return r, err
		}
		last = !busy(x, k, target) // it may have ended just now
		select {
		case <-x.R.Context().Done():
			return r, err
		case <-time.After(busyWait / 400):
		}
	}
}

// busy says whether something runs on the row.
func busy(x *Exchange, k *kind.Def, target string) bool {
	c := x.Call
	c.Kind, c.Verb, c.Target = k, call.Get, target
	r, err := x.API.Door.Do(x.R.Context(), &c)
	return err == nil && r.Row.M().Job != ""
}

// Settle waits for the job of a reply, for answers that must show what came of it.
func Settle(x *Exchange, r call.Reply) error {
	if r.Job == nil {
		return nil
	}
	j, err := x.API.Door.WaitJob(x.R.Context(), r.Job.ID)
	if err == nil && j.Error != nil {
		err = j.Error.Err()
	}
	return err
}
