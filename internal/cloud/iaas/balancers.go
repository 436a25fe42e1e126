package iaas

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/balancer"
	"github.com/awancloud/awan/internal/service/dns"
	"github.com/awancloud/awan/internal/service/network"
)

// Balancers are the networks as load balancers see them.
func Balancers(s *network.Service) balancer.Networks { return places{vpcs{s}} }

// Zones are the networks as private zones see them.
func Zones(s *network.Service) dns.Networks { return vpcs{s} }

// vpcs are those of the network service.
type vpcs struct{ s *network.Service }

// FindVPC finds a VPC of a project by name or id; "" when there is none.
func (v vpcs) FindVPC(tx store.Tx, project id.ID, nameOrID string) (id.ID, error) {
	r, err := v.s.VPC.Find(tx, string(project), nameOrID)
	if r == nil || err != nil {
		return "", err
	}
	return r.ID, nil
}

// places are the network service's subnets and ports, as load balancers see them.
type places struct{ vpcs }

// FindSubnet finds a subnet of a project by name or id, those that OpenStack's clients know included.
func (p places) FindSubnet(tx store.Tx, project id.ID, ref string) (subnet, vpc id.ID, err error) {
	r, err := p.s.Subnet.Find(tx, string(project), ref)
	if err != nil {
		return "", "", err
	}
	if i, ok := id.Parse(ref); ok && r == nil {
		found, err := p.s.Subnet.List(tx, string(project), kind.Filter{Index: "openstack", Value: string(i), Limit: 1})
		if err != nil || len(found) == 0 {
			return "", "", err
		}
		r = found[0]
	}
	if r == nil {
		return "", "", nil
	}
	return r.ID, id.ID(r.Spec.VPC), nil
}

// PortSpec describes the port of a load balancer.
func (p places) PortSpec(of *kind.Meta, subnet, address string) any {
	spec := network.PortSpec{Subnet: subnet, Device: string(of.ID), DeviceOwner: network.BalancerOwner}
	if address != "" {
		spec.Addresses = []string{address}
	}
	return spec
}

// Seen tells where a port is.
func (p places) Seen(tx store.Tx, port id.ID) (out balancer.Place, err error) {
	r, err := p.s.Port.Get(tx, port)
	if err != nil || r == nil {
		return out, err
	}
	out = balancer.Place{Subnet: id.ID(r.Spec.Subnet), VPC: id.ID(r.Status.VPC), Addresses: r.Status.Addresses}
	sub, err := p.s.Subnet.Get(tx, out.Subnet)
	if sub != nil {
		out.IPv4Subnet = sub.Status.IPv4
	}
	return out, err
}

// Plug lets the cloud itself be at a port.
func (p places) Plug(ctx context.Context, port id.ID) error { return p.s.PlugOwn(ctx, port) }

// Unplug ends that.
func (p places) Unplug(ctx context.Context, port id.ID) error { return p.s.Unplug(ctx, port) }

// PublicSpec describes a public address that leads to a port.
func (p places) PublicSpec(port id.ID, mbit int) any {
	return map[string]any{"port": port, "mbit": mbit}
}

// Publish lets a public address lead to a port.
func (p places) Publish(ctx context.Context, tx store.Tx, project id.ID, ref string, port id.ID) error {
	return p.s.Publish(ctx, tx, project, ref, port)
}

// PublicOf are the public addresses of a port.
func (p places) PublicOf(tx store.Tx, project, port id.ID) ([]balancer.PublicAddress, error) {
	rows, err := p.s.PublicOf(tx, project, port)
	var out []balancer.PublicAddress
	for _, r := range rows {
		out = append(out, balancer.PublicAddress{ID: r.ID, Address: r.Status.Address})
	}
	return out, err
}
