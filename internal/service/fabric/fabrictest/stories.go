package fabrictest

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/fabric/reach"
)

// matrix is every pair of (tenant, subnet, group) over every protocol: two tenants with the same addresses.
func matrix(c *cloud) {
	web, db, closed := id.New(), id.New(), id.New()
	c.group(web, slices.Concat(All(fabric.Egress), []fabric.Rule{allow("http", "tcp", 80), allow("ping", "icmp", 0)})...)
	c.group(db, slices.Concat(All(fabric.Egress), []fabric.Rule{
		allow("sql", "tcp", 5432, func(r *fabric.Rule) { r.Group = web }),
		allow("near", "udp", 80, func(r *fabric.Rule) { r.Remote = []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")} })})...)
	c.group(closed)
	for _, tenant := range []string{"red", "blue"} {
		subnets := []fabric.Subnet{Subnet("10.0.1.0/24"), Subnet("10.0.2.0/24")}
		v := c.vpc("", fabric.VPC{Subnets: subnets})
		for i, s := range subnets {
			for j, g := range []id.ID{web, db, closed} {
				name := fmt.Sprintf("%s-%d-%s", tenant, i+1, []string{"web", "db", "closed"}[j])
				c.port(name, v, s, fmt.Sprintf("10.0.%d.%d", i+1, 10+j), in(g))
			}
		}
	}
	var list []asked
	yes := map[string]int{}
	for from, p := range c.ports {
		for _, to := range []string{"10.0.1.10", "10.0.1.11", "10.0.1.12", "10.0.2.10", "10.0.2.11", "10.0.2.12"} {
			if c.world.Ports[p].Addresses[0].String() == to {
				continue
			}
			for _, q := range []struct {
				protocol string
				port     uint16
			}{{"tcp", 80}, {"tcp", 5432}, {"udp", 80}, {"icmp", 0}} {
				a := netip.AddrPortFrom(netip.MustParseAddr(to), q.port)
				v := c.world.Send(p, c.packet(from, q.protocol, a))
				by := c.who(v)
				yes[q.protocol+fmt.Sprint(q.port)] += map[bool]int{true: 1}[by != ""]
				list = append(list, asked{from, q.protocol, a.String(), by, c.world.Ports[p].Addresses[0].String()})
			}
		}
	}
	// Counted by hand, per tenant: http reaches 2 web ports from 3 others that may send and the other web port; sql reaches 2
	// databases from 2 web ports; udp reaches 2 databases from the near subnet's web and database; ping as http.
	for q, n := range map[string]int{"tcp80": 2 * 2 * 3, "tcp5432": 2 * 2 * 2, "udp80": 2 * 3, "icmp0": 2 * 2 * 3} {
		if yes[q] != n {
			c.Errorf("the model lets %d of %s pass, not %d", yes[q], q, n)
		}
	}
	c.expect(list...)
	c.noDrift("in the matrix")
	c.clear()
}

// rulesFollow changes rules and members, and what passes follows.
func rulesFollow(c *cloud) {
	s := Subnet("10.0.0.0/24")
	v := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s}})
	friends, g := id.New(), id.New()
	c.group(friends, All(fabric.Egress)...)
	toFriends := allow("friends", "tcp", 80, func(r *fabric.Rule) { r.Group = friends })
	c.group(g, toFriends)
	c.port("a", v, s, "10.0.0.10")
	c.port("b", v, s, "10.0.0.11", in(g))
	q := func(by string) asked { return asked{"a", "tcp", "10.0.0.11:80", by, ""} }
	c.expect(q(""))
	c.change("a", in(friends))
	c.expect(q("b"))
	c.change("a", func(p *fabric.Port) { p.Groups = nil })
	c.expect(q(""))
	c.change("a", in(friends))
	c.group(g)
	c.expect(q(""))
	c.group(g, allow("some", "tcp", 0, func(r *fabric.Rule) {
		r.Ports = []fabric.PortRange{{From: 20, To: 30}, {From: 80, To: 90}, {From: 85, To: 95}}
		r.Remote = []netip.Prefix{netip.MustParsePrefix("10.0.0.8/30"), netip.MustParsePrefix("10.0.0.12/32"), netip.MustParsePrefix("10.0.0.9/32")}
	}))
	c.expect(q("b"), asked{"a", "tcp", "10.0.0.11:22", "b", ""}, asked{"a", "tcp", "10.0.0.11:5432", "", ""}, asked{"a", "udp", "10.0.0.11:80", "", ""})
	c.group(g, allow("reply", "icmp", 0, func(r *fabric.Rule) { r.ICMPType = 0 }))
	c.expect(asked{"a", "icmp", "10.0.0.11", "", ""})
	c.group(g, allow("echo", "icmp", 0, func(r *fabric.Rule) { r.ICMPType, r.ICMPCode = 8, 0 }))
	c.expect(asked{"a", "icmp", "10.0.0.11", "b", ""}, q(""))
	c.group(g, allow("number", "17", 0))
	c.expect(asked{"a", "udp", "10.0.0.11:80", "b", ""}, q(""))
	c.noDrift("after rules changed")
	c.clear()
	c.noDrift("at the end")
}

// priorities decide among the rules of all groups, and at the same one what denies wins.
func priorities(c *cloud) {
	s := Subnet("10.0.0.0/24")
	v := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s}})
	rule := func(name string, priority int, deny bool) fabric.Rule {
		return allow(name, "tcp", 80, func(r *fabric.Rule) { r.Priority, r.Deny = priority, deny })
	}
	out := c.group("", All(fabric.Egress)...)
	g, h := id.New(), id.New()
	c.group(g)
	c.group(h)
	c.port("a", v, s, "10.0.0.10", in(out))
	c.port("b", v, s, "10.0.0.11", in(g, h))
	for _, x := range []struct {
		one, two []fabric.Rule
		by       string
	}{
		{[]fabric.Rule{rule("yes", 5, false)}, nil, "b"},
		{[]fabric.Rule{rule("yes", 5, false), rule("no", 6, true)}, nil, "b"},
		{[]fabric.Rule{rule("yes", 5, false), rule("no", 4, true)}, nil, ""},
		{[]fabric.Rule{rule("yes", 5, false), rule("no", 5, true)}, nil, ""},
		{[]fabric.Rule{rule("yes", 5, false)}, []fabric.Rule{rule("no", 5, true)}, ""},
		{[]fabric.Rule{rule("yes", 5, false)}, []fabric.Rule{rule("no", 7, true)}, "b"},
		{[]fabric.Rule{rule("no", 7, true)}, []fabric.Rule{rule("yes", 5, false)}, "b"},
		{[]fabric.Rule{rule("no", 2, true)}, []fabric.Rule{rule("yes", 5, false)}, ""},
	} {
		c.group(g, x.one...)
		c.group(h, x.two...)
		c.expect(asked{"a", "tcp", "10.0.0.11:80", x.by, ""})
	}
	c.group(h, append(anything(), allow("no", "tcp", 80, func(r *fabric.Rule) { r.Direction, r.Deny = fabric.Egress, true }))...)
	c.change("a", in(h))
	c.expect(asked{"a", "tcp", "10.0.0.11:80", "", ""}, asked{"a", "tcp", "10.0.0.11:22", "b", ""})
	c.clear()
}

// states of a port and of a subnet that override its groups.
func states(c *cloud) {
	s, t := Subnet("10.0.1.0/24"), Subnet("10.0.2.0/24")
	v := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s, t}})
	g := c.group("", anything()...)
	c.port("a", v, s, "10.0.1.10", in(g))
	c.port("b", v, s, "10.0.1.11", in(g))
	c.port("c", v, t, "10.0.2.10", in(g))
	ab, ba, ac, ca := asked{"a", "tcp", "10.0.1.11:80", "b", ""}, asked{"b", "tcp", "10.0.1.10:80", "a", ""},
		asked{"a", "tcp", "10.0.2.10:80", "c", ""}, asked{"c", "tcp", "10.0.1.10:80", "a", ""}
	no := func(q asked) asked { q.by = ""; return q }
	gateway := asked{"a", "icmp", "10.0.1.1", "cloud", ""}
	c.expect(ab, ba, ac, ca, gateway)

	c.change("a", func(p *fabric.Port) { p.Quarantine = true })
	c.expect(no(ab), no(ba), no(ac), no(ca), no(gateway))
	c.change("a", func(p *fabric.Port) { p.Quarantine = false })
	c.expect(ab, ba, ac, ca, gateway)

	c.change("a", func(p *fabric.Port) { p.Down = true })
	c.expect(no(ab), no(ba), no(ac), no(ca), no(gateway))
	c.change("a", func(p *fabric.Port) { p.Down = false })
	c.expect(ab, ba, ac, ca, gateway)

	alone := s
	alone.Isolated = true
	c.vpc(v, fabric.VPC{Subnets: []fabric.Subnet{alone, t}})
	c.expect(ab, ba, no(ac), no(ca), gateway)
	c.vpc(v, fabric.VPC{Subnets: []fabric.Subnet{s, t}})

	c.change("a", func(p *fabric.Port) { p.Groups = nil })
	c.expect(no(ab), no(ba), gateway)
	c.change("a", func(p *fabric.Port) { p.Open = true })
	c.expect(ab, ba, ac, ca)
	c.noDrift("after ports changed")
	c.clear()
}

// pairs are sources that a port may use beside its own.
func pairs(c *cloud) {
	s := Subnet("10.0.0.0/24")
	v := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s}})
	g := c.group("", anything()...)
	virtual := netip.MustParsePrefix("10.0.0.100/32")
	c.port("a", v, s, "10.0.0.10", in(g))
	c.port("b", v, s, "10.0.0.11", in(g), func(p *fabric.Port) { p.Allowed = []fabric.AddressPair{{Prefix: virtual}} })
	c.expect(asked{"a", "tcp", "10.0.0.100:80", "b", ""})
	c.change("b", func(p *fabric.Port) { p.Allowed = nil })
	c.expect(asked{"a", "tcp", "10.0.0.100:80", "", ""})
	c.change("b", func(p *fabric.Port) {
		p.Allowed = []fabric.AddressPair{{Prefix: netip.MustParsePrefix("172.16.0.0/16")}, {Prefix: virtual, MAC: net.HardwareAddr{2, 0, 0, 0, 9, 9}}}
	})
	c.noDrift("with allowed ranges")
	c.clear()
}

// outside is the way out and in: public addresses, translation, forwarded ports.
func outside(c *cloud) {
	s := Subnet("10.0.0.0/24")
	public := func(a string) func(*fabric.Port) {
		return func(p *fabric.Port) { p.Public = []fabric.Public{{Address: netip.MustParseAddr(a)}} }
	}
	g := c.group("", slices.Concat(All(fabric.Egress), []fabric.Rule{allow("http", "tcp", 80), allow("ping", "icmp", 0)})...)
	v := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s}})
	w := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s}})
	c.port("a", v, s, "10.0.0.10", in(g), public("198.51.100.10"))
	c.port("b", w, s, "10.0.0.10", in(g), public("198.51.100.11"))
	c.port("c", w, s, "10.0.0.12", in(g))
	c.expect(
		asked{"a", "tcp", "198.51.100.11:80", "b", "198.51.100.10"},
		asked{"a", "icmp", "198.51.100.11", "b", ""},
		asked{"a", "tcp", "198.51.100.11:22", "", ""},
		asked{"b", "tcp", "198.51.100.10:80", "a", "198.51.100.11"},
		asked{"c", "tcp", "198.51.100.10:80", "", ""},           // no way out
		asked{"c", "tcp", "198.51.100.11:80", "b", "10.0.0.12"}, // its neighbour by its public address
	)
	nat := fabric.VPC{Subnets: []fabric.Subnet{s}, NAT: []fabric.NAT{{From: []netip.Prefix{s.CIDR}, Public: netip.MustParseAddr("198.51.100.20")}}}
	c.vpc(w, nat)
	c.expect(asked{"c", "tcp", "198.51.100.10:80", "a", "198.51.100.20"}, asked{"b", "tcp", "198.51.100.10:80", "a", "198.51.100.11"},
		asked{"a", "tcp", "198.51.100.20:80", "", ""})
	nat.Forward = []fabric.Forward{{Protocol: "tcp", Public: netip.MustParseAddrPort("198.51.100.20:8080"), To: netip.MustParseAddrPort("10.0.0.12:80")}}
	c.vpc(w, nat)
	c.expect(asked{"a", "tcp", "198.51.100.20:8080", "c", "198.51.100.10"}, asked{"a", "tcp", "198.51.100.20:80", "", ""})
	nat.NAT[0].Public = netip.Addr{} // as the machine
	nat.Forward = nil
	c.vpc(w, nat)
	c.expect(asked{"c", "tcp", "198.51.100.10:80", "a", ""})
	c.noDrift("with ways to the outside")
	c.change("a", func(p *fabric.Port) { p.Public = nil })
	c.expect(asked{"b", "tcp", "198.51.100.10:80", "outside", ""})
	c.vpc(w, fabric.VPC{Subnets: []fabric.Subnet{s}})
	c.change("b", func(p *fabric.Port) { p.Public = nil })
	c.noDrift("without ways to the outside")
	c.clear()
}

// peering joins two VPCs that name each other, and no third.
func peering(c *cloud) {
	s, t, u := Subnet("10.1.0.0/24"), Subnet("10.2.0.0/24"), Subnet("10.3.0.0/24")
	v, w, x := id.New(), id.New(), id.New()
	peer := func(to id.ID, s fabric.Subnet) fabric.Peer {
		return fabric.Peer{VPC: to, Prefixes: []netip.Prefix{s.CIDR}}
	}
	friends := id.New()
	c.group(friends, slices.Concat(All(fabric.Egress), []fabric.Rule{allow("friends", "tcp", 80, func(r *fabric.Rule) { r.Group = friends })})...)
	c.vpc(v, fabric.VPC{Subnets: []fabric.Subnet{s}, Peers: []fabric.Peer{peer(w, t)}})
	c.vpc(w, fabric.VPC{Subnets: []fabric.Subnet{t}})
	c.vpc(x, fabric.VPC{Subnets: []fabric.Subnet{u}, Peers: []fabric.Peer{peer(w, t), peer(v, s)}})
	c.port("a", v, s, "10.1.0.10", in(friends))
	c.port("b", w, t, "10.2.0.10", in(friends))
	c.port("c", x, u, "10.3.0.10", in(friends))
	ab := asked{"a", "tcp", "10.2.0.10:80", "", "10.1.0.10"}
	c.expect(ab) // the other does not name it
	c.vpc(w, fabric.VPC{Subnets: []fabric.Subnet{t}, Peers: []fabric.Peer{peer(v, s), peer(x, u)}})
	ab.by = "b"
	c.expect(ab, asked{"b", "tcp", "10.1.0.10:80", "a", "10.2.0.10"}, asked{"a", "tcp", "10.2.0.10:22", "", ""},
		asked{"b", "tcp", "10.3.0.10:80", "c", ""},
		asked{"a", "tcp", "10.3.0.10:80", "", ""}) // not through the one between
	c.noDrift("with peers")
	c.vpc(v, fabric.VPC{Subnets: []fabric.Subnet{s}})
	ab.by = ""
	c.expect(ab)
	c.noDrift("without peers")
	c.clear()
}

// routes lead to a machine that is a router.
func routes(c *cloud) {
	s := Subnet("10.0.0.0/24")
	v := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s}, Routes: []fabric.Route{{To: netip.MustParsePrefix("172.16.0.0/16"), Via: netip.MustParseAddr("10.0.0.11")}}})
	g := c.group("", anything()...)
	c.port("a", v, s, "10.0.0.10", in(g))
	c.noDrift("with a route to nobody")
	c.port("b", v, s, "10.0.0.11", in(g), func(p *fabric.Port) {
		p.Allowed = []fabric.AddressPair{{Prefix: netip.MustParsePrefix("172.16.0.0/16")}}
	})
	if got := c.world.Send(c.ports["a"], reach.Packet{Protocol: "tcp", To: netip.MustParseAddr("172.16.3.4"), Port: 80}); !got.Passes || got.To != c.ports["b"] {
		c.Errorf("the model gives it to %q: %s", got.To, got.Why)
	}
	before, err := c.engine().ObservePort(c.Context(), c.ports["b"])
	c.ok(err)
	c.lab.Asks(c.ports["a"], "udp", netip.MustParseAddrPort("172.16.3.4:80"))
	after, err := c.engine().ObservePort(c.Context(), c.ports["b"])
	c.ok(err)
	if after.Counters.InPackets == before.Counters.InPackets {
		c.Error("the router got nothing")
	}
	c.noDrift("with a route")
	c.clear()
}

// sixToo is the same with IPv6.
func sixToo(c *cloud) {
	if why, missing := c.engine().Capabilities(c.Context()).Missing["ipv6"]; missing {
		c.Skip(why)
	}
	s := Subnet("10.0.0.0/24")
	s.CIDR6, s.Gateway6 = netip.MustParsePrefix("fd00:1::/64"), netip.MustParseAddr("fd00:1::1")
	t := fabric.Subnet{ID: id.New(), CIDR6: netip.MustParsePrefix("fd00:2::/64"), Gateway6: netip.MustParseAddr("fd00:2::1")}
	v := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s, t}})
	six := func(r *fabric.Rule) { r.IPv6 = true }
	friends, g := id.New(), id.New()
	c.group(friends, All(fabric.Egress)...)
	c.group(g, slices.Concat(All(fabric.Egress), []fabric.Rule{
		allow("http", "tcp", 80, six), allow("ping", "icmp", 0, six, func(r *fabric.Rule) { r.ICMPType = 128 }),
		allow("friends", "tcp", 5432, six, func(r *fabric.Rule) { r.Group = friends }),
		allow("near", "udp", 22, six, func(r *fabric.Rule) {
			r.Remote = []netip.Prefix{netip.MustParsePrefix("fd00:1::/64"), netip.MustParsePrefix("fd00:9::/64")}
		})})...)
	c.port("a", v, s, "10.0.0.10 fd00:1::10", in(friends))
	c.port("b", v, s, "10.0.0.11 fd00:1::11", in(g))
	c.port("c", v, t, "fd00:2::10", in(g))
	c.expect(
		asked{"a", "tcp", "[fd00:1::11]:80", "b", "fd00:1::10"}, asked{"a", "tcp", "[fd00:1::11]:22", "", ""},
		asked{"a", "tcp", "[fd00:1::11]:5432", "b", ""}, asked{"b", "tcp", "[fd00:2::10]:5432", "", ""},
		asked{"a", "icmpv6", "fd00:1::11", "b", ""}, asked{"a", "icmpv6", "fd00:2::10", "c", ""},
		asked{"a", "udp", "[fd00:2::10]:22", "c", ""}, asked{"c", "udp", "[fd00:1::11]:22", "", ""},
		asked{"a", "tcp", "10.0.0.11:80", "", ""}, // the rules are for IPv6
		asked{"a", "icmpv6", "fd00:1::1", "cloud", ""},
		asked{"a", "tcp", "[fd00:1::77]:80", "", ""},
	)
	c.noDrift("with IPv6")
	c.clear()
}
