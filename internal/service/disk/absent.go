package disk

import (
	"context"
	"io"
	"iter"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// Absent is the engine where there is none: it says why to whoever wants a disk, and there is nothing in it.
type Absent struct{ Why error }

var _ Engine = Absent{}

func (a Absent) err() error {
	if a.Why != nil {
		return a.Why
	}
	return fail.New(fail.Unsupported, "this cloud keeps no disks")
}

func none(func(id.ID, error) bool) {}

// Ensure says why not.
func (a Absent) Ensure(context.Context, id.ID, Want) (Seen, error) { return Seen{}, a.err() }

// Observe finds nothing.
func (a Absent) Observe(_ context.Context, disk id.ID) (Seen, error) {
	return Seen{}, fail.New(fail.Gone, "there is no disk %s", disk)
}

// Destroy has nothing to do.
func (a Absent) Destroy(context.Context, id.ID) error { return nil }

// List is empty.
func (a Absent) List(context.Context) iter.Seq2[id.ID, error] { return none }

// Attach says why not.
func (a Absent) Attach(context.Context, id.ID, Keys) (machine.Drive, error) {
	return machine.Drive{}, a.err()
}

// Snapshot says why not.
func (a Absent) Snapshot(context.Context, id.ID, id.ID, Keys, func(machine.Drive) error) (Seen, error) {
	return Seen{}, a.err()
}

// Revert says why not.
func (a Absent) Revert(context.Context, id.ID, id.ID, Keys) error { return a.err() }

// ObserveSnapshot finds nothing.
func (a Absent) ObserveSnapshot(_ context.Context, snapshot id.ID) (Seen, error) {
	return Seen{}, fail.New(fail.Gone, "there is no snapshot %s", snapshot)
}

// DestroySnapshot has nothing to do.
func (a Absent) DestroySnapshot(context.Context, id.ID, Keys) error { return nil }

// Snapshots is empty.
func (a Absent) Snapshots(context.Context) iter.Seq2[id.ID, error] { return none }

// Import says why not.
func (a Absent) Import(context.Context, id.ID, io.Reader, Import) (SeenImage, error) {
	return SeenImage{}, a.err()
}

// Capture says why not.
func (a Absent) Capture(context.Context, id.ID, Source, Keys) (SeenImage, error) {
	return SeenImage{}, a.err()
}

// Export says why not.
func (a Absent) Export(context.Context, id.ID, string, Keys, func(int64), io.Writer) error {
	return a.err()
}

// ObserveImage finds nothing.
func (a Absent) ObserveImage(_ context.Context, image id.ID) (SeenImage, error) {
	return SeenImage{}, fail.New(fail.Gone, "there is no image %s", image)
}

// DestroyImage has nothing to do.
func (a Absent) DestroyImage(context.Context, id.ID) error { return nil }

// Images is empty.
func (a Absent) Images(context.Context) iter.Seq2[id.ID, error] { return none }

// Capacity is none.
func (a Absent) Capacity(context.Context) (Capacity, error) { return Capacity{}, nil }

// Capabilities name what is missing.
func (a Absent) Capabilities(context.Context) Capabilities {
	return Capabilities{Name: "none", Missing: map[string]string{"disks": fail.From(a.err()).Public()}}
}

// Close has nothing to do.
func (a Absent) Close() error { return nil }
