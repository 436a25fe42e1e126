package app

import (
	"context"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// returnWait is how long one try of bringing back the release before waits for its instances.
const returnWait = 10 * time.Second

// unroll takes back a roll-out that failed: what ran before runs again, all of it, and then the instances of the failed
// release leave. Those of a gray release that was open stay: it is as it was before it was continued.
func (s *Service) unroll(ctx context.Context, row *componentRow) error {
	st := &row.Status
	if err := s.removeHook(ctx, row); err != nil {
		return err
	}
	if g := st.Gray; g != nil && g.Phase != grayStarting {
		g.Phase, g.Next = grayOpen, nil
		s.expose(row)
	} else if st.Next != nil {
		s.Ingress.Divide(row.ID, st.Next.Number, &Traffic{}) // the old ones answer from now on, as far as they can
	}
	if st.Running != "" && row.State != kind.Deleting {
		if err := s.bringBack(ctx, row); err != nil {
			return err
		}
	}
	keep := map[string]int{st.Running: len(st.Instances)}
	if g := st.Gray; g != nil && g.Phase != grayStarting {
		keep[st.Next.Hash] = g.Instances
	}
	for _, in := range slices.Clone(st.Instances) {
		if keep[in.Hash]--; keep[in.Hash] >= 0 {
			continue
		}
		if err := s.removeOne(ctx, row, &in); err != nil {
			return err
		}
		st.Instances = slices.DeleteFunc(st.Instances, func(o Instance) bool { return o.ID == in.ID })
	}
	return nil
}

// bringBack starts what is missing of the release before. One that cannot get ready in its grace is left to the loop.
func (s *Service) bringBack(ctx context.Context, row *componentRow) error {
	st := &row.Status
	have := 0
	for _, in := range st.Instances {
		if in.Hash == st.Running {
			have++
		}
	}
	if missing := wanted(row) - have; missing > 0 {
		s.planOf(row, part{st.Running, st.Release, wanted(row)})
		return fail.New(fail.Unavailable, "%d instances of release %d are started again", missing, st.Release) // their ids are stored first
	}
	deadline := time.Now().Add(returnWait)
	for {
		waiting := 0
		for i := range st.Instances {
			in := &st.Instances[i]
			if in.Hash != st.Running {
				continue
			}
			if err := s.keep(ctx, row, in); err != nil {
				return err
			}
			spec, _, err := s.version(ctx, row, in)
			if err != nil {
				return err
			}
			if in.Phase != phaseReady && (in.Started.IsZero() || s.Now().Sub(in.Started) < time.Duration(spec.Probe.Grace)) && in.Restarts < 3 {
				waiting++
			}
		}
		if waiting == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fail.New(fail.Unavailable, "%d instances of release %d are not ready yet", waiting, st.Release)
		}
		select {
		case <-ctx.Done():
			return fail.From(ctx.Err())
		case <-time.After(rollPause):
		}
	}
}
