package app

import (
	"context"
	"fmt"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/job"
)

// guard fails a release that answers badly while it is rolled out.
func (s *Service) guard(row *componentRow) error {
	n := row.Status.Next
	if n == nil || n.Plain || row.Status.returning() {
		return nil
	}
	if why := row.Spec.Guard.verdict(s.counted(row)); why != "" {
		return fail.New(fail.Precondition, "release %d is taken back: %s", n.Number, why).Then("see awan logs %s; the release before runs again", row.Name)
	}
	return nil
}

// counted is what the release on its way answered so far; the row remembers it where a guard judges by it.
func (s *Service) counted(row *componentRow) Tally {
	t := s.Ingress.Tally(row.ID, row.Status.Next.Number)
	if row.Spec.Guard.on() && t != (Tally{}) {
		row.Status.Next.Tally = &t
	}
	return t
}

// observe watches a release that has all the traffic, for the guard's window, before it counts as live.
func (s *Service) observe(ctx context.Context, row *componentRow) error {
	n, g := row.Status.Next, row.Spec.Guard
	if n == nil || n.Plain || !g.on() || g.Window == 0 || row.Status.returning() || wanted(row) == 0 {
		return nil
	}
	if n.Rolled.IsZero() {
		n.Rolled = s.Now().UTC()
	}
	for i := range row.Status.Instances { // the loop rests while this goes on
		if err := s.keep(ctx, row, &row.Status.Instances[i]); err != nil {
			s.Log.Debug("an instance cannot be looked after", "instance", row.Status.Instances[i].ID, "err", err)
		}
	}
	left := time.Duration(g.Window) - s.Now().Sub(n.Rolled)
	if left <= 0 {
		return nil
	}
	t := s.counted(row)
	return job.Nap(min(left, 250*time.Millisecond), fmt.Sprintf("observing release %d for %s more: %d of %d answers were errors", n.Number, left.Round(time.Second), t.Errors, t.Answers))
}

// judgeEvery bounds how often a gray release is taken back by itself, should that not succeed.
const judgeEvery = 30 * time.Second

// judge takes an open gray release back by itself: when it answers badly, or its instances do not stay up.
func (s *Service) judge(ctx context.Context, row *componentRow) {
	g, n := row.Status.Gray, row.Status.Next
	if g == nil || g.Phase != grayOpen || n == nil || s.Now().Sub(g.Acting) < judgeEvery {
		return
	}
	next := *n // the loop compares the row with what it was
	row.Status.Next = &next
	why := row.Spec.Guard.verdict(s.counted(row))
	for _, in := range row.Status.Instances {
		if in.Hash == n.Hash && in.Phase == phaseExited && in.Restarts >= 3 {
			why = fmt.Sprintf("instance %s ended %d times, the last time: %s", short(in.ID), in.Restarts+1, in.LastExit)
		}
	}
	if why == "" {
		return
	}
	if err := s.Host.Act(ctx, &row.Meta, "gray-rollback", GrayBack{Reason: why}); err != nil {
		g.Acting = s.Now().UTC()
		s.emit(ctx, row.ID, event.Error, "RollBackFailed", "release %d cannot be taken back: %s", n.Number, fail.From(err).Public())
	}
}
