package network

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/asbuilt"
)

const (
	driftEvery = 30 * time.Second
	portEvery  = 30 * time.Second
)

// drift compares what the kernel does with what the rows say, and repairs it.
func (c *converger) drift(ctx context.Context) {
	for {
		pause(ctx, driftEvery)
		if ctx.Err() != nil {
			return
		}
		if _, err := c.s.Drift(ctx); err != nil && ctx.Err() == nil {
			c.s.Log.Warn("the kernel's networks cannot be compared with the rows", "err", err)
		}
	}
}

// Drift compares the kernel with the rows now, repairs every difference, and writes each down: in the log, and as an event of
// the row that it is about. It returns how many there were.
func (s *Service) Drift(ctx context.Context) (int, error) {
	found, err := s.Engine.Drift(ctx, true)
	if err != nil {
		return 0, fail.Wrap(err, fail.Unavailable, "the kernel's networks cannot be compared with the rows")
	}
	for _, f := range found {
		s.Log.Warn("the kernel's network was not what the rows say", "what", f.What, "id", f.ID, "detail", f.Detail, "repaired", f.Repaired)
		text := f.Detail + "; it was repaired"
		if !f.Repaired {
			text = f.Detail + "; it is being repaired"
			s.sync.again(target{f.What, f.ID})
		}
		if s.Found != nil {
			s.Found(ctx, asbuilt.Drift{Kind: "network/" + f.What, ID: f.ID, Detail: f.Detail, Repaired: f.Repaired})
		}
		if f.ID != "" {
			s.sync.emit(ctx, f.ID, event.Event{Level: event.Error, Type: "Drift", Text: text})
		}
	}
	return len(found), s.sync.findOrphans(ctx)
}

// again says something anew, though the rows did not change.
func (c *converger) again(x target) {
	if x.id == "" || x.what != "vpc" && x.what != "group" && x.what != "port" {
		return
	}
	c.mu.Lock()
	c.dirty[x] = true
	c.mu.Unlock()
	c.mark(x)
}

// watchPort writes down whether a plugged port is held open, and how much went through it.
func (s *Service) watchPort(ctx context.Context, r *portRow) (bool, error) {
	if !r.Status.Plugged {
		return false, nil
	}
	release := s.sync.told.hold(target{"port", r.ID})
	seen, err := s.Engine.ObservePort(ctx, r.ID)
	if err == nil && len(seen.Public) > 0 {
		err = s.countTraffic(ctx, r.ID, seen)
	}
	release()
	if fail.Is(err, fail.Gone) {
		s.sync.again(target{"port", r.ID})
		return false, nil
	}
	if err != nil {
		return false, err
	}
	st := &r.Status
	was := *st
	st.Up, st.In, st.Out, st.Dropped = seen.Up, int64(seen.Counters.InBytes), int64(seen.Counters.OutBytes), int64(seen.Counters.Dropped)
	return was.Up != st.Up || was.In != st.In || was.Out != st.Out || was.Dropped != st.Dropped, nil
}
