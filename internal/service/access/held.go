package access

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// whyHeld says why a port cannot be opened.
func whyHeld(address string, err error) string {
	if errors.Is(err, syscall.EADDRINUSE) {
		return address + " is held by another program of this machine; it is opened as soon as that lets it go. Delete this port and make another to have one now"
	}
	return address + " cannot be opened: " + err.Error() + "; it is tried again"
}

// free tells whether a port that no row has can be opened.
func (s *Service) free(port int) bool {
	ln, err := net.Listen("tcp", net.JoinHostPort(s.Address, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = ln.Close()
	return true
}

// mark writes into rows why their ports are not open, or, with "", that they are.
func (s *Service) mark(reasons map[id.ID]string) {
	if len(reasons) == 0 {
		return
	}
	_, err := s.Store.Update(context.Background(), func(tx store.Tx) error {
		for row, reason := range reasons {
			r, err := s.Port.Get(tx, row)
			if err != nil {
				return err
			}
			if r == nil || r.Job != "" || r.Reason == reason || r.State != kind.Active && r.State != kind.Failed {
				continue
			}
			e := event.Event{At: s.Now().UTC(), Level: event.Warning, Type: "PortHeld", Text: reason}
			r.State, r.Reason, r.Updated = kind.Failed, reason, e.At
			if reason == "" {
				r.State, e.Level, e.Type, e.Text = kind.Active, event.Info, "PortOpened", r.Status.Address+" is open"
			}
			if err := s.Port.Put(tx, r); err != nil {
				return err
			}
			if err := event.Emit(tx, row, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.Log.Error("how TCP ports are cannot be stored", "err", err)
	}
}
