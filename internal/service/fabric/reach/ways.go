package reach

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// Translate is what happens to a packet for a public address that the VPC has: forwarded ports first, then whole addresses.
func (w World) Translate(vpc id.ID, p Packet) (netip.AddrPort, bool) {
	for _, f := range w.VPCs[vpc].Forward {
		if f.Protocol == p.Protocol && f.Public == netip.AddrPortFrom(p.To, p.Port) {
			return f.To, true
		}
	}
	for _, name := range sorted(w.Ports) {
		port := w.Ports[name]
		if port.VPC != vpc {
			continue
		}
		for _, u := range port.Public {
			if u.Address == p.To {
				return netip.AddrPortFrom(port.PublicTo(u), 0), true
			}
		}
	}
	return netip.AddrPort{}, false
}

// Outward is the address as which a source goes out of its VPC. The zero address with ok is the machine's.
func (w World) Outward(vpc id.ID, src netip.Addr) (netip.Addr, bool) {
	for _, name := range sorted(w.Ports) {
		port := w.Ports[name]
		if port.VPC != vpc {
			continue
		}
		for _, u := range port.Public {
			if port.PublicTo(u) == src {
				return u.Address, true
			}
		}
	}
	for _, n := range w.VPCs[vpc].NAT {
		if anyHas(n.From, src) {
			return n.Public, true
		}
	}
	return netip.Addr{}, false
}

// isPublic tells whether somebody in this cloud has the public address, for whatever purpose.
func (w World) isPublic(a netip.Addr) bool {
	for _, p := range w.Ports {
		if slices.ContainsFunc(p.Public, func(u fabric.Public) bool { return u.Address == a }) {
			return true
		}
	}
	for _, v := range w.VPCs {
		if slices.ContainsFunc(v.NAT, func(n fabric.NAT) bool { return n.Public == a }) ||
			slices.ContainsFunc(v.Forward, func(f fabric.Forward) bool { return f.Public.Addr() == a }) {
			return true
		}
	}
	return false
}

// Holder is the port in the VPC that has the address: as its own, or else as an allowed one. Of several that are allowed it,
// the engine knows which one announced it last; here it is the one with the first id.
func (w World) Holder(vpc id.ID, a netip.Addr) id.ID {
	var second id.ID
	for _, name := range sorted(w.Ports) {
		p := w.Ports[name]
		if p.VPC != vpc {
			continue
		}
		if slices.Contains(p.Addresses, a) {
			return name
		}
		if second == "" && !p.Down && slices.Contains(Hosts(p), a) {
			second = name
		}
	}
	return second
}

func (w World) local(v fabric.VPC, a netip.Addr) bool {
	if a == Metadata {
		return true
	}
	return slices.ContainsFunc(v.Subnets, func(s fabric.Subnet) bool { return within(s, a) })
}

func isGateway(v fabric.VPC, a netip.Addr) bool {
	return slices.ContainsFunc(v.Subnets, func(s fabric.Subnet) bool { return s.Gateway == a || s.Gateway6 == a })
}

func within(s fabric.Subnet, a netip.Addr) bool {
	return s.CIDR.IsValid() && s.CIDR.Contains(a) || s.CIDR6.IsValid() && s.CIDR6.Contains(a)
}

func (w World) subnet(p fabric.Port) (fabric.Subnet, bool) {
	return subnetOf(w.VPCs[p.VPC], p.Subnet)
}

// longest is the most exact route of a VPC: into a peer, or to a next hop.
func longest(v fabric.VPC, to netip.Addr) (peer id.ID, via netip.Addr, found bool) {
	bits := -1
	for _, r := range v.Routes {
		if r.To.Contains(to) && r.To.Bits() > bits {
			peer, via, bits = "", r.Via, r.To.Bits()
		}
	}
	for _, p := range v.Peers {
		for _, x := range p.Prefixes {
			if x.Contains(to) && x.Bits() > bits {
				peer, via, bits = p.VPC, netip.Addr{}, x.Bits()
			}
		}
	}
	return peer, via, bits >= 0
}

// Mutual tells whether two VPCs name each other.
func (w World) Mutual(a, b id.ID) bool {
	names := func(v fabric.VPC, other id.ID) bool {
		return slices.ContainsFunc(v.Peers, func(p fabric.Peer) bool { return p.VPC == other })
	}
	return names(w.VPCs[a], b) && names(w.VPCs[b], a)
}

// peering is what a VPC expects from a peer.
func peering(v fabric.VPC, peer id.ID) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range v.Peers {
		if p.VPC == peer {
			out = append(out, p.Prefixes...)
		}
	}
	return out
}

func owns(p fabric.Port, a netip.Addr) bool {
	return slices.Contains(p.Addresses, a) ||
		slices.ContainsFunc(p.Allowed, func(x fabric.AddressPair) bool { return x.Prefix.Contains(a) })
}

func firstOf(p fabric.Port, four bool) netip.Addr {
	for _, a := range p.Addresses {
		if a.Is4() == four {
			return a
		}
	}
	return netip.Addr{}
}

func anyHas(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

func sorted[V any](m map[id.ID]V) []id.ID { return slices.Sorted(maps.Keys(m)) }
