// Package iaas wires networks, disks, images and servers together, over whatever engines it is given: the cloud's own wiring
// of them, in a package of its own so that tests wire them the same way. It may import services and the kernel.
package iaas

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"log/slog"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/asbuilt"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/disk"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/image"
	"github.com/awancloud/awan/internal/service/keypair"
	"github.com/awancloud/awan/internal/service/machine"
	"github.com/awancloud/awan/internal/service/network"
	"github.com/awancloud/awan/internal/service/volume"
)

// Deps are what the services stand on. The zero value is enough to describe their kinds.
type Deps struct {
	Store   store.Store
	Fabric  fabric.Engine
	Machine machine.Engine
	Disk    disk.Engine
	Maker   image.Maker
	// Door is the one door, made after the services from their kinds.
	Door       func() *call.Door
	Ident      *ident.Service
	Sealer     *secret.Sealer
	Limits     ledger.Limits
	Region     string
	PublicIPs  []network.Pool
	Overcommit compute.Overcommit
	HostName   string
	Dir        string // records of flow logs
	// Objects reads images from buckets; nil: there are none.
	Objects Objects
	// Found is told of differences between rows and the kernel's networks; nil: nobody is.
	Found func(ctx context.Context, d asbuilt.Drift)
	// Identity signs the identity documents of servers; nil: they are not signed.
	Identity func() (*tls.Certificate, error)
	Now      clock.Clock
	Log      *slog.Logger
}

// Objects is object storage, as images come from it.
type Objects interface {
	MayRead(tx store.Tx, p ident.Principal, project id.ID, bucket, object string) error
	OpenIn(ctx context.Context, project id.ID, bucket, object string) (io.ReadCloser, error)
}

// IaaS are the services.
type IaaS struct {
	Deps
	Networks *network.Service
	Volumes  *volume.Service
	Images   *image.Service
	Servers  *compute.Service
	Keypairs kind.Table[keypair.Spec, keypair.Status]
}

// New makes the services.
func New(d Deps) (*IaaS, error) {
	i := &IaaS{Deps: d, Keypairs: kind.TableOf[keypair.Spec, keypair.Status](keypair.Kind())}
	flavors, err := compute.ReadFlavors(catalog.Files())
	if err != nil {
		return nil, err
	}
	types, err := volume.ReadTypes(catalog.Files())
	if err != nil {
		return nil, err
	}
	zone := i.Zone()
	keys := &agencies{i: i, keys: map[id.ID]agencyKey{}}
	i.Networks = network.New(network.Deps{Store: d.Store, Engine: d.Fabric, Host: host{i}, Instance: i.instance, Dir: d.Dir,
		Credentials: keys.credentials, Identity: d.Identity, Found: d.Found,
		Options: network.Options{Region: d.Region, Zone: zone, Public: d.PublicIPs}, Now: d.Now, Log: d.Log})
	if d.Ident != nil {
		d.Ident.Kinds.Furnish(i.Networks)
	}
	i.Images = image.New(image.Deps{Store: d.Store, Engine: d.Disk, Maker: d.Maker, Sealer: d.Sealer, Limits: d.Limits, Now: d.Now, Log: d.Log, Project: i.project,
		Take: func(ctx context.Context, project id.ID, from image.Source, of id.ID) (image.Taken, error) {
			return i.Volumes.Take(ctx, project, from, of)
		},
		Release: func(ctx context.Context, project id.ID, from image.Source, of id.ID) error {
			return i.Volumes.Release(ctx, project, from, of)
		}})
	if d.Objects != nil {
		i.Images.Object = d.Objects.OpenIn
		i.Images.MayRead = func(ctx context.Context, tx store.Tx, project id.ID, bucket, object string) error {
			return d.Objects.MayRead(tx, ident.From(ctx), project, bucket, object)
		}
	}
	i.Volumes = volume.New(volume.Deps{Store: d.Store, Engine: d.Disk, Machines: d.Machine, Images: i.Images, Sealer: d.Sealer, Limits: d.Limits, Now: d.Now, Log: d.Log,
		Unseal: host{i}.Unseal, Catalogue: types, Zones: []string{zone}, Retention: volumeRetention,
		Refit: func(ctx context.Context, server, _ id.ID) error { return i.Servers.Refit(ctx, server) }})
	i.Servers = compute.New(compute.Deps{Store: d.Store, Engine: d.Machine, Host: host{i}, Networks: cards{i.Networks}, Volumes: disks{i.Volumes}, Images: pictures{i.Images, d.Machine},
		PublicKey: i.publicKey, MayPass: keys.mayPass, Flavors: flavors, Overcommit: d.Overcommit, Zone: zone, HostName: d.HostName, Now: d.Now, Log: d.Log})
	return i, nil
}

// Zone is the one availability zone.
func (i *IaaS) Zone() string { return i.Region + "a" }

// Kinds lists the services' kinds, in the order in which people meet them.
func (i *IaaS) Kinds() []*kind.Def {
	out := append(i.Servers.Kinds(), i.Keypairs.D)
	out = append(out, i.Networks.Kinds()...)
	out = append(out, i.Volumes.Kinds()...)
	return append(out, i.Images.Kinds()...)
}

// Start takes up what is there, from below: networks, disks, then the servers that stand on them. The door must be there.
func (i *IaaS) Start(ctx context.Context) error {
	if err := i.furnish(ctx); err != nil {
		return err
	}
	if err := i.Networks.Start(ctx); err != nil {
		return err
	}
	i.Volumes.Serve(i.Door())
	i.Images.Serve(i.Door())
	if err := i.Volumes.Start(ctx); err != nil {
		return err
	}
	images, err := image.ReadCatalog(catalog.Files())
	if err != nil {
		return err
	}
	if err := i.Images.Start(ctx, images); err != nil {
		return err
	}
	return i.Servers.Start(ctx)
}

// Close stops watching. Machines and networks go on.
func (i *IaaS) Close() {
	i.Servers.Close()
	i.Networks.Close()
}

func (i *IaaS) publicKey(tx store.Tx, project id.ID, name string) (string, error) {
	row, err := i.Keypairs.Find(tx, string(project), name)
	if err != nil || row == nil {
		return "", err
	}
	return row.Spec.PublicKey, nil
}

// project finds a project by name within a domain, or by id in any; "" when there is none.
func (i *IaaS) project(tx store.Tx, domain id.ID, idOrName string) (project, in id.ID, err error) {
	kinds := i.Ident.Kinds
	row, err := kinds.Project.Find(tx, string(domain), idOrName)
	if p, ok := id.Parse(idOrName); ok && row == nil && err == nil {
		row, err = kinds.Project.Get(tx, p)
	}
	if row == nil || err != nil {
		return "", "", err
	}
	return row.ID, row.Domain, nil
}

// instance is what the metadata service tells a server about itself.
func (i *IaaS) instance(ctx context.Context, server id.ID) (*network.Instance, error) {
	row, err := i.Servers.Get(ctx, server)
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
