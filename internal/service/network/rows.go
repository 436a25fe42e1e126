package network

import (
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// readVPC gathers what a routing domain follows from: a VPC, or a subnet that none routes. ok is false when it should not be.
func (s *Service) readVPC(tx store.Tx, domain id.ID) (r vpcRows, project id.ID, ok bool, err error) {
	if r.vpc, err = s.VPC.Get(tx, domain); err != nil {
		return r, "", false, err
	}
	var of *kind.Meta
	if r.vpc != nil {
		of = &r.vpc.Meta
		if r.subnets, err = users(tx, s.Subnet, of, "vpc", string(domain), 0); err != nil {
			return r, "", false, err
		}
	} else {
		sub, err := s.Subnet.Get(tx, domain)
		if err != nil || sub == nil || sub.Spec.VPC != "" {
			return r, "", false, err
		}
		of, r.subnets = &sub.Meta, []*subnetRow{sub}
	}
	q, err := projectQuarantine(tx, of.Project)
	if err != nil {
		return r, "", false, err
	}
	r.quarantined = q != nil
	for _, sub := range r.subnets {
		ok = ok || len(sub.Spec.prefixes()) > 0
	}
	if r.vpc == nil || !ok {
		return r, of.Project, ok, nil
	}
	if idle, err := s.unneeded(tx, r.vpc); idle || err != nil {
		return r, of.Project, false, err
	}
	return r, of.Project, true, s.readOutward(tx, &r)
}

// readOutward gathers what leads out of a VPC.
func (s *Service) readOutward(tx store.Tx, r *vpcRows) error {
	of := &r.vpc.Meta
	r.public, r.ports = map[string]*publicRow{}, map[string]*portRow{}
	gateways, err := users(tx, s.Gateway, of, "vpc", string(r.vpc.ID), 0)
	if err != nil {
		return err
	}
	for _, g := range gateways {
		snat, err := users(tx, s.SNAT, of, "gateway", string(g.ID), 0)
		if err != nil {
			return err
		}
		dnat, err := users(tx, s.DNAT, of, "gateway", string(g.ID), 0)
		if err != nil {
			return err
		}
		r.snat, r.dnat = append(r.snat, snat...), append(r.dnat, dnat...)
	}
	for _, rule := range r.snat {
		for _, p := range rule.Spec.PublicIPs {
			if r.public[p], err = s.PublicIP.Get(tx, id.ID(p)); err != nil {
				return err
			}
		}
	}
	for _, rt := range r.vpc.Spec.Routes {
		if rt.Port != "" {
			if r.ports[rt.Port], err = s.Port.Get(tx, id.ID(rt.Port)); err != nil {
				return err
			}
		}
	}
	r.peerings, err = users(tx, s.Peering, of, "vpc", string(r.vpc.ID), 0)
	return err
}

// readGroup gathers what a group follows from.
func (s *Service) readGroup(tx store.Tx, group id.ID) (rules []*ruleRow, sets map[string]*addressesRow, ok bool, err error) {
	g, err := s.Group.Get(tx, group)
	if err != nil || g == nil {
		return nil, nil, false, err
	}
	if idle, err := s.unneededGroup(tx, g); idle || err != nil {
		return nil, nil, false, err
	}
	if rules, err = users(tx, s.Rule, &g.Meta, "group", string(group), 0); err != nil {
		return nil, nil, false, err
	}
	sets = map[string]*addressesRow{}
	for _, r := range rules {
		if a := r.Spec.RemoteAddressGroup; a != "" {
			if sets[a], err = s.AddressGroup.Get(tx, id.ID(a)); err != nil {
				return nil, nil, false, err
			}
		}
	}
	return rules, sets, true, nil
}

// readPort gathers what a port follows from. ok is false when nothing is plugged, so that the engine need not have it.
func (s *Service) readPort(tx store.Tx, port id.ID) (r portRows, ok bool, err error) {
	if r.port, err = s.Port.Get(tx, port); err != nil || r.port == nil || !r.port.Status.Plugged {
		return r, false, err
	}
	of := &r.port.Meta
	if r.subnet, err = s.Subnet.Get(tx, id.ID(r.port.Spec.Subnet)); err != nil || r.subnet == nil {
		return r, false, err
	}
	if r.public, err = users(tx, s.PublicIP, of, "port", string(port), 0); err != nil {
		return r, false, err
	}
	r.bandwidths = map[string]*bandwidthRow{}
	for _, p := range r.public {
		if b := p.Spec.Bandwidth; b != "" {
			if r.bandwidths[b], err = s.Bandwidth.Get(tx, id.ID(b)); err != nil {
				return r, false, err
			}
		}
	}
	q, err := projectQuarantine(tx, of.Project)
	if err != nil {
		return r, false, err
	}
	r.quarantined = q != nil
	if v := r.subnet.Spec.VPC; v != "" {
		vpc, err := s.VPC.Get(tx, id.ID(v))
		if err != nil {
			return r, false, err
		}
		r.quarantined = r.quarantined || vpc != nil && vpc.Status.Quarantine != nil
	}
	for _, x := range some(string(port), r.port.Spec.Subnet, r.port.Status.VPC) {
		logs, err := users(tx, s.FlowLog, of, "of", x, 0)
		if err != nil {
			return r, false, err
		}
		for _, l := range logs {
			r.flowLog = r.flowLog || !l.Spec.Disabled
		}
	}
	return r, true, nil
}
