package balancer

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/balancer/proxy"
)

func filter(index, value string) kind.Filter { return kind.Filter{Index: index, Value: value} }

func (s *Service) memberDefaults(_ context.Context, tx store.Tx, r *memberRow) error {
	_, err := refer(tx, s.Pool, &r.Meta, "spec.pool", &r.Spec.Pool)
	return err
}

func (s *Service) checkMember(_ context.Context, tx store.Tx, _, r *memberRow) error {
	at, err := netip.ParseAddr(r.Spec.Address)
	if err != nil || at.IsUnspecified() || at.IsLoopback() || at.IsMulticast() || at.IsLinkLocalUnicast() || at.Zone() != "" {
		return fail.Field("spec.address", "%q is no address that a member can have", r.Spec.Address)
	}
	beside, err := s.Member.List(tx, string(r.Project), filter("pool", r.Spec.Pool))
	for _, o := range beside {
		if o.ID != r.ID && o.Spec.Address == r.Spec.Address && o.Spec.Port == r.Spec.Port {
			return fail.New(fail.Exists, "%s:%d is in the pool already, as member %s", r.Spec.Address, r.Spec.Port, o.ID)
		}
	}
	return err
}

func (s *Service) memberShown(_ store.Tx, r *memberRow) error {
	r.Status.Operating = string(proxy.Unknown)
	if s.proxy != nil {
		r.Status.Operating = string(s.proxy.Health(id.ID(r.Spec.Pool), r.ID))
	}
	return nil
}

func (s *Service) monitorDefaults(_ context.Context, tx store.Tx, r *monitorRow) error {
	_, err := refer(tx, s.Pool, &r.Meta, "spec.pool", &r.Spec.Pool)
	return err
}

func (s *Service) checkMonitor(_ context.Context, tx store.Tx, _, r *monitorRow) error {
	sp := &r.Spec
	p, err := refer(tx, s.Pool, &r.Meta, "spec.pool", &sp.Pool)
	if err != nil {
		return err
	}
	if (p.Spec.Protocol == "udp") != (sp.Type == "udp") {
		return fail.Field("spec.type", "members of %s cannot be checked by %s", p.Spec.Protocol, sp.Type)
	}
	if !strings.HasPrefix(sp.Path, "/") || !oneLine(sp.Path) {
		return fail.Field("spec.path", "%q is no path: it begins with /", sp.Path)
	}
	if _, err := codes(sp.Codes); err != nil {
		return err
	}
	beside, err := s.Monitor.List(tx, string(r.Project), filter("pool", sp.Pool))
	for _, o := range beside {
		if o.ID != r.ID {
			return fail.New(fail.Exists, "the pool has a health monitor already, %s", o.ID).Then("change that one")
		}
	}
	return err
}

// codes reads "200", "200,204" and "200-299".
func codes(text string) (out []proxy.CodeRange, err error) {
	for _, part := range strings.Split(text, ",") {
		a, b, ranged := strings.Cut(strings.TrimSpace(part), "-")
		first, err1 := strconv.Atoi(a)
		last, err2 := first, error(nil)
		if ranged {
			last, err2 = strconv.Atoi(b)
		}
		if err1 != nil || err2 != nil || first < 100 || last > 599 || first > last {
			return nil, fail.Field("spec.codes", "%q is no status code and no range of them", part).Then("write 200, 200,204 or 200-299")
		}
		out = append(out, proxy.CodeRange{First: first, Last: last})
	}
	return out, nil
}

func (s *Service) policyDefaults(_ context.Context, tx store.Tx, r *policyRow) error {
	if _, err := refer(tx, s.Listener, &r.Meta, "spec.listener", &r.Spec.Listener); err != nil {
		return err
	}
	if _, err := maybe(tx, s.Pool, &r.Meta, "spec.pool", &r.Spec.Pool); err != nil {
		return err
	}
	_, err := maybe(tx, s.Listener, &r.Meta, "spec.to_listener", &r.Spec.To)
	return err
}

func (s *Service) checkPolicy(_ context.Context, tx store.Tx, _, r *policyRow) error {
	sp := &r.Spec
	l, err := refer(tx, s.Listener, &r.Meta, "spec.listener", &sp.Listener)
	if err != nil {
		return err
	}
	if l.Spec.Protocol != "http" && l.Spec.Protocol != "https" {
		return fail.Field("spec.listener", "a listener of %s sees no requests", l.Spec.Protocol).Then("use one of http or https")
	}
	if !oneLine(sp.Host + sp.Path + sp.Query + sp.ContentType) {
		return fail.Field("spec.host", "host, path, query and content type are each on one line")
	}
	switch sp.Action {
	case "pool":
		if sp.Pool == "" {
			return fail.Field("spec.pool", "is required for this action")
		}
		p, err := refer(tx, s.Pool, &r.Meta, "spec.pool", &sp.Pool)
		if err != nil {
			return err
		}
		return s.reaches(tx, l, p, "spec.pool")
	case "listener":
		if sp.To == "" {
			return fail.Field("spec.to_listener", "is required for this action")
		}
		to, err := refer(tx, s.Listener, &r.Meta, "spec.to_listener", &sp.To)
		if err == nil && (to.Spec.Balancer != l.Spec.Balancer || to.Spec.Protocol != "https") {
			err = fail.Field("spec.to_listener", "is no https listener of the same load balancer")
		}
		return err
	case "url":
		if sp.Status != 0 && sp.Status != 301 && sp.Status != 302 && sp.Status != 303 && sp.Status != 307 && sp.Status != 308 {
			return fail.Field("spec.status", "%d does not lead anywhere", sp.Status).Then("use 301, 302, 303, 307 or 308")
		}
		if sp.Scheme == "" && sp.Host == "" && sp.Port == 0 && sp.Path == "" && sp.Query == "" {
			return fail.Field("spec.host", "the request would come back here").Then("give at least one of scheme, host, port, path and query")
		}
	case "respond":
		if sp.Status != 0 && (sp.Status < 200 || sp.Status > 599) {
			return fail.Field("spec.status", "%d is no status of an answer", sp.Status)
		}
	}
	return nil
}

func (s *Service) policyUnused(_ context.Context, tx store.Tx, r *policyRow) error {
	return unused(tx, s.Rule, &r.Meta, "policy")
}

func (s *Service) ruleDefaults(_ context.Context, tx store.Tx, r *ruleRow) error {
	_, err := refer(tx, s.Policy, &r.Meta, "spec.policy", &r.Spec.Policy)
	return err
}

func (s *Service) checkRule(_ context.Context, _ store.Tx, _, r *ruleRow) error {
	sp := &r.Spec
	keyed := sp.Of == "header" || sp.Of == "query" || sp.Of == "cookie"
	if keyed != (sp.Key != "") {
		return fail.Field("spec.key", "is for header, query and cookie, and needed there")
	}
	if sp.Of == "source" && sp.Compare != "equal" {
		return fail.Field("spec.compare", "addresses are compared by equal only")
	}
	for i, v := range sp.Values {
		field := fmt.Sprintf("spec.values[%d]", i)
		switch {
		case v == "" || len(v) > 255:
			return fail.Field(field, "must have 1 to 255 characters")
		case sp.Of == "source":
			if _, err := prefix(field, v); err != nil {
				return err
			}
		case sp.Compare == "regex":
			if _, err := regexp.Compile(v); err != nil {
				return fail.Field(field, "%q is no regular expression: %v", v, err)
			}
		case sp.Of == "path" && (sp.Compare == "equal" || sp.Compare == "prefix") && !strings.HasPrefix(v, "/"):
			return fail.Field(field, "%q is no path: it begins with /", v)
		}
	}
	return nil
}

func (s *Service) checkGroup(_ context.Context, _ store.Tx, _, r *groupRow) error {
	seen := map[netip.Prefix]bool{}
	for i, a := range r.Spec.Addresses {
		field := fmt.Sprintf("spec.addresses[%d].address", i)
		p, err := prefix(field, a.Address)
		if err != nil {
			return err
		}
		if seen[p] {
			return fail.Field(field, "%s is there twice", a.Address)
		}
		seen[p] = true
	}
	return nil
}

func (s *Service) groupUnused(_ context.Context, tx store.Tx, r *groupRow) error {
	return unused(tx, s.Listener, &r.Meta, "group")
}
