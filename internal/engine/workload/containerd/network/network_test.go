package network

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// lab is a network with instances that are only network namespaces, and an outside world that is one too.
type lab struct {
	*testing.T
	n      *Network
	subnet netip.Prefix
	next   byte
}

var resolver = netip.MustParseAddr("10.254.254.53")

func newLab(t *testing.T) *lab {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	key := strings.ToLower(rand.Text()[:6])
	subnet, err := PickSubnet(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	n, err := Open(t.Context(), Options{Key: key, Subnet: subnet, Log: log, Resolvers: []netip.Addr{resolver}}, nil)
	t.Cleanup(func() {
		if err := Purge(context.Background(), key); err != nil {
			t.Error(err)
		}
		out, _ := exec.Command("sh", "-c", "ip link; ip route; nft list tables").Output()
		if strings.Contains(string(out), key) || strings.Contains(string(out), subnet.Addr().String()) {
			t.Errorf("something is left of %s: %s", key, out)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return &lab{T: t, n: n, subnet: subnet, next: 16}
}

// host is a network namespace with a process in it.
type host struct {
	*lab
	pid  int
	addr netip.Addr
	port Port
}

func (l *lab) namespace() int {
	l.Helper()
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET} // no Pdeathsig: threads of inside end
	if err := cmd.Start(); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

func (l *lab) instance(tenant uint32, egress bool) *host {
	l.Helper()
	b := l.subnet.Addr().As4()
	l.next++
	h := &host{lab: l, pid: l.namespace(), addr: netip.AddrFrom4([4]byte{b[0], b[1], 0, l.next})}
	h.port = Port{Address: h.addr, Tenant: tenant, Egress: egress}
	if err := l.n.Attach(l.Context(), h.port, h.pid); err != nil {
		l.Fatal(err)
	}
	return h
}

// inside runs f in the namespace.
func (h *host) inside(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns, err := netns.GetFromPid(h.pid)
		if err == nil {
			err = netns.Set(ns)
			ns.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// serve answers "hello" to every connection and says from where it came.
func (h *host) serve(addr string) chan string {
	h.Helper()
	from := make(chan string, 64)
	var l net.Listener
	err := h.inside(func() (err error) { l, err = net.Listen("tcp4", addr); return })
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { l.Close() })
	go answer(l, from)
	return from
}

func answer(l net.Listener, from chan string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		select {
		case from <- c.RemoteAddr().(*net.TCPAddr).IP.String():
		default:
		}
		_, _ = io.WriteString(c, "hello")
		c.Close()
	}
}

// reaches tells whether a connection from local ("" for any) comes to be and answers.
func (h *host) reaches(addr string, local string) bool {
	return h.inside(func() error {
		d := net.Dialer{Timeout: 500 * time.Millisecond}
		if local != "" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
		}
		c, err := d.Dial("tcp4", addr)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Second))
		b, err := io.ReadAll(c)
		if err == nil && string(b) != "hello" {
			err = errors.New("no answer")
		}
		return err
	}) == nil
}

// soon is reaches for a new instance: the kernel takes up to a second to see that both ends of a cable are up.
func (h *host) soon(addr string) bool {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if h.reaches(addr, "") {
			return true
		}
	}
	return false
}

func at(a netip.Addr, port int) string { return net.JoinHostPort(a.String(), strconv.Itoa(port)) }

func TestTenantsReachOnlyTheirOwn(t *testing.T) {
	l := newLab(t)
	a1, a2, b := l.instance(1, false), l.instance(1, false), l.instance(2, true)
	a1.serve(":80")
	b.serve(":80")
	if !a2.reaches(at(a1.addr, 80), "") {
		t.Error("same tenant: not reached")
	}
	if b.reaches(at(a1.addr, 80), "") || a1.reaches(at(b.addr, 80), "") {
		t.Error("another tenant: reached")
	}
	// The host reaches all of them, and comes from the gateway's address.
	c, err := net.DialTimeout("tcp4", at(b.addr, 80), time.Second)
	if err != nil {
		t.Fatal("host: not reached:", err)
	}
	if got := c.LocalAddr().(*net.TCPAddr).IP.String(); got != l.n.Gateway().String() {
		t.Errorf("the host comes from %s, not the gateway %s", got, l.n.Gateway())
	}
	c.Close()
}

func TestHostIsClosed(t *testing.T) {
	l := newLab(t)
	a := l.instance(1, true)
	s, err := net.Listen("tcp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	go answer(s, make(chan string))
	port := s.Addr().(*net.TCPAddr).Port
	addrs, _ := net.InterfaceAddrs()
	for _, x := range addrs {
		n := x.(*net.IPNet)
		if ip, ok := netip.AddrFromSlice(n.IP.To4()); ok && a.reaches(at(ip, port), "") && !ip.IsLoopback() {
			t.Errorf("the host's %s is reached", ip)
		}
	}
}

// TestTheGatewayHasOneDoor: instances reach the cloud at one port of the gateway, whatever else the host serves there, and
// nobody but they and this machine does.
func TestTheGatewayHasOneDoor(t *testing.T) {
	l := newLab(t)
	w := l.world()
	from := make(chan string, 64)
	go answer(l.n.Inside(), from)
	t.Cleanup(func() { _ = l.n.Close() })
	a := l.instance(1, false)
	if !a.soon(at(l.n.Gateway(), GatewayPort)) {
		t.Fatal("the gateway is not reached from inside")
	}
	if got := <-from; got != a.addr.String() {
		t.Errorf("the cloud sees %s in the place of %s", got, a.addr)
	}
	if a.reaches(at(l.n.Gateway(), 22), "") || a.reaches(at(l.n.Gateway(), 80), "") {
		t.Error("another port of the host is reached")
	}
	for _, port := range []int{GatewayPort, int(l.n.insidePort())} {
		if w.reaches(at(l.n.Gateway(), port), "") {
			t.Errorf("the world reaches the gateway's port %d", port)
		}
	}
	other := newLab(t)
	if other.instance(1, true).reaches(at(l.n.Gateway(), int(l.n.insidePort())), "") {
		t.Error("another cloud's instance reaches the gateway")
	}
}

func TestForgedSendersAreDropped(t *testing.T) {
	l := newLab(t)
	victim, other, evil := l.instance(1, false), l.instance(1, false), l.instance(2, false)
	from := victim.serve(":80")
	// The attacker has all rights in its namespace: it takes a neighbour's address and MAC.
	err := evil.inside(func() error {
		eth, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.AddrAdd(eth, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(other.addr, 32))})
	})
	if err != nil {
		t.Fatal(err)
	}
	if evil.reaches(at(victim.addr, 80), other.addr.String()) {
		t.Error("a forged sender got an answer")
	}
	select {
	case who := <-from:
		t.Errorf("a connection from %s came through", who)
	default:
	}
	// A datagram needs no answer to do harm.
	got := make(chan string, 1)
	var pc net.PacketConn
	if err := victim.inside(func() (err error) { pc, err = net.ListenPacket("udp4", ":9"); return }); err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	go func() {
		b := make([]byte, 16)
		n, _, err := pc.ReadFrom(b)
		if err == nil {
			got <- string(b[:n])
		}
	}()
	send := func(h *host, text, local string) {
		err := h.inside(func() error {
			c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(local)}, &net.UDPAddr{IP: victim.addr.AsSlice(), Port: 9})
			if err == nil {
				_, err = io.WriteString(c, text)
				c.Close()
			}
			return err
		})
		if err != nil && !errors.Is(err, unix.EPERM) {
			t.Log(text, err)
		}
	}
	send(evil, "forged", other.addr.String())
	send(other, "honest", other.addr.String())
	select {
	case s := <-got:
		if s != "honest" {
			t.Errorf("%s datagram arrived", s)
		}
	case <-time.After(5 * time.Second):
		t.Error("the honest datagram did not arrive")
	}
}

// world is what lies behind the host: a public server, a private one and a resolver, all one namespace.
func (l *lab) world() *host {
	l.Helper()
	w := &host{lab: l, pid: l.namespace(), addr: netip.MustParseAddr("11.99.0.2")}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "tst" + l.n.key + "w"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "world0", PeerNamespace: netlink.NsPid(w.pid)}); err != nil {
		l.Fatal(err)
	}
	must := func(err error) {
		l.Helper()
		if err != nil {
			l.Fatal(err)
		}
	}
	link, err := netlink.LinkByName(attrs.Name)
	must(err)
	l.Cleanup(func() { _ = netlink.LinkDel(link) })
	must(netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("11.99.0.1/24"))}))
	must(netlink.LinkSetUp(link))
	must(sysctl("ipv4/conf/"+attrs.Name+"/forwarding", "1"))
	for _, p := range []string{resolver.String() + "/32", "192.168.77.7/32", "12.0.0.2/32"} {
		must(netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(netip.MustParsePrefix(p)), Gw: w.addr.AsSlice()}))
	}
	must(w.inside(func() error {
		eth, err := netlink.LinkByName("world0")
		if err != nil {
			return err
		}
		for _, p := range []string{"11.99.0.2/24", resolver.String() + "/32", "192.168.77.7/32", "12.0.0.2/32"} {
			if err := netlink.AddrAdd(eth, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix(p))}); err != nil {
				return err
			}
		}
		if err := netlink.LinkSetUp(eth); err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Gw: net.IPv4(11, 99, 0, 1)})
	}))
	return w
}

func TestEgressIsPublicOnlyAndMasqueraded(t *testing.T) {
	l := newLab(t)
	w := l.world()
	// Once more, so that the network that the host is on by now is seen.
	n, err := Open(t.Context(), Options{Key: l.n.key, Subnet: l.subnet, Log: l.n.log, Resolvers: l.n.dns}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.n = n
	from := w.serve(":80")
	w.serve(":53")
	open, closed := l.instance(1, true), l.instance(1, false)
	if !open.reaches("12.0.0.2:80", "") {
		t.Fatal("a public address is not reached")
	}
	if got := <-from; got != "11.99.0.1" {
		t.Errorf("the world sees %s", got)
	}
	for _, a := range []string{"192.168.77.7:80", "11.99.0.2:80", at(resolver, 80), "169.254.169.254:80"} {
		if open.reaches(a, "") {
			t.Errorf("%s is reached", a)
		}
	}
	if !open.reaches(at(resolver, 53), "") {
		t.Error("the resolver's port 53 is not reached")
	}
	for _, a := range []string{"12.0.0.2:80", at(resolver, 53)} {
		if closed.reaches(a, "") {
			t.Errorf("without egress %s is reached", a)
		}
	}
	// From the world nobody comes in, even with a route.
	open.serve(":80")
	if w.reaches(at(open.addr, 80), "") {
		t.Error("the world reaches an instance")
	}
}

func TestOpenAgainKeepsConnectionsAndDetachForgets(t *testing.T) {
	l := newLab(t)
	a, b := l.instance(1, false), l.instance(1, false)
	a.serve(":80")
	n, err := Open(t.Context(), Options{Key: l.n.key, Subnet: l.subnet, Log: l.n.log, Resolvers: l.n.dns}, []Port{a.port, b.port})
	if err != nil {
		t.Fatal(err)
	}
	if !n.Attached(a.port) || !b.reaches(at(a.addr, 80), "") {
		t.Fatal("after opening again the neighbours do not reach each other")
	}
	for range 2 {
		if err := n.Detach(t.Context(), b.port); err != nil {
			t.Fatal(err)
		}
	}
	if n.Attached(b.port) {
		t.Error("still attached")
	}
	if err := n.Attach(t.Context(), b.port, b.pid); err != nil {
		t.Fatal(err)
	}
	other := b.port
	other.Tenant = 9
	if err := n.Attach(t.Context(), other, b.pid); err != nil {
		t.Fatal(err)
	}
	if b.reaches(at(a.addr, 80), "") {
		t.Error("moved to another tenant, it still reaches the old one")
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	l := newLab(t)
	if !l.n.CountsConnections() {
		t.Skip("the kernel's nftables cannot count connections")
	}
	a, b := l.instance(1, false), l.instance(1, false)
	var pc net.PacketConn
	if err := a.inside(func() (err error) { pc, err = net.ListenPacket("udp4", ":9"); return }); err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	err := b.inside(func() error {
		for port := 10000; port < 10000+connections+500; port++ {
			c, err := net.DialUDP("udp4", &net.UDPAddr{Port: port}, &net.UDPAddr{IP: a.addr.AsSlice(), Port: 9})
			if err != nil {
				return err
			}
			_, _ = c.Write([]byte("x"))
			c.Close()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, f := range flows {
		if f.Forward.SrcIP.Equal(b.addr.AsSlice()) {
			count++
		}
	}
	if count > connections+64 || count < connections/2 {
		t.Errorf("%d connections are tracked for one instance", count)
	}
}

func TestPickSubnet(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	a, err := PickSubnet(one)
	if err != nil {
		t.Fatal(err)
	}
	again, err := PickSubnet(one)
	if err != nil || again != a {
		t.Fatalf("not remembered: %v, then %v, %v", a, again, err)
	}
	b, err := PickSubnet(two)
	if err != nil || b.Bits() != 16 || b.Addr().As4()[0] != 10 {
		t.Fatal(b, err)
	}
	for _, r := range Resolvers() {
		if a.Contains(r) || b.Contains(r) {
			t.Errorf("a range holds the resolver %s", r)
		}
	}
}

func TestIntervalsThatTouchAreOne(t *testing.T) {
	var text []string
	for _, e := range intervals([]netip.Prefix{netip.MustParsePrefix("11.0.0.0/24"), netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("224.0.0.0/3"), netip.MustParsePrefix("0.0.0.0/8")}) {
		a, _ := netip.AddrFromSlice(e.Key)
		if e.IntervalEnd {
			text = append(text, "-"+a.String())
		} else {
			text = append(text, a.String())
		}
	}
	if got := strings.Join(text, " "); got != "0.0.0.0 -1.0.0.0 10.0.0.0 -11.0.1.0 224.0.0.0" {
		t.Error(got)
	}
}
