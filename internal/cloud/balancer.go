package cloud

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/cloud/iaas"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/balancer"
)

// makeBalancer makes the load balancers, which begin in startBalancer.
func (c *Cloud) makeBalancer() {
	c.Balancer = balancer.New(balancer.Deps{Store: c.Store, Host: unmaker{c}, Networks: iaas.Balancers(c.IaaS.Networks), Fabric: c.IaaS.Fabric, Now: time.Now, Log: c.Log})
}

func (c *Cloud) startBalancer(ctx context.Context) error {
	if err := c.Balancer.Start(ctx); err != nil {
		return err
	}
	c.closing(func() error { c.Balancer.Close(); return nil })
	return nil
}

// Make, Made and Unseal give the service the door, which is made after it.
func (u unmaker) Make(ctx context.Context, of *kind.Meta, fullName, key, name string, spec any) (kind.AnyRow, error) {
	return u.Door.Make(ctx, of, fullName, key, name, spec)
}

// Made finds what Make made.
func (u unmaker) Made(ctx context.Context, of *kind.Meta, fullName, key string) (id.ID, error) {
	return u.Door.Made(ctx, of, fullName, key)
}

// Unseal reads a secret of a stored row.
func (u unmaker) Unseal(m *kind.Meta, part, path, sealed string) (string, error) {
	return u.Door.Unseal(m, part, path, sealed)
}
