// Package access says how people reach apps beyond the address every component has: names of their own with
// certificates, paths that lead to different components, TCP ports, and rules about who may come, how often, and what
// they see during maintenance.
//
// The rows are the truth; a table made from them, replaced whole whenever they change, answers requests.
// It may import the kernel; service/app is handed to it behind the interface Apps.
package access

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/follow"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Apps is what is reached: the app service.
type Apps interface {
	// Find gives the id and the name of a project's component, "" when there is none.
	Find(tx store.Tx, project id.ID, component string) (id.ID, string, error)
	// ByHost gives the component that has an address or host name of the cloud's own, and what answers for it.
	ByHost(host string) (id.ID, http.Handler)
	// ByID gives what answers for a component; nil when it is gone.
	ByID(component id.ID) http.Handler
	// Take gives the address of an instance that is ready, and a function to call when the connection to it has ended;
	// "" when none is ready.
	Take(component id.ID) (address string, done func())
}

// Issuer gets certificates from an authority that browsers know. Nil: the operator configured none.
type Issuer interface {
	// Manage makes the names the ones to have certificates for; it returns at once.
	Manage(names []string)
	// Certificate gives the one for a handshake, nil while there is none.
	Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error)
	// State tells in words how the certificate of a name is.
	State(name string) string
}

// Deps are what the service stands on. The zero value is enough to describe its kinds.
type Deps struct {
	Store  store.Store
	Apps   Apps
	Follow []string // key prefixes whose changes change what a component's name means
	Issuer Issuer
	Unseal func(m *kind.Meta, part, path, sealed string) (string, error)
	// Reserved tells whether a name is the cloud's own: no tenant may take it.
	Reserved func(host string) bool
	// Address is the host that TCP ports are opened on; First and Last bound those that the cloud gives out.
	Address     string
	First, Last int
	URL         func(host string) string
	Now         clock.Clock
	Log         *slog.Logger
}

// Service is the access service.
type Service struct {
	Deps
	Domain kind.Table[DomainSpec, DomainStatus]
	Rule   kind.Table[RuleSpec, RuleStatus]
	Port   kind.Table[PortSpec, PortStatus]

	table    atomic.Pointer[table]
	limits   limits
	ports    ports
	follower *follow.Follower
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// New makes the service; Start makes it work.
func New(d Deps) *Service {
	s := &Service{Deps: d}
	s.ports.s = s
	s.table.Store(&table{})
	s.describe()
	return s
}

// Kinds lists the service's kinds.
func (s *Service) Kinds() []*kind.Def { return []*kind.Def{s.Domain.D, s.Rule.D, s.Port.D} }

// Start reads the rows, opens the ports, and follows every change: of our rows, and of which component a name means.
func (s *Service) Start(ctx context.Context) (err error) {
	s.follower, err = follow.Start(ctx, s.Store, s.Log, "the rules of access", s.reload, append([]string{"row/access/"}, s.Follow...)...)
	if err != nil {
		return err
	}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.running.Go(func() { s.ports.retry(ctx) })
	return nil
}

// Close closes the ports; connections under way are cut.
func (s *Service) Close() {
	if s.stop != nil {
		s.stop()
		s.running.Wait()
	}
	if s.follower != nil {
		s.follower.Close()
	}
	s.ports.close()
}
