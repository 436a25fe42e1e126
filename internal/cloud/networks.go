package cloud

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/service/network"
)

// makeNetworks makes the network service over the fabric.
func (c *Cloud) makeNetworks() {
	c.Networks = network.New(network.Deps{Store: c.Store, Engine: c.Engines.Fabric, Host: host{c}, Instance: c.instance, Dir: c.path("flows"),
		Options: network.Options{Region: c.Region, Zone: c.zone(), Public: c.PublicIPs}, Now: time.Now, Log: c.Log})
}

// startMachines starts what servers stand on, from below: networks, disks, then the servers themselves.
func (c *Cloud) startMachines(ctx context.Context) error {
	if err := c.Networks.Start(ctx); err != nil {
		return err
	}
	c.closing(func() error { c.Networks.Close(); return nil })
	if err := c.startVolumes(ctx); err != nil {
		return err
	}
	if err := c.Servers.Start(ctx); err != nil {
		return err
	}
	c.closing(func() error { c.Servers.Close(); return nil })
	return nil
}
