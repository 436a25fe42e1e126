package sim

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/fabric/reach"
)

func now() time.Time { return time.Now() }

// end is where somebody listens in a VPC.
type end struct {
	vpc  id.ID
	addr netip.AddrPort
}

// Listen implements fabric.Engine.
func (e *Engine) Listen(ctx context.Context, vpc id.ID, addr netip.AddrPort) (net.Listener, error) {
	var l *listener
	err := e.do(ctx, "Listen", vpc, func() error {
		at, err := e.place(vpc, addr, "tcp")
		if err != nil {
			return err
		}
		l = &listener{e: e, at: at, calls: make(chan net.Conn, 128), done: make(chan struct{})}
		e.ends[at] = l
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// ListenPacket implements fabric.Engine.
func (e *Engine) ListenPacket(ctx context.Context, vpc id.ID, addr netip.AddrPort) (net.PacketConn, error) {
	var c *packetConn
	err := e.do(ctx, "ListenPacket", vpc, func() error {
		at, err := e.place(vpc, addr, "udp")
		if err != nil {
			return err
		}
		c = e.packetEnd(at)
		e.packets[at] = c
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// place is a free place to listen at.
func (e *Engine) place(vpc id.ID, addr netip.AddrPort, network string) (end, error) {
	if _, ok := e.world.VPCs[vpc]; !ok {
		return end{}, fail.New(fail.Gone, "there is no VPC %s", vpc)
	}
	if !addr.Addr().IsValid() || addr.Addr().IsUnspecified() {
		return end{}, fail.Field("address", "listen at one address of the VPC, not at all of them")
	}
	if holder := e.world.Holder(vpc, addr.Addr()); holder != "" && !e.world.Ports[holder].Own {
		return end{}, fail.New(fail.Conflict, "the port %s has %s", holder, addr.Addr())
	}
	if addr.Port() == 0 {
		e.next++
		addr = netip.AddrPortFrom(addr.Addr(), e.next)
	}
	at := end{vpc, addr}
	if network == "tcp" && e.ends[at] != nil || network == "udp" && e.packets[at] != nil {
		return end{}, fail.New(fail.Conflict, "cannot listen at %s: somebody does", addr)
	}
	return at, nil
}

// Dial implements fabric.Engine. It reaches what the cloud itself listens at in the VPC; there are no machines to answer.
func (e *Engine) Dial(ctx context.Context, vpc id.ID, network string, addr netip.AddrPort) (net.Conn, error) {
	var c net.Conn
	err := e.do(ctx, "Dial", vpc, func() error {
		v, ok := e.world.VPCs[vpc]
		if !ok {
			return fail.New(fail.Gone, "there is no VPC %s", vpc)
		}
		from := addr.Addr()
		i := slices.IndexFunc(v.Subnets, func(s fabric.Subnet) bool { return s.Gateway.IsValid() && s.Gateway.Is4() == from.Is4() })
		if i >= 0 {
			from = v.Subnets[i].Gateway
		}
		var err error
		c, err = e.connect(vpc, from, network, addr)
		return err
	})
	return c, err
}

// DialFrom implements fabric.Engine. It also connects as a machine would, from a port if its rules allow it: that stands for
// the server's side of a call to the metadata service, DNS or a load balancer.
func (e *Engine) DialFrom(ctx context.Context, port id.ID, network string, addr netip.AddrPort) (net.Conn, error) {
	var c net.Conn
	err := e.do(ctx, "DialFrom", port, func() error {
		p, ok := e.world.Ports[port]
		if !ok {
			return fail.New(fail.Gone, "there is no port %s", port)
		}
		i := slices.IndexFunc(p.Addresses, func(a netip.Addr) bool { return a.Is4() == addr.Addr().Is4() })
		if i < 0 {
			return fail.New(fail.Unavailable, "the port has no address of that family")
		}
		if p.Own {
			if holder := e.world.Holder(p.VPC, addr.Addr()); holder != "" || addr.Addr() == reach.Metadata {
				if v := e.world.Send(port, reach.Packet{Protocol: strings.TrimRight(network, "46"), To: addr.Addr(), Port: addr.Port()}); !v.Passes {
					return fail.New(fail.Unavailable, "%s does not answer: %s", addr, v.Why)
				}
			}
		} else if addr.Addr() != reach.Metadata && (addr.Port() != 53 || p.Quarantine) || p.Quarantine || p.Down {
			ok, why, _ := e.world.Allows(port, fabric.Egress, reach.Packet{Protocol: strings.TrimRight(network, "46"), From: p.Addresses[i], To: addr.Addr(), Port: addr.Port()})
			if !ok {
				return fail.New(fail.Unavailable, "%s does not answer: %s", addr, why)
			}
		}
		var err error
		c, err = e.connect(p.VPC, p.Addresses[i], network, addr)
		return err
	})
	return c, err
}

func (e *Engine) connect(vpc id.ID, from netip.Addr, network string, addr netip.AddrPort) (net.Conn, error) {
	e.next++
	own := netip.AddrPortFrom(from, e.next)
	at := end{vpc, addr}
	if strings.HasPrefix(network, "udp") {
		to := e.packets[at]
		if to == nil {
			return nil, fail.New(fail.Unavailable, "%s does not answer: nobody listens there", addr)
		}
		c := e.packetEnd(end{vpc, own})
		e.packets[c.at] = c
		return &packetDial{packetConn: c, to: net.UDPAddrFromAddrPort(addr)}, nil
	}
	l := e.ends[at]
	if l == nil {
		return nil, fail.New(fail.Unavailable, "%s does not answer: nobody listens there", addr)
	}
	near, far := net.Pipe()
	a, b := net.TCPAddrFromAddrPort(own), net.TCPAddrFromAddrPort(addr)
	select {
	case l.calls <- conn{far, b, a}:
		return conn{near, a, b}, nil
	default:
		return nil, fail.New(fail.Unavailable, "%s does not answer: too many wait there", addr)
	}
}

// hangUp ends everything that listens in a VPC.
func (e *Engine) hangUp(vpc id.ID) {
	for at, l := range e.ends {
		if at.vpc == vpc {
			l.end()
			delete(e.ends, at)
		}
	}
	for at, c := range e.packets {
		if at.vpc == vpc {
			c.end()
			delete(e.packets, at)
		}
	}
}

type conn struct {
	net.Conn
	local, remote net.Addr
}

func (c conn) LocalAddr() net.Addr  { return c.local }
func (c conn) RemoteAddr() net.Addr { return c.remote }

type listener struct {
	e     *Engine
	at    end
	calls chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.calls:
		return c, nil
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
}

func (l *listener) end() { l.once.Do(func() { close(l.done) }) }

func (l *listener) Close() error {
	l.end()
	l.e.mu.Lock()
	defer l.e.mu.Unlock()
	if l.e.ends[l.at] == l {
		delete(l.e.ends, l.at)
	}
	return nil
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at.addr) }

type datagram struct {
	from netip.AddrPort
	data []byte
}

type packetConn struct {
	e    *Engine
	at   end
	in   chan datagram
	once sync.Once
	done chan struct{}

	mu       sync.Mutex
	deadline time.Time
}

func (e *Engine) packetEnd(at end) *packetConn {
	return &packetConn{e: e, at: at, in: make(chan datagram, 256), done: make(chan struct{})}
}

func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	c.mu.Lock()
	deadline := c.deadline
	c.mu.Unlock()
	var late <-chan time.Time
	if !deadline.IsZero() {
		t := time.NewTimer(time.Until(deadline))
		defer t.Stop()
		late = t.C
	}
	select {
	case d := <-c.in:
		return copy(b, d.data), net.UDPAddrFromAddrPort(d.from), nil
	case <-c.done:
		return 0, nil, &net.OpError{Op: "read", Net: "udp", Addr: c.LocalAddr(), Err: net.ErrClosed}
	case <-late:
		return 0, nil, &net.OpError{Op: "read", Net: "udp", Addr: c.LocalAddr(), Err: os.ErrDeadlineExceeded}
	}
}

func (c *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	a, err := netip.ParseAddrPort(to.String())
	if err != nil {
		return 0, err
	}
	c.e.mu.Lock()
	other := c.e.packets[end{c.at.vpc, a}]
	c.e.mu.Unlock()
	if other != nil {
		select {
		case other.in <- datagram{c.at.addr, slices.Clone(b)}:
		default: // a full queue loses packets
		}
	}
	return len(b), nil
}

func (c *packetConn) end() { c.once.Do(func() { close(c.done) }) }

func (c *packetConn) Close() error {
	c.end()
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	if c.e.packets[c.at] == c {
		delete(c.e.packets, c.at)
	}
	return nil
}

func (c *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.at.addr) }

func (c *packetConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *packetConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return nil
}

func (c *packetConn) SetWriteDeadline(time.Time) error { return nil }

// packetDial is a packetConn that talks to one other.
type packetDial struct {
	*packetConn
	to net.Addr
}

func (c *packetDial) Read(b []byte) (int, error) {
	n, _, err := c.ReadFrom(b)
	return n, err
}

func (c *packetDial) Write(b []byte) (int, error) { return c.WriteTo(b, c.to) }
func (c *packetDial) RemoteAddr() net.Addr        { return c.to }
