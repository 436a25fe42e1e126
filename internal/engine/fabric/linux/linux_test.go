package linux

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// lab is an engine with a cloud of its own.
type lab struct {
	*testing.T
	*Engine
	key  string
	next byte
}

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	l := &lab{T: t, key: strings.ToLower(rand.Text()[:6])}
	l.open()
	t.Cleanup(func() {
		if err := Purge(context.Background(), l.key, ""); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *lab) open() {
	l.Helper()
	e, err := Open(l.Context(), Options{Key: l.key, Log: slog.New(slog.NewTextHandler(l.T.Output(), nil))})
	if err != nil {
		l.Fatal(err)
	}
	l.Engine = e
	l.Cleanup(func() { e.Close() })
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("%+v", err))
	}
	return v
}

func subnet(cidr string) fabric.Subnet {
	p := netip.MustParsePrefix(cidr)
	return fabric.Subnet{ID: id.New(), CIDR: p, Gateway: p.Addr().Next(), DHCP: true}
}

func (l *lab) vpc(v fabric.VPC) id.ID {
	l.Helper()
	name := id.New()
	if err := l.EnsureVPC(l.Context(), name, v); err != nil {
		l.Fatal(err)
	}
	return name
}

// everything lets all pass.
var everything = []fabric.Rule{
	{ID: "out4", Direction: fabric.Egress, Priority: 1, ICMPType: -1}, {ID: "out6", Direction: fabric.Egress, Priority: 1, IPv6: true, ICMPType: -1},
	{ID: "in4", Direction: fabric.Ingress, Priority: 1, ICMPType: -1}, {ID: "in6", Direction: fabric.Ingress, Priority: 1, IPv6: true, ICMPType: -1},
}

func (l *lab) group(rules ...fabric.Rule) id.ID {
	l.Helper()
	name := id.New()
	if err := l.EnsureGroup(l.Context(), name, fabric.Group{Rules: rules}); err != nil {
		l.Fatal(err)
	}
	return name
}

func (l *lab) port(vpc id.ID, s fabric.Subnet, addr string, groups ...id.ID) (id.ID, fabric.Port, fabric.SeenPort) {
	l.Helper()
	l.next++
	want := fabric.Port{VPC: vpc, Subnet: s.ID, MAC: net.HardwareAddr{0x02, 0, 0, 0, 1, l.next},
		Addresses: []netip.Addr{netip.MustParseAddr(addr)}, Groups: groups}
	name := id.New()
	seen, err := l.EnsurePort(l.Context(), name, want)
	if err != nil {
		l.Fatal(err)
	}
	return name, want, seen
}

func (l *lab) machine(vpc id.ID, s fabric.Subnet, addr string, groups ...id.ID) *machine {
	l.Helper()
	_, want, seen := l.port(vpc, s, addr, groups...)
	return boot(l.T, want, seen).configure(s)
}

func TestTwoMachinesOfASubnetTalk(t *testing.T) {
	l := newLab(t)
	s := subnet("10.0.0.0/24")
	vpc := l.vpc(fabric.VPC{Subnets: []fabric.Subnet{s}})
	g := l.group(everything...)
	a, b := l.machine(vpc, s, "10.0.0.10", g), l.machine(vpc, s, "10.0.0.11", g)
	until(t, "a ping", func() bool { return a.pings(netip.MustParseAddr("10.0.0.11")) })
	until(t, "a ping to the gateway", func() bool { return a.pings(s.Gateway) })
	b.serve("b", 80)
	until(t, "a connection", func() bool { _, as := a.asks("tcp", "10.0.0.11:80"); return as == "10.0.0.10" })
}
