package network

import (
	"context"
	"encoding/json"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// What every project is given, under the names that Huawei Cloud's clients look for.
const (
	DefaultVPC    = "vpc-default"
	DefaultSubnet = "subnet-default"
	DefaultGroup  = "default"
)

// earlier is what VPC and subnet were called when a project got them at their first use only. They are taken over.
const earlier = "default"

// defaultsKey leads from a project to what it was given. It is written once: what users delete of it is made again only when
// something needs it.
const defaultsKey = "net/default/" // <project>

type defaults struct {
	VPC    id.ID `json:"vpc"`
	Subnet id.ID `json:"subnet"`
	Group  id.ID `json:"group"`
}

func readDefaults(tx store.Tx, project id.ID) (d defaults, ok bool, err error) {
	b, ok, err := tx.Get(defaultsKey + string(project))
	if err != nil || !ok {
		return d, false, err
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return d, false, fail.Wrap(err, fail.Internal, "a project's default network cannot be read")
	}
	return d, true, nil
}

func (d defaults) put(tx store.Tx, project id.ID) error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return tx.Put(defaultsKey+string(project), b)
}

// Furnish implements ident.Furniture: a new project gets its VPC, subnet and security group in the transaction that makes
// it. They are rows only: the engine hears of them when a port is in them.
func (s *Service) Furnish(ctx context.Context, tx store.Tx, project *kind.Meta) error {
	if done, err := s.Furnished(tx, project.ID); done || err != nil {
		return err
	}
	of := inside(project)
	sub, err := s.defaultSubnet(ctx, tx, of)
	if err != nil {
		return err
	}
	g, err := s.defaultGroup(ctx, tx, of)
	if err != nil {
		return err
	}
	return defaults{VPC: id.ID(sub.Spec.VPC), Subnet: sub.ID, Group: g.ID}.put(tx, project.ID)
}

// Furnished tells whether a project was given its network already.
func (s *Service) Furnished(tx store.Tx, project id.ID) (bool, error) {
	d, _, err := readDefaults(tx, project)
	return d.VPC != "" && d.Subnet != "" && d.Group != "", err
}

// inside is where rows of a project belong.
func inside(project *kind.Meta) *kind.Meta {
	return &kind.Meta{Domain: project.Domain, Project: project.ID, Created: project.Created, Updated: project.Updated}
}

// Clear implements ident.Furniture: what a project was given goes with it, unless something is in it. What stays keeps the
// project, whose emptiness is looked at afterwards.
func (s *Service) Clear(ctx context.Context, tx store.Tx, project *kind.Meta) error {
	d, ok, err := readDefaults(tx, project.ID)
	if err != nil || !ok {
		return err
	}
	if err := cleared(ctx, tx, s.Subnet, d.Subnet); err != nil {
		return err
	}
	if err := cleared(ctx, tx, s.VPC, d.VPC); err != nil {
		return err
	}
	// Not the project's own any more, the group may go.
	if err := tx.Delete(defaultsKey + string(project.ID)); err != nil {
		return err
	}
	return cleared(ctx, tx, s.Group, d.Group)
}

// cleared takes a row away if it is there and nothing uses it.
func cleared[S, T any](ctx context.Context, tx store.Tx, t kind.Table[S, T], at id.ID) error {
	row, err := t.Get(tx, at)
	if row == nil || err != nil {
		return err
	}
	if err := t.D.CheckDel(ctx, tx, row); err != nil {
		if fail.Is(err, fail.Precondition) {
			return nil
		}
		return err
	}
	if err := orphan(tx, t, row); err != nil || t.D.Changed == nil {
		return err
	}
	return t.D.Changed(ctx, tx, row, nil)
}

// defaultVPC finds the project's own VPC, or makes it: for a user who has deleted it.
func (s *Service) defaultVPC(ctx context.Context, tx store.Tx, of *kind.Meta) (*vpcRow, error) {
	d, _, err := readDefaults(tx, of.Project)
	if err != nil {
		return nil, err
	}
	if r, err := ownOr(tx, s.VPC, of, d.VPC, DefaultVPC, earlier); r != nil || err != nil {
		return r, err
	}
	r := &vpcRow{Spec: VPCSpec{CIDR: "192.168.0.0/16", Description: "the project's own, from the beginning"}}
	r.Name = DefaultVPC
	if err := child(ctx, tx, s.VPC, of, r); err != nil {
		return nil, err
	}
	d.VPC = r.ID
	return r, d.put(tx, of.Project)
}

// defaultSubnet finds the project's own subnet, or makes it.
func (s *Service) defaultSubnet(ctx context.Context, tx store.Tx, of *kind.Meta) (*subnetRow, error) {
	d, _, err := readDefaults(tx, of.Project)
	if err != nil {
		return nil, err
	}
	if r, err := ownOr(tx, s.Subnet, of, d.Subnet, DefaultSubnet, earlier); r != nil || err != nil {
		return r, err
	}
	vpc, err := s.defaultVPC(ctx, tx, of)
	if err != nil {
		return nil, err
	}
	r := &subnetRow{Spec: SubnetSpec{VPC: string(vpc.ID), Description: "the project's own, from the beginning", DHCP: true, PortSecurity: true, Lease: day}}
	r.ID, r.Name, r.Project = id.New(), DefaultSubnet, of.Project
	if err := s.subnetDefaults(ctx, tx, r); err != nil {
		return nil, err
	}
	if err := child(ctx, tx, s.Subnet, of, r); err != nil {
		return nil, err
	}
	d.VPC, d.Subnet = vpc.ID, r.ID
	return r, d.put(tx, of.Project)
}

// defaultGroup finds the project's own group, or makes it.
func (s *Service) defaultGroup(ctx context.Context, tx store.Tx, of *kind.Meta) (*groupRow, error) {
	d, _, err := readDefaults(tx, of.Project)
	if err != nil {
		return nil, err
	}
	if g, err := ownOr(tx, s.Group, of, d.Group, DefaultGroup); g != nil || err != nil {
		return g, err
	}
	g := &groupRow{Spec: GroupSpec{Description: "Default security group"}}
	g.Name = DefaultGroup
	if err := child(ctx, tx, s.Group, of, g); err != nil {
		return nil, err
	}
	d.Group = g.ID
	if err := d.put(tx, of.Project); err != nil {
		return nil, err
	}
	return g, s.defaultRules(ctx, tx, g)
}

// ownOr reads a row by its id, else the oldest of a name.
func ownOr[S, T any](tx store.Tx, t kind.Table[S, T], of *kind.Meta, own id.ID, names ...string) (*kind.Row[S, T], error) {
	if own != "" {
		if r, err := t.Get(tx, own); r != nil || err != nil {
			return r, err
		}
	}
	for _, n := range names {
		all, err := t.List(tx, string(of.Project), kind.Filter{Exact: n, Limit: 1})
		if err != nil || len(all) > 0 {
			return oldest(all), err
		}
	}
	return nil, nil
}

func oldest[T any](all []*T) *T {
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

// unneeded tells whether a VPC is one that a project was given and nothing is in: the engine need not have it.
func (s *Service) unneeded(tx store.Tx, r *vpcRow) (bool, error) {
	d, _, err := readDefaults(tx, r.Project)
	if err != nil || d.VPC != r.ID {
		return false, err
	}
	ports, err := users(tx, s.Port, &r.Meta, "vpc", string(r.ID), 1)
	if err != nil || len(ports) > 0 {
		return false, err
	}
	gateways, err := users(tx, s.Gateway, &r.Meta, "vpc", string(r.ID), 1)
	if err != nil || len(gateways) > 0 {
		return false, err
	}
	peerings, err := users(tx, s.Peering, &r.Meta, "vpc", string(r.ID), 1)
	return len(peerings) == 0, err
}

// unneededGroup is the same of a group: no port has it, and no other group's rules name it.
func (s *Service) unneededGroup(tx store.Tx, r *groupRow) (bool, error) {
	d, _, err := readDefaults(tx, r.Project)
	if err != nil || d.Group != r.ID {
		return false, err
	}
	if err := s.groupUser(tx, r); err != nil {
		if fail.Is(err, fail.Precondition) {
			err = nil
		}
		return false, err
	}
	return true, nil
}

// ofDefaults are the VPC and the groups that a port makes needed, or did.
func (s *Service) ofDefaults(tx store.Tx, r *portRow) []target {
	d, ok, err := readDefaults(tx, r.Project)
	if err != nil || !ok {
		return nil
	}
	var out []target
	if r.Status.VPC == string(d.VPC) {
		out = append(out, target{"vpc", d.VPC})
	}
	for _, g := range r.Spec.Groups {
		if g == string(d.Group) {
			out = append(out, target{"group", d.Group})
		}
	}
	return out
}
