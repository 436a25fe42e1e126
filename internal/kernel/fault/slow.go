package fault

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Slow is a hook of a simulated engine that lets time pass before each call of type C.
func Slow[C any](d time.Duration) func(context.Context, C) error {
	return func(ctx context.Context, _ C) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return fail.From(ctx.Err())
		}
	}
}
