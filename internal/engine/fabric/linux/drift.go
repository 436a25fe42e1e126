package linux

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// differs is one thing that is not as planned.
type differs struct {
	about  string // a device, a chain or a set
	detail string
}

// Drift implements fabric.Engine.
func (e *Engine) Drift(ctx context.Context, repair bool) ([]fabric.Finding, error) {
	unlock, err := e.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	found, err := e.inspect()
	if err != nil {
		return nil, internal(err, "cannot compare the networks with what is wanted")
	}
	if !repair || len(found) == 0 {
		return found, nil
	}
	e.log.WarnContext(ctx, "the network is not as wanted; it is repaired", "findings", len(found))
	if err := e.mend(); err != nil {
		return found, internal(err, "cannot repair the networks")
	}
	left, err := e.inspect()
	if err != nil {
		return found, internal(err, "cannot tell what was repaired")
	}
	for i := range found {
		found[i].Repaired = !slices.Contains(left, found[i])
	}
	return found, nil
}

// inspect looks at every namespace, the edge and the machine's own part.
func (e *Engine) inspect() ([]fabric.Finding, error) {
	var out []fabric.Finding
	names, err := listNamespaces(prefix + e.key + "-")
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		vpc := id.ID(strings.TrimPrefix(n, prefix+e.key+"-"))
		if _, ok := e.w.VPCs[vpc]; !ok && n != e.edgeSpace() {
			out = append(out, fabric.Finding{What: "unknown", ID: vpc, Detail: "there is a network that nobody ordered: the namespace " + n})
		}
	}
	for _, vpc := range slices.Sorted(maps.Keys(e.w.VPCs)) {
		s, err := e.space(e.vpcSpace(vpc))
		if errors.Is(err, os.ErrNotExist) || err == nil && !s.there() {
			out = append(out, fabric.Finding{What: "vpc", ID: vpc, Detail: "its network is gone"})
			continue
		}
		if err != nil {
			return nil, err
		}
		list, err := s.compare(e.view(vpc).plan(e))
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			out = append(out, e.finding(vpc, d))
		}
	}
	return e.inspectEdge(out)
}

func (e *Engine) inspectEdge(out []fabric.Finding) ([]fabric.Finding, error) {
	if !e.edgeNeeded() {
		return out, nil
	}
	machine, err := e.space("")
	if err != nil {
		return nil, err
	}
	own, err := e.cloudAddress(machine)
	if err != nil {
		return nil, err
	}
	edge, err := e.space(e.edgeSpace())
	if errors.Is(err, os.ErrNotExist) || err == nil && !edge.there() {
		return append(out, fabric.Finding{What: "vpc", Detail: "the way to the outside is gone"}), nil
	}
	if err != nil {
		return nil, err
	}
	for _, part := range []struct {
		s    *space
		plan *plan
		name string
	}{{edge, e.edgePlan(e.ways(), own), "the way to the outside"}, {machine, e.machinePlan(e.ways(), own), "this machine"}} {
		list, err := part.s.compare(part.plan)
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			out = append(out, fabric.Finding{What: "vpc", Detail: part.name + ": " + d.detail})
		}
	}
	for _, up := range append(uplinks(), e.hostCable()) {
		if b, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + up + "/forwarding"); err == nil && strings.TrimSpace(string(b)) != "1" {
			out = append(out, fabric.Finding{What: "vpc", Detail: "this machine: " + up + " does not forward packets"})
		}
	}
	return out, nil
}

// finding says whose the difference is.
func (e *Engine) finding(vpc id.ID, d differs) fabric.Finding {
	for name, p := range e.w.Ports {
		if p.VPC == vpc && (d.about == tapName(name) || d.about == egressChain(name) || d.about == ingressChain(name) || d.about == refuseChain(name)) {
			return fabric.Finding{What: "port", ID: name, Detail: d.detail}
		}
	}
	for name := range e.w.Groups {
		if strings.HasPrefix(d.about, "g-"+string(name)) || strings.HasSuffix(d.about, "-"+string(name)) && strings.HasPrefix(d.about, "members") {
			return fabric.Finding{What: "group", ID: name, Detail: d.detail}
		}
	}
	return fabric.Finding{What: "vpc", ID: vpc, Detail: d.detail}
}

// mend takes away what is foreign, and makes anew what is missing.
func (e *Engine) mend() error {
	names, err := listNamespaces(prefix + e.key + "-")
	if err != nil {
		return err
	}
	for _, n := range names {
		vpc := id.ID(strings.TrimPrefix(n, prefix+e.key+"-"))
		if _, ok := e.w.VPCs[vpc]; !ok && n != e.edgeSpace() {
			if err := e.raze(n); err != nil {
				return err
			}
		}
	}
	spaces := []string{e.edgeSpace()}
	for vpc := range e.w.VPCs {
		if _, err := e.grow(e.vpcSpace(vpc)); err != nil {
			return err
		}
		spaces = append(spaces, e.vpcSpace(vpc))
	}
	for _, n := range spaces {
		s, err := e.space(n)
		if err != nil {
			continue // refresh makes the edge
		}
		if err := errors.Join(s.dropForeign(), s.settings(routing...)); err != nil {
			return err
		}
	}
	for _, s := range e.spaces {
		clear(s.had) // compared with the kernel again, and loaded whole if it differs
	}
	return e.refresh(slices.Collect(maps.Keys(e.w.VPCs))...)
}

// dropForeign removes tables that are not ours from a namespace that is.
func (s *space) dropForeign() error {
	c, err := s.filter()
	if err != nil {
		return err
	}
	tables, err := c.ListTables()
	if err != nil {
		return err
	}
	for _, t := range tables {
		if !ourTable(t) {
			c.DelTable(t)
		}
	}
	return c.Flush()
}

func ourTable(t *nftables.Table) bool {
	return t.Name == table && t.Family == nftables.TableFamilyINet || t.Name == arpTable && t.Family == nftables.TableFamilyARP
}

// compare tells how a namespace differs from its plan.
func (s *space) compare(p *plan) ([]differs, error) {
	var out []differs
	note := func(about, format string, args ...any) {
		out = append(out, differs{about, fmt.Sprintf(format, args...)})
	}
	if s.name != "" {
		c, err := s.filter()
		if err != nil {
			return nil, err
		}
		tables, err := c.ListTables()
		if err != nil {
			return nil, err
		}
		for _, t := range tables {
			if !ourTable(t) {
				note("", "there are packet rules that nobody ordered: the table %s", t.Name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.tables)) {
		seen, err := s.read(name, p.tables[name].family)
		if errors.Is(err, os.ErrNotExist) {
			note("", "the packet rules are gone: the table %s", name)
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, difference(seen, p.tables[name])...)
	}
	links, err := s.links()
	if err != nil {
		return nil, err
	}
	if err := s.compareLinks(p, links, note); err != nil {
		return nil, err
	}
	if s.name != "" {
		have, err := s.addresses(links["lo"])
		if err != nil {
			return nil, err
		}
		compareAll(have, p.addresses, func(a netip.Prefix, more bool) { note("", "the address %s %s", a.Addr(), words(more)) })
		seen := map[string]bool{}
		if err := s.run(func() error {
			for i := 0; i+1 < len(routing); i += 2 {
				if b, err := os.ReadFile("/proc/sys/net/" + routing[i]); err == nil && strings.TrimSpace(string(b)) != routing[i+1] {
					seen[routing[i]] = true
				}
			}
			return nil
		}); err != nil {
			return nil, err
		}
		for _, k := range slices.Sorted(maps.Keys(seen)) {
			note("", "the setting %s was changed", strings.ReplaceAll(k, "/", "."))
		}
	}
	routes, err := s.routes(links)
	if err != nil {
		return nil, err
	}
	compareAll(slices.SortedFunc(maps.Keys(routes), order), slices.SortedFunc(maps.Keys(p.routes), order), func(r route, more bool) {
		note(r.device, "the route to %s %s", r.to, words(more))
	})
	neighbors, err := s.neighbors(links)
	if err != nil {
		return nil, err
	}
	for n, mac := range p.neighbors {
		if got, ok := neighbors[n]; !ok || got != mac {
			note(n.device, "the machine at %s is not known by its MAC address", n.addr)
		}
	}
	for n := range neighbors {
		if _, ok := p.neighbors[n]; !ok {
			note(n.device, "a MAC address was set by hand for %s", n.addr)
		}
	}
	return out, nil
}

func (s *space) compareLinks(p *plan, links map[string]netlink.Link, note func(string, string, ...any)) error {
	limited, err := s.limited()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(links)) {
		if s.name != "" && !p.has(name) && !builtin(links[name]) {
			note(name, "there is an interface that nobody ordered: %s", name)
		}
	}
	state := func(name string, mtu int, up bool) {
		l := links[name]
		switch a := l.Attrs(); {
		case (a.RawFlags&unix.IFF_UP != 0) != up:
			note(name, "the interface %s was switched %s", name, map[bool]string{true: "off", false: "on"}[up])
		case a.MTU != mtu:
			note(name, "the interface %s has an MTU of %d, not %d", name, a.MTU, mtu)
		case a.HardwareAddr.String() != nearMAC.String():
			note(name, "the interface %s has the MAC address %s", name, a.HardwareAddr)
		case a.MasterIndex != 0:
			note(name, "the interface %s was put into a bridge", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.taps)) {
		t := p.taps[name]
		if links[name] == nil {
			note(name, "its interface %s is gone", name)
		} else {
			state(name, t.mtu, !t.down)
			for _, way := range []string{name, detour(name)} {
				if l := links[way]; l != nil && t.mbit == 0 && !limited[l.Attrs().Index] {
					continue
				} else if l == nil {
					if t.mbit > 0 {
						note(name, "what comes from the machine is not limited: the interface %s is gone", way)
					}
				} else if limit, err := s.limit(l); err == nil && limit != t.mbit {
					note(name, "the interface %s is limited to %d Mbit/s, not %d", way, limit, t.mbit)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.cables)) {
		if _, ok := links[name]; !ok {
			note(name, "the cable %s is gone", name)
		} else {
			state(name, p.cables[name].mtu, true)
			if have, err := s.rates(links[name]); err == nil && !maps.Equal(have, p.cables[name].lanes.rates()) {
				note(name, "the limits of public addresses on %s were changed", name)
			}
		}
	}
	return nil
}

// builtin are the interfaces that a kernel puts into every namespace.
func builtin(l netlink.Link) bool {
	switch l.Attrs().Name {
	case "lo", "sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0", "ifb0", "ifb1", "dummy0", "bond0", "teql0":
		return true
	}
	return false
}

func words(more bool) string {
	if more {
		return "is one that nobody ordered"
	}
	return "is missing"
}

func compareAll[T comparable](have, want []T, note func(T, bool)) {
	for _, x := range have {
		if !slices.Contains(want, x) {
			note(x, true)
		}
	}
	for _, x := range want {
		if !slices.Contains(have, x) {
			note(x, false)
		}
	}
}
