package volume

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/disk"
)

func (s *Service) describeSnapshots() {
	s.Snapshots = kind.TableOf[SnapshotSpec, SnapshotStatus](kind.Kind[SnapshotSpec, SnapshotStatus]{
		Service: "volume", Name: "snapshot", Scope: kind.InProject, AnyName: true,
		Doc:     "What a volume held at a moment. It takes only what changed since, and the volume can be brought back to it.",
		Columns: []string{"status.volume_name", "status.size", "status.consistent", "status.taken"},
		Example: SnapshotSpec{Volume: "data"},
		Index: map[string]func(*Snapshot) []string{
			"name":   func(r *Snapshot) []string { return []string{r.Name} },
			"volume": func(r *Snapshot) []string { return []string{r.Spec.Volume} },
		},
		Quota:  map[ledger.Dim]func(SnapshotSpec) int64{"volume.snapshots": func(SnapshotSpec) int64 { return 1 }},
		Meter:  map[ledger.Dim]func(SnapshotSpec, SnapshotStatus) int64{"volume.snapshot": func(_ SnapshotSpec, t SnapshotStatus) int64 { return t.Size }},
		Check:  s.checkSnapshot,
		Create: job.Flow[Snapshot]{{Name: "snapshot", Do: s.takeSnapshot, Undo: s.dropSnapshot}},
		Delete: job.Flow[Snapshot]{{Name: "remove", Do: s.dropSnapshot}},
		CheckDelete: func(_ context.Context, tx store.Tx, row *Snapshot) error {
			v, err := s.Volumes.Get(tx, id.ID(row.Spec.Volume))
			if err == nil && v != nil && v.Job != "" {
				err = fail.New(fail.Conflict, "volume %s is busy (%s)", v.Name, v.State).Then("wait for job %s, then try again", v.Job)
			}
			return err
		}}.Def())
}

func (s *Service) checkSnapshot(_ context.Context, tx store.Tx, old, row *Snapshot) error {
	if old != nil {
		return nil
	}
	row.Status = SnapshotStatus{}
	v, err := s.findVolume(tx, row.Project, "spec.volume", row.Spec.Volume)
	if err != nil {
		return err
	}
	switch {
	case !v.Made:
		return fail.Field("spec.volume", "volume %s is not there yet", v.Name).Then("wait until it is")
	case v.Job != "":
		return fail.New(fail.Conflict, "volume %s is busy (%s)", v.Name, v.State).Then("wait for job %s, then try again", v.Job)
	case v.Status.Transfer != "":
		return awaiting(v)
	}
	row.Spec.Volume = string(v.ID)
	row.Status.Size, row.Status.VolumeName = v.Spec.Size, v.Name
	return nil
}

func (s *Service) takeSnapshot(ctx context.Context, row *Snapshot) error {
	seen, consistent, err := s.freeze(ctx, id.ID(row.Spec.Volume), row.ID)
	if err != nil {
		return err
	}
	t := &row.Status
	t.Taken, t.Consistent, t.Allocated = seen.Created.UTC(), consistent, seen.Allocated
	t.Size = max(t.Size, gib(seen.Bytes))
	return nil
}

func (s *Service) dropSnapshot(ctx context.Context, row *Snapshot) error {
	if s.Engine == nil {
		return nil
	}
	return s.thaw(ctx, row.Project, id.ID(row.Spec.Volume), row.ID)
}

func (s *Service) findSnapshot(tx store.Tx, project id.ID, field, idOrName string) (*Snapshot, error) {
	row, err := s.Snapshots.Find(tx, string(project), idOrName)
	if err != nil {
		return nil, err
	}
	if row == nil {
		named, err := s.Snapshots.List(tx, string(project), kind.Filter{Index: "name", Value: idOrName, Limit: 2})
		if err != nil {
			return nil, err
		}
		if len(named) > 1 {
			return nil, fail.Field(field, "several snapshots are called %q", idOrName).Then("give the id of the one that is meant: awan snapshot list")
		}
		if len(named) == 1 {
			row = named[0]
		}
	}
	if row == nil || row.State == kind.Deleting {
		return nil, fail.Field(field, "there is no snapshot %q", idOrName).Then("see awan snapshot list")
	}
	if !row.Made {
		return nil, fail.Field(field, "snapshot %s is not there yet", row.Name).Then("wait until it is")
	}
	return row, nil
}

// revert gives a volume the content of a snapshot of its own.
func (s *Service) revert(ctx context.Context, row *Row) error {
	keys, err := s.keysNow(ctx, row)
	if err != nil {
		return err
	}
	defer s.Hold(row.ID)()
	server, err := s.runsOn(ctx, row)
	if err != nil {
		return err
	}
	if server != "" {
		return fail.New(fail.Precondition, "server %s runs on volume %s", server, row.Name).Then("stop it first")
	}
	if err := s.Engine.Revert(ctx, row.ID, row.Status.Reverted, keys); err != nil {
		return err
	}
	_, err = s.Engine.Ensure(ctx, row.ID, disk.Want{Bytes: row.Spec.Size * GiB, Keys: keys}) // it may have grown since
	return err
}
