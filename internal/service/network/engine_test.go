package network_test

import (
	"context"
	"errors"
	"iter"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// ear remembers what an engine is told, and gives ends in networks over which a test asks as any address.
type ear struct {
	mu       sync.Mutex
	vpcs     map[id.ID]fabric.VPC
	groups   map[id.ID]fabric.Group
	ports    map[id.ID]fabric.Port
	said     int
	findings []fabric.Finding
	deaf     error
	listen   map[string]chan net.Conn // by network and address
	traffic  fabric.Traffic           // of every public address
}

func newEar() *ear {
	return &ear{vpcs: map[id.ID]fabric.VPC{}, groups: map[id.ID]fabric.Group{}, ports: map[id.ID]fabric.Port{}, listen: map[string]chan net.Conn{}}
}

func (e *ear) hear(f func() error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said++
	if e.deaf != nil {
		return e.deaf
	}
	return f()
}

func (e *ear) EnsureVPC(_ context.Context, i id.ID, want fabric.VPC) error {
	return e.hear(func() error { e.vpcs[i] = want; return nil })
}

func (e *ear) DestroyVPC(_ context.Context, i id.ID) error {
	return e.hear(func() error {
		for _, p := range e.ports {
			if p.VPC == i {
				return errors.New("a port is still in it")
			}
		}
		delete(e.vpcs, i)
		return nil
	})
}

func (e *ear) EnsureGroup(_ context.Context, i id.ID, want fabric.Group) error {
	return e.hear(func() error {
		for _, r := range want.Rules {
			if _, there := e.groups[r.Group]; r.Group != "" && r.Group != i && !there {
				return errors.New("a rule names a group that is not there")
			}
		}
		e.groups[i] = want
		return nil
	})
}

func (e *ear) DestroyGroup(_ context.Context, i id.ID) error {
	return e.hear(func() error { delete(e.groups, i); return nil })
}

func (e *ear) EnsurePort(_ context.Context, i id.ID, want fabric.Port) (fabric.SeenPort, error) {
	return fabric.SeenPort{Device: "tap" + string(i[:8]), MTU: 1500}, e.hear(func() error {
		if !slices.ContainsFunc(e.vpcs[want.VPC].Subnets, func(s fabric.Subnet) bool { return s.ID == want.Subnet }) {
			return errors.New("the subnet is not there")
		}
		for _, g := range want.Groups {
			if _, there := e.groups[g]; !there {
				return errors.New("a group is not there")
			}
		}
		e.ports[i] = want
		return nil
	})
}

func (e *ear) ObservePort(_ context.Context, i id.ID) (fabric.SeenPort, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, there := e.ports[i]
	if !there {
		return fabric.SeenPort{}, fail.New(fail.Gone, "no port")
	}
	seen := fabric.SeenPort{Up: true, Counters: fabric.Counters{InBytes: 7}, Public: map[netip.Addr]fabric.Traffic{}}
	for _, u := range p.Public {
		seen.Public[u.Address] = e.traffic
	}
	return seen, nil
}

func (e *ear) DestroyPort(_ context.Context, i id.ID) error {
	return e.hear(func() error { delete(e.ports, i); return nil })
}

func list[V any](e *ear, m map[id.ID]V) iter.Seq2[id.ID, error] {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := slices.Collect(maps.Keys(m))
	return func(yield func(id.ID, error) bool) {
		for _, i := range all {
			if !yield(i, nil) {
				return
			}
		}
	}
}

func (e *ear) VPCs(context.Context) iter.Seq2[id.ID, error]   { return list(e, e.vpcs) }
func (e *ear) Groups(context.Context) iter.Seq2[id.ID, error] { return list(e, e.groups) }
func (e *ear) Ports(context.Context) iter.Seq2[id.ID, error]  { return list(e, e.ports) }

func (e *ear) Drift(context.Context, bool) ([]fabric.Finding, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.findings
	e.findings = nil
	return out, nil
}

func (e *ear) Flows(ctx context.Context) iter.Seq2[fabric.Flow, error] {
	return func(func(fabric.Flow, error) bool) { <-ctx.Done() }
}

func (e *ear) Capabilities(context.Context) fabric.Capabilities {
	return fabric.Capabilities{Name: "ear"}
}
func (e *ear) Close() error { return nil }

// end is a listener whose other side is called what a test says.
type end struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
	at    net.Addr
}

func (l *end) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *end) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *end) Addr() net.Addr { return l.at }

func key(vpc id.ID, at netip.AddrPort) string { return string(vpc) + "/" + at.String() }

func (e *ear) Listen(_ context.Context, vpc id.ID, at netip.AddrPort) (net.Listener, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := &end{conns: make(chan net.Conn), done: make(chan struct{}), at: net.TCPAddrFromAddrPort(at)}
	e.listen[key(vpc, at)] = l.conns
	return l, nil
}

func (e *ear) ListenPacket(context.Context, id.ID, netip.AddrPort) (net.PacketConn, error) {
	return net.ListenPacket("udp", "127.0.0.1:0")
}

func (e *ear) DialFrom(context.Context, id.ID, string, netip.AddrPort) (net.Conn, error) {
	return nil, fail.New(fail.Unsupported, "it only listens")
}

func (e *ear) Dial(context.Context, id.ID, string, netip.AddrPort) (net.Conn, error) {
	return nil, errors.New("nobody is there")
}

// from dials an end of the cloud's own in a network, as an address of it.
func (e *ear) from(t *testing.T, vpc id.ID, source string, at netip.AddrPort) net.Conn {
	e.mu.Lock()
	to := e.listen[key(vpc, at)]
	e.mu.Unlock()
	if to == nil {
		t.Fatalf("nobody listens at %s of %s", at, vpc)
	}
	near, far := net.Pipe()
	to <- named{far, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(source + ":40000"))}
	return near
}

type named struct {
	net.Conn
	as net.Addr
}

func (c named) RemoteAddr() net.Addr { return c.as }
