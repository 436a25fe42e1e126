package bucket

import (
	"context"
	"io"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/store"
)

// MayRead asks, for another service of the cloud, whether the caller in ctx may read an object, and whether it is there in a
// bucket of the project: what is made from it must not outlive the rights to it.
func (s *Service) MayRead(ctx context.Context, tx store.Tx, project id.ID, name, key string) error {
	c := &Caller{Principal: ident.From(ctx)}
	b, err := s.ofProject(tx, project, name)
	if err != nil {
		return err
	}
	r, _, missing := b.version(tx, key, "")
	w := wish{s.object, "get", "obs:object:GetObject"}
	if err := s.within(tx, c, c.call(w), b, key, w, r); err != nil {
		return err
	}
	if missing != nil {
		return missing
	}
	if r.SSE.Algorithm == byCustomer {
		return fail.New(fail.Invalid, "%s/%s is encrypted with a key of its owner's, which is not kept", name, key).Then("store it without one")
	}
	return nil
}

// OpenFor reads an object for another service that asked MayRead when it was told to. The caller closes what comes back.
func (s *Service) OpenFor(ctx context.Context, project id.ID, name, key string) (io.ReadCloser, error) {
	err := s.Store.View(ctx, func(tx store.Tx) error {
		_, err := s.ofProject(tx, project, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	got, err := s.Get(ctx, &Caller{Principal: ident.Principal{Method: ident.BySystem, UserName: "system"}}, &GetInput{Bucket: name, Key: key})
	if err != nil {
		return nil, err
	}
	return got.Body, nil
}

func (s *Service) ofProject(tx store.Tx, project id.ID, name string) (*bucket, error) {
	b, err := s.find(tx, name)
	if err != nil {
		return nil, err
	}
	if b == nil || isDepot(name) || b.Project != project {
		return nil, fail.New(fail.NotFound, "there is no bucket %q in this project", name).Then("see awan bucket list, or copy the object into a bucket of this project")
	}
	return b, nil
}
