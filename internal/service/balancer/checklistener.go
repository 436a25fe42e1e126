package balancer

import (
	"context"
	"fmt"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

func (s *Service) listenerDefaults(_ context.Context, tx store.Tx, r *listenerRow) error {
	sp := &r.Spec
	if _, err := refer(tx, s.Balancer, &r.Meta, "spec.balancer", &sp.Balancer); err != nil {
		return err
	}
	if _, err := maybe(tx, s.Pool, &r.Meta, "spec.pool", &sp.Pool); err != nil {
		return err
	}
	if _, err := maybe(tx, s.Certificate, &r.Meta, "spec.certificate", &sp.Certificate); err != nil {
		return err
	}
	if _, err := maybe(tx, s.Certificate, &r.Meta, "spec.client_ca", &sp.ClientCA); err != nil {
		return err
	}
	for i := range sp.Certificates {
		if _, err := refer(tx, s.Certificate, &r.Meta, fmt.Sprintf("spec.certificates[%d]", i), &sp.Certificates[i]); err != nil {
			return err
		}
	}
	_, err := maybe(tx, s.Group, &r.Meta, "spec.ip_group", &sp.IPGroup)
	return err
}

func (s *Service) checkListener(_ context.Context, tx store.Tx, old, r *listenerRow) error {
	sp := &r.Spec
	secure := sp.Protocol == "tls" || sp.Protocol == "https"
	switch {
	case secure && sp.Certificate == "":
		return fail.Field("spec.certificate", "is required for %s", sp.Protocol).Then("make one: awan certificate create")
	case !secure && (sp.Certificate != "" || len(sp.Certificates) > 0 || sp.ClientCA != ""):
		return fail.Field("spec.certificate", "%s has no certificates", sp.Protocol).Then("use tls or https")
	case sp.ProxyLine && sp.Protocol != "tcp" && sp.Protocol != "tls":
		return fail.Field("spec.proxy_protocol", "is for tcp and tls; http members read X-Forwarded-For")
	}
	if err := s.certificatesAre(tx, r); err != nil {
		return err
	}
	if sp.Pool != "" {
		p, err := refer(tx, s.Pool, &r.Meta, "spec.pool", &sp.Pool)
		if err != nil {
			return err
		}
		if err := s.reaches(tx, r, p, "spec.pool"); err != nil {
			return err
		}
	}
	if old != nil {
		return nil
	}
	beside, err := s.Listener.List(tx, string(r.Project), filter("balancer", sp.Balancer))
	for _, o := range beside {
		if o.ID != r.ID && o.Spec.Port == sp.Port && (o.Spec.Protocol == "udp") == (sp.Protocol == "udp") {
			return fail.New(fail.Exists, "the load balancer listens on port %d already, by listener %s", sp.Port, o.ID).Then("choose another port")
		}
	}
	return err
}

// certificatesAre refuses authorities where a certificate is wanted, and the other way round.
func (s *Service) certificatesAre(tx store.Tx, r *listenerRow) error {
	want := func(field, ref, typ string) error {
		if ref == "" {
			return nil
		}
		c, err := refer(tx, s.Certificate, &r.Meta, field, &ref)
		if err == nil && c.Spec.Type != typ {
			err = fail.Field(field, "%s is a certificate of type %s; one of type %s is wanted", c.Name, c.Spec.Type, typ)
		}
		return err
	}
	if err := want("spec.certificate", r.Spec.Certificate, "server"); err != nil {
		return err
	}
	for i, c := range r.Spec.Certificates {
		if err := want(fmt.Sprintf("spec.certificates[%d]", i), c, "server"); err != nil {
			return err
		}
	}
	return want("spec.client_ca", r.Spec.ClientCA, "client")
}

// reaches refuses a pool that a listener cannot lead to.
func (s *Service) reaches(tx store.Tx, l *listenerRow, p *poolRow, field string) error {
	if !fits(l.Spec.Protocol, p.Spec.Protocol) {
		return fail.Field(field, "a pool of %s cannot be behind a listener of %s", p.Spec.Protocol, l.Spec.Protocol)
	}
	if p.Spec.Balancer != "" && p.Spec.Balancer != l.Spec.Balancer {
		return fail.Field(field, "pool %s is of another load balancer", p.Name)
	}
	b, err := refer(tx, s.Balancer, &l.Meta, "spec.balancer", &l.Spec.Balancer)
	if err != nil {
		return err
	}
	if p.Spec.VPC != "" && b.Status.VPC != "" && p.Spec.VPC != b.Status.VPC {
		return fail.Field(field, "pool %s is in another VPC", p.Name)
	}
	return nil
}

func (s *Service) listenerUnused(_ context.Context, tx store.Tx, r *listenerRow) error {
	if err := unused(tx, s.Policy, &r.Meta, "listener"); err != nil {
		return err
	}
	return unused(tx, s.Policy, &r.Meta, "to")
}

func (s *Service) listenerShown(_ store.Tx, r *listenerRow) error {
	if s.proxy != nil {
		r.Status.Listening, r.Status.Statistics = s.proxy.Listening(r.ID), statistics(s.proxy.Count(r.ID))
	}
	return nil
}

func (s *Service) poolDefaults(_ context.Context, tx store.Tx, r *poolRow) error {
	if _, err := maybe(tx, s.Balancer, &r.Meta, "spec.balancer", &r.Spec.Balancer); err != nil {
		return err
	}
	if r.Spec.VPC == "" || s.Networks == nil {
		return nil
	}
	vpc, err := s.Networks.FindVPC(tx, r.Project, r.Spec.VPC)
	if err == nil && vpc == "" {
		err = fail.Field("spec.vpc", "there is no VPC %q", r.Spec.VPC).Then("see awan vpc list")
	}
	if err == nil {
		r.Spec.VPC = string(vpc)
	}
	return err
}

func (s *Service) checkPool(_ context.Context, _ store.Tx, _, r *poolRow) error {
	sp := &r.Spec
	http := sp.Protocol == "http" || sp.Protocol == "https"
	switch {
	case sp.Balancer == "" && sp.VPC == "":
		return fail.Field("spec.balancer", "is required").Then("or give the VPC whose load balancers may use the pool")
	case (sp.Sticky == "cookie" || sp.Sticky == "app_cookie") && !http:
		return fail.Field("spec.sticky", "there are no cookies in %s", sp.Protocol).Then("use source_ip")
	case sp.Sticky == "app_cookie" && sp.StickyCookie == "":
		return fail.Field("spec.sticky_cookie", "is required for app_cookie")
	case sp.Sticky != "app_cookie" && sp.StickyCookie != "":
		return fail.Field("spec.sticky_cookie", "is for app_cookie only")
	case sp.SlowStart > 0 && (!http || sp.Algorithm == "source_ip"):
		return fail.Field("spec.slow_start", "is for http and https, by turns or by connections")
	}
	return nil
}

func (s *Service) poolUnused(_ context.Context, tx store.Tx, r *poolRow) error {
	if err := unused(tx, s.Listener, &r.Meta, "pool"); err != nil {
		return err
	}
	if err := unused(tx, s.Policy, &r.Meta, "pool"); err != nil {
		return err
	}
	if err := unused(tx, s.Member, &r.Meta, "pool"); err != nil {
		return err
	}
	return unused(tx, s.Monitor, &r.Meta, "pool")
}

func (s *Service) poolShown(tx store.Tx, r *poolRow) error {
	r.Status.VPC = r.Spec.VPC
	if b, err := s.Balancer.Get(tx, id.ID(r.Spec.Balancer)); err != nil {
		return err
	} else if b != nil {
		r.Status.VPC = b.Status.VPC
	}
	members, err := users(tx, s.Member, &r.Meta, "pool")
	if err != nil || s.proxy == nil {
		return err
	}
	r.Status.Members, r.Status.Online = len(members), 0
	for _, m := range members {
		if h := s.proxy.Health(r.ID, m.ID); (h == "online" || h == "no_monitor") && *m.Spec.Weight > 0 {
			r.Status.Online++
		}
	}
	return nil
}
