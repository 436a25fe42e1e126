package linux

import (
	"net"
	"net/netip"
)

// plan is all that a namespace should hold. It is made from the wants by pure functions, so that what the kernel has can
// be compared with it.
type plan struct {
	taps      map[string]tap
	cables    map[string]cable
	addresses []netip.Prefix // on the loopback interface
	routes    map[route]bool
	neighbors map[neighbor]string // → MAC
	tables    map[string]*ruleset
}

// has tells whether the plan has an interface of that name.
func (p *plan) has(name string) bool {
	if _, ok := p.taps[name]; ok {
		return true
	}
	if _, ok := p.cables[name]; ok {
		return true
	}
	t, ok := p.taps["p"+name[1:]]
	return ok && t.mbit > 0 && name == detour("p"+name[1:])
}

// tap is where a machine plugs in.
type tap struct {
	mtu    int
	owner  int
	queues int
	down   bool
	mbit   int
}

// cable is this end of a veth pair that leads into another namespace.
type cable struct {
	to   string // the other namespace; "" is the machine's own
	name string // the other end's name
	mtu  int
	// lanes limit what goes into the cable here.
	lanes lanes
}

// route leads to a device; without one it leads nowhere.
type route struct {
	to     netip.Prefix
	device string
	via    netip.Addr
	source netip.Addr
}

// neighbor is an address whose MAC needs no asking for, or with proxy one that the namespace answers for (IPv6).
type neighbor struct {
	device string
	addr   netip.Addr
	proxy  bool
}

func newPlan() *plan {
	return &plan{taps: map[string]tap{}, cables: map[string]cable{}, routes: map[route]bool{}, neighbors: map[neighbor]string{},
		tables: map[string]*ruleset{}}
}

// nearMAC is what machines see as their gateway's. Every tap and every end of a cable has it: each is a segment with one
// other station, so it is unique where it is seen. On a cable both ends have it and neither asks for the other's.
var nearMAC = net.HardwareAddr{0x02, 0x61, 0x77, 0x61, 0x6e, 0x01}

func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if !ok || bits == 0 {
		return netip.Prefix{}, false
	}
	if a.Is4In6() && bits == 32 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, ones), true
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
