package network

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// OwnAddress is where the cloud itself answers in every VPC: metadata on port 80, names on port 53.
var OwnAddress = netip.MustParseAddr("169.254.169.254")

// openGroup lets everything pass: it is what ports without port security are members of. No row has its id.
const openGroup = id.ID("00000000000000000000000000000001")

// domainOf is the routing domain that the engine knows a subnet's packets in: its VPC's, or its own where no VPC routes it.
func domainOf(sub *subnetRow) id.ID {
	if sub.Spec.VPC == "" {
		return sub.ID
	}
	return id.ID(sub.Spec.VPC)
}

// vpcRows are the rows that a VPC follows from.
type vpcRows struct {
	vpc         *vpcRow // nil: a subnet that no VPC routes
	subnets     []*subnetRow
	snat        []*snatRow
	dnat        []*dnatRow
	peerings    []*peeringRow
	public      map[string]*publicRow
	ports       map[string]*portRow // those that routes name
	quarantined bool                // the project is
}

// planVPC derives what the engine must do for a VPC.
func planVPC(r vpcRows) fabric.VPC {
	var out fabric.VPC
	cut := r.quarantined || r.vpc != nil && (r.vpc.Status.Quarantine != nil || r.vpc.Spec.Down)
	bySubnet := map[string]netip.Prefix{}
	var all []netip.Prefix
	for _, sub := range r.subnets {
		s, ok := planSubnet(sub)
		if !ok {
			continue
		}
		s.Isolated = cut || sub.Status.Quarantine != nil
		out.Subnets = append(out.Subnets, s)
		if s.CIDR.IsValid() {
			bySubnet[string(sub.ID)] = s.CIDR
			all = append(all, s.CIDR)
		}
	}
	for _, rule := range r.snat { // before the VPC's own: the first that fits counts
		from, known := bySubnet[rule.Spec.Subnet]
		if rule.Spec.CIDR != "" {
			p, err := netip.ParsePrefix(rule.Spec.CIDR)
			from, known = p, err == nil
		}
		if p := r.public[rule.Spec.PublicIPs[0]]; known && p != nil {
			out.NAT = append(out.NAT, fabric.NAT{From: []netip.Prefix{from}, Public: addr(p.Status.Address)})
		}
	}
	if r.vpc != nil && r.vpc.Spec.Internet && len(all) > 0 {
		out.NAT = append(out.NAT, fabric.NAT{From: all})
	}
	for _, rule := range r.dnat {
		out.Forward = append(out.Forward, fabric.Forward{Protocol: rule.Spec.Protocol,
			Public: netip.AddrPortFrom(addr(rule.Status.Public), uint16(rule.Spec.External)),
			To:     netip.AddrPortFrom(addr(rule.Status.Private), uint16(rule.Spec.Internal))})
	}
	if r.vpc != nil {
		planRoutes(&out, r)
	}
	return out
}

func planSubnet(sub *subnetRow) (fabric.Subnet, bool) {
	sp := &sub.Spec
	if sp.CIDR == "" && sp.CIDR6 == "" {
		return fabric.Subnet{}, false
	}
	s := fabric.Subnet{ID: sub.ID, DHCP: sp.DHCP, Domain: sp.Domain, Lease: time.Duration(sp.Lease), MTU: sp.MTU, Gateway: addr(sp.Gateway), Gateway6: addr(sp.Gateway6),
		DNS: addrs(sp.DNS), NTP: addrs(sp.NTP)}
	s.CIDR, _ = netip.ParsePrefix(sp.CIDR)
	s.CIDR6, _ = netip.ParsePrefix(sp.CIDR6)
	if len(s.DNS) == 0 {
		s.DNS = []netip.Addr{OwnAddress}
	}
	return s, true
}

// planRoutes tells the engine where the VPC's routes lead. Those to a NAT gateway need no saying: its rules do.
func planRoutes(out *fabric.VPC, r vpcRows) {
	for _, p := range r.peerings {
		if p.Status.State != PeeringActive {
			continue
		}
		other := p.Spec.Peer
		if other == string(r.vpc.ID) {
			other = p.Spec.VPC
		}
		peer := fabric.Peer{VPC: id.ID(other)}
		for _, rt := range r.vpc.Spec.Routes {
			if to, err := netip.ParsePrefix(rt.Destination); err == nil && rt.Peering == string(p.ID) {
				peer.Prefixes = append(peer.Prefixes, to)
			}
		}
		out.Peers = append(out.Peers, peer)
	}
	for _, rt := range r.vpc.Spec.Routes {
		to, err := netip.ParsePrefix(rt.Destination)
		via := rt.Address
		if p := r.ports[rt.Port]; p != nil && len(p.Status.Addresses) > 0 {
			via = p.Status.Addresses[0]
		}
		if err == nil && via != "" {
			out.Routes = append(out.Routes, fabric.Route{To: to, Via: addr(via)})
		}
	}
}

// planGroup derives what members of a group may receive and send.
func planGroup(rules []*ruleRow, sets map[string]*addressesRow) fabric.Group {
	var out fabric.Group
	for _, r := range rules {
		sp := &r.Spec
		if sp.Disabled {
			continue
		}
		f := fabric.Rule{ID: r.ID, Direction: fabric.Direction(sp.Direction), Deny: sp.Action == "deny", Priority: sp.Priority, IPv6: sp.IPv6,
			Protocol: sp.protocol(), ICMPType: -1, ICMPCode: -1, Group: id.ID(sp.RemoteGroup)}
		if sp.Ports != "" {
			f.Ports, _ = portRanges(sp.Ports) // checked when it was stored
		}
		if sp.ICMPType != nil {
			f.ICMPType = *sp.ICMPType
		}
		if sp.ICMPCode != nil {
			f.ICMPCode = *sp.ICMPCode
		}
		switch {
		case sp.RemotePrefix != "" && sp.RemotePrefix != everywhere(sp.IPv6):
			p, err := netip.ParsePrefix(sp.RemotePrefix)
			if err != nil {
				continue
			}
			f.Remote = []netip.Prefix{p}
		case sp.RemoteAddressGroup != "":
			if set := sets[sp.RemoteAddressGroup]; set != nil {
				for _, a := range set.Spec.Addresses {
					ps, _ := addressesOf("", a, sp.IPv6)
					f.Remote = append(f.Remote, ps...)
				}
			}
			if len(f.Remote) == 0 {
				continue // nobody, not anybody
			}
		}
		out.Rules = append(out.Rules, f)
	}
	return out
}

// everything is what openGroup lets pass.
func everything() fabric.Group {
	var out fabric.Group
	for _, d := range []fabric.Direction{fabric.Ingress, fabric.Egress} {
		for _, v6 := range []bool{false, true} {
			out.Rules = append(out.Rules, fabric.Rule{ID: openGroup, Direction: d, Priority: 1, IPv6: v6, ICMPType: -1, ICMPCode: -1})
		}
	}
	return out
}

// portRows are the rows that a port follows from.
type portRows struct {
	port        *portRow
	subnet      *subnetRow
	public      []*publicRow
	bandwidths  map[string]*bandwidthRow
	flowLog     bool
	quarantined bool // its VPC or its project is
}

// planPort derives what the engine must do for a port.
func planPort(r portRows) fabric.Port {
	sp, st := &r.port.Spec, &r.port.Status
	out := fabric.Port{VPC: domainOf(r.subnet), Subnet: r.subnet.ID, Addresses: addrs(st.Addresses), Down: sp.Down || r.subnet.Spec.Down, Hostname: hostOf(r.port),
		MaxMbit: sp.Mbit, Queues: sp.Queues, FlowLog: r.flowLog, Owner: st.Owner, Own: st.Own,
		Quarantine: r.quarantined || st.Quarantine != nil || r.subnet.Status.Quarantine != nil}
	out.MAC, _ = net.ParseMAC(st.MAC)
	for _, g := range sp.Groups {
		out.Groups = append(out.Groups, id.ID(g))
	}
	for _, p := range sp.AllowedPairs {
		if st.Own {
			break // the cloud speaks as itself only
		}
		pair := fabric.AddressPair{}
		var err error
		if pair.Prefix, err = addressOrPrefix("", p.Address); err != nil {
			continue
		}
		if p.MAC != "" {
			pair.MAC, _ = net.ParseMAC(p.MAC)
		}
		out.Allowed = append(out.Allowed, pair)
	}
	if sp.PortSecurity != nil && !*sp.PortSecurity && !st.Own {
		out.Groups = []id.ID{openGroup}
		out.Allowed = []fabric.AddressPair{{Prefix: netip.MustParsePrefix(everywhere(false))}, {Prefix: netip.MustParsePrefix(everywhere(true))}}
	}
	for _, p := range r.public {
		f := fabric.Public{Address: addr(p.Status.Address), To: addr(p.Status.Private), Mbit: p.Spec.Mbit}
		if b := r.bandwidths[p.Spec.Bandwidth]; b != nil {
			f.Mbit = b.Spec.Mbit
		}
		out.Public = append(out.Public, f)
	}
	slices.SortFunc(out.Public, func(a, b fabric.Public) int { return a.Address.Compare(b.Address) })
	return out
}

func addr(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a
}

func addrs(list []string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		if a := addr(s); a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}
