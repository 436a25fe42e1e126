package linux

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/dhcpv6/nclient6"
	"github.com/vishvananda/netlink"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

func TestDHCP(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := subnet("10.0.0.0/22")
	s.Domain, s.NTP, s.MTU = "red.internal", []netip.Addr{netip.MustParseAddr("10.0.0.9")}, 1380
	s.CIDR6, s.Gateway6 = netip.MustParsePrefix("fd00:7::/64"), netip.MustParseAddr("fd00:7::1")
	vpc := l.vpc(fabric.VPC{Subnets: []fabric.Subnet{s}})
	g := l.group() // DHCP needs no rule
	want := fabric.Port{VPC: vpc, Subnet: s.ID, MAC: net.HardwareAddr{2, 0, 0, 0, 7, 1}, Groups: []id.ID{g}, Hostname: "web-1",
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.1.10"), netip.MustParseAddr("fd00:7::ff:fe00:701")}}
	seen, err := l.EnsurePort(t.Context(), id.New(), want)
	if err != nil {
		t.Fatal(err)
	}
	m := boot(t, want, seen)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var lease *nclient4.Lease
	err = m.in(func() error {
		c, err := nclient4.New("eth0", nclient4.WithTimeout(time.Second), nclient4.WithRetry(5))
		if err != nil {
			return err
		}
		defer c.Close()
		lease, err = c.Request(ctx, dhcpv4.WithRequestedOptions(dhcpv4.OptionClasslessStaticRoute))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ack := lease.ACK
	mtu, _ := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options)
	for what, x := range map[string]struct{ got, want any }{
		"address":  {ack.YourIPAddr.String(), "10.0.1.10"},
		"mask":     {net.IP(ack.SubnetMask()).String(), "255.255.252.0"},
		"router":   {ack.Router()[0].String(), "10.0.0.1"},
		"names":    {ack.DNS()[0].String(), "10.0.0.1"},
		"clock":    {ack.NTPServers()[0].String(), "10.0.0.9"},
		"host":     {ack.HostName(), "web-1"},
		"domain":   {ack.DomainName(), "red.internal"},
		"lease":    {ack.IPAddressLeaseTime(0), 24 * time.Hour},
		"metadata": {ack.ClasslessStaticRoute()[0].String(), "route to 169.254.169.254/32 via 10.0.0.1"},
		"mtu":      {mtu, uint16(1380)},
	} {
		if x.got != x.want {
			t.Errorf("%s: %v, not %v", what, x.got, x.want)
		}
	}

	// IPv6: the router announces itself, DHCPv6 gives the address, and the machine could have formed it by itself.
	until(t, "a default route from the router's announcement", func() bool {
		list, err := m.s.link.RouteList(m.eth, netlink.FAMILY_V6)
		for _, r := range list {
			if p, ok := prefixOf(r.Dst); (!ok || p.Bits() == 0) && r.Gw != nil && err == nil {
				return true
			}
		}
		return false
	})
	until(t, "the address that the machine forms", func() bool {
		list, _ := m.s.link.AddrList(m.eth, netlink.FAMILY_V6)
		for _, a := range list {
			if a.IP.String() == "fd00:7::ff:fe00:701" {
				return true
			}
		}
		return false
	})
	var reply *dhcpv6.Message
	err = m.in(func() error {
		// By number, since the net package remembers interfaces' names across namespaces.
		local := &net.UDPAddr{IP: net.ParseIP("fe80::ff:fe00:701"), Port: dhcpv6.DefaultClientPort, Zone: strconv.Itoa(m.eth.Attrs().Index)}
		conn, err := net.ListenUDP("udp6", local)
		if err != nil {
			return err
		}
		to := *nclient6.AllDHCPRelayAgentsAndServers
		to.Zone = local.Zone
		c, err := nclient6.NewWithConn(conn, m.want.MAC, nclient6.WithBroadcastAddr(&to), nclient6.WithTimeout(time.Second), nclient6.WithRetry(5))
		if err != nil {
			return err
		}
		defer c.Close()
		offer, err := c.Solicit(ctx)
		if err == nil {
			reply, err = c.Request(ctx, offer)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := reply.Options.OneIANA().Options.OneAddress().IPv6Addr.String(); got != "fd00:7::ff:fe00:701" {
		t.Errorf("DHCPv6 gives %s", got)
	}
	if got := reply.Options.DNS()[0].String(); got != "fd00:7::1" {
		t.Errorf("DHCPv6 names %s", got)
	}
}

func TestAnAddressMovesToWhoAnnouncesIt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := subnet("10.0.0.0/24")
	vpc := l.vpc(fabric.VPC{Subnets: []fabric.Subnet{s}})
	g := l.group(everything...)
	virtual := netip.MustParseAddr("10.0.0.100")
	pair := map[string]*machine{}
	for i, name := range []string{"one", "two"} {
		want := fabric.Port{VPC: vpc, Subnet: s.ID, MAC: net.HardwareAddr{2, 0, 0, 0, 8, byte(i)}, Groups: []id.ID{g},
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + i)})}, Allowed: []fabric.AddressPair{{Prefix: hostPrefix(virtual)}}}
		seen, err := l.EnsurePort(t.Context(), id.New(), want)
		if err != nil {
			t.Fatal(err)
		}
		pair[name] = boot(t, want, seen).configure(s)
		pair[name].address(hostPrefix(virtual))
		pair[name].serve(name, 80)
	}
	thief := l.machine(vpc, s, "10.0.0.13", g)
	thief.serve("thief", 80)
	a := l.machine(vpc, s, "10.0.0.20", g)
	claim := func(m *machine) []byte {
		b := append(append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, m.want.MAC...), 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
		b = append(append(b, m.want.MAC...), virtual.AsSlice()...)
		return append(append(b, 0, 0, 0, 0, 0, 0), virtual.AsSlice()...)
	}
	for _, name := range []string{"two", "one", "two"} {
		until(t, "the address leads to "+name, func() bool {
			pair[name].spoof(claim(pair[name]))
			by, _ := a.asks("tcp", "10.0.0.100:80")
			return by == name
		})
	}
	thief.spoof(claim(thief))
	if by, _ := a.asks("tcp", "10.0.0.100:80"); by != "two" {
		t.Errorf("after another's claim the address leads to %q", by)
	}
	list, err := l.Drift(t.Context(), false)
	if err != nil || len(list) > 0 {
		t.Errorf("drift: %v, %v", list, err)
	}
}

func TestFlowsAreRecorded(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := subnet("10.0.0.0/24")
	vpc := l.vpc(fabric.VPC{Subnets: []fabric.Subnet{s}})
	web := fabric.Rule{Direction: fabric.Ingress, Priority: 1, Protocol: "tcp", Ports: []fabric.PortRange{{From: 80, To: 80}}, ICMPType: -1}
	g := l.group(append([]fabric.Rule{web}, everything[:2]...)...)
	a := l.machine(vpc, s, "10.0.0.10", g)
	name, want, seen := l.port(vpc, s, "10.0.0.11", g)
	want.FlowLog = true
	if _, err := l.EnsurePort(t.Context(), name, want); err != nil {
		t.Fatal(err)
	}
	b := boot(t, want, seen).configure(s)
	b.serve("b", 80)
	l.machine(vpc, s, "10.0.0.12", l.group(everything...))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	type short struct {
		accepted, in bool
		to           string
	}
	missing := map[short]bool{{true, true, "10.0.0.11:80"}: true, {false, true, "10.0.0.11:22"}: true, {true, false, "10.0.0.12:9"}: true}
	go func() {
		for ctx.Err() == nil {
			a.asks("tcp", "10.0.0.11:80")
			a.asks("tcp", "10.0.0.11:22")
			b.asks("udp", "10.0.0.12:9")
		}
	}()
	for f, err := range l.Flows(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if f.Port != name || f.Packets != 1 || f.Bytes < 28 || f.Protocol == "" {
			t.Errorf("an odd record: %+v", f)
		}
		delete(missing, short{f.Accepted, f.In, f.To.String()})
		if len(missing) == 0 {
			break
		}
	}
	if len(missing) > 0 {
		t.Errorf("never recorded: %v", missing)
	}
}
