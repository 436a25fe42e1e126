package compute

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// RebootIn is the input of a reboot.
type RebootIn struct {
	Hard bool `json:"hard" doc:"at once, as the reset button does; otherwise the system shuts down first"`
}

// StopIn is the input of stopping.
type StopIn struct {
	Hard bool `json:"hard" doc:"at once, as pulling the plug does; otherwise the system shuts down"`
}

type action = kind.Action[ServerSpec, ServerStatus]

func (s *Service) actions() []action {
	return []action{
		{Verb: "start", Doc: "switch it on", Level: kind.Write, Change: s.startIt},
		{Verb: "stop", Doc: "shut it down; its disks and addresses stay", Level: kind.Write, In: StopIn{}, Change: s.stopIt},
		{Verb: "reboot", Doc: "start its system anew", Level: kind.Write, In: RebootIn{}, Change: s.rebootIt},
		{Verb: "resize", Doc: "change its flavour; a running system is shut down for it", Level: kind.Write, In: ResizeIn{}, Change: s.resize},
		{Verb: "confirm-resize", Doc: "keep the new flavour", Level: kind.Write, Change: s.confirmResize},
		{Verb: "revert-resize", Doc: "go back to the flavour before", Level: kind.Write, Change: s.revertResize},
		{Verb: "rebuild", Doc: "make the disk it boots from anew, from an image; what was on it is lost", Level: kind.Write, In: RebuildIn{}, Change: s.rebuild, Secret: true},
		{Verb: "attach-volume", Doc: "give it a volume, running or not", Level: kind.Write, In: AttachVolume{}, Change: s.attachVolume},
		{Verb: "detach-volume", Doc: "take a volume away from it, running or not", Level: kind.Write, In: DetachVolume{}, Change: s.detachVolume},
		{Verb: "attach-interface", Doc: "give it a network card, running or not", Level: kind.Write, In: AttachInterface{}, Change: s.attachInterface},
		{Verb: "detach-interface", Doc: "take a network card away from it, running or not", Level: kind.Write, In: DetachInterface{}, Change: s.detachInterface},
		{Verb: "delete-with", Doc: "say what is deleted with it", Level: kind.Write, In: DeleteWith{}, Change: s.deleteWith},
		{Verb: "set-group", Doc: "put it into a server group, or take it out", Level: kind.Write, In: SetGroup{}, Change: s.setGroup},
		{Verb: "lock", Doc: "let nobody stop, change or delete it", Level: kind.Write, Change: func(_ context.Context, _ store.Tx, r *serverRow, _ any) (string, error) {
			r.Spec.Locked = true
			return "", nil
		}},
		{Verb: "unlock", Doc: "let it be changed again", Level: kind.Write, Change: func(_ context.Context, _ store.Tx, r *serverRow, _ any) (string, error) {
			r.Spec.Locked = false
			return "", nil
		}},
		{Verb: "pause", Doc: "hold its processors; its memory stays", Level: kind.Write, Serve: func(ctx context.Context, r *serverRow, _ any, st kind.Stream) error {
			return s.pause(ctx, r, true, st)
		}},
		{Verb: "unpause", Doc: "let its processors go on", Level: kind.Write, Serve: func(ctx context.Context, r *serverRow, _ any, st kind.Stream) error {
			return s.pause(ctx, r, false, st)
		}},
		{Verb: "set-password", Doc: "set a user's password inside, by the agent that runs there", Level: kind.Write, In: PasswordIn{}, Serve: s.setPassword, Secret: true},
		{Verb: "console-log", Doc: "what it wrote on its serial console", Level: kind.Read, In: ConsoleLogIn{}, Serve: s.serveLog},
		{Verb: "console", Doc: "its serial console, both ways", Level: kind.Write, Serve: s.serveConsole},
		{Verb: "vnc", Doc: "its screen, by the RFB protocol", Level: kind.Write, Serve: s.serveVNC},
		{Verb: "measure", Doc: "what it uses now", Level: kind.Read, Serve: s.serveUsage},
		{Verb: "metrics", Doc: "processor, memory, disks and network over the last minute, or another time", Level: kind.Read, In: MetricsIn{}, Serve: s.serveMetrics},
	}
}

func (s *Service) startIt(_ context.Context, tx store.Tx, row *serverRow, _ any) (string, error) {
	if err := unlocked(row); err != nil {
		return "", err
	}
	old := *row
	row.Spec.Stopped = false
	return "update", s.place(tx, &old, row)
}

func (s *Service) stopIt(_ context.Context, _ store.Tx, row *serverRow, in any) (string, error) {
	if err := unlocked(row); err != nil {
		return "", err
	}
	row.Spec.Stopped, row.Status.Unplug = true, in.(*StopIn).Hard
	return "update", nil
}

func (s *Service) rebootIt(_ context.Context, _ store.Tx, row *serverRow, in any) (string, error) {
	if err := unlocked(row); err != nil {
		return "", err
	}
	if row.Spec.Stopped {
		return "", fail.New(fail.Precondition, "server %s is stopped", row.Name).Then("start it: awan server start %s", row.ID)
	}
	row.Status.Reboot = "soft"
	if in.(*RebootIn).Hard {
		row.Status.Reboot = "hard"
	}
	return "update", nil
}
