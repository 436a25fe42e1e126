// Package linux makes networks on this machine: one network namespace a VPC, in it one tap a port, routed and never
// bridged, so that every packet, also one to the next machine of the same subnet, crosses the hooks where connections are
// tracked and groups decide. The namespace answers for all addresses of its subnets, so machines see one flat network
// with their neighbours in it. Multicast and broadcast between machines do not exist.
//
//	machine ─ tap ┐ VPC namespace                 edge namespace           this machine
//	machine ─ tap ┼ gateways, groups, NAT ─ up ── v… ┬ root ─────────── aw-KEY ─ forwarding ─ the outside
//	              └ x… ── peer's namespace          └ other VPCs
//
// It talks netlink only, and imports the fabric port, kernel/fail and kernel/id.
package linux

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/fabric/reach"
)

// Options say how to open the engine.
type Options struct {
	// Key tells this cloud's things on the machine from another cloud's. [a-z0-9]{6}
	Key string
	// State is where it keeps what it was told, for as long as the machine is up. "": /run/awan-net/KEY
	State string
	// Outside are private ranges that machines may reach through NAT, beside all public addresses.
	Outside []netip.Prefix
	// Unrouted are public addresses to which nobody outside knows the way back: what leaves this machine from them goes as
	// the machine.
	Unrouted []netip.Prefix
	Log      *slog.Logger
}

// Engine is the networks of one cloud.
type Engine struct {
	key      string
	log      *slog.Logger
	outside  []netip.Prefix
	unrouted []netip.Prefix
	mtu      int
	// connections to the outside that a port may have; tests make it small
	connections uint32

	mu      sync.Mutex
	w       *wants
	spaces  map[string]*space
	ends    map[id.ID]map[netip.Addr]int // listeners by VPC and address
	served  map[id.ID]served             // DHCP and router announcements
	readers map[chan fabric.Flow]bool
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	closed  bool
}

var _ fabric.Engine = (*Engine)(nil)

// Open adopts what a process before this one left. It changes nothing until it is told something.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if len(o.Key) != 6 {
		return nil, fail.Field("key", "a cloud's key has six letters or digits")
	}
	if o.State == "" {
		o.State = filepath.Join("/run/awan-net", o.Key)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if why := obstacle(); why != "" {
		return nil, fail.New(fail.Unsupported, "this machine cannot carry networks: %s", why).Then("run as root on a kernel with nftables, connection tracking, TUN and veth")
	}
	w, err := recall(o.State)
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "cannot read what the network was told")
	}
	e := &Engine{key: o.Key, log: o.Log, outside: o.Outside, unrouted: o.Unrouted, w: w, spaces: map[string]*space{}, ends: map[id.ID]map[netip.Addr]int{},
		served: map[id.ID]served{}, readers: map[chan fabric.Flow]bool{}, mtu: uplinkMTU(), connections: connections}
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for vpc := range w.VPCs {
		if s, err := e.space(e.vpcSpace(vpc)); err == nil {
			e.serve(vpc, s)
		}
	}
	return e, nil
}

// Close ends what this process does: listeners and DHCP. Packets go on.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.cancel()
	for vpc := range e.served {
		e.unserve(vpc)
	}
	for _, s := range e.spaces {
		s.close()
	}
	clear(e.spaces)
	return nil
}

// space is an open namespace; "" is the machine's. It must be there.
func (e *Engine) space(name string) (*space, error) {
	if s := e.spaces[name]; s != nil {
		return s, nil
	}
	var s *space
	var err error
	if name == "" {
		if s, err = host(); err == nil {
			s.own = e.hostCable()
		}
	} else {
		s, err = enter(name, false)
	}
	if err == nil {
		e.spaces[name] = s
	}
	return s, err
}

// grow is space, which makes what is not there.
func (e *Engine) grow(name string) (*space, error) {
	if s := e.spaces[name]; s != nil && s.there() {
		return s, nil
	} else if s != nil {
		s.close()
		delete(e.spaces, name)
	}
	s, err := enter(name, true)
	if err != nil {
		return nil, err
	}
	e.spaces[name] = s
	return s, s.settings(routing...)
}

// routing are the settings of a namespace in which packets are routed between ports. They come before any interface, which
// takes over the defaults.
var routing = []string{
	"ipv4/ip_forward", "1",
	"ipv4/conf/all/rp_filter", "0", "ipv4/conf/default/rp_filter", "0", // stricter rules of ours say who may send as whom
	"ipv4/conf/all/send_redirects", "0", "ipv4/conf/default/send_redirects", "0",
	"ipv4/conf/all/accept_redirects", "0", "ipv4/conf/default/accept_redirects", "0",
	"ipv4/conf/default/proxy_arp", "1",
	"ipv6/conf/all/forwarding", "1", "ipv6/conf/default/forwarding", "1",
	"ipv6/conf/all/proxy_ndp", "1", "ipv6/conf/default/proxy_ndp", "1",
	"ipv6/conf/default/accept_ra", "0", "ipv6/conf/default/accept_dad", "0", "ipv6/conf/default/dad_transmits", "0",
}

// refresh makes the kernel equal to what is wanted of these VPCs, of the edge and of the machine.
func (e *Engine) refresh(vpcs ...id.ID) error {
	slices.Sort(vpcs)
	vpcs = slices.Compact(vpcs)
	needed := e.edgeNeeded()
	if needed {
		if _, err := e.grow(e.edgeSpace()); err != nil {
			return err
		}
	}
	for _, vpc := range vpcs {
		if _, ok := e.w.VPCs[vpc]; !ok {
			continue
		}
		s, err := e.space(e.vpcSpace(vpc))
		if err != nil {
			return err
		}
		v := e.view(vpc)
		if err := e.realise(s, v.plan(e)); err != nil {
			return err
		}
		if err := e.sever(s, v); err != nil {
			return err
		}
		e.serve(vpc, s)
	}
	return e.refreshEdge(needed)
}

// around are a VPC and those that peer with it.
func (e *Engine) around(vpc id.ID) []id.ID {
	out := []id.ID{vpc}
	for name, v := range e.w.VPCs {
		if slices.ContainsFunc(v.Peers, func(p fabric.Peer) bool { return p.VPC == vpc }) {
			out = append(out, name)
		}
	}
	for _, p := range e.w.VPCs[vpc].Peers {
		out = append(out, p.VPC)
	}
	return out
}

func (e *Engine) lock() (func(), error) {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil, fail.New(fail.Unavailable, "the network engine is closed")
	}
	return e.mu.Unlock, nil
}

// EnsureVPC implements fabric.Engine.
func (e *Engine) EnsureVPC(_ context.Context, vpc id.ID, want fabric.VPC) error {
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.w.CheckVPC(vpc, want); err != nil {
		return err
	}
	if !e.w.links[vpc].IsValid() {
		if e.w.links[vpc], err = e.freeLink(vpc); err != nil {
			return err
		}
	}
	touched := e.around(vpc)
	e.w.VPCs[vpc] = want
	if err := e.w.keepVPC(vpc); err != nil {
		return fail.Wrap(err, fail.Internal, "cannot note the VPC")
	}
	if _, err := e.grow(e.vpcSpace(vpc)); err != nil {
		return fail.Wrap(err, fail.Internal, "cannot make the VPC's namespace")
	}
	return internal(e.refresh(append(touched, e.around(vpc)...)...), "cannot set up the VPC")
}

// DestroyVPC implements fabric.Engine.
func (e *Engine) DestroyVPC(_ context.Context, vpc id.ID) error {
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.w.CheckDestroyVPC(vpc); err != nil {
		return err
	}
	touched := e.around(vpc)
	delete(e.w.VPCs, vpc)
	delete(e.w.links, vpc)
	delete(e.ends, vpc)
	e.unserve(vpc)
	if err := e.raze(e.vpcSpace(vpc)); err != nil {
		return internal(err, "cannot remove the VPC's namespace")
	}
	if err := e.w.forget("vpc", vpc); err != nil {
		return internal(err, "cannot forget the VPC")
	}
	return internal(e.refresh(touched...), "cannot set up what is left")
}

// raze empties a namespace and forgets it. Emptied, because it lives on while somebody holds it open.
func (e *Engine) raze(name string) error {
	if s, err := e.space(name); err == nil {
		links, err := s.links()
		if err != nil {
			return err
		}
		for n, l := range links {
			if n != "lo" {
				_ = s.link.LinkDel(l) // the other end of a pair is gone with the first
			}
		}
		s.close()
		delete(e.spaces, name)
	}
	return dropNamespace(name)
}

// VPCs implements fabric.Engine.
func (e *Engine) VPCs(context.Context) iter.Seq2[id.ID, error] {
	e.mu.Lock()
	defer e.mu.Unlock()
	found := map[id.ID]bool{}
	for vpc := range e.w.VPCs {
		found[vpc] = true
	}
	names, err := listNamespaces(prefix + e.key + "-")
	for _, n := range names {
		if vpc, ok := id.Parse(n[len(prefix+e.key+"-"):]); ok {
			found[vpc] = true
		}
	}
	return list(found, err)
}

func list[V any](m map[id.ID]V, err error) iter.Seq2[id.ID, error] {
	keys := slices.Sorted(maps.Keys(m))
	return func(yield func(id.ID, error) bool) {
		if err != nil {
			yield("", internal(err, "cannot list the networks"))
			return
		}
		for _, k := range keys {
			if !yield(k, nil) {
				return
			}
		}
	}
}

// internal makes an engine's error of one that the kernel gave.
func internal(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fail.Wrap(err, fail.Internal, format, args...)
}

// EnsureGroup implements fabric.Engine.
func (e *Engine) EnsureGroup(_ context.Context, group id.ID, want fabric.Group) error {
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := want.Check(); err != nil {
		return err
	}
	e.w.Groups[group] = want
	if err := e.w.keep("group", group, kept{Group: &want}); err != nil {
		return internal(err, "cannot note the group")
	}
	return internal(e.refresh(e.using(group)...), "cannot load the group's rules")
}

// using are the VPCs where the group has members.
func (e *Engine) using(group id.ID) []id.ID {
	var out []id.ID
	for _, p := range e.w.Ports {
		if slices.Contains(p.Groups, group) {
			out = append(out, p.VPC)
		}
	}
	return out
}

// DestroyGroup implements fabric.Engine.
func (e *Engine) DestroyGroup(_ context.Context, group id.ID) error {
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.w.CheckDestroyGroup(group); err != nil {
		return err
	}
	delete(e.w.Groups, group)
	return internal(e.w.forget("group", group), "cannot forget the group")
}

// Groups implements fabric.Engine.
func (e *Engine) Groups(context.Context) iter.Seq2[id.ID, error] {
	e.mu.Lock()
	defer e.mu.Unlock()
	return list(e.w.Groups, nil)
}

// Reach is what the engine was told, for the pure answers of package reach.
func (e *Engine) Reach() reach.World {
	e.mu.Lock()
	defer e.mu.Unlock()
	return reach.World{VPCs: maps.Clone(e.w.VPCs), Groups: maps.Clone(e.w.Groups), Ports: maps.Clone(e.w.Ports)}
}

func (s *space) there() bool {
	now, err := os.Stat(s.path())
	if err != nil {
		return false
	}
	held, err := os.Stat(fmt.Sprintf("/proc/self/fd/%d", int(s.fd)))
	return err == nil && os.SameFile(now, held)
}
