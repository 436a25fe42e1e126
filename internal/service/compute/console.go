package compute

import (
	"context"
	"io"

	"github.com/awancloud/awan/internal/kernel/duplex"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/machine"
)

// PasswordIn is the input of setting a password.
type PasswordIn struct {
	User     string `json:"user" doc:"whose; empty: the image's user" max:"64"`
	Password string `json:"password" doc:"the new password" required:"true" secret:"true" min:"8" max:"255"`
}

// ConsoleLogIn selects of the console's log.
type ConsoleLogIn struct {
	Lines int `json:"lines" doc:"only the last of them; 0: all that are kept" min:"0" max:"100000"`
}

// Usage is what a server uses.
type Usage struct {
	Power      Power   `json:"power" doc:"running, stopped, paused or crashed"`
	CPUSeconds float64 `json:"cpu_seconds" doc:"processor time since its start" unit:"s"`
	Memory     int64   `json:"memory_bytes" doc:"memory that its machine takes of the host" unit:"bytes"`
	ReadBytes  int64   `json:"read_bytes" doc:"read from its disks since its start" unit:"bytes"`
	WriteBytes int64   `json:"write_bytes" doc:"written to its disks since its start" unit:"bytes"`
	ReadOps    int64   `json:"read_ops" doc:"reads since its start"`
	WriteOps   int64   `json:"write_ops" doc:"writes since its start"`
	Agent      bool    `json:"agent" doc:"the agent inside answers"`
}

func (s *Service) pause(ctx context.Context, row *serverRow, paused bool, st kind.Stream) error {
	if err := unlocked(row); err != nil {
		return err
	}
	if err := s.Engine.Pause(ctx, row.ID, paused); err != nil {
		return notRunning(row, err)
	}
	s.Host.Wake(s.Server.D.FullName(), row.ID)
	return st.Emit(map[string]bool{"paused": paused})
}

func (s *Service) setPassword(ctx context.Context, row *serverRow, in any, st kind.Stream) error {
	p := in.(*PasswordIn)
	if err := unlocked(row); err != nil {
		return err
	}
	user := p.User
	if user == "" {
		user = row.Status.User
	}
	if user == "" {
		return fail.Field("user", "is required: the image does not say whom to log in as")
	}
	if err := s.Engine.SetPassword(ctx, row.ID, user, p.Password); err != nil {
		return notRunning(row, err)
	}
	return st.Emit(map[string]string{"user": user})
}

func (s *Service) serveLog(ctx context.Context, row *serverRow, in any, st kind.Stream) error {
	text, err := s.ConsoleLog(ctx, row, in.(*ConsoleLogIn).Lines)
	if err != nil {
		return err
	}
	w, err := st.Raw("text/plain; charset=utf-8")
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// ConsoleLog gives the last lines of what a server wrote on its serial console; all that is kept for 0.
func (s *Service) ConsoleLog(ctx context.Context, row *kind.Row[ServerSpec, ServerStatus], lines int) ([]byte, error) {
	text, err := s.Engine.Log(ctx, row.ID, 0)
	if fail.Is(err, fail.Gone) {
		return nil, nil
	}
	if err != nil || lines == 0 {
		return text, err
	}
	from := len(text)
	for n := 0; from > 0; from-- {
		if text[from-1] == '\n' && from < len(text) {
			if n++; n == lines {
				break
			}
		}
	}
	return text[from:], nil
}

func (s *Service) serveConsole(ctx context.Context, row *serverRow, _ any, st kind.Stream) error {
	return s.join(ctx, row, st, func() (io.ReadWriteCloser, error) { return s.Engine.Serial(ctx, row.ID) })
}

func (s *Service) serveVNC(ctx context.Context, row *serverRow, _ any, st kind.Stream) error {
	return s.join(ctx, row, st, func() (io.ReadWriteCloser, error) { return s.Engine.VNC(ctx, row.ID) })
}

// join carries bytes between a client and a console until one of them ends.
func (s *Service) join(ctx context.Context, row *serverRow, st kind.Stream, open func() (io.ReadWriteCloser, error)) error {
	if st.Duplex == nil {
		return fail.New(fail.Unsupported, "a console needs a connection that carries both ways").Then("use the console's page, or awan console %s", row.ID)
	}
	far, err := open()
	if err != nil {
		return notRunning(row, err)
	}
	near, err := st.Duplex()
	if err != nil {
		_ = far.Close()
		return err
	}
	if err := duplex.Carry(ctx, near, far); err != nil {
		return fail.Wrap(err, fail.Unavailable, "the connection to the console broke off")
	}
	return nil
}

func (s *Service) serveUsage(ctx context.Context, row *serverRow, _ any, st kind.Stream) error {
	u, err := s.Measure(ctx, row)
	if err != nil {
		return err
	}
	return st.Emit(u)
}

// Measure tells what a server uses now.
func (s *Service) Measure(ctx context.Context, row *kind.Row[ServerSpec, ServerStatus]) (Usage, error) {
	seen, err := s.Engine.Observe(ctx, row.ID)
	if fail.Is(err, fail.Gone) {
		return Usage{Power: Off}, nil
	}
	if err != nil {
		return Usage{}, err
	}
	u := seen.Usage
	out := Usage{Power: Off, CPUSeconds: u.CPU.Seconds(), Memory: u.MemoryBytes, ReadBytes: u.ReadBytes, WriteBytes: u.WriteBytes, ReadOps: u.ReadOps, WriteOps: u.WriteOps, Agent: seen.Agent}
	switch seen.Phase {
	case machine.PhaseRunning:
		out.Power = On
	case machine.PhasePaused:
		out.Power = Paused
	}
	return out, nil
}

func notRunning(row *serverRow, err error) error {
	if fail.Is(err, fail.Gone) || fail.Is(err, fail.Precondition) {
		return fail.New(fail.Precondition, "server %s does not run", row.Name).Then("start it: awan server start %s", row.ID)
	}
	return err
}
