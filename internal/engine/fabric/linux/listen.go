package linux

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// listening are the addresses at which somebody listens in a VPC, beside its gateways'.
func (e *Engine) listening(vpc id.ID) []netip.Addr {
	var out []netip.Addr
	for a := range e.ends[vpc] {
		out = append(out, a)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// Listen implements fabric.Engine.
func (e *Engine) Listen(ctx context.Context, vpc id.ID, addr netip.AddrPort) (net.Listener, error) {
	s, leave, err := e.settle(vpc, addr.Addr())
	if err != nil {
		return nil, err
	}
	var l net.Listener
	err = s.run(func() (err error) {
		var c net.ListenConfig
		l, err = c.Listen(ctx, "tcp", addr.String())
		return err
	})
	if err != nil {
		leave()
		return nil, listenError(err, addr)
	}
	return &listener{Listener: l, leave: leave}, nil
}

// ListenPacket implements fabric.Engine.
func (e *Engine) ListenPacket(ctx context.Context, vpc id.ID, addr netip.AddrPort) (net.PacketConn, error) {
	s, leave, err := e.settle(vpc, addr.Addr())
	if err != nil {
		return nil, err
	}
	c, err := listenPacket(ctx, s, "udp", addr.String(), false)
	if err != nil {
		leave()
		return nil, listenError(err, addr)
	}
	return &packetConn{UDPConn: c.(*net.UDPConn), leave: leave}, nil
}

func listenError(err error, addr netip.AddrPort) error {
	return fail.Wrap(err, fail.Conflict, "cannot listen at %s", addr)
}

// Dial implements fabric.Engine.
func (e *Engine) Dial(ctx context.Context, vpc id.ID, network string, addr netip.AddrPort) (net.Conn, error) {
	unlock, err := e.lock()
	if err != nil {
		return nil, err
	}
	s, err := e.inhabited(vpc)
	unlock()
	if err != nil {
		return nil, err
	}
	return s.dial(ctx, &net.Dialer{FallbackDelay: -1}, network, addr)
}

// dial connects with a socket of the namespace. d has no FallbackDelay: one address, no second thread that would be in
// another namespace.
func (s *space) dial(ctx context.Context, d *net.Dialer, network string, addr netip.AddrPort) (c net.Conn, err error) {
	err = s.run(func() (err error) {
		c, err = d.DialContext(ctx, network, addr.String())
		return err
	})
	if err != nil {
		return nil, fail.Wrap(err, fail.Unavailable, "%s does not answer", addr)
	}
	return c, nil
}

// DialFrom implements fabric.Engine.
func (e *Engine) DialFrom(ctx context.Context, port id.ID, network string, addr netip.AddrPort) (net.Conn, error) {
	unlock, err := e.lock()
	if err != nil {
		return nil, err
	}
	p, there := e.w.Ports[port]
	var s *space
	if there {
		s, err = e.inhabited(p.VPC)
	}
	unlock()
	from := firstOf(p, addr.Addr().Is4())
	switch {
	case !there:
		return nil, fail.New(fail.Gone, "there is no port %s", port)
	case !p.Own:
		return nil, fail.New(fail.Precondition, "the port %s is not the cloud's own", port)
	case err != nil:
		return nil, err
	case !from.IsValid():
		return nil, fail.New(fail.Unavailable, "the port has no address of the family of %s", addr.Addr())
	}
	d := net.Dialer{FallbackDelay: -1, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	if strings.HasPrefix(network, "udp") {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return s.dial(ctx, &d, network, addr)
}

func firstOf(p fabric.Port, four bool) netip.Addr {
	for _, a := range p.Addresses {
		if a.Is4() == four {
			return a
		}
	}
	return netip.Addr{}
}

func (e *Engine) inhabited(vpc id.ID) (*space, error) {
	if _, ok := e.w.VPCs[vpc]; !ok {
		return nil, fail.New(fail.Gone, "there is no VPC %s", vpc)
	}
	s, err := e.space(e.vpcSpace(vpc))
	if err != nil {
		return nil, fail.New(fail.Gone, "the VPC's namespace is gone").Because(err)
	}
	return s, nil
}

// settle adds an address to a VPC for as long as somebody listens there; leave takes it away again with the last one.
func (e *Engine) settle(vpc id.ID, a netip.Addr) (*space, func(), error) {
	unlock, err := e.lock()
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	s, err := e.inhabited(vpc)
	if err != nil {
		return nil, nil, err
	}
	if !a.IsValid() || a.IsUnspecified() {
		return nil, nil, fail.Field("address", "listen at one address of the VPC, not at all of them")
	}
	holder := e.view(vpc).holder(a)
	if holder != "" && !e.w.Ports[holder].Own {
		return nil, nil, fail.New(fail.Conflict, "the port %s has %s", holder, a)
	}
	if e.ends[vpc] == nil {
		e.ends[vpc] = map[netip.Addr]int{}
	}
	e.ends[vpc][a]++
	var once sync.Once
	leave := func() {
		once.Do(func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.ends[vpc][a]--; e.ends[vpc][a] <= 0 {
				delete(e.ends[vpc], a)
				if _, there := e.w.VPCs[vpc]; there && !e.closed && e.view(vpc).holder(a) == "" {
					if err := e.refresh(vpc); err != nil {
						e.log.Warn("an address that nobody listens at any more could not be removed", "vpc", vpc, "address", a, "error", err)
					}
				}
			}
		})
	}
	if e.ends[vpc][a] == 1 && holder == "" {
		if err := e.refresh(vpc); err != nil {
			e.ends[vpc][a]--
			delete(e.ends[vpc], a)
			return nil, nil, internal(err, "cannot add the address %s", a)
		}
	}
	return s, leave, nil
}

type listener struct {
	net.Listener
	leave func()
}

func (l *listener) Close() error {
	err := l.Listener.Close()
	l.leave()
	return err
}

type packetConn struct {
	*net.UDPConn
	leave func()
}

func (c *packetConn) Close() error {
	err := c.UDPConn.Close()
	c.leave()
	return err
}

func listenPacket(ctx context.Context, s *space, network, addr string, broadcast bool) (net.PacketConn, error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if broadcast {
			if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1) }); e != nil {
				return e
			}
		}
		return err
	}}
	var out net.PacketConn
	err := s.run(func() (err error) {
		out, err = c.ListenPacket(ctx, network, addr)
		return err
	})
	return out, err
}
