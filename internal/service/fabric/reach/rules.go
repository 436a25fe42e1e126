package reach

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// rules are those of all groups of a port in the order in which they decide: by priority, and what denies first.
func (w World) rules(p fabric.Port, d fabric.Direction) []fabric.Rule {
	var out []fabric.Rule
	for _, g := range p.Groups {
		for _, r := range w.Groups[g].Rules {
			if r.Direction == d {
				out = append(out, r)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b fabric.Rule) int {
		if c := cmp.Compare(a.Priority, b.Priority); c != 0 || a.Deny == b.Deny {
			return c
		}
		if a.Deny {
			return -1
		}
		return 1
	})
	return out
}

func (w World) matches(r fabric.Rule, vpc id.ID, p Packet, remote netip.Addr) bool {
	if r.IPv6 != remote.Is6() {
		return false
	}
	want, err := r.Number()
	if err != nil {
		return false
	}
	got, err := fabric.ProtocolNumber(p.Protocol)
	if err != nil || want >= 0 && want != got {
		return false
	}
	switch {
	case want == 1 || want == 58:
		if r.ICMPType >= 0 && (p.Type != r.ICMPType || r.ICMPCode >= 0 && p.Code != r.ICMPCode) {
			return false
		}
	case len(r.Ports) > 0:
		if !slices.ContainsFunc(r.Ports, func(x fabric.PortRange) bool { return p.Port >= x.From && p.Port <= x.To }) {
			return false
		}
	}
	if len(r.Remote) == 0 && r.Group == "" {
		return true
	}
	return anyHas(r.Remote, remote) || r.Group != "" && w.member(vpc, r.Group, remote)
}

// member tells whether an address is a member's of the group, as seen from a VPC: its own ports', and those of its peers
// that the peering lets in.
func (w World) member(vpc, group id.ID, a netip.Addr) bool {
	for from, in := range w.sights(vpc) {
		if in != nil && !anyHas(in, a) {
			continue
		}
		for _, p := range w.Ports {
			if p.VPC == from && slices.Contains(p.Groups, group) && slices.Contains(Hosts(p), a) {
				return true
			}
		}
	}
	return false
}

// Members are the addresses of a group as a VPC sees them.
func (w World) Members(vpc, group id.ID) []netip.Addr {
	found := map[netip.Addr]bool{}
	for from, in := range w.sights(vpc) {
		for _, p := range w.Ports {
			if p.VPC != from || !slices.Contains(p.Groups, group) {
				continue
			}
			for _, a := range Hosts(p) {
				if in == nil || anyHas(in, a) {
					found[a] = true
				}
			}
		}
	}
	return slices.SortedFunc(maps.Keys(found), netip.Addr.Compare)
}

// sights are the VPCs whose ports a VPC sees, with the ranges that it sees of them; nil is all.
func (w World) sights(vpc id.ID) map[id.ID][]netip.Prefix {
	out := map[id.ID][]netip.Prefix{vpc: nil}
	for _, p := range w.VPCs[vpc].Peers {
		if w.Mutual(vpc, p.VPC) {
			out[p.VPC] = append([]netip.Prefix{}, peering(w.VPCs[vpc], p.VPC)...)
		}
	}
	return out
}

// Hosts are a port's addresses, with the allowed ones that are one address each.
func Hosts(p fabric.Port) []netip.Addr {
	out := slices.Clone(p.Addresses)
	for _, a := range p.Allowed {
		if a.Prefix.IsSingleIP() {
			out = append(out, a.Prefix.Addr())
		}
	}
	return out
}
