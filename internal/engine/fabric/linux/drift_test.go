package linux

import (
	"net/netip"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// TestDriftIsFoundAndRepaired changes the kernel behind the engine's back, in every way that an intruder or a clumsy
// administrator might.
func TestDriftIsFoundAndRepaired(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := subnet("10.0.0.0/24")
	vpc := l.vpc(fabric.VPC{Subnets: []fabric.Subnet{s}, NAT: []fabric.NAT{{From: []netip.Prefix{s.CIDR}}}})
	web := fabric.Rule{Direction: fabric.Ingress, Priority: 1, Protocol: "tcp", Ports: []fabric.PortRange{{From: 80, To: 80}}, ICMPType: -1}
	g := l.group(append([]fabric.Rule{web}, everything[:2]...)...)
	a := l.machine(vpc, s, "10.0.0.10", g)
	port, want, seen := l.port(vpc, s, "10.0.0.11", g)
	b := boot(t, want, seen).configure(s)
	b.serve("b", 80)
	b.serve("b", 22)

	inet := &nftables.Table{Family: nftables.TableFamilyINet, Name: table}
	here := func() *space { return l.spaces[l.vpcSpace(vpc)] }
	change := func(s *space, f func(*nftables.Conn)) error {
		c, err := s.filter()
		if err != nil {
			return err
		}
		f(c)
		return c.Flush()
	}
	tap := func() netlink.Link {
		link, err := here().link.LinkByName(tapName(port))
		if err != nil {
			t.Fatal(err)
		}
		return link
	}
	for _, x := range []struct {
		name string
		do   func() error
		what string
		id   id.ID
	}{
		{"a rule that lets all in", func() error {
			return change(here(), func(c *nftables.Conn) {
				c.InsertRule(&nftables.Rule{Table: inet, Chain: &nftables.Chain{Name: ingressChain(port)}, Exprs: accept()})
			})
		}, "port", port},
		{"a group's rule is gone", func() error {
			return change(here(), func(c *nftables.Conn) {
				c.FlushChain(&nftables.Chain{Table: inet, Name: step{g, fabric.Ingress, 1, false}.chain()})
			})
		}, "group", g},
		{"spoofing is allowed", func() error {
			return change(here(), func(c *nftables.Conn) {
				_ = c.SetAddElements(&nftables.Set{Table: inet, Name: setOpen, KeyType: nftables.TypeIFName}, []nftables.SetElement{{Key: ifname(tapName(port))}})
			})
		}, "vpc", vpc},
		{"a port leads nowhere", func() error {
			return change(here(), func(c *nftables.Conn) {
				_ = c.SetDeleteElements(&nftables.Set{Table: inet, Name: mapIngress, KeyType: nftables.TypeIFName, IsMap: true, DataType: nftables.TypeVerdict},
					[]nftables.SetElement{{Key: ifname(tapName(port))}})
			})
		}, "vpc", vpc},
		{"all rules are gone", func() error { return here().dropTable(table, nftables.TableFamilyINet) }, "vpc", vpc},
		{"ARP is unguarded", func() error { return here().dropTable(arpTable, nftables.TableFamilyARP) }, "vpc", vpc},
		{"a table of somebody else's", func() error {
			return change(here(), func(c *nftables.Conn) {
				c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "backdoor"})
			})
		}, "vpc", vpc},
		{"an interface of somebody else's", func() error {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "backdoor"
			return here().link.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "backdoor2"})
		}, "vpc", vpc},
		{"the tap is off", func() error { return here().link.LinkSetDown(tap()) }, "port", port},
		{"the tap is gone", func() error { return here().link.LinkDel(tap()) }, "port", port},
		{"a route is gone", func() error {
			links, err := here().links()
			if err != nil {
				return err
			}
			routes, err := here().routes(links)
			for r, object := range routes {
				if r.device == tapName(port) {
					err = here().link.RouteDel(object)
				}
			}
			return err
		}, "port", port},
		{"a route around", func() error {
			return here().link.RouteAdd(&netlink.Route{Dst: ipNet(netip.MustParsePrefix("10.9.0.0/16")), LinkIndex: tap().Attrs().Index})
		}, "port", port},
		{"a neighbour was forged", func() error {
			return here().link.NeighSet(neighbor{device: tapName(port), addr: netip.MustParseAddr("10.0.0.11")}.object("02:00:00:00:00:66", map[string]netlink.Link{tapName(port): tap()}))
		}, "port", port},
		{"an address was added", func() error {
			lo, err := here().link.LinkByName("lo")
			if err != nil {
				return err
			}
			return here().link.AddrAdd(lo, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("10.0.0.66/32"))})
		}, "vpc", vpc},
		{"nothing is forwarded", func() error { return here().settings("ipv4/ip_forward", "0") }, "vpc", vpc},
		{"the network is gone", func() error { return dropNamespace(l.vpcSpace(vpc)) }, "vpc", vpc},
		{"the edge is gone", func() error { return dropNamespace(l.edgeSpace()) }, "vpc", ""},
		{"this machine lets all in", func() error { return l.spaces[""].dropTable(l.hostTable(), nftables.TableFamilyINet) }, "vpc", ""},
		{"a network that nobody ordered", func() error {
			s, err := enter(l.vpcSpace(id.New()), true)
			if err == nil {
				s.close()
			}
			return err
		}, "unknown", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			if err := x.do(); err != nil {
				t.Fatal(err)
			}
			found, err := l.Drift(t.Context(), false)
			if err != nil {
				t.Fatal(err)
			}
			hit := false
			for _, f := range found {
				hit = hit || f.What == x.what && (x.id == "" || f.ID == x.id) && !f.Repaired && f.Detail != ""
			}
			if !hit {
				t.Errorf("found %+v", found)
			}
			found, err = l.Drift(t.Context(), true)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				if !f.Repaired {
					t.Errorf("not repaired: %+v", f)
				}
			}
			if left, err := l.Drift(t.Context(), false); err != nil || len(left) > 0 {
				t.Errorf("left: %+v, %v", left, err)
			}
		})
	}
	// The namespace and the tap were made anew, so the machines are plugged in again.
	again := func(want fabric.Port) *machine {
		for name, p := range l.Reach().Ports {
			if p.MAC.String() == want.MAC.String() {
				seen, err := l.ObservePort(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				return boot(t, want, seen).configure(s)
			}
		}
		t.Fatal("the port is not known any more")
		return nil
	}
	a, b = again(a.want), again(want)
	b.serve("b", 80)
	b.serve("b", 22)
	until(t, "what is allowed passes", func() bool { by, _ := a.asks("tcp", "10.0.0.11:80"); return by == "b" })
	if by, _ := a.asks("tcp", "10.0.0.11:22"); by != "" {
		t.Error("what is not allowed passes")
	}
}
