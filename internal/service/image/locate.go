package image

import (
	"context"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/disk"
)

// Get reads an image by id, whosever it is; nil when there is none.
func (s *Service) Get(tx store.Tx, image id.ID) (*Row, error) {
	row, err := s.Images.Get(tx, image)
	if row != nil || err != nil {
		return row, err
	}
	return s.Public.Get(tx, image)
}

// Locate finds an image that a project may use, by id or name: its own, the cloud's, or one that it accepted. An own one
// goes before the cloud's of the same name. What it gives may be of a name that stands for another (Alias).
func (s *Service) Locate(tx store.Tx, project id.ID, idOrName string) (*Row, error) {
	if i, ok := id.Parse(idOrName); ok {
		row, err := s.Get(tx, i)
		if err != nil {
			return nil, err
		}
		if row != nil {
			if ok, err := s.mayUse(tx, project, row); ok || err != nil {
				return row, err
			}
		}
	}
	own, err := s.Images.List(tx, string(project), kind.Filter{Index: "name", Value: idOrName, Limit: 2})
	switch {
	case err != nil:
		return nil, err
	case len(own) == 1:
		return own[0], nil
	case len(own) > 1:
		return nil, fail.New(fail.Conflict, "several images are called %q", idOrName).Then("give the id of the one that is meant: awan image list")
	}
	row, err := s.Public.Find(tx, "-", idOrName)
	if row != nil || err != nil {
		return row, err
	}
	accepted, err := s.Accepted(tx, project)
	for _, r := range accepted {
		if r.Name == idOrName {
			return r, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return nil, fail.New(fail.NotFound, "there is no image %q", idOrName).Then("see awan image list and awan public-image list")
}

func (s *Service) mayUse(tx store.Tx, project id.ID, row *Row) (bool, error) {
	if row.Kind == s.Public.D.FullName() || row.Project == project {
		return true, nil
	}
	o, err := s.offer(tx, project, row.ID)
	return o != nil && o.Status.State == Accepted, err
}

// Accepted lists the images of others that a project has accepted.
func (s *Service) Accepted(tx store.Tx, project id.ID) ([]*Row, error) {
	offers, err := s.Offers.List(tx, string(project), kind.Filter{})
	if err != nil {
		return nil, err
	}
	var out []*Row
	for _, o := range offers {
		if o.Status.State != Accepted {
			continue
		}
		row, err := s.Images.Get(tx, o.Spec.Image)
		if err != nil {
			return nil, err
		}
		if row != nil {
			out = append(out, row)
		}
	}
	return out, nil
}

// Visible lists every image that a project may use: its own, those it accepted, the cloud's. The caller has been let
// through the door by a list of image/image.
func (s *Service) Visible(tx store.Tx, project id.ID) ([]*Row, error) {
	own, err := s.Images.List(tx, string(project), kind.Filter{})
	if err != nil {
		return nil, err
	}
	theirs, err := s.Accepted(tx, project)
	if err != nil {
		return nil, err
	}
	public, err := s.Public.List(tx, "-", kind.Filter{})
	return append(append(own, theirs...), public...), err
}

// content gives the row that holds what a row stands for.
func (s *Service) content(tx store.Tx, row *Row) (*Row, error) {
	now, err := s.Get(tx, row.ID)
	if err != nil || now == nil {
		if err == nil {
			err = errGone
		}
		return nil, err
	}
	if now.Spec.Alias == "" {
		return now, nil
	}
	to, err := s.Public.Find(tx, "-", now.Spec.Alias)
	if err == nil && to == nil {
		err = fail.New(fail.Precondition, "image %s stands for %s, which is not there any more", now.Name, now.Spec.Alias).Then("the operator gives it another one")
	}
	return to, err
}

// Content says what disks are made from when an image is asked for: the engine's image, its keys, and the row that holds
// the content.
func (s *Service) Content(tx store.Tx, row *Row) (disk.Source, disk.Keys, *Row, error) {
	to, err := s.content(tx, row)
	if err != nil {
		return disk.Source{}, nil, nil, err
	}
	keys, err := s.Keys(tx, to)
	return disk.Source{Image: to.ID}, keys, to, err
}

// Ready returns when an image can be used; one of the catalogue is made if it never was, which takes minutes. What goes
// on is noted in the job that ctx belongs to.
func (s *Service) Ready(ctx context.Context, image id.ID) error {
	var row *Row
	look := func() error {
		return s.Store.View(ctx, func(tx store.Tx) (err error) {
			row, err = s.Get(tx, image)
			if err == nil && row == nil {
				err = errGone
			}
			if err == nil {
				row, err = s.content(tx, row)
			}
			return err
		})
	}
	if err := look(); err != nil {
		return err
	}
	if row.Status.Phase == OnDemand {
		lock, _ := s.making.LoadOrStore(row.ID, new(sync.Mutex))
		lock.(*sync.Mutex).Lock()
		defer lock.(*sync.Mutex).Unlock()
		if err := look(); err != nil {
			return err
		}
		if row.Status.Phase == OnDemand {
			return s.makeNow(ctx, row)
		}
	}
	switch row.Status.Phase {
	case Usable:
		return nil
	case Deactivated:
		return fail.New(fail.Precondition, "image %s is deactivated", row.Name).Then("activate it again, or use another image")
	}
	if row.State == kind.Creating && row.Spec.Source != (Source{}) {
		return fail.New(fail.Conflict, "image %s is still being made", row.Name).Then("wait until it is done: awan image show %s", row.ID)
	}
	return fail.New(fail.Precondition, "image %s has no content yet (%s)", row.Name, row.Status.Phase).Then("upload it first: awan image upload %s FILE", row.ID)
}

func (s *Service) makeNow(ctx context.Context, row *Row) error {
	if s.Maker == nil || s.Engine == nil {
		return fail.New(fail.Unsupported, "this cloud cannot make the image %s", row.Name).Then("upload one instead")
	}
	note := func(text string) { job.Note(ctx, "making the image "+row.Name+": "+text) }
	note("looking for what is needed")
	r, err := s.Maker.Make(ctx, row.Spec.Recipe, note)
	if err != nil {
		return err
	}
	defer r.Close()
	note("storing it")
	seen, err := s.Engine.Import(ctx, row.ID, r, disk.Import{MaxBytes: s.MaxBytes})
	if err != nil {
		return err
	}
	_, err = s.edit(ctx, &row.Meta, func(_ store.Tx, row *Row) error {
		s.filled(row, seen)
		return nil
	})
	return err
}
