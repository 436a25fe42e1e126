package linux

import (
	"context"
	"iter"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// EnsurePort implements fabric.Engine.
func (e *Engine) EnsurePort(_ context.Context, port id.ID, want fabric.Port) (fabric.SeenPort, error) {
	unlock, err := e.lock()
	if err != nil {
		return fabric.SeenPort{}, err
	}
	defer unlock()
	if err := e.w.CheckPort(port, want); err != nil {
		return fabric.SeenPort{}, err
	}
	touched := e.around(want.VPC)
	if old, ok := e.w.Ports[port]; ok && old.VPC != want.VPC {
		return fabric.SeenPort{}, fail.New(fail.Conflict, "a port stays in its VPC").Then("make a new port in the other one")
	}
	for h, who := range e.w.heirs {
		if who == port && !slices.ContainsFunc(want.Allowed, func(a fabric.AddressPair) bool { return a.Prefix == hostPrefix(h.addr) }) {
			delete(e.w.heirs, h)
		}
	}
	e.w.Ports[port] = want
	if err := e.w.keepPort(port); err != nil {
		return fabric.SeenPort{}, internal(err, "cannot note the port")
	}
	if err := e.refresh(touched...); err != nil {
		return fabric.SeenPort{}, internal(err, "cannot plug in the port")
	}
	return e.observe(port)
}

// ObservePort implements fabric.Engine.
func (e *Engine) ObservePort(_ context.Context, port id.ID) (fabric.SeenPort, error) {
	unlock, err := e.lock()
	if err != nil {
		return fabric.SeenPort{}, err
	}
	defer unlock()
	return e.observe(port)
}

func (e *Engine) observe(port id.ID) (fabric.SeenPort, error) {
	want, ok := e.w.Ports[port]
	if !ok {
		return fabric.SeenPort{}, fail.New(fail.Gone, "there is no port %s", port)
	}
	s, err := e.space(e.vpcSpace(want.VPC))
	if err != nil {
		return fabric.SeenPort{}, fail.New(fail.Gone, "the port's network is gone").Because(err)
	}
	if want.Own {
		v := e.view(want.VPC)
		seen := fabric.SeenPort{MTU: v.subnetMTU(v.subnet(want.Subnet)), Up: !want.Down}
		sum, err := s.sums()
		if err == nil {
			seen.Public = publicTraffic(want, sum)
		}
		return seen, err
	}
	l, err := s.link.LinkByName(tapName(port))
	if err != nil {
		return fabric.SeenPort{}, fail.New(fail.Gone, "the port's device is gone").Because(err)
	}
	a := l.Attrs()
	seen := fabric.SeenPort{Device: a.Name, Namespace: s.path(), MTU: a.MTU, Up: a.OperState == netlink.OperUp || a.RawFlags&lowerUp != 0}
	if st := a.Statistics; st != nil { // the tap's own view: what it receives is what the machine sent
		seen.Counters = fabric.Counters{InBytes: st.TxBytes, OutBytes: st.RxBytes, InPackets: st.TxPackets, OutPackets: st.RxPackets}
	}
	sum, err := s.sums()
	if err != nil {
		return seen, err
	}
	_, seen.Counters.Dropped = sum(refuseChain(port))
	seen.Public = publicTraffic(want, sum)
	return seen, nil
}

// sums reads what the rules of a chain of the VPC's table have counted.
func (s *space) sums() (func(chain string) (bytes, packets uint64), error) {
	c, err := s.filter()
	if err != nil {
		return nil, internal(err, "cannot read the port's counters")
	}
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: table}
	return func(chain string) (bytes, packets uint64) {
		rules, _ := c.GetRules(t, &nftables.Chain{Name: chain, Table: t}) // absent while the port is down: nothing is counted
		for _, r := range rules {
			for _, x := range r.Exprs {
				if n, ok := x.(*expr.Counter); ok {
					bytes, packets = bytes+n.Bytes, packets+n.Packets
				}
			}
		}
		return bytes, packets
	}, nil
}

func publicTraffic(want fabric.Port, sum func(string) (bytes, packets uint64)) map[netip.Addr]fabric.Traffic {
	out := map[netip.Addr]fabric.Traffic{}
	for _, u := range want.Public {
		var t fabric.Traffic
		t.In, _ = sum(meterChain("meterin", u.Address))
		t.Out, _ = sum(meterChain("meterout", u.Address))
		out[u.Address] = t
	}
	return out
}

const lowerUp = 1 << 16 // IFF_LOWER_UP: somebody holds the tap

// DestroyPort implements fabric.Engine.
func (e *Engine) DestroyPort(_ context.Context, port id.ID) error {
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	old, ok := e.w.Ports[port]
	if !ok {
		return e.stray(port)
	}
	delete(e.w.Ports, port)
	for h, who := range e.w.heirs {
		if who == port {
			delete(e.w.heirs, h)
		}
	}
	if err := e.refresh(e.around(old.VPC)...); err != nil {
		e.w.Ports[port] = old
		return internal(err, "cannot unplug the port")
	}
	return internal(e.w.forget("port", port), "cannot forget the port")
}

// stray removes the device of a port that nobody remembers.
func (e *Engine) stray(port id.ID) error {
	names, err := listNamespaces(prefix + e.key + "-")
	for _, n := range names {
		s, err := e.space(n)
		if err != nil {
			continue
		}
		if l, err := s.link.LinkByName(tapName(port)); err == nil {
			if err := s.link.LinkDel(l); err != nil {
				return internal(err, "cannot remove the port's device")
			}
		}
	}
	return internal(err, "cannot list the networks")
}

// Ports implements fabric.Engine.
func (e *Engine) Ports(context.Context) iter.Seq2[id.ID, error] {
	e.mu.Lock()
	defer e.mu.Unlock()
	return list(e.w.Ports, nil)
}
