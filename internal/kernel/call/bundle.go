package call

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Bundle stores that jobs which were just accepted are one operation for their client, and gives the id to ask for it by.
func (d *Door) Bundle(ctx context.Context, b job.Bundle) (id.ID, error) {
	b.ID, b.Created = id.New(), d.now()
	_, err := d.Store.Update(ctx, func(tx store.Tx) error { return job.PutBundle(tx, &b) })
	return b.ID, err
}

// BundleAs reads a bundle with its jobs, for a caller who may see them all. The id of a single job is a bundle of that one.
func (d *Door) BundleAs(ctx context.Context, p ident.Principal, bundle id.ID, alias string) (*job.Bundle, []*job.Job, error) {
	var b *job.Bundle
	err := d.Store.View(ctx, func(tx store.Tx) (err error) {
		b, err = job.GetBundle(tx, bundle)
		return err
	})
	if fail.Is(err, fail.NotFound) {
		j, err := d.JobAs(ctx, p, bundle, alias)
		if err != nil {
			return nil, nil, err
		}
		return &job.Bundle{ID: j.ID, Kind: j.Kind, Domain: j.Domain, Project: j.Project, Type: j.Flow, Jobs: []id.ID{j.ID}, Created: j.Created}, []*job.Job{j}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if len(b.Jobs) == 0 {
		c := &Call{Principal: p, Domain: string(b.Domain), Project: string(b.Project), Alias: alias}
		if _, _, err := d.Permit(ctx, c, d.kinds[b.Kind], Get, "*"); err != nil {
			return nil, nil, hidden(err, bundle)
		}
	}
	var jobs []*job.Job
	for _, j := range b.Jobs {
		one, err := d.JobAs(ctx, p, j, alias)
		if err != nil {
			return nil, nil, hidden(err, bundle)
		}
		jobs = append(jobs, one)
	}
	return b, jobs, nil
}

// hidden makes what is not to be seen look absent.
func hidden(err error, bundle id.ID) error {
	if fail.Is(err, fail.NotFound) {
		return fail.New(fail.NotFound, "there is no job %s", bundle)
	}
	return err
}
