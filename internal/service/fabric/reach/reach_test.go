package reach

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// anyWorld draws VPCs with the same addresses, some of them peers, groups that may name each other, and ports in all states.
func anyWorld(t *rapid.T) World {
	w := New()
	groups := []id.ID{"g1", "g2", "g3"}
	prefix := rapid.SampledFrom([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("10.0.2.11/32")})
	rule := rapid.Custom(func(t *rapid.T) fabric.Rule {
		r := fabric.Rule{ID: id.ID(fmt.Sprintf("r%d", rapid.IntRange(0, 1<<30).Draw(t, "id"))), Direction: rapid.SampledFrom([]fabric.Direction{fabric.Ingress, fabric.Egress}).Draw(t, "direction"),
			Deny: rapid.IntRange(0, 3).Draw(t, "deny") == 0, Priority: rapid.IntRange(1, 3).Draw(t, "priority"), Protocol: rapid.SampledFrom([]string{"", "tcp", "udp", "icmp"}).Draw(t, "protocol"), ICMPType: -1}
		switch rapid.IntRange(0, 2).Draw(t, "remote") {
		case 0:
			r.Remote = []netip.Prefix{prefix.Draw(t, "prefix")}
		case 1:
			r.Group = rapid.SampledFrom(groups).Draw(t, "group")
		}
		if r.Protocol == "tcp" {
			r.Ports = []fabric.PortRange{{From: 1, To: uint16(rapid.IntRange(1, 100).Draw(t, "to"))}}
		}
		return r
	})
	for _, g := range groups {
		w.Groups[g] = fabric.Group{Rules: rapid.SliceOfN(rule, 0, 5).Draw(t, string(g))}
	}
	vpcs := []id.ID{"v1", "v2", "v3"}
	for i, v := range vpcs {
		var n fabric.VPC
		for s := range 2 {
			// The third has the addresses of the first.
			cidr := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i % 2), byte(s + 1), 0}), 24)
			n.Subnets = append(n.Subnets, fabric.Subnet{ID: id.ID(fmt.Sprintf("%s-%d", v, s)), CIDR: cidr, Gateway: cidr.Addr().Next(), Isolated: rapid.IntRange(0, 5).Draw(t, "isolated") == 0})
		}
		w.VPCs[v] = n
	}
	for _, pair := range [][2]int{{0, 1}, {1, 0}, {1, 2}, {2, 1}} {
		if rapid.Bool().Draw(t, "peer") {
			v, other := w.VPCs[vpcs[pair[0]]], w.VPCs[vpcs[pair[1]]]
			v.Peers = append(v.Peers, fabric.Peer{VPC: vpcs[pair[1]], Prefixes: []netip.Prefix{other.Subnets[0].CIDR}})
			w.VPCs[vpcs[pair[0]]] = v
		}
	}
	for i, v := range vpcs {
		for n := range rapid.IntRange(1, 4).Draw(t, "ports") {
			s := w.VPCs[v].Subnets[n%2]
			b := s.CIDR.Addr().As4()
			b[3] = byte(10 + n)
			p := fabric.Port{VPC: v, Subnet: s.ID, MAC: net.HardwareAddr{2, 0, 0, 0, byte(i), byte(n)}, Addresses: []netip.Addr{netip.AddrFrom4(b)},
				Groups: rapid.SliceOfNDistinct(rapid.SampledFrom(groups), 0, 3, rapid.ID).Draw(t, "groups")}
			switch rapid.IntRange(0, 9).Draw(t, "state") {
			case 0:
				p.Down = true
			case 1:
				p.Quarantine = true
			case 2:
				p.Open = true
			case 3:
				p.Public = []fabric.Public{{Address: netip.AddrFrom4([4]byte{198, 51, 100, byte(10*i + n)})}}
			}
			w.Ports[id.ID(fmt.Sprintf("%s-p%d", v, n))] = p
		}
	}
	return w
}

// TestNoPathMissesItsChecks is S10 for the model: whatever is configured, what passes between two ports has passed both of
// their checks, and each check had a rule that allows it.
func TestNoPathMissesItsChecks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorld(t)
		var targets []netip.Addr
		for _, p := range w.Ports {
			targets = append(targets, p.Addresses...)
			for _, u := range p.Public {
				targets = append(targets, u.Address)
			}
		}
		for from, p := range w.Ports {
			for _, to := range targets {
				for _, q := range []Packet{{Protocol: "tcp", Port: 80}, {Protocol: "udp", Port: 53}, {Protocol: "icmp", Type: 8}} {
					q.To = to
					v := w.Send(from, q)
					if v.Why == "" {
						t.Fatalf("%s → %v: no reason", from, q)
					}
					if !v.Passes || v.To == "" || v.To == from {
						continue
					}
					other := w.Ports[v.To]
					if p.Down || other.Down || p.Quarantine || other.Quarantine {
						t.Fatalf("%s → %s: one of them is cut off", from, v.To)
					}
					if !slices.Contains(v.Checked, "egress:"+string(from)) || !slices.Contains(v.Checked, "ingress:"+string(v.To)) {
						t.Fatalf("%s → %s was checked at %v only", from, v.To, v.Checked)
					}
					if !p.Open && !allowing(w, p, v.Egress) || !other.Open && !allowing(w, other, v.Ingress) {
						t.Fatalf("%s → %s passes by %q and %q", from, v.To, v.Egress, v.Ingress)
					}
					if p.VPC != other.VPC && !w.Mutual(p.VPC, other.VPC) && len(other.Public) == 0 {
						t.Fatalf("%s → %s: nothing joins their networks", from, v.To)
					}
				}
			}
		}
	})
}

// allowing tells whether one of the port's groups has the rule, and it does not deny.
func allowing(w World, p fabric.Port, rule id.ID) bool {
	return slices.ContainsFunc(p.Groups, func(g id.ID) bool {
		return slices.ContainsFunc(w.Groups[g].Rules, func(r fabric.Rule) bool { return r.ID == rule && !r.Deny })
	})
}

// TestWhy gives the reasons that people read.
func TestWhy(t *testing.T) {
	w := New()
	s := fabric.Subnet{ID: "s", CIDR: netip.MustParsePrefix("10.0.0.0/24"), Gateway: addr("10.0.0.1")}
	w.VPCs["v"] = fabric.VPC{Subnets: []fabric.Subnet{s}, NAT: []fabric.NAT{{From: []netip.Prefix{netip.MustParsePrefix("10.0.0.8/29")}, Public: addr("198.51.100.1")}}}
	w.Groups["out"] = fabric.Group{Rules: []fabric.Rule{{ID: "all", Direction: fabric.Egress, ICMPType: -1}}}
	w.Groups["web"] = fabric.Group{Rules: []fabric.Rule{
		{ID: "http", Direction: fabric.Ingress, Protocol: "tcp", Ports: []fabric.PortRange{{From: 80, To: 80}}, ICMPType: -1},
		{ID: "bad", Direction: fabric.Ingress, Deny: true, ICMPType: -1, Remote: []netip.Prefix{netip.MustParsePrefix("10.0.0.66/32")}}}}
	port := func(a string, groups ...id.ID) fabric.Port {
		return fabric.Port{VPC: "v", Subnet: "s", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Addresses: []netip.Addr{addr(a)}, Groups: groups}
	}
	w.Ports["a"], w.Ports["b"], w.Ports["c"], w.Ports["bad"] = port("10.0.0.10", "out"), port("10.0.0.11", "web"), port("10.0.0.20", "out"), port("10.0.0.66", "out")
	for _, x := range []struct {
		from   id.ID
		p      Packet
		passes bool
		why    string
	}{
		{"a", Packet{Protocol: "tcp", To: addr("10.0.0.11"), Port: 80}, true, "a rule of the receiver allows it"},
		{"a", Packet{Protocol: "tcp", To: addr("10.0.0.11"), Port: 22}, false, "no rule of the receiver's groups allows TCP 22 from 10.0.0.10"},
		{"bad", Packet{Protocol: "tcp", To: addr("10.0.0.11"), Port: 80}, false, "a rule of the receiver denies it"},
		{"b", Packet{Protocol: "tcp", To: addr("10.0.0.10"), Port: 80}, false, "no rule of the sender's groups allows TCP 80 to 10.0.0.10"},
		{"a", Packet{Protocol: "tcp", From: addr("10.0.0.99"), To: addr("10.0.0.11"), Port: 80}, false, "10.0.0.99 is not the sender's address"},
		{"a", Packet{Protocol: "udp", To: addr("10.0.0.77"), Port: 9}, false, "nothing has the address 10.0.0.77"},
		{"a", Packet{Protocol: "tcp", To: addr("192.0.2.1"), Port: 80}, true, "it leaves as 198.51.100.1"},
		{"c", Packet{Protocol: "tcp", To: addr("192.0.2.1"), Port: 80}, false, "no address translation and no public address lets 10.0.0.20 out"},
		{"b", Packet{Protocol: "tcp", To: Metadata, Port: 80}, true, "the cloud's own services are open to everybody inside"},
		{"nobody", Packet{Protocol: "tcp", To: Metadata, Port: 80}, false, "there is no port nobody"},
	} {
		if v := w.Send(x.from, x.p); v.Passes != x.passes || v.Why != x.why {
			t.Errorf("%s sends %v: %v, %q, not %v, %q", x.from, x.p, v.Passes, v.Why, x.passes, x.why)
		}
	}
	if v := w.Enter(Packet{Protocol: "tcp", From: addr("192.0.2.1"), To: addr("198.51.100.1"), Port: 80}); v.Passes {
		t.Error("somebody comes in by the address of a translation")
	}
}
