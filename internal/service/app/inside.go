package app

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"github.com/awancloud/awan/internal/kernel/id"
)

// InsideDomain is where components find each other: https://NAME.internal/ from an instance of the same project.
const InsideDomain = ".internal"

type callerKey struct{}

// callerOf tells the component whose instance sent a request from inside; it is empty for a task or a hook.
func callerOf(ctx context.Context) (component id.ID, inside bool) {
	component, inside = ctx.Value(callerKey{}).(id.ID)
	return component, inside
}

// Inside answers what instances ask of their project's components: the ingress as seen from within, so that balancing,
// gray releases and lanes hold there, too. The network vouches for the address that a request comes from.
func (s *Service) Inside() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			http.Error(w, "the request comes from nowhere", http.StatusForbidden)
			return
		}
		b, caller := s.sibling(from.Addr(), hostOf(r.Host))
		if b == nil {
			http.Error(w, "this project has no component that is called "+hostOf(r.Host)+"; use https://NAME"+InsideDomain+"/", http.StatusNotFound)
			return
		}
		b.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)))
	})
}

// InsideName tells whether a name means a component to who is at an address.
func (s *Service) InsideName(name string, from netip.Addr) bool {
	b, _ := s.sibling(from, name)
	return b != nil
}

// hostOf is the host of a Host header.
func hostOf(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// sibling finds the component that a name means to the instance at an address; nil when there is none, or no instance.
func (s *Service) sibling(from netip.Addr, name string) (b *backend, caller id.ID) {
	name, ok := strings.CutSuffix(name, InsideDomain)
	if !ok {
		return nil, ""
	}
	instance, tenant, ok := s.Engine.Whose(from.Unmap())
	if !ok {
		return nil, ""
	}
	g := s.Ingress
	g.mu.RLock()
	defer g.mu.RUnlock()
	if e := g.instances[instance]; e != nil {
		caller = e.backend.component
	}
	return g.byName[tenant+"/"+name], caller
}

// nameInside tells the instances of a project how its components are called.
func (s *Service) nameInside(ctx context.Context, project id.ID) {
	if !s.Gateway.IsValid() || !s.named.Load() {
		return
	}
	s.naming.Lock() // so that the newest list is the last one said
	defer s.naming.Unlock()
	names := map[string]netip.Addr{}
	s.Ingress.mu.RLock()
	for _, b := range s.Ingress.byID {
		if b.project == project {
			names[b.name+InsideDomain] = s.Gateway
		}
	}
	s.Ingress.mu.RUnlock()
	if err := s.Engine.Names(ctx, string(project), names); err != nil {
		s.Log.Error("instances do not learn the names of components", "project", project, "err", err)
	}
}

// nameAll does so for every project that has a component.
func (s *Service) nameAll(ctx context.Context) {
	s.named.Store(true)
	projects := map[id.ID]bool{}
	s.Ingress.mu.RLock()
	for _, b := range s.Ingress.byID {
		projects[b.project] = true
	}
	s.Ingress.mu.RUnlock()
	for p := range projects {
		s.nameInside(ctx, p)
	}
}
