package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/reference"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
)

func parseLength(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

// Repositories lists the repositories whose names begin with project + "/", or all for "".
func (r *Registry) Repositories(ctx context.Context, project string) ([]string, error) {
	var out []string
	err := r.names.(distribution.RepositoryEnumerator).Enumerate(ctx, func(name string) error {
		if project == "" || strings.HasPrefix(name, project+"/") {
			out = append(out, name)
		}
		return nil
	})
	if err != nil && !absent(err) {
		return nil, fail.Wrap(err, fail.Internal, "listing repositories")
	}
	sort.Strings(out)
	return out, nil
}

// Tags lists a repository's tags. fail.NotFound when there is no such repository.
func (r *Registry) Tags(ctx context.Context, repository string) ([]string, error) {
	repo, err := r.repository(ctx, repository)
	if err != nil {
		return nil, err
	}
	tags, err := repo.Tags(ctx).All(ctx)
	if unknown := (distribution.ErrRepositoryUnknown{}); errors.As(err, &unknown) || absent(err) {
		return nil, fail.New(fail.NotFound, "there is no repository %s", repository)
	}
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "listing tags")
	}
	slices.Sort(tags)
	return tags, nil
}

// Delete removes one image of a repository by digest or tag (a tag alone when ref is a tag; the image and all its tags
// when it is a digest). An absent one is success. Room is freed by Collect.
func (r *Registry) Delete(ctx context.Context, repository, ref string) error {
	return r.delete(ctx, repository, ref, change{who: ident.System(), source: "inside"})
}

func (r *Registry) delete(ctx context.Context, repository, ref string, c change) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodDelete, "https://"+r.host+"/v2/"+repository+"/manifests/"+ref, nil)
	if err != nil {
		return fail.New(fail.Invalid, "%s:%s is not an image's name", repository, ref)
	}
	a, err := (&inside{registry: r, by: &c}).RoundTrip(q)
	if err != nil {
		return fail.Wrap(err, fail.Internal, "deleting an image")
	}
	defer a.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(a.Body, 4096))
	switch a.StatusCode {
	case http.StatusAccepted, http.StatusOK, http.StatusNotFound:
		return nil
	}
	return fail.New(fail.Internal, "the image could not be deleted").Because(errors.New(a.Status + " " + string(body)))
}

// Remove removes a whole repository. An absent one is success. Room is freed by Collect.
func (r *Registry) Remove(ctx context.Context, repository string) error {
	name, err := reference.WithName(repository)
	if err != nil {
		return fail.New(fail.Invalid, "%s is not a repository's name", repository)
	}
	if err := r.names.(distribution.RepositoryRemover).Remove(ctx, name); err != nil && !absent(err) {
		return fail.Wrap(err, fail.Internal, "removing a repository")
	}
	return nil
}

func (r *Registry) repository(ctx context.Context, name string) (distribution.Repository, error) {
	n, err := reference.WithName(name)
	if err != nil {
		return nil, fail.New(fail.Invalid, "%s is not a repository's name", name)
	}
	repo, err := r.names.Repository(ctx, n)
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "opening a repository")
	}
	return repo, nil
}

// absent tells that nothing was ever stored under a path; a fresh registry has no folders yet.
func absent(err error) bool {
	var gone driver.PathNotFoundError
	return errors.As(err, &gone)
}
