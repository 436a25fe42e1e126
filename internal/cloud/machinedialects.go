package cloud

import (
	"net/http"
	"net/url"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	huaweidns "github.com/awancloud/awan/internal/dialect/huawei/dns"
	"github.com/awancloud/awan/internal/dialect/huawei/ecs"
	"github.com/awancloud/awan/internal/dialect/huawei/elb"
	"github.com/awancloud/awan/internal/dialect/huawei/evs"
	"github.com/awancloud/awan/internal/dialect/huawei/ims"
	"github.com/awancloud/awan/internal/dialect/huawei/kps"
	"github.com/awancloud/awan/internal/dialect/huawei/vpc"
	"github.com/awancloud/awan/internal/dialect/openstack/cinder"
	"github.com/awancloud/awan/internal/dialect/openstack/glance"
	"github.com/awancloud/awan/internal/dialect/openstack/neutron"
	"github.com/awancloud/awan/internal/dialect/openstack/nova"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/id"
)

// openstackCatalog are OpenStack's services beside identity, as tokens list them.
func openstackCatalog() []token.CatalogEntry {
	return []token.CatalogEntry{nova.Service.Entry(), neutron.CatalogEntry(), cinder.Service.Entry(), cinder.Alias.Entry(), glance.Service.Entry()}
}

// machineServices are the APIs of servers, networks, disks, images, load balancers and names, in Huawei Cloud's words and
// in OpenStack's.
func (c *Cloud) machineServices(a *auth.Authenticator, o wire.Options) []front.Service {
	m := c.IaaS
	networks := neutron.New(neutron.Options{Options: o, Network: m.Networks})
	return []front.Service{
		ecs.New(c.ecsOptions(a)).Service(),
		evs.New(evs.Options{Door: c.Door, Auth: a, Region: c.Region, Zone: m.Zone(), Volumes: m.Volumes, Looks: ecs.Looks()}).Service(),
		ims.New(ims.Options{Door: c.Door, Auth: a, Region: c.Region, Images: m.Images, Compute: m.Servers, Looks: ecs.Looks()}).Service(),
		kps.New(kps.Options{Door: c.Door, Auth: a, Region: c.Region, KeyPair: m.Keypairs.D}).Service(),
		vpc.New(vpc.Options{Options: o, Network: m.Networks, More: networks.Native()}).Service(),
		elb.New(elb.Options{Options: o, Balancer: c.Balancer}).Service(),
		huaweidns.New(huaweidns.Options{Options: o, DNS: c.DNS}).Service(),
		networks.Service(),
		nova.New(nova.Options{Options: o, Compute: m.Servers, KeyPairs: m.Keypairs.D, Images: m.Images, Cards: nova.Networks(m.Networks), Console: c.screenOf}).Behind(),
		cinder.New(cinder.Options{Options: o, Volumes: m.Volumes, Zone: m.Zone(), Host: m.HostName}).Behind(),
		glance.New(glance.Options{Options: o, Images: m.Images}).Behind(),
	}
}

func (c *Cloud) ecsOptions(a *auth.Authenticator) ecs.Options {
	return ecs.Options{Door: c.Door, Auth: a, Region: c.Region, Compute: c.IaaS.Servers, Network: c.IaaS.Networks, KeyPair: c.IaaS.Keypairs.D,
		Console: func(_ *http.Request, project, server string) string {
			return c.screenOf(id.ID(project), id.ID(server), "vnc")
		}}
}

// screenOf is the console's page of a server's serial line, or of its screen.
func (c *Cloud) screenOf(project, server id.ID, protocol string) string {
	return c.URL() + "/projects/" + string(project) + "/compute/servers/" + string(server) + "?screen=" + url.QueryEscape(protocol)
}
