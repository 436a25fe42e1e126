package call

import (
	"context"
	"encoding/json"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Make creates a row that another one needs, in the cloud's own name and in the other's project: a server's port, say. It
// is called from a step, so often as the step runs: the same key (unique for the row of) gives the same row again, whether
// the step is run anew after a crash or a nap. Until the row is ready it answers with a nap, which the step returns.
func (d *Door) Make(ctx context.Context, of *kind.Meta, fullName, key, name string, spec any) (kind.AnyRow, error) {
	k := d.kinds[fullName]
	body, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	c := &Call{Kind: k, Verb: Create, Domain: string(of.Domain), Project: string(of.Project), Name: &name, Spec: body,
		Idempotency: string(of.ID) + "." + key, Principal: ident.System(), Dialect: "child"}
	if of.EnterpriseProject != "" && k.Scope == kind.InProject {
		e := string(of.EnterpriseProject)
		c.EnterpriseProject = &e
	}
	r, err := d.Do(ctx, c)
	if err != nil {
		return nil, err
	}
	ready, err := d.Ready(ctx, fullName, r.Row.M().ID)
	if err != nil {
		return r.Row, err
	}
	return ready, nil
}

// Made finds what Make made with a key: for taking back, after a crash, what was not written down yet. "" when there is nothing.
func (d *Door) Made(ctx context.Context, of *kind.Meta, fullName, key string) (id.ID, error) {
	k := d.kinds[fullName]
	c := &Call{Kind: k, Idempotency: string(of.ID) + "." + key}
	var was idem
	err := d.Store.View(ctx, func(tx store.Tx) error {
		b, ok, err := tx.Get(idemKey(c, scope{domain: of.Domain, project: of.Project}))
		if err != nil || !ok {
			return err
		}
		return json.Unmarshal(b, &was)
	})
	return was.Row, err
}

// Ready gives a row when nothing runs on it any more: a nap before that, the row's reason when it failed.
func (d *Door) Ready(ctx context.Context, fullName string, row id.ID) (r kind.AnyRow, err error) {
	k := d.kinds[fullName]
	err = d.Store.View(ctx, func(tx store.Tx) error {
		r, err = k.Get(tx, row)
		return err
	})
	if err != nil {
		return nil, err
	}
	switch {
	case r == nil:
		return nil, fail.New(fail.NotFound, "the %s %s is gone", k.Name, row)
	case r.M().State == kind.Failed:
		return nil, fail.New(fail.Precondition, "the %s %s failed: %s", k.Name, r.M().Name, r.M().Reason)
	case r.M().State == kind.Trashed || r.M().State == kind.Deleting:
		return nil, fail.New(fail.Precondition, "the %s %s was deleted meanwhile", k.Name, r.M().Name)
	case r.M().Job != "":
		return nil, job.After(r.M().Job, childPause, "waiting for the "+k.Name+" "+r.M().Name)
	}
	return r, nil
}

// childPause is how long a step waits before it looks at a child again, whose job has not ended till then.
const childPause = time.Second

// Unmake deletes, for good, a row that another one needed, in the cloud's own name; a nap until it is gone. Absent is success.
func (d *Door) Unmake(ctx context.Context, fullName string, row id.ID) error {
	k := d.kinds[fullName]
	var r kind.AnyRow
	err := d.Store.View(ctx, func(tx store.Tx) (err error) {
		r, err = k.Get(tx, row)
		return err
	})
	if err != nil || r == nil {
		return err
	}
	m := r.M()
	running := m.Job
	if m.State != kind.Deleting {
		r, err := d.Do(ctx, &Call{Kind: k, Verb: Delete, Target: string(row), Domain: string(m.Domain), Project: string(m.Project), Purge: true,
			Principal: ident.System(), Dialect: "child"})
		if err != nil && !fail.Is(err, fail.NotFound) {
			return err
		}
		switch {
		case running != "":
		case r.Job == nil:
			return nil // there was nothing to do but to forget it
		default:
			running = r.Job.ID
		}
	}
	return job.After(running, childPause, "deleting the "+k.Name+" "+m.Name)
}
