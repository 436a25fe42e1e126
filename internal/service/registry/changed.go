package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/distribution/distribution/v3"
	"github.com/opencontainers/go-digest"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// errOverQuota says that what was stored has been taken away again.
var errOverQuota = errors.New("over quota")

// changed follows a write that distribution did: the row, the quota, the audit entry; and what waits for pushes.
func (r *Registry) changed(q *http.Request, repository, what, ref string, body []byte, out *held, c change) error {
	ctx := q.Context()
	switch {
	case what == "manifests" && q.Method == http.MethodPut:
		d := digest.Digest(out.header.Get("Docker-Content-Digest"))
		m, err := parse(d, q.Header.Get("Content-Type"), body)
		if err != nil {
			return err
		}
		if m.subject != "" {
			out.header.Set("OCI-Subject", m.subject.String())
		}
		c.verb, c.ref, c.digest = Push, ref, d
		if err := r.account(ctx, repository, c); err != nil {
			return r.takeBack(q, repository, ref, err)
		}
		r.tellPushed(repository, ref, d, m)
		return nil
	case what == "manifests" && q.Method == http.MethodDelete:
		c.verb, c.ref = Delete, ref
		return r.account(ctx, repository, c)
	case out.status == http.StatusCreated: // a blob that was sent or mounted
		d := digest.Digest(out.header.Get("Docker-Content-Digest"))
		r.relied.touch(r.now(), d)
		err := r.account(ctx, repository, c)
		if !fail.Is(err, fail.Quota) {
			return err
		}
		repo, rerr := r.repository(ctx, repository)
		if rerr == nil {
			rerr = repo.Blobs(ctx).Delete(ctx, d)
		}
		return errors.Join(errOverQuota, rerr, r.account(ctx, repository, change{}))
	case what == "blobs" && q.Method == http.MethodDelete && !strings.HasPrefix(ref, "uploads/"):
		return r.account(ctx, repository, c)
	}
	return nil
}

// takeBack removes a manifest that may not stay.
func (r *Registry) takeBack(q *http.Request, repository, ref string, why error) error {
	repo, err := r.repository(q.Context(), repository)
	if err != nil {
		return errors.Join(why, err)
	}
	if d, perr := digest.Parse(ref); perr == nil {
		var service distribution.ManifestService
		if service, err = repo.Manifests(q.Context()); err == nil {
			err = service.Delete(q.Context(), d)
		}
	} else {
		err = repo.Tags(q.Context()).Untag(q.Context(), ref)
	}
	if err != nil {
		r.log.Warn("a refused image cannot be taken away; the collection will", "repository", repository, "ref", ref, "err", err)
	}
	return why
}

// deletable refuses to delete what a release needs: by digest always, by tag never (the image stays).
func (r *Registry) deletable(q *http.Request, repository, ref string) error {
	if _, err := digest.Parse(ref); err != nil || r.store == nil || r.kinds == nil {
		return nil
	}
	return r.store.View(q.Context(), func(tx store.Tx) error { return r.kinds.unneeded(tx, repository, ref) })
}

// tellPushed tells of a new image; signatures, SBOMs and other artifacts are none.
func (r *Registry) tellPushed(repository, ref string, d digest.Digest, m *manifest) {
	switch m.ArtifactType {
	case "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json":
	default:
		if len(m.children) == 0 {
			return
		}
	}
	for _, f := range r.pushed {
		f(repository, ref, d)
	}
}

// retell tells of every tagged image once more: a crash between a push and what follows from it leaves one that nobody was
// told of, and clients that find it there do not push it again.
func (r *Registry) retell(ctx context.Context) error {
	if len(r.pushed) == 0 {
		return nil
	}
	names, err := r.Repositories(ctx, "")
	if err != nil {
		return err
	}
	for _, name := range names {
		tags, err := r.Tags(ctx, name)
		if fail.Is(err, fail.NotFound) {
			continue
		}
		known, merr := r.manifests(ctx, name)
		if err := errors.Join(err, merr, ctx.Err()); err != nil {
			return err
		}
		for _, tag := range tags {
			d, _, ok, err := r.tag(ctx, name, tag)
			if err != nil {
				return err
			}
			if m := known[d]; ok && m != nil {
				r.tellPushed(name, tag, d, m)
			}
		}
	}
	return nil
}
