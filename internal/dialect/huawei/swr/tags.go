package swr

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/registry"
)

func (a *API) tagRoutes() []wire.Route {
	k, all := a.o.Kinds.Repository.D, "/v2/manage/namespaces/{namespace}/repos/{repository}/tags"
	return []wire.Route{
		{Method: "GET", Path: all, Kind: k, Verb: call.Get, Do: a.listTags},
		{Method: "GET", Path: strings.Replace(all, "/v2/", "/v3/", 1), Kind: k, Verb: call.Get, Do: a.listTags},
		{Method: "POST", Path: all, Kind: k, Verb: "tag-image", Do: a.createTag},
		{Method: "GET", Path: all + "/{tag}", Kind: k, Verb: call.Get, Do: a.showTag},
		{Method: "DELETE", Path: all + "/{tag}", Kind: k, Verb: "delete-image", Do: a.deleteTag},
	}
}

// images lists the tags of a repository that the caller may see.
func (a *API) images(x *wire.Exchange) (*registry.RepositoryRow, []registry.Image, error) {
	r, err := a.repository(x)
	if err != nil {
		return nil, nil, err
	}
	images, err := a.o.Kinds.Listed(x.R.Context(), r)
	return r, images, err
}

func (a *API) tagView(x *wire.Exchange, r *registry.RepositoryRow, im registry.Image) map[string]any {
	path := a.o.Host(x.R) + "/" + r.Status.Path + ":" + im.Tag
	kindOf := 0
	if im.Index {
		kindOf = 1
	}
	return map[string]any{"id": Number(id.ID(im.Repository + ":" + im.Tag)), "repo_id": Number(r.ID), "Tag": im.Tag, "tag": im.Tag, "image_id": strings.TrimPrefix(im.Config, "sha256:"),
		"manifest": "", "digest": im.Digest, "schema": 2, "path": path, "internal_path": path, "size": im.Bytes, "is_trusted": false,
		"created": stamp(im.Pushed), "updated": stamp(im.Pushed), "deleted": "", "domain_id": r.Domain, "scanned": false, "tag_type": kindOf}
}

func (a *API) listTags(x *wire.Exchange) error {
	r, images, err := a.images(x)
	if err != nil {
		return err
	}
	f := filters(x)
	var fit []registry.Image
	for _, im := range images {
		if want := f["tag"]; want == "" || strings.Contains(im.Tag, want) {
			fit = append(fit, im)
		}
	}
	from, to, err := window(f, len(fit))
	if err != nil {
		return err
	}
	items := []any{}
	for _, im := range fit[from:to] {
		items = append(items, a.tagView(x, r, im))
	}
	x.W.Header().Set("Content-Range", strconv.Itoa(from)+"-"+strconv.Itoa(max(from, to-1))+"/"+strconv.Itoa(len(fit)))
	if strings.HasPrefix(x.R.URL.Path, "/v3/") {
		wire.Write(x.W, http.StatusOK, map[string]any{"tags": items, "has_more": to < len(fit), "next_marker": ""})
		return nil
	}
	wire.Write(x.W, http.StatusOK, items)
	return nil
}

func (a *API) showTag(x *wire.Exchange) error {
	r, images, err := a.images(x)
	if err != nil {
		return err
	}
	for _, im := range images {
		if im.Tag == x.Param("tag") {
			wire.Write(x.W, http.StatusOK, a.tagView(x, r, im))
			return nil
		}
	}
	return fail.New(fail.NotFound, "%s has no tag %q", r.Name, x.Param("tag"))
}

// act runs an action of a repository and drops what it emits.
func (a *API) act(x *wire.Exchange, verb string, in wire.Spec) error {
	c := x.Call
	c.Kind, c.Verb, c.Target, c.In = a.o.Kinds.Repository.D, verb, name(x), in.JSON()
	c.Stream = kind.Stream{Emit: func(any) error { return nil }}
	_, err := x.API.Door.Do(x.R.Context(), &c)
	return err
}

func (a *API) createTag(x *wire.Exchange) error {
	var b struct {
		Source      string `json:"source_tag"`
		Destination string `json:"destination_tag"`
		Override    bool   `json:"override"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	if err := a.act(x, "tag-image", wire.Spec{"from": b.Source, "to": b.Destination, "overwrite": b.Override}); err != nil {
		return err
	}
	return created(x)
}

func (a *API) deleteTag(x *wire.Exchange) error {
	if err := a.act(x, "delete-image", wire.Spec{"tag": x.Param("tag")}); err != nil {
		return err
	}
	return x.NoContent()
}
