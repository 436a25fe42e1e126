package fabrictest

import (
	"net/netip"
	"slices"

	"github.com/awancloud/awan/internal/service/fabric"
)

// own is a port at which the cloud itself is: a load balancer between clients, its public address and its members.
func own(c *cloud) {
	s := Subnet("10.0.0.0/24")
	us := func(p *fabric.Port) { p.Own = true }
	public := func(a string) func(*fabric.Port) {
		return func(p *fabric.Port) { p.Public = []fabric.Public{{Address: netip.MustParseAddr(a)}} }
	}
	v := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s}})
	w := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s}}) // with the same addresses
	front, silent := c.group(""), c.group("")
	web := c.group("", slices.Concat(All(fabric.Egress), []fabric.Rule{allow("front", "tcp", 80, func(r *fabric.Rule) { r.Group = front }), allow("front", "udp", 80, func(r *fabric.Rule) { r.Group = front })})...)
	c.port("a", v, s, "10.0.0.10", in(web))
	c.port("b", v, s, "10.0.0.11", in(silent))
	c.port("lb", v, s, "10.0.0.50", in(front), us, public("198.51.100.150"))
	c.port("c", w, s, "10.0.0.10", in(web), public("198.51.100.110"))
	c.port("lc", w, s, "10.0.0.50", us)
	c.noDrift("with ports of the cloud's own")
	story := []asked{
		{"a", "tcp", "10.0.0.50:80", "lb", "10.0.0.10"},
		{"a", "udp", "10.0.0.50:80", "lb", "10.0.0.10"},
		{"a", "icmp", "10.0.0.50", "lb", ""},
		{"a", "tcp", "198.51.100.150:80", "lb", "10.0.0.10"},
		{"c", "tcp", "198.51.100.150:80", "lb", "198.51.100.110"},
		{"c", "udp", "198.51.100.150:80", "lb", "198.51.100.110"},
		{"c", "icmp", "198.51.100.150", "lb", ""},
		{"lb", "tcp", "10.0.0.10:80", "a", "10.0.0.50"},
		{"lb", "udp", "10.0.0.10:80", "a", "10.0.0.50"},
	}
	rest := []asked{
		{"b", "tcp", "10.0.0.50:80", "", ""}, // its own group lets it send nothing
		{"b", "icmp", "10.0.0.50", "", ""},
		{"lb", "tcp", "10.0.0.10:22", "", ""}, // the member's group does not let that in
		{"lb", "tcp", "10.0.0.11:80", "", ""},
		{"lb", "tcp", "169.254.169.254:80", "", ""},
		{"lb", "tcp", "10.0.0.1:53", "", ""},
		{"lb", "tcp", "198.51.100.110:80", "", ""}, // nor does it go out
		{"c", "tcp", "10.0.0.50:80", "lc", ""},
		{"lc", "tcp", "10.0.0.10:80", "", ""}, // it is not of the group that is let in
	}
	c.expect(slices.Concat(story, rest)...)
	for _, cut := range []func(*fabric.Port, bool){
		func(p *fabric.Port, on bool) { p.Quarantine = on },
		func(p *fabric.Port, on bool) { p.Down = on },
	} {
		c.change("lb", func(p *fabric.Port) { cut(p, true) })
		none := slices.Clone(story)
		for i := range none {
			none[i].by = ""
		}
		c.expect(none...)
		c.noDrift("with one cut off")
		c.change("lb", func(p *fabric.Port) { cut(p, false) })
		c.expect(story...)
	}
	c.change("lb", func(p *fabric.Port) { p.Groups = nil })
	c.expect(asked{"lb", "tcp", "10.0.0.10:80", "", ""}, story[0], story[4])
	c.change("lb", func(p *fabric.Port) { p.Public = nil })
	c.expect(story[0], asked{"c", "tcp", "198.51.100.150:80", "outside", ""})
	c.lab.Reopen()
	c.noDrift("after a restart")
	for _, name := range []string{"a", "c"} {
		c.expect(asked{"b", "tcp", "10.0.0.50:80", "", ""})
		c.change(name, func(*fabric.Port) {})
	}
	c.clear()
}
