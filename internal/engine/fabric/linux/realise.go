package linux

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// realise makes the kernel's state equal to the plan. Rules come before the devices that they are for, and go after
// them, so that no packet ever meets a device without its rules. It tells what it changed.
func (e *Engine) realise(s *space, p *plan) error {
	for _, name := range slices.Sorted(maps.Keys(p.tables)) {
		if err := e.load(s, name, p.tables[name]); err != nil {
			return err
		}
	}
	links, err := s.links()
	if err != nil {
		return err
	}
	limited, err := s.limited()
	if err != nil {
		return err
	}
	for name, t := range p.taps {
		if err := s.tap(name, t, links[name], links[name] != nil && limited[links[name].Attrs().Index]); err != nil {
			return fmt.Errorf("make the tap %s: %w", name, err)
		}
	}
	for name, c := range p.cables {
		if err := e.cable(s, name, c, links[name], links[name] != nil && limited[links[name].Attrs().Index]); err != nil {
			return fmt.Errorf("make the cable %s: %w", name, err)
		}
	}
	if links, err = s.links(); err != nil {
		return err
	}
	for name, l := range links {
		if s.name != "" && !p.has(name) && !builtin(l) {
			if err := s.link.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
				return fmt.Errorf("remove the interface %s: %w", name, err)
			}
			delete(links, name)
		}
	}
	if err := s.setAddresses(p.addresses, links); err != nil {
		return err
	}
	if err := s.setRoutes(p.routes, links); err != nil {
		return err
	}
	return s.setNeighbors(p.neighbors, links)
}

// load replaces a table's rules by those wanted. Of what it has loaded before it only writes the difference.
func (e *Engine) load(s *space, name string, want *ruleset) error {
	had, known := s.had[name]
	if !known {
		had = nil
		if seen, err := s.read(name, want.family); err == nil && len(difference(seen, want)) == 0 {
			s.had[name] = want // left by the process before this one
			return nil
		}
	}
	if had != nil {
		if err := s.apply(name, had, want); err == nil {
			s.had[name] = want
			return nil
		}
		e.log.Warn("the packet rules were not as left; they are loaded anew", "namespace", s.name, "table", name)
	}
	delete(s.had, name)
	if err := s.apply(name, nil, want); err != nil {
		return err
	}
	s.had[name] = want
	return nil
}

func (s *space) links() (map[string]netlink.Link, error) {
	list, err := whole(func() ([]netlink.Link, error) { return s.link.LinkList() })
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	out := map[string]netlink.Link{}
	for _, l := range list {
		out[l.Attrs().Name] = l
	}
	return out, nil
}

func (s *space) tap(name string, t tap, have netlink.Link, limited bool) error {
	if have != nil && (have.Type() != "tuntap" && have.Type() != "tun") {
		if err := s.link.LinkDel(have); err != nil {
			return err
		}
		have = nil
	}
	if have == nil {
		if err := s.run(func() error { return makeTap(name, t) }); err != nil {
			return err
		}
		var err error
		if have, err = s.link.LinkByName(name); err != nil {
			return err
		}
		// By default answers for others wait up to a second, so that the others come first. Here are no others.
		if err := s.settings("ipv4/neigh/"+name+"/proxy_delay", "0", "ipv6/neigh/"+name+"/proxy_delay", "0"); err != nil {
			return err
		}
	}
	if have.Attrs().HardwareAddr.String() != nearMAC.String() {
		if err := s.link.LinkSetHardwareAddr(have, nearMAC); err != nil {
			return err
		}
	}
	return errors.Join(s.finish(have, t.mtu, !t.down), s.shape(have, t.mbit, limited))
}

// makeTap makes a tap that stays without a process, which only its owner may open.
func makeTap(name string, t tap) error {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if t.queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	r.SetUint16(flags)
	if err := unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, r); err != nil {
		return err
	}
	if err := unix.IoctlSetInt(int(f.Fd()), unix.TUNSETOWNER, t.owner); err != nil {
		return err
	}
	return unix.IoctlSetInt(int(f.Fd()), unix.TUNSETPERSIST, 1)
}

// cable makes a veth pair between two namespaces. Neither end asks for MAC addresses: both have the same.
func (e *Engine) cable(s *space, name string, c cable, have netlink.Link, divided bool) error {
	other, err := e.space(c.to)
	if err != nil {
		return err
	}
	far, err := other.link.LinkByName(c.name)
	if err != nil && !errors.As(err, new(netlink.LinkNotFoundError)) {
		return err
	}
	if have == nil || far == nil || have.Type() != "veth" || have.Attrs().ParentIndex != far.Attrs().Index {
		for _, old := range []struct {
			s *space
			l netlink.Link
		}{{s, have}, {other, far}} {
			if old.l != nil {
				if err := old.s.link.LinkDel(old.l); err != nil && !errors.Is(err, unix.ENODEV) {
					return err
				}
			}
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr, attrs.MTU = name, nearMAC, c.mtu
		err := s.link.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: c.name, PeerHardwareAddr: nearMAC, PeerMTU: uint32(c.mtu), PeerNamespace: netlink.NsFd(int(other.fd))})
		if err != nil {
			return err
		}
		if have, err = s.link.LinkByName(name); err != nil {
			return err
		}
		if far, err = other.link.LinkByName(c.name); err != nil {
			return err
		}
	}
	for _, end := range []struct {
		s *space
		l netlink.Link
	}{{s, have}, {other, far}} {
		if end.l.Attrs().RawFlags&unix.IFF_NOARP == 0 {
			if err := end.s.link.LinkSetARPOff(end.l); err != nil {
				return err
			}
		}
		if err := end.s.finish(end.l, c.mtu, true); err != nil {
			return err
		}
	}
	return s.divide(have, c.lanes, divided)
}

func (s *space) finish(l netlink.Link, mtu int, up bool) error {
	if l.Attrs().MTU != mtu {
		if err := s.link.LinkSetMTU(l, mtu); err != nil {
			return fmt.Errorf("set the MTU: %w", err)
		}
	}
	is := l.Attrs().RawFlags&unix.IFF_UP != 0
	switch {
	case up && !is:
		return s.link.LinkSetUp(l)
	case !up && is:
		return s.link.LinkSetDown(l)
	}
	return nil
}

// setAddresses gives the loopback interface the addresses that the namespace answers to, on whatever interface it is asked.
func (s *space) setAddresses(want []netip.Prefix, links map[string]netlink.Link) error {
	if s.name == "" {
		return nil
	}
	lo := links["lo"]
	if lo == nil {
		return errors.New("the namespace has no loopback interface")
	}
	if err := s.finish(lo, lo.Attrs().MTU, true); err != nil {
		return err
	}
	have, err := s.addresses(lo)
	if err != nil {
		return err
	}
	for _, a := range want {
		if !slices.Contains(have, a) {
			addr := &netlink.Addr{IPNet: ipNet(a)}
			if a.Addr().Is6() {
				addr.Flags = unix.IFA_F_NODAD
			}
			if err := s.link.AddrReplace(lo, addr); err != nil {
				return fmt.Errorf("add the address %s: %w", a, err)
			}
		}
	}
	for _, a := range have {
		if !slices.Contains(want, a) {
			if err := s.link.AddrDel(lo, &netlink.Addr{IPNet: ipNet(a)}); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
				return fmt.Errorf("remove the address %s: %w", a, err)
			}
		}
	}
	return nil
}

// addresses are those of an interface but for what every interface has.
func (s *space) addresses(l netlink.Link) ([]netip.Prefix, error) {
	list, err := whole(func() ([]netlink.Addr, error) { return s.link.AddrList(l, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, a := range list {
		if p, ok := prefixOf(a.IPNet); ok && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() || ok && p.Addr().Is4() && p.Addr().IsLinkLocalUnicast() {
			out = append(out, p)
		}
	}
	return out, nil
}

// mark is the protocol number of our routes, by which the machine's own are told apart.
const mark = 0x61

func (s *space) setRoutes(want map[route]bool, links map[string]netlink.Link) error {
	have, err := s.routes(links)
	if err != nil {
		return err
	}
	for _, r := range slices.SortedFunc(maps.Keys(want), order) {
		if have[r] != nil {
			continue
		}
		if err := s.link.RouteReplace(r.object(links)); err != nil {
			return fmt.Errorf("set the route to %s: %w", r.to, err)
		}
		for old := range have { // replaced, not beside it
			if old.to == r.to && !want[old] {
				delete(have, old)
			}
		}
	}
	for r, object := range have {
		if !want[r] {
			if err := s.link.RouteDel(object); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("remove the route to %s: %w", r.to, err)
			}
		}
	}
	return nil
}

func order(a, b route) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }

func (r route) object(links map[string]netlink.Link) *netlink.Route {
	out := &netlink.Route{Dst: ipNet(r.to), Protocol: mark, Priority: 1024}
	if r.source.IsValid() {
		out.Src = r.source.AsSlice()
	}
	if r.device == "" {
		out.Type = unix.RTN_UNREACHABLE
		if r.to.Addr().Is6() {
			out.LinkIndex = 1
		}
		return out
	}
	if l := links[r.device]; l != nil {
		out.LinkIndex = l.Attrs().Index
	}
	out.Scope = netlink.SCOPE_LINK
	if r.via.IsValid() {
		out.Gw, out.Flags, out.Scope = r.via.AsSlice(), int(netlink.FLAG_ONLINK), netlink.SCOPE_UNIVERSE
	}
	return out
}

// routes reads our routes, and in a namespace of ours all that the kernel did not make itself.
func (s *space) routes(links map[string]netlink.Link) (map[route]*netlink.Route, error) {
	names := map[int]string{}
	for name, l := range links {
		names[l.Attrs().Index] = name
	}
	out := map[route]*netlink.Route{}
	for _, f := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := whole(func() ([]netlink.Route, error) {
			return s.link.RouteListFiltered(f, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return nil, fmt.Errorf("list the routes: %w", err)
		}
		for _, r := range list {
			if r.Protocol == unix.RTPROT_KERNEL || r.Protocol == unix.RTPROT_RA || s.name == "" && (r.Protocol != mark || names[r.LinkIndex] != s.own) {
				continue
			}
			to, ok := prefixOf(r.Dst)
			if !ok {
				zero := netip.IPv4Unspecified()
				if f == netlink.FAMILY_V6 {
					zero = netip.IPv6Unspecified()
				}
				to = netip.PrefixFrom(zero, 0)
			}
			k := route{to: to, device: names[r.LinkIndex], via: addrOf(r.Gw), source: addrOf(r.Src)}
			if r.Type == unix.RTN_UNREACHABLE {
				k.device = ""
			}
			out[k] = &r
		}
	}
	return out, nil
}

func (s *space) setNeighbors(want map[neighbor]string, links map[string]netlink.Link) error {
	have, err := s.neighbors(links)
	if err != nil {
		return err
	}
	for n, mac := range want {
		if got, ok := have[n]; ok && got == mac {
			continue
		}
		if err := s.link.NeighSet(n.object(mac, links)); err != nil {
			return fmt.Errorf("set the neighbour %s: %w", n.addr, err)
		}
	}
	for n, mac := range have {
		if _, ok := want[n]; !ok {
			if err := s.link.NeighDel(n.object(mac, links)); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENXIO) {
				return fmt.Errorf("remove the neighbour %s: %w", n.addr, err)
			}
		}
	}
	return nil
}

func (n neighbor) object(mac string, links map[string]netlink.Link) *netlink.Neigh {
	out := &netlink.Neigh{IP: n.addr.AsSlice(), Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT}
	if n.addr.Is6() {
		out.Family = netlink.FAMILY_V6
	}
	if n.proxy {
		out.Flags = netlink.NTF_PROXY
	}
	if l := links[n.device]; l != nil {
		out.LinkIndex = l.Attrs().Index
	}
	out.HardwareAddr, _ = net.ParseMAC(mac)
	return out
}

// neighbors reads the entries that somebody set; what the kernel learned is its own.
func (s *space) neighbors(links map[string]netlink.Link) (map[neighbor]string, error) {
	names := map[int]string{}
	for name, l := range links {
		names[l.Attrs().Index] = name
	}
	out := map[neighbor]string{}
	if s.name == "" {
		return out, nil
	}
	list, err := whole(func() ([]netlink.Neigh, error) { return s.link.NeighList(0, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list the neighbours: %w", err)
	}
	for _, n := range list {
		if n.State == netlink.NUD_PERMANENT {
			out[neighbor{device: names[n.LinkIndex], addr: addrOf(n.IP)}] = n.HardwareAddr.String()
		}
	}
	list, err = whole(func() ([]netlink.Neigh, error) { return s.link.NeighProxyList(0, netlink.FAMILY_V6) })
	if err != nil {
		return nil, fmt.Errorf("list whom the namespace answers for: %w", err)
	}
	for _, n := range list {
		out[neighbor{device: names[n.LinkIndex], addr: addrOf(n.IP), proxy: true}] = ""
	}
	return out, nil
}
