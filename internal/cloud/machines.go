package cloud

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"os"
	"time"

	"github.com/awancloud/awan/internal/cloud/iaas"
	"github.com/awancloud/awan/internal/engine/fabric/linux"
	"github.com/awancloud/awan/internal/engine/machine/qemu"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/machine"
)

// makeIaaS wires networks, disks, images and servers.
func (c *Cloud) makeIaaS(limits ledger.Limits) (err error) {
	name, err := os.Hostname()
	if err != nil {
		name = "awan"
	}
	c.IaaS, err = iaas.New(iaas.Deps{Store: c.Store, Fabric: c.Engines.Fabric, Machine: c.Engines.Machine, Disk: c.Engines.Disk, Maker: c.Engines.Images,
		Door: func() *call.Door { return c.Door }, Ident: c.Ident, Sealer: c.sealer, Limits: limits, Region: c.Region, PublicIPs: c.PublicIPs, Overcommit: c.Overcommit,
		HostName: name, Dir: c.path("flows"), Objects: c.Buckets, Found: c.driftFound,
		Identity: func() (*tls.Certificate, error) { return c.CA.Leaf([]string{"instance-identity." + c.Domain}, nil) }, Now: time.Now, Log: c.Log})
	return err
}

// machines makes what servers stand on, on one machine: its own network stack, disks in files and QEMU. What cannot be had here switches
// off just that, and says what to install.
func (c *Cloud) machines(ctx context.Context, e *Engines) (close func() error, err error) {
	var closers []func() error
	n := linux.Options{Key: c.Key, Log: c.Log}
	pools, own, err := takePublic(claims, c.Key, c.Data, c.PublicIPs)
	if err != nil {
		return nil, err
	}
	c.PublicIPs = pools
	if own {
		n.Unrouted = []netip.Prefix{pools[0].Prefix} // the operator named none, so nobody routes ours
	}
	if f, err := linux.Open(ctx, n); err != nil {
		c.Log.Warn("networks carry no packets", "why", fail.From(err).Public(), "err", err)
		e.Fabric = fabric.Absent{Why: err}
	} else {
		e.Fabric = f
		closers = append(closers, f.Close)
	}
	if m, err := qemu.Open(ctx, qemu.Options{Dir: c.path("machines"), Key: c.Key, Logger: c.Log}); err != nil {
		c.Log.Warn("servers cannot run", "why", fail.From(err).Public(), "err", err)
		e.Machine = machine.Absent{Why: err}
	} else {
		e.Machine = m
		closers = append(closers, m.Close)
	}
	closers = append(closers, c.openDisks(e)...)
	return func() error {
		var errs []error
		for _, f := range closers {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}, nil
}
