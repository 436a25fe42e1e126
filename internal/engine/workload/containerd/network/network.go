// Package network connects instances: one point-to-point veth pair each, routed (never bridged, so that there is no
// shared segment to spoof ARP on), between them an nftables table that lets nothing through but what a tenant owns. It
// talks netlink only. Every name on the machine starts with the cloud's key. It may import netlink, nftables and the
// standard library.
package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// prefix begins the name of every interface of every cloud, so that clouds on one machine know each other's.
const prefix = "aw"

// gatewayAddr is the next hop that instances see. It is not an address of the host: the neighbour entry is made by hand.
var gatewayAddr = netip.MustParseAddr("169.254.1.1")

// Port is one instance's place in the network.
type Port struct {
	Address netip.Addr
	Tenant  uint32 // ports of equal Tenant reach each other
	Egress  bool   // may open connections to public addresses and to the resolvers
}

// Network is one cloud's network on this machine.
type Network struct {
	key      string
	subnet   netip.Prefix
	log      *slog.Logger
	dns      []netip.Addr
	uplink   []string     // interfaces that carry a default route
	listener net.Listener // where instances reach the cloud; nil: nowhere

	mu    sync.Mutex
	rules *rules
}

// Options say how to open a network.
type Options struct {
	Key    string       // [a-z0-9]{6}
	Subnet netip.Prefix // all addresses of this cloud
	Log    *slog.Logger
	// Resolvers are the name servers instances may ask; nil: the host's.
	Resolvers []netip.Addr
}

// Open makes the gateway and the rules for the ports that exist already. It replaces the rules in one transaction, so
// running instances lose no packet.
func Open(_ context.Context, o Options, ports []Port) (*Network, error) {
	n := &Network{key: o.Key, subnet: o.Subnet.Masked(), log: o.Log, dns: o.Resolvers}
	if n.dns == nil {
		n.dns = Resolvers()
	}
	if err := n.gateway(); err != nil {
		return nil, fmt.Errorf("make the gateway: %w", err)
	}
	var err error
	if n.listener, err = net.Listen("tcp4", netip.AddrPortFrom(n.Gateway(), 0).String()); err != nil {
		return nil, fmt.Errorf("listen at the gateway: %w", err)
	}
	n.uplink = uplinks()
	if err := n.routing(); err != nil {
		return nil, fmt.Errorf("switch on routing: %w", err)
	}
	r, err := newRules(n, ports)
	if err != nil {
		return nil, fmt.Errorf("load the packet rules: %w", err)
	}
	n.rules = r
	return n, nil
}

// Close ends what this process does in the network. Interfaces and rules stay.
func (n *Network) Close() error {
	if err := n.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Gateway is the host's own address in the subnet, from which probes and the ingress come.
func (n *Network) Gateway() netip.Addr { return n.subnet.Addr().Next() }

// Inside is where connections arrive that instances open to GatewayPort of the gateway. Nobody else but this machine reaches
// it. Close closes it.
func (n *Network) Inside() net.Listener { return n.listener }

func (n *Network) insidePort() uint16 { return uint16(n.listener.Addr().(*net.TCPAddr).Port) }

// Resolvers are the addresses instances may ask for names.
func (n *Network) Resolvers() []netip.Addr { return n.dns }

// CountsConnections tells whether the number of connections of an instance is limited.
func (n *Network) CountsConnections() bool { return n.rules.busy != nil }

// bridge is an interface without ports: it holds the gateway's address and claims the subnet in the routing table.
func (n *Network) bridge() string { return prefix + n.key + "gw" }

// Interface is the name of the host's end of the port with this address.
func (n *Network) Interface(a netip.Addr) string {
	b := a.As4()
	return fmt.Sprintf("%s%s%02x%02x", prefix, n.key, b[2], b[3])
}

func (n *Network) gateway() error {
	link, err := netlink.LinkByName(n.bridge())
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = n.bridge()
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return err
		}
		link, err = netlink.LinkByName(n.bridge())
	}
	if err != nil {
		return err
	}
	_ = sysctl("ipv6/conf/"+n.bridge()+"/disable_ipv6", "1")
	addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(n.Gateway(), 32))}
	if err := netlink.AddrReplace(link, addr); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	// What no instance owns goes nowhere; more exact routes win over this one. It also tells other clouds on this
	// machine that the range is taken.
	return netlink.RouteReplace(&netlink.Route{Dst: ipNet(n.subnet), Type: unix.RTN_UNREACHABLE, Table: unix.RT_TABLE_MAIN})
}

// routing lets packets of instances pass. Only the interfaces concerned are switched on, and what the host did not
// forward before it still does not (see rules.guard).
func (n *Network) routing() error {
	for _, name := range n.uplink {
		path := "ipv4/conf/" + name + "/forwarding"
		if v, err := os.ReadFile("/proc/sys/net/" + path); err == nil && strings.TrimSpace(string(v)) == "1" {
			continue
		}
		if err := sysctl(path, "1"); err != nil {
			return err
		}
		// Remembered for the lifetime of the machine's boot, where the setting itself lives too.
		if err := os.WriteFile(guardFile(name), nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// guardFile marks an uplink on which a cloud switched forwarding on.
func guardFile(name string) string { return "/run/awan-forwarding-" + name }

// guarded lists the uplinks on which forwarding is there for clouds only.
func (n *Network) guarded() []string {
	var out []string
	for _, name := range n.uplink {
		if _, err := os.Stat(guardFile(name)); err == nil {
			out = append(out, name)
		}
	}
	return out
}

// uplinks are the interfaces with a default route.
func uplinks() []string {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	if err != nil {
		return nil
	}
	var out []string
	for _, r := range routes {
		if l, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
			out = append(out, l.Attrs().Name)
		}
	}
	return out
}

// Obstacle names another firewall of this machine that drops what instances send out or to each other; empty: none.
func (n *Network) Obstacle() string {
	c, err := nftables.New()
	if err != nil {
		return ""
	}
	chains, err := c.ListChains()
	if err != nil {
		return ""
	}
	for _, ch := range chains {
		if ch.Hooknum != nil && *ch.Hooknum == *nftables.ChainHookForward && ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop &&
			ch.Table.Name != tableName(n.key) {
			return fmt.Sprintf("the firewall table %s drops forwarded packets: let the interfaces %s* through in its chain %s", ch.Table.Name, prefix+n.key, ch.Name)
		}
	}
	return ""
}

func sysctl(path, value string) error {
	return os.WriteFile("/proc/sys/net/"+path, []byte(value), 0o644)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
