package fabrictest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// chance draws rules and memberships and compares every pair with the model, in one world or, with AWAN_LONG=1, in ten.
// AWAN_SEED repeats a draw.
func chance(c *cloud) {
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("AWAN_SEED"), 10, 64); err == nil {
		seed = s
	}
	c.Logf("AWAN_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	rounds := 1
	if os.Getenv("AWAN_LONG") == "1" {
		rounds = 10
	}
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	groups := []id.ID{id.New(), id.New(), id.New()}
	rules := func() []fabric.Rule {
		var out []fabric.Rule
		for n := range r.IntN(5) {
			x := fabric.Rule{ID: id.ID(fmt.Sprint(n)), Direction: fabric.Direction(pick("ingress", "egress", "egress")), Deny: r.IntN(4) == 0, Priority: 1 + r.IntN(3),
				Protocol: pick("", "", "tcp", "udp", "icmp"), ICMPType: -1}
			switch r.IntN(3) {
			case 0:
				for range 1 + r.IntN(3) {
					x.Remote = append(x.Remote, netip.MustParsePrefix(pick("10.0.0.0/8", "10.0.1.8/29", "10.0.2.0/24", "10.0.1.11/32")))
				}
			case 1:
				x.Group = groups[r.IntN(3)]
			}
			if (x.Protocol == "tcp" || x.Protocol == "udp") && r.IntN(2) == 0 {
				for range 1 + r.IntN(2) {
					from := uint16(r.IntN(100))
					x.Ports = append(x.Ports, fabric.PortRange{From: from, To: from + uint16(r.IntN(6000))})
				}
			}
			out = append(out, x)
		}
		return out
	}
	s, t := Subnet("10.0.1.0/24"), Subnet("10.0.2.0/24")
	v := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s, t}})
	for _, g := range groups {
		c.group(g)
	}
	addrs := map[string]string{"a": "10.0.1.10", "b": "10.0.1.11", "c": "10.0.2.10", "d": "10.0.2.11"}
	for name, a := range addrs {
		if name < "c" {
			c.port(name, v, s, a)
		} else {
			c.port(name, v, t, a)
		}
	}
	for range rounds {
		for _, g := range groups {
			c.group(g, rules()...)
		}
		for name := range addrs {
			c.change(name, func(p *fabric.Port) {
				p.Groups = nil
				for _, i := range r.Perm(3)[:r.IntN(4)] {
					p.Groups = append(p.Groups, groups[i])
				}
				p.Quarantine, p.Open = r.IntN(12) == 0, r.IntN(12) == 0
			})
		}
		var list []asked
		for from := range addrs {
			for to, a := range addrs {
				if from == to {
					continue
				}
				for _, q := range []struct {
					protocol string
					port     uint16
				}{{"tcp", 22}, {"tcp", 5432}, {"udp", 80}, {"icmp", 0}} {
					at := netip.AddrPortFrom(netip.MustParseAddr(a), q.port)
					list = append(list, asked{from, q.protocol, at.String(), c.who(c.world.Send(c.ports[from], c.packet(from, q.protocol, at))), ""})
				}
			}
		}
		c.expect(list...)
		c.noDrift("in a drawn world")
	}
	c.clear()
}
