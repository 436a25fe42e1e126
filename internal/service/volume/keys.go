package volume

import (
	"crypto/rand"
	"encoding/json"
	"maps"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/disk"
)

// A volume's keys lie beside its row, wrapped by its project's key, and go with it: then nobody reads it any more, whatever
// is left of its bytes. They are its own key and those of what it was made from, which it stands on though that may be
// deleted.
func keysOf(volume id.ID) string { return "volume/keys/" + string(volume) }

func about(volume id.ID) []byte { return []byte("volume keys " + string(volume)) }

func (s *Service) putKeys(tx store.Tx, project, volume id.ID, keys disk.Keys) error {
	plain, err := json.Marshal(keys)
	if err != nil {
		return err
	}
	sealed, err := s.Sealer.Seal(string(project), plain, about(volume))
	if err != nil {
		return err
	}
	return tx.Put(keysOf(volume), sealed)
}

// keys opens the keys of a volume.
func (s *Service) keys(tx store.Tx, project, volume id.ID) (disk.Keys, error) {
	sealed, ok, err := tx.Get(keysOf(volume))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fail.New(fail.DataLoss, "the keys of volume %s are not there", volume)
	}
	plain, err := s.Sealer.Open(string(project), sealed, about(volume))
	if err != nil {
		return nil, err
	}
	keys := disk.Keys{}
	return keys, json.Unmarshal(plain, &keys)
}

// makeKeys gives a new volume its keys.
func (s *Service) makeKeys(tx store.Tx, row *Row) error {
	keys := disk.Keys{}
	_, from, err := s.source(tx, row)
	if err != nil {
		return err
	}
	maps.Copy(keys, from)
	if row.Spec.Encrypted {
		key := make([]byte, 32)
		_, _ = rand.Read(key)
		keys[row.ID] = key
	}
	return s.putKeys(tx, row.Project, row.ID, keys)
}

// source says what a volume is made from, with the keys of that.
func (s *Service) source(tx store.Tx, row *Row) (disk.Source, disk.Keys, error) {
	switch src := row.Spec.Source; {
	case src.Image != "":
		img, err := s.Images.Get(tx, id.ID(src.Image))
		if err != nil {
			return disk.Source{}, nil, err
		}
		if img == nil {
			return disk.Source{}, nil, fail.Field("spec.source.image", "the image was deleted meanwhile")
		}
		from, keys, _, err := s.Images.Content(tx, img)
		return from, keys, err
	case src.Snapshot != "":
		snap, err := s.Snapshots.Get(tx, id.ID(src.Snapshot))
		if err != nil {
			return disk.Source{}, nil, err
		}
		if snap == nil {
			return disk.Source{}, nil, fail.Field("spec.source.snapshot", "the snapshot was deleted meanwhile")
		}
		keys, err := s.keys(tx, snap.Project, id.ID(snap.Spec.Volume))
		return disk.Source{Snapshot: snap.ID}, keys, err
	case src.Volume != "":
		keys, err := s.keys(tx, row.Project, id.ID(src.Volume))
		return disk.Source{Snapshot: row.ID}, keys, err // frozen for this volume, under its id
	}
	return disk.Source{}, nil, nil
}
