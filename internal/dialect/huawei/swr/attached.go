package swr

import (
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/registry"
)

// attachedRoutes list signatures and the like with the images that they are about.
func (a *API) attachedRoutes() []wire.Route {
	k, one := a.o.Kinds.Repository.D, "/v2/manage/namespaces/{namespace}/repos/{repository}/{tag}"
	return []wire.Route{
		{Method: "GET", Path: one + "/accessories", Kind: k, Verb: call.Get, Do: a.listAccessories},
		{Method: "GET", Path: one + "/references", Kind: k, Verb: call.Get, Do: a.listReferences},
	}
}

// named finds the image of a tag in the path among those of the repository.
func (a *API) named(x *wire.Exchange) (*registry.RepositoryRow, []registry.Image, *registry.Image, error) {
	r, images, err := a.images(x)
	if err != nil {
		return nil, nil, nil, err
	}
	for i := range images {
		if images[i].Tag == x.Param("tag") {
			return r, images, &images[i], nil
		}
	}
	return nil, nil, nil, fail.New(fail.NotFound, "%s has no tag %q", r.Name, x.Param("tag"))
}

// byTag is the digest of the image that a tag of cosign's older form, sha256-HEX.sig, is about; "" for other tags.
func byTag(tag string) string {
	name, _, _ := strings.Cut(tag, ".")
	d := digest.Digest(strings.Replace(name, "sha256-", "sha256:", 1))
	if d.Validate() != nil {
		return ""
	}
	return d.String()
}

func (a *API) listAccessories(x *wire.Exchange) error {
	r, images, im, err := a.named(x)
	if err != nil {
		return err
	}
	attached, err := a.o.Kinds.Attached(x.R.Context(), r, digest.Digest(im.Digest))
	if err != nil {
		return err
	}
	ns, repo := short(r)
	all := []map[string]any{}
	add := func(tag, d, kind string, size int64, at string) {
		all = append(all, map[string]any{"id": Number(id.ID(r.Status.Path + d + im.Digest)), "domain_id": r.Domain, "namespace_name": ns, "repo_name": repo, "sig_tag": tag, "sig_digest": d,
			"target_digest": im.Digest, "size": size, "type": kind, "created_at": at, "updated_at": at})
	}
	for _, d := range attached {
		tag, at := "", ""
		for _, other := range images {
			if other.Digest == d.Digest.String() {
				tag, at = other.Tag, stamp(other.Pushed)
			}
		}
		add(tag, d.Digest.String(), d.ArtifactType, d.Size, at)
	}
	for _, other := range images {
		if byTag(other.Tag) == im.Digest {
			_, kind, _ := strings.Cut(other.Tag, ".")
			add(other.Tag, other.Digest, map[string]string{"sig": "signature.cosign"}[kind], other.Bytes, stamp(other.Pushed))
		}
	}
	from, to, err := window(filters(x), len(all))
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"total": len(all), "accessories": all[from:to]})
	return nil
}

func (a *API) listReferences(x *wire.Exchange) error {
	_, images, im, err := a.named(x)
	if err != nil {
		return err
	}
	tags := []string{}
	for _, other := range images {
		if other.Digest == im.Subject || other.Digest == byTag(im.Tag) {
			tags = append(tags, other.Tag)
		}
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"tags": tags, "has_more": false, "next_marker": ""})
	return nil
}
