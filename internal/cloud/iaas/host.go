package iaas

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// volumeRetention is how long deleted volumes stay in the trash.
const volumeRetention = 24 * time.Hour

// host gives the services the door, which is made after them.
type host struct{ i *IaaS }

func (h host) door() *call.Door { return h.i.Door() }

func (h host) Unseal(m *kind.Meta, part, path, sealed string) (string, error) {
	return h.door().Unseal(m, part, path, sealed)
}

// Wake makes a kind's loop look at rows now; before the door is there nothing waits.
func (h host) Wake(fullName string, rows ...id.ID) {
	if d := h.door(); d != nil {
		d.Wake(fullName, rows...)
	}
}

func (h host) Do(ctx context.Context, c *call.Call) (call.Reply, error) { return h.door().Do(ctx, c) }

func (h host) Make(ctx context.Context, of *kind.Meta, fullName, key, name string, spec any) (kind.AnyRow, error) {
	return h.door().Make(ctx, of, fullName, key, name, spec)
}

func (h host) Made(ctx context.Context, of *kind.Meta, fullName, key string) (id.ID, error) {
	return h.door().Made(ctx, of, fullName, key)
}

func (h host) Ready(ctx context.Context, fullName string, row id.ID) (kind.AnyRow, error) {
	return h.door().Ready(ctx, fullName, row)
}

func (h host) Unmake(ctx context.Context, fullName string, row id.ID) error {
	return h.door().Unmake(ctx, fullName, row)
}
