package linux

import (
	"errors"
	"hash/fnv"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// Addresses of class E, which no network and no subnet has: one per VPC for its end of the cable to the edge, one per
// cloud for what goes out as the machine.
var (
	links  = netip.MustParsePrefix("240.0.0.0/8")
	clouds = netip.MustParsePrefix("241.0.0.0/8")
)

func hashed(p netip.Prefix, name string, try uint32) netip.Addr {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	n := h.Sum32() + try
	b := p.Addr().As4()
	b[1], b[2], b[3] = byte(n>>16), byte(n>>8), byte(n)|1
	return netip.AddrFrom4(b)
}

func (e *Engine) freeLink(vpc id.ID) (netip.Addr, error) {
	for try := range uint32(1 << 16) {
		a := hashed(links, string(vpc), try)
		if !slices.Contains(slices.Collect(maps.Values(e.w.links)), a) {
			return a, nil
		}
	}
	return netip.Addr{}, fail.New(fail.NoSpace, "there are too many VPCs")
}

// way is what an outward VPC has outside.
type way struct {
	vpc     id.ID
	link    netip.Addr
	publics []netip.Addr
	limits  map[netip.Addr]int
}

func (e *Engine) ways() []way {
	var out []way
	for _, vpc := range slices.Sorted(maps.Keys(e.w.VPCs)) {
		v := e.view(vpc)
		if !v.outward() {
			continue
		}
		found := map[netip.Addr]bool{}
		for _, p := range v.ports {
			for _, u := range e.w.Ports[p].Public {
				found[u.Address] = true
			}
		}
		for _, n := range v.want.NAT {
			if n.Public.Is4() {
				found[n.Public] = true
			}
		}
		for _, f := range v.want.Forward {
			if f.Public.Addr().Is4() {
				found[f.Public.Addr()] = true
			}
		}
		out = append(out, way{vpc, e.w.links[vpc], slices.SortedFunc(maps.Keys(found), netip.Addr.Compare), v.limits()})
	}
	return out
}

func (e *Engine) edgeNeeded() bool { return len(e.ways()) > 0 }

// refreshEdge makes the edge and the machine's own part of it as wanted, or removes both.
func (e *Engine) refreshEdge(needed bool) error {
	machine, err := e.space("")
	if err != nil {
		return err
	}
	if !needed {
		return e.razeEdge(machine)
	}
	own, err := e.cloudAddress(machine)
	if err != nil {
		return err
	}
	edge, err := e.space(e.edgeSpace())
	if err != nil {
		return err
	}
	ways := e.ways()
	if err := e.realise(edge, e.edgePlan(ways, own)); err != nil {
		return err
	}
	closed, err := closedUplinks()
	if err != nil {
		return err
	}
	if err := e.realise(machine, e.machinePlan(ways, own)); err != nil {
		return err
	}
	if err := machine.settings(append(closed, "ipv4/conf/"+e.hostCable()+"/forwarding", "1")...); err != nil {
		return err
	}
	return e.publish(machine, ways)
}

func (e *Engine) razeEdge(machine *space) error {
	if _, err := machine.read(e.hostTable(), nftables.TableFamilyINet); !errors.Is(err, os.ErrNotExist) {
		if err := machine.dropTable(e.hostTable(), nftables.TableFamilyINet); err != nil {
			return err
		}
	}
	delete(machine.had, e.hostTable())
	if err := e.publish(machine, nil); err != nil {
		return err
	}
	if l, err := machine.link.LinkByName(e.hostCable()); err == nil {
		if err := machine.link.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	if err := e.raze(e.edgeSpace()); err != nil {
		return err
	}
	return closeUplinks(machine)
}

// cloudAddress is the address as which this cloud's machines without a public address reach the machine: the one it has
// already, or one that no other cloud here has.
func (e *Engine) cloudAddress(machine *space) (netip.Addr, error) {
	list, err := whole(func() ([]netlink.Route, error) {
		return machine.link.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: mark}, netlink.RT_FILTER_PROTOCOL)
	})
	if err != nil {
		return netip.Addr{}, err
	}
	taken := map[netip.Addr]bool{}
	for _, r := range list {
		p, _ := prefixOf(r.Dst)
		if !clouds.Contains(p.Addr()) {
			continue
		}
		if l, err := machine.link.LinkByIndex(r.LinkIndex); err == nil && l.Attrs().Name == e.hostCable() {
			return p.Addr(), nil
		}
		taken[p.Addr()] = true
	}
	for try := uint32(0); ; try++ {
		if a := hashed(clouds, e.key, try); !taken[a] {
			return a, nil
		}
	}
}

// edgePlan is the namespace where the VPCs' ways out meet. Who comes in over a VPC's cable has one of its addresses.
func (e *Engine) edgePlan(ways []way, own netip.Addr) *plan {
	p := newPlan()
	p.cables[rootName] = cable{to: "", name: e.hostCable(), mtu: e.mtu}
	p.addresses = append(p.addresses, hostPrefix(own))
	p.routes[route{to: netip.PrefixFrom(netip.IPv4Unspecified(), 0), device: rootName, source: own}] = true
	r := newRuleset(nftables.TableFamilyINet)
	p.tables[table] = r
	key := nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIPAddr)
	sources := r.set(setSources, key, none)
	for _, w := range ways {
		device := linkName(w.vpc)
		p.cables[device] = cable{to: e.vpcSpace(w.vpc), name: outName, mtu: e.mtu, lanes: lanes{mbit: w.limits}}
		for _, a := range append([]netip.Addr{w.link}, w.publics...) {
			p.routes[route{to: hostPrefix(a), device: device, source: own}] = true
			sources.elements[string(ifname(device))+string(a.AsSlice())] = ""
		}
	}
	raw := r.hook("raw", base{kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting, priority: *nftables.ChainPriorityRaw, drop: true})
	raw.add(iif("lo"), accept())
	raw.add(iif(rootName), accept())
	raw.add(family(false), []expr.Any{meta(expr.MetaKeyIIFNAME, reg1), source(false, reg2), &expr.Lookup{SourceRegister: reg1, SetName: setSources}}, accept())
	raw.add(count(), drop())
	f := r.hook("forward", base{kind: nftables.ChainTypeFilter, hook: nftables.ChainHookForward, priority: 0, drop: true})
	f.add(iif(rootName), oif(rootName), drop())
	f.add(accept())
	input := r.hook("input", base{kind: nftables.ChainTypeFilter, hook: nftables.ChainHookInput, priority: 0, drop: true})
	input.add(iif("lo"), accept())
	input.add(known(), accept())
	src := r.hook("source", base{kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPostrouting, priority: *nftables.ChainPriorityNATSource})
	src.add(oif(rootName), family(false), in(source(false, reg1), links, false),
		[]expr.Any{&expr.Immediate{Register: reg1, Data: own.AsSlice()}, &expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg1}})
	return p
}

// private are ranges that machines do not reach through NAT: the operator's own networks, this machine's, and those that
// are no hosts.
var private = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
}

// anyCloud begins the names of the interfaces of all clouds on this machine, the ones of apps included.
const anyCloud = "aw"

// machinePlan is the machine's own part: it lets packets pass between the edge and the outside, and nothing from the edge in.
func (e *Engine) machinePlan(ways []way, own netip.Addr) *plan {
	p := newPlan()
	cloud := e.hostCable()
	p.cables[cloud] = cable{to: e.edgeSpace(), name: rootName, mtu: e.mtu}
	p.routes[route{to: hostPrefix(own), device: cloud}] = true
	for _, w := range ways {
		for _, a := range w.publics {
			p.routes[route{to: hostPrefix(a), device: cloud}] = true
		}
	}
	r := newRuleset(nftables.TableFamilyINet)
	p.tables[e.hostTable()] = r
	filter := func(name string, hook *nftables.ChainHook) *chain {
		return r.hook(name, base{kind: nftables.ChainTypeFilter, hook: hook, priority: *nftables.ChainPriorityFilter})
	}
	input := filter("input", nftables.ChainHookInput)
	input.add(iif(cloud), known(), accept())
	input.add(iif(cloud), count(), drop())
	f := filter("forward", nftables.ChainHookForward)
	f.add(iif(cloud), known(), accept())
	f.add(iif(cloud), begins(expr.MetaKeyOIFNAME, anyCloud, false), reject())
	for _, x := range e.outside {
		f.add(iif(cloud), family(false), in(destination(false, reg1), x, false), accept())
	}
	f.add(iif(cloud), family(false), inSet(destination(false, reg1), rangeSet(r, private)), reject())
	f.add(iif(cloud), accept())
	for _, up := range guarded() {
		f.add(iif(up), begins(expr.MetaKeyOIFNAME, anyCloud, true), drop())
	}
	post := r.hook("source", base{kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPostrouting, priority: *nftables.ChainPriorityNATSource})
	for _, x := range append([]netip.Prefix{hostPrefix(own)}, e.unrouted...) {
		post.add(family(false), in(source(false, reg1), x, false), begins(expr.MetaKeyOIFNAME, anyCloud, true), []expr.Any{&expr.Masq{}})
	}
	return p
}

func begins(key expr.MetaKey, name string, not bool) []expr.Any {
	op := expr.CmpOpEq
	if not {
		op = expr.CmpOpNeq
	}
	return []expr.Any{meta(key, reg1), &expr.Cmp{Op: op, Register: reg1, Data: []byte(name)}}
}

// guardFile marks an uplink on which a cloud switched forwarding on, for as long as the machine is up. The network of apps
// uses the same.
func guardFile(name string) string { return "/run/awan-forwarding-" + name }

// guarded are the uplinks on which forwarding is there for clouds only: nothing else passes from them.
func guarded() []string {
	var out []string
	for _, name := range uplinks() {
		if _, err := os.Stat(guardFile(name)); err == nil {
			out = append(out, name)
		}
	}
	return out
}

// closedUplinks are the settings that open the uplinks that do not forward yet. They are marked first, so that the guard is
// loaded before they open.
func closedUplinks() ([]string, error) {
	var out []string
	for _, name := range uplinks() {
		path := "ipv4/conf/" + name + "/forwarding"
		if b, err := os.ReadFile("/proc/sys/net/" + path); err == nil && strings.TrimSpace(string(b)) == "1" {
			continue
		}
		if err := os.WriteFile(guardFile(name), nil, 0o600); err != nil {
			return nil, err
		}
		out = append(out, path, "1")
	}
	return out, nil
}

// closeUplinks switches forwarding off again where clouds had switched it on, once the last of them is gone.
func closeUplinks(machine *space) error {
	list, err := machine.links()
	if err != nil {
		return err
	}
	for name := range list {
		if strings.HasPrefix(name, prefix) || strings.HasPrefix(name, anyCloud) && strings.HasSuffix(name, "gw") {
			return nil
		}
	}
	for _, name := range guarded() {
		if err := machine.settings("ipv4/conf/"+name+"/forwarding", "0"); err != nil {
			return err
		}
		if err := os.Remove(guardFile(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// uplinks are the interfaces with a default route.
func uplinks() []string {
	routes, err := whole(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	})
	if err != nil {
		return nil
	}
	var out []string
	for _, r := range routes {
		if l, err := netlink.LinkByIndex(r.LinkIndex); err == nil && !slices.Contains(out, l.Attrs().Name) {
			out = append(out, l.Attrs().Name)
		}
	}
	return out
}

func uplinkMTU() int {
	mtu := 1500
	for _, name := range uplinks() {
		if l, err := netlink.LinkByName(name); err == nil && l.Attrs().MTU > 0 {
			mtu = min(mtu, l.Attrs().MTU)
		}
	}
	return mtu
}

// publish makes the machine answer for the public addresses that are in a network it is connected to. Others must be
// routed here by whoever owns them.
func (e *Engine) publish(machine *space, ways []way) error {
	var all []netip.Addr
	for _, w := range ways {
		all = append(all, w.publics...)
	}
	old, err := e.w.published()
	if err != nil {
		return err
	}
	links, err := machine.links()
	if err != nil {
		return err
	}
	now := map[string][]netip.Addr{}
	for _, up := range uplinks() {
		list, err := whole(func() ([]netlink.Addr, error) { return machine.link.AddrList(links[up], netlink.FAMILY_V4) })
		if err != nil {
			return err
		}
		for _, x := range list {
			p, ok := prefixOf(x.IPNet)
			for _, a := range all {
				if ok && p.Contains(a) && p.Addr() != a {
					now[up] = append(now[up], a)
				}
			}
		}
	}
	if len(now)+len(old) == 0 {
		return nil
	}
	if err := e.w.setPublished(now, old); err != nil {
		return err
	}
	for up, list := range now {
		for _, a := range list {
			if err := machine.link.NeighSet(neighbor{device: up, addr: a, proxy: true}.object("", links)); err != nil {
				return err
			}
		}
	}
	for up, list := range old {
		for _, a := range list {
			if links[up] != nil && !slices.Contains(now[up], a) {
				err := machine.link.NeighDel(neighbor{device: up, addr: a, proxy: true}.object("", links))
				if err != nil && !errors.Is(err, unix.ENOENT) {
					return err
				}
			}
		}
	}
	return e.w.setPublished(now, nil)
}
