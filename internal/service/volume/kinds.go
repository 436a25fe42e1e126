package volume

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/image"
)

const bigDeadline = 2 * time.Hour

func (s *Service) describe() {
	meters := map[ledger.Dim]func(Spec, Status) int64{}
	for _, class := range s.classes() {
		meters[ledger.Dim("volume."+strings.ToLower(class))] = func(sp Spec, t Status) int64 {
			if t.Class == class {
				return sp.Size
			}
			return 0
		}
	}
	s.Volumes = kind.TableOf[Spec, Status](kind.Kind[Spec, Status]{
		Service: "volume", Name: "volume", Scope: kind.InProject, AnyName: true,
		Doc:     "A disk for servers. It lives on when its server is deleted, unless that is asked for.",
		Columns: []string{"spec.size", "spec.type", "status.attachments", "spec.bootable"},
		Example: Spec{Size: 10, Type: "GPSSD"},
		Index: map[string]func(*Row) []string{
			"name":   func(r *Row) []string { return []string{r.Name} },
			"server": func(r *Row) []string { return servers(r) },
		},
		Quota: map[ledger.Dim]func(Spec) int64{
			"volume.volumes":   func(Spec) int64 { return 1 },
			"volume.gigabytes": func(sp Spec) int64 { return sp.Size }},
		Meter: meters, Check: s.check, Changed: s.changed, CheckDelete: s.checkDelete, Retention: s.Retention,
		Create: job.Flow[Row]{
			{Name: "image", Do: s.awaitImage, Deadline: bigDeadline},
			{Name: "freeze", Skip: fromElsewhere, Do: s.freezeSource, Undo: s.letSourceGo},
			{Name: "disk", Do: s.ensure, Undo: s.destroy, Deadline: bigDeadline},
			{Name: "let go", Skip: fromElsewhere, Do: s.letSourceGo}},
		Update:  job.Flow[Row]{{Name: "grow", Do: s.grow}, {Name: "limits", Do: s.refit}},
		Delete:  job.Flow[Row]{{Name: "destroy", Do: s.destroy}},
		Loop:    job.Loop[Row]{Every: time.Minute, Do: s.observe},
		Actions: s.actions()}.Def())
	s.describeSnapshots()
	s.describeTypes()
	s.describeTransfers()
}

func servers(r *Row) []string {
	var out []string
	for _, a := range r.Status.Attachments {
		out = append(out, string(a.Server))
	}
	return out
}

// check refuses what field rules cannot see, and finds what the spec names.
func (s *Service) check(_ context.Context, tx store.Tx, old, row *Row) error {
	if old == nil {
		row.Status = Status{}
		if err := s.checkSource(tx, row); err != nil {
			return err
		}
		if z := row.Spec.Zone; z != "" && len(s.Zones) > 0 && !slices.Contains(s.Zones, z) {
			return fail.Field("spec.availability_zone", "there is no zone %q", z).Then("use one of %s", strings.Join(s.Zones, ", "))
		} else if z == "" && len(s.Zones) > 0 {
			row.Spec.Zone = s.Zones[0]
		}
	}
	return s.checkChange(tx, old, row)
}

// checkChange refuses sizes and limits that cannot be.
func (s *Service) checkChange(tx store.Tx, old, row *Row) error {
	if old != nil && row.Spec.Size < old.Spec.Size {
		return fail.Field("spec.size", "%d GiB is less than the volume has, %d GiB", row.Spec.Size, old.Spec.Size).
			Then("volumes can only grow: make a smaller one and copy what is needed")
	}
	if row.Spec.Size == 0 {
		return fail.Field("spec.size", "is required").Then("for example 10")
	}
	if old != nil && row.Status.Transfer != "" && (old.Spec.Size != row.Spec.Size || old.Spec.Type != row.Spec.Type) {
		return awaiting(row)
	}
	project := row.Project
	if old != nil && old.Spec.Type == row.Spec.Type {
		project = "" // what it has it keeps
	}
	t, err := s.typeOf(tx, project, row.Spec.Type)
	if err != nil {
		return err
	}
	if t.Spec.Disabled && (old == nil || old.Spec.Type != t.Name) {
		return fail.Field("spec.type", "there are no new volumes of type %s", t.Name).Then("see awan volume-type list")
	}
	if row.Spec.Size > t.Spec.MaxSize {
		return fail.Field("spec.size", "%d GiB is too large; volumes of type %s have at most %d GiB", row.Spec.Size, t.Name, t.Spec.MaxSize)
	}
	if old != nil && old.Spec.Type != t.Name { // what was chosen for the old type need not fit the new one
		if !t.Spec.ChooseIOPS && row.Spec.IOPS == old.Spec.IOPS {
			row.Spec.IOPS = 0
		}
		if !t.Spec.ChooseThroughput && row.Spec.Throughput == old.Spec.Throughput {
			row.Spec.Throughput = 0
		}
	}
	iops, throughput, err := allowed(t, &row.Spec)
	if err != nil {
		return err
	}
	row.Spec.Type, row.Status.Class = t.Name, t.Spec.Class
	row.Status.IOPS, row.Status.Throughput = iops, throughput
	return nil
}

// checkSource finds what a new volume is made from and sees to it that it fits.
func (s *Service) checkSource(tx store.Tx, row *Row) error {
	src := &row.Spec.Source
	least, what := int64(0), ""
	switch {
	case src.Image != "" && src.Snapshot != "" || src.Image != "" && src.Volume != "" || src.Snapshot != "" && src.Volume != "":
		return fail.Field("spec.source", "names more than one thing").Then("name an image, a snapshot or a volume")
	case src.Image != "":
		img, err := s.locate(tx, row, src.Image)
		if err != nil {
			return err
		}
		src.Image, row.Spec.Bootable = string(img.ID), true
		least, what = max(img.Spec.MinDisk, gib(img.Status.Bytes)), "image "+img.Name
	case src.Snapshot != "":
		snap, err := s.findSnapshot(tx, row.Project, "spec.source.snapshot", src.Snapshot)
		if err != nil {
			return err
		}
		src.Snapshot, least, what = string(snap.ID), snap.Status.Size, "snapshot "+snap.Name
		return s.likeVolume(tx, row, snap.Spec.Volume, least, what)
	case src.Volume != "":
		from, err := s.findVolume(tx, row.Project, "spec.source.volume", src.Volume)
		if err != nil {
			return err
		}
		if !from.Made {
			return fail.Field("spec.source.volume", "volume %s is not there yet", from.Name).Then("wait until it is")
		}
		src.Volume = string(from.ID)
		return s.likeVolume(tx, row, src.Volume, from.Spec.Size, "volume "+from.Name)
	}
	return fits(row, least, what)
}

// likeVolume lets a volume be what the one is whose content it gets.
func (s *Service) likeVolume(tx store.Tx, row *Row, volume string, least int64, what string) error {
	from, err := s.Volumes.Find(tx, string(row.Project), volume)
	if err != nil {
		return err
	}
	if from != nil {
		row.Spec.Bootable = row.Spec.Bootable || from.Spec.Bootable
		row.Status.Image = from.Status.Image
		if row.Spec.Type == "" {
			row.Spec.Type = from.Spec.Type
		}
	}
	return fits(row, least, what)
}

func fits(row *Row, least int64, what string) error {
	if row.Spec.Size == 0 {
		row.Spec.Size = least
	}
	if row.Spec.Size < least {
		return fail.Field("spec.size", "%d GiB is too small for %s, which needs %d GiB", row.Spec.Size, what, least)
	}
	return nil
}

func (s *Service) locate(tx store.Tx, row *Row, name string) (*image.Row, error) {
	if s.Images == nil {
		return nil, fail.New(fail.Unsupported, "this cloud keeps no images")
	}
	img, err := s.Images.Locate(tx, row.Project, name)
	if fail.Is(err, fail.NotFound) || fail.Is(err, fail.Conflict) {
		e := fail.From(err)
		return nil, fail.Field("spec.source.image", "%s", e.Message).Then("%s", e.Next)
	}
	if err != nil {
		return nil, err
	}
	switch img.Status.Phase {
	case image.Usable, image.OnDemand:
	default:
		return nil, fail.Field("spec.source.image", "image %s cannot be used (%s)", img.Name, img.Status.Phase).Then("upload or activate it first")
	}
	row.Status.Image = metaOf(img)
	return img, nil
}

func metaOf(r *image.Row) *ImageMeta {
	return &ImageMeta{ID: r.ID, Name: r.Name, OS: r.Spec.OS, OSVersion: r.Spec.OSVersion, OSType: r.Spec.OSType, Architecture: r.Spec.Architecture,
		Firmware: r.Spec.Firmware, User: r.Spec.User, MinDisk: r.Spec.MinDisk, MinMemory: r.Spec.MinMemory, Format: r.Status.Format, Bytes: r.Status.Size,
		SHA256: r.Status.SHA256, Properties: r.Spec.Properties}
}

func gib(bytes int64) int64 { return (bytes + GiB - 1) / GiB }

// changed makes the keys of a volume, and drops them with it.
func (s *Service) changed(_ context.Context, tx store.Tx, old, row *Row) error {
	if row == nil {
		return tx.Delete(keysOf(old.ID))
	}
	if old == nil {
		return s.makeKeys(tx, row)
	}
	return nil
}

func (s *Service) checkDelete(_ context.Context, tx store.Tx, row *Row) error {
	if len(row.Status.Attachments) > 0 {
		return fail.New(fail.Precondition, "server %s has volume %s", row.Status.Attachments[0].Server, row.Name).Then("detach it first")
	}
	if row.Status.Transfer != "" {
		return awaiting(row)
	}
	snaps, err := s.Snapshots.List(tx, string(row.Project), kind.Filter{Index: "volume", Value: string(row.ID), Limit: 1})
	if err == nil && len(snaps) > 0 {
		err = fail.New(fail.Precondition, "there are snapshots of volume %s", row.Name).Then("delete them first: awan snapshot delete %s", snaps[0].ID)
	}
	return err
}

func awaiting(row *Row) error {
	return fail.New(fail.Precondition, "volume %s is offered to another project", row.Name).Then("take the offer back first: awan volume-transfer delete %s", row.Status.Transfer)
}
