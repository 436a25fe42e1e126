package linux

import (
	"context"
	"crypto/rand"
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
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// wire is a way between two taps.
type wire struct {
	name     string
	one, two *os.File
	mac      net.HardwareAddr // to whom a frame for the second goes
	want     [2]fabric.Port
	mtu      int
}

// bareBridge is what there would be without us: two taps in a bridge.
func bareBridge(b *testing.B, want [2]fabric.Port) wire {
	b.Helper()
	s, err := enter(fmt.Sprintf("awt-bench-%d", os.Getpid()), true)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		name := s.name
		s.close()
		_ = dropNamespace(name)
	})
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "bridge"
	if err := s.link.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		b.Fatal(err)
	}
	bridge := must(s.link.LinkByName("bridge"))
	out := wire{name: "bridge", want: want, mac: want[1].MAC, mtu: 1400}
	for i, f := range []**os.File{&out.one, &out.two} {
		name := fmt.Sprintf("tap%d", i)
		*f = must(openTap(s, name))
		l := must(s.link.LinkByName(name))
		for _, err := range []error{s.link.LinkSetMTU(l, out.mtu), s.link.LinkSetMaster(l, bridge), s.link.LinkSetUp(l)} {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.link.LinkSetUp(bridge); err != nil {
		b.Fatal(err)
	}
	return out
}

// ports are two of the engine's, with change made to them.
func ports(b *testing.B, name string, want [2]fabric.Port, change func(*Engine, *fabric.Port)) wire {
	b.Helper()
	key := strings.ToLower(rand.Text()[:6])
	e := must(Open(b.Context(), Options{Key: key}))
	b.Cleanup(func() {
		e.Close()
		if err := Purge(b.Context(), key, ""); err != nil {
			b.Error(err)
		}
	})
	s := subnet("10.0.0.0/24")
	vpc := id.New()
	if err := e.EnsureVPC(b.Context(), vpc, fabric.VPC{Subnets: []fabric.Subnet{s}}); err != nil {
		b.Fatal(err)
	}
	out := wire{name: name, mac: nearMAC}
	for i, f := range []**os.File{&out.one, &out.two} {
		w := want[i]
		w.VPC, w.Subnet = vpc, s.ID
		change(e, &w)
		seen := must(e.EnsurePort(b.Context(), id.New(), w))
		*f = openTapAt(b, seen.Namespace, seen.Device)
		out.want[i], out.mtu = w, seen.MTU
	}
	return out
}

// twentyRules is a group as a careful tenant has it; the last rule is the one that matters.
func twentyRules(e *Engine, p *fabric.Port) {
	var rules []fabric.Rule
	for i := range 19 {
		rules = append(rules, fabric.Rule{Direction: fabric.Ingress, Priority: 1, Protocol: "tcp", ICMPType: -1,
			Ports: []fabric.PortRange{{From: uint16(1000 + i), To: uint16(1000 + i)}}, Remote: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	}
	group := id.ID("bench")
	rules = append(rules, everything...)
	if err := e.EnsureGroup(context.Background(), group, fabric.Group{Rules: rules}); err != nil {
		panic(err)
	}
	p.Groups = []id.ID{group}
}

func wires(b *testing.B) []wire {
	if os.Geteuid() != 0 {
		b.Skip("needs root")
	}
	want := [2]fabric.Port{}
	for i := range want {
		want[i] = fabric.Port{MAC: net.HardwareAddr{2, 0, 0, 0, 6, byte(i)}, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + i)})}}
	}
	return []wire{
		bareBridge(b, want),
		ports(b, "unchecked", want, func(_ *Engine, p *fabric.Port) { p.Open = true }),
		ports(b, "groups", want, twentyRules),
	}
}

// BenchmarkPackets hands small datagrams of one flow to one tap, as QEMU does, and counts what comes out of the other. Rounds
// take turns, since the machine is never quite alone; the best round of each counts.
func BenchmarkPackets(b *testing.B) {
	list := wires(b)
	best := map[string]float64{}
	for range b.N {
		for range 7 {
			for _, w := range list {
				best[w.name] = max(best[w.name], packets(b, w))
			}
		}
	}
	for _, w := range list {
		b.ReportMetric(best[w.name], w.name+"-pps")
	}
	b.ReportMetric(best["groups"]/best["bridge"], "groups/bridge")
	b.ReportMetric(best["groups"]/best["unchecked"], "groups/unchecked")
}

func packets(b *testing.B, w wire) float64 {
	got := make(chan int, 1)
	_ = w.two.SetReadDeadline(time.Time{})
	go func() {
		buf, n := make([]byte, 70_000), 0
		for {
			k, err := w.two.Read(buf)
			if err != nil {
				got <- n
				return
			}
			if k > 50 && buf[10+12] == 8 && buf[10+13] == 0 && buf[10+23] == 17 {
				n++
			}
		}
	}()
	f := frame(w.want[0].MAC, netip.MustParseAddrPort("10.0.0.10:1000"), netip.MustParseAddrPort("10.0.0.11:2000"))
	copy(f, w.mac)
	f = append(make([]byte, 10), f...) // no offloads
	// What the packet costs is the time of the thread that hands it over: the kernel carries it to the other tap's queue
	// before the call returns. Unlike the time on the wall it does not depend on who else is busy here.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin, sent := time.Now(), 0
	spent := threadTime(b)
	for time.Since(begin) < 300*time.Millisecond {
		for range 64 {
			if _, err := w.one.Write(f); err != nil {
				b.Fatal(err)
			}
			sent++
		}
	}
	spent = threadTime(b) - spent
	_ = w.two.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n := <-got; n < sent/10 {
		b.Fatalf("%s: of %d packets %d arrived", w.name, sent, n)
	}
	return float64(sent) / spent.Seconds()
}

func threadTime(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// BenchmarkStream sends one TCP connection between two machines.
func BenchmarkStream(b *testing.B) {
	list := wires(b)
	pairs := map[string][2]*machine{}
	for _, w := range list {
		s := fabric.Subnet{CIDR: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1")}
		pair := [2]*machine{plug(b, w.want[0], w.one, w.mtu).configure(s), plug(b, w.want[1], w.two, w.mtu).configure(s)}
		var l net.Listener
		if err := pair[1].in(func() (err error) { l, err = net.Listen("tcp", ":9"); return err }); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(io.Discard, c); c.Close() }()
			}
		}()
		pairs[w.name] = pair
	}
	best := map[string]float64{}
	for range b.N {
		for range 5 {
			for _, w := range list {
				best[w.name] = max(best[w.name], stream(b, pairs[w.name]))
			}
		}
	}
	for _, w := range list {
		b.ReportMetric(best[w.name], w.name+"-Gbit/s")
	}
	b.ReportMetric(best["groups"]/best["bridge"], "groups/bridge")
	b.ReportMetric(best["groups"]/best["unchecked"], "groups/unchecked")
}

func stream(b *testing.B, pair [2]*machine) float64 {
	var gbit float64
	err := pair[0].in(func() error {
		c, err := net.DialTimeout("tcp", "10.0.0.11:9", 5*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		buf, n := make([]byte, 256<<10), 0
		begin := time.Now()
		for time.Since(begin) < 400*time.Millisecond {
			k, err := c.Write(buf)
			if n += k; err != nil {
				return err
			}
		}
		gbit = float64(n) * 8 / 1e9 / time.Since(begin).Seconds()
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return gbit
}

// BenchmarkEnsurePort is how long a port takes beside n others.
func BenchmarkEnsurePort(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root")
	}
	for _, n := range []int{0, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			key := strings.ToLower(rand.Text()[:6])
			e := must(Open(b.Context(), Options{Key: key}))
			defer func() { e.Close(); _ = Purge(b.Context(), key, "") }()
			s := subnet("10.0.0.0/16")
			vpc := id.New()
			if err := e.EnsureVPC(b.Context(), vpc, fabric.VPC{Subnets: []fabric.Subnet{s}}); err != nil {
				b.Fatal(err)
			}
			var p fabric.Port
			twentyRules(e, &p)
			p.VPC, p.Subnet = vpc, s.ID
			one := func(i int) id.ID {
				p.MAC = net.HardwareAddr{2, 0, 0, 1, byte(i >> 8), byte(i)}
				p.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(10 + i>>8), byte(i)})}
				name := id.New()
				must(e.EnsurePort(b.Context(), name, p))
				return name
			}
			for i := range n {
				one(i)
			}
			for b.Loop() {
				name := one(n)
				b.StopTimer()
				if err := e.DestroyPort(b.Context(), name); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
