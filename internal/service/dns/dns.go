// Package dns holds zones and their record sets: public ones, answered by our own authoritative server, and private ones,
// answered inside the VPCs that they are for.
//
// The rows are the truth; a table made from them, replaced whole whenever they change, answers questions. Nothing is ever
// asked of other servers. It may import the kernel and libraries; VPCs are handed to it behind the interface Networks.
package dns

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/follow"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Resolver is where what is in a VPC asks: the network service answers there, with private zones first.
const Resolver = "169.254.169.254"

// Host is what the service needs of the cloud around it.
type Host interface {
	// Unmake deletes, for good, a row that another one needed (call.Door says how).
	Unmake(ctx context.Context, fullName string, row id.ID) error
}

// Networks are the VPCs that private zones are for.
type Networks interface {
	// FindVPC gives a VPC of the project by name or id; "" when there is none.
	FindVPC(tx store.Tx, project id.ID, nameOrID string) (id.ID, error)
}

// Deps are what the service stands on. The zero value is enough to describe its kinds.
type Deps struct {
	Store    store.Store
	Host     Host
	Networks Networks // nil: there are no VPCs, and so no private zones
	// NameServers are the names of the public zones' servers, without the final dot.
	NameServers []string
	// Reserved tells whether a name is the cloud's own: no tenant may have a public zone of it.
	Reserved func(name string) bool
	Now      clock.Clock
	Log      *slog.Logger
}

// Service is the DNS service.
type Service struct {
	Deps
	Zone   kind.Table[ZoneSpec, ZoneStatus]
	Record kind.Table[RecordSpec, RecordStatus]

	table    atomic.Pointer[table]
	follower *follow.Follower
}

// New makes the service; Start makes it work.
func New(d Deps) *Service {
	s := &Service{Deps: d}
	s.table.Store(&table{})
	s.describe()
	return s
}

// Kinds lists the service's kinds.
func (s *Service) Kinds() []*kind.Def { return []*kind.Def{s.Zone.D, s.Record.D} }

// Start reads the rows and follows every change of them.
func (s *Service) Start(ctx context.Context) (err error) {
	s.follower, err = follow.Start(ctx, s.Store, s.Log, "the zones", s.reload, "row/dns/", serialPrefix)
	return err
}

// Close stops following.
func (s *Service) Close() {
	if s.follower != nil {
		s.follower.Close()
	}
}
