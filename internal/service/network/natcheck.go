package network

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

func (s *Service) checkGateway(_ context.Context, tx store.Tx, _, r *gatewayRow) error {
	vpc, err := refer(tx, s.VPC, &r.Meta, "spec.vpc", r.Spec.VPC)
	if err != nil {
		return err
	}
	r.Spec.VPC = string(vpc.ID)
	if r.Spec.Subnet == "" {
		return nil
	}
	sub, err := refer(tx, s.Subnet, &r.Meta, "spec.subnet", r.Spec.Subnet)
	if err != nil {
		return err
	}
	if sub.Spec.VPC != r.Spec.VPC {
		return fail.Field("spec.subnet", "subnet %s is not in the VPC", called(&sub.Meta))
	}
	r.Spec.Subnet = string(sub.ID)
	return nil
}

func (s *Service) gatewayUnused(_ context.Context, tx store.Tx, r *gatewayRow) error {
	if err := unused(tx, s.SNAT, &r.Meta, "gateway", "delete the rule first"); err != nil {
		return err
	}
	if err := unused(tx, s.DNAT, &r.Meta, "gateway", "delete the rule first"); err != nil {
		return err
	}
	vpc, err := s.VPC.Get(tx, id.ID(r.Spec.VPC))
	if err != nil || vpc == nil {
		return err
	}
	for _, rt := range vpc.Spec.Routes {
		if rt.Gateway == string(r.ID) {
			return fail.New(fail.Precondition, "the route to %s of VPC %s leads to it", rt.Destination, called(&vpc.Meta)).Then("remove the route first")
		}
	}
	return nil
}

func (s *Service) checkSNAT(_ context.Context, tx store.Tx, _, r *snatRow) error {
	sp := &r.Spec
	g, err := refer(tx, s.Gateway, &r.Meta, "spec.gateway", sp.Gateway)
	if err != nil {
		return err
	}
	sp.Gateway = string(g.ID)
	switch {
	case (sp.Subnet == "") == (sp.CIDR == ""):
		return fail.Field("spec.subnet", "say what goes out: a subnet or a range").Then("give subnet or cidr")
	case sp.Subnet != "":
		sub, err := refer(tx, s.Subnet, &r.Meta, "spec.subnet", sp.Subnet)
		if err != nil {
			return err
		}
		if sub.Spec.VPC != g.Spec.VPC {
			return fail.Field("spec.subnet", "subnet %s is not in the gateway's VPC", called(&sub.Meta))
		}
		sp.Subnet = string(sub.ID)
	default:
		p, err := addressOrPrefix("spec.cidr", sp.CIDR)
		if err != nil {
			return err
		}
		if p.Addr().Is6() {
			return fail.Field("spec.cidr", "%s is of IPv6, which needs no NAT", p)
		}
		sp.CIDR = p.String()
	}
	for i, ref := range sp.PublicIPs {
		p, err := s.natAddress(tx, &r.Meta, fmt.Sprintf("spec.public_ips[%d]", i), ref)
		if err != nil {
			return err
		}
		sp.PublicIPs[i] = string(p.ID)
	}
	return nil
}

// natAddress is a public address that a rule may use: one that leads to no port.
func (s *Service) natAddress(tx store.Tx, of *kind.Meta, field, ref string) (*publicRow, error) {
	p, err := refer(tx, s.PublicIP, of, field, ref)
	if err != nil {
		return nil, err
	}
	if p.Spec.Port != "" {
		return nil, fail.Field(field, "%s leads to port %s", p.Status.Address, p.Spec.Port).Then("take it away from there first, or give another")
	}
	return p, nil
}

func (s *Service) checkDNAT(_ context.Context, tx store.Tx, _, r *dnatRow) error {
	sp := &r.Spec
	g, err := refer(tx, s.Gateway, &r.Meta, "spec.gateway", sp.Gateway)
	if err != nil {
		return err
	}
	sp.Gateway = string(g.ID)
	p, err := s.natAddress(tx, &r.Meta, "spec.public_ip", sp.PublicIP)
	if err != nil {
		return err
	}
	sp.PublicIP, r.Status.Public = string(p.ID), p.Status.Address
	rules, err := users(tx, s.DNAT, &r.Meta, "public-ip", sp.PublicIP, 0)
	if err != nil {
		return err
	}
	for _, o := range rules {
		if o.ID != r.ID && o.Spec.External == sp.External && o.Spec.Protocol == sp.Protocol {
			return fail.New(fail.Exists, "%s port %d of %s leads elsewhere already: rule %s", sp.Protocol, sp.External, p.Status.Address, o.ID).Then("choose another port")
		}
	}
	switch {
	case (sp.Port == "") == (sp.Private == ""):
		return fail.Field("spec.port", "say where it leads: a port or an address").Then("give port or private")
	case sp.Port != "":
		port, err := refer(tx, s.Port, &r.Meta, "spec.port", sp.Port)
		if err != nil {
			return err
		}
		if port.Status.VPC != g.Spec.VPC || len(port.Status.Addresses) == 0 {
			return fail.Field("spec.port", "port %s has no address in the gateway's VPC", called(&port.Meta))
		}
		sp.Port, r.Status.Private = string(port.ID), port.Status.Addresses[0]
	default:
		a, err := address("spec.private", sp.Private)
		if err != nil {
			return err
		}
		subs, err := users(tx, s.Subnet, &r.Meta, "vpc", g.Spec.VPC, 0)
		if err != nil {
			return err
		}
		inside := false
		for _, sub := range subs {
			inside = inside || sub.Spec.holds(a)
		}
		if !inside {
			return fail.Field("spec.private", "%s is in none of the VPC's subnets", a)
		}
		r.Status.Private = a.String()
	}
	if a, err := netip.ParseAddr(r.Status.Private); err != nil || !a.Is4() {
		return fail.Field("spec.private", "%s is not an IPv4 address", r.Status.Private)
	}
	return nil
}
