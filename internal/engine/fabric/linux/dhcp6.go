package linux

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"golang.org/x/net/ipv6"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

var (
	dhcpServers = net.ParseIP("ff02::1:2")
	serverDUID  = &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: nearMAC}
)

// socket6 is a socket that hears a multicast group on taps that are told to it one by one.
type socket6 struct {
	io.Closer
	*ipv6.PacketConn
	joined map[int]bool
}

// join makes the socket hear a group on the interfaces.
func (c *socket6) join(group net.IP, indexes []int) error {
	for _, i := range indexes {
		if c.joined[i] {
			continue
		}
		if err := c.JoinGroup(&net.Interface{Index: i}, &net.IPAddr{IP: group}); err != nil {
			return err
		}
		c.joined[i] = true
	}
	return nil
}

func (c *socket6) Close() error { return c.Closer.Close() }

// serveDHCP6 answers DHCPv6 in a VPC.
func (e *Engine) serveDHCP6(vpc id.ID, s *space) (io.Closer, error) {
	conn, err := listenPacket(e.ctx, s, "udp6", "[::]:547", false)
	if err != nil {
		return nil, fmt.Errorf("listen for DHCPv6: %w", err)
	}
	c := &socket6{Closer: conn, PacketConn: ipv6.NewPacketConn(conn), joined: map[int]bool{}}
	if err := c.SetControlMessage(ipv6.FlagInterface, true); err != nil {
		_ = conn.Close()
		return nil, err
	}
	go func() {
		buf := make([]byte, 2048)
		for {
			n, cm, from, err := c.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil || cm == nil {
				continue
			}
			ask, err := dhcpv6.MessageFromBytes(buf[:n])
			if err != nil {
				continue
			}
			port, subnet, ok := e.plugged(vpc, s, cm.IfIndex)
			if !ok || !subnet.DHCP {
				continue
			}
			if answer := answer6(ask, port, subnet); answer != nil {
				_, _ = c.WriteTo(answer.ToBytes(), &ipv6.ControlMessage{IfIndex: cm.IfIndex}, from)
			}
		}
	}()
	return c, nil
}

// answer6 is what a port is told (RFC 8415); nil is silence.
func answer6(ask *dhcpv6.Message, port fabric.Port, s fabric.Subnet) *dhcpv6.Message {
	if sid := ask.Options.ServerID(); sid != nil && !sid.Equal(serverDUID) {
		return nil
	}
	var own netip.Addr
	for _, a := range port.Addresses {
		if a.Is6() {
			own = a
			break
		}
	}
	lease := s.Lease
	if lease <= 0 {
		lease = 24 * time.Hour
	}
	mods := []dhcpv6.Modifier{dhcpv6.WithServerID(serverDUID)}
	if ia := ask.Options.OneIANA(); ia != nil && ask.Type() != dhcpv6.MessageTypeInformationRequest && ask.Type() != dhcpv6.MessageTypeRelease {
		if !own.IsValid() {
			return nil
		}
		mods = append(mods, dhcpv6.WithOption(&dhcpv6.OptIANA{IaId: ia.IaId, T1: lease / 2, T2: lease / 8 * 7,
			Options: dhcpv6.IdentityOptions{Options: []dhcpv6.Option{&dhcpv6.OptIAAddress{IPv6Addr: own.AsSlice(), PreferredLifetime: lease, ValidLifetime: lease}}}}))
	}
	mods = append(mods, dhcpv6.WithDNS(six(s.DNS, s.Gateway6)...))
	if s.Domain != "" {
		mods = append(mods, dhcpv6.WithDomainSearchList(s.Domain))
	}
	var out *dhcpv6.Message
	var err error
	if ask.Type() == dhcpv6.MessageTypeSolicit && ask.GetOneOption(dhcpv6.OptionRapidCommit) == nil {
		out, err = dhcpv6.NewAdvertiseFromSolicit(ask, mods...)
	} else {
		out, err = dhcpv6.NewReplyFromMessage(ask, mods...)
	}
	if err != nil {
		return nil
	}
	return out
}

// six are the IPv6 addresses of a list, or else the one.
func six(list []netip.Addr, or netip.Addr) []net.IP {
	var out []net.IP
	for _, a := range list {
		if a.Is6() {
			out = append(out, a.AsSlice())
		}
	}
	if len(out) == 0 {
		out = append(out, or.AsSlice())
	}
	return out
}
