package balancer

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/balancer/proxy"
)

// rows are everything that is stored.
type rows struct {
	balancers map[id.ID]*balancerRow
	listeners map[id.ID]*listenerRow
	pools     []*poolRow
	members   map[string][]*memberRow // of a pool
	monitors  map[string]*monitorRow
	policies  map[string][]*policyRow // of a listener
	rules     map[string][]*ruleRow
	groups    map[string][]netip.Prefix
	certs     map[string]*certificateRow
}

// reload tells the data plane what the rows say.
func (s *Service) reload(ctx context.Context) (store.Rev, error) {
	var r *rows
	var rev store.Rev
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		rev = tx.Rev()
		r, err = s.read(tx)
		return err
	})
	if err != nil {
		return rev, err
	}
	s.proxy.Apply(s.plan(r))
	return rev, nil
}

// all reads the rows of a kind that are not on their way out.
func all[S, T any](tx store.Tx, t kind.Table[S, T], take func(*kind.Row[S, T])) error {
	found, err := t.List(tx, "", kind.Filter{Shared: true})
	for _, r := range found {
		if r.State != kind.Deleting {
			take(r)
		}
	}
	return err
}

func (s *Service) read(tx store.Tx) (*rows, error) {
	r := &rows{balancers: map[id.ID]*balancerRow{}, listeners: map[id.ID]*listenerRow{}, members: map[string][]*memberRow{}, monitors: map[string]*monitorRow{},
		policies: map[string][]*policyRow{}, rules: map[string][]*ruleRow{}, groups: map[string][]netip.Prefix{}, certs: map[string]*certificateRow{}}
	for _, err := range []error{
		all(tx, s.Balancer, func(x *balancerRow) { r.balancers[x.ID] = x }),
		all(tx, s.Listener, func(x *listenerRow) { r.listeners[x.ID] = x }),
		all(tx, s.Pool, func(x *poolRow) { r.pools = append(r.pools, x) }),
		all(tx, s.Member, func(x *memberRow) { r.members[x.Spec.Pool] = append(r.members[x.Spec.Pool], x) }),
		all(tx, s.Monitor, func(x *monitorRow) { r.monitors[x.Spec.Pool] = x }),
		all(tx, s.Policy, func(x *policyRow) { r.policies[x.Spec.Listener] = append(r.policies[x.Spec.Listener], x) }),
		all(tx, s.Rule, func(x *ruleRow) { r.rules[x.Spec.Policy] = append(r.rules[x.Spec.Policy], x) }),
		all(tx, s.Certificate, func(x *certificateRow) { r.certs[string(x.ID)] = x }),
		all(tx, s.Group, func(x *groupRow) {
			out := []netip.Prefix{}
			for _, a := range x.Spec.Addresses {
				if p, err := prefix("", a.Address); err == nil { // checked when it was stored
					out = append(out, p)
				}
			}
			r.groups[string(x.ID)] = out
		}),
	} {
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// plan is what the data plane is to do.
func (s *Service) plan(r *rows) *proxy.Config {
	out := &proxy.Config{}
	for _, l := range r.listeners {
		b := r.balancers[id.ID(l.Spec.Balancer)]
		if b == nil || b.Spec.Disabled || l.Spec.Disabled {
			continue
		}
		for _, a := range []string{b.Status.Address, b.Status.Address6} { // one that has both is answered at the first
			if at, err := netip.ParseAddr(a); err == nil {
				out.Listeners = append(out.Listeners, s.planListener(r, b, l, at))
				break
			}
		}
	}
	from := froms(r)
	for _, p := range r.pools {
		out.Pools = append(out.Pools, planPool(r, p, from[string(p.ID)]))
	}
	return out
}

// froms are the ports from which the members of each pool are dialled: its load balancer's, or for a pool that several may
// use the first of those that lead to it.
func froms(r *rows) map[string]id.ID {
	by := map[string]*balancerRow{}
	leads := func(pool, balancer string) {
		b := r.balancers[id.ID(balancer)]
		if was := by[pool]; pool != "" && b != nil && b.Status.Port != "" && (was == nil || b.ID < was.ID) {
			by[pool] = b
		}
	}
	for _, l := range r.listeners {
		leads(l.Spec.Pool, l.Spec.Balancer)
		for _, p := range r.policies[string(l.ID)] {
			leads(p.Spec.Pool, l.Spec.Balancer)
		}
	}
	for _, p := range r.pools {
		leads(string(p.ID), p.Spec.Balancer)
	}
	out := map[string]id.ID{}
	for pool, b := range by {
		out[pool] = id.ID(b.Status.Port)
	}
	return out
}

func (s *Service) planListener(r *rows, b *balancerRow, l *listenerRow, at netip.Addr) *proxy.Listener {
	sp := &l.Spec
	out := &proxy.Listener{ID: l.ID, Balancer: b.ID, VPC: id.ID(b.Status.VPC), At: netip.AddrPortFrom(at, uint16(sp.Port)), Protocol: sp.Protocol, Pool: id.ID(sp.Pool),
		HTTP2: sp.HTTP2, Idle: time.Duration(sp.Idle), Request: time.Duration(sp.Request), Response: time.Duration(sp.Response), ForwardedHost: sp.ForwardHost,
		ForwardedPort: sp.ForwardPort, ForwardedFor: sp.ClientPort, RealIP: sp.RealIP, ForwardedProto: sp.ForwardProto, ProxyProtocol: sp.ProxyLine,
		MinTLS: map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[sp.TLS]}
	if out.Idle == 0 {
		out.Idle = 5 * time.Minute
		if sp.Protocol == "http" || sp.Protocol == "https" {
			out.Idle = time.Minute
		}
	}
	if sp.IPGroup != "" && !sp.IPGroupOff {
		out.Addresses, out.Allow = r.groups[sp.IPGroup], !sp.IPGroupDeny
		if out.Addresses == nil {
			out.Addresses = []netip.Prefix{}
		}
	}
	for _, c := range append([]string{sp.Certificate}, sp.Certificates...) {
		if p := s.pair(r, c); p.server != nil {
			out.Certificates = append(out.Certificates, p.server)
		}
	}
	if sp.ClientCA != "" {
		if out.ClientCAs = s.pair(r, sp.ClientCA).client; out.ClientCAs == nil {
			out.ClientCAs = x509.NewCertPool() // an authority that cannot be read lets nobody in
		}
	}
	policies := slices.Clone(r.policies[string(l.ID)])
	slices.SortStableFunc(policies, func(a, b *policyRow) int { return before(r, a, b) })
	for _, p := range policies {
		if !p.Spec.Disabled && len(r.rules[string(p.ID)]) > 0 {
			out.Policies = append(out.Policies, planPolicy(r, p))
		} else if !p.Spec.Disabled && p.Spec.Action == "listener" { // everything goes to the other listener
			out.Policies = append(out.Policies, planPolicy(r, p))
		}
	}
	return out
}

func (s *Service) pair(r *rows, c string) pair {
	row := r.certs[c]
	if row == nil {
		return pair{}
	}
	p, err := s.ready(row)
	if err != nil {
		s.Log.Error("a certificate of a load balancer cannot be used", "certificate", row.ID, "err", err)
	}
	return p
}

// before orders policies: those with a priority by it, then those that are about a host, then the longer path.
func before(r *rows, a, b *policyRow) int {
	rank := func(p *policyRow) (out [4]int) {
		if out[0] = p.Spec.Priority; out[0] == 0 {
			out[0] = 1 << 20
		}
		for _, x := range r.rules[string(p.ID)] {
			if x.Spec.Of == "host" {
				out[1] = -1
			}
			if x.Spec.Of == "path" {
				out[2] = map[string]int{"equal": -3, "prefix": -2}[x.Spec.Compare] - 1
				out[3] = -len(x.Spec.Values[0])
			}
		}
		return out
	}
	x, y := rank(a), rank(b)
	return slices.Compare(x[:], y[:])
}

func planPolicy(r *rows, p *policyRow) proxy.Policy {
	sp := &p.Spec
	out := proxy.Policy{Action: proxy.ToPool, Pool: id.ID(sp.Pool), Scheme: sp.Scheme, Host: sp.Host, Path: sp.Path, Query: sp.Query, Status: sp.Status,
		ContentType: sp.ContentType, Body: sp.Body}
	if sp.Port != 0 {
		out.Port = strconv.Itoa(sp.Port)
	}
	switch sp.Action {
	case "url":
		out.Action, out.Status = proxy.ToURL, cmp.Or(sp.Status, http.StatusFound)
	case "respond":
		out.Action, out.Status = proxy.Respond, cmp.Or(sp.Status, http.StatusOK)
	case "listener":
		out.Action, out.Scheme, out.Status = proxy.ToURL, "https", http.StatusMovedPermanently
		if to := r.listeners[id.ID(sp.To)]; to != nil {
			out.Port = strconv.Itoa(to.Spec.Port)
		}
	}
	for _, x := range r.rules[string(p.ID)] {
		rule := proxy.Rule{Of: x.Spec.Of, Key: x.Spec.Key, Compare: x.Spec.Compare, Values: x.Spec.Values, Invert: x.Spec.Invert}
		for _, v := range x.Spec.Values {
			if x.Spec.Of == "source" {
				if n, err := prefix("", v); err == nil {
					rule.Nets = append(rule.Nets, n)
				}
			} else if x.Spec.Compare == "regex" {
				if re, err := regexp.Compile(v); err == nil {
					rule.Regexes = append(rule.Regexes, re)
				}
			}
		}
		if x.Spec.Compare == "regex" {
			rule.Values = nil
		}
		out.Rules = append(out.Rules, rule)
	}
	return out
}

func planPool(r *rows, p *poolRow, from id.ID) *proxy.Pool {
	sp := &p.Spec
	out := &proxy.Pool{ID: p.ID, From: from, Protocol: sp.Protocol, Algorithm: sp.Algorithm, Sticky: sp.Sticky, Cookie: sp.StickyCookie,
		StickFor: time.Duration(sp.StickyFor), SlowStart: time.Duration(sp.SlowStart), Drain: time.Duration(sp.Drain)}
	for _, m := range r.members[string(p.ID)] {
		if at, err := netip.ParseAddr(m.Spec.Address); err == nil {
			out.Members = append(out.Members, proxy.Member{ID: m.ID, At: netip.AddrPortFrom(at, uint16(m.Spec.Port)), Weight: *m.Spec.Weight})
		}
	}
	if m := r.monitors[string(p.ID)]; m != nil && !m.Spec.Disabled {
		good, _ := codes(m.Spec.Codes)
		out.Monitor = &proxy.Monitor{Type: m.Spec.Type, Delay: time.Duration(m.Spec.Delay), Timeout: time.Duration(m.Spec.Timeout), Up: m.Spec.Up, Down: m.Spec.Down,
			Port: uint16(m.Spec.Port), Method: m.Spec.Method, Path: m.Spec.Path, Host: m.Spec.Host, Codes: good}
	}
	return out
}
