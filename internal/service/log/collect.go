package log

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Instance is whose lines are collected.
type Instance struct {
	ID, Component, Project id.ID
	Release                int
}

// Source is where lines come from.
type Source interface {
	Instances(ctx context.Context) ([]Instance, error)
	// Components tells which components there are, those in the trash included: the logs of others are removed.
	Components(ctx context.Context) (map[id.ID]bool, error)
	// Lines gives the lines of an instance from a moment on; with follow it goes on until ctx ends.
	Lines(ctx context.Context, i Instance, since time.Time, follow bool) iter.Seq2[Line, error]
}

const (
	lookEvery  = 2 * time.Second
	sweepEvery = 10 * time.Minute
	batch      = 256
)

// Collector copies what instances print into the store.
type Collector struct {
	s       *Store
	from    Source
	mu      sync.Mutex
	at      map[id.ID]*reader
	stop    context.CancelFunc
	running sync.WaitGroup
}

type reader struct {
	i    Instance
	stop context.CancelFunc
	done chan struct{}
}

// Collect begins to copy, until Close.
func (s *Store) Collect(ctx context.Context, from Source) *Collector {
	c := &Collector{s: s, from: from, at: map[id.ID]*reader{}}
	ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	c.running.Go(func() {
		look, sweep := time.NewTicker(lookEvery), time.NewTicker(sweepEvery)
		defer look.Stop()
		defer sweep.Stop()
		for {
			if err := c.look(ctx); err != nil && ctx.Err() == nil {
				s.Log.Warn("logs cannot be collected", "err", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-look.C:
			case <-sweep.C:
				c.sweep(ctx)
			}
		}
	})
	return c
}

// Close stops copying; the next start goes on where this ended.
func (c *Collector) Close() {
	c.stop()
	c.running.Wait()
}

func (c *Collector) sweep(ctx context.Context) {
	there, err := c.from.Components(ctx)
	if err == nil {
		err = c.s.Sweep(func(i id.ID) bool { return there[i] })
	}
	if err != nil && ctx.Err() == nil {
		c.s.Log.Warn("old logs cannot be removed", "err", err)
	}
}

// look begins to read instances that are new, and again those whose reader ended.
func (c *Collector) look(ctx context.Context) error {
	all, err := c.from.Instances(ctx)
	if err != nil {
		return err
	}
	for _, i := range all {
		c.mu.Lock()
		r := c.at[i.ID]
		if r == nil || closed(r.done) {
			rctx, stop := context.WithCancel(ctx)
			r = &reader{i, stop, make(chan struct{})}
			c.at[i.ID] = r
			c.running.Go(func() {
				defer close(r.done)
				defer stop()
				if err := c.copy(rctx, i, true); err != nil && rctx.Err() == nil {
					c.s.Log.Debug("an instance's log cannot be read", "instance", i.ID, "err", err)
				}
			})
		}
		c.mu.Unlock()
	}
	known := map[id.ID]bool{}
	for _, i := range all {
		known[i.ID] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range c.at {
		if !known[i] {
			r.stop()
			delete(c.at, i)
		}
	}
	return nil
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// copy stores an instance's lines from where the store ends, many at once where they come quickly.
func (c *Collector) copy(ctx context.Context, i Instance, follow bool) error {
	since, err := c.s.Newest(i.Project, i.Component, i.ID)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lines := make(chan Line, batch)
	ended := make(chan error, 1)
	go func() {
		defer close(lines)
		for l, err := range c.from.Lines(ctx, i, since, follow) {
			if err != nil {
				ended <- err
				return
			}
			select {
			case lines <- l:
			case <-ctx.Done():
				return
			}
		}
	}()
	for l := range lines {
		some := []Line{l}
	more:
		for len(some) < batch {
			select {
			case l, ok := <-lines:
				if !ok {
					break more
				}
				some = append(some, l)
			default:
				break more
			}
		}
		if err := c.s.Append(i.Project, i.Component, some); err != nil {
			stop()
			for range lines { // let the reader go
			}
			return err
		}
	}
	select {
	case err := <-ended:
		return err
	default:
		return nil
	}
}

// Finish reads the last lines of an instance that is about to be removed with its log.
func (c *Collector) Finish(ctx context.Context, instance id.ID) {
	c.mu.Lock()
	r := c.at[instance]
	c.mu.Unlock()
	var i Instance
	if r != nil {
		r.stop()
		<-r.done
		i = r.i
	} else {
		all, err := c.from.Instances(ctx)
		for _, x := range all {
			if x.ID == instance {
				i = x
			}
		}
		if err != nil || i.ID == "" {
			return
		}
	}
	if err := c.copy(ctx, i, false); err != nil && ctx.Err() == nil {
		c.s.Log.Debug("an instance's last lines cannot be read", "instance", instance, "err", err)
	}
}
