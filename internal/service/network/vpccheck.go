package network

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// ranges are those that the VPC's subnets must lie in; none: anywhere.
func (v *VPCSpec) ranges() []netip.Prefix {
	var out []netip.Prefix
	for _, c := range append([]string{v.CIDR}, v.ExtendCIDRs...) {
		if p, err := netip.ParsePrefix(c); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// vpcDefaults gives routes the ids of what they name.
func (s *Service) vpcDefaults(_ context.Context, tx store.Tx, r *vpcRow) error {
	for i := range r.Spec.Routes {
		rt, field := &r.Spec.Routes[i], fmt.Sprintf("spec.routes[%d]", i)
		if rt.Port != "" {
			p, err := refer(tx, s.Port, &r.Meta, field+".port", rt.Port)
			if err != nil {
				return err
			}
			rt.Port = string(p.ID)
		}
		if rt.Peering != "" {
			p, err := refer(tx, s.Peering, &r.Meta, field+".peering", rt.Peering)
			if err != nil {
				return err
			}
			rt.Peering = string(p.ID)
		}
		if rt.Gateway != "" {
			g, err := refer(tx, s.Gateway, &r.Meta, field+".gateway", rt.Gateway)
			if err != nil {
				return err
			}
			rt.Gateway = string(g.ID)
		}
	}
	return nil
}

func (s *Service) checkVPC(_ context.Context, tx store.Tx, old, r *vpcRow) error {
	if err := r.Spec.checkRanges(); err != nil {
		return err
	}
	subnets, err := users(tx, s.Subnet, &r.Meta, "vpc", string(r.ID), 0)
	if err != nil {
		return err
	}
	if ranges := r.Spec.ranges(); len(ranges) > 0 && old != nil {
		for _, sub := range subnets {
			if p, err := netip.ParsePrefix(sub.Spec.CIDR); err == nil && !within(p, ranges) {
				return fail.New(fail.Precondition, "subnet %s has %s, which would be outside", called(&sub.Meta), p).Then("delete the subnet first, or keep its range")
			}
		}
	}
	return s.checkRoutes(tx, r, subnets)
}

func (v *VPCSpec) checkRanges() error {
	var all []netip.Prefix
	for i, c := range append([]string{v.CIDR}, v.ExtendCIDRs...) {
		field := "spec.cidr"
		if i > 0 {
			field = fmt.Sprintf("spec.extend_cidrs[%d]", i-1)
		} else if c == "" {
			continue
		}
		p, err := network(field, c, false)
		if err != nil {
			return err
		}
		if p.Bits() < 8 || p.Bits() > 28 {
			return fail.Field(field, "%s is too large or too small", c).Then("the length must be from 8 to 28")
		}
		for _, o := range all {
			if o.Overlaps(p) {
				return fail.Field(field, "%s overlaps %s", p, o).Then("choose ranges apart from each other")
			}
		}
		all = append(all, p)
	}
	return nil
}

func (s *Service) checkRoutes(tx store.Tx, r *vpcRow, subnets []*subnetRow) error {
	seen := map[netip.Prefix]bool{}
	for i := range r.Spec.Routes {
		rt, field := &r.Spec.Routes[i], fmt.Sprintf("spec.routes[%d]", i)
		to, err := addressOrPrefix(field+".destination", rt.Destination)
		if err != nil {
			return err
		}
		rt.Destination = to.String()
		if seen[to] {
			return fail.New(fail.Exists, "there is a route to %s already", to).Then("change that one, or remove it first")
		}
		seen[to] = true
		for _, sub := range subnets {
			for _, c := range []string{sub.Spec.CIDR, sub.Spec.CIDR6} {
				if p, err := netip.ParsePrefix(c); err == nil && within(to, []netip.Prefix{p}) {
					return fail.Field(field+".destination", "%s lies in subnet %s of this very VPC", to, called(&sub.Meta)).Then("give a range outside")
				}
			}
		}
		if n := len(some(rt.Address, rt.Port, rt.Peering, rt.Gateway)); n != 1 {
			return fail.Field(field, "%d next hops are given", n).Then("give one: address, port, peering or gateway")
		}
		if err := s.checkHop(tx, r, rt, field, subnets); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) checkHop(tx store.Tx, r *vpcRow, rt *Route, field string, subnets []*subnetRow) error {
	switch {
	case rt.Address != "":
		a, err := address(field+".address", rt.Address)
		if err != nil {
			return err
		}
		rt.Address = a.String()
		for _, sub := range subnets {
			if sub.Spec.holds(a) {
				return nil
			}
		}
		return fail.Field(field+".address", "%s is in none of the VPC's subnets", a).Then("give the address of a port of this VPC")
	case rt.Port != "":
		p, err := refer(tx, s.Port, &r.Meta, field+".port", rt.Port)
		if err != nil {
			return err
		}
		if p.Status.VPC != string(r.ID) {
			return fail.Field(field+".port", "port %s is not in this VPC", called(&p.Meta)).Then("give one that is")
		}
		if len(p.Status.Addresses) == 0 {
			return fail.Field(field+".port", "port %s has no address", called(&p.Meta))
		}
	case rt.Peering != "":
		p, err := refer(tx, s.Peering, &r.Meta, field+".peering", rt.Peering)
		if err != nil {
			return err
		}
		if p.Spec.VPC != string(r.ID) && p.Spec.Peer != string(r.ID) {
			return fail.Field(field+".peering", "peering %s is of other VPCs", called(&p.Meta))
		}
	case rt.Gateway != "":
		g, err := refer(tx, s.Gateway, &r.Meta, field+".gateway", rt.Gateway)
		if err != nil {
			return err
		}
		if g.Spec.VPC != string(r.ID) {
			return fail.Field(field+".gateway", "NAT gateway %s is of another VPC", called(&g.Meta))
		}
	}
	return nil
}

func (s *Service) vpcUnused(_ context.Context, tx store.Tx, r *vpcRow) error {
	if err := unused(tx, s.Subnet, &r.Meta, "vpc", "delete the subnet first"); err != nil {
		return err
	}
	if err := unused(tx, s.Gateway, &r.Meta, "vpc", "delete the NAT gateway first"); err != nil {
		return err
	}
	if err := unused(tx, s.Peering, &r.Meta, "vpc", "delete the peering first"); err != nil {
		return err
	}
	return unused(tx, s.FlowLog, &r.Meta, "of", "delete the flow log first")
}
