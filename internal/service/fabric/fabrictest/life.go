package fabrictest

import (
	"context"
	"io"
	"iter"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

func keys(c *cloud, list iter.Seq2[id.ID, error]) []id.ID {
	var out []id.ID
	for k, err := range list {
		c.ok(err)
		out = append(out, k)
	}
	return out
}

// life makes everything twice, looks at it, and destroys it twice.
func life(c *cloud) {
	ctx := c.Context()
	s := Subnet("10.0.0.0/24")
	v := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s}})
	c.vpc(v, c.world.VPCs[v])
	g := c.group("", anything()...)
	c.group(g, anything()...)
	p := c.port("a", v, s, "10.0.0.10", in(g))
	first, err := c.engine().ObservePort(ctx, p)
	c.ok(err)
	again, err := c.engine().EnsurePort(ctx, p, c.world.Ports[p])
	c.ok(err)
	if again.Device != first.Device || again.Namespace != first.Namespace || again.MTU != first.MTU || first.Device == "" {
		c.Errorf("the second call gave %+v, the first %+v", again, first)
	}
	for what, list := range map[string]iter.Seq2[id.ID, error]{"VPCs": c.engine().VPCs(ctx), "groups": c.engine().Groups(ctx), "ports": c.engine().Ports(ctx)} {
		if got := keys(c, list); len(got) != 1 {
			c.Errorf("the %s are %v", what, got)
		}
	}
	c.noDrift("after everything was made twice")

	small := s
	small.MTU = 1300
	c.vpc(v, fabric.VPC{Subnets: []fabric.Subnet{small}})
	if seen, err := c.engine().ObservePort(ctx, p); err != nil || seen.MTU != 1300 {
		c.Errorf("the subnet's MTU is 1300, the port's %d (%v)", seen.MTU, err)
	}
	if err := c.engine().DestroyVPC(ctx, v); !fail.Is(err, fail.Precondition) {
		c.Errorf("a VPC with a port was destroyed: %v", err)
	}
	if err := c.engine().DestroyGroup(ctx, g); !fail.Is(err, fail.Precondition) {
		c.Errorf("a group with a member was destroyed: %v", err)
	}
	c.clear()
	c.ok(c.engine().DestroyPort(ctx, p))
	c.ok(c.engine().DestroyGroup(ctx, g))
	c.ok(c.engine().DestroyVPC(ctx, v))
	if _, err := c.engine().ObservePort(ctx, p); !fail.Is(err, fail.Gone) {
		c.Errorf("a destroyed port is observed: %v", err)
	}
	left := slices.Concat(keys(c, c.engine().VPCs(ctx)), keys(c, c.engine().Groups(ctx)), keys(c, c.engine().Ports(ctx)))
	if len(left) > 0 {
		c.Errorf("left over: %v", left)
	}
	c.noDrift("after everything was destroyed")
}

// mistakes are refused with their reason, and change nothing.
func mistakes(c *cloud) {
	ctx := c.Context()
	s := Subnet("10.0.0.0/24")
	v := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s}})
	g := c.group("", anything()...)
	c.port("a", v, s, "10.0.0.10", in(g), func(p *fabric.Port) {
		p.Public = []fabric.Public{{Address: netip.MustParseAddr("198.51.100.1")}}
	})
	good := fabric.Port{VPC: v, Subnet: s.ID, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.11")}, Groups: []id.ID{g}}
	for what, x := range map[string]struct {
		change func(*fabric.Port)
		want   fail.Kind
	}{
		"an address of another port":    {func(p *fabric.Port) { p.Addresses = []netip.Addr{netip.MustParseAddr("10.0.0.10")} }, fail.Conflict},
		"an address outside the subnet": {func(p *fabric.Port) { p.Addresses = []netip.Addr{netip.MustParseAddr("10.0.1.10")} }, fail.Invalid},
		"the gateway's address":         {func(p *fabric.Port) { p.Addresses = []netip.Addr{s.Gateway} }, fail.Invalid},
		"no MAC":                        {func(p *fabric.Port) { p.MAC = nil }, fail.Invalid},
		"the MAC of many":               {func(p *fabric.Port) { p.MAC = net.HardwareAddr{1, 0, 0, 0, 0, 9} }, fail.Invalid},
		"no VPC":                        {func(p *fabric.Port) { p.VPC = id.New() }, fail.Precondition},
		"no subnet":                     {func(p *fabric.Port) { p.Subnet = id.New() }, fail.Precondition},
		"no group":                      {func(p *fabric.Port) { p.Groups = []id.ID{id.New()} }, fail.Precondition},
		"a public address of another": {func(p *fabric.Port) {
			p.Public = []fabric.Public{{Address: netip.MustParseAddr("198.51.100.1")}}
		}, fail.Conflict},
		"a public address without a private one": {func(p *fabric.Port) {
			p.Public = []fabric.Public{{Address: netip.MustParseAddr("198.51.100.2"), To: netip.MustParseAddr("10.0.0.99")}}
		}, fail.Invalid},
	} {
		bad := good
		x.change(&bad)
		if _, err := c.engine().EnsurePort(ctx, id.New(), bad); !fail.Is(err, x.want) {
			c.Errorf("%s: %v, not %s", what, err, x.want)
		}
	}
	for what, bad := range map[string]fabric.VPC{
		"overlapping subnets":      {Subnets: []fabric.Subnet{s, Subnet("10.0.0.128/25")}},
		"a gateway elsewhere":      {Subnets: []fabric.Subnet{{ID: s.ID, CIDR: s.CIDR, Gateway: netip.MustParseAddr("10.9.0.1")}}},
		"a route into a subnet":    {Subnets: []fabric.Subnet{s}, Routes: []fabric.Route{{To: netip.MustParsePrefix("10.0.0.64/26"), Via: netip.MustParseAddr("10.0.0.10")}}},
		"a peer's prefix in ours":  {Subnets: []fabric.Subnet{s}, Peers: []fabric.Peer{{VPC: id.New(), Prefixes: []netip.Prefix{s.CIDR}}}},
		"a protocol without ports": {Subnets: []fabric.Subnet{s}, Forward: []fabric.Forward{{Protocol: "icmp"}}},
		"a range of class E":       {Subnets: []fabric.Subnet{Subnet("240.1.0.0/24")}},
	} {
		if err := c.engine().EnsureVPC(ctx, id.New(), bad); !fail.Is(err, fail.Invalid) {
			c.Errorf("%s: %v", what, err)
		}
	}
	if err := c.engine().EnsureVPC(ctx, v, fabric.VPC{Subnets: []fabric.Subnet{Subnet("10.5.0.0/24")}}); !fail.Is(err, fail.Precondition) {
		c.Errorf("a subnet with a port was taken away: %v", err)
	}
	for what, bad := range map[string]fabric.Rule{
		"no direction":     {Protocol: "tcp"},
		"an odd protocol":  allow("x", "carrier-pigeon", 0),
		"ports of ICMP":    allow("x", "icmp", 8),
		"ports backwards":  allow("x", "tcp", 0, func(r *fabric.Rule) { r.Ports = []fabric.PortRange{{From: 9, To: 1}} }),
		"another family's": allow("x", "tcp", 1, func(r *fabric.Rule) { r.Remote = []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")} }),
	} {
		if err := c.engine().EnsureGroup(ctx, id.New(), fabric.Group{Rules: []fabric.Rule{bad}}); !fail.Is(err, fail.Invalid) {
			c.Errorf("%s: %v", what, err)
		}
	}
	c.noDrift("after mistakes")
}

// restart closes the engine in the middle, and tells it everything again in the usual order.
func restart(c *cloud) {
	s := Subnet("10.0.0.0/24")
	v := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s}})
	web, db := id.New(), id.New()
	c.group(web, slices.Concat(All(fabric.Egress), []fabric.Rule{allow("web", "tcp", 80)})...)
	c.group(db, slices.Concat(All(fabric.Egress), []fabric.Rule{allow("db", "tcp", 5432, func(r *fabric.Rule) { r.Group = web })})...)
	c.port("a", v, s, "10.0.0.10", in(web))
	c.port("b", v, s, "10.0.0.11", in(db))
	story := []asked{{"a", "tcp", "10.0.0.11:5432", "b", "10.0.0.10"}, {"a", "tcp", "10.0.0.11:80", "", ""}, {"b", "tcp", "10.0.0.10:80", "a", ""}}
	c.expect(story...)
	c.lab.Reopen()
	c.expect(story...)
	c.noDrift("after a restart, before anything was told again")
	c.vpc(v, c.world.VPCs[v])
	c.expect(story...)
	c.group(web, c.world.Groups[web].Rules...)
	c.group(db, c.world.Groups[db].Rules...)
	c.change("a", func(*fabric.Port) {})
	c.expect(story...)
	c.change("b", func(*fabric.Port) {})
	c.expect(story...)
	c.noDrift("after everything was told again")
	c.clear()
}

// ends are the cloud's own listeners in a VPC.
func ends(c *cloud) {
	ctx, cancel := context.WithTimeout(c.Context(), 20*time.Second)
	defer cancel()
	s := Subnet("10.0.0.0/24")
	v := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s}})
	w := c.vpc("", fabric.VPC{Subnets: []fabric.Subnet{s}}) // with the same addresses
	for _, addr := range []string{"169.254.169.254:80", "10.0.0.1:8080"} {
		a := netip.MustParseAddrPort(addr)
		l, err := c.engine().Listen(ctx, v, a)
		c.ok(err)
		if _, err := c.engine().Listen(ctx, v, a); !fail.Is(err, fail.Conflict) {
			c.Errorf("two listen at %s: %v", a, err)
		}
		other, err := c.engine().Listen(ctx, w, a)
		c.ok(err)
		go func() {
			if conn, err := l.Accept(); err == nil {
				_, _ = io.WriteString(conn, "v")
				conn.Close()
			}
		}()
		conn, err := c.engine().Dial(ctx, v, "tcp", a)
		c.ok(err)
		if b, err := io.ReadAll(conn); string(b) != "v" {
			c.Errorf("%s: read %q, %v", a, b, err)
		}
		conn.Close()
		c.noDrift("while somebody listens")
		l.Close()
		other.Close()
		if _, err := c.engine().Dial(ctx, v, "tcp", a); !fail.Is(err, fail.Unavailable) {
			c.Errorf("%s: dialled where nobody listens: %v", a, err)
		}
	}
	u, err := c.engine().ListenPacket(ctx, v, netip.AddrPortFrom(s.Gateway, 53))
	c.ok(err)
	defer u.Close()
	go func() {
		buf := make([]byte, 100)
		if n, from, err := u.ReadFrom(buf); err == nil {
			_, _ = u.WriteTo(buf[:n], from)
		}
	}()
	conn, err := c.engine().Dial(ctx, v, "udp", netip.AddrPortFrom(s.Gateway, 53))
	c.ok(err)
	defer conn.Close()
	_, err = io.WriteString(conn, "name?")
	c.ok(err)
	buf := make([]byte, 100)
	if n, err := conn.Read(buf); string(buf[:n]) != "name?" {
		c.Errorf("udp: read %q, %v", buf[:n], err)
	}
	if _, err := c.engine().Listen(ctx, id.New(), netip.MustParseAddrPort("169.254.169.254:80")); !fail.Is(err, fail.Gone) {
		c.Errorf("listening in no VPC: %v", err)
	}
}
