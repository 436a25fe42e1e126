package linux

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/fabric/reach"
)

// vpcView is a VPC with what belongs to it, in a fixed order.
type vpcView struct {
	id    id.ID
	want  fabric.VPC
	ports []id.ID
	peers []id.ID // those that name it too
	w     *wants
	extra []netip.Addr // addresses that somebody listens at
	mtu   int
	// connections to the outside that a port may have
	connections uint32
}

func (e *Engine) view(vpc id.ID) vpcView {
	v := vpcView{id: vpc, want: e.w.VPCs[vpc], w: e.w, mtu: e.mtu, connections: e.connections}
	for _, name := range slices.Sorted(maps.Keys(e.w.Ports)) {
		if e.w.Ports[name].VPC == vpc {
			v.ports = append(v.ports, name)
		}
	}
	for _, p := range v.want.Peers {
		if e.w.Mutual(vpc, p.VPC) && !slices.Contains(v.peers, p.VPC) {
			v.peers = append(v.peers, p.VPC)
		}
	}
	v.extra = slices.DeleteFunc(e.listening(vpc), func(a netip.Addr) bool { // whoever listens at a port that is down hears nothing
		return slices.ContainsFunc(v.ports, func(p id.ID) bool { return e.w.Ports[p].Down && slices.Contains(e.w.Ports[p].Addresses, a) })
	})
	return v
}

// outward tells whether anything of the VPC ever leaves it to the outside. If not it has no way there at all.
func (v vpcView) outward() bool {
	if len(v.want.NAT) > 0 || len(v.want.Forward) > 0 {
		return true
	}
	return slices.ContainsFunc(v.ports, func(p id.ID) bool { return len(v.w.Ports[p].Public) > 0 })
}

// limits are those of public addresses.
func (v vpcView) limits() map[netip.Addr]int {
	out := map[netip.Addr]int{}
	for _, name := range v.ports {
		for _, u := range v.w.Ports[name].Public {
			if u.Mbit > 0 && !v.w.Ports[name].Down {
				out[u.Address] = u.Mbit
			}
		}
	}
	return out
}

func (v vpcView) subnet(name id.ID) fabric.Subnet {
	for _, s := range v.want.Subnets {
		if s.ID == name {
			return s
		}
	}
	return fabric.Subnet{}
}

func (v vpcView) subnetMTU(s fabric.Subnet) int {
	if s.MTU != 0 {
		return min(s.MTU, v.mtu)
	}
	return v.mtu
}

// plan is what the VPC's namespace should hold.
func (v vpcView) plan(e *Engine) *plan {
	p := newPlan()
	p.tables[table] = v.rules()
	p.tables[arpTable] = v.arp()
	for _, s := range v.want.Subnets {
		for _, g := range []struct {
			cidr    netip.Prefix
			gateway netip.Addr
		}{{s.CIDR, s.Gateway}, {s.CIDR6, s.Gateway6}} {
			if g.cidr.IsValid() {
				p.addresses = append(p.addresses, hostPrefix(g.gateway))
				p.routes[route{to: g.cidr}] = true
			}
		}
	}
	for _, a := range v.extra {
		if !slices.Contains(p.addresses, hostPrefix(a)) {
			p.addresses = append(p.addresses, hostPrefix(a))
		}
	}
	for _, name := range v.ports {
		v.port(p, name)
	}
	v.answerSix(p)
	for _, r := range v.want.Routes {
		next := route{to: r.To.Masked()}
		if h := v.holder(r.Via); h != "" && !v.w.Ports[h].Own {
			next.device, next.via = tapName(h), r.Via
		}
		p.routes[next] = true
	}
	for _, peer := range v.peers {
		p.cables[peerName(peer)] = cable{to: e.vpcSpace(peer), name: peerName(v.id), mtu: v.mtu}
		for _, x := range v.peering(peer) {
			p.routes[route{to: x.Masked(), device: peerName(peer), source: v.ownAddress(x.Addr().Is4())}] = true
		}
	}
	if v.outward() {
		p.cables[outName] = cable{to: e.edgeSpace(), name: linkName(v.id), mtu: v.mtu, lanes: lanes{v.limits(), true}}
		p.addresses = append(p.addresses, hostPrefix(v.w.links[v.id]))
		p.routes[route{to: netip.PrefixFrom(netip.IPv4Unspecified(), 0), device: outName, source: v.w.links[v.id]}] = true
	}
	return p
}

// port adds a tap, and the routes to whom it leads.
func (v vpcView) port(p *plan, name id.ID) {
	want := v.w.Ports[name]
	s := v.subnet(want.Subnet)
	if want.Own {
		for _, a := range want.Addresses {
			if !want.Down && !slices.Contains(p.addresses, hostPrefix(a)) {
				p.addresses = append(p.addresses, hostPrefix(a))
			}
		}
		return
	}
	device := tapName(name)
	p.taps[device] = tap{mtu: v.subnetMTU(s), owner: want.Owner, queues: want.Queues, down: want.Down, mbit: want.MaxMbit}
	if want.Down {
		return
	}
	for _, a := range reach.Hosts(want) {
		if v.holder(a) != name {
			continue
		}
		mac := want.MAC
		if !slices.Contains(want.Addresses, a) {
			for _, pair := range want.Allowed {
				if pair.Prefix == hostPrefix(a) && pair.MAC != nil {
					mac = pair.MAC
				}
			}
		}
		r := route{to: hostPrefix(a), device: device, source: s.Gateway}
		if a.Is6() {
			r.source = s.Gateway6
		}
		p.routes[r] = true
		p.neighbors[neighbor{device: device, addr: a}] = mac.String()
	}
}

// answerSix names the addresses for which the namespace answers on each tap. ARP is answered by the routing table, but
// neighbour discovery by a list for each interface: the gateway, and the others of the subnet.
func (v vpcView) answerSix(p *plan) {
	for _, name := range v.ports {
		want := v.w.Ports[name]
		s := v.subnet(want.Subnet)
		if want.Down || want.Own || !s.CIDR6.IsValid() {
			continue
		}
		answer := func(a netip.Addr) { p.neighbors[neighbor{device: tapName(name), addr: a, proxy: true}] = "" }
		answer(s.Gateway6)
		for _, other := range v.ports {
			if o := v.w.Ports[other]; other != name && o.Subnet == want.Subnet && !o.Down {
				for _, a := range reach.Hosts(o) {
					if a.Is6() {
						answer(a)
					}
				}
			}
		}
	}
}

// holder is the port to which an address leads.
func (v vpcView) holder(a netip.Addr) id.ID {
	var first id.ID
	for _, name := range v.ports {
		p := v.w.Ports[name]
		if p.Down {
			continue
		}
		if slices.Contains(p.Addresses, a) {
			return name
		}
		if slices.Contains(reach.Hosts(p), a) && (first == "" || v.w.heirs[heir{v.id, a}] == name) {
			first = name
		}
	}
	return first
}

func (v vpcView) peering(peer id.ID) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range v.want.Peers {
		if p.VPC == peer {
			out = append(out, p.Prefixes...)
		}
	}
	return out
}

// ownAddress is one of the VPC's gateways, as which the cloud itself speaks.
func (v vpcView) ownAddress(four bool) netip.Addr {
	for _, s := range v.want.Subnets {
		if four && s.Gateway.IsValid() {
			return s.Gateway
		}
		if !four && s.Gateway6.IsValid() {
			return s.Gateway6
		}
	}
	return netip.Addr{}
}
