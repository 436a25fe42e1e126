package linux

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// machine stands in for a virtual one: a namespace with an eth0 whose frames a goroutine carries to the port's tap and
// back, as QEMU does.
type machine struct {
	t    testing.TB
	s    *space
	eth  netlink.Link
	want fabric.Port
	ends [2]*os.File
}

// boot plugs a machine into a port that the engine made. It has no address yet.
func boot(t testing.TB, want fabric.Port, seen fabric.SeenPort) *machine {
	t.Helper()
	near := openTapAt(t, seen.Namespace, seen.Device)
	return plug(t, want, near, seen.MTU)
}

func openTapAt(t testing.TB, path, device string) *os.File {
	t.Helper()
	fd, err := netns.GetFromPath(path)
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	f, err := openTap(&space{fd: fd}, device)
	if err != nil {
		t.Fatalf("open the tap %s: %v", device, err)
	}
	return f
}

// plug makes a machine of the other end of a wire.
func plug(t testing.TB, want fabric.Port, near *os.File, mtu int) *machine {
	t.Helper()
	name := fmt.Sprintf("awt-%d-%s", os.Getpid(), tail(id.New()))
	s, err := enter(name, true)
	if err != nil {
		t.Fatal(err)
	}
	far, err := openTap(s, "eth0")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, s: s, want: want, ends: [2]*os.File{near, far}}
	t.Cleanup(m.halt)
	go carry(near, far)
	go carry(far, near)
	if m.eth, err = s.link.LinkByName("eth0"); err != nil {
		t.Fatal(err)
	}
	lo, err := s.link.LinkByName("lo")
	if err == nil {
		err = errors.Join(s.link.LinkSetUp(lo), s.link.LinkSetHardwareAddr(m.eth, want.MAC), s.link.LinkSetMTU(m.eth, mtu),
			s.settings("ipv6/conf/eth0/accept_dad", "0"), s.link.LinkSetUp(m.eth))
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func openTap(s *space, device string) (*os.File, error) {
	var f *os.File
	err := s.run(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		r, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		r.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
			return err
		}
		if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6); err != nil {
			return err
		}
		f = os.NewFile(uintptr(fd), device)
		return nil
	})
	return f, err
}

func carry(from, to *os.File) {
	buf := make([]byte, 70_000)
	for {
		n, err := from.Read(buf)
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		switch {
		case errors.Is(err, os.ErrClosed), errors.Is(err, unix.EBADFD):
			return
		case err != nil:
			time.Sleep(time.Millisecond) // one of the two is switched off: its file knows no waiting for that
		}
	}
}

func (m *machine) halt() {
	_ = m.ends[0].Close()
	_ = m.ends[1].Close()
	name := m.s.name
	m.s.close()
	if err := dropNamespace(name); err != nil {
		m.t.Error(err)
	}
}

// configure gives eth0 the port's addresses as cloud-init would: the subnet's length, the gateway as the way out.
func (m *machine) configure(s fabric.Subnet) *machine {
	m.t.Helper()
	for _, a := range m.want.Addresses {
		bits, gateway, all := s.CIDR.Bits(), s.Gateway, netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if a.Is6() {
			bits, gateway, all = s.CIDR6.Bits(), s.Gateway6, netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		m.address(netip.PrefixFrom(a, bits))
		err := m.s.link.RouteReplace(&netlink.Route{LinkIndex: m.eth.Attrs().Index, Dst: ipNet(all), Gw: gateway.AsSlice()})
		if err != nil {
			m.t.Fatal(err)
		}
	}
	return m
}

func (m *machine) address(p netip.Prefix) {
	m.t.Helper()
	a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := m.s.link.AddrReplace(m.eth, a); err != nil {
		m.t.Fatal(err)
	}
}

// in runs f with sockets of the machine.
func (m *machine) in(f func() error) error { return m.s.run(f) }

// serve answers every connection, and every datagram, with its own name and the address from which it came.
func (m *machine) serve(name string, port uint16) {
	m.t.Helper()
	var l net.Listener
	var u net.PacketConn
	err := m.in(func() (err error) {
		if l, err = net.Listen("tcp", fmt.Sprintf(":%d", port)); err == nil {
			u, err = net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		}
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { l.Close(); u.Close() })
	go answerAll(name, l)
	go echoAll(name, u)
}

func answerAll(name string, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			fmt.Fprintln(c, name, c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap())
			_, _ = io.Copy(c, c)
		}()
	}
}

func echoAll(name string, u net.PacketConn) {
	buf := make([]byte, 2000)
	for {
		_, from, err := u.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = u.WriteTo(fmt.Appendln(nil, name, from.(*net.UDPAddr).AddrPort().Addr().Unmap()), from)
	}
}

// patience is how long a test waits for what should not come.
const patience = 250 * time.Millisecond

// asks connects over "tcp" or "udp" and tells who answered, and as whom it was seen; "" when nothing came back.
func (m *machine) asks(network, to string) (by, as string) {
	_ = m.in(func() error {
		d := net.Dialer{Timeout: patience, FallbackDelay: -1}
		c, err := d.Dial(network, to)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if network == "udp" {
			if _, err := c.Write([]byte("who am I?")); err != nil {
				return err
			}
		}
		buf := make([]byte, 200)
		n, err := c.Read(buf)
		by, as, _ = strings.Cut(strings.TrimSpace(string(buf[:n])), " ")
		return err
	})
	return by, as
}

// pings tells whether an echo request is answered.
func (m *machine) pings(to netip.Addr) bool {
	return m.in(func() error { return ping(to, patience) }) == nil
}

func ping(to netip.Addr, wait time.Duration) error {
	network, kind, number := "ip4:icmp", icmp.Type(ipv4.ICMPTypeEcho), 1
	reply := icmp.Type(ipv4.ICMPTypeEchoReply)
	if to.Is6() {
		network, kind, reply, number = "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, 58
	}
	c, err := icmp.ListenPacket(network, map[bool]string{true: "0.0.0.0", false: "::"}[to.Is4()])
	if err != nil {
		return err
	}
	defer c.Close()
	mark := int(time.Now().UnixNano() & 0xffff)
	b, err := (&icmp.Message{Type: kind, Body: &icmp.Echo{ID: mark, Seq: 1, Data: []byte("awan")}}).Marshal(nil)
	if err != nil {
		return err
	}
	if _, err := c.WriteTo(b, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 1500)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return err
		}
		if m, err := icmp.ParseMessage(number, buf[:n]); err == nil && m.Type == reply && m.Body.(*icmp.Echo).ID == mark {
			return nil
		}
	}
}

// until waits for a condition.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); {
		if time.Now().After(deadline) {
			t.Fatal("it does not come true: ", what)
		}
		runtime.Gosched()
		time.Sleep(5 * time.Millisecond)
	}
}
