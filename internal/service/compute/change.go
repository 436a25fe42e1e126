package compute

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// ResizeIn is the input of a resize.
type ResizeIn struct {
	Flavor  string `json:"flavor" doc:"the new flavour" required:"true" ref:"compute/flavor"`
	Confirm bool   `json:"confirm" doc:"wait for confirm-resize or revert-resize afterwards"`
}

// RebuildIn is the input of a rebuild.
type RebuildIn struct {
	Image    string `json:"image" doc:"what it boots from now on; empty: the image it has" ref:"image/image"`
	KeyPair  string `json:"key_pair" doc:"key pair whose owner may log in; empty: as before" ref:"keypair/keypair"`
	Password string `json:"password" doc:"password of the image's user; empty: as before" max:"255" secret:"true"`
	UserData string `json:"user_data" doc:"what cloud-init runs at the first start; empty: as before" max:"65536"`
}

// resize changes the flavour; a running system is shut down and started again.
func (s *Service) resize(_ context.Context, tx store.Tx, row *serverRow, in any) (string, error) {
	r := in.(*ResizeIn)
	if err := unlocked(row); err != nil {
		return "", err
	}
	if row.Status.Resize != nil {
		return "", fail.New(fail.Precondition, "a resize waits to be confirmed").Then("awan server confirm-resize %s, or revert-resize", row.ID)
	}
	f, err := s.flavor(tx, row.Project, r.Flavor, "flavor")
	if err != nil {
		return "", err
	}
	if f.Name == row.Spec.Flavor {
		return "", fail.Field("flavor", "the server has it already")
	}
	old := *row
	row.Status.Resize = &Resize{From: row.Spec.Flavor, FromCPUs: row.Spec.CPUs, FromMemory: row.Spec.Memory, Confirm: r.Confirm}
	row.Spec.Flavor, row.Spec.CPUs, row.Spec.Memory = f.Name, f.Spec.CPUs, f.Spec.Memory
	return "update", s.place(tx, &old, row)
}

func (s *Service) confirmResize(_ context.Context, _ store.Tx, row *serverRow, _ any) (string, error) {
	if row.Status.Resize == nil {
		return "", fail.New(fail.Precondition, "no resize waits to be confirmed")
	}
	row.Status.Resize = nil
	return "", nil
}

func (s *Service) revertResize(_ context.Context, tx store.Tx, row *serverRow, _ any) (string, error) {
	r := row.Status.Resize
	if r == nil {
		return "", fail.New(fail.Precondition, "no resize waits to be confirmed")
	}
	old := *row
	row.Spec.Flavor, row.Spec.CPUs, row.Spec.Memory = r.From, r.FromCPUs, r.FromMemory
	row.Status.Resize = nil
	return "update", s.place(tx, &old, row)
}

// rebuild gives the server a new disk to boot from, made from an image; everything else stays.
func (s *Service) rebuild(_ context.Context, tx store.Tx, row *serverRow, in any) (string, error) {
	r := in.(*RebuildIn)
	if err := unlocked(row); err != nil {
		return "", err
	}
	name := r.Image
	if name == "" {
		name = string(row.Status.Image)
	}
	if name == "" {
		return "", fail.Field("image", "is required: the server was not made from an image").Then("choose one from awan image list")
	}
	image, err := s.Images.Locate(tx, row.Project, name)
	if err != nil {
		return "", err
	}
	if image == nil {
		return "", fail.Field("image", "there is no image %q", name).Then("choose one from awan image list")
	}
	if row.Spec.Memory < image.MinMemory {
		return "", fail.Field("image", "%s needs %d MiB of memory, the server has %d", image.Name, image.MinMemory, row.Spec.Memory).Then("resize the server first")
	}
	if r.KeyPair != "" {
		key, err := s.PublicKey(tx, row.Project, r.KeyPair)
		if err != nil {
			return "", err
		}
		if key == "" {
			return "", fail.Field("key_pair", "there is no key pair %q", r.KeyPair).Then("awan keypair create %s", r.KeyPair)
		}
		row.Spec.KeyPair, row.Status.PublicKey = r.KeyPair, key
	}
	if r.Password != "" {
		row.Spec.Password = r.Password
	}
	if r.UserData != "" {
		row.Spec.UserData = r.UserData
	}
	row.Spec.Image, row.Status.User = image.Name, image.User
	row.Status.Rebuild = &Rebuild{Image: image.ID, Key: "r" + string(id.New())}
	return "update", nil
}

// swapRoot makes the new disk, and puts it in the place of the old one.
func (s *Service) swapRoot(ctx context.Context, row *serverRow) error {
	r := row.Status.Rebuild
	root := rootOf(row)
	if root == nil {
		return fail.New(fail.Precondition, "the server has no disk to boot from").Then("attach one first")
	}
	if root.Volume == r.New && r.New != "" {
		return nil // swapped before a crash
	}
	if err := s.Images.Ready(ctx, r.Image); err != nil {
		return err
	}
	err := s.child(ctx, row, volumeKind, r.Key, row.Name, &r.New, func() any {
		return s.Volumes.RootSpec(row.Spec.Root, r.Image, root.Size, row.Spec.Zone)
	})
	if err != nil {
		return err
	}
	if err := s.Engine.Stop(ctx, row.ID, grace); err != nil {
		return err
	}
	// The machine is made anew: its seed and its first disk are others.
	if err := s.Engine.Destroy(ctx, row.ID); err != nil {
		return err
	}
	old := root.Volume
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		if err := s.Volumes.Detached(tx, old, row.ID); err != nil {
			return err
		}
		return s.Volumes.Attached(tx, r.New, &row.Meta, root.Device, true)
	})
	if err != nil {
		return err
	}
	root.Volume, root.Own, row.Status.Image = r.New, true, r.Image
	if r.Old = ""; root.Delete {
		r.Old = old
	}
	return nil
}

// swapBack puts the disk from before back in.
func (s *Service) swapBack(ctx context.Context, row *serverRow) error {
	r, root := row.Status.Rebuild, rootOf(row)
	if root != nil && r.Old != "" && root.Volume == r.New {
		if err := s.Engine.Destroy(ctx, row.ID); err != nil {
			return err
		}
		_, err := s.Store.Update(ctx, func(tx store.Tx) error {
			if err := s.Volumes.Detached(tx, r.New, row.ID); err != nil {
				return err
			}
			return s.Volumes.Attached(tx, r.Old, &row.Meta, root.Device, true)
		})
		if err != nil {
			return err
		}
		root.Volume, r.Old = r.Old, ""
	}
	if err := s.childless(ctx, row, volumeKind, r.Key, r.New); err != nil {
		return err
	}
	row.Status.Rebuild = nil
	return nil
}

func rootOf(row *serverRow) *Disk {
	for i := range row.Status.Disks {
		if row.Status.Disks[i].Boot {
			return &row.Status.Disks[i]
		}
	}
	return nil
}
