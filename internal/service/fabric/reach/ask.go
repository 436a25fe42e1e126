package reach

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Starts are the ports at which an answer can change: where a range of a rule begins, or another after one ended. From one
// to the next every port of a protocol is treated alike, so that asking for these is asking for all.
func (w World) Starts() []uint16 {
	at := map[uint16]bool{1: true}
	add := func(from, to uint16) {
		at[max(1, from)] = true
		if to < 65535 {
			at[to+1] = true
		}
	}
	for _, g := range w.Groups {
		for _, r := range g.Rules {
			for _, p := range r.Ports {
				add(p.From, p.To)
			}
		}
	}
	for _, v := range w.VPCs {
		for _, f := range v.Forward {
			add(f.Public.Port(), f.Public.Port())
			add(f.To.Port(), f.To.Port())
		}
	}
	return slices.Sorted(maps.Keys(at))
}

// PublicOf are the public addresses by which a port can be reached: its own, and those of which ports are forwarded to it.
func (w World) PublicOf(port id.ID) []netip.Addr {
	p, found := w.Ports[port], map[netip.Addr]bool{}
	for _, u := range p.Public {
		found[u.Address] = true
	}
	for _, f := range w.VPCs[p.VPC].Forward {
		if slices.Contains(Hosts(p), f.To.Addr()) {
			found[f.Public.Addr()] = true
		}
	}
	return slices.SortedFunc(maps.Keys(found), netip.Addr.Compare)
}
