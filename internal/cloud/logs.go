package cloud

import (
	"context"
	"iter"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/log"
	"github.com/awancloud/awan/internal/service/workload"
)

// openLogs opens what keeps the lines of apps.
func (c *Cloud) openLogs() (err error) {
	if c.App.Logs, err = log.Open(log.Options{Dir: c.path("logs"), Sealer: c.sealer, Now: time.Now, Log: c.Log}); err != nil {
		return err
	}
	c.closing(c.App.Logs.Close)
	return nil
}

// collectLogs begins to copy what instances print, before anything can remove one.
func (c *Cloud) collectLogs(ctx context.Context) {
	l := c.App.Logs.Collect(ctx, printed{c})
	c.App.Leaving = l.Finish
	c.closing(func() error { l.Close(); return nil })
}

// printed is where lines come from: the engine, for the instances that components have.
type printed struct{ c *Cloud }

// Instances is for log.Source.
func (p printed) Instances(ctx context.Context) (out []log.Instance, err error) {
	err = p.c.Store.View(ctx, func(tx store.Tx) error {
		rows, err := p.c.App.Component.List(tx, "", kind.Filter{})
		for _, r := range rows {
			for _, in := range r.Status.Instances {
				if in.Phase != "planned" {
					out = append(out, log.Instance{ID: in.ID, Component: r.ID, Project: r.Project, Release: in.Release})
				}
			}
		}
		return err
	})
	return out, err
}

// Components is for log.Source.
func (p printed) Components(ctx context.Context) (map[id.ID]bool, error) {
	there := map[id.ID]bool{}
	err := p.c.Store.View(ctx, func(tx store.Tx) error {
		for _, state := range []kind.State{"", kind.Trashed} {
			rows, err := p.c.App.Component.List(tx, "", kind.Filter{State: state})
			if err != nil {
				return err
			}
			for _, r := range rows {
				there[r.ID] = true
			}
		}
		return nil
	})
	return there, err
}

// Lines is for log.Source.
func (p printed) Lines(ctx context.Context, i log.Instance, since time.Time, follow bool) iter.Seq2[log.Line, error] {
	return func(yield func(log.Line, error) bool) {
		for l, err := range p.c.Engines.Workload.Logs(ctx, i.ID, workload.LogQuery{Since: since, Follow: follow}) {
			if !yield(log.Line{At: l.At, Instance: i.ID, Release: i.Release, Stream: l.Stream, Text: l.Text}, err) {
				return
			}
		}
	}
}
