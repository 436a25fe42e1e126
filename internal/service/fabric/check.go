package fabric

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// inner are addresses that engines use between a VPC and the outside. No subnet may have them.
var inner = netip.MustParsePrefix("240.0.0.0/4")

// Check says what no engine can make of a VPC.
func (v VPC) Check() error {
	var taken []netip.Prefix
	for i, s := range v.Subnets {
		at := fmt.Sprintf("subnets.%d.", i)
		if s.ID == "" {
			return fail.Field(at+"id", "a subnet needs an id")
		}
		if !s.CIDR.IsValid() && !s.CIDR6.IsValid() {
			return fail.Field(at+"cidr", "a subnet needs a range of addresses")
		}
		for _, r := range []struct {
			field   string
			cidr    netip.Prefix
			gateway netip.Addr
			four    bool
		}{{"cidr", s.CIDR, s.Gateway, true}, {"cidr6", s.CIDR6, s.Gateway6, false}} {
			if !r.cidr.IsValid() {
				continue
			}
			if r.cidr.Addr().Is4() != r.four || r.cidr != r.cidr.Masked() {
				return fail.Field(at+r.field, "%s is no range of this family that begins at its first address", r.cidr)
			}
			if r.cidr.Overlaps(inner) || r.cidr.Addr().IsMulticast() || r.cidr.Addr().IsLoopback() || r.cidr.Addr().IsLinkLocalUnicast() {
				return fail.Field(at+r.field, "%s is not for networks", r.cidr)
			}
			if !r.cidr.Contains(r.gateway) {
				return fail.Field(at+"gateway", "the gateway %s is not in %s", r.gateway, r.cidr)
			}
			for _, t := range taken {
				if t.Overlaps(r.cidr) {
					return fail.Field(at+r.field, "%s overlaps %s of another subnet", r.cidr, t)
				}
			}
			taken = append(taken, r.cidr)
		}
		if s.MTU != 0 && (s.MTU < 576 || s.MTU > 9000) {
			return fail.Field(at+"mtu", "an MTU is 576 to 9000 bytes")
		}
	}
	for i, r := range v.Routes {
		if !r.To.IsValid() || r.To.Addr().Is4() != r.Via.Is4() {
			return fail.Field(fmt.Sprintf("routes.%d", i), "a route needs a destination and a next hop of one family")
		}
		if v.covers(r.To) {
			return fail.Field(fmt.Sprintf("routes.%d.to", i), "%s is inside one of the subnets", r.To)
		}
	}
	for i, p := range v.Peers {
		for _, x := range p.Prefixes {
			if !x.IsValid() || v.covers(x) {
				return fail.Field(fmt.Sprintf("peers.%d.prefixes", i), "%s is inside one of the subnets", x)
			}
		}
	}
	for i, n := range v.NAT {
		if len(n.From) == 0 {
			return fail.Field(fmt.Sprintf("nat.%d.from", i), "say whose addresses are translated")
		}
	}
	for i, f := range v.Forward {
		if f.Protocol != "tcp" && f.Protocol != "udp" {
			return fail.Field(fmt.Sprintf("forward.%d.protocol", i), "only tcp and udp have ports to forward")
		}
		if !f.Public.IsValid() || !f.To.IsValid() || f.Public.Addr().Is4() != f.To.Addr().Is4() {
			return fail.Field(fmt.Sprintf("forward.%d", i), "both ends need an address and a port of one family")
		}
	}
	return nil
}

// covers tells whether a range is a part of one of the subnets.
func (v VPC) covers(p netip.Prefix) bool {
	for _, s := range v.Subnets {
		for _, r := range []netip.Prefix{s.CIDR, s.CIDR6} {
			if r.IsValid() && r.Bits() <= p.Bits() && r.Overlaps(p) {
				return true
			}
		}
	}
	return false
}

// Check says what no engine can make of a group.
func (g Group) Check() error {
	for i, r := range g.Rules {
		at := fmt.Sprintf("rules.%d.", i)
		if r.Direction != Ingress && r.Direction != Egress {
			return fail.Field(at+"direction", "a rule is for ingress or egress")
		}
		n, err := r.Number()
		if err != nil {
			return fail.Field(at+"protocol", "%s is no protocol; name tcp, udp, icmp, icmpv6 or a number below 256", r.Protocol)
		}
		if len(r.Ports) > 0 && !HasPorts(n) {
			return fail.Field(at+"ports", "only tcp, udp, sctp, dccp and udplite have ports")
		}
		for _, p := range r.Ports {
			if p.From > p.To {
				return fail.Field(at+"ports", "a range of ports ends after it begins, not %d–%d", p.From, p.To)
			}
		}
		for _, p := range r.Remote {
			if !p.IsValid() || p.Addr().Is4() == r.IPv6 {
				return fail.Field(at+"remote", "%s is not of the rule's family", p)
			}
		}
	}
	return nil
}

// Number is the protocol's number by IANA, -1 for any. ICMP is ICMPv6 in a rule for IPv6.
func (r Rule) Number() (int, error) {
	switch r.Protocol {
	case "", "any":
		return -1, nil
	case "icmp", "icmpv6":
		if r.IPv6 {
			return 58, nil
		}
		return 1, nil
	}
	return ProtocolNumber(r.Protocol)
}

// ProtocolNumber gives a protocol's number by IANA.
func ProtocolNumber(name string) (int, error) {
	switch name {
	case "icmp":
		return 1, nil
	case "tcp":
		return 6, nil
	case "udp":
		return 17, nil
	case "icmpv6":
		return 58, nil
	}
	n, err := strconv.ParseUint(name, 10, 8)
	return int(n), err
}

// HasPorts tells whether a protocol has ports where TCP has them.
func HasPorts(number int) bool {
	switch number {
	case 6, 17, 33, 132, 136:
		return true
	}
	return false
}

// Check says what no engine can make of a port. It does not look at other ports.
func (p Port) Check() error {
	if len(p.MAC) != 6 || p.MAC[0]&1 != 0 || p.MAC.String() == "00:00:00:00:00:00" {
		return fail.Field("mac", "a port needs the MAC address of one station, six bytes")
	}
	for i, a := range p.Addresses {
		if !a.IsValid() || a.IsMulticast() || a.IsUnspecified() || a.Is4In6() {
			return fail.Field(fmt.Sprintf("addresses.%d", i), "%s is no address of one station", a)
		}
	}
	if p.Own && (len(p.Allowed) > 0 || p.Open) {
		return fail.Field("own", "a port of the cloud's own sends as itself only, and is checked")
	}
	for i, a := range p.Allowed {
		if !a.Prefix.IsValid() || a.MAC != nil && len(a.MAC) != 6 {
			return fail.Field(fmt.Sprintf("allowed.%d", i), "an allowed source is a range and, if not the port's, a MAC address")
		}
	}
	for i, u := range p.Public {
		at := fmt.Sprintf("public.%d", i)
		if !u.Address.IsValid() || u.Address.IsMulticast() || u.Address.IsUnspecified() || u.Address.IsLoopback() {
			return fail.Field(at+".address", "%s cannot be a public address", u.Address)
		}
		if !p.PublicTo(u).IsValid() {
			return fail.Field(at+".to", "the port has no such address of the family of %s", u.Address)
		}
	}
	if p.MaxMbit < 0 || p.Queues < 0 {
		return fail.Field("max_mbit", "limits are not negative")
	}
	return nil
}

// PublicTo is the port's address that a public address leads to.
func (p Port) PublicTo(u Public) netip.Addr {
	for _, a := range p.Addresses {
		if a.Is4() == u.Address.Is4() && (!u.To.IsValid() || u.To == a) {
			return a
		}
	}
	return netip.Addr{}
}
