package call

import (
	"context"
	"encoding/json"
	"reflect"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// program lets the job runner work on a kind's rows.
type program struct {
	d *Door
	k *kind.Def
}

// Steps gives a flow's steps.
func (p *program) Steps(flow string) []job.AnyStep { return p.k.Flow(flow) }

// Load reads a row.
func (p *program) Load(tx store.Tx, row id.ID) (any, error) {
	r, err := p.k.Get(tx, row)
	if r == nil || err != nil {
		return nil, err
	}
	return r, nil
}

// Turn reports whether it is the job's turn: another that runs on the row goes first.
func (p *program) Turn(row any, j *job.Job) bool { return row.(kind.AnyRow).M().Job == j.ID }

// Hold keeps the row's loop away while a step works on it.
func (p *program) Hold(row id.ID) (release func()) { return p.d.holds.take(row) }

// Save stores the row as a step left it. What the step changed is its spec and status; the rest is the stored row's.
func (p *program) Save(_ context.Context, tx store.Tx, row any) error {
	r := row.(kind.AnyRow)
	old, err := p.k.Get(tx, r.M().ID)
	if err != nil || old == nil {
		return err
	}
	now := p.k.Copy(old)
	reflect.ValueOf(now.SpecPtr()).Elem().Set(reflect.ValueOf(r.SpecPtr()).Elem())
	reflect.ValueOf(now.StatusPtr()).Elem().Set(reflect.ValueOf(r.StatusPtr()).Elem())
	if reflect.DeepEqual(old, now) {
		return nil
	}
	now.M().Updated = p.d.now()
	if err := p.k.Put(tx, old, now); err != nil {
		return err
	}
	return p.d.meter(tx, p.k, now)
}

// Finish settles everything in the transaction in which a job ends.
func (p *program) Finish(ctx context.Context, tx store.Tx, j *job.Job, _ any) (*job.Job, error) {
	outcome, reason := ledger.Succeeded, ""
	if j.State == job.Failed {
		outcome, reason = ledger.Failed, fail.From(j.Error.Err()).Public()
	}
	if err := ledger.End(tx, j.Domain, j.Audit, p.d.now(), outcome, reason); err != nil {
		return nil, err
	}
	old, err := p.k.Get(tx, j.Row)
	if err != nil || old == nil {
		return nil, err
	}
	row := p.k.Copy(old)
	m := row.M()
	m.Job = ""
	if j.State == job.Succeeded && (j.Flow == "delete" || j.Flow == "park") {
		return nil, p.d.settleEnd(ctx, tx, p.k, old, row, j.Flow)
	}
	if err := p.settleState(tx, j, row, reason); err != nil {
		return nil, err
	}
	var follow *job.Job
	if j.Then != "" { // a delete waits
		if follow, err = job.Get(tx, id.ID(j.Then)); err != nil {
			return nil, err
		}
		m.Job, m.State = follow.ID, kind.Deleting
	}
	if err := p.d.quota(tx, p.k, old, row); err != nil {
		return nil, err
	}
	m.Updated = p.d.now()
	if err := p.k.Put(tx, old, row); err != nil {
		return nil, err
	}
	if f := p.k.Changed; f != nil && j.State == job.Failed {
		if err := f(ctx, tx, old, row); err != nil {
			return nil, err
		}
	}
	return follow, p.d.meter(tx, p.k, row)
}

func (p *program) settleState(tx store.Tx, j *job.Job, row kind.AnyRow, reason string) error {
	m := row.M()
	ev := event.Event{At: p.d.now(), Level: event.Info, Type: "Succeeded", Text: j.Flow + " by " + j.By + " succeeded"}
	m.State, m.Reason = kind.Active, ""
	if j.State == job.Succeeded {
		m.Made = true
	} else {
		ev = event.Event{At: p.d.now(), Level: event.Error, Type: "Failed", Text: j.Flow + " by " + j.By + " failed: " + reason}
		m.Reason = j.Flow + " failed: " + reason
		if !m.Made {
			m.State = kind.Failed
		}
		if len(j.Before) > 0 {
			reflect.ValueOf(row.SpecPtr()).Elem().SetZero()
			if err := json.Unmarshal(j.Before, row.SpecPtr()); err != nil {
				return err
			}
		}
		if j.Flow == "unpark" {
			m.State = kind.Trashed
			m.Deleted, m.Purge = p.d.now(), p.d.now().Add(p.k.Retention)
		}
	}
	return event.Emit(tx, m.ID, ev)
}
