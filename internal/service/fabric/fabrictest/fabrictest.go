// Package fabrictest is the contract of the fabric port: every engine runs it. An engine with packets sends them, one
// without answers from its model; each answer is compared with package reach and with what the story says.
package fabrictest

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/fabric/reach"
)

// Served are the ports at which every machine answers TCP and UDP.
var Served = []uint16{22, 80, 5432}

// Answer is who answered, and as whom the asking one was seen.
type Answer struct {
	By id.ID
	As netip.Addr
}

// Lab is an engine with machines at its ports.
type Lab interface {
	Engine() fabric.Engine
	// Reopen closes the engine and opens it again, as after a restart of the process. Machines go on.
	Reopen()
	// Plug puts a machine into a port, which answers at the Served ports, over TCP and UDP, and pings. At a port of the cloud's
	// own the lab itself listens there, through the engine.
	Plug(port id.ID, want fabric.Port, s fabric.Subnet, seen fabric.SeenPort)
	// Asks lets a port's machine ask "tcp", "udp", "icmp" or "icmpv6"; false when no answer came. A ping does not tell who
	// answered.
	Asks(port id.ID, protocol string, to netip.AddrPort) (Answer, bool)
}

// Run tests an engine. open makes a lab that ends with the test, and fails it if anything is left over.
func Run(t *testing.T, open func(*testing.T) Lab) {
	for _, part := range []struct {
		name string
		test func(*cloud)
	}{
		{"Life", life}, {"Mistakes", mistakes}, {"Matrix", matrix}, {"RulesFollow", rulesFollow}, {"Priorities", priorities},
		{"States", states}, {"Pairs", pairs}, {"Outside", outside}, {"Peering", peering}, {"Routes", routes}, {"SixToo", sixToo},
		{"Restart", restart}, {"Ends", ends}, {"Own", own}, {"Chance", chance},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			lab := open(t)
			part.test(&cloud{T: t, lab: lab, world: reach.New(), ports: map[string]id.ID{}, names: map[id.ID]string{}})
		})
	}
}

// cloud is what a story is told with.
type cloud struct {
	*testing.T
	lab   Lab
	world reach.World
	ports map[string]id.ID
	names map[id.ID]string
	mac   byte
}

func (c *cloud) engine() fabric.Engine { return c.lab.Engine() }

func (c *cloud) ok(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// Subnet makes one with the first address as its gateway.
func Subnet(cidr string) fabric.Subnet {
	p := netip.MustParsePrefix(cidr)
	return fabric.Subnet{ID: id.New(), CIDR: p, Gateway: p.Addr().Next(), DHCP: true}
}

func (c *cloud) vpc(name id.ID, want fabric.VPC) id.ID {
	c.Helper()
	if name == "" {
		name = id.New()
	}
	c.ok(c.engine().EnsureVPC(c.Context(), name, want))
	c.world.VPCs[name] = want
	return name
}

func (c *cloud) group(name id.ID, rules ...fabric.Rule) id.ID {
	c.Helper()
	if name == "" {
		name = id.New()
	}
	want := fabric.Group{Rules: rules}
	c.ok(c.engine().EnsureGroup(c.Context(), name, want))
	c.world.Groups[name] = want
	return name
}

// port plugs a machine in, under a name by which the story calls it.
func (c *cloud) port(name string, vpc id.ID, s fabric.Subnet, addr string, change ...func(*fabric.Port)) id.ID {
	c.Helper()
	c.mac++
	want := fabric.Port{VPC: vpc, Subnet: s.ID, MAC: net.HardwareAddr{0x02, 0, 0, 0, 0x10, c.mac}}
	for _, a := range strings.Fields(addr) {
		want.Addresses = append(want.Addresses, netip.MustParseAddr(a))
	}
	for _, f := range change {
		f(&want)
	}
	p := id.New()
	seen, err := c.engine().EnsurePort(c.Context(), p, want)
	c.ok(err)
	c.world.Ports[p], c.ports[name], c.names[p] = want, p, name
	c.lab.Plug(p, want, s, seen)
	return p
}

// change makes a port different.
func (c *cloud) change(name string, f func(*fabric.Port)) {
	c.Helper()
	p := c.ports[name]
	want := c.world.Ports[p]
	f(&want)
	_, err := c.engine().EnsurePort(c.Context(), p, want)
	c.ok(err)
	c.world.Ports[p] = want
}

func in(groups ...id.ID) func(*fabric.Port) {
	return func(p *fabric.Port) { p.Groups = groups }
}

// All lets everything pass, in both families.
func All(d fabric.Direction) []fabric.Rule {
	return []fabric.Rule{{ID: id.ID(d + "4"), Direction: d, Priority: 100, ICMPType: -1}, {ID: id.ID(d + "6"), Direction: d, Priority: 100, IPv6: true, ICMPType: -1}}
}

func anything() []fabric.Rule { return slices.Concat(All(fabric.Ingress), All(fabric.Egress)) }

func allow(name string, protocol string, port uint16, change ...func(*fabric.Rule)) fabric.Rule {
	r := fabric.Rule{ID: id.ID(name), Direction: fabric.Ingress, Priority: 10, Protocol: protocol, ICMPType: -1, ICMPCode: -1}
	if port != 0 {
		r.Ports = []fabric.PortRange{{From: port, To: port}}
	}
	for _, f := range change {
		f(&r)
	}
	return r
}

// asked is one question of a story.
type asked struct {
	from     string
	protocol string
	to       string // an address, or an address and a port
	by       string // the name of who answers, "cloud", "outside" (which is not asked), or "" for nobody
	as       string // as whom it is seen, where that matters
}

// expect asks all at once: what gets no answer takes its time.
func (c *cloud) expect(list ...asked) {
	c.Helper()
	var wg sync.WaitGroup
	few := make(chan struct{}, 48)
	for _, q := range list {
		to, err := netip.ParseAddrPort(q.to)
		if err != nil {
			to = netip.AddrPortFrom(netip.MustParseAddr(q.to), 0)
		}
		p := c.packet(q.from, q.protocol, to)
		model := c.world.Send(c.ports[q.from], p)
		if by := c.who(model); by != q.by {
			c.Errorf("model: %s asks %s %s: answered by %q, not %q (%s)", q.from, q.protocol, q.to, by, q.by, model.Why)
		}
		if q.by == "outside" {
			continue
		}
		wg.Add(1)
		few <- struct{}{}
		go func() {
			defer func() { <-few; wg.Done() }()
			got, ok := c.lab.Asks(c.ports[q.from], q.protocol, to)
			for deadline := time.Now().Add(10 * time.Second); !ok && q.by != "" && time.Now().Before(deadline); { // a busy machine answers late
				got, ok = c.lab.Asks(c.ports[q.from], q.protocol, to)
			}
			by := ""
			if ok {
				by = c.names[got.By]
				if got.By == "" {
					by = q.by // pings and the cloud do not sign
				}
				if by == "" {
					by = "somebody"
				}
			}
			if by != q.by {
				c.Errorf("%s asks %s %s: answered by %q, not %q", q.from, q.protocol, q.to, by, q.by)
			}
			if q.as != "" && ok && got.As.IsValid() && got.As.String() != q.as {
				c.Errorf("%s asks %s %s: seen as %s, not %s", q.from, q.protocol, q.to, got.As, q.as)
			}
		}()
	}
	wg.Wait()
}

func (c *cloud) packet(from, protocol string, to netip.AddrPort) reach.Packet {
	p := reach.Packet{Protocol: protocol, To: to.Addr(), Port: to.Port()}
	if strings.HasPrefix(protocol, "icmp") {
		p = reach.Ping(to.Addr().Is6())
		p.To = to.Addr()
	}
	return p
}

func (c *cloud) who(v reach.Verdict) string {
	switch {
	case !v.Passes:
		return ""
	case v.Outside:
		return "outside"
	case v.To == "":
		return "cloud"
	}
	return c.names[v.To]
}

// noDrift says that the kernel is as wanted.
func (c *cloud) noDrift(when string) {
	c.Helper()
	list, err := c.engine().Drift(c.Context(), false)
	c.ok(err)
	for _, f := range list {
		c.Errorf("drift %s: %s %s: %s", when, f.What, f.ID, f.Detail)
	}
}

// clear destroys everything.
func (c *cloud) clear() {
	c.Helper()
	ctx := context.WithoutCancel(c.Context())
	for p := range c.world.Ports {
		c.ok(c.engine().DestroyPort(ctx, p))
	}
	for g := range c.world.Groups {
		c.ok(c.engine().DestroyGroup(ctx, g))
	}
	for v := range c.world.VPCs {
		c.ok(c.engine().DestroyVPC(ctx, v))
	}
	c.world, c.ports, c.names = reach.New(), map[string]id.ID{}, map[id.ID]string{}
}
