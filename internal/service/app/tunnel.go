package app

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/awancloud/awan/internal/kernel/duplex"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// ForwardIn is a TCP connection to an instance.
type ForwardIn struct {
	Port     int    `json:"port" doc:"port of the instance; empty: the component's" min:"1" max:"65535"`
	Instance string `json:"instance" doc:"which instance: its id or the end of it; empty: a ready one"`
}

// serveForward carries one TCP connection: what the client sends as standard input goes to the instance, what comes back as
// standard output. Either side may end its half first.
func (s *Service) serveForward(ctx context.Context, row *componentRow, in any, st kind.Stream) error {
	q := in.(*ForwardIn)
	instance, err := pickInstance(row, q.Instance)
	if err != nil {
		return err
	}
	if st.Duplex == nil {
		return fail.New(fail.Invalid, "port-forward needs a two-way connection").Then("send Connection: Upgrade and Upgrade: awan-duplex over HTTP/1.1; awan port-forward does")
	}
	port := q.Port
	if port == 0 {
		port = row.Spec.Port
	}
	seen, err := s.Engine.Observe(ctx, instance)
	if err != nil {
		return err
	}
	target, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", netip.AddrPortFrom(seen.Address, uint16(port)).String())
	if err != nil {
		return fail.New(fail.Unavailable, "nothing answers on port %d of instance %s", port, short(instance)).Because(err).Then("see what it listens on: awan logs %s", row.Name)
	}
	defer target.Close()
	pipe, err := st.Duplex()
	if err != nil {
		return err
	}
	if err := duplex.Carry(ctx, pipe, target); err != nil {
		return fail.Wrap(err, fail.Unavailable, "the connection to the instance broke off")
	}
	return nil
}

// CopyIn names a folder of an instance.
type CopyIn struct {
	CopyOut
	Restart bool `json:"restart" doc:"start the program anew afterwards, with the files that the instance has now"`
}

// CopyOut names a place in an instance.
type CopyOut struct {
	Path     string `json:"path" doc:"absolute path in the instance; a folder to copy into" required:"true" max:"1024" example:"/srv/app"`
	Instance string `json:"instance" doc:"which instance: its id or the end of it; empty: a ready one"`
}

func (s *Service) serveCopyIn(ctx context.Context, row *componentRow, in any, st kind.Stream) error {
	q := in.(*CopyIn)
	instance, err := pickInstance(row, q.Instance)
	if err != nil {
		return err
	}
	if err := s.Engine.CopyIn(ctx, instance, q.Path, io.LimitReader(st.Body, MaxUpload)); err != nil {
		return err
	}
	if q.Restart {
		if err := s.startAnew(ctx, row, instance); err != nil {
			return err
		}
	}
	return st.Emit(map[string]any{"instance": instance})
}

// startAnew ends an instance's program and starts it again over the same files. The component's loop may do the second half
// first; starting what runs does nothing.
func (s *Service) startAnew(ctx context.Context, row *componentRow, instance id.ID) error {
	for _, in := range row.Status.Instances {
		if in.ID != instance {
			continue
		}
		w, err := s.want(ctx, row, in)
		if err != nil {
			return err
		}
		if err := s.Engine.Stop(ctx, instance, 2*time.Second); err != nil {
			return err
		}
		_, err = s.Engine.Ensure(ctx, instance, w)
		return err
	}
	return nil
}

func (s *Service) serveCopyOut(ctx context.Context, row *componentRow, in any, st kind.Stream) error {
	q := in.(*CopyOut)
	instance, err := pickInstance(row, q.Instance)
	if err != nil {
		return err
	}
	return s.Engine.CopyOut(ctx, instance, q.Path, &lateWriter{open: func() (io.Writer, error) { return st.Raw("application/x-tar") }})
}

// lateWriter opens what it writes to with the first byte: an error before that is then an answer of its own.
type lateWriter struct {
	open func() (io.Writer, error)
	w    io.Writer
}

func (l *lateWriter) Write(p []byte) (int, error) {
	if l.w == nil {
		w, err := l.open()
		if err != nil {
			return 0, err
		}
		l.w = w
	}
	return l.w.Write(p)
}
