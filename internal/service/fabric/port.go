// Package fabric is the port to whatever carries packets: bridges and netfilter on one machine, a cluster's network on
// many, sim in tests. It knows VPCs, ports and groups as an engine needs them, and no row, no policy and no wire format.
// It may import kernel/fail and kernel/id.
package fabric

import (
	"context"
	"iter"
	"net"
	"net/netip"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Engine makes networks. What it is told of one VPC, group or port is the whole truth about it: the engine makes the
// kernel equal to that and to nothing else. Nothing passes that no group lets pass.
//
// Every method is safe for concurrent use and may be called again after a crash at any point with the same arguments:
// the second call converges to the same end. Destroying what is absent is success. Errors are fail errors.
//
// What is wanted is kept by the caller: after a restart of awan the caller says all of it again. An engine remembers what
// it was told for as long as what it made lasts, so that packets go on meanwhile, and being told of one port again takes
// nothing from another. After a restart of the machine it knows nothing.
type Engine interface {
	// EnsureVPC makes a network of its own: no other VPC's packets get in whatever addresses they have, except over Peers.
	// fail.Precondition when a port is in a subnet that is no longer wanted, fail.Conflict when another has a public address.
	EnsureVPC(ctx context.Context, vpc id.ID, want VPC) error
	DestroyVPC(ctx context.Context, vpc id.ID) error // fail.Precondition while it has ports
	VPCs(ctx context.Context) iter.Seq2[id.ID, error]

	// EnsureGroup says what the members of a security group may receive and send. It changes rules for connections that are
	// open too: what is no longer allowed stops.
	EnsureGroup(ctx context.Context, group id.ID, want Group) error
	DestroyGroup(ctx context.Context, group id.ID) error // fail.Precondition while it has members
	Groups(ctx context.Context) iter.Seq2[id.ID, error]

	// EnsurePort plugs something into a subnet. The VPC, the subnet and the groups must be there (fail.Precondition); its
	// addresses and public addresses must be nobody else's (fail.Conflict). A port stays in its VPC.
	EnsurePort(ctx context.Context, port id.ID, want Port) (SeenPort, error)
	ObservePort(ctx context.Context, port id.ID) (SeenPort, error) // fail.Gone when absent
	DestroyPort(ctx context.Context, port id.ID) error
	Ports(ctx context.Context) iter.Seq2[id.ID, error]

	// Drift compares what the kernel holds with what was wanted, repairs it when asked to, and tells each difference. A
	// device that was missing is made anew: what held the old one must be plugged in again.
	Drift(ctx context.Context, repair bool) ([]Finding, error)
	// Flows yields the records of ports with FlowLog from now on until ctx ends. A record is the first packet of a connection
	// that was let through, or a packet that was refused; of the latter an engine may leave some out.
	Flows(ctx context.Context) iter.Seq2[Flow, error]

	// Listen, ListenPacket and Dial are the cloud's own ends inside a VPC: the metadata service at 169.254.169.254, DNS,
	// load balancers. An address that no subnet's gateway has is added to the VPC while the listener lives. The other
	// side's address is true: no port may send with another's. The listeners die with this process. Machines reach
	// 169.254.169.254, DHCP, port 53 and the gateways' ping whatever their groups say; other listeners as their groups'
	// egress rules let them. What the cloud dials needs no rule, but for DialFrom: there one of the cloud's own ports dials
	// (fail.Precondition for any other), from its address, and reaches what the receiver's groups let it.
	Listen(ctx context.Context, vpc id.ID, addr netip.AddrPort) (net.Listener, error)
	ListenPacket(ctx context.Context, vpc id.ID, addr netip.AddrPort) (net.PacketConn, error)
	Dial(ctx context.Context, vpc id.ID, network string, addr netip.AddrPort) (net.Conn, error)
	DialFrom(ctx context.Context, port id.ID, network string, addr netip.AddrPort) (net.Conn, error)

	Capabilities(ctx context.Context) Capabilities
	Close() error // the networks go on
}

// VPC is a routing domain.
type VPC struct {
	Subnets []Subnet
	Routes  []Route
	Peers   []Peer
	// NAT lets ports without a public address of their own open connections to the outside.
	NAT []NAT
	// Forward maps ports of public addresses to addresses inside (DNAT).
	Forward []Forward
}

// Subnet is one broadcast domain with the gateway that the engine itself is.
type Subnet struct {
	ID       id.ID
	CIDR     netip.Prefix
	Gateway  netip.Addr
	CIDR6    netip.Prefix // zero: no IPv6
	Gateway6 netip.Addr
	DHCP     bool
	DNS      []netip.Addr // what DHCP names; empty: the gateway
	NTP      []netip.Addr
	Domain   string        // search domain
	Lease    time.Duration // 0: a day
	MTU      int           // 0: the engine's; never more than that
	Isolated bool          // no packet between this subnet and others, nor to the outside (quarantine)
}

// Route sends a destination to a port's address. While no port has it, what goes there is refused.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// Peer joins two VPCs: packets to its prefixes go there, and from there only those come in whose source is in them. Both
// sides must name each other. Nobody passes through a VPC to a third. The groups of both ends decide.
type Peer struct {
	VPC      id.ID
	Prefixes []netip.Prefix
}

// NAT lets sources go out as a public address. A zero Public goes out as the machine.
type NAT struct {
	From   []netip.Prefix
	Public netip.Addr
}

// Forward maps a port of a public address inward.
type Forward struct {
	Protocol string // "tcp", "udp"
	Public   netip.AddrPort
	To       netip.AddrPort
}

// Direction of a rule.
type Direction string

const (
	Ingress Direction = "ingress"
	Egress  Direction = "egress"
)

// Group is a security group: rules by priority (1 first; deny before allow at the same priority); what no rule names is
// dropped in both directions. Answers of what was let through pass.
type Group struct {
	Rules []Rule
}

// Rule lets traffic pass, or refuses it. With Remote and Group, either will do.
type Rule struct {
	ID        id.ID
	Direction Direction
	Deny      bool
	Priority  int
	IPv6      bool   // else IPv4
	Protocol  string // "", "tcp", "udp", "icmp", "icmpv6", or a number
	Ports     []PortRange
	ICMPType  int            // -1: any
	ICMPCode  int            // -1: any
	Remote    []netip.Prefix // empty with no RemoteGroup: anybody
	// Group: the members of this group in the same VPC and in its peers, as they come and go. Single addresses of their
	// Allowed count, ranges do not.
	Group id.ID
}

// PortRange is From–To, both included.
type PortRange struct{ From, To uint16 }

// Port is one attachment.
type Port struct {
	VPC, Subnet id.ID
	MAC         net.HardwareAddr
	Addresses   []netip.Addr
	// Allowed are source addresses beside its own, with or without a MAC of their own (virtual IPs, routers).
	Allowed []AddressPair
	Groups  []id.ID
	// Own: the cloud itself is at the port's addresses (a load balancer), and no device. What listens there gets what its
	// senders' groups let them send; as a member of its groups it is let in where theirs are. It has no allowed pairs.
	Own bool
	// Open switches checks off: no groups, no anti-spoofing, no isolation. Only for what the operator runs.
	Open bool
	// Down: the port keeps its addresses but carries nothing (admin_state_up = false).
	Down bool
	// Hostname is what DHCP and DNS call it.
	Hostname string
	// Public are addresses by which the outside reaches it, and by which it goes out, each with its own limit.
	Public []Public
	// MaxMbit limits each direction; 0: none.
	MaxMbit int
	Queues  int
	FlowLog bool
	// Quarantine drops everything but what the cloud itself opens, keeping the port (S20).
	Quarantine bool
	// Owner runs the device: the user id that may open the tap; the engine gives it to nobody else.
	Owner int
}

// AddressPair is a source that a port may use. Packets to a single address go to the port that announced it last (gratuitous
// ARP or neighbour advertisement), to any of those allowed it before one did.
type AddressPair struct {
	Prefix netip.Prefix
	MAC    net.HardwareAddr // nil: the port's
}

// Public is an address on the outside.
type Public struct {
	Address netip.Addr
	To      netip.Addr // the port's address; zero: its first of that family
	Mbit    int        // each direction; 0: none
}

// SeenPort is where to plug in, and how much went through.
type SeenPort struct {
	// Device is a tap (no packet information, with virtio-net headers, several queues if Port.Queues > 1) in the network
	// namespace at the path Namespace ("" = the machine's own), for a machine to open: enter the namespace, TUNSETIFF.
	Device    string
	Namespace string
	MTU       int
	Up        bool // somebody holds the device open
	Counters  Counters
	// Public is what went over each of its public addresses since the address leads here. A count that is smaller than it
	// was began anew.
	Public map[netip.Addr]Traffic
}

// Traffic is bytes to a port and from it.
type Traffic struct{ In, Out uint64 }

// Counters count since the port was made. In is towards the port.
type Counters struct {
	InBytes, OutBytes     uint64
	InPackets, OutPackets uint64
	Dropped               uint64 // by groups and anti-spoofing
}

// Finding is a difference between the kernel and the rows.
type Finding struct {
	What     string // "port", "vpc", "group", "unknown"
	ID       id.ID
	Detail   string // for people: "a rule that nobody wrote lets tcp 22 in"
	Repaired bool
}

// Flow is one record of a flow log.
type Flow struct {
	At       time.Time
	Port     id.ID
	Accepted bool
	In       bool
	Protocol string
	From, To netip.AddrPort // as the port sees them; of ICMP the ports are 0
	Packets  uint64
	Bytes    uint64
}

// Capabilities say what the engine does on this machine, and why not.
type Capabilities struct {
	Name    string            // "linux", "sim"
	Packets bool              // real packets
	Missing map[string]string // feature → why: "conntrack", "vxlan", "shaping", "flowlog", "ipv6"
	MTU     int
}
