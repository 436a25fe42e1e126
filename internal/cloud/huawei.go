package cloud

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/ecs"
	"github.com/awancloud/awan/internal/dialect/huawei/evs"
	"github.com/awancloud/awan/internal/dialect/huawei/ims"
	"github.com/awancloud/awan/internal/dialect/huawei/kps"
)

// huaweiServers are Huawei Cloud's APIs of servers, disks, images and key pairs.
func (c *Cloud) huaweiServers(a *auth.Authenticator) []front.Service {
	return []front.Service{
		ecs.New(c.ecsOptions(a)).Service(),
		evs.New(evs.Options{Door: c.Door, Auth: a, Region: c.Region, Zone: c.IaaS.Zone(), Volumes: c.IaaS.Volumes, Looks: ecs.Looks()}).Service(),
		ims.New(ims.Options{Door: c.Door, Auth: a, Region: c.Region, Images: c.IaaS.Images, Compute: c.IaaS.Servers, Looks: ecs.Looks()}).Service(),
		kps.New(kps.Options{Door: c.Door, Auth: a, Region: c.Region, KeyPair: c.IaaS.Keypairs.D}).Service(),
	}
}

func (c *Cloud) ecsOptions(a *auth.Authenticator) ecs.Options {
	return ecs.Options{Door: c.Door, Auth: a, Region: c.Region, Compute: c.IaaS.Servers, Network: c.IaaS.Networks, KeyPair: c.IaaS.Keypairs.D,
		Console: func(_ *http.Request, project, server string) string {
			return c.URL() + "/projects/" + project + "/compute/servers/" + server + "?screen=vnc"
		}}
}
