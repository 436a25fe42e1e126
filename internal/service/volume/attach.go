package volume

import (
	"cmp"
	"context"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/disk"
	"github.com/awancloud/awan/internal/service/machine"
)

// Find reads a volume of a project by id, or by a name that only one has.
func (s *Service) Find(tx store.Tx, project id.ID, idOrName string) (*Row, error) {
	return s.findVolume(tx, project, "volume", idOrName)
}

func (s *Service) findVolume(tx store.Tx, project id.ID, field, idOrName string) (*Row, error) {
	row, err := s.Volumes.Find(tx, string(project), idOrName)
	if err != nil {
		return nil, err
	}
	if row == nil {
		named, err := s.Volumes.List(tx, string(project), kind.Filter{Index: "name", Value: idOrName, Limit: 2})
		if err != nil {
			return nil, err
		}
		if len(named) > 1 {
			return nil, fail.Field(field, "several volumes are called %q", idOrName).Then("give the id of the one that is meant: awan volume list")
		}
		if len(named) == 1 {
			row = named[0]
		}
	}
	if row == nil || row.State == kind.Trashed || row.State == kind.Deleting {
		return nil, fail.Field(field, "there is no volume %q", idOrName).Then("see awan volume list")
	}
	return row, nil
}

// Of lists the volumes that a server of the project has, in the order of their devices.
func (s *Service) Of(tx store.Tx, project, server id.ID) ([]*Row, error) {
	rows, err := s.Volumes.List(tx, string(project), kind.Filter{Index: "server", Value: string(server)})
	slices.SortStableFunc(rows, func(a, b *Row) int {
		x, y := deviceOn(a, server), deviceOn(b, server)
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)) // vdz before vdaa
	})
	return rows, err
}

// Attached says in the caller's transaction that a server of the project has the volume as device ("vdb"). It refuses
// what another server has, what is not there, what is busy or offered to another project. Saying it again changes nothing.
func (s *Service) Attached(tx store.Tx, project, volume, server id.ID, device string) error {
	row, err := s.Volumes.Get(tx, volume)
	if err != nil {
		return err
	}
	if row == nil || row.Project != project || row.State == kind.Trashed || row.State == kind.Deleting {
		return fail.New(fail.NotFound, "there is no volume %q", volume).Then("see awan volume list")
	}
	if len(row.Status.Attachments) > 0 {
		switch a := &row.Status.Attachments[0]; {
		case a.Server == server && a.Device == device:
			return nil
		case a.Server == server:
			a.Device = device
			return s.put(tx, row)
		}
		a := row.Status.Attachments[0]
		return fail.New(fail.Precondition, "volume %s is attached to server %s", row.Name, a.Server).Then("detach it there first; a volume has one server at a time")
	}
	switch {
	case !row.Made:
		return fail.New(fail.Precondition, "volume %s is not there yet", row.Name).Then("wait until it is")
	case row.Job != "":
		return fail.New(fail.Conflict, "volume %s is busy (%s)", row.Name, row.State).Then("wait for job %s, then try again", row.Job)
	case row.Status.Transfer != "":
		return awaiting(row)
	}
	row.Status.Attachments = append(row.Status.Attachments, Attachment{Server: server, Device: device, At: s.Now().UTC()})
	return s.put(tx, row)
}

// Detached says in the caller's transaction that the server does not have the volume any more. It has it open no longer.
func (s *Service) Detached(tx store.Tx, volume, server id.ID) error {
	row, err := s.Volumes.Get(tx, volume)
	if err != nil || row == nil {
		return err
	}
	n := len(row.Status.Attachments)
	row.Status.Attachments = slices.DeleteFunc(row.Status.Attachments, func(a Attachment) bool { return a.Server == server })
	if len(row.Status.Attachments) == n {
		return nil
	}
	return s.put(tx, row)
}

// Drive says what a machine opens for a volume, with the limits of its type. The caller holds the volume (Hold) until the
// machine has it open.
func (s *Service) Drive(ctx context.Context, volume id.ID) (machine.Disk, error) {
	var row *Row
	var keys disk.Keys
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		if row, err = s.Volumes.Get(tx, volume); err != nil {
			return err
		}
		if row == nil || !row.Made {
			return fail.New(fail.NotFound, "there is no volume %q", volume)
		}
		keys, err = s.keys(tx, row.Project, row.ID)
		return err
	})
	if err != nil {
		return machine.Disk{}, err
	}
	drive, err := s.Engine.Attach(ctx, volume, keys)
	if err != nil {
		return machine.Disk{}, err
	}
	d := machine.Disk{ID: volume, Serial: volume.Dashed()[:20], Drive: drive, IOPS: row.Status.IOPS, Bytes: row.Status.Throughput * mib, SCSI: row.Spec.SCSI}
	if len(row.Status.Attachments) > 0 {
		d.Device = row.Status.Attachments[0].Device
	}
	return d, nil
}

func deviceOn(r *Row, server id.ID) string {
	for _, a := range r.Status.Attachments {
		if a.Server == server {
			return a.Device
		}
	}
	return ""
}

// put stores a changed row with what it is metered for.
func (s *Service) put(tx store.Tx, row *Row) error {
	row.Updated = s.Now().UTC()
	if err := s.Volumes.Put(tx, row); err != nil {
		return err
	}
	return s.meter(tx, row)
}

func (s *Service) meter(tx store.Tx, row *Row) error {
	for dim, amount := range s.Volumes.D.MeterOf(row) {
		m := ledger.Sample{Project: row.Project, Kind: row.Kind, Row: row.ID, Name: row.Name, Dim: dim, Amount: amount}
		if err := ledger.Meter(tx, m, s.Now().UTC()); err != nil {
			return err
		}
	}
	return nil
}
