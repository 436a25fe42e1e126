package cloud

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// observeServers measures servers; simulated ones use nothing, and there may be ten thousand of them.
func (c *Cloud) observeServers() {
	if c.Simulate {
		return
	}
	c.Metrics.Registry.MustRegister(c.IaaS.Metrics())
	c.IaaS.Servers.Measured = func(ctx context.Context, project, server id.ID, window time.Duration) (any, error) {
		return c.Metrics.Of(project).Server(ctx, server, window, time.Now())
	}
}
