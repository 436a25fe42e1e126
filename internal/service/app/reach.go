package app

import (
	"net"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Reach is how package access comes to components.
type Reach struct{ s *Service }

// Reach gives it.
func (s *Service) Reach() Reach { return Reach{s} }

// Find gives the id and the name of a project's component, "" when there is none.
func (r Reach) Find(tx store.Tx, project id.ID, component string) (id.ID, string, error) {
	row, err := r.s.Component.Find(tx, string(project), component)
	if err != nil || row == nil {
		return "", "", err
	}
	return row.ID, row.Name, nil
}

// ByHost gives the component that has an address or host name of the cloud's own, and what answers for it.
func (r Reach) ByHost(host string) (id.ID, http.Handler) {
	g := r.s.Ingress
	g.mu.RLock()
	defer g.mu.RUnlock()
	if b := g.byHost[strings.ToLower(host)]; b != nil {
		return b.component, b
	}
	return "", nil
}

// ByID gives what answers for a component; nil when it is gone.
func (r Reach) ByID(component id.ID) http.Handler {
	g := r.s.Ingress
	g.mu.RLock()
	defer g.mu.RUnlock()
	if b := g.byID[component]; b != nil {
		return b
	}
	return nil
}

// Take gives the address of an instance that is ready, in turn, and a function to call when the connection to it has
// ended: who removes the instance waits for it.
func (r Reach) Take(component id.ID) (string, func()) {
	g := r.s.Ingress
	g.mu.RLock()
	b := g.byID[component]
	g.mu.RUnlock()
	if b == nil {
		return "", nil
	}
	e := b.pick(b.blind(), nil)
	if e == nil {
		return "", nil
	}
	host, _, err := net.SplitHostPort(e.addr)
	if err != nil {
		e.inflight.Add(-1)
		return "", nil
	}
	return host, func() { e.inflight.Add(-1) }
}
