package image

import (
	"context"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

const mib = 1 << 20

// publicName allows what clients call images: "Ubuntu 22.04 server 64bit".
const publicName = `^[A-Za-z0-9][A-Za-z0-9 ._()+-]{0,127}$`

func (s *Service) describe() {
	k := kind.Kind[Spec, Status]{Service: "image", Check: s.check, Changed: s.changed, CheckDelete: s.checkDelete,
		Columns: []string{"spec.os_version", "status.phase", "status.virtual_size", "spec.alias"},
		Example: Spec{OS: "debian", OSVersion: "Debian GNU/Linux 12 64bit", MinDisk: 3},
		Create:  job.Flow[Row]{{Name: "take", Do: s.take, Undo: s.untake, Commit: s.took, Deadline: bigDeadline}, {Name: "let go", Do: s.letGo}},
		Delete:  job.Flow[Row]{{Name: "remove", Do: s.remove}},
		Index:   map[string]func(*Row) []string{"name": func(r *Row) []string { return []string{r.Name} }},
	}
	k.Name, k.Scope, k.AnyName = "image", kind.InProject, true
	k.Doc = "What servers' disks are made from: uploaded, or taken from a volume or a server."
	k.Quota = map[ledger.Dim]func(Spec) int64{"image.images": func(Spec) int64 { return 1 }}
	k.Holds = map[ledger.Dim]func(Spec, Status) int64{"image.storage": func(_ Spec, t Status) int64 { return mibs(t.Size) }}
	k.Meter = map[ledger.Dim]func(Spec, Status) int64{"image.storage": func(_ Spec, t Status) int64 { return mibs(t.Size) }}
	k.Actions = append(s.contentActions(), s.shareActions()...)
	s.Images = kind.TableOf[Spec, Status](k.Def())

	k.Name, k.Scope, k.AnyName, k.NamePat, k.Public = "public-image", kind.InCloud, false, publicName, true
	k.Doc = "An image that everybody may use. The operator adds them; some come with the cloud, which makes them when they are first used."
	k.Quota, k.Holds, k.Meter = nil, nil, nil
	k.Actions = s.contentActions()
	s.Public = kind.TableOf[Spec, Status](k.Def())

	s.Offers = kind.TableOf[OfferSpec, OfferStatus](kind.Kind[OfferSpec, OfferStatus]{
		Service: "image", Name: "image-offer", Scope: kind.InProject, ReadOnly: true, AnyName: true,
		Doc:     "Another project's image that is shared with this one. What is accepted may be used like an own one.",
		Columns: []string{"spec.title", "spec.owner", "status.state"},
		Index:   map[string]func(*Offer) []string{"image": func(r *Offer) []string { return []string{string(r.Spec.Image)} }},
		Actions: s.offerActions()}.Def())
}

func mibs(bytes int64) int64 { return (bytes + mib - 1) / mib }

// check refuses what field rules cannot see, and finds what the source names.
func (s *Service) check(ctx context.Context, tx store.Tx, old, row *Row) error {
	public := row.Kind == s.Public.D.FullName()
	if old == nil {
		row.Status = Status{Phase: Queued}
	}
	src := row.Spec.Source
	named := 0
	for _, set := range []bool{src.Volume != "", src.Snapshot != "", src.Bucket != "" || src.Object != "", row.Spec.Recipe != "", row.Spec.Alias != ""} {
		if set {
			named++
		}
	}
	switch {
	case named > 1:
		return fail.Field("spec.source", "names more than one thing").Then("name a volume, a snapshot, or a bucket and an object")
	case (src.Bucket == "") != (src.Object == ""):
		return fail.Field("spec.source", "needs the bucket and the object in it")
	case public && src != (Source{}):
		return fail.Field("spec.source", "an image of the cloud is uploaded, or another name of one").Then("leave the source out and upload it: awan public-image upload %s", row.Name)
	case !public && row.Spec.Recipe != "":
		return fail.Field("spec.recipe", "only the cloud's own images are made by recipes").Then("see awan public-image list")
	case !public && row.Spec.Alias != "":
		return fail.Field("spec.alias", "only the cloud's own images may have other names").Then("leave it out")
	case old == nil && src.Bucket != "" && s.MayRead != nil:
		return s.MayRead(ctx, tx, row.Project, src.Bucket, src.Object)
	case row.Spec.Recipe != "" && old == nil:
		return fail.Field("spec.recipe", "comes with the catalogue").Then("upload the image instead, or give it an alias")
	case public && row.Spec.Alias != "":
		return s.checkAlias(tx, old, row)
	}
	return nil
}

func (s *Service) checkAlias(tx store.Tx, old, row *Row) error {
	to, err := s.Public.Find(tx, "-", row.Spec.Alias)
	switch {
	case err != nil:
		return err
	case to == nil || to.ID == row.ID:
		return fail.Field("spec.alias", "there is no other image %q of the cloud", row.Spec.Alias).Then("see awan public-image list")
	case to.Spec.Alias != "":
		return fail.Field("spec.alias", "%s is itself a name of %s", to.Name, to.Spec.Alias).Then("name that one")
	case old != nil && old.Spec.Alias == "":
		return fail.Field("spec.alias", "%s has a content of its own", row.Name).Then("create another image with the alias")
	}
	row.Spec.Alias = to.Name
	row.Status.Phase = Usable
	if row.Spec.Description == "" {
		row.Spec.Description = aliasText(to)
	}
	return nil
}

// aliasText says plainly what an alias is.
func aliasText(to *Row) string {
	return "Not what its name says: the operator lets this name stand for " + to.Name + ", so that clients which ask for it get a server"
}

// changed makes the key of a project's image, and drops it with the row.
func (s *Service) changed(_ context.Context, tx store.Tx, old, row *Row) error {
	if row == nil {
		if err := s.withdraw(tx, old); err != nil {
			return err
		}
		return tx.Delete(keyOf(old.ID))
	}
	if old == nil && row.Kind == s.Images.D.FullName() {
		return s.makeKey(tx, row)
	}
	return nil
}

func (s *Service) checkDelete(_ context.Context, tx store.Tx, row *Row) error {
	if row.Spec.Protected {
		return fail.New(fail.Precondition, "image %s is protected", row.Name).Then("lift that first: awan %s update %s --protected=false", row.M().Kind[len("image/"):], row.ID)
	}
	if row.Kind != s.Public.D.FullName() {
		return nil // what was made from it keeps what it needs
	}
	if row.Spec.Recipe != "" {
		return fail.New(fail.Precondition, "%s comes with the cloud", row.Name).Then("deactivate it instead: awan public-image deactivate %q", row.Name)
	}
	all, err := s.Public.List(tx, "-", kind.Filter{Where: func(r kind.AnyRow) bool { return r.(*Row).Spec.Alias == row.Name }})
	if err == nil && len(all) > 0 {
		err = fail.New(fail.Precondition, "%s is another name of it", all[0].Name).Then("delete that first, or let it stand for another image")
	}
	return err
}

// put stores a row whose status changed, with the quota that it holds.
func (s *Service) put(tx store.Tx, row *Row) error {
	t := s.tableOf(&row.Meta)
	old, err := t.Get(tx, row.ID)
	if err != nil {
		return err
	}
	if old == nil {
		return fail.New(fail.NotFound, "the image was deleted meanwhile")
	}
	if err := s.reserve(tx, old, row); err != nil {
		return err
	}
	if err := t.D.Put(tx, old, row); err != nil {
		return err
	}
	for dim, amount := range t.D.MeterOf(row) {
		m := ledger.Sample{Project: row.Project, Kind: row.Kind, Row: row.ID, Name: row.Name, Dim: dim, Amount: amount}
		if err := ledger.Meter(tx, m, s.Now().UTC()); err != nil {
			return err
		}
	}
	return nil
}

// took takes the quota of what a step wrote into the row.
func (s *Service) took(_ context.Context, tx store.Tx, row *Row) error {
	old, err := s.tableOf(&row.Meta).Get(tx, row.ID)
	if err != nil || old == nil {
		return err
	}
	if err := s.reserve(tx, old, row); err != nil {
		row.Status = old.Status // nothing is held for it
		return err
	}
	return nil
}

func (s *Service) reserve(tx store.Tx, old, row *Row) error {
	if row.Kind != s.Images.D.FullName() {
		return nil
	}
	return ledger.Reserve(tx, row.Project, "image.storage", mibs(row.Status.Size)-mibs(old.Status.Size), s.Limits)
}

// edit changes a stored row in a transaction of its own.
func (s *Service) edit(ctx context.Context, m *kind.Meta, f func(tx store.Tx, row *Row) error) (out *Row, err error) {
	t := s.tableOf(m)
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		row, err := t.Get(tx, m.ID)
		if err != nil {
			return err
		}
		if row == nil || row.State == kind.Deleting {
			return errGone
		}
		if err := f(tx, row); err != nil {
			return err
		}
		out = row
		return s.put(tx, row)
	})
	return out, err
}

var errGone = fail.New(fail.NotFound, "the image was deleted meanwhile")

// gone tells that a row or what an engine had is not there any more.
func gone(err error) bool { return fail.Is(err, fail.Gone) || fail.Is(err, fail.NotFound) }
