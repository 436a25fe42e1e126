package network

import (
	"context"
	"net"
	"net/netip"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// asker is who asks the cloud from within a network.
type asker struct {
	port   *portRow
	subnet *subnetRow
	ports  []*portRow // all of the same device, itself included
	public string     // the public address that leads to it
	groups []string   // names of its security groups
	// shared says that another port may send from this address too, so that who really asks is not sure.
	shared bool
}

// whoAsks finds the port that an address of a network belongs to: no port can send from another's.
func (s *Service) whoAsks(ctx context.Context, at place, from net.Addr) (a asker, err error) {
	ap, err := netip.ParseAddrPort(from.String())
	if err != nil {
		return a, err
	}
	source := ap.Addr().Unmap().WithZone("")
	err = s.Store.View(ctx, func(tx store.Tx) error {
		ports, err := s.Port.List(tx, string(at.project), kind.Filter{Index: "address", Value: source.String()})
		if err != nil {
			return err
		}
		for _, p := range ports {
			sub, err := s.Subnet.Get(tx, id.ID(p.Spec.Subnet))
			if err != nil {
				return err
			}
			if sub != nil && domainOf(sub) == at.domain {
				a.port, a.subnet = p, sub
			}
		}
		if a.port == nil {
			return nil
		}
		a.ports = []*portRow{a.port}
		if dev := a.port.Spec.Device; dev != "" {
			if a.ports, err = s.Port.List(tx, string(at.project), kind.Filter{Index: "device", Value: dev}); err != nil {
				return err
			}
		}
		if a.shared, err = s.mayBeOther(tx, a, source); err != nil {
			return err
		}
		return s.describeAsker(tx, &a)
	})
	if err == nil && a.port == nil {
		err = fail.New(fail.NotFound, "no port of this network has the address %s", source)
	}
	return a, err
}

// mayBeOther tells whether another device's port may send from an address.
func (s *Service) mayBeOther(tx store.Tx, a asker, source netip.Addr) (bool, error) {
	near, err := users(tx, s.Port, &a.port.Meta, "subnet", a.port.Spec.Subnet, 0)
	if err != nil {
		return false, err
	}
	for _, p := range near {
		if slices.ContainsFunc(a.ports, func(own *portRow) bool { return own.ID == p.ID }) {
			continue
		}
		if p.Spec.PortSecurity != nil && !*p.Spec.PortSecurity {
			return true, nil
		}
		for _, pair := range p.Spec.AllowedPairs {
			if q, err := addressOrPrefix("", pair.Address); err == nil && q.Contains(source) {
				return true, nil
			}
		}
	}
	return false, nil
}

// describeAsker adds what the asker is told about its port.
func (s *Service) describeAsker(tx store.Tx, a *asker) error {
	public, err := users(tx, s.PublicIP, &a.port.Meta, "port", string(a.port.ID), 1)
	if err != nil {
		return err
	}
	if len(public) > 0 {
		a.public = public[0].Status.Address
	}
	for _, ref := range a.port.Spec.Groups {
		g, err := s.Group.Get(tx, id.ID(ref))
		if err != nil {
			return err
		}
		if g != nil {
			a.groups = append(a.groups, g.Name)
		}
	}
	return nil
}
