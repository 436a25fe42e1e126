package sim

import (
	"context"
	"iter"

	"github.com/awancloud/awan/internal/service/machine"
)

// Events implements machine.Engine.
func (e *Engine) Events(ctx context.Context) iter.Seq2[machine.Event, error] {
	return e.events.Listen(ctx)
}
