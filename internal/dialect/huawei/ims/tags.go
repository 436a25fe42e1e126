package ims

import (
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func (a *API) tagRoutes() []route {
	k := a.Images.Images.D
	const of = "/v2/{project_id}/images/{image_id}/tags"
	return []route{
		{Method: "GET", Path: of, Kind: k, Verb: call.Get, Alias: "ims:images:listImageTags ims:imageTags:list", Do: rest.ShowTags(k, "image_id")},
		{Method: "POST", Path: of, Kind: k, Verb: call.Update, Alias: "ims:images:setTags ims:imageTags:create", Do: a.addTag},
		{Method: "POST", Path: of + "/action", Kind: k, Verb: call.Update, Alias: "ims:images:setTags ims:imageTags:create", Do: rest.ActOnTags(k, "image_id")},
		{Method: "DELETE", Path: of + "/{key}", Kind: k, Verb: call.Update, Alias: "ims:images:deleteTags ims:imageTags:delete", Do: a.removeTag},
		{Method: "GET", Path: "/v2/{project_id}/images/tags", Kind: k, Verb: call.List, Alias: "ims:images:listTags", Do: rest.ProjectTags(a.Images.Images)},
		{Method: "POST", Path: "/v2/{project_id}/images/resource_instances/action", Kind: k, Verb: call.List, Alias: "ims:images:list",
			Do: rest.SearchByTags(a.Images.Images, func(_ *exchange, r *row) any { return a.view(r, r.Project) })},
		{Method: "PUT", Path: "/v1/cloudimages/tags", Kind: k, Verb: call.Update, Alias: "ims:images:setTags", Do: a.putTag},
		{Method: "GET", Path: "/v1/cloudimages/tags", Kind: k, Verb: call.List, Alias: "ims:images:listTags", Do: a.listTags},
	}
}

func (a *API) addTag(x *exchange) error {
	var b struct {
		Tag rest.Tag `json:"tag"`
	}
	k, target := a.Images.Images.D, x.Param("image_id")
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Update, target, err)
	}
	if b.Tag.Key == "" {
		return rest.Refuse(x, k, call.Update, target, fail.Field("tag.key", "is required"))
	}
	if err := rest.ChangeTags(x, k, target, func(tags map[string]string) error { tags[b.Tag.Key] = b.Tag.Value; return nil }); err != nil {
		return err
	}
	return x.NoContent()
}

func (a *API) removeTag(x *exchange) error {
	k, target := a.Images.Images.D, x.Param("image_id")
	if err := rest.ChangeTags(x, k, target, func(tags map[string]string) error { delete(tags, x.Param("key")); return nil }); err != nil {
		return err
	}
	return x.NoContent()
}

// putTag gives an image one tag, in this API's older form.
func (a *API) putTag(x *exchange) error {
	var b struct {
		Image string    `json:"image_id"`
		Tag   string    `json:"tag"` // "key.value"
		Pair  *rest.Tag `json:"image_tag"`
	}
	k := a.Images.Images.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Update, "*", err)
	}
	if b.Pair == nil {
		key, v, _ := strings.Cut(b.Tag, ".")
		b.Pair = &rest.Tag{Key: key, Value: v}
	}
	if b.Image == "" || b.Pair.Key == "" {
		return rest.Refuse(x, k, call.Update, "*", fail.New(fail.Invalid, "image_id and a tag are required"))
	}
	if err := rest.ChangeTags(x, k, b.Image, func(tags map[string]string) error { tags[b.Pair.Key] = b.Pair.Value; return nil }); err != nil {
		return err
	}
	return x.NoContent()
}

// listTags lists the tags that the project's images have, "key=value".
func (a *API) listTags(x *exchange) error {
	rows, _, err := a.visible(x)
	if err != nil {
		return err
	}
	out := []string{}
	for _, r := range rows {
		for _, t := range rest.Pairs(r.Tags) {
			if !slices.Contains(out, t) && (x.Query("image_id") == "" || same(r.ID, x.Query("image_id"))) {
				out = append(out, t)
			}
		}
	}
	slices.Sort(out)
	return rest.OK(x, map[string]any{"tags": out})
}
