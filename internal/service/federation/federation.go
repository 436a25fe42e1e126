// Package federation lets people in who are known elsewhere, and lets tenants' apps use this cloud's log-in.
//
// In: an identity provider speaks OpenID Connect or SAML 2.0; a mapping turns what it says of somebody into a user name
// and groups; a session is that somebody's stay, with a user that is made when it begins and removed when it ends.
// Out: a client is an app that may ask for the cloud's log-in; dialect/oidc speaks the protocol.
//
// It may import the kernel.
package federation

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Deps are what the service stands on.
type Deps struct {
	Store store.Store
	Ident *ident.Service
	Now   clock.Clock
	// Unseal reads a secret of a stored row.
	Unseal func(m *kind.Meta, part, path, sealed string) (string, error)
	// Transport reaches providers; nil: the system's, with the provider's own CA where it names one.
	Transport http.RoundTripper
}

// Service is federation. The zero Deps describe its kinds only.
type Service struct {
	Deps
	Providers kind.Table[ProviderSpec, ident.None]
	Mappings  kind.Table[MappingSpec, ident.None]
	Sessions  kind.Table[SessionSpec, ident.None]
	Clients   kind.Table[ClientSpec, ClientStatus]

	mu    sync.Mutex
	known map[string]discovered
}

// New makes the service.
func New(d Deps) *Service {
	s := &Service{Deps: d, known: map[string]discovered{}}
	s.kinds()
	return s
}

// Kinds lists the definitions.
func (s *Service) Kinds() []*kind.Def {
	return []*kind.Def{s.Providers.D, s.Mappings.D, s.Sessions.D, s.Clients.D}
}

// asCloud marks what the service does by itself.
func asCloud(ctx context.Context) context.Context { return ident.With(ctx, ident.System()) }

// patience is how long a provider may take to answer.
const patience = 15 * time.Second
