package app

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

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
	if err := s.trim(ctx, row); err != nil {
		return true, err
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
	s.judge(ctx, row)
	if planned < len(st.Instances) {
		s.Host.Wake(s.Component.D.FullName())
	}
	return !reflect.DeepEqual(before, *st), err
}

// trim removes the instances that are too many, the youngest first.
func (s *Service) trim(ctx context.Context, row *componentRow) error {
	st := &row.Status
	room := map[string]int{}
	for _, p := range s.parts(row) {
		room[p.hash] += p.want
	}
	var surplus []id.ID
	for _, in := range st.Instances {
		if room[in.Hash]--; room[in.Hash] < 0 {
			surplus = append(surplus, in.ID)
		}
	}
	for _, gone := range slices.Backward(surplus) {
		at := slices.IndexFunc(st.Instances, func(in Instance) bool { return in.ID == gone })
		if err := s.removeOne(ctx, row, &st.Instances[at]); err != nil {
			return err
		}
		st.Instances = slices.Delete(st.Instances, at, at+1)
	}
	return nil
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
		if err := s.watch(ctx, row, in, seen.Address, false); err != nil {
			return err
		}
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
	return s.watch(ctx, row, in, seen.Address, false)
}
