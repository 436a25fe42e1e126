package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Attach gives the network namespace of process pid an eth0 with the port's address. An older pair of that name is
// replaced. The rules come first, so that the first packet already meets them.
func (n *Network) Attach(_ context.Context, p Port, pid int) error {
	n.mu.Lock()
	err := n.rules.add(p)
	n.mu.Unlock()
	if err != nil {
		return fmt.Errorf("add the port's rules: %w", err)
	}
	name := n.Interface(p.Address)
	if old, err := netlink.LinkByName(name); err == nil {
		if err := netlink.LinkDel(old); err != nil {
			return fmt.Errorf("remove the old interface %s: %w", name, err)
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = name, mac(p.Address, 0), n.mtu()
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerHardwareAddr: mac(p.Address, 1), PeerNamespace: netlink.NsPid(pid)}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("make the interface %s: %w", name, err)
	}
	if err := n.inside(p, pid); err != nil {
		return fmt.Errorf("set up the instance's end: %w", err)
	}
	return n.outside(p, name)
}

// outside sets up the host's end: a route to the one address, the neighbour by hand, no ARP, no IPv6.
func (n *Network) outside(p Port, name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	_ = sysctl("ipv6/conf/"+name+"/disable_ipv6", "1")
	if err := sysctl("ipv4/conf/"+name+"/forwarding", "1"); err != nil {
		return err
	}
	if err := netlink.LinkSetARPOff(link); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	err = netlink.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT,
		IP: p.Address.AsSlice(), HardwareAddr: mac(p.Address, 1)})
	if err != nil {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK,
		Dst: ipNet(netip.PrefixFrom(p.Address, 32)), Src: n.Gateway().AsSlice()})
}

func (n *Network) inside(p Port, pid int) error {
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return err
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	if lo, err := h.LinkByName("lo"); err == nil {
		if err := h.LinkSetUp(lo); err != nil {
			return err
		}
	}
	eth, err := h.LinkByName("eth0")
	if err != nil {
		return err
	}
	if err := h.AddrReplace(eth, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(p.Address, 32))}); err != nil {
		return err
	}
	if err := h.LinkSetUp(eth); err != nil {
		return err
	}
	index := eth.Attrs().Index
	err = h.NeighSet(&netlink.Neigh{LinkIndex: index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT,
		IP: gatewayAddr.AsSlice(), HardwareAddr: mac(p.Address, 0)})
	if err != nil {
		return err
	}
	return h.RouteReplace(&netlink.Route{LinkIndex: index, Gw: gatewayAddr.AsSlice(), Flags: int(netlink.FLAG_ONLINK)})
}

// Attached tells whether the port's interface is there and up.
func (n *Network) Attached(p Port) bool {
	l, err := netlink.LinkByName(n.Interface(p.Address))
	return err == nil && l.Attrs().Flags&net.FlagUp != 0
}

// Detach removes the port: its interface and its rules. Absent is success.
func (n *Network) Detach(_ context.Context, p Port) error {
	if l, err := netlink.LinkByName(n.Interface(p.Address)); err == nil {
		if err := netlink.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("remove the interface: %w", err)
		}
	}
	n.mu.Lock()
	err := n.rules.remove(p)
	n.mu.Unlock()
	if err != nil {
		return fmt.Errorf("remove the port's rules: %w", err)
	}
	return nil
}

// Forget ends the connections known for an address, so that its next owner inherits nothing. It reads the host's whole
// table, so call it only when an address changes hands.
func (n *Network) Forget(a netip.Addr) error {
	sent, received := &netlink.ConntrackFilter{}, &netlink.ConntrackFilter{}
	ip := net.IP(a.AsSlice())
	err := errors.Join(sent.AddIP(netlink.ConntrackOrigSrcIP, ip), received.AddIP(netlink.ConntrackOrigDstIP, ip))
	if err == nil {
		_, err = netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, sent, received)
	}
	return err
}

// Traffic is what the instance received and sent, in bytes, since its interface was made.
func (n *Network) Traffic(a netip.Addr) (rx, tx int64) {
	dir := "/sys/class/net/" + n.Interface(a) + "/statistics/"
	return number(dir + "tx_bytes"), number(dir + "rx_bytes") // the host's end sees them the other way round
}

func number(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	v, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return v
}

// mtu is the smallest of the uplinks', so that no instance sends what the host would have to drop.
func (n *Network) mtu() int {
	mtu := 1500
	for _, name := range n.uplink {
		if l, err := netlink.LinkByName(name); err == nil && l.Attrs().MTU > 0 {
			mtu = min(mtu, l.Attrs().MTU)
		}
	}
	return mtu
}

// mac makes a locally administered address from the port's; end tells the two ends apart.
func mac(a netip.Addr, end byte) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x02, 0xa0 + end, b[0], b[1], b[2], b[3]}
}
