package image

import (
	"context"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// ShareIn names a project.
type ShareIn struct {
	Project string `json:"project" doc:"project to share it with: its id, or its name in the same domain" required:"true" max:"128"`
}

const mostMembers = 128

func (s *Service) shareActions() []kind.Action[Spec, Status] {
	return []kind.Action[Spec, Status]{
		{Verb: "share", Doc: "offer it to another project, which may accept it", Level: kind.Admin, In: ShareIn{},
			Change: func(_ context.Context, tx store.Tx, r *Row, in any) (string, error) {
				return "", s.share(tx, r, in.(*ShareIn).Project)
			}},
		{Verb: "unshare", Doc: "take it back from another project; what was made from it stays", Level: kind.Admin, In: ShareIn{},
			Change: func(_ context.Context, tx store.Tx, r *Row, in any) (string, error) {
				return "", s.unshare(tx, r, in.(*ShareIn).Project)
			}},
	}
}

func (s *Service) share(tx store.Tx, r *Row, to string) error {
	if s.Project == nil {
		return fail.New(fail.Unsupported, "images cannot be shared here")
	}
	project, domain, err := s.Project(tx, r.Domain, to)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(r.Status.Members, func(m Member) bool { return m.Project == project })
	switch {
	case project == "":
		return fail.Field("project", "there is no project %q", to).Then("ask its people for the project's id")
	case project == r.Project:
		return fail.Field("project", "the image belongs to it already")
	case at >= 0:
		return fail.New(fail.Exists, "the image is shared with project %s already (%s)", project, r.Status.Members[at].State)
	case len(r.Status.Members) >= mostMembers:
		return fail.New(fail.Quota, "an image is shared with at most %d projects", mostMembers).Then("take it back from one")
	}
	now := s.Now().UTC()
	r.Status.Members = append(r.Status.Members, Member{Project: project, State: Pending, Created: now, Updated: now})
	o := &Offer{Meta: kind.Meta{ID: id.New(), Kind: s.Offers.D.FullName(), Domain: domain, Project: project, Name: r.Name, State: kind.Active,
		Made: true, Generation: 1, Created: now, Updated: now, CreatedBy: r.CreatedBy}}
	o.Spec = OfferSpec{Image: r.ID, Title: r.Name, Owner: r.Project, Comment: r.Spec.Description}
	o.Status.State = Pending
	return s.Offers.Put(tx, o)
}

func (s *Service) unshare(tx store.Tx, r *Row, with string) error {
	project := id.ID("")
	if s.Project != nil {
		var err error
		if project, _, err = s.Project(tx, r.Domain, with); err != nil {
			return err
		}
	}
	if project == "" {
		project, _ = id.Parse(with) // a project that is gone by now
	}
	n := len(r.Status.Members)
	r.Status.Members = slices.DeleteFunc(r.Status.Members, func(m Member) bool { return m.Project == project })
	if len(r.Status.Members) == n {
		return fail.New(fail.NotFound, "the image is not shared with project %q", with).Then("see awan image show %s", r.ID)
	}
	return s.takeBack(tx, project, r.ID)
}

func (s *Service) takeBack(tx store.Tx, project, image id.ID) error {
	o, err := s.offer(tx, project, image)
	if err != nil || o == nil {
		return err
	}
	return s.Offers.Remove(tx, o)
}

// withdraw takes back every offer of an image that goes.
func (s *Service) withdraw(tx store.Tx, row *Row) error {
	for _, m := range row.Status.Members {
		if err := s.takeBack(tx, m.Project, row.ID); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) offer(tx store.Tx, project, image id.ID) (*Offer, error) {
	all, err := s.Offers.List(tx, string(project), kind.Filter{Index: "image", Value: string(image), Limit: 1})
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[0], nil
}

func (s *Service) offerActions() []kind.Action[OfferSpec, OfferStatus] {
	say := func(verb, doc, state string) kind.Action[OfferSpec, OfferStatus] {
		return kind.Action[OfferSpec, OfferStatus]{Verb: verb, Doc: doc, Level: kind.Write, Change: func(_ context.Context, tx store.Tx, o *Offer, _ any) (string, error) {
			o.Status.State = state
			return "", s.answered(tx, o)
		}}
	}
	return []kind.Action[OfferSpec, OfferStatus]{
		say("accept", "use it like an own image", Accepted),
		say("reject", "leave it out; it can be accepted later", Rejected),
		say("undecide", "as if nothing had been said", Pending),
	}
}

// answered lets the image's owner see what the other project said.
func (s *Service) answered(tx store.Tx, o *Offer) error {
	row, err := s.Images.Get(tx, o.Spec.Image)
	if err != nil {
		return err
	}
	if row == nil {
		return errGone
	}
	for i := range row.Status.Members {
		if m := &row.Status.Members[i]; m.Project == o.Project {
			m.State, m.Updated = o.Status.State, s.Now().UTC()
		}
	}
	return s.Images.Put(tx, row)
}
