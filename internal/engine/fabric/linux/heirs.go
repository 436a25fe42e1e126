package linux

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/mdlayher/socket"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/id"
)

// overhear reads the ARP of a VPC's machines: who announces an address that several ports are allowed gets it from then on.
func (e *Engine) overhear(vpc id.ID, s *space) (io.Closer, error) {
	arp := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ARP))
	c, err := socket.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, int(arp), "awan-arp", &socket.Config{NetNS: int(s.fd)})
	if err != nil {
		return nil, fmt.Errorf("listen for announced addresses: %w", err)
	}
	ctx, stop := context.WithCancel(e.ctx)
	go func() {
		buf := make([]byte, 128)
		for {
			n, from, err := c.Recvfrom(ctx, buf, 0)
			if err != nil {
				return // closed
			}
			at, ok := from.(*unix.SockaddrLinklayer)
			if !ok || n < 28 || binary.BigEndian.Uint16(buf) != 1 || binary.BigEndian.Uint16(buf[2:]) != unix.ETH_P_IP || at.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			if from, to := [4]byte(buf[14:18]), [4]byte(buf[24:28]); from == to { // not every question, but an announcement (RFC 5227)
				e.inherit(vpc, s, at.Ifindex, netip.AddrFrom4(from), net.HardwareAddr(buf[8:14]))
			}
		}
	}()
	return closer(func() error { stop(); return c.Close() }), nil
}

type closer func() error

func (c closer) Close() error { return c() }

// inherit gives an allowed address to the port that announced it, if it is its to have.
func (e *Engine) inherit(vpc id.ID, s *space, index int, a netip.Addr, mac net.HardwareAddr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	contested := false
	for _, p := range e.w.Ports {
		for _, pair := range p.Allowed {
			contested = contested || p.VPC == vpc && pair.Prefix == hostPrefix(a)
		}
	}
	if !contested {
		return
	}
	l, err := s.link.LinkByIndex(index)
	if err != nil {
		return
	}
	for name, p := range e.w.Ports {
		if p.VPC != vpc || p.Down || tapName(name) != l.Attrs().Name {
			continue
		}
		for _, pair := range p.Allowed {
			own := p.MAC
			if pair.MAC != nil {
				own = pair.MAC
			}
			before := e.view(vpc).holder(a)
			if pair.Prefix != hostPrefix(a) || own.String() != mac.String() || before == name {
				continue
			}
			e.w.heirs[heir{vpc, a}] = name
			if before != "" {
				err = e.w.keepPort(before)
			}
			if err == nil {
				err = e.w.keepPort(name)
			}
			if err == nil {
				err = e.refresh(vpc)
			}
			if err != nil {
				e.log.Error("an address could not move to the port that announced it", "address", a, "port", name, "error", err)
			}
			return
		}
	}
}
