package compute

import (
	"context"
	"fmt"
	"reflect"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/machine"
)

// converge looks at a server's machine, and makes it run again when it ended without anybody having asked for that.
func (s *Service) converge(ctx context.Context, row *serverRow) (bool, error) {
	was := row.Status
	cards := append([]NIC(nil), row.Status.Cards...)
	stopped := row.Spec.Stopped
	if err := s.look(ctx, row); err != nil {
		return false, err
	}
	err := s.Store.View(ctx, func(tx store.Tx) error { return s.settle(ctx, tx, row) })
	if err == nil && stopped != row.Spec.Stopped {
		_, err = s.Store.Update(ctx, func(tx store.Tx) error { return account(tx, row.ID, takes(row)) })
	}
	changed := stopped != row.Spec.Stopped || !reflect.DeepEqual(was, row.Status) || !reflect.DeepEqual(cards, row.Status.Cards)
	return changed, err
}

func (s *Service) look(ctx context.Context, row *serverRow) error {
	seen, err := s.Engine.Observe(ctx, row.ID)
	gone := fail.Is(err, fail.Gone)
	if err != nil && !gone {
		return err
	}
	running := !gone && seen.Phase != machine.PhaseStopped
	switch {
	case running && row.Spec.Stopped:
		return s.Engine.Stop(ctx, row.ID, grace)
	case running || row.Spec.Stopped:
		if !gone {
			s.see(row, seen)
		}
		return nil
	case !gone && seen.Exit != nil && seen.Exit.Clean:
		// Somebody shut it down from inside: that is a wish too.
		row.Spec.Stopped = true
		s.see(row, seen)
		s.emit(ctx, row.ID, event.Info, "ShutDown", "the system was shut down from inside; it can be started again")
		return nil
	}
	why := "the machine was gone"
	if !gone && seen.Exit != nil {
		why = seen.Exit.Reason
	}
	s.emit(ctx, row.ID, event.Warning, "Restarted", "%s; it is started again", why)
	if err := s.converged(ctx, row); err != nil {
		row.Status.Power, row.Status.Ended = Crashed, fail.From(err).Public()
		s.emit(ctx, row.ID, event.Error, "Crashed", "it cannot be started again: %s", fail.From(err).Public())
	}
	return nil
}

func (s *Service) emit(ctx context.Context, row id.ID, level event.Level, typ, format string, args ...any) {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		return event.Emit(tx, row, event.Event{At: s.Now().UTC(), Level: level, Type: typ, Text: fmt.Sprintf(format, args...)})
	})
	if err != nil && ctx.Err() == nil {
		s.Log.Error("an event cannot be stored", "server", row, "event", typ, "err", err)
	}
}
