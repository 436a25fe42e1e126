package bucket

import (
	"context"
	"io"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/store"
)

// MayRead tells, within a transaction, whether somebody may read an object of a project's bucket: for other services, which
// take it over later, when nobody is there to ask. The bucket must be that project's.
func (s *Service) MayRead(tx store.Tx, p ident.Principal, project id.ID, name, key string) error {
	b, err := s.ofProject(tx, project, name)
	if err != nil {
		return err
	}
	c := &Caller{Principal: p}
	list := s.listing(false)
	r, err := current(tx, b, key)
	if err != nil {
		return err
	}
	w := wish{s.object, "get", "obs:object:GetObject"}
	err = s.within(tx, c, c.call(w), b, key, w, r)
	if r == nil && (err == nil || s.within(tx, c, c.call(list), b, "", list, nil) == nil) { // who may list may know
		return fail.New(fail.NotFound, "bucket %s has no object %q", name, key)
	}
	if err == nil && r.SSE.Algorithm == byCustomer {
		return fail.New(fail.Precondition, "%s/%s is encrypted with a key of its owner's, which is not kept here", name, key).Then("store it without one")
	}
	return err
}

// OpenIn reads an object of a project's bucket for the cloud itself.
func (s *Service) OpenIn(ctx context.Context, project id.ID, name, key string) (io.ReadCloser, error) {
	err := s.Store.View(ctx, func(tx store.Tx) error {
		_, err := s.ofProject(tx, project, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	c, err := s.Get(ctx, &Caller{Principal: ident.System()}, &GetInput{Bucket: name, Key: key})
	if err != nil {
		return nil, err
	}
	return c.Body, nil
}

func (s *Service) ofProject(tx store.Tx, project id.ID, name string) (*bucket, error) {
	if isDepot(name) {
		return nil, noSuchBucket(name)
	}
	b, err := s.need(tx, name)
	if err != nil {
		return nil, err
	}
	if b.Project != project {
		return nil, fail.New(fail.NotFound, "this project has no bucket %q", name).Then("use a bucket of the same project, or a signed https address of the object")
	}
	return b, nil
}
