package app

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/service/workload"
)

const (
	rollPause = 100 * time.Millisecond
	drainTime = 10 * time.Second
	stopGrace = 10 * time.Second
)

// roll moves the component one small step nearer to its target and naps until it is there.
func (s *Service) roll(ctx context.Context, row *componentRow) error {
	s.expose(row)
	if err := s.before(ctx, row); err != nil {
		return err
	}
	if g := row.Status.Gray; g != nil && (g.Phase == grayStarting || g.Phase == grayOpen) {
		return s.rollGray(ctx, row)
	}
	if err := s.rollOut(ctx, row); err != nil {
		return err
	}
	return s.observe(ctx, row)
}

// rollOut replaces what runs by the target. New instances are started first, batch by batch, and an old one leaves only
// when the ready ones suffice without it, so no request fails on the way.
func (s *Service) rollOut(ctx context.Context, row *componentRow) error {
	hash, _ := s.target(row)
	next, want := row.Status.Next, wanted(row)
	recreate := row.Spec.Strategy == strategyRecreate && next != nil
	if err := s.guard(row); err != nil {
		return err
	}
	var old, fresh []*Instance
	ready, begun := 0, 0
	for i := range row.Status.Instances {
		in := &row.Status.Instances[i]
		if in.Hash != hash {
			old = append(old, in)
			if !recreate && in.Phase != phasePlanned {
				if err := s.keep(ctx, row, in); err != nil {
					s.Log.Debug("an old instance cannot be looked after", "instance", in.ID, "err", err)
				}
			}
			continue
		}
		fresh = append(fresh, in)
		if in.Phase == phasePlanned {
			continue
		}
		if err := s.look(ctx, row, in); err != nil {
			return err
		}
		if in.Phase == phaseReady {
			ready++
		}
		if in.Phase != phasePlanned {
			begun++
		}
	}
	row.Status.Ready = ready
	size, surge := row.Spec.Rolling.of(want)
	limit := want
	if next != nil && !next.Plain && !recreate && row.Spec.Rolling != (Rolling{}) && row.Status.Running != "" {
		limit = min(want, (next.Batch+1)*size)
	}
	if recreate {
		surge = want
	}
	switch {
	case recreate && len(old) > 0:
		return s.leave(ctx, row, old, "stopping the old instances")
	case len(fresh) > want: // scaled down: the youngest leave
		return s.leave(ctx, row, fresh[want:], "stopping those that are too many")
	case len(old) > 0 && (ready+len(old) > want || want == 0) && (ready > 0 || want == 0):
		return s.leave(ctx, row, []*Instance{weakest(old)}, fmt.Sprintf("%d of %d new instances ready, stopping the old ones", ready, want))
	}
	if limit < want && begun == ready && ready >= limit {
		next.Batch++
		next.Resume = s.Now().UTC().Add(time.Duration(row.Spec.Rolling.Pause))
		s.emit(ctx, row.ID, event.Info, "BatchReady", "release %d: %d of %d instances are new", next.Number, ready, want)
		return job.Nap(time.Millisecond, fmt.Sprintf("%d of %d instances are new", ready, want))
	}
	if next != nil && next.Batch > 0 && begun == ready && ready < want {
		if wait := next.Resume.Sub(s.Now()); wait > 0 {
			return job.Nap(min(wait, time.Second), fmt.Sprintf("%d of %d instances are new; the next batch begins in %s", ready, want, wait.Round(time.Second)))
		}
	}
	most := max(want, len(old)) + surge // fewer may be wanted than run: one more is started all the same before they leave
	for _, in := range fresh {
		if in.Phase == phasePlanned && begun < limit && begun-ready < surge && (recreate || begun+len(old) < most) {
			if err := s.startOne(ctx, row, in); err != nil {
				return err
			}
			begun++
		}
	}
	if ready < want || len(old) > 0 {
		return job.Nap(rollPause, fmt.Sprintf("%d of %d new instances ready", ready, want))
	}
	return nil
}

// of gives the size of a batch and how many instances may run beyond the wanted number.
func (r Rolling) of(want int) (size, surge int) {
	size = r.Size
	if r.Batches > 0 {
		size = (want + r.Batches - 1) / r.Batches
	}
	if size == 0 {
		size = want / 4
	}
	size = max(size, 1)
	surge = r.Surge
	if surge == 0 {
		surge = size
	}
	return size, surge
}

// weakest is the instance that is missed least: one that is not ready, else the first.
func weakest(of []*Instance) *Instance {
	for _, in := range of {
		if in.Phase != phaseReady {
			return in
		}
	}
	return of[0]
}

// startOne starts a planned instance and begins to watch its health.
func (s *Service) startOne(ctx context.Context, row *componentRow, in *Instance) error {
	live, err := s.livePins(ctx, row, in)
	if err != nil {
		return err
	}
	w, err := s.want(ctx, row, *in)
	if err != nil {
		return err
	}
	seen, err := s.Engine.Ensure(ctx, in.ID, w)
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "instance cannot start")
	}
	in.Live = live
	in.Phase, in.Started, in.Address, in.Restarts = phaseStarting, seen.Started.UTC(), seen.Address.String(), seen.Restarts
	return s.watch(ctx, row, in, seen.Address, false)
}

// look brings an instance's phase up to date while it is rolled out; one that ended, or does not get ready in its
// grace, fails the release.
func (s *Service) look(ctx context.Context, row *componentRow, in *Instance) error {
	seen, err := s.Engine.Observe(ctx, in.ID)
	if fail.Is(err, fail.Gone) {
		in.Phase = phasePlanned
		return nil
	}
	if err != nil {
		return err
	}
	if seen.Phase != workload.PhaseRunning {
		s.health.forget(in.ID)
		reason := "it ended"
		if seen.Exit != nil {
			reason = seen.Exit.Reason
		}
		if seen.Exit == nil || row.Status.Running == in.Hash && seen.Restarts < 3 { // what runs well otherwise: try again
			in.Phase = phasePlanned
			return nil
		}
		return fail.New(fail.Precondition, "a new instance ended before it could serve: %s%s", reason, s.lastLines(ctx, in.ID, 5)).
			Then("see awan logs %s; the release before goes on running", row.Name)
	}
	if s.health.known(in.ID) {
		if s.health.ready(in.ID) {
			in.Phase = phaseReady
		} else if in.Phase == phaseReady {
			in.Phase = phaseUnready
		}
	} else {
		if err := s.watch(ctx, row, in, seen.Address, false); err != nil {
			return err
		}
	}
	if s.health.broken(in.ID) {
		return fail.New(fail.Precondition, "a new instance cannot serve: %s", s.health.why(in.ID)).Then("see awan logs %s; the release before goes on running", row.Name)
	}
	grace := time.Duration(row.Spec.Probe.Grace)
	if in.Phase != phaseReady && s.Now().Sub(in.Started) > grace {
		return fail.New(fail.Precondition, "a new instance did not get ready in %s: %s%s", grace, s.health.why(in.ID), s.lastLines(ctx, in.ID, 5)).
			Then("check that the program listens on port %d (it is given as PORT), or change the probe; the release before goes on running", row.Spec.Port)
	}
	return nil
}

// lastLines quotes the end of an instance's log.
func (s *Service) lastLines(ctx context.Context, instance id.ID, n int) string {
	out := ""
	for l, err := range s.Engine.Logs(ctx, instance, workload.LogQuery{Tail: n}) {
		if err != nil {
			break
		}
		out += "\n  | " + l.Text
	}
	return out
}

// watch begins to watch an instance's health, by the spec of its release.
func (s *Service) watch(ctx context.Context, row *componentRow, in *Instance, addr netip.Addr, ready bool) error {
	spec, _, err := s.version(ctx, row, in)
	if err != nil {
		return err
	}
	s.health.watch(row.ID, spec, in, addr, ready)
	return nil
}

// leave removes instances, and comes back.
func (s *Service) leave(ctx context.Context, row *componentRow, which []*Instance, note string) error {
	gone := make([]Instance, len(which))
	for i, in := range which {
		gone[i] = *in
	}
	if err := s.remove(ctx, row, gone); err != nil {
		return err
	}
	return job.Nap(time.Millisecond, note)
}

// leaving is how many instances of a component are stopped at a time.
const leaving = 8

// remove takes instances away, several at a time: a program that does not end when it is told to takes its time. Those
// that are gone leave the row, also when others could not be removed.
func (s *Service) remove(ctx context.Context, row *componentRow, which []Instance) error {
	errs := make([]error, len(which))
	slots := make(chan struct{}, leaving)
	var running sync.WaitGroup
	for i := range which {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			errs[i] = s.removeOne(ctx, row, &which[i])
		})
	}
	running.Wait()
	for i, in := range which {
		if errs[i] == nil {
			row.Status.Instances = slices.DeleteFunc(row.Status.Instances, func(o Instance) bool { return o.ID == in.ID })
		}
	}
	return cmp.Or(errs...)
}

// removeOne drains and destroys an instance. No request is sent to it from the first line on.
func (s *Service) removeOne(ctx context.Context, row *componentRow, in *Instance) error {
	s.health.forget(in.ID)
	s.Ingress.Drain(ctx, in.ID, drainTime)
	s.preStop(ctx, row, in)
	if err := s.Engine.Stop(ctx, in.ID, stopGrace); err != nil {
		return fail.Wrap(err, fail.Unavailable, "instance cannot be stopped")
	}
	if s.Leaving != nil {
		s.Leaving(ctx, in.ID)
	}
	if err := s.Engine.Destroy(ctx, in.ID); err != nil {
		return fail.Wrap(err, fail.Unavailable, "instance cannot be removed")
	}
	return nil
}

// removeAll takes every instance away.
func (s *Service) removeAll(ctx context.Context, row *componentRow) error {
	if err := s.removeHook(ctx, row); err != nil {
		return err
	}
	if err := s.remove(ctx, row, slices.Clone(row.Status.Instances)); err != nil {
		return err
	}
	row.Status.Ready, row.Status.Next, row.Status.Gray, row.Status.Running = 0, nil, nil, ""
	return nil
}
