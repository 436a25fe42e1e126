package cloud

import (
	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/openstack/cinder"
	"github.com/awancloud/awan/internal/dialect/openstack/glance"
	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/openstack/nova"
)

// openstackCatalog are OpenStack's services beside identity, as tokens list them.
func openstackCatalog() []keystone.CatalogEntry {
	return []keystone.CatalogEntry{nova.Service.Entry(), cinder.Service.Entry(), cinder.Alias.Entry(), glance.Service.Entry()}
}

// openstackServers are OpenStack's APIs of servers, disks and images.
func (c *Cloud) openstackServers(a *auth.Authenticator) []front.Service {
	o := keystone.Options{Door: c.Door, Auth: a, Region: c.Region}
	return []front.Service{
		nova.New(nova.Options{Options: o, Compute: c.IaaS.Servers, KeyPairs: c.IaaS.Keypairs.D, Images: c.IaaS.Images, Cards: nova.Networks(c.IaaS.Networks)}).Behind(),
		cinder.New(cinder.Options{Options: o, Volumes: c.IaaS.Volumes, Zone: c.IaaS.Servers.Zone, Host: c.IaaS.HostName}).Behind(),
		glance.New(glance.Options{Options: o, Images: c.IaaS.Images}).Behind(),
	}
}
