package cloud

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/service/asbuilt"
)

// makeAsBuilt makes what compares the rows with this machine, service by service.
func (c *Cloud) makeAsBuilt() {
	c.AsBuilt = asbuilt.New(asbuilt.Deps{Store: c.Store, Files: c.Buckets.Depot("as-built"), Looks: map[string]asbuilt.Look{
		"apps": c.App.AsBuilt, "servers": c.IaaS.Servers.AsBuilt, "volumes": c.IaaS.Volumes.AsBuilt, "networks": c.IaaS.Networks.AsBuilt},
		Key:   func() (*tls.Certificate, error) { return c.CA.Leaf([]string{"as-built." + c.Domain}, nil) },
		Cloud: c.Domain, Region: c.Region, Door: func() *call.Door { return c.Door }, Now: time.Now, Log: c.Log})
}

// driftFound tells the next report of a difference that a watch found.
func (c *Cloud) driftFound(ctx context.Context, d asbuilt.Drift) {
	if c.AsBuilt != nil {
		c.AsBuilt.Found(ctx, d)
	}
}
