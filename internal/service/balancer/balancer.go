// Package balancer holds load balancers: an address in a VPC, what listens there, and who does the work behind it.
//
// The rows are the truth; what the data plane (package proxy, in this process) does is made from them whenever they change.
// It may import the kernel, service/balancer/proxy and the port service/fabric; networks are handed to it behind the
// interface Networks.
package balancer

import (
	"context"
	"log/slog"
	"sync"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/follow"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/balancer/proxy"
)

// Host is what the service needs of the cloud around it.
type Host interface {
	// Unseal reads a secret of a stored row.
	Unseal(m *kind.Meta, part, path, sealed string) (string, error)
	// Make, Made and Unmake create, find and delete rows that a load balancer needs (call.Door says how).
	Make(ctx context.Context, of *kind.Meta, fullName, key, name string, spec any) (kind.AnyRow, error)
	Made(ctx context.Context, of *kind.Meta, fullName, key string) (id.ID, error)
	Unmake(ctx context.Context, fullName string, row id.ID) error
}

// Networks is where load balancers have their addresses.
type Networks interface {
	// FindSubnet gives a subnet of the project by name or id, with its VPC; "" when there is none.
	FindSubnet(tx store.Tx, project id.ID, nameOrID string) (subnet, vpc id.ID, err error)
	// FindVPC gives a VPC of the project by name or id; "" when there is none.
	FindVPC(tx store.Tx, project id.ID, nameOrID string) (id.ID, error)
	// PortSpec describes the port that holds a load balancer's address; without an address one is chosen.
	PortSpec(balancer *kind.Meta, subnet, address string) any
	// Seen tells where a port is.
	Seen(tx store.Tx, port id.ID) (Place, error)
	// PublicSpec describes a public address to be made for a port.
	PublicSpec(port id.ID, mbit int) any
	// Plug lets the cloud listen at a port's addresses and dial from them; it may be called again. Unplug ends that.
	Plug(ctx context.Context, port id.ID) error
	Unplug(ctx context.Context, port id.ID) error
	// Publish lets a public address that is there lead to a port; PublicOf gives those that do.
	Publish(ctx context.Context, tx store.Tx, project id.ID, ref string, port id.ID) error
	PublicOf(tx store.Tx, project, port id.ID) ([]PublicAddress, error)
}

// Place is where a port is.
type Place struct {
	Subnet, VPC id.ID
	IPv4Subnet  string // its id for OpenStack clients
	Addresses   []string
}

// PublicAddress is a public address that leads to a load balancer.
type PublicAddress struct {
	ID      id.ID  `json:"id" doc:"id of the public address"`
	Address string `json:"address" doc:"the address"`
}

// Deps are what the service stands on. The zero value is enough to describe its kinds.
type Deps struct {
	Store    store.Store
	Host     Host
	Networks Networks
	Fabric   proxy.Network
	Now      clock.Clock
	Log      *slog.Logger
}

// Service is the balancer service.
type Service struct {
	Deps
	Balancer    kind.Table[BalancerSpec, BalancerStatus]
	Listener    kind.Table[ListenerSpec, ListenerStatus]
	Certificate kind.Table[CertificateSpec, CertificateStatus]
	Pool        kind.Table[PoolSpec, PoolStatus]
	Member      kind.Table[MemberSpec, MemberStatus]
	Monitor     kind.Table[MonitorSpec, MonitorStatus]
	Policy      kind.Table[PolicySpec, PolicyStatus]
	Rule        kind.Table[RuleSpec, RuleStatus]
	Group       kind.Table[GroupSpec, GroupStatus]

	proxy    *proxy.Proxy
	follower *follow.Follower
	pairs    map[id.ID]pair // certificates as they were last read
	logs     logs
}

type logs struct {
	mu sync.Mutex
	of map[id.ID][]proxy.Entry
}

// New makes the service; Start makes it work.
func New(d Deps) *Service {
	s := &Service{Deps: d, pairs: map[id.ID]pair{}}
	s.describe()
	return s
}

// Kinds lists the service's kinds.
func (s *Service) Kinds() []*kind.Def {
	return []*kind.Def{s.Balancer.D, s.Listener.D, s.Pool.D, s.Member.D, s.Monitor.D, s.Certificate.D, s.Policy.D, s.Rule.D, s.Group.D}
}

// Start begins to carry what the rows say, and follows every change of them.
func (s *Service) Start(ctx context.Context) (err error) {
	s.proxy = proxy.New(s.Fabric, s.Log)
	s.proxy.Logged = s.note
	s.follower, err = follow.Start(ctx, s.Store, s.Log, "the load balancers", s.reload, "row/balancer/")
	return err
}

// Close stops listening; connections under way are cut.
func (s *Service) Close() {
	if s.follower != nil {
		s.follower.Close()
		s.proxy.Close()
	}
}

// kept is how many requests of one load balancer its access log remembers.
const kept = 1000

// note keeps a request for the access log.
func (s *Service) note(e proxy.Entry) {
	s.logs.mu.Lock()
	defer s.logs.mu.Unlock()
	if s.logs.of == nil {
		s.logs.of = map[id.ID][]proxy.Entry{}
	}
	all := append(s.logs.of[e.Balancer], e)
	if len(all) > 2*kept {
		all = append([]proxy.Entry(nil), all[len(all)-kept:]...)
	}
	s.logs.of[e.Balancer] = all
}
