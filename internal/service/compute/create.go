package compute

import (
	"context"
	"fmt"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Kinds of rows that a server is made of.
const (
	portKind   = "network/port"
	publicKind = "network/public-ip"
	volumeKind = "volume/volume"
)

// readyImage waits until the image can be stood on.
func (s *Service) readyImage(ctx context.Context, row *serverRow) error {
	if row.Status.Image == "" {
		return nil
	}
	err := s.Images.Ready(ctx, row.Status.Image)
	if fail.Is(err, fail.Conflict) { // somebody makes it: the server comes after it
		return job.Nap(2*time.Second, fail.From(err).Message)
	}
	return err
}

// makePorts makes a port for each card that has none.
func (s *Service) makePorts(ctx context.Context, row *serverRow) error {
	for i := range row.Status.Cards {
		n := &row.Status.Cards[i]
		if !n.Own {
			if n.Port != "" {
				continue
			}
			err := s.Store.View(ctx, func(tx store.Tx) (err error) {
				n.Port, err = s.Networks.Find(tx, row.Project, n.Want.Port)
				return err
			})
			if err != nil {
				return err
			}
			if n.Port == "" {
				return fail.Field(fmt.Sprintf("spec.networks[%d].port", i), "there is no port %q", n.Want.Port).Then("choose one from awan port list")
			}
			continue
		}
		groups := n.Want.Groups
		if len(groups) == 0 {
			groups = row.Spec.Groups
		}
		err := s.child(ctx, row, portKind, n.Key, "", &n.Port, func() any { return s.Networks.PortSpec(&row.Meta, row.Status.Hostname, n.Want, groups) })
		if err != nil {
			return err
		}
	}
	return nil
}

// child makes a row that the server needs, unless its id is written down already, and waits until it is ready.
func (s *Service) child(ctx context.Context, row *serverRow, fullName, key, name string, at *id.ID, spec func() any) error {
	if *at != "" {
		_, err := s.Host.Ready(ctx, fullName, *at)
		return err
	}
	r, err := s.Host.Make(ctx, &row.Meta, fullName, key, name, spec())
	if r != nil {
		*at = r.M().ID
	}
	return err
}

// childless deletes what child made, be its id written down or not.
func (s *Service) childless(ctx context.Context, row *serverRow, fullName, key string, at id.ID) (err error) {
	if at == "" {
		if at, err = s.Host.Made(ctx, &row.Meta, fullName, key); err != nil || at == "" {
			return err
		}
	}
	return s.Host.Unmake(ctx, fullName, at)
}

func (s *Service) dropPorts(ctx context.Context, row *serverRow) error {
	for _, n := range row.Status.Cards {
		if n.Own {
			if err := s.childless(ctx, row, portKind, n.Key, n.Port); err != nil {
				return err
			}
		}
	}
	row.Status.Cards = nil
	return nil
}

// makeDisks makes a volume for each disk that has none.
func (s *Service) makeDisks(ctx context.Context, row *serverRow) error {
	for i := range row.Status.Disks {
		d := &row.Status.Disks[i]
		if !d.Own {
			if d.Volume != "" {
				continue
			}
			err := s.Store.View(ctx, func(tx store.Tx) (err error) {
				d.Volume, err = s.Volumes.Find(tx, row.Project, d.Want.Volume)
				return err
			})
			if err != nil {
				return err
			}
			if d.Volume == "" {
				return fail.Field("spec.volumes", "there is no volume %q", d.Want.Volume).Then("choose one from awan volume list")
			}
			continue
		}
		name, spec := d.Want.Name, func() any { return s.Volumes.DataSpec(d.Want, row.Spec.Zone) }
		if d.Boot {
			name, spec = row.Name, func() any { return s.Volumes.RootSpec(row.Spec.Root, row.Status.Image, d.Want.Size, row.Spec.Zone) }
		} else if name == "" {
			name = row.Name + "-" + d.Device
		}
		if err := s.child(ctx, row, volumeKind, d.Key, name, &d.Volume, spec); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) dropDisks(ctx context.Context, row *serverRow) error {
	for _, d := range row.Status.Disks {
		if d.Own {
			if err := s.childless(ctx, row, volumeKind, d.Key, d.Volume); err != nil {
				return err
			}
		}
	}
	row.Status.Disks = nil
	return nil
}

// claim writes into the rows of ports and volumes whose they are, in the transaction that goes on.
func (s *Service) claim(_ context.Context, tx store.Tx, row *serverRow) error {
	for i := range row.Status.Cards {
		n := &row.Status.Cards[i]
		if err := s.Networks.Attached(tx, n.Port, &row.Meta); err != nil {
			return err
		}
		if err := s.limit(tx, row, n.Port); err != nil {
			return err
		}
		if err := s.Networks.Seen(tx, n.Port, n); err != nil {
			return err
		}
	}
	for i := range row.Status.Disks {
		d := &row.Status.Disks[i]
		if err := s.Volumes.Attached(tx, d.Volume, &row.Meta, d.Device, d.Boot); err != nil {
			return err
		}
		size, err := s.Volumes.Size(tx, d.Volume)
		if err != nil {
			return err
		}
		d.Size = size
	}
	row.Status.Addresses = addresses(row)
	return nil
}

func (s *Service) disclaim(ctx context.Context, row *serverRow) error {
	if err := s.unplugAll(ctx, row); err != nil {
		return err
	}
	_, err := s.Store.Update(ctx, func(tx store.Tx) error { return s.disclaimTx(ctx, tx, row) })
	return err
}

// disclaimTx lets go of every port and volume.
func (s *Service) disclaimTx(_ context.Context, tx store.Tx, row *serverRow) error {
	for _, n := range row.Status.Cards {
		if n.Port == "" {
			continue
		}
		if err := s.Networks.Detached(tx, n.Port, row.ID); err != nil {
			return err
		}
	}
	for _, d := range row.Status.Disks {
		if d.Volume == "" {
			continue
		}
		if err := s.Volumes.Detached(tx, d.Volume, row.ID); err != nil {
			return err
		}
	}
	return nil
}

// unpublished tells that a server is to have no public address of its own making.
func unpublished(row *serverRow) bool { return row.Spec.PublicIP == nil }

// makePublic makes the public address that the server is to have.
func (s *Service) makePublic(ctx context.Context, row *serverRow) error {
	p := row.Spec.PublicIP
	if p == nil || p.Address != "" {
		return nil
	}
	var at id.ID
	return s.child(ctx, row, publicKind, "public", "", &at, func() any { return s.Networks.PublicSpec(row.Status.Cards[0].Port, p.Bandwidth) })
}

func (s *Service) bindPublic(ctx context.Context, tx store.Tx, row *serverRow) error {
	p := row.Spec.PublicIP
	if p == nil {
		return nil
	}
	port := row.Status.Cards[0].Port
	if p.Address != "" {
		if err := s.Networks.Publish(ctx, tx, row.Project, p.Address, port); err != nil {
			return err
		}
	}
	return s.seePublic(tx, row)
}

// seePublic shows the first public address of the first card.
func (s *Service) seePublic(tx store.Tx, row *serverRow) error {
	row.Status.PublicIP = ""
	for _, n := range row.Status.Cards {
		if n.Port == "" {
			continue
		}
		all, err := s.Networks.PublicOf(tx, n.Port)
		if err != nil {
			return err
		}
		if len(all) > 0 {
			row.Status.PublicIP = all[0].Address
			return nil
		}
	}
	return nil
}

// dropPublic deletes the address that was made for the server; one that was there before is let go with its port.
func (s *Service) dropPublic(ctx context.Context, row *serverRow) error {
	if p := row.Spec.PublicIP; p == nil || p.Address != "" {
		return nil
	}
	return s.childless(ctx, row, publicKind, "public", "")
}

// removePublic deletes the public addresses of all cards.
func (s *Service) removePublic(ctx context.Context, row *serverRow) error {
	var all []id.ID
	err := s.Store.View(ctx, func(tx store.Tx) error {
		for _, n := range row.Status.Cards {
			if n.Port == "" {
				continue
			}
			of, err := s.Networks.PublicOf(tx, n.Port)
			if err != nil {
				return err
			}
			for _, a := range of {
				all = append(all, a.ID)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, a := range all {
		if err := s.Host.Unmake(ctx, publicKind, a); err != nil {
			return err
		}
	}
	return nil
}

// settle ends an operation: the devices are what was wanted.
func (s *Service) settle(_ context.Context, tx store.Tx, row *serverRow) error {
	st := &row.Status
	for i := range st.Cards {
		if err := s.Networks.Seen(tx, st.Cards[i].Port, &st.Cards[i]); err != nil {
			return err
		}
	}
	st.Addresses = addresses(row)
	if st.Launched.IsZero() && st.Power == On {
		st.Launched = s.Now().UTC()
	}
	return s.seePublic(tx, row)
}

func addresses(row *serverRow) (out []string) {
	for _, n := range row.Status.Cards {
		out = append(out, n.Addresses...)
	}
	return out
}
