// Package sim is a fabric engine without packets: for tests of everything above the port, and for running a whole cloud
// without root. It keeps the port's contract (fabrictest), answers what would reach what from package reach, and can be
// made to fail and to be slow. It may import the fabric port, package reach, kernel/fail and kernel/id.
package sim

import (
	"context"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/fabric/reach"
)

// Call is one call of the port, as hooks see it.
type Call struct {
	Method string // the method's name
	ID     id.ID  // of what it is about, where that is one thing
}

// Options say how the engine behaves. All may be left out.
type Options struct {
	// Before is asked before a call does anything: it may wait or return the error to give.
	Before func(context.Context, Call) error
	// After is asked when a call has had its effect: an error from it is given instead of the result, as when a process
	// dies between doing and telling.
	After func(context.Context, Call) error
	MTU   int // 0: 1500
}

// Engine is networks that are only believed in.
type Engine struct {
	o Options

	mu       sync.Mutex
	world    reach.World
	held     map[place]id.ID // the ports of addresses
	counters map[id.ID]fabric.Counters
	readers  map[chan fabric.Flow]bool
	ends     map[end]*listener
	packets  map[end]*packetConn
	next     uint16
	closed   bool
}

var _ fabric.Engine = (*Engine)(nil)

// place is an address in a VPC.
type place struct {
	vpc id.ID
	at  netip.Addr
}

// New makes an empty engine.
func New(o Options) *Engine {
	if o.MTU == 0 {
		o.MTU = 1500
	}
	e := &Engine{o: o, world: reach.New(), held: map[place]id.ID{}, counters: map[id.ID]fabric.Counters{}, readers: map[chan fabric.Flow]bool{},
		ends: map[end]*listener{}, packets: map[end]*packetConn{}, next: 32768}
	e.world.Held = func(vpc id.ID, a netip.Addr) (id.ID, bool) { port, ok := e.held[place{vpc, a}]; return port, ok }
	return e
}

// put keeps a port, or forgets it, and where it is.
func (e *Engine) put(port id.ID, want *fabric.Port) {
	old := e.world.Ports[port]
	for _, a := range old.Addresses {
		delete(e.held, place{old.VPC, a})
	}
	if want == nil {
		delete(e.world.Ports, port)
		return
	}
	e.world.Ports[port] = *want
	for _, a := range want.Addresses {
		e.held[place{want.VPC, a}] = port
	}
}

// do runs one call of the port.
func (e *Engine) do(ctx context.Context, method string, name id.ID, f func() error) error {
	if err := ctx.Err(); err != nil {
		return fail.From(err)
	}
	c := Call{method, name}
	if e.o.Before != nil {
		if err := e.o.Before(ctx, c); err != nil {
			return err
		}
	}
	e.mu.Lock()
	err := error(fail.New(fail.Unavailable, "the network engine is closed"))
	if !e.closed {
		err = f()
	}
	e.mu.Unlock()
	if err == nil && e.o.After != nil {
		return e.o.After(ctx, c)
	}
	return err
}

// EnsureVPC implements fabric.Engine.
func (e *Engine) EnsureVPC(ctx context.Context, vpc id.ID, want fabric.VPC) error {
	return e.do(ctx, "EnsureVPC", vpc, func() error {
		if err := e.world.CheckVPC(vpc, want); err != nil {
			return err
		}
		e.world.VPCs[vpc] = want
		return nil
	})
}

// DestroyVPC implements fabric.Engine.
func (e *Engine) DestroyVPC(ctx context.Context, vpc id.ID) error {
	return e.do(ctx, "DestroyVPC", vpc, func() error {
		if err := e.world.CheckDestroyVPC(vpc); err != nil {
			return err
		}
		delete(e.world.VPCs, vpc)
		e.hangUp(vpc)
		return nil
	})
}

// EnsureGroup implements fabric.Engine.
func (e *Engine) EnsureGroup(ctx context.Context, group id.ID, want fabric.Group) error {
	return e.do(ctx, "EnsureGroup", group, func() error {
		if err := want.Check(); err != nil {
			return err
		}
		e.world.Groups[group] = want
		return nil
	})
}

// DestroyGroup implements fabric.Engine.
func (e *Engine) DestroyGroup(ctx context.Context, group id.ID) error {
	return e.do(ctx, "DestroyGroup", group, func() error {
		if err := e.world.CheckDestroyGroup(group); err != nil {
			return err
		}
		delete(e.world.Groups, group)
		return nil
	})
}

// EnsurePort implements fabric.Engine.
func (e *Engine) EnsurePort(ctx context.Context, port id.ID, want fabric.Port) (seen fabric.SeenPort, err error) {
	err = e.do(ctx, "EnsurePort", port, func() error {
		if err := e.world.CheckPort(port, want); err != nil {
			return err
		}
		if old, ok := e.world.Ports[port]; ok && old.VPC != want.VPC {
			return fail.New(fail.Conflict, "a port stays in its VPC").Then("make a new port in the other one")
		}
		e.put(port, &want)
		seen = e.look(port)
		return nil
	})
	return seen, err
}

// ObservePort implements fabric.Engine.
func (e *Engine) ObservePort(ctx context.Context, port id.ID) (seen fabric.SeenPort, err error) {
	err = e.do(ctx, "ObservePort", port, func() error {
		if _, ok := e.world.Ports[port]; !ok {
			return fail.New(fail.Gone, "there is no port %s", port)
		}
		seen = e.look(port)
		return nil
	})
	return seen, err
}

func (e *Engine) look(port id.ID) fabric.SeenPort {
	p := e.world.Ports[port]
	mtu := e.o.MTU
	for _, s := range e.world.VPCs[p.VPC].Subnets {
		if s.ID == p.Subnet && s.MTU != 0 {
			mtu = min(mtu, s.MTU)
		}
	}
	seen := fabric.SeenPort{Device: "sim-" + string(port), MTU: mtu, Counters: e.counters[port]}
	if p.Own {
		seen.Device, seen.Up = "", !p.Down
	}
	return seen
}

// DestroyPort implements fabric.Engine.
func (e *Engine) DestroyPort(ctx context.Context, port id.ID) error {
	return e.do(ctx, "DestroyPort", port, func() error {
		e.put(port, nil)
		delete(e.counters, port)
		return nil
	})
}

// VPCs implements fabric.Engine.
func (e *Engine) VPCs(ctx context.Context) iter.Seq2[id.ID, error] {
	return list(ctx, e, "VPCs", func() []id.ID { return slices.Sorted(maps.Keys(e.world.VPCs)) })
}

// Groups implements fabric.Engine.
func (e *Engine) Groups(ctx context.Context) iter.Seq2[id.ID, error] {
	return list(ctx, e, "Groups", func() []id.ID { return slices.Sorted(maps.Keys(e.world.Groups)) })
}

// Ports implements fabric.Engine.
func (e *Engine) Ports(ctx context.Context) iter.Seq2[id.ID, error] {
	return list(ctx, e, "Ports", func() []id.ID { return slices.Sorted(maps.Keys(e.world.Ports)) })
}

func list(ctx context.Context, e *Engine, method string, keys func() []id.ID) iter.Seq2[id.ID, error] {
	return func(yield func(id.ID, error) bool) {
		var all []id.ID
		if err := e.do(ctx, method, "", func() error { all = keys(); return nil }); err != nil {
			yield("", err)
			return
		}
		for _, k := range all {
			if !yield(k, nil) {
				return
			}
		}
	}
}

// Drift implements fabric.Engine. What is believed is always as wanted.
func (e *Engine) Drift(ctx context.Context, _ bool) ([]fabric.Finding, error) {
	return nil, e.do(ctx, "Drift", "", func() error { return nil })
}

// Capabilities implements fabric.Engine.
func (e *Engine) Capabilities(context.Context) fabric.Capabilities {
	return fabric.Capabilities{Name: "sim", MTU: e.o.MTU, Missing: map[string]string{"packets": "this is a simulation: nothing is sent"}}
}

// Close implements fabric.Engine.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for vpc := range e.world.VPCs {
		e.hangUp(vpc)
	}
	return nil
}

// Reopen is a restart of the process: the networks are still there.
func (e *Engine) Reopen() *Engine {
	_ = e.Close()
	n := New(e.o)
	e.mu.Lock()
	defer e.mu.Unlock()
	n.world, n.counters = e.world, e.counters
	return n
}

// Reach is what the engine was told, for the pure answers of package reach.
func (e *Engine) Reach() reach.World {
	e.mu.Lock()
	defer e.mu.Unlock()
	return reach.World{VPCs: maps.Clone(e.world.VPCs), Groups: maps.Clone(e.world.Groups), Ports: maps.Clone(e.world.Ports)}
}

// Reaches tells whether a connection from one port to another would come to be, and why or why not.
func (e *Engine) Reaches(from, to id.ID, protocol string, port uint16) (bool, string) {
	v := e.Reach().Between(from, to, protocol, port)
	return v.Passes, v.Why
}

// Sends tells what becomes of a packet that a port sends to any address, counts it and notes it in the flow logs.
func (e *Engine) Sends(from id.ID, p reach.Packet) reach.Verdict {
	v := e.Reach().Send(from, p)
	e.mu.Lock()
	defer e.mu.Unlock()
	const size = 64
	note := func(port id.ID, in bool) {
		w, ok := e.world.Ports[port]
		if !ok {
			return
		}
		c := e.counters[port]
		switch {
		case !v.Passes:
			c.Dropped++
		case in:
			c.InPackets, c.InBytes = c.InPackets+1, c.InBytes+size
		default:
			c.OutPackets, c.OutBytes = c.OutPackets+1, c.OutBytes+size
		}
		e.counters[port] = c
		if !w.FlowLog {
			return
		}
		f := fabric.Flow{At: now(), Port: port, Accepted: v.Passes, In: in, Protocol: p.Protocol, Packets: 1, Bytes: size,
			From: netip.AddrPortFrom(v.Source, 0), To: netip.AddrPortFrom(v.Target, p.Port)}
		for r := range e.readers {
			select {
			case r <- f:
			default: // a slow reader loses records
			}
		}
	}
	last := ""
	if len(v.Checked) > 0 {
		last = v.Checked[len(v.Checked)-1]
	}
	if v.Passes || last != "ingress:"+string(v.To) { // what the receiver refused is its record, not the sender's
		note(from, false)
	}
	if v.To != "" && last == "ingress:"+string(v.To) {
		note(v.To, true)
	}
	return v
}

// Flows implements fabric.Engine.
func (e *Engine) Flows(ctx context.Context) iter.Seq2[fabric.Flow, error] {
	return func(yield func(fabric.Flow, error) bool) {
		c := make(chan fabric.Flow, 1024)
		if err := e.do(ctx, "Flows", "", func() error { e.readers[c] = true; return nil }); err != nil {
			yield(fabric.Flow{}, err)
			return
		}
		defer func() {
			e.mu.Lock()
			delete(e.readers, c)
			e.mu.Unlock()
		}()
		for {
			select {
			case <-ctx.Done():
				return
			case f := <-c:
				if !yield(f, nil) {
					return
				}
			}
		}
	}
}
