package scaling

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/metric"
)

type component = kind.Row[app.ComponentSpec, app.ComponentStatus]

// window is over what time is measured.
const window = time.Minute

// Round looks at every policy once.
func (s *Service) Round(ctx context.Context) error {
	rows, err := s.policies(ctx)
	if err != nil {
		return err
	}
	live := map[id.ID]bool{}
	for _, r := range rows {
		live[r.ID] = true
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.follow(ctx, r); err != nil {
			s.Log.Warn("a scaling policy cannot be followed", "policy", r.ID, "err", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.recent {
		if !live[i] {
			delete(s.recent, i)
		}
	}
	return nil
}

func (s *Service) component(ctx context.Context, i id.ID) (c *component, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		c, err = s.Apps.Component.Get(tx, i)
		return err
	})
	return c, err
}

// follow does what one policy wants now.
func (s *Service) follow(ctx context.Context, r *row) error {
	c, err := s.component(ctx, id.ID(r.Spec.Component))
	if err != nil {
		return err
	}
	if c == nil { // it is gone for good, and its policy with it
		_, err := s.Door().Do(ctx, &call.Call{Kind: s.Policy.D, Verb: call.Delete, Target: string(r.ID), Domain: string(r.Domain), Project: string(r.Project),
			Principal: ident.System(), Dialect: "policy"})
		return err
	}
	if c.State != kind.Active || c.Job != "" || c.Spec.Stopped || c.Status.Running == "" {
		return nil
	}
	now := s.Now().UTC()
	st := r.Status
	if st.Changed.IsZero() {
		st.Replicas, st.Changed = c.Spec.Replicas, now
	} else if st.Replicas != c.Spec.Replicas { // by hand, by a wake or by a deploy: that counts as a change
		st.Replicas, st.Changed, st.Reason = c.Spec.Replicas, now, "set from outside the policy"
		s.forget(r.ID)
	}
	st.Min, st.Max = bounds(r.Spec, now)
	in := input{spec: r.Spec, low: st.Min, high: st.Max, now: now, replicas: c.Spec.Replicas, ready: c.Status.Ready, changed: st.Changed, recent: s.memory(r.ID, now)}
	if since, idle := s.Apps.Ingress.Idle(c.ID); idle {
		in.idleSince = since
	}
	if in.samples, err = s.sample(ctx, r, c); err != nil {
		return err
	}
	want, reason := decide(in)
	if want != c.Spec.Replicas {
		err := s.set(ctx, c, want, reason+" (policy "+r.Name+")")
		switch {
		case err == nil:
			st.Replicas, st.Changed, st.Reason = want, now, reason
			s.forget(r.ID)
		case fail.Is(err, fail.Conflict): // busy: the next round sees
		default:
			refused := fmt.Sprintf("%d instances are wanted (%s), but: %s", want, reason, fail.From(err).Public())
			if st.Reason != refused {
				st.Reason = refused
				s.tell(ctx, c.ID, "ScalingRefused", refused)
			}
		}
	}
	return s.save(ctx, r, st)
}

func (s *Service) memory(policy id.ID, now time.Time) *recent {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.recent[policy]
	if m == nil {
		m = &recent{since: now}
		s.recent[policy] = m
	}
	return m
}

func (s *Service) forget(policy id.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.recent, policy)
}

// sample measures what the rules follow.
func (s *Service) sample(ctx context.Context, r *row, c *component) ([]sample, error) {
	var out []sample
	for _, rule := range r.Spec.Rules {
		name := rule.Metric
		if name == "latency" {
			name = "latency-p95"
		}
		v, known, err := s.Metrics.Of(c.Project).Value(ctx, metric.Expr(name, c.Name, window), s.Now())
		if err != nil {
			return nil, err
		}
		if rule.Metric == "requests" || rule.Metric == "latency" {
			known = true // no request is a measurement, too
		}
		out = append(out, sample{rule, v, known})
	}
	return out, nil
}

// set asks for a number of instances like anybody would.
func (s *Service) set(ctx context.Context, c *component, n int, reason string) error {
	if len(reason) > 255 {
		reason = reason[:255]
	}
	in, err := json.Marshal(app.Scale{Replicas: &n, Reason: reason})
	if err != nil {
		return err
	}
	_, err = s.Door().Do(ctx, &call.Call{Kind: s.Apps.Component.D, Verb: "scale", Target: string(c.ID), Domain: string(c.Domain), Project: string(c.Project),
		In: in, Principal: ident.System(), Dialect: "policy", IfRevision: c.Revision})
	return err
}

func (s *Service) tell(ctx context.Context, component id.ID, typ, text string) {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		return event.Emit(tx, component, event.Event{At: s.Now().UTC(), Level: event.Warning, Type: typ, Text: text})
	})
	if err != nil && ctx.Err() == nil {
		s.Log.Error("an event cannot be stored", "component", component, "err", err)
	}
}

// save stores the status when it changed, unless somebody changed the policy meanwhile.
func (s *Service) save(ctx context.Context, r *row, st Status) error {
	if reflect.DeepEqual(st, r.Status) {
		return nil
	}
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		now, err := s.Policy.Get(tx, r.ID)
		if err != nil || now == nil || now.Revision != r.Revision {
			return err
		}
		now.Status, now.Updated = st, s.Now().UTC()
		return s.Policy.Put(tx, now)
	})
	return err
}

// Wake is for the ingress: a request came for a component of which no instance is ready. It tells whether one will be,
// and how long the request may be held for it.
func (s *Service) Wake(component id.ID) (most time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil || s.ctx.Err() != nil { // the cloud is not up yet, or goes down
		return 0, false
	}
	asleep := false
	err := s.Store.View(s.ctx, func(tx store.Tx) error {
		c, err := s.Apps.Component.Get(tx, component)
		if err != nil || c == nil || c.Spec.Stopped || c.State == kind.Trashed {
			return err
		}
		r, err := s.of(tx, c)
		if err != nil || r == nil {
			return err
		}
		low, _ := bounds(r.Spec, s.Now())
		most, ok, asleep = time.Duration(r.Spec.Wait), low == 0, c.Spec.Replicas == 0
		return nil
	})
	if err != nil {
		s.Log.Error("a request cannot wake its app", "component", component, "err", err)
		return 0, false
	}
	if ok && asleep && !s.waking[component] {
		s.waking[component] = true
		s.running.Go(func() {
			defer func() {
				s.mu.Lock()
				delete(s.waking, component)
				s.mu.Unlock()
			}()
			s.start(component, most)
		})
	}
	return most, ok
}

// start asks for the first instance, again while the component is busy (it may just be going to sleep).
func (s *Service) start(component id.ID, most time.Duration) {
	ctx, cancel := context.WithTimeout(s.ctx, most)
	defer cancel()
	for ctx.Err() == nil {
		c, err := s.component(ctx, component)
		if err == nil && (c == nil || c.Spec.Stopped || c.Spec.Replicas > 0) {
			return // it starts already, or is not to
		}
		if err == nil {
			err = s.set(ctx, c, 1, "a request came")
		}
		switch {
		case err == nil:
			return
		case !fail.Is(err, fail.Conflict):
			if ctx.Err() == nil {
				s.tell(ctx, component, "WakeFailed", "a request came, but no instance can be started: "+fail.From(err).Public())
			}
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}
