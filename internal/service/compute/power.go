package compute

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/service/machine"
)

// grace is how long a system has to shut down before the plug is pulled.
const grace = 60 * time.Second

// converged makes the machine equal to the row.
func (s *Service) converged(ctx context.Context, row *serverRow) error {
	var volumes []id.ID
	for _, d := range row.Status.Disks {
		if d.Volume != "" {
			volumes = append(volumes, d.Volume)
		}
	}
	defer s.Volumes.Hold(volumes...)()
	w, err := s.want(ctx, row)
	if err != nil {
		return err
	}
	if !w.Running {
		return s.shut(ctx, row, &w)
	}
	job.Note(ctx, "the machine starts")
	seen, err := s.Engine.Ensure(ctx, row.ID, w)
	if err != nil {
		return err
	}
	s.see(row, seen)
	s.attached(row)
	return nil
}

// shut keeps a machine that does not run; its devices are what the next start gives it.
func (s *Service) shut(ctx context.Context, row *serverRow, w *machine.Want) error {
	if err := s.Engine.Stop(ctx, row.ID, grace); err != nil {
		return err
	}
	seen, err := s.Engine.Ensure(ctx, row.ID, *w)
	if err != nil {
		return err
	}
	s.see(row, seen)
	s.attached(row)
	return nil
}

// see takes over what was observed.
func (s *Service) see(row *serverRow, seen machine.Seen) {
	st := &row.Status
	st.Accelerator = seen.Accelerator
	switch seen.Phase {
	case machine.PhaseRunning:
		st.Power, st.Ended = On, ""
	case machine.PhasePaused:
		st.Power = Paused
	default:
		st.Power = Off
		if seen.Exit != nil {
			st.Ended = seen.Exit.Reason
		}
	}
}

// attached marks the devices that the machine has now.
func (s *Service) attached(row *serverRow) {
	for i := range row.Status.Cards {
		if c := &row.Status.Cards[i]; c.Phase == Attaching {
			c.Phase = Attached
		}
	}
	for i := range row.Status.Disks {
		if d := &row.Status.Disks[i]; d.Phase == Attaching {
			d.Phase = Attached
		}
	}
}

// power stops the machine where the row wants it stopped, or where it cannot stay on: a new size needs a new start.
func (s *Service) power(ctx context.Context, row *serverRow) error {
	if row.Status.Rebuild != nil {
		return s.swapRoot(ctx, row)
	}
	seen, err := s.Engine.Observe(ctx, row.ID)
	if fail.Is(err, fail.Gone) {
		return nil
	}
	if err != nil {
		return err
	}
	resized := seen.CPUs != row.Spec.CPUs || seen.MemoryMiB != row.Spec.Memory
	switch {
	case resized && seen.Phase != machine.PhaseStopped:
		job.Note(ctx, "the system shuts down")
		return s.Engine.Stop(ctx, row.ID, grace)
	case row.Spec.Stopped && row.Status.Unplug:
		err = s.Engine.Stop(ctx, row.ID, 0)
	case row.Status.Reboot == "soft":
		job.Note(ctx, "the system shuts down")
		err = s.Engine.Stop(ctx, row.ID, grace)
	case row.Status.Reboot == "hard":
		err = s.Engine.Reset(ctx, row.ID)
	}
	row.Status.Reboot, row.Status.Unplug = "", false
	return err
}

// backToPower leaves the machine as it was before a change that failed: the loop starts what should run.
func (s *Service) backToPower(ctx context.Context, row *serverRow) error {
	row.Status.Reboot, row.Status.Unplug = "", false
	if row.Status.Rebuild != nil {
		return s.swapBack(ctx, row)
	}
	if r := row.Status.Resize; r != nil {
		row.Spec.Flavor, row.Spec.CPUs, row.Spec.Memory = r.From, r.FromCPUs, r.FromMemory
		row.Status.Resize = nil
	}
	return nil
}

// destroy ends the machine; its disks stay.
func (s *Service) destroy(ctx context.Context, row *serverRow) error {
	if err := s.Engine.Destroy(ctx, row.ID); err != nil {
		return err
	}
	row.Status.Power = Off
	return nil
}

// Refit gives a running server's machine what its row and its volumes say now: new limits, say.
func (s *Service) Refit(ctx context.Context, server id.ID) error {
	row, err := s.Get(ctx, server)
	if err != nil || row.Job != "" || row.Spec.Stopped {
		return err // whatever runs on it brings the new limits
	}
	return s.converged(ctx, row)
}
