package volume

import (
	"context"
	"fmt"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/disk"
	"github.com/awancloud/awan/internal/service/machine"
)

func (s *Service) awaitImage(ctx context.Context, row *Row) error {
	if row.Spec.Source.Image == "" {
		return nil
	}
	img := id.ID(row.Spec.Source.Image)
	if err := s.Images.Ready(ctx, img); err != nil {
		return err
	}
	return s.Store.View(ctx, func(tx store.Tx) error {
		asked, err := s.Images.Get(tx, img)
		if err != nil || asked == nil {
			return err
		}
		_, _, made, err := s.Images.Content(tx, asked)
		if err != nil {
			return err
		}
		if need := gib(made.Status.Bytes); need > row.Spec.Size {
			return fail.Field("spec.size", "%d GiB is too small for image %s, which needs %d GiB", row.Spec.Size, asked.Name, need)
		}
		row.Status.Image = metaOf(asked)
		row.Status.Image.Format, row.Status.Image.Bytes, row.Status.Image.SHA256 = made.Status.Format, made.Status.Size, made.Status.SHA256
		return nil
	})
}

// fromElsewhere tells that a volume's content is not another volume's.
func fromElsewhere(row *Row) bool { return row.Spec.Source.Volume == "" }

// freezeSource keeps the content that another volume has now, under this volume's id.
func (s *Service) freezeSource(ctx context.Context, row *Row) error {
	if fromElsewhere(row) {
		return nil
	}
	_, _, err := s.freeze(ctx, id.ID(row.Spec.Source.Volume), row.ID)
	return err
}

func (s *Service) letSourceGo(ctx context.Context, row *Row) error {
	if fromElsewhere(row) {
		return nil
	}
	return s.thaw(ctx, row.Project, id.ID(row.Spec.Source.Volume), row.ID)
}

func (s *Service) ensure(ctx context.Context, row *Row) error {
	var from disk.Source
	var keys disk.Keys
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		if from, _, err = s.source(tx, row); err != nil {
			return err
		}
		keys, err = s.keys(tx, row.Project, row.ID)
		return err
	})
	if err != nil {
		return err
	}
	defer s.Hold(row.ID)()
	seen, err := s.Engine.Ensure(ctx, row.ID, disk.Want{Bytes: row.Spec.Size * GiB, From: from, Keys: keys})
	row.Status.Allocated = seen.Allocated
	return err
}

func (s *Service) destroy(ctx context.Context, row *Row) error {
	if s.Engine == nil {
		return nil
	}
	defer s.Hold(row.ID)()
	return s.Engine.Destroy(ctx, row.ID)
}

// grow makes the disk as large as the row says; a server that has it open does it and sees it.
func (s *Service) grow(ctx context.Context, row *Row) error {
	keys, err := s.keysNow(ctx, row)
	if err != nil {
		return err
	}
	defer s.Hold(row.ID)()
	server, err := s.runsOn(ctx, row)
	if err != nil {
		return err
	}
	bytes := row.Spec.Size * GiB
	want := disk.Want{Bytes: bytes, Keys: keys}
	if server != "" {
		want.Live = func() error { return s.Machines.Resized(ctx, server, row.ID, bytes) }
	}
	seen, err := s.Engine.Ensure(ctx, row.ID, want)
	if err == nil {
		row.Status.Allocated = seen.Allocated
	}
	return err
}

// refit gives the server that has the volume its new limits.
func (s *Service) refit(ctx context.Context, row *Row) error {
	server, err := s.runsOn(ctx, row)
	if err != nil || server == "" || s.Refit == nil {
		return err
	}
	return s.Refit(ctx, server, row.ID)
}

func (s *Service) keysNow(ctx context.Context, row *Row) (keys disk.Keys, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) (err error) {
		keys, err = s.keys(tx, row.Project, row.ID)
		return err
	})
	return keys, err
}

// runsOn gives the server whose machine has the volume open now; "" when none has.
func (s *Service) runsOn(ctx context.Context, row *Row) (id.ID, error) {
	if s.Machines == nil {
		return "", nil
	}
	for _, a := range row.Status.Attachments {
		seen, err := s.Machines.Observe(ctx, a.Server)
		if fail.Is(err, fail.Gone) {
			continue
		}
		if err != nil {
			return "", err
		}
		if _, has := seen.Disks[row.ID]; has && (seen.Phase == machine.PhaseRunning || seen.Phase == machine.PhasePaused) {
			return a.Server, nil
		}
	}
	return "", nil
}

// freeze keeps what a volume holds now as an engine's snapshot, also while a server writes to it. consistent says that
// file systems inside were frozen for the moment, or nobody wrote.
func (s *Service) freeze(ctx context.Context, volume, snapshot id.ID) (seen disk.Seen, consistent bool, err error) {
	defer s.Hold(volume)()
	var row *Row
	var keys disk.Keys
	err = s.Store.View(ctx, func(tx store.Tx) (err error) {
		if row, err = s.Volumes.Get(tx, volume); err != nil {
			return err
		}
		if row == nil || !row.Made {
			return fail.New(fail.NotFound, "the volume was deleted meanwhile")
		}
		keys, err = s.keys(tx, row.Project, row.ID)
		return err
	})
	if err != nil {
		return seen, false, err
	}
	server, err := s.runsOn(ctx, row)
	if err != nil {
		return seen, false, err
	}
	consistent = server == ""
	var live func(machine.Drive) error
	if server != "" {
		job.Note(ctx, fmt.Sprintf("server %s goes on in a new layer", server))
		live = func(top machine.Drive) (err error) {
			consistent, err = s.Machines.Overlay(ctx, server, volume, top, true)
			return err
		}
	}
	seen, err = s.Engine.Snapshot(ctx, snapshot, volume, keys, live)
	return seen, consistent, err
}

// thaw gives back what freeze kept of a volume, which may be gone.
func (s *Service) thaw(ctx context.Context, project, volume, snapshot id.ID) error {
	defer s.Hold(volume)()
	var keys disk.Keys
	err := s.Store.View(ctx, func(tx store.Tx) error {
		row, err := s.Volumes.Get(tx, volume)
		if err == nil && row != nil && row.Project == project {
			keys, err = s.keys(tx, project, volume)
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.Engine.DestroySnapshot(ctx, snapshot, keys)
}

// observe keeps in the row what the volume takes.
func (s *Service) observe(ctx context.Context, row *Row) (changed bool, err error) {
	if s.Engine == nil {
		return false, nil
	}
	was := row.Status
	seen, err := s.Engine.Observe(ctx, row.ID)
	switch {
	case fail.Is(err, fail.Gone):
		row.Status.Note = "its disk is not there any more: restore it from a backup"
	case err != nil:
		return false, err
	default:
		row.Status.Allocated, row.Status.Note = seen.Allocated, ""
	}
	return was.Allocated != row.Status.Allocated || was.Note != row.Status.Note, nil
}
