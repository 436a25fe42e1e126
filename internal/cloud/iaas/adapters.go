package iaas

import (
	"cmp"
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/image"
	"github.com/awancloud/awan/internal/service/machine"
	"github.com/awancloud/awan/internal/service/network"
	"github.com/awancloud/awan/internal/service/volume"
)

// cards are ports of the network service as servers see them.
type cards struct{ s *network.Service }

// owner is what ports of servers say to OpenStack's clients.
func (n cards) owner() string { return "compute:" + n.s.Zone }

func (n cards) PortSpec(server *kind.Meta, hostname string, c compute.Card, groups []string) any {
	spec := map[string]any{"subnet": c.Subnet, "hostname": hostname, "device": server.ID, "device_owner": n.owner()}
	if c.Address != "" {
		spec["addresses"] = []string{c.Address}
	}
	if len(groups) > 0 {
		spec["groups"] = groups
	}
	return spec
}

func (n cards) PublicSpec(port id.ID, mbit int) any {
	spec := map[string]any{"port": port}
	if mbit > 0 {
		spec["mbit"] = mbit
	}
	return spec
}

func (n cards) Find(tx store.Tx, project id.ID, nameOrID string) (id.ID, error) {
	if nameOrID == "" {
		return "", nil
	}
	p, err := n.s.Port.Find(tx, string(project), nameOrID)
	if err != nil || p == nil {
		return "", err
	}
	return p.ID, nil
}

func (n cards) Seen(tx store.Tx, port id.ID, to *compute.NIC) error {
	p, err := n.s.Port.Get(tx, port)
	if err != nil || p == nil {
		return err
	}
	to.Subnet, to.VPC, to.MAC, to.Addresses = id.ID(p.Spec.Subnet), id.ID(p.Status.VPC), p.Status.MAC, p.Status.Addresses
	return nil
}

func (n cards) Attached(tx store.Tx, port id.ID, server *kind.Meta) error {
	p, err := n.s.Port.Get(tx, port)
	if err != nil {
		return err
	}
	if p == nil || p.Project != server.Project {
		return fail.New(fail.NotFound, "there is no port %s", port).Then("see awan port list")
	}
	if p.Spec.Device == string(server.ID) && p.Spec.DeviceOwner == n.owner() {
		return nil
	}
	return n.s.DeviceSet(tx, port, server.ID, n.owner())
}

func (n cards) Limit(tx store.Tx, port id.ID, mbit int) error {
	p, err := n.s.Port.Get(tx, port)
	if err != nil || p == nil || p.Spec.Mbit == mbit {
		return err
	}
	return n.s.LimitSet(tx, port, mbit, p.Spec.Queues)
}

func (n cards) Detached(tx store.Tx, port, server id.ID) error {
	p, err := n.s.Port.Get(tx, port)
	if err != nil || p == nil || p.Spec.Device != string(server) {
		return err
	}
	return n.s.DeviceSet(tx, port, "", "")
}

func (n cards) Publish(ctx context.Context, tx store.Tx, project id.ID, address string, port id.ID) error {
	return n.s.Publish(ctx, tx, project, address, port)
}

func (n cards) PublicOf(tx store.Tx, port id.ID) ([]compute.PublicAddress, error) {
	p, err := n.s.Port.Get(tx, port)
	if err != nil || p == nil {
		return nil, err
	}
	rows, err := n.s.PublicOf(tx, p.Project, port)
	var out []compute.PublicAddress
	for _, r := range rows {
		out = append(out, compute.PublicAddress{ID: r.ID, Address: r.Status.Address})
	}
	return out, err
}

func (n cards) Plug(ctx context.Context, port id.ID) (machine.NIC, error) {
	return n.s.Plug(ctx, port, 0)
}
func (n cards) Unplug(ctx context.Context, port id.ID) error { return n.s.Unplug(ctx, port) }

// disks are volumes as servers see them.
type disks struct{ s *volume.Service }

func (d disks) RootSpec(r compute.Root, from id.ID, sizeGiB int, zone string) any {
	return volume.Spec{Size: int64(sizeGiB), Type: r.Type, Source: volume.Source{Image: string(from)}, Bootable: true, Encrypted: true, Zone: zone,
		IOPS: int64(r.IOPS), Throughput: int64(r.Throughput)}
}

func (d disks) DataSpec(v compute.Volume, zone string) any {
	return volume.Spec{Size: int64(v.Size), Type: v.Type, Source: volume.Source{Image: v.Image, Snapshot: v.Snapshot}, Encrypted: true, Zone: zone,
		IOPS: int64(v.IOPS), Throughput: int64(v.Throughput)}
}

func (d disks) Find(tx store.Tx, project id.ID, nameOrID string) (id.ID, error) {
	row, err := d.s.Find(tx, project, nameOrID)
	if fail.Is(err, fail.Invalid) { // there is none
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return row.ID, nil
}

func (d disks) Attached(tx store.Tx, v id.ID, server *kind.Meta, device string, _ bool) error {
	return d.s.Attached(tx, server.Project, v, server.ID, device)
}
func (d disks) Detached(tx store.Tx, v, server id.ID) error { return d.s.Detached(tx, v, server) }

func (d disks) Size(tx store.Tx, v id.ID) (int, error) {
	row, err := d.s.Volumes.Get(tx, v)
	if err != nil || row == nil {
		return 0, err
	}
	return int(row.Spec.Size), nil
}
func (d disks) Hold(volumes ...id.ID) func() { return d.s.Hold(volumes...) }
func (d disks) Drive(ctx context.Context, v id.ID) (machine.Disk, error) {
	return d.s.Drive(ctx, v)
}

// pictures are images as servers see them.
type pictures struct {
	s      *image.Service
	engine machine.Engine
}

func (p pictures) Locate(tx store.Tx, project id.ID, nameOrID string) (*compute.Image, error) {
	row, err := p.s.Locate(tx, project, nameOrID)
	if fail.Is(err, fail.NotFound) || err == nil && row == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	_, _, content, err := p.s.Content(tx, row)
	if err != nil {
		return nil, err
	}
	if c := p.engine.Capabilities(context.Background()); content.Spec.Properties[image.Needs] == image.NeedsKVM && c.Accelerator == "tcg" {
		return nil, fail.New(fail.Unsupported, "the image %s starts too slowly without KVM (%s)", row.Name, c.Why).
			Then("take another, such as Debian 12 small; an operator offers this one all the same: awan public-image update %q --unset properties", row.Name)
	}
	return &compute.Image{ID: row.ID, Name: row.Name, MinDisk: int(row.Spec.MinDisk), MinMemory: row.Spec.MinMemory,
		User: cmp.Or(row.Spec.User, content.Spec.User)}, nil
}
func (p pictures) Ready(ctx context.Context, i id.ID) error { return p.s.Ready(ctx, i) }
