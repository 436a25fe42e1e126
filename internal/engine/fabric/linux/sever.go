package linux

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/fabric/reach"
)

// sever ends the connections that are no longer allowed: whoever sends in one of them is asked anew.
func (e *Engine) sever(s *space, v vpcView) error {
	families := []netlink.InetFamily{unix.AF_INET}
	if slices.ContainsFunc(v.want.Subnets, func(s fabric.Subnet) bool { return s.CIDR6.IsValid() }) {
		families = append(families, unix.AF_INET6)
	}
	if n, err := s.setting("netfilter/nf_conntrack_count"); err == nil && n == "0" {
		return nil // reading the table looks at that of the whole machine
	}
	for _, f := range families {
		if _, err := whole(func() (uint, error) { return s.flow.ConntrackDeleteFilters(netlink.ConntrackTable, f, judge{v}) }); err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return fmt.Errorf("end connections that are no longer allowed: %w", err)
		}
	}
	return nil
}

// judge picks the connections to end.
type judge struct{ vpcView }

// MatchConntrackFlow tells whether a connection has lost its right to be. An address of a subnet that is no port's has
// none.
func (j judge) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	from, to := addrOf(f.Forward.SrcIP), addrOf(f.Forward.DstIP)
	real, as := addrOf(f.Reverse.SrcIP), addrOf(f.Reverse.DstIP)
	p := reach.Packet{Protocol: protocolName(f.Forward.Protocol), From: from, To: real, Port: f.Reverse.SrcPort}
	switch f.Forward.Protocol {
	case unix.IPPROTO_ICMP:
		p.Type, p.Port = 8, 0 // what else ICMP tracks is as good as an echo
	case unix.IPPROTO_ICMPV6:
		p.Type, p.Port = 128, 0
	}
	if to != real { // the destination was changed: is it still so?
		asked := p
		asked.To, asked.Port = to, f.Forward.DstPort
		if now, ok := j.w.Translate(j.id, asked); !ok || now.Addr() != real || now.Port() != 0 && now.Port() != f.Reverse.SrcPort {
			return true
		}
	}
	if as != from {
		if now, ok := j.w.Outward(j.id, from); !ok || now.IsValid() && now != as || !now.IsValid() && as != j.w.links[j.id] {
			return true
		}
	}
	return !j.may(from, fabric.Egress, p) || !j.may(real, fabric.Ingress, p)
}

// may asks one end. What the cloud itself opens or answers needs no rule, as long as there is a port to it.
func (j judge) may(a netip.Addr, d fabric.Direction, p reach.Packet) bool {
	port := j.holder(a)
	if j.own(a) && port == "" {
		return true
	}
	if port == "" {
		return !slices.ContainsFunc(j.want.Subnets, func(s fabric.Subnet) bool {
			return s.CIDR.IsValid() && s.CIDR.Contains(a) || s.CIDR6.IsValid() && s.CIDR6.Contains(a)
		})
	}
	other := p.To
	if d == fabric.Ingress {
		other = p.From
	}
	if j.own(other) && j.holder(other) == "" {
		return d == fabric.Ingress || j.asksCloud(port, p)
	}
	ok, _, _ := j.w.Allows(port, d, p)
	return ok
}

// asksCloud is about what the cloud answers where none of its own ports is.
func (j judge) asksCloud(port id.ID, p reach.Packet) bool {
	if dhcp := p.Protocol == "udp" && (p.Port == 67 || p.Port == 547); dhcp || p.To == reach.Metadata && !j.w.Ports[port].Quarantine {
		return true
	}
	if !j.w.Ports[port].Quarantine && (p.Port == 53 || p.Protocol == "icmp" || p.Protocol == "icmpv6") {
		return true
	}
	ok, _, _ := j.w.Allows(port, fabric.Egress, p)
	return ok
}

// own tells whether the address is one of the cloud's ends in the VPC.
func (j judge) own(a netip.Addr) bool {
	return a == reach.Metadata || a == j.w.links[j.id] || slices.Contains(j.extra, a) || a.IsMulticast() || a.IsLinkLocalUnicast() ||
		a.IsUnspecified() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) ||
		slices.ContainsFunc(j.want.Subnets, func(s fabric.Subnet) bool { return s.Gateway == a || s.Gateway6 == a })
}

func protocolName(n uint8) string {
	switch n {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_ICMP:
		return "icmp"
	case unix.IPPROTO_ICMPV6:
		return "icmpv6"
	}
	return strconv.Itoa(int(n))
}
