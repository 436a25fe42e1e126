package cloud

import (
	"context"
	"time"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/image"
	"github.com/awancloud/awan/internal/service/volume"
)

// volumeRetention is how long deleted volumes stay in the trash.
const volumeRetention = 24 * time.Hour

// makeVolumes makes block storage and images over the disk engine.
func (c *Cloud) makeVolumes(limits ledger.Limits) error {
	types, err := volume.ReadTypes(catalog.Files())
	if err != nil {
		return err
	}
	c.Pictures = image.New(image.Deps{Store: c.Store, Engine: c.Engines.Disk, Maker: c.Engines.Images, Sealer: c.sealer, Limits: limits, Now: time.Now, Log: c.Log,
		Project: c.projectOf,
		Take: func(ctx context.Context, project id.ID, from image.Source, i id.ID) (image.Taken, error) {
			return c.Volumes.Take(ctx, project, from, i)
		},
		Release: func(ctx context.Context, project id.ID, from image.Source, i id.ID) error {
			return c.Volumes.Release(ctx, project, from, i)
		}})
	c.Volumes = volume.New(volume.Deps{Store: c.Store, Engine: c.Engines.Disk, Machines: c.Engines.Machine, Images: c.Pictures, Sealer: c.sealer, Limits: limits, Now: time.Now, Log: c.Log,
		Unseal: host{c}.Unseal, Catalogue: types, Zones: []string{c.zone()}, Retention: volumeRetention,
		Refit: func(ctx context.Context, server, _ id.ID) error { return c.Servers.Refit(ctx, server) }})
	return nil
}

// startVolumes brings the catalogue's types and images into the cloud.
func (c *Cloud) startVolumes(ctx context.Context) error {
	c.Volumes.Serve(c.Door)
	c.Pictures.Serve(c.Door)
	if err := c.Volumes.Start(ctx); err != nil {
		return err
	}
	images, err := image.ReadCatalog(catalog.Files())
	if err != nil {
		return err
	}
	return c.Pictures.Start(ctx, images)
}

// projectOf finds a project by name within a domain, or by id in any; "" when there is none.
func (c *Cloud) projectOf(tx store.Tx, domain id.ID, idOrName string) (project, in id.ID, err error) {
	kinds := c.Ident.Kinds
	row, err := kinds.Project.Find(tx, string(domain), idOrName)
	if i, ok := id.Parse(idOrName); ok && row == nil && err == nil {
		row, err = kinds.Project.Get(tx, i)
	}
	if row == nil || err != nil {
		return "", "", err
	}
	return row.ID, row.Domain, nil
}
