package compute

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

func (s *Service) describeServers() {
	one := func(ServerSpec) int64 { return 1 }
	cpus := func(c ServerSpec) int64 { return int64(c.CPUs) }
	memory := func(c ServerSpec) int64 { return c.Memory }
	running := func(f func(ServerSpec) int64) func(ServerSpec, ServerStatus) int64 {
		return func(c ServerSpec, _ ServerStatus) int64 {
			if c.Stopped {
				return 0
			}
			return f(c)
		}
	}
	s.Server = kind.TableOf[ServerSpec, ServerStatus](kind.Kind[ServerSpec, ServerStatus]{
		Service: "compute", Name: "server", Scope: kind.InProject, AnyName: true,
		Doc:     "A virtual machine with its disks and network cards.",
		Columns: []string{"status.power", "spec.flavor", "status.addresses", "status.public_ip", "spec.image"},
		Example: ServerSpec{Flavor: "s6.small.1", Image: "Debian 12", KeyPair: "laptop"},
		Index: map[string]func(*serverRow) []string{
			"group": func(r *serverRow) []string { return []string{string(r.Status.GroupID)} },
			"image": func(r *serverRow) []string { return []string{string(r.Status.Image)} },
			"volume": func(r *serverRow) (out []string) {
				for _, d := range r.Status.Disks {
					out = append(out, string(d.Volume))
				}
				return out
			},
			"port": func(r *serverRow) (out []string) {
				for _, n := range r.Status.Cards {
					out = append(out, string(n.Port))
				}
				return out
			},
		},
		Quota:    map[ledger.Dim]func(ServerSpec) int64{"compute.servers": one, "compute.cpus": cpus, "compute.memory": memory},
		Meter:    map[ledger.Dim]func(ServerSpec, ServerStatus) int64{"compute.cpus": running(cpus), "compute.memory": running(memory)},
		Defaults: s.defaults, Check: s.check, Changed: s.changed,
		CheckDelete: func(_ context.Context, _ store.Tx, r *serverRow) error { return unlocked(r) },
		Create: job.Flow[serverRow]{
			{Name: "image", Do: s.readyImage, Deadline: 45 * time.Minute},
			{Name: "ports", Do: s.makePorts, Undo: s.dropPorts},
			{Name: "disks", Do: s.makeDisks, Undo: s.dropDisks, Deadline: 30 * time.Minute},
			{Name: "claim", Commit: s.claim, Undo: s.disclaim},
			{Name: "public address", Skip: unpublished, Do: s.makePublic, Commit: s.bindPublic, Undo: s.dropPublic},
			{Name: "start", Do: s.converged, Undo: s.destroy, Deadline: 5 * time.Minute},
			{Name: "settle", Commit: s.settle},
		},
		Update: job.Flow[serverRow]{
			{Name: "ports", Do: s.makePorts},
			{Name: "disks", Do: s.makeDisks},
			{Name: "power", Do: s.power, Undo: s.backToPower, Deadline: 5 * time.Minute},
			{Name: "devices", Do: s.converged, Undo: s.withoutNew, Deadline: 5 * time.Minute},
			{Name: "release", Do: s.unplugLeft, Commit: s.releaseLeft},
			{Name: "tidy", Do: s.removeLeft, Commit: s.settle},
		},
		Delete: job.Flow[serverRow]{
			{Name: "stop", Do: s.destroy},
			{Name: "unplug", Do: s.unplugAll, Commit: s.disclaimTx},
			{Name: "remove", Do: s.removeChildren, Deadline: 30 * time.Minute},
		},
		Loop:    job.Loop[serverRow]{Every: 15 * time.Second, Do: s.converge},
		Actions: s.actions(),
	}.Def())
}

// unlocked refuses what must not be done to a locked server.
func unlocked(r *serverRow) error {
	if r.Spec.Locked {
		return fail.New(fail.Precondition, "server %s is locked", r.Name).Then("unlock it first: awan server unlock %s", r.ID)
	}
	return nil
}

// defaults fills in what flavour, image and name say, and lists the devices that are to be made.
func (s *Service) defaults(_ context.Context, tx store.Tx, row *serverRow) error {
	spec, st := &row.Spec, &row.Status
	if st.Hostname != "" { // not a new one
		return nil
	}
	f, err := s.flavor(tx, row.Project, spec.Flavor, "spec.flavor")
	if err != nil {
		return err
	}
	spec.Flavor, spec.CPUs, spec.Memory = f.Name, f.Spec.CPUs, f.Spec.Memory
	if spec.Zone == "" {
		spec.Zone = s.Zone
	}
	if spec.Zone != s.Zone {
		return fail.Field("spec.zone", "there is no availability zone %q", spec.Zone).Then("this cloud has %s", s.Zone)
	}
	if st.Hostname = spec.Hostname; st.Hostname == "" {
		st.Hostname = hostname(row.Name)
	}
	if spec.Root.Encryption != "" {
		return fail.Field("spec.root.encryption", "a key of one's own is not offered: each volume has its own already, which the project's key protects").Then("leave it out")
	}
	st.Host, st.Power = s.HostName, Off
	if err := s.chooseImage(tx, row, f); err != nil {
		return err
	}
	if spec.KeyPair != "" {
		if st.PublicKey, err = s.PublicKey(tx, row.Project, spec.KeyPair); err != nil {
			return err
		}
		if st.PublicKey == "" {
			return fail.Field("spec.key_pair", "there is no key pair %q", spec.KeyPair).Then("awan keypair create %s", spec.KeyPair)
		}
	}
	if err := s.grouped(tx, row); err != nil {
		return err
	}
	switch {
	case spec.Unplugged && len(spec.Networks) > 0:
		return fail.Field("spec.networks", "the server is to begin without a network card").Then("leave unplugged or networks out")
	case spec.Unplugged && spec.PublicIP != nil:
		return fail.Field("spec.public_ip", "a server without a network card has no public address").Then("attach a card when it runs, and associate an address")
	case !spec.Unplugged && len(spec.Networks) == 0:
		spec.Networks = []Card{{}}
	}
	for i, f := range spec.Files {
		if _, err := base64.StdEncoding.DecodeString(f.Content); err != nil {
			return fail.Field(fmt.Sprintf("spec.files[%d].content", i), "is not base64").Because(err)
		}
	}
	for i, c := range spec.Networks {
		st.Cards = append(st.Cards, NIC{Key: fmt.Sprintf("nic%d", i), Want: c, Own: c.Port == "", Phase: Attaching})
	}
	for i, v := range spec.Volumes {
		if v.Volume == "" && v.Size == 0 && v.Image == "" && v.Snapshot == "" {
			return fail.Field(fmt.Sprintf("spec.volumes[%d].size", i), "is required for a volume that is to be made").Then("give a size in GiB, or a volume that is there")
		}
		if _, err := s.addDisk(row, v, fmt.Sprintf("data%d", i), fmt.Sprintf("spec.volumes[%d].device", i)); err != nil {
			return err
		}
	}
	return nil
}

// chooseImage finds what the server boots, and puts its disk first.
func (s *Service) chooseImage(tx store.Tx, row *serverRow, f *flavorRow) error {
	spec, st := &row.Spec, &row.Status
	root := Disk{Key: "root", Device: "vda", Boot: true, Own: spec.Root.Volume == "", Delete: !spec.Root.Keep, Phase: Attaching,
		Want: Volume{Volume: spec.Root.Volume, Size: spec.Root.Size, Type: spec.Root.Type}}
	switch {
	case spec.Image == "" && spec.Root.Volume == "":
		return fail.Field("spec.image", "is required").Then("choose one from awan image list, or a bootable volume with root.volume")
	case spec.Root.Volume != "":
		st.Disks = []Disk{root}
		if spec.Image == "" {
			return nil
		}
	}
	image, err := s.Images.Locate(tx, row.Project, spec.Image)
	if err != nil {
		return err
	}
	if image == nil {
		return fail.Field("spec.image", "there is no image %q", spec.Image).Then("choose one from awan image list")
	}
	if f.Spec.Memory < image.MinMemory {
		return fail.Field("spec.flavor", "%s has %d MiB of memory, the image %s needs %d", f.Name, f.Spec.Memory, image.Name, image.MinMemory).Then("choose a larger flavour")
	}
	st.Image, st.User = image.ID, image.User
	if spec.Root.Volume == "" {
		if root.Want.Size == 0 {
			root.Want.Size = max(image.MinDisk, f.Spec.Disk, 1)
		}
		if root.Want.Size < image.MinDisk {
			return fail.Field("spec.root.size", "the image %s needs %d GiB", image.Name, image.MinDisk)
		}
		st.Disks = []Disk{root}
	}
	return nil
}

// addDisk gives a disk a slot.
func (s *Service) addDisk(row *serverRow, v Volume, key, field string) (*Disk, error) {
	want := "vd" + strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(v.Device, "/dev/"), "vd"), "sd")
	taken := map[string]bool{"vda": true}
	for _, d := range row.Status.Disks {
		taken[d.Device] = true
	}
	if want == "vd" {
		for c := 'b'; c <= 'z'; c++ {
			if name := "vd" + string(c); !taken[name] {
				want = name
				break
			}
		}
		if want == "vd" {
			return nil, fail.New(fail.Quota, "server %s has all the disks it can have", row.Name).Then("detach one first")
		}
	} else if taken[want] {
		return nil, fail.Field(field, "the server has a disk at %s", want).Then("leave the device out: the next free one is taken")
	}
	row.Status.Disks = append(row.Status.Disks, Disk{Key: key, Want: v, Device: want, Own: v.Volume == "", Delete: v.Delete, Phase: Attaching})
	return &row.Status.Disks[len(row.Status.Disks)-1], nil
}

// check refuses what the field rules cannot see.
func (s *Service) check(ctx context.Context, tx store.Tx, old, row *serverRow) error {
	if old != nil && old.Spec.Locked && row.Spec.Locked {
		return unlocked(row)
	}
	if old != nil && (old.Spec.Flavor != row.Spec.Flavor || old.Spec.Image != row.Spec.Image || old.Spec.CPUs != row.Spec.CPUs || old.Spec.Memory != row.Spec.Memory) {
		return fail.Field("spec.flavor", "flavour and image are not changed by an update").Then("awan server resize, or awan server rebuild")
	}
	if old != nil && old.Spec.Hostname != row.Spec.Hostname {
		row.Status.Hostname = cmp.Or(row.Spec.Hostname, hostname(row.Name))
	}
	for k, v := range row.Spec.Metadata {
		if k == "" || len(k) > 255 || len(v) > 1024 {
			return fail.Field("spec.metadata", "the key %q must have 1 to 255 characters, its value at most 1024", k)
		}
	}
	if err := s.checkAgency(ctx, tx, old, row); err != nil {
		return err
	}
	return s.place(tx, old, row)
}

// checkAgency asks whether the caller may give the agency to a server: whoever can log in there has its rights.
func (s *Service) checkAgency(ctx context.Context, tx store.Tx, old, row *serverRow) error {
	if row.Spec.Agency == "" || old != nil && old.Spec.Agency == row.Spec.Agency {
		return nil
	}
	if s.MayPass == nil {
		return fail.Field("spec.agency", "servers get no keys of agencies here").Then("leave it out")
	}
	return s.MayPass(ctx, tx, &row.Meta, row.Spec.Agency)
}

// hostname makes a host name of a name.
func hostname(name string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b.WriteRune(c)
		default:
			b.WriteByte('-')
		}
	}
	out := strings.Trim(b.String(), "-")
	if len(out) > 63 {
		out = strings.TrimRight(out[:63], "-")
	}
	if out == "" {
		out = "server"
	}
	return out
}
