package linux

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"
	"golang.org/x/net/ipv4"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/fabric/reach"
)

// serveDHCP answers DHCP in a VPC. Each tap leads to one machine, and only that machine sees the answer.
func (e *Engine) serveDHCP(vpc id.ID, s *space) (io.Closer, error) {
	conn, err := listenPacket(e.ctx, s, "udp4", ":67", true)
	if err != nil {
		return nil, fmt.Errorf("listen for DHCP: %w", err)
	}
	pc := ipv4.NewPacketConn(conn)
	if err := pc.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true); err != nil {
		_ = conn.Close()
		return nil, err
	}
	go func() {
		buf := make([]byte, 2048)
		for {
			n, cm, _, err := pc.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil || cm == nil {
				continue
			}
			ask, err := dhcpv4.FromBytes(buf[:n])
			if err != nil || ask.OpCode != dhcpv4.OpcodeBootRequest {
				continue
			}
			port, subnet, ok := e.plugged(vpc, s, cm.IfIndex)
			if !ok || !subnet.DHCP || ask.ClientHWAddr.String() != port.MAC.String() {
				continue
			}
			answer := answer4(ask, port, subnet, e.mtu)
			if answer == nil {
				continue
			}
			to := &net.UDPAddr{IP: net.IPv4bcast, Port: 68}
			if !ask.ClientIPAddr.IsUnspecified() && answer.MessageType() != dhcpv4.MessageTypeNak {
				to.IP = ask.ClientIPAddr
			}
			_, err = pc.WriteTo(answer.ToBytes(), &ipv4.ControlMessage{IfIndex: cm.IfIndex, Src: subnet.Gateway.AsSlice()}, to)
			if err != nil && !errors.Is(err, net.ErrClosed) {
				e.log.Warn("a DHCP answer could not be sent", "vpc", vpc, "error", err)
			}
		}
	}()
	return conn, nil
}

// plugged is the port whose tap has the index.
func (e *Engine) plugged(vpc id.ID, s *space, index int) (fabric.Port, fabric.Subnet, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return fabric.Port{}, fabric.Subnet{}, false
	}
	l, err := s.link.LinkByIndex(index)
	if err != nil {
		return fabric.Port{}, fabric.Subnet{}, false
	}
	for name, p := range e.w.Ports {
		if p.VPC == vpc && tapName(name) == l.Attrs().Name {
			return p, e.view(vpc).subnet(p.Subnet), true
		}
	}
	return fabric.Port{}, fabric.Subnet{}, false
}

// answer4 is what a port is told (RFC 2131); nil is silence.
func answer4(ask *dhcpv4.DHCPv4, port fabric.Port, s fabric.Subnet, mtu int) *dhcpv4.DHCPv4 {
	var own netip.Addr
	for _, a := range port.Addresses {
		if a.Is4() {
			own = a
			break
		}
	}
	if !own.IsValid() || !s.CIDR.IsValid() {
		return nil
	}
	var kind dhcpv4.MessageType
	switch ask.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeRequest:
		if id := ask.ServerIdentifier(); id != nil && !id.IsUnspecified() && addrOf(id) != s.Gateway {
			return nil // it chose another server's offer
		}
		wish := addrOf(ask.RequestedIPAddress())
		if !wish.IsValid() || wish.IsUnspecified() {
			wish = addrOf(ask.ClientIPAddr)
		}
		kind = dhcpv4.MessageTypeAck
		if wish != own {
			kind = dhcpv4.MessageTypeNak
		}
	case dhcpv4.MessageTypeInform:
		kind = dhcpv4.MessageTypeAck
	default:
		return nil
	}
	gateway := net.IP(s.Gateway.AsSlice())
	out, err := dhcpv4.NewReplyFromRequest(ask, dhcpv4.WithMessageType(kind), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(gateway)))
	if err != nil {
		return nil
	}
	if kind == dhcpv4.MessageTypeNak {
		return out
	}
	if ask.MessageType() != dhcpv4.MessageTypeInform {
		lease := s.Lease
		if lease <= 0 {
			lease = 24 * time.Hour
		}
		out.YourIPAddr = own.AsSlice()
		out.UpdateOption(dhcpv4.OptIPAddressLeaseTime(lease))
		out.UpdateOption(dhcpv4.OptRenewTimeValue(lease / 2))
		out.UpdateOption(dhcpv4.OptRebindingTimeValue(lease / 8 * 7))
	}
	out.ServerIPAddr = gateway
	out.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(s.CIDR.Bits(), 32)))
	out.UpdateOption(dhcpv4.OptRouter(gateway))
	// Who understands classless routes ignores the router above (RFC 3442), so the default is here too.
	out.UpdateOption(dhcpv4.OptClasslessStaticRoute(
		&dhcpv4.Route{Dest: ipNet(hostPrefix(reach.Metadata)), Router: gateway},
		&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, Router: gateway}))
	if names := four(s.DNS); len(names) > 0 {
		out.UpdateOption(dhcpv4.OptDNS(names...))
	} else {
		out.UpdateOption(dhcpv4.OptDNS(gateway))
	}
	if clocks := four(s.NTP); len(clocks) > 0 {
		out.UpdateOption(dhcpv4.OptNTPServers(clocks...))
	}
	if s.MTU > 0 {
		mtu = min(mtu, s.MTU)
	}
	out.UpdateOption(dhcpv4.Option{Code: dhcpv4.OptionInterfaceMTU, Value: dhcpv4.Uint16(uint16(mtu))})
	out.UpdateOption(dhcpv4.OptBroadcastAddress(lastOf(s.CIDR).AsSlice()))
	if s.Domain != "" {
		out.UpdateOption(dhcpv4.OptDomainName(s.Domain))
		out.UpdateOption(dhcpv4.OptDomainSearch(&rfc1035label.Labels{Labels: []string{s.Domain}}))
	}
	if port.Hostname != "" {
		out.UpdateOption(dhcpv4.OptHostName(port.Hostname))
	}
	return out
}

func four(list []netip.Addr) []net.IP {
	var out []net.IP
	for _, a := range list {
		if a.Is4() {
			out = append(out, a.AsSlice())
		}
	}
	return out
}
