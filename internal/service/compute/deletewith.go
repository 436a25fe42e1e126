package compute

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// DeleteWith says what goes with a server when it is deleted. What is not given stays as it is.
type DeleteWith struct {
	Volume   string `json:"volume" doc:"one of its volumes, by name or id, that volumes is about; empty: all of them"`
	Volumes  *bool  `json:"volumes" doc:"whether they are deleted with the server"`
	PublicIP *bool  `json:"public_ip" doc:"whether its public addresses are"`
}

func (s *Service) deleteWith(_ context.Context, tx store.Tx, row *serverRow, in any) (string, error) {
	w := in.(*DeleteWith)
	if err := unlocked(row); err != nil {
		return "", err
	}
	if w.PublicIP != nil {
		row.Spec.ReleaseIP = *w.PublicIP
	}
	if w.Volumes == nil {
		return "", nil
	}
	if w.Volume == "" {
		for i := range row.Status.Disks {
			row.Status.Disks[i].Delete = *w.Volumes
		}
		return "", nil
	}
	v, err := s.Volumes.Find(tx, row.Project, w.Volume)
	if err != nil {
		return "", err
	}
	for i := range row.Status.Disks {
		if d := &row.Status.Disks[i]; v != "" && d.Volume == v {
			d.Delete = *w.Volumes
			return "", nil
		}
	}
	return "", fail.Field("volume", "the server has no volume %q", w.Volume).Then("see its disks: awan server get %s", row.ID)
}
