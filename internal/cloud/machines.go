package cloud

import (
	"context"
	"errors"

	"github.com/awancloud/awan/internal/engine/machine/qemu"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/machine"
)

// machines makes what servers stand on, on one machine: its own network stack and QEMU. What cannot be had here switches
// off just that, and says what to install.
func (c *Cloud) machines(ctx context.Context, e *Engines) (close func() error) {
	var closers []func() error
	if m, err := qemu.Open(ctx, qemu.Options{Dir: c.path("machines"), Key: c.Key, Logger: c.Log}); err != nil {
		c.Log.Warn("servers cannot run", "why", fail.From(err).Public(), "err", err)
		e.Machine = machine.Absent{Why: err}
	} else {
		e.Machine = m
		closers = append(closers, m.Close)
	}
	return func() error {
		var errs []error
		for _, f := range closers {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}
}
