package app

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// InsideDomain is where components find each other: http://NAME.internal/ from an instance of the same project.
const InsideDomain = ".internal"

// Inside answers what instances ask of their project's components: the ingress as seen from within, so that balancing,
// gray releases and lanes hold there, too. The network vouches for the address that a request comes from.
func (g *Ingress) Inside() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			http.Error(w, "the request comes from nowhere", http.StatusForbidden)
			return
		}
		b := g.sibling(from.Addr().Unmap(), componentName(r.Host))
		if b == nil {
			http.Error(w, "this project has no component "+componentName(r.Host)+"; use http://NAME"+InsideDomain+"/", http.StatusNotFound)
			return
		}
		b.ServeHTTP(w, r)
	})
}

// componentName is the component a Host header means: its first label.
func componentName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.ToLower(host), InsideDomain)
}

// sibling finds a component of the project to which the instance at an address belongs; nil when there is none, or when
// nobody's instance is there.
func (g *Ingress) sibling(from netip.Addr, name string) *backend {
	g.mu.RLock()
	defer g.mu.RUnlock()
	e := g.byAddr[from]
	if e == nil {
		return nil
	}
	return g.byName[string(e.backend.project)+"/"+name]
}

// aliases are the names under which an instance finds the components of its project.
func (s *Service) aliases(tx store.Tx, project id.ID) (map[string]netip.Addr, error) {
	rows, err := s.Component.List(tx, string(project), kind.Filter{})
	out := map[string]netip.Addr{}
	for _, r := range rows {
		out[r.Name+InsideDomain] = s.Inside
	}
	return out, err
}
