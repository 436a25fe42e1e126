package app

import (
	"context"
	"fmt"
	"reflect"
	"slices"
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

// roll moves the component one small step nearer to its target and naps until it is there. New instances are started
// first, and an old one leaves only when the ready ones suffice without it, so no request fails on the way.
func (s *Service) roll(ctx context.Context, row *componentRow) error {
	s.expose(row)
	hash, _ := s.target(row)
	want := wanted(row)
	recreate := row.Spec.Strategy == "recreate" && row.Status.Next != nil
	var old, fresh []*Instance
	ready, starting := 0, 0
	for i := range row.Status.Instances {
		in := &row.Status.Instances[i]
		if in.Hash != hash {
			old = append(old, in)
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
		} else {
			starting++
		}
	}
	if recreate && len(old) > 0 {
		return s.leave(ctx, row, old[0].ID, fmt.Sprintf("stopping %d old instances", len(old)))
	}
	if len(fresh) > want { // scaled down: the youngest leaves
		return s.leave(ctx, row, fresh[len(fresh)-1].ID, fmt.Sprintf("stopping %d instances", len(fresh)-want))
	}
	if len(old) > 0 && (ready+len(old) > want || want == 0) && (ready > 0 || want == 0) {
		return s.leave(ctx, row, old[0].ID, fmt.Sprintf("%d of %d new instances ready, stopping the old ones", ready, want))
	}
	surge := max(1, want/4)
	for _, in := range fresh {
		if in.Phase == phasePlanned && starting < surge {
			if err := s.startOne(ctx, row, in); err != nil {
				return err
			}
			starting++
		}
	}
	row.Status.Ready = ready
	if ready < want || len(old) > 0 {
		return job.Nap(rollPause, fmt.Sprintf("%d of %d new instances ready", ready, want))
	}
	return nil
}

// startOne starts a planned instance and begins to watch its health.
func (s *Service) startOne(ctx context.Context, row *componentRow, in *Instance) error {
	w, err := s.want(ctx, row, *in)
	if err != nil {
		return err
	}
	seen, err := s.Engine.Ensure(ctx, in.ID, w)
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "instance cannot start")
	}
	in.Phase, in.Started, in.Address, in.Restarts = phaseStarting, seen.Started.UTC(), seen.Address.String(), seen.Restarts
	s.health.watch(row, in, seen.Address, false)
	return nil
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
		return fail.New(fail.Precondition, "a new instance ended before it could serve: %s%s", reason, s.lastLines(ctx, in.ID)).
			Then("see awan logs %s; the release before goes on running", row.Name)
	}
	if s.health.known(in.ID) {
		if s.health.ready(in.ID) {
			in.Phase = phaseReady
		} else if in.Phase == phaseReady {
			in.Phase = phaseUnready
		}
	} else {
		s.health.watch(row, in, seen.Address, false)
	}
	grace := time.Duration(row.Spec.Probe.Grace)
	if in.Phase != phaseReady && s.Now().Sub(in.Started) > grace {
		return fail.New(fail.Precondition, "a new instance did not get ready in %s: %s%s", grace, s.health.why(in.ID), s.lastLines(ctx, in.ID)).
			Then("check that the program listens on port %d (it is given as PORT), or change the probe; the release before goes on running", row.Spec.Port)
	}
	return nil
}

// lastLines quotes the end of an instance's log.
func (s *Service) lastLines(ctx context.Context, instance id.ID) string {
	out := ""
	for l, err := range s.Engine.Logs(ctx, instance, workload.LogQuery{Tail: 5}) {
		if err != nil {
			break
		}
		out += "\n  | " + l.Text
	}
	return out
}

// leave takes an instance out of service, drains it, and removes it.
func (s *Service) leave(ctx context.Context, row *componentRow, instance id.ID, note string) error {
	if err := s.removeOne(ctx, instance); err != nil {
		return err
	}
	row.Status.Instances = slices.DeleteFunc(row.Status.Instances, func(in Instance) bool { return in.ID == instance })
	return job.Nap(time.Millisecond, note)
}

// removeOne drains and destroys an instance. No request is sent to it from the first line on.
func (s *Service) removeOne(ctx context.Context, instance id.ID) error {
	s.health.forget(instance)
	s.Ingress.Drain(ctx, instance, drainTime)
	if err := s.Engine.Stop(ctx, instance, stopGrace); err != nil {
		return fail.Wrap(err, fail.Unavailable, "instance cannot be stopped")
	}
	if s.Leaving != nil {
		s.Leaving(ctx, instance)
	}
	if err := s.Engine.Destroy(ctx, instance); err != nil {
		return fail.Wrap(err, fail.Unavailable, "instance cannot be removed")
	}
	return nil
}

// unroll removes the instances of a release that failed. What ran before goes on; the loop brings back any of it that
// had left already.
func (s *Service) unroll(ctx context.Context, row *componentRow) error {
	for _, in := range slices.Clone(row.Status.Instances) {
		if in.Hash == row.Status.Running {
			continue
		}
		if err := s.removeOne(ctx, in.ID); err != nil {
			return err
		}
		row.Status.Instances = slices.DeleteFunc(row.Status.Instances, func(o Instance) bool { return o.ID == in.ID })
	}
	return nil
}

// removeAll takes every instance away.
func (s *Service) removeAll(ctx context.Context, row *componentRow) error {
	for _, in := range slices.Clone(row.Status.Instances) {
		if err := s.removeOne(ctx, in.ID); err != nil {
			return err
		}
		row.Status.Instances = slices.DeleteFunc(row.Status.Instances, func(o Instance) bool { return o.ID == in.ID })
	}
	row.Status.Ready, row.Status.Next, row.Status.Running = 0, nil, ""
	return nil
}

// converge is the component's loop: what should run, runs; what ended is started again, more slowly each time.
func (s *Service) converge(ctx context.Context, row *componentRow) (changed bool, err error) {
	st := &row.Status
	before := *st
	before.Instances = slices.Clone(st.Instances)
	s.expose(row)
	s.refreshURL(row)
	if st.Running == "" {
		return false, nil
	}
	want := wanted(row)
	for len(st.Instances) > want {
		in := st.Instances[len(st.Instances)-1]
		if err := s.removeOne(ctx, in.ID); err != nil {
			return true, err
		}
		st.Instances = st.Instances[:len(st.Instances)-1]
	}
	planned := len(st.Instances)
	s.planInstances(row)
	st.Ready = 0
	for i := range st.Instances[:planned] { // those just planned are stored first, and started in the next round
		in := &st.Instances[i]
		if e := s.keep(ctx, row, in); e != nil {
			err = e
		}
		if in.Phase == phaseReady {
			st.Ready++
		}
	}
	if planned < len(st.Instances) {
		s.Host.Wake(s.Component.D.FullName())
	}
	return !reflect.DeepEqual(before, *st), err
}

// keep looks after one instance.
func (s *Service) keep(ctx context.Context, row *componentRow, in *Instance) error {
	seen, err := s.Engine.Observe(ctx, in.ID)
	switch {
	case fail.Is(err, fail.Gone):
		return s.again(ctx, row, in)
	case err != nil:
		return err
	case seen.Phase != workload.PhaseRunning:
		if in.Phase != phaseExited {
			s.noteExit(ctx, row, in, seen)
		}
		return s.again(ctx, row, in)
	}
	if seen.Restarts > in.Restarts {
		in.Restarts = seen.Restarts
	}
	if !s.health.known(in.ID) {
		s.health.watch(row, in, seen.Address, false)
	}
	switch {
	case s.health.ready(in.ID):
		if in.Phase == phaseUnready {
			s.emit(ctx, row.ID, event.Info, "Ready", "instance %s answers its probe again", short(in.ID))
		}
		in.Phase = phaseReady
	case in.Phase == phaseReady:
		in.Phase = phaseUnready
		s.emit(ctx, row.ID, event.Warning, "ProbeFailed", "instance %s takes no requests: %s", short(in.ID), s.health.why(in.ID))
	}
	in.Address, in.Started = seen.Address.String(), seen.Started.UTC()
	return nil
}

func short(i id.ID) string { return string(i[len(i)-6:]) }

func (s *Service) noteExit(ctx context.Context, row *componentRow, in *Instance, seen workload.Seen) {
	s.health.forget(in.ID)
	in.Phase, in.LastExit = phaseExited, "it ended"
	if s.Now().Sub(in.Started) > 5*time.Minute {
		in.Restarts = 0
	}
	typ := "Exited"
	if seen.Exit != nil {
		in.LastExit = seen.Exit.Reason
		if seen.Exit.OOMKilled {
			typ = "OOMKilled"
		}
	}
	in.RetryAt = s.Now().UTC().Add(restartDelay(in.Restarts))
	s.emit(ctx, row.ID, event.Warning, typ, "instance %s: %s; started again at %s", short(in.ID), in.LastExit, in.RetryAt.Format(time.TimeOnly))
}

// restartDelay grows from nothing to a minute.
func restartDelay(restarts int) time.Duration {
	if restarts == 0 {
		return 0
	}
	return min(time.Second<<min(restarts, 6), time.Minute)
}

// again starts an instance that ended or was lost, when its time has come.
func (s *Service) again(ctx context.Context, row *componentRow, in *Instance) error {
	if s.Now().Before(in.RetryAt) {
		return nil
	}
	w, err := s.want(ctx, row, *in)
	if err != nil {
		return err
	}
	restarted := in.Phase == phaseExited
	seen, err := s.Engine.Ensure(ctx, in.ID, w)
	if err != nil {
		in.Phase, in.LastExit, in.RetryAt = phaseExited, fail.From(err).Public(), s.Now().UTC().Add(restartDelay(in.Restarts+1))
		return err
	}
	if restarted {
		in.Restarts = max(in.Restarts+1, seen.Restarts)
	}
	in.Phase, in.Address, in.Started = phaseStarting, seen.Address.String(), seen.Started.UTC()
	s.health.watch(row, in, seen.Address, false)
	return nil
}
