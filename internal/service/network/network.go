// Package network holds the networks of tenants: VPCs and their subnets, ports, security groups, public addresses, NAT,
// peerings, flow logs, and what every network has by itself: DHCP, a metadata service and private DNS.
//
// The rows are the truth. What the engine holds is derived from them by pure functions (plan.go), told to it whenever a row
// changes and all over again after a restart (converge.go), and compared with what the kernel really does (drift.go).
// It may import the kernel, the ports service/fabric and service/machine, and libraries.
package network

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/asbuilt"
	"github.com/awancloud/awan/internal/service/fabric"
)

// Host is what the service needs of the cloud around it.
type Host interface {
	// Do sends a call of the system's own through the door.
	Do(ctx context.Context, c *call.Call) (call.Reply, error)
}

// Deps are what the service stands on. The zero value is enough to describe its kinds.
type Deps struct {
	Store  store.Store
	Engine fabric.Engine
	Host   Host
	Options
	// Instance tells what the metadata service says of a server; fail.NotFound when there is none. Nil: there are none.
	Instance func(ctx context.Context, server id.ID) (*Instance, error)
	// Credentials makes temporary keys of a domain's agency for a server that may act as it. Nil: there are none.
	Credentials func(ctx context.Context, server *Instance) (ident.Temporary, error)
	// Found is told of each difference between the kernel and the rows; nil: nobody is.
	Found func(ctx context.Context, d asbuilt.Drift)
	// Identity is the key that signs identity documents of servers, with its certificate. Nil: they are not signed.
	Identity func() (*tls.Certificate, error)
	Dir      string // records of flow logs
	// Names answers what private zones of a VPC say; false where none has the name. Nil: there are no such zones.
	Names func(vpc id.ID, q dns.Question) (*dns.Msg, bool)
	Now   clock.Clock
	Log   *slog.Logger
}

// Options are the operator's.
type Options struct {
	Region string
	Zone   string // the one availability zone; "" is the region with "a" behind it
	// Public are the pools that public addresses are taken from; none: DefaultPools.
	Public []Pool
	// IPv6 is what subnets with IPv6 get their /64 from; invalid: DefaultIPv6.
	IPv6 netip.Prefix
	// Resolvers answer names of the world for networks that reach it; none: those of the machine.
	Resolvers []netip.AddrPort
}

// Pool is a range of public addresses under a name that users may choose.
type Pool struct {
	Name   string
	Prefix netip.Prefix
}

// DefaultPublic is the pool of a cloud whose operator has no public addresses: reached from the machine itself and from
// whoever routes it there.
var DefaultPublic = Pool{Name: "public", Prefix: netip.MustParsePrefix("172.29.0.0/22")}

// DefaultIPv6 is a unique local range (RFC 4193).
var DefaultIPv6 = netip.MustParsePrefix("fd61:7761:6e00::/48")

// Service is the network service.
type Service struct {
	Deps
	VPC          kind.Table[VPCSpec, VPCStatus]
	Subnet       kind.Table[SubnetSpec, SubnetStatus]
	Port         kind.Table[PortSpec, PortStatus]
	Group        kind.Table[GroupSpec, GroupStatus]
	Rule         kind.Table[RuleSpec, RuleStatus]
	AddressGroup kind.Table[AddressGroupSpec, AddressGroupStatus]
	PublicIP     kind.Table[PublicIPSpec, PublicIPStatus]
	Bandwidth    kind.Table[BandwidthSpec, BandwidthStatus]
	Gateway      kind.Table[GatewaySpec, GatewayStatus]
	SNAT         kind.Table[SNATSpec, SNATStatus]
	DNAT         kind.Table[DNATSpec, DNATStatus]
	Peering      kind.Table[PeeringSpec, PeeringStatus]
	FlowLog      kind.Table[FlowLogSpec, FlowLogStatus]

	sync *converger
}

// New makes the service; Start makes it work.
func New(d Deps) *Service {
	if len(d.Public) == 0 {
		d.Public = []Pool{DefaultPublic}
	}
	if !d.IPv6.IsValid() {
		d.IPv6 = DefaultIPv6
	}
	if d.Zone == "" {
		d.Zone = d.Region + "a"
	}
	s := &Service{Deps: d}
	s.describe()
	s.sync = newConverger(s)
	return s
}

// Start tells the engine what the rows say, and follows what changes.
func (s *Service) Start(ctx context.Context) error { return s.sync.start(ctx) }

// Close stops following. The networks go on; what the cloud itself answers in them ends.
func (s *Service) Close() { s.sync.close() }

// Settle waits until the engine was told of every change that was stored before, or has refused it.
func (s *Service) Settle() { s.sync.settle() }

// Kinds lists the service's kinds.
func (s *Service) Kinds() []*kind.Def {
	return []*kind.Def{s.VPC.D, s.Subnet.D, s.Port.D, s.Group.D, s.Rule.D, s.AddressGroup.D, s.PublicIP.D, s.Bandwidth.D,
		s.Gateway.D, s.SNAT.D, s.DNAT.D, s.Peering.D, s.FlowLog.D}
}

// Instance is what the metadata service tells a server about itself.
type Instance struct {
	ID                id.ID
	Domain, Project   id.ID
	Name, Hostname    string
	Flavor, Image     string // names
	ImageID           id.ID
	Zone              string
	CPUs              int
	MemoryMiB         int64
	Keys              map[string]string // name of a key pair → public key in OpenSSH form
	UserData          []byte
	VendorData        []byte            // JSON; empty: none
	Metadata          map[string]string // the server's own, given to it
	Tags              map[string]string
	Agency            string // whose temporary keys it gets; "": none
	LaunchIndex       int
	Created           time.Time
	AdminPassword     string // only where the user asked for it to be given this way
	EnterpriseProject id.ID
}
