package access

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// table is what the rows say, ready for requests. It never changes.
type table struct {
	domains map[string]*domain
	rules   map[id.ID]*rule
}

type domain struct {
	s      *Service
	routes []path // the longest prefix first
	own    *tls.Certificate
	acme   bool
}

type path struct {
	prefix    string
	component id.ID
	strip     bool
}

// reload makes the table anew from the rows, and opens and closes ports as they say.
func (s *Service) reload(ctx context.Context) (store.Rev, error) {
	t := &table{domains: map[string]*domain{}, rules: map[id.ID]*rule{}}
	var rev store.Rev
	var ports []*port
	var managed []string
	err := s.Store.View(ctx, func(tx store.Tx) error {
		rev = tx.Rev()
		domains, err := s.Domain.List(tx, "", kind.Filter{})
		if err != nil {
			return err
		}
		for _, r := range domains {
			if t.domains[r.Name], err = s.domain(tx, r); err != nil {
				return err
			}
			if r.Spec.Certificate == "acme" {
				managed = append(managed, r.Name)
			}
		}
		rules, err := s.Rule.List(tx, "", kind.Filter{})
		if err != nil {
			return err
		}
		for _, r := range rules {
			component, _, err := s.Apps.Find(tx, r.Project, r.Spec.Component)
			if err != nil {
				return err
			}
			t.rules[component] = newRule(component, r)
		}
		rows, err := s.Port.List(tx, "", kind.Filter{})
		if err != nil {
			return err
		}
		for _, r := range rows {
			component, _, err := s.Apps.Find(tx, r.Project, r.Spec.Component)
			if err != nil {
				return err
			}
			ports = append(ports, &port{r, component})
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	s.limits.keep(t.rules)
	s.table.Store(t)
	s.ports.set(ports)
	if s.Issuer != nil {
		s.Issuer.Manage(managed)
	}
	return rev, nil
}

// domain reads a row. A component that is gone leaves its paths without an answer.
func (s *Service) domain(tx store.Tx, r *domainRow) (*domain, error) {
	d := &domain{s: s, acme: r.Spec.Certificate == "acme"}
	routes := slices.Clone(r.Spec.Routes)
	if r.Spec.Component != "" {
		routes = append(routes, Route{Component: r.Spec.Component})
	}
	for _, rt := range routes {
		component, _, err := s.Apps.Find(tx, r.Project, rt.Component)
		if err != nil {
			return nil, err
		}
		d.routes = append(d.routes, path{prefix: clean(rt.Path), component: component, strip: rt.Strip})
	}
	slices.SortStableFunc(d.routes, func(a, b path) int { return len(b.prefix) - len(a.prefix) })
	if r.Spec.Certificate != "own" {
		return d, nil
	}
	key, err := s.Unseal(&r.Meta, "spec", "key", r.Spec.Key)
	if err == nil {
		var pair tls.Certificate
		if pair, err = tls.X509KeyPair([]byte(r.Spec.Chain), []byte(key)); err == nil {
			d.own = &pair
		}
	}
	if err != nil {
		s.Log.Error("the certificate of a domain cannot be used; the cloud's own stands in", "domain", r.Name, "err", err)
	}
	return d, nil
}

// Handler gives what answers for a host: the rules and routes of a tenant's own name, or a component at the address the
// cloud gave it, behind its rule. Nil when no app has it.
func (s *Service) Handler(host string) http.Handler {
	t := s.table.Load()
	if d := t.domains[strings.ToLower(host)]; d != nil {
		return d
	}
	component, h := s.Apps.ByHost(host)
	if h == nil {
		return nil
	}
	return s.guard(t, component, h)
}

// Certificate gives a handshake the certificate that a tenant's own name wants; nil: the cloud's own will do.
func (s *Service) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	d := s.table.Load().domains[strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")]
	switch {
	case d == nil:
		return nil, nil
	case d.acme && s.Issuer != nil:
		return s.Issuer.Certificate(hello)
	}
	return d.own, nil
}

// ServeHTTP finds the component that a path leads to.
func (d *domain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, p := range d.routes {
		rest, fits := under(r.URL.Path, p.prefix)
		if !fits {
			continue
		}
		h := d.s.Apps.ByID(p.component)
		if h == nil {
			page(w, r, http.StatusServiceUnavailable, "Nothing answers here: the app behind this path is gone.")
			return
		}
		if p.strip && p.prefix != "" {
			r = stripped(r, p.prefix, rest)
		}
		d.s.guard(d.s.table.Load(), p.component, h).ServeHTTP(w, r)
		return
	}
	page(w, r, http.StatusNotFound, "No app answers at this path.")
}

// under cuts a prefix off a path, segment by segment.
func under(path, prefix string) (rest string, fits bool) {
	rest, fits = strings.CutPrefix(path, prefix)
	return rest, fits && (rest == "" || rest[0] == '/')
}

func stripped(r *http.Request, prefix, rest string) *http.Request {
	out := r.Clone(r.Context())
	if rest == "" {
		rest = "/"
	}
	out.URL.Path = rest
	if raw, ok := under(r.URL.RawPath, prefix); ok && r.URL.RawPath != "" {
		out.URL.RawPath = raw
	} else {
		out.URL.RawPath = ""
	}
	out.Header.Set("X-Forwarded-Prefix", prefix)
	return out
}

func source(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}
