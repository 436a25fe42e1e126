package qemu

import (
	"context"
	"iter"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

func (e *Engine) tell(i id.ID, at time.Time, kind, detail string) {
	e.events.Send(machine.Event{Machine: i, At: at, Kind: kind, Detail: detail})
}

// Events implements machine.Engine.
func (e *Engine) Events(ctx context.Context) iter.Seq2[machine.Event, error] {
	return e.events.Listen(ctx)
}
