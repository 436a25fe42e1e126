package volume

import (
	"context"
	"encoding/json"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/image"
)

// ExtendIn says how large.
type ExtendIn struct {
	Size int64 `json:"size" doc:"new size" unit:"GiB" required:"true" min:"1" max:"65536" example:"20"`
}

// RetypeIn says what type, and what is wanted of it.
type RetypeIn struct {
	Type       string `json:"type" doc:"new type" required:"true" max:"255" example:"SSD" ref:"volume/volume-type"`
	IOPS       int64  `json:"iops" doc:"operations per second, for types that let one choose" unit:"1/s" min:"0"`
	Throughput int64  `json:"throughput" doc:"throughput, for types that let one choose" unit:"MiB/s" min:"0"`
}

// RevertIn names a snapshot.
type RevertIn struct {
	Snapshot string `json:"snapshot" doc:"a snapshot of this volume" required:"true" max:"255" ref:"volume/snapshot"`
}

// ImageIn describes the image that is made.
type ImageIn struct {
	Name        string `json:"name" doc:"what the image is called" required:"true" max:"255"`
	Description string `json:"description" doc:"what it is" max:"1024"`
}

func (s *Service) actions() []kind.Action[Spec, Status] {
	return []kind.Action[Spec, Status]{
		{Verb: "extend", Doc: "make it larger, also while a server uses it", Level: kind.Write, In: ExtendIn{},
			Change: func(_ context.Context, tx store.Tx, r *Row, in any) (string, error) {
				old := *r
				size := in.(*ExtendIn).Size
				if size <= r.Spec.Size {
					return "", fail.Field("size", "%d GiB is not more than the volume has, %d GiB", size, r.Spec.Size).Then("volumes can only grow")
				}
				r.Spec.Size = size
				return "update", s.checkChange(tx, &old, r)
			}},
		{Verb: "retype", Doc: "give it another type", Level: kind.Write, In: RetypeIn{},
			Change: func(_ context.Context, tx store.Tx, r *Row, in any) (string, error) {
				old, to := *r, in.(*RetypeIn)
				r.Spec.Type, r.Spec.IOPS, r.Spec.Throughput = to.Type, to.IOPS, to.Throughput
				return "update", s.checkChange(tx, &old, r)
			}},
		{Verb: "revert", Doc: "give it the content of one of its snapshots; what was written since is lost", Level: kind.Write, In: RevertIn{},
			Change: func(_ context.Context, tx store.Tx, r *Row, in any) (string, error) {
				snap, err := s.findSnapshot(tx, r.Project, "snapshot", in.(*RevertIn).Snapshot)
				if err != nil {
					return "", err
				}
				if snap.Spec.Volume != string(r.ID) {
					return "", fail.Field("snapshot", "%s is a snapshot of volume %s", snap.Name, snap.Status.VolumeName).Then("make a volume from it instead")
				}
				if snap.Job != "" {
					return "", fail.New(fail.Conflict, "snapshot %s is busy (%s)", snap.Name, snap.State).Then("wait for job %s, then try again", snap.Job)
				}
				if r.Status.Transfer != "" {
					return "", awaiting(r)
				}
				r.Status.Reverted = snap.ID
				return "", nil
			}, Flow: job.Flow[Row]{{Name: "revert", Do: s.revert, Deadline: bigDeadline}}},
		{Verb: "image", Doc: "make an image of what it holds now", Level: kind.Write, In: ImageIn{}, Serve: s.toImage},
	}
}

// toImage creates an image as the caller.
func (s *Service) toImage(ctx context.Context, row *Row, in any, st kind.Stream) error {
	if s.door == nil || s.Images == nil {
		return fail.New(fail.Unsupported, "this cloud keeps no images")
	}
	want := in.(*ImageIn)
	spec := image.Spec{Description: want.Description, Source: image.Source{Volume: string(row.ID)}, OSType: "linux", Architecture: "x86_64", Firmware: "bios"}
	if m := row.Status.Image; m != nil {
		spec.OS, spec.OSVersion, spec.User, spec.MinMemory, spec.Properties = m.OS, m.OSVersion, m.User, m.MinMemory, m.Properties
		spec.OSType, spec.Architecture, spec.Firmware = m.OSType, m.Architecture, m.Firmware
	}
	body, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	r, err := s.door.Do(ctx, &call.Call{Kind: s.Images.Images.D, Verb: call.Create, Name: &want.Name, Spec: body, Domain: string(row.Domain),
		Project: string(row.Project), Principal: ident.From(ctx), Dialect: "native"})
	if err != nil {
		return err
	}
	return st.Emit(r.Row)
}
