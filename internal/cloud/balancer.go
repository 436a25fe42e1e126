package cloud

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/balancer"
	"github.com/awancloud/awan/internal/service/network"
)

// makeBalancer makes the load balancers, which begin in startBalancer.
func (c *Cloud) makeBalancer() {
	c.Balancer = balancer.New(balancer.Deps{Store: c.Store, Host: unmaker{c}, Networks: places{vpcs{c.IaaS.Networks}}, Fabric: c.IaaS.Fabric, Now: time.Now, Log: c.Log})
}

func (c *Cloud) startBalancer(ctx context.Context) error {
	if err := c.Balancer.Start(ctx); err != nil {
		return err
	}
	c.closing(func() error { c.Balancer.Close(); return nil })
	return nil
}

// Make, Made and Unseal give the service the door, which is made after it.
func (u unmaker) Make(ctx context.Context, of *kind.Meta, fullName, key, name string, spec any) (kind.AnyRow, error) {
	return u.Door.Make(ctx, of, fullName, key, name, spec)
}

// Made finds what Make made.
func (u unmaker) Made(ctx context.Context, of *kind.Meta, fullName, key string) (id.ID, error) {
	return u.Door.Made(ctx, of, fullName, key)
}

// Unseal reads a secret of a stored row.
func (u unmaker) Unseal(m *kind.Meta, part, path, sealed string) (string, error) {
	return u.Door.Unseal(m, part, path, sealed)
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

// PortSpec describes a port that is never plugged: it keeps the address.
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
