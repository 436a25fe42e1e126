package compute

import (
	"context"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// AttachVolume is the input of attaching a volume.
type AttachVolume struct {
	Volume string `json:"volume" doc:"volume to attach, by name or id" required:"true" ref:"volume/volume"`
	Device string `json:"device" doc:"vdb, vdc, …; empty: the next that is free" pattern:"^(/dev/)?([sv]d[b-z])?$"`
	Delete bool   `json:"delete" doc:"it is deleted with the server"`
}

// DetachVolume is the input of detaching a volume.
type DetachVolume struct {
	Volume string `json:"volume" doc:"volume to detach, by name or id, or its device" required:"true"`
}

// AttachInterface is the input of attaching a network card.
type AttachInterface struct{ Card }

// DetachInterface is the input of detaching a network card.
type DetachInterface struct {
	Port string `json:"port" doc:"port, address or hardware address of the card" required:"true"`
}

func (s *Service) attachVolume(_ context.Context, tx store.Tx, row *serverRow, in any) (string, error) {
	a := in.(*AttachVolume)
	if err := unlocked(row); err != nil {
		return "", err
	}
	v, err := s.Volumes.Find(tx, row.Project, a.Volume)
	if err != nil {
		return "", err
	}
	if v == "" {
		return "", fail.Field("volume", "there is no volume %q", a.Volume).Then("choose one from awan volume list")
	}
	for _, d := range row.Status.Disks {
		if d.Volume == v && !d.Phase.leaves() {
			return "", fail.Field("volume", "the server has it already, at %s", d.Device)
		}
	}
	d, err := s.addDisk(row, Volume{Volume: string(v), Device: a.Device, Delete: a.Delete}, "a"+string(id.New()), "device")
	if err != nil {
		return "", err
	}
	d.Volume, d.Own = v, false
	if d.Size, err = s.Volumes.Size(tx, v); err != nil {
		return "", err
	}
	return "update", s.Volumes.Attached(tx, v, &row.Meta, d.Device, false)
}

func (s *Service) detachVolume(_ context.Context, tx store.Tx, row *serverRow, in any) (string, error) {
	said := in.(*DetachVolume).Volume
	if err := unlocked(row); err != nil {
		return "", err
	}
	v, err := s.Volumes.Find(tx, row.Project, said)
	if err != nil {
		return "", err
	}
	for i := range row.Status.Disks {
		d := &row.Status.Disks[i]
		if d.Volume != v && d.Device != said && "/dev/"+d.Device != said {
			continue
		}
		if d.Boot && !row.Spec.Stopped {
			return "", fail.New(fail.Precondition, "the server runs from this volume").Then("stop the server first")
		}
		d.Phase = Detaching
		return "update", nil
	}
	return "", fail.Field("volume", "the server has no volume %q", said).Then("see its disks: awan server get %s", row.ID)
}

func (s *Service) attachInterface(_ context.Context, tx store.Tx, row *serverRow, in any) (string, error) {
	c := in.(*AttachInterface).Card
	if err := unlocked(row); err != nil {
		return "", err
	}
	if len(row.Status.Cards) >= 12 {
		return "", fail.New(fail.Quota, "server %s has all the network cards it can have", row.Name).Then("detach one first")
	}
	n := NIC{Key: "a" + string(id.New()), Want: c, Own: c.Port == "", Phase: Attaching}
	if !n.Own {
		port, err := s.Networks.Find(tx, row.Project, c.Port)
		if err != nil {
			return "", err
		}
		if port == "" {
			return "", fail.Field("port", "there is no port %q", c.Port).Then("choose one from awan port list")
		}
		if err := s.Networks.Attached(tx, port, &row.Meta); err != nil {
			return "", err
		}
		n.Port = port
	}
	row.Status.Cards = append(row.Status.Cards, n)
	return "update", nil
}

func (s *Service) detachInterface(_ context.Context, tx store.Tx, row *serverRow, in any) (string, error) {
	said := in.(*DetachInterface).Port
	if err := unlocked(row); err != nil {
		return "", err
	}
	port, err := s.Networks.Find(tx, row.Project, said)
	if err != nil && !fail.Is(err, fail.Conflict) {
		return "", err
	}
	for i := range row.Status.Cards {
		n := &row.Status.Cards[i]
		if port != "" && n.Port == port || n.MAC == said || slices.Contains(n.Addresses, said) {
			n.Phase = Detaching
			return "update", nil
		}
	}
	return "", fail.Field("port", "the server has no network card %q", said).Then("see its cards: awan server get %s", row.ID)
}

// withoutNew takes back the devices that an update could not attach.
func (s *Service) withoutNew(ctx context.Context, row *serverRow) error {
	for i := range row.Status.Cards {
		switch n := &row.Status.Cards[i]; n.Phase {
		case Attaching:
			n.Phase = Withdrawn
		case Detaching: // it is still in the machine
			n.Phase = Attached
		}
	}
	for i := range row.Status.Disks {
		switch d := &row.Status.Disks[i]; d.Phase {
		case Attaching:
			d.Phase = Withdrawn
		case Detaching:
			d.Phase = Attached
		}
	}
	if err := s.unplugLeft(ctx, row); err != nil {
		return err
	}
	if _, err := s.Store.Update(ctx, func(tx store.Tx) error { return s.releaseLeft(ctx, tx, row) }); err != nil {
		return err
	}
	return s.removeLeft(ctx, row)
}

// unplugLeft takes the ports of cards that left off the network.
func (s *Service) unplugLeft(ctx context.Context, row *serverRow) error {
	for _, n := range row.Status.Cards {
		if n.Phase.leaves() && n.Port != "" {
			if err := s.Networks.Unplug(ctx, n.Port); err != nil {
				return err
			}
		}
	}
	return nil
}

// releaseLeft lets go of the ports and volumes that left, and claims those that came with a port of their own.
func (s *Service) releaseLeft(_ context.Context, tx store.Tx, row *serverRow) error {
	for _, n := range row.Status.Cards {
		var err error
		switch {
		case n.Port == "":
		case n.Phase.leaves():
			err = s.Networks.Detached(tx, n.Port, row.ID)
		default:
			if err = s.Networks.Attached(tx, n.Port, &row.Meta); err == nil {
				err = s.limit(tx, row, n.Port)
			}
		}
		if err != nil {
			return err
		}
	}
	for _, d := range row.Status.Disks {
		if d.Phase.leaves() && d.Volume != "" {
			if err := s.Volumes.Detached(tx, d.Volume, row.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeLeft deletes the ports that were made for cards that left, and forgets what left.
func (s *Service) removeLeft(ctx context.Context, row *serverRow) error {
	for _, n := range row.Status.Cards {
		if n.Phase.leaves() && n.Own {
			if err := s.childless(ctx, row, portKind, n.Key, n.Port); err != nil {
				return err
			}
		}
	}
	row.Status.Cards = slices.DeleteFunc(row.Status.Cards, func(n NIC) bool { return n.Phase.leaves() })
	row.Status.Disks = slices.DeleteFunc(row.Status.Disks, func(d Disk) bool { return d.Phase.leaves() })
	if r := row.Status.Rebuild; r != nil {
		if r.Old != "" {
			if err := s.Host.Unmake(ctx, volumeKind, r.Old); err != nil {
				return err
			}
		}
		row.Status.Rebuild = nil
	}
	if r := row.Status.Resize; r != nil && !r.Confirm {
		row.Status.Resize = nil
	}
	return nil
}
