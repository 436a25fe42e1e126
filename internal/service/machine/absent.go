package machine

import (
	"context"
	"io"
	"iter"
	"net"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// Absent is the engine of a cloud that runs no machines. Why says what is missing and what to do.
type Absent struct{ Why error }

var _ Engine = Absent{}

func (a Absent) err() error {
	if a.Why != nil {
		return a.Why
	}
	return fail.New(fail.Unsupported, "this cloud runs no virtual machines")
}

func nothing(machine id.ID) error { return fail.New(fail.Gone, "there is no machine %s", machine) }

// Ensure says why not.
func (a Absent) Ensure(_ context.Context, _ id.ID, _ Want) (Seen, error) {
	return Seen{}, a.err()
}

// Observe finds nothing.
func (Absent) Observe(_ context.Context, m id.ID) (Seen, error) { return Seen{}, nothing(m) }

// Stop has nothing to stop.
func (Absent) Stop(context.Context, id.ID, time.Duration) error { return nil }

// Reset finds nothing.
func (Absent) Reset(_ context.Context, m id.ID) error { return nothing(m) }

// Pause finds nothing.
func (Absent) Pause(_ context.Context, m id.ID, _ bool) error { return nothing(m) }

// Destroy has nothing to destroy.
func (Absent) Destroy(context.Context, id.ID) error { return nil }

// List lists nothing.
func (Absent) List(context.Context) iter.Seq2[id.ID, error] { return func(func(id.ID, error) bool) {} }

// Events waits.
func (Absent) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(func(Event, error) bool) { <-ctx.Done() }
}

// Overlay finds nothing.
func (Absent) Overlay(_ context.Context, m, _ id.ID, _ Drive, _ bool) (bool, error) {
	return false, nothing(m)
}

// Resized finds nothing.
func (Absent) Resized(_ context.Context, m, _ id.ID, _ int64) error { return nothing(m) }

// Serial finds nothing.
func (Absent) Serial(_ context.Context, m id.ID) (io.ReadWriteCloser, error) { return nil, nothing(m) }

// VNC finds nothing.
func (Absent) VNC(_ context.Context, m id.ID) (net.Conn, error) { return nil, nothing(m) }

// Log finds nothing.
func (Absent) Log(_ context.Context, m id.ID, _ int64) ([]byte, error) { return nil, nothing(m) }

// SetPassword finds nothing.
func (Absent) SetPassword(_ context.Context, m id.ID, _, _ string) error { return nothing(m) }

// Capacity is none.
func (a Absent) Capacity(context.Context) (Capacity, error) { return Capacity{}, a.err() }

// Capabilities says why not.
func (a Absent) Capabilities(context.Context) Capabilities {
	return Capabilities{Name: "absent", Why: fail.From(a.err()).Public()}
}

// Close does nothing.
func (Absent) Close() error { return nil }
