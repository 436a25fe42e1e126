package cloud

import (
	"cmp"
	"context"
	"os"
	"time"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/image"
	"github.com/awancloud/awan/internal/service/keypair"
	"github.com/awancloud/awan/internal/service/machine"
	"github.com/awancloud/awan/internal/service/network"
	"github.com/awancloud/awan/internal/service/volume"
)

// makeServers makes the compute service over the machine engine, and hands it networks, volumes and images.
func (c *Cloud) makeServers() error {
	flavors, err := compute.ReadFlavors(catalog.Files())
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "awan"
	}
	c.Keypairs = kind.TableOf[keypair.Spec, keypair.Status](keypair.Kind())
	c.Servers = compute.New(compute.Deps{Store: c.Store, Engine: c.Engines.Machine, Host: children{c}, Networks: cards{c.Networks}, Volumes: disks{c.Volumes},
		Images: pictures{c.Pictures}, PublicKey: c.publicKey, Flavors: flavors, Overcommit: c.Overcommit, Zone: c.zone(), HostName: host, Now: time.Now, Log: c.Log})
	return nil
}

// zone is the one availability zone.
func (c *Cloud) zone() string { return c.Region + "a" }

func (c *Cloud) publicKey(tx store.Tx, project id.ID, name string) (string, error) {
	row, err := c.Keypairs.Find(tx, string(project), name)
	if err != nil || row == nil {
		return "", err
	}
	return row.Spec.PublicKey, nil
}

// children gives services the door's way of making rows that their rows need.
type children struct{ *Cloud }

func (h children) Unseal(m *kind.Meta, part, path, sealed string) (string, error) {
	return h.unseal(m, part, path, sealed)
}
func (h children) Wake(kind string) { host(h).Wake(kind) }
func (h children) Make(ctx context.Context, of *kind.Meta, fullName, key, name string, spec any) (kind.AnyRow, error) {
	return h.Door.Make(ctx, of, fullName, key, name, spec)
}
func (h children) Made(ctx context.Context, of *kind.Meta, fullName, key string) (id.ID, error) {
	return h.Door.Made(ctx, of, fullName, key)
}
func (h children) Ready(ctx context.Context, fullName string, row id.ID) (kind.AnyRow, error) {
	return h.Door.Ready(ctx, fullName, row)
}
func (h children) Unmake(ctx context.Context, fullName string, row id.ID) error {
	return h.Door.Unmake(ctx, fullName, row)
}

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
type pictures struct{ s *image.Service }

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
	return &compute.Image{ID: row.ID, Name: row.Name, MinDisk: int(row.Spec.MinDisk), MinMemory: row.Spec.MinMemory,
		User: cmp.Or(row.Spec.User, content.Spec.User)}, nil
}
func (p pictures) Ready(ctx context.Context, i id.ID) error { return p.s.Ready(ctx, i) }

// instance is what the metadata service tells a server about itself.
func (c *Cloud) instance(ctx context.Context, server id.ID) (*network.Instance, error) {
	row, err := c.Servers.Get(ctx, server)
	if err != nil {
		return nil, err
	}
	in := &network.Instance{ID: row.ID, Domain: row.Domain, Project: row.Project, Name: row.Name, Hostname: row.Status.Hostname, Flavor: row.Spec.Flavor,
		Image: row.Spec.Image, ImageID: row.Status.Image, Zone: row.Spec.Zone, CPUs: row.Spec.CPUs, MemoryMiB: row.Spec.Memory, UserData: []byte(row.Spec.UserData),
		Metadata: row.Spec.Metadata, Tags: row.Tags, Agency: row.Spec.Agency, Created: row.Created, EnterpriseProject: row.EnterpriseProject}
	if row.Status.PublicKey != "" {
		in.Keys = map[string]string{cmp.Or(row.Spec.KeyPair, "key"): row.Status.PublicKey}
	}
	return in, nil
}
