package nova

import (
	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/network"
)

// networks tells of ports as Neutron's clients know them: a subnet of ours is their network.
type networks struct{ s *network.Service }

// Networks gives servers the cards of the network service.
func Networks(s *network.Service) Cards { return networks{s} }

func (n networks) Card(tx store.Tx, port id.ID) (Card, error) {
	p, err := n.s.Port.Get(tx, port)
	if err != nil {
		return Card{}, err
	}
	if p == nil {
		return Card{}, fail.New(fail.NotFound, "there is no port %s", port)
	}
	sub, err := n.s.Subnet.Get(tx, id.ID(p.Spec.Subnet))
	if err != nil {
		return Card{}, err
	}
	c := Card{Network: p.Spec.Subnet, NetworkID: id.ID(p.Spec.Subnet), Groups: p.Spec.Groups, MAC: p.Status.MAC, Status: "ACTIVE"}
	if !p.Status.Plugged {
		c.Status = "DOWN"
	}
	for _, a := range p.Status.Addresses {
		f := FixedIP{Address: a}
		if sub != nil {
			c.Network = sub.Name
			if f.Subnet = sub.Status.IPv4; family(a) == 6 {
				f.Subnet = sub.Status.IPv6
			}
		}
		c.Fixed = append(c.Fixed, f)
	}
	public, err := n.s.PublicOf(tx, p.Project, port)
	for _, r := range public {
		c.Public = append(c.Public, r.Status.Address)
	}
	return c, err
}

func (n networks) Group(tx store.Tx, project id.ID, nameOrID string) (GroupView, error) {
	g, err := n.s.Group.Find(tx, string(project), nameOrID)
	if err != nil || g == nil {
		return GroupView{}, err
	}
	return securityGroup(g), nil
}

func securityGroup(g *kind.Row[network.GroupSpec, network.GroupStatus]) GroupView {
	return GroupView{ID: string(g.ID), Name: g.Name, Description: g.Spec.Description}
}

func (n networks) Groups(x *rest.Exchange) (out []GroupView, err error) {
	rows, _, err := rest.Part(x, n.s.Group, rest.Query[network.GroupSpec, network.GroupStatus]{})
	for _, g := range rows {
		out = append(out, securityGroup(g))
	}
	return out, err
}

func (n networks) Subnet(tx store.Tx, project id.ID, net string) (id.ID, error) {
	r, err := n.s.Subnet.Find(tx, string(project), net)
	if err != nil || r == nil {
		return "", err
	}
	return r.ID, nil
}

func (n networks) SetGroups(x *rest.Exchange, port id.ID, groups []string) error {
	_, err := rest.Change(x, n.s.Port.D, call.Update, string(port), func(c *call.Call) { c.Spec = rest.Spec{"groups": groups}.JSON() })
	return err
}
