package sim

import (
	"context"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// disk finds a disk of a machine.
func (g *guest) disk(i id.ID) (*machine.Disk, error) {
	k := slices.IndexFunc(g.want.Disks, func(d machine.Disk) bool { return d.ID == i })
	if k < 0 {
		return nil, fail.New(fail.NotFound, "the machine has no disk %s", i)
	}
	return &g.want.Disks[k], nil
}

// Overlay implements machine.Engine.
func (e *Engine) Overlay(ctx context.Context, i, disk id.ID, layer machine.Drive, quiesce bool) (consistent bool, err error) {
	c := Call{Method: "Overlay", Machine: i, Disk: disk}
	err = e.withRunning(ctx, c, func(g *guest) error {
		d, err := g.disk(disk)
		if err != nil {
			return err
		}
		if len(layer.Backing) == 0 || layer.Backing[0] != d.Drive.Path && layer.Path != d.Drive.Path {
			return fail.New(fail.Precondition, "the new layer does not stand on what the machine writes")
		}
		d.Drive = layer
		consistent = quiesce && g.seen.Phase == machine.PhaseRunning && e.o.Agent(g.want)
		return nil
	})
	return consistent, e.after(ctx, c, err)
}

// Resized implements machine.Engine.
func (e *Engine) Resized(ctx context.Context, i, disk id.ID, bytes int64) error {
	c := Call{Method: "Resized", Machine: i, Disk: disk}
	err := e.withRunning(ctx, c, func(g *guest) error {
		if _, err := g.disk(disk); err != nil {
			return err
		}
		if bytes < g.sizes[disk] {
			return fail.New(fail.Precondition, "a disk never shrinks")
		}
		g.sizes[disk] = bytes
		return nil
	})
	return e.after(ctx, c, err)
}

// SetPassword implements machine.Engine.
func (e *Engine) SetPassword(ctx context.Context, i id.ID, user, password string) error {
	c := Call{Method: "SetPassword", Machine: i}
	err := e.withRunning(ctx, c, func(g *guest) error {
		if g.seen.Phase == machine.PhasePaused || !e.o.Agent(g.want) {
			return fail.New(fail.Unavailable, "no agent answers inside the machine").Then("install qemu-guest-agent in it, or wait until it is up")
		}
		g.passwords[user] = password
		return nil
	})
	return e.after(ctx, c, err)
}
