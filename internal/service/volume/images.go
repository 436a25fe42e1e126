package volume

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/disk"
	"github.com/awancloud/awan/internal/service/image"
)

// Take freezes the content of a volume or a snapshot for an image, under the image's id: what service/image asks for.
func (s *Service) Take(ctx context.Context, project id.ID, from image.Source, img id.ID) (image.Taken, error) {
	out := image.Taken{}
	var volume *Row
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		if from.Snapshot != "" {
			snap, err := s.findSnapshot(tx, project, "spec.source.snapshot", from.Snapshot)
			if err != nil {
				return err
			}
			out.From, out.Bytes, out.Consistent = disk.Source{Snapshot: snap.ID}, snap.Status.Size*GiB, snap.Status.Consistent
			out.Keys, err = s.keys(tx, project, id.ID(snap.Spec.Volume))
			return err
		}
		if volume, err = s.findVolume(tx, project, "spec.source.volume", from.Volume); err != nil {
			return err
		}
		if !volume.Made {
			return fail.Field("spec.source.volume", "volume %s is not there yet", volume.Name).Then("wait until it is")
		}
		out.Keys, err = s.keys(tx, project, volume.ID)
		return err
	})
	if err != nil || volume == nil {
		return out, err
	}
	seen, consistent, err := s.freeze(ctx, volume.ID, img)
	if err != nil {
		return out, err
	}
	out.From, out.Bytes, out.Consistent = disk.Source{Snapshot: img}, seen.Bytes, consistent
	if len(volume.Status.Attachments) > 0 {
		out.Server = volume.Status.Attachments[0].Server
	}
	return out, nil
}

// Release gives back what Take froze.
func (s *Service) Release(ctx context.Context, project id.ID, from image.Source, img id.ID) error {
	var volume id.ID
	err := s.Store.View(ctx, func(tx store.Tx) error {
		row, err := s.findVolume(tx, project, "", from.Volume)
		if fail.Is(err, fail.Invalid) {
			return nil // gone by now
		}
		if err == nil {
			volume = row.ID
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.thaw(ctx, project, volume, img)
}
