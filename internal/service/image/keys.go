package image

import (
	"crypto/rand"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/disk"
)

// A project's image has a data key of its own, wrapped by the project's key. It lies beside the row and goes with it.
func keyOf(image id.ID) string { return "image/key/" + string(image) }

func about(image id.ID) []byte { return []byte("image key " + string(image)) }

func (s *Service) makeKey(tx store.Tx, row *Row) error {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	sealed, err := s.Sealer.Seal(string(row.Project), key, about(row.ID))
	if err != nil {
		return err
	}
	return tx.Put(keyOf(row.ID), sealed)
}

// Keys gives what opens an image's content: nothing for one of the cloud's, which is not encrypted.
func (s *Service) Keys(tx store.Tx, row *Row) (disk.Keys, error) {
	if row.Kind != s.Images.D.FullName() {
		return nil, nil
	}
	sealed, ok, err := tx.Get(keyOf(row.ID))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fail.New(fail.DataLoss, "the key of image %s is not there", row.ID)
	}
	key, err := s.Sealer.Open(string(row.Project), sealed, about(row.ID))
	if err != nil {
		return nil, err
	}
	return disk.Keys{row.ID: key}, nil
}
