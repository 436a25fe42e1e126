package call

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

func bodyHash(c *Call) string {
	h := sha256.New()
	if c.Name != nil {
		h.Write([]byte(*c.Name))
	}
	h.Write([]byte{0})
	h.Write(c.Spec)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// accept stores a changed row with everything that goes with it: quota, job, meters, audit entry.
func (d *Door) accept(ctx context.Context, tx store.Tx, c *Call, s scope, old, row kind.AnyRow, flow, why string) (*job.Job, error) {
	m, k := row.M(), c.Kind
	m.Updated = d.now()
	if old != nil && !sameSpec(old, row) {
		m.Generation++
	}
	e := d.entry(c, s)
	e.Row, e.Name, e.Reason, e.Outcome = m.ID, m.Name, why, ledger.Begun
	if k.Scope == kind.InCloud && old == nil {
		e.Domain = c.Principal.Domain
	}
	var j *job.Job
	if steps := k.Flow(flow); len(steps) > 0 {
		j = job.New(k.FullName(), m.ID, flow, steps, d.now())
		j.Domain, j.Project, j.Name, j.By, j.Request, j.Audit = m.Domain, m.Project, m.Name, c.Principal.UserName, c.RequestID, e.ID
		if old != nil && flow != "create" {
			before, err := json.Marshal(old.SpecPtr())
			if err != nil {
				return nil, err
			}
			j.Before = before
		}
		m.Job, m.State, m.Reason = j.ID, stateDuring(flow), ""
		e.Job = j.ID
		if err := job.Put(tx, j); err != nil {
			return nil, err
		}
	} else {
		m.State, m.Reason, m.Made = kind.Active, "", true
		e.Outcome, e.Ended = ledger.Succeeded, e.At
	}
	if err := d.quota(tx, k, old, row); err != nil {
		return nil, err
	}
	if err := k.Put(tx, old, row); err != nil {
		return nil, err
	}
	if f := k.Changed; f != nil {
		if err := f(ctx, tx, old, row); err != nil {
			return nil, err
		}
	}
	if err := d.meter(tx, k, row); err != nil {
		return nil, err
	}
	return j, ledger.Record(tx, e)
}

func stateDuring(flow string) kind.State {
	switch flow {
	case "create":
		return kind.Creating
	case "delete", "park":
		return kind.Deleting
	}
	return kind.Updating
}

// held is what a row takes of the quota. A row in the trash takes none, also while it is being purged.
func held(k *kind.Def, row kind.AnyRow) map[ledger.Dim]int64 {
	if row == nil || !row.M().Deleted.IsZero() {
		return nil
	}
	return k.QuotaOf(row)
}

func (d *Door) quota(tx store.Tx, k *kind.Def, old, row kind.AnyRow) error {
	was, is := held(k, old), held(k, row)
	project := id.ID("")
	if row != nil {
		project = row.M().Project
	} else {
		project = old.M().Project
	}
	for _, dim := range k.Quotas {
		if err := ledger.Reserve(tx, project, dim, is[dim]-was[dim], d.Limits); err != nil {
			return err
		}
	}
	return nil
}

func (d *Door) meter(tx store.Tx, k *kind.Def, row kind.AnyRow) error {
	m := row.M()
	for dim, amount := range k.MeterOf(row) {
		s := ledger.Sample{Project: m.Project, Kind: k.FullName(), Row: m.ID, Name: m.Name, Dim: dim, Amount: amount}
		if err := ledger.Meter(tx, s, d.now()); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes: into the trash where the kind has one, else for good.
func (d *Door) remove(ctx context.Context, c *Call) (Reply, error) {
	return d.write(ctx, c, func(tx store.Tx, r *Reply, s *scope) error {
		sc, old, why, err := d.row(tx, c)
		*s = sc
		if err != nil {
			return err
		}
		m := old.M()
		if c.IfRevision != 0 && c.IfRevision != m.Revision {
			return d.changeable(c, *s, old)
		}
		if m.State == kind.Deleting {
			j, err := job.Get(tx, m.Job)
			r.Job = j
			return err
		}
		if m.State == kind.Trashed && !c.Purge {
			return fail.New(fail.NotFound, "%s %s is in the trash already", c.Kind.Name, m.Name).Then("add --purge to delete it for good, or restore it")
		}
		if f := c.Kind.CheckDel; f != nil {
			if err := f(ctx, tx, old); err != nil {
				return err
			}
		}
		flow := "delete"
		row := c.Kind.Clone(old)
		if c.Kind.Retention > 0 && !c.Purge && m.Made {
			flow = "park"
		}
		r.Job, err = d.end(ctx, tx, c, *s, old, row, flow, why)
		return err
	})
}

// end starts the flow that deletes or parks a row, after the operation that runs on it has been cut short.
func (d *Door) end(ctx context.Context, tx store.Tx, c *Call, s scope, old, row kind.AnyRow, flow, why string) (*job.Job, error) {
	k, m := c.Kind, row.M()
	e := d.entry(c, s)
	e.Row, e.Name, e.Reason, e.Outcome = m.ID, m.Name, why, ledger.Begun
	steps := k.Flow(flow)
	j := job.New(k.FullName(), m.ID, flow, steps, d.now())
	j.Domain, j.Project, j.Name, j.By, j.Request, j.Audit = m.Domain, m.Project, m.Name, c.Principal.UserName, c.RequestID, e.ID
	e.Job = j.ID
	if len(steps) == 0 && m.Job == "" {
		j.State, j.Ended = job.Succeeded, d.now()
		e.Outcome, e.Ended, e.Job = ledger.Succeeded, e.At, ""
		if err := ledger.Record(tx, e); err != nil {
			return nil, err
		}
		return nil, d.settleEnd(ctx, tx, k, old, row, flow)
	}
	if running := m.Job; running != "" {
		other, err := job.Get(tx, running)
		if err != nil {
			return nil, err
		}
		other.Cancel, other.Then = true, string(j.ID)
		if err := job.Put(tx, other); err != nil {
			return nil, err
		}
		d.after(running)
	} else {
		m.Job = j.ID
	}
	m.State, m.Updated, m.Reason = kind.Deleting, d.now(), ""
	if err := job.Put(tx, j); err != nil {
		return nil, err
	}
	if err := k.Put(tx, old, row); err != nil {
		return nil, err
	}
	return j, ledger.Record(tx, e)
}

// after wakes a running job's runner once the transaction that cancelled it has surely been stored. Waking it early, or
// not at all, does no harm: it reads its record before every step.
func (d *Door) after(running id.ID) {
	time.AfterFunc(20*time.Millisecond, func() { d.jobs.Kick(running) })
}

// settleEnd puts a row into the trash or takes it away, at the end of its delete.
func (d *Door) settleEnd(ctx context.Context, tx store.Tx, k *kind.Def, old, row kind.AnyRow, flow string) error {
	m := row.M()
	if flow == "park" {
		m.State, m.Job, m.Reason, m.Updated = kind.Trashed, "", "", d.now()
		m.Deleted, m.Purge = d.now(), d.now().Add(k.Retention)
		if err := d.quota(tx, k, old, row); err != nil {
			return err
		}
		if err := k.Put(tx, old, row); err != nil {
			return err
		}
		return d.meter(tx, k, row)
	}
	if err := d.quota(tx, k, old, nil); err != nil {
		return err
	}
	m.State = kind.Deleting
	if err := d.meter(tx, k, row); err != nil {
		return err
	}
	if f := k.Changed; f != nil {
		if err := f(ctx, tx, old, nil); err != nil {
			return err
		}
	}
	if err := event.Forget(tx, m.ID); err != nil {
		return err
	}
	return k.Remove(tx, old)
}

// restore takes a row out of the trash.
func (d *Door) restore(ctx context.Context, c *Call) (Reply, error) {
	r, err := d.write(ctx, c, func(tx store.Tx, r *Reply, s *scope) error {
		sc, old, why, err := d.row(tx, c)
		*s = sc
		if err != nil {
			return err
		}
		if old.M().State != kind.Trashed {
			return fail.New(fail.Precondition, "%s %s is not in the trash", c.Kind.Name, old.M().Name)
		}
		row := c.Kind.Clone(old)
		row.M().Deleted, row.M().Purge = time.Time{}, time.Time{}
		row.M().State = kind.Updating
		r.Row = row
		r.Job, err = d.accept(ctx, tx, c, *s, old, row, "unpark", why)
		return err
	})
	if r.Row != nil {
		r.Row = c.Kind.Redacted(r.Row)
	}
	return r, err
}
