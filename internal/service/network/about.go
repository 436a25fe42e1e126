package network

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/fabric"
)

// about tells which things of the engine follow from a row. A read that fails leaves some out; the transaction then says so.
func (s *Service) about(tx store.Tx, row kind.AnyRow) []target {
	vpc := func(v string) []target { return []target{{"vpc", id.ID(v)}} }
	switch r := row.(type) {
	case *vpcRow:
		return append(vpc(string(r.ID)), s.portsBy(tx, &r.Meta, "vpc")...)
	case *subnetRow:
		return append(vpc(string(domainOf(r))), s.portsBy(tx, &r.Meta, "subnet")...)
	case *portRow:
		return s.portTargets(tx, r)
	case *groupRow:
		return []target{{"group", r.ID}}
	case *ruleRow:
		return []target{{"group", id.ID(r.Spec.Group)}, {"group", id.ID(r.Spec.RemoteGroup)}} // which this may make needed
	case *addressesRow:
		rules, _ := users(tx, s.Rule, &r.Meta, "address-group", string(r.ID), 0)
		var out []target
		for _, rule := range rules {
			out = append(out, target{"group", id.ID(rule.Spec.Group)})
		}
		return out
	case *publicRow:
		return []target{{"port", id.ID(r.Spec.Port)}}
	case *bandwidthRow:
		var out []target
		ips, _ := users(tx, s.PublicIP, &r.Meta, "bandwidth", string(r.ID), 0)
		for _, p := range ips {
			out = append(out, target{"port", id.ID(p.Spec.Port)})
		}
		return out
	case *gatewayRow:
		return vpc(r.Spec.VPC)
	case *snatRow:
		return s.ofGateway(tx, r.Spec.Gateway)
	case *dnatRow:
		return s.ofGateway(tx, r.Spec.Gateway)
	case *peeringRow:
		return []target{{"vpc", id.ID(r.Spec.VPC)}, {"vpc", id.ID(r.Spec.Peer)}}
	case *flowRow:
		out := []target{{"port", id.ID(r.Spec.Port)}}
		for index, v := range map[string]string{"vpc": r.Spec.VPC, "subnet": r.Spec.Subnet} {
			if v != "" {
				of := r.Meta
				of.ID = id.ID(v)
				out = append(out, s.portsBy(tx, &of, index)...)
			}
		}
		return out
	}
	return nil
}

// portTargets is the port, and its VPC where a route leads to it.
func (s *Service) portTargets(tx store.Tx, r *portRow) []target {
	out := append([]target{{"port", r.ID}}, s.ofDefaults(tx, r)...)
	if r.Spec.PortSecurity != nil && !*r.Spec.PortSecurity {
		out = append(out, target{"group", openGroup})
	}
	if r.Status.VPC == "" {
		return out
	}
	vpc, _ := s.VPC.Get(tx, id.ID(r.Status.VPC))
	if vpc == nil {
		return out
	}
	for _, rt := range vpc.Spec.Routes {
		if rt.Port == string(r.ID) {
			return append(out, target{"vpc", vpc.ID})
		}
	}
	return out
}

// portsBy are the plugged ports that an index holds under a row's id.
func (s *Service) portsBy(tx store.Tx, of *kind.Meta, index string) []target {
	ports, _ := users(tx, s.Port, of, index, string(of.ID), 0)
	var out []target
	for _, p := range ports {
		if p.Status.Plugged {
			out = append(out, target{"port", p.ID})
		}
	}
	return out
}

func (s *Service) ofGateway(tx store.Tx, gateway string) []target {
	g, _ := s.Gateway.Get(tx, id.ID(gateway))
	if g == nil {
		return nil
	}
	return []target{{"vpc", id.ID(g.Spec.VPC)}}
}

// ofProject is everything of a project that a quarantine changes.
func (s *Service) ofProject(tx store.Tx, project id.ID) []target {
	var out []target
	vpcs, _ := s.VPC.List(tx, string(project), kind.Filter{})
	for _, r := range vpcs {
		out = append(out, target{"vpc", r.ID})
	}
	subs, _ := s.Subnet.List(tx, string(project), kind.Filter{})
	for _, r := range subs {
		out = append(out, target{"vpc", domainOf(r)})
	}
	ports, _ := s.Port.List(tx, string(project), kind.Filter{})
	for _, r := range ports {
		if r.Status.Plugged {
			out = append(out, target{"port", r.ID})
		}
	}
	return out
}

// gone tells whether the rows know nothing of a target any more.
func (c *converger) gone(ctx context.Context, x target) bool {
	if x.id == openGroup {
		return false
	}
	there := true
	err := c.s.Store.View(ctx, func(tx store.Tx) (err error) {
		if x.what == "group" {
			_, _, there, err = c.s.readGroup(tx, x.id)
			return err
		}
		_, _, there, err = c.s.readVPC(tx, x.id)
		return err
	})
	return err == nil && !there
}

// loses tells whether a routing domain is about to lose a subnet that the engine has in it.
func (c *converger) loses(ctx context.Context, x target) bool {
	was, ok := c.told.get(x).(fabric.VPC)
	if !ok {
		return false
	}
	is := map[id.ID]bool{}
	err := c.s.Store.View(ctx, func(tx store.Tx) error {
		r, _, _, err := c.s.readVPC(tx, x.id)
		for _, sub := range r.subnets {
			is[sub.ID] = true
		}
		return err
	})
	for _, sub := range was.Subnets {
		if !is[sub.ID] {
			return err == nil
		}
	}
	return false
}

// readPlain is a group as the rows have it, without what its rules name: it must be known before rules name it.
func (c *converger) readPlain(ctx context.Context, group id.ID) fabric.Group {
	var out fabric.Group
	_ = c.s.Store.View(ctx, func(tx store.Tx) error { // what cannot be read is told when its turn comes
		rules, sets, _, err := c.s.readGroup(tx, group)
		for _, r := range planGroup(rules, sets).Rules {
			if r.Group == "" {
				out.Rules = append(out.Rules, r)
			}
		}
		return err
	})
	return out
}
