package linux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/mdlayher/ndp"
	"golang.org/x/net/ipv6"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

const (
	advertised      = 5 * time.Minute  // how often a router tells of itself unasked
	routerLifetime  = 30 * time.Minute // how long it is believed, also while awan is down
	allNodes        = "ff02::1"
	addressLifetime = 24 * time.Hour
)

// advertiser announces the gateway of IPv6 subnets to the machines.
type advertiser struct {
	*socket6
	stop context.CancelFunc
}

func (a *advertiser) Close() error {
	a.stop()
	return a.socket6.Close()
}

// advertise answers the machines' questions for a router, tells of it now and then, and hears who announces an allowed
// address as its own.
func (e *Engine) advertise(vpc id.ID, s *space) (io.Closer, error) {
	conn, err := listenPacket(e.ctx, s, "ip6:ipv6-icmp", "::", false)
	if err != nil {
		return nil, fmt.Errorf("listen for machines that look for a router: %w", err)
	}
	ctx, stop := context.WithCancel(e.ctx)
	a := &advertiser{&socket6{Closer: conn, PacketConn: ipv6.NewPacketConn(conn), joined: map[int]bool{}}, stop}
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(ipv6.ICMPTypeRouterSolicitation)
	filter.Accept(ipv6.ICMPTypeNeighborAdvertisement)
	if err := errors.Join(a.SetICMPFilter(&filter), a.SetControlMessage(ipv6.FlagInterface|ipv6.FlagHopLimit, true), a.SetMulticastHopLimit(255)); err != nil {
		_ = a.Close()
		return nil, err
	}
	go func() {
		t := time.NewTicker(advertised)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				for _, index := range e.tapIndexes(vpc, s) {
					e.announce(vpc, s, a, index)
				}
			}
		}
	}()
	go func() {
		buf := make([]byte, 2048)
		for {
			n, cm, _, err := a.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil || cm == nil || cm.HopLimit != 255 {
				continue
			}
			m, err := ndp.ParseMessage(buf[:n])
			if err != nil {
				continue
			}
			switch m := m.(type) {
			case *ndp.RouterSolicitation:
				e.announce(vpc, s, a, cm.IfIndex)
			case *ndp.NeighborAdvertisement:
				for _, o := range m.Options {
					if l, ok := o.(*ndp.LinkLayerAddress); ok {
						e.inherit(vpc, s, cm.IfIndex, m.TargetAddress, l.Addr)
					}
				}
			}
		}
	}()
	return a, nil
}

// announce tells one machine of its router.
func (e *Engine) announce(vpc id.ID, s *space, a *advertiser, index int) {
	port, subnet, ok := e.plugged(vpc, s, index)
	if !ok || !subnet.CIDR6.IsValid() || !subnet.DHCP {
		return
	}
	b, err := ndp.MarshalMessage(announcement(port, subnet, e.mtu))
	if err != nil {
		return
	}
	_, _ = a.WriteTo(b, &ipv6.ControlMessage{IfIndex: index, HopLimit: 255}, &net.IPAddr{IP: net.ParseIP(allNodes)})
}

// announcement says that everything, the subnet's other machines too, is behind the router. A machine whose address is
// the one it would form itself (EUI-64) may do so; others learn theirs by DHCPv6.
func announcement(port fabric.Port, s fabric.Subnet, mtu int) *ndp.RouterAdvertisement {
	own := netip.Addr{}
	for _, a := range port.Addresses {
		if a.Is6() {
			own = a
		}
	}
	if s.MTU > 0 {
		mtu = min(mtu, s.MTU)
	}
	var names []netip.Addr
	for _, ip := range six(s.DNS, s.Gateway6) {
		names = append(names, addrOf(ip))
	}
	out := &ndp.RouterAdvertisement{CurrentHopLimit: 64, ManagedConfiguration: true, OtherConfiguration: true, RouterLifetime: routerLifetime,
		Options: []ndp.Option{
			&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: nearMAC},
			ndp.NewMTU(uint32(mtu)),
			&ndp.PrefixInformation{PrefixLength: uint8(s.CIDR6.Bits()), Prefix: s.CIDR6.Addr(), ValidLifetime: addressLifetime, PreferredLifetime: addressLifetime,
				AutonomousAddressConfiguration: s.CIDR6.Bits() == 64 && own == eui64(s.CIDR6, port.MAC)},
			&ndp.RecursiveDNSServer{Lifetime: routerLifetime, Servers: names},
		}}
	if s.Domain != "" {
		out.Options = append(out.Options, &ndp.DNSSearchList{Lifetime: routerLifetime, DomainNames: []string{s.Domain}})
	}
	return out
}

// eui64 is the address that a station forms of its MAC (RFC 4291, appendix A).
func eui64(p netip.Prefix, mac net.HardwareAddr) netip.Addr {
	b := p.Addr().As16()
	copy(b[8:], []byte{mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
	return netip.AddrFrom16(b)
}

func (e *Engine) tapIndexes(vpc id.ID, s *space) []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	return e.indexes(vpc, s)
}

func (e *Engine) indexes(vpc id.ID, s *space) []int {
	var out []int
	links, err := s.links()
	if err != nil {
		return nil
	}
	for name, p := range e.w.Ports {
		if l := links[tapName(name)]; p.VPC == vpc && !p.Down && l != nil {
			out = append(out, l.Attrs().Index)
		}
	}
	return out
}
