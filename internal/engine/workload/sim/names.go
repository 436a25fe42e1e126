package sim

import (
	"context"
	"maps"
	"net/netip"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// Names implements workload.Engine.
func (e *Engine) Names(ctx context.Context, tenant string, names map[string]netip.Addr) error {
	c := Call{Method: "Names"}
	if err := e.before(ctx, c); err != nil {
		return err
	}
	e.mu.Lock()
	e.names[tenant] = maps.Clone(names)
	e.mu.Unlock()
	return e.after(ctx, c, nil)
}

// Lookup tells what a name means to the instances of a tenant.
func (e *Engine) Lookup(tenant, name string) (netip.Addr, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a, ok := e.names[tenant][name]
	return a, ok
}

// Whose implements workload.Engine.
func (e *Engine) Whose(addr netip.Addr) (instance id.ID, tenant string, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, in := range e.instances {
		if in.seen.Address == addr && in.seen.Phase == workload.PhaseRunning {
			return i, in.want.Network.Tenant, true
		}
	}
	return "", "", false
}
