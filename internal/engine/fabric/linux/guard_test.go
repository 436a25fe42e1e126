package linux

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// open connects to a machine and tells whether the connection still carries what is said.
func (m *machine) connect(to string) (say func() bool) {
	m.t.Helper()
	var c net.Conn
	until(m.t, "a connection to "+to, func() bool {
		return m.in(func() (err error) {
			c, err = (&net.Dialer{Timeout: time.Second}).Dial("tcp", to)
			return err
		}) == nil
	})
	m.t.Cleanup(func() { c.Close() })
	r := bufio.NewReader(c)
	if _, err := r.ReadString('\n'); err != nil {
		m.t.Fatal(err)
	}
	return func() bool {
		_ = c.SetDeadline(time.Now().Add(2 * patience))
		if _, err := io.WriteString(c, "still here\n"); err != nil {
			return false
		}
		line, err := r.ReadString('\n')
		return err == nil && line == "still here\n"
	}
}

func TestOpenConnectionsEndWithTheirRight(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := subnet("10.0.0.0/24")
	vpc := l.vpc(fabric.VPC{Subnets: []fabric.Subnet{s}})
	in := func(port uint16) fabric.Rule {
		return fabric.Rule{Direction: fabric.Ingress, Priority: 1, Protocol: "tcp", Ports: []fabric.PortRange{{From: port, To: port}}, ICMPType: -1}
	}
	out := l.group(everything[:2]...)
	g := l.group(in(80), in(22))
	a := l.machine(vpc, s, "10.0.0.10", out)
	name, want, seen := l.port(vpc, s, "10.0.0.11", g)
	b := boot(t, want, seen).configure(s)
	b.serve("b", 80)
	b.serve("b", 22)
	web, shell := a.connect("10.0.0.11:80"), a.connect("10.0.0.11:22")
	if !web() || !shell() {
		t.Fatal("connections that were just made are silent")
	}
	if err := l.EnsureGroup(t.Context(), g, fabric.Group{Rules: []fabric.Rule{in(22)}}); err != nil {
		t.Fatal(err)
	}
	if web() {
		t.Error("a connection goes on without a rule for it")
	}
	if !shell() {
		t.Error("a connection that is still allowed ended with another's rule")
	}
	want.Quarantine = true
	if _, err := l.EnsurePort(t.Context(), name, want); err != nil {
		t.Fatal(err)
	}
	if shell() {
		t.Error("a connection goes on in quarantine")
	}
}

// spoof sends a frame from the machine's interface as it is.
func (m *machine) spoof(frame []byte) {
	m.t.Helper()
	err := m.in(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: m.eth.Attrs().Index})
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// frame is a UDP datagram.
func frame(mac net.HardwareAddr, from, to netip.AddrPort) []byte {
	udp := binary.BigEndian.AppendUint16(nil, from.Port())
	udp = binary.BigEndian.AppendUint16(udp, to.Port())
	udp = append(udp, 0, 12, 0, 0, 's', 'p', 'o', 'f')
	ip := []byte{0x45, 0, 0, byte(20 + len(udp)), 0, 1, 0, 0, 64, 17, 0, 0}
	ip = append(append(ip, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	return append(append(append(append([]byte{}, nearMAC...), mac...), 8, 0), append(ip, udp...)...)
}

func TestNobodySpeaksAsSomebodyElse(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := subnet("10.0.0.0/24")
	vpc := l.vpc(fabric.VPC{Subnets: []fabric.Subnet{s}})
	g := l.group(everything...)
	name, want, seen := l.port(vpc, s, "10.0.0.10", g)
	a := boot(t, want, seen).configure(s)
	b := l.machine(vpc, s, "10.0.0.11", g)
	heard := make(chan string, 16)
	var u net.PacketConn
	if err := b.in(func() (err error) { u, err = net.ListenPacket("udp4", ":68"); return err }); err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	go func() {
		buf := make([]byte, 100)
		for {
			_, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			heard <- from.String()
		}
	}()
	at := netip.MustParseAddrPort
	other := net.HardwareAddr{2, 0, 0, 0, 0, 99}
	a.spoof(frame(other, at("10.0.0.10:1"), at("10.0.0.11:68")))       // another's MAC
	a.spoof(frame(want.MAC, at("10.0.0.12:2"), at("10.0.0.11:68")))    // another's address
	a.spoof(frame(want.MAC, at("10.0.0.1:3"), at("10.0.0.11:68")))     // the gateway's
	a.spoof(frame(want.MAC, at("198.51.100.1:4"), at("10.0.0.11:68"))) // the outside's
	a.spoof(frame(want.MAC, at("10.0.0.10:67"), at("10.0.0.11:68")))   // as a DHCP server
	a.spoof(frame(want.MAC, at("10.0.0.10:5"), at("10.0.0.11:68")))    // its own
	until(t, "the honest packet", func() bool { return len(heard) > 0 })
	if got := <-heard; got != "10.0.0.10:5" || len(heard) > 0 {
		t.Errorf("heard %s, and %d more", got, len(heard))
	}
	until(t, "the refused packets are counted", func() bool {
		seen, err := l.ObservePort(t.Context(), name)
		return err == nil && seen.Counters.Dropped >= 4 && seen.Counters.OutPackets > 0
	})

	// ARP: the claim to another's address moves nothing.
	claim := append(append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, want.MAC...), 8, 6, 0, 1, 8, 0, 6, 4, 0, 2)
	claim = append(append(claim, want.MAC...), 10, 0, 0, 11)
	claim = append(append(claim, nearMAC...), 10, 0, 0, 1)
	a.spoof(claim)
	b.serve("b", 80)
	c := l.machine(vpc, s, "10.0.0.13", g)
	until(t, "the true one is still reached", func() bool { by, _ := c.asks("tcp", "10.0.0.11:80"); return by == "b" })
	list, err := l.spaces[l.vpcSpace(vpc)].link.NeighList(0, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range list {
		if n.IP.String() == "10.0.0.11" && n.HardwareAddr.String() != b.want.MAC.String() {
			t.Errorf("10.0.0.11 is believed to be at %s", n.HardwareAddr)
		}
	}
}

func TestTheMachineIsClosed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := subnet("10.0.0.0/24")
	vpc := l.vpc(fabric.VPC{Subnets: []fabric.Subnet{s}, NAT: []fabric.NAT{{From: []netip.Prefix{s.CIDR}}}})
	g := l.group(everything...)
	name, want, seen := l.port(vpc, s, "10.0.0.10", g)
	a := boot(t, want, seen).configure(s)
	want.Public = []fabric.Public{{Address: netip.MustParseAddr("198.51.100.77")}}
	host, err := net.Listen("tcp", ":0") // at all addresses of this machine
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	go answerAll("host", host)
	port := host.Addr().(*net.TCPAddr).Port
	for _, with := range []string{"without a public address", "with one"} {
		addrs, _ := net.InterfaceAddrs()
		var wg sync.WaitGroup
		for _, x := range addrs {
			ip := x.(*net.IPNet).IP
			if ip.IsLoopback() || ip.To4() == nil {
				continue
			}
			wg.Go(func() {
				if by, _ := a.asks("tcp", fmt.Sprintf("%s:%d", ip, port)); by != "" {
					t.Errorf("%s the machine's %s is reached", with, ip)
				}
			})
		}
		wg.Wait()
		own, err := l.cloudAddress(l.spaces[""])
		if err != nil {
			t.Fatal(err)
		}
		for _, ip := range []netip.Addr{own, l.w.links[vpc]} {
			if by, _ := a.asks("tcp", netip.AddrPortFrom(ip, uint16(port)).String()); by != "" {
				t.Errorf("%s something answers at %s", with, ip)
			}
		}
		if _, err := l.EnsurePort(t.Context(), name, want); err != nil {
			t.Fatal(err)
		}
	}
	// A port that has too many connections gets no more.
	l.mu.Lock()
	l.connections = 3
	err = l.refresh(vpc)
	l.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	greedy := l.machine(vpc, s, "10.0.0.12", g)
	for i := range 8 { // to where nobody is: each stays in the table for a while
		greedy.asks("udp", fmt.Sprintf("203.0.113.200:%d", 1000+i))
	}
	if err := greedy.in(func() error {
		c, err := net.Dial("udp", "203.0.113.200:2000")
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write([]byte("one too many")); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return err
	}); !errors.Is(err, unix.EHOSTUNREACH) {
		t.Errorf("one connection too many: %v", err)
	}
	if list, err := l.Drift(t.Context(), false); err != nil || len(list) > 0 {
		t.Errorf("drift: %v, %v", list, err)
	}
	// The machine itself reaches the public address, as the groups allow.
	a.serve("a", 80)
	until(t, "the machine reaches it", func() bool {
		c, err := net.DialTimeout("tcp", "198.51.100.77:80", patience)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	if err := l.EnsureGroup(t.Context(), g, fabric.Group{Rules: everything[:2]}); err != nil {
		t.Fatal(err)
	}
	if c, err := net.DialTimeout("tcp", "198.51.100.77:80", patience); err == nil {
		c.Close()
		t.Error("the machine reaches it past its groups")
	}
}

// world is a network on the other side of this machine.
func world(t *testing.T, n byte) *machine {
	t.Helper()
	name := fmt.Sprintf("awt-w%d-%s", n, tail(id.New()))
	s, err := enter(name, true)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, s: s}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "wt" + tail(id.New())[:8]
	err = netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(s.fd))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.close()
		if err := dropNamespace(name); err != nil {
			t.Error(err)
		}
		if l, err := netlink.LinkByName(attrs.Name); err == nil {
			_ = netlink.LinkDel(l)
		}
	})
	near, err := netlink.LinkByName(attrs.Name)
	if err != nil {
		t.Fatal(err)
	}
	if m.eth, err = s.link.LinkByName("eth0"); err != nil {
		t.Fatal(err)
	}
	// 198.18.0.0/15 is for tests of networks (RFC 2544).
	here, there := netip.AddrFrom4([4]byte{198, 18, n, 1}), netip.AddrFrom4([4]byte{198, 18, n, 2})
	if err := netlink.AddrAdd(near, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(here, 24))}); err != nil {
		t.Fatal(err)
	}
	machine, err := host()
	if err != nil {
		t.Fatal(err)
	}
	defer machine.close()
	if err := machine.settings("ipv4/conf/"+attrs.Name+"/forwarding", "1"); err != nil {
		t.Fatal(err)
	}
	if err := s.link.LinkSetUp(m.eth); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(near); err != nil {
		t.Fatal(err)
	}
	m.address(netip.PrefixFrom(there, 24))
	if err := s.link.RouteReplace(&netlink.Route{LinkIndex: m.eth.Attrs().Index, Gw: here.AsSlice()}); err != nil {
		t.Fatal(err)
	}
	m.want.Addresses = []netip.Addr{there}
	return m
}

func TestTheOutside(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := subnet("10.0.0.0/24")
	vpc := l.vpc(fabric.VPC{Subnets: []fabric.Subnet{s}, NAT: []fabric.NAT{{From: []netip.Prefix{s.CIDR}}}})
	web := []fabric.Rule{{Direction: fabric.Ingress, Priority: 1, Protocol: "tcp", Ports: []fabric.PortRange{{From: 80, To: 80}}, ICMPType: -1}}
	g := l.group(append(web, everything[:2]...)...)
	a := l.machine(vpc, s, "10.0.0.10", g)
	name, want, seen := l.port(vpc, s, "10.0.0.11", g)
	b := boot(t, want, seen).configure(s)
	out := world(t, byte(200+len(l.key)%7))
	out.serve("world", 80)
	at := netip.AddrPortFrom(out.want.Addresses[0], 80).String()
	until(t, "the outside, as this machine", func() bool { by, _ := a.asks("tcp", at); return by == "world" })
	if _, as := a.asks("tcp", at); as == "10.0.0.10" {
		t.Errorf("the outside sees %s", as)
	}
	public := netip.MustParseAddr("203.0.113.9")
	want.Public = []fabric.Public{{Address: public}}
	if _, err := l.EnsurePort(t.Context(), name, want); err != nil {
		t.Fatal(err)
	}
	until(t, "the outside, as the public address", func() bool { by, as := b.asks("tcp", at); return by == "world" && as == public.String() })
	b.serve("b", 80)
	b.serve("b", 22)
	until(t, "in from the outside", func() bool {
		by, as := out.asks("tcp", public.String()+":80")
		return by == "b" && as == out.want.Addresses[0].String()
	})
	if by, _ := out.asks("tcp", public.String()+":22"); by != "" {
		t.Error("the outside comes in past the groups")
	}
	if out.pings(netip.MustParseAddr("10.0.0.11")) {
		t.Error("the outside reaches a private address")
	}
	l.mu.Lock()
	l.unrouted = []netip.Prefix{netip.PrefixFrom(public, 24).Masked()}
	l.mu.Unlock()
	want.Hostname = "again"
	if _, err := l.EnsurePort(t.Context(), name, want); err != nil {
		t.Fatal(err)
	}
	until(t, "the outside, as this machine where nobody knows the way back", func() bool {
		by, as := b.asks("tcp", at)
		return by == "world" && as != public.String()
	})
	if seen, err := l.ObservePort(t.Context(), name); err != nil || len(seen.Public) != 1 || !counted(seen) {
		t.Errorf("what went over the public address is not counted: %+v, %v", seen.Public, err)
	}
}

// counted tells whether bytes went both ways over each public address.
func counted(seen fabric.SeenPort) bool {
	for _, t := range seen.Public {
		if t.In == 0 || t.Out == 0 {
			return false
		}
	}
	return true
}

func TestDestroyingLeavesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s, u := subnet("10.0.0.0/24"), subnet("10.1.0.0/24")
	v, w := id.New(), id.New()
	for vpc, want := range map[id.ID]fabric.VPC{
		v: {Subnets: []fabric.Subnet{s}, NAT: []fabric.NAT{{From: []netip.Prefix{s.CIDR}}}, Peers: []fabric.Peer{{VPC: w, Prefixes: []netip.Prefix{u.CIDR}}}},
		w: {Subnets: []fabric.Subnet{u}, Peers: []fabric.Peer{{VPC: v, Prefixes: []netip.Prefix{s.CIDR}}}},
	} {
		if err := l.EnsureVPC(t.Context(), vpc, want); err != nil {
			t.Fatal(err)
		}
	}
	g := l.group(everything...)
	name, want, seen := l.port(v, s, "10.0.0.10", g)
	boot(t, want, seen) // holds the tap open while all is destroyed
	want.Public = []fabric.Public{{Address: netip.MustParseAddr("203.0.113.77")}}
	if _, err := l.EnsurePort(t.Context(), name, want); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{l.DestroyPort(t.Context(), name), l.DestroyGroup(t.Context(), g), l.DestroyVPC(t.Context(), v), l.DestroyVPC(t.Context(), w)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if left := traces(l.key, "203.0.113.77"); left != "" {
		t.Errorf("left over: %s", left)
	}
}

// traces are what can be seen of a cloud on this machine.
func traces(key string, also ...string) string {
	var out []string
	b, _ := exec.CommandContext(context.Background(), "sh", "-c", "ls /run/netns; ip link; ip route show table all; nft list tables; ip neigh show proxy").Output()
	for _, line := range strings.Split(string(b), "\n") {
		if slices.ContainsFunc(append(also, key), func(mark string) bool { return strings.Contains(line, mark) }) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}
