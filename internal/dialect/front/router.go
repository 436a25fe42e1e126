package front

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/awancloud/awan/internal/dialect/route"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// router decides what serves a request. It does not change after New.
type router struct {
	domains []string
	region  string
	hosts   map[string]bool
	labels  map[string]*Service
	prefix  map[string]*Service
	matches []*Service
	table   route.Table[*Service]
	native  *Service
	console *Service
	apps    func(host string) http.Handler
}

// target is the answer: a service, or an app's handler.
type target struct {
	service *Service
	app     http.Handler
	sub     string // what stands before the service's name in the host
	cut     string // the path prefix to cut off
	hit     *route.Hit[*Service]
}

func newRouter(o Options) (*router, error) {
	rt := &router{
		region: o.Names.Region, apps: o.Apps, native: o.Native, console: o.Console,
		hosts: map[string]bool{"localhost": true}, labels: map[string]*Service{}, prefix: map[string]*Service{},
	}
	for _, d := range append([]string{o.Names.Domain}, o.Names.More...) {
		rt.domains = append(rt.domains, strings.ToLower(d))
	}
	for _, h := range o.Names.Hosts {
		rt.hosts[strings.ToLower(h)] = true
	}
	for i := range o.Services {
		s := &o.Services[i]
		if err := rt.add(s); err != nil {
			return nil, err
		}
	}
	return rt, nil
}

func (rt *router) add(s *Service) error {
	if s.Handler == nil {
		return fail.New(fail.Internal, "service %q has no handler", s.Name)
	}
	put := func(m map[string]*Service, names []string) error {
		for _, name := range names {
			if other := m[name]; other != nil && other != s {
				return fail.New(fail.Internal, "services %q and %q both want the name %q", other.Name, s.Name, name)
			}
			if name == "" || name == "awan" || strings.ContainsAny(name, "./") || version(name) {
				return fail.New(fail.Internal, "service %q cannot have the name %q", s.Name, name)
			}
			m[name] = s
		}
		return nil
	}
	if err := put(rt.labels, s.labels()); err != nil {
		return err
	}
	if err := put(rt.prefix, s.prefixes()); err != nil {
		return err
	}
	if s.Match != nil {
		rt.matches = append(rt.matches, s)
	}
	for _, pattern := range s.Routes {
		if err := rt.table.Add(pattern, s); err != nil {
			return fail.Wrap(err, fail.Internal, "service %q", s.Name)
		}
	}
	return nil
}

// find decides for a request. The error's status is the second result.
func (rt *router) find(r *http.Request) (target, int, *fail.Error) {
	host := hostOf(r.Host)
	s, sub, own := rt.byHost(host)
	if s != nil {
		return target{service: s, sub: sub}, 0, nil
	}
	if app := rt.app(host); app != nil {
		return target{app: app}, 0, nil
	}
	if !own {
		return target{}, http.StatusMisdirectedRequest, fail.New(fail.NotFound, "%q is not a name of this cloud", host).
			Then("check the address: services are at {service}.%s.%s", rt.region, rt.domains[0])
	}
	return rt.byPath(r)
}

// byHost gives the service a host name stands for, or tells that it is one of the cloud itself.
func (rt *router) byHost(host string) (s *Service, sub string, own bool) {
	if rt.hosts[host] {
		return nil, "", true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil, "", true // an address cannot be rebound to lure a browser here, so each is taken
	}
	for _, domain := range rt.domains {
		if host == domain {
			return nil, "", true
		}
		rest, ok := strings.CutSuffix(host, "."+domain)
		if !ok {
			continue
		}
		if in, ok := strings.CutSuffix(rest, "."+rt.region); ok && rt.region != "" {
			rest = in
		}
		if s := rt.labels[rest]; s != nil {
			return s, "", false
		}
		if i := strings.LastIndexByte(rest, '.'); i > 0 {
			if s := rt.labels[rest[i+1:]]; s != nil && s.Sub {
				return s, rest[:i], false
			}
		}
	}
	return nil, "", false
}

func (rt *router) app(host string) http.Handler {
	if rt.apps == nil {
		return nil
	}
	return rt.apps(host)
}

// known tells whether host is a name of ours: one to make a certificate for, one a tunnel may be opened to. Addresses
// are not decided here.
func (rt *router) known(host string) bool {
	host = hostOf(host)
	s, _, own := rt.byHost(host)
	return s != nil || own || rt.app(host) != nil
}

// byPath decides on the cloud's own names.
func (rt *router) byPath(r *http.Request) (target, int, *fail.Error) {
	path := r.URL.EscapedPath()
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if first == "awan" && rt.native != nil {
		return target{service: rt.native}, 0, nil
	}
	if s := rt.prefix[first]; s != nil {
		return target{service: s, cut: "/" + first}, 0, nil
	}
	if rt.console != nil && path == "/" && strings.Contains(r.Header.Get("Accept"), "text/html") {
		return target{service: rt.console}, 0, nil // a browser; clients that ask for versions do not accept HTML
	}
	for _, s := range rt.matches {
		if s.Match(r) {
			return target{service: s}, 0, nil
		}
	}
	if hits := rt.table.Find(r.Method, path); len(hits) > 0 {
		hit := choose(hits, r)
		return target{service: hit.Value, hit: hit}, 0, nil
	}
	if !version(first) && first != "awan" && rt.console != nil {
		return target{service: rt.console}, 0, nil
	}
	if methods := rt.table.Methods(path); len(methods) > 0 {
		return target{}, http.StatusMethodNotAllowed, fail.New(fail.Unsupported, "%s is not possible here", r.Method).
			Then("use %s", strings.Join(methods, ", "))
	}
	return target{}, http.StatusNotFound, fail.New(fail.NotFound, "no API has the path %s", r.URL.Path).
		Then("name the service in the host or as the first part of the path, as in /vpc/v1/…")
}

func choose(hits []route.Hit[*Service], r *http.Request) *route.Hit[*Service] {
	best := -1
	for i, h := range hits {
		if h.Value.Prefer == nil {
			if best < 0 {
				best = i
			}
		} else if h.Value.Prefer(r) {
			return &hits[i]
		}
	}
	return &hits[max(best, 0)]
}

// version tells whether a path segment is an API's version: v1, v2.0, v3-ext, V1.0, or the "api" before one.
func version(s string) bool {
	return s == "api" || len(s) > 1 && (s[0] == 'v' || s[0] == 'V') && s[1] >= '0' && s[1] <= '9'
}

// hostOf gives the host of a Host header or authority: without port, brackets and final dot, in lower case.
func hostOf(authority string) string {
	host := authority
	if h, _, err := net.SplitHostPort(authority); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.TrimSuffix(strings.ToLower(host), ".")
}
