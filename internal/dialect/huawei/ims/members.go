package ims

import (
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/image"
)

func (a *API) memberRoutes() []route {
	k, o := a.Images.Images.D, a.Images.Offers.D
	const base, of = "/v1/cloudimages/members", "/v1/{project_id}/cloudimages/{image_id}/members"
	return []route{
		{Method: "POST", Path: base, Kind: k, Verb: "share", Alias: "ims:images:share ims:imageMembers:create", Do: func(x *exchange) error { return a.share(x, "share") }},
		{Method: "DELETE", Path: base, Kind: k, Verb: "unshare", Alias: "ims:images:deleteMember ims:imageMembers:delete", Do: func(x *exchange) error { return a.share(x, "unshare") }},
		{Method: "PUT", Path: base, Kind: o, Verb: "accept", Alias: "ims:images:updateMember ims:imageMembers:update", Do: a.answer},
		{Method: "GET", Path: of, Kind: k, Verb: call.Get, Alias: "ims:images:listMember ims:imageMembers:list", Do: a.listMembers},
		{Method: "GET", Path: of + "/{member_id}", Kind: k, Verb: call.Get, Alias: "ims:images:getMember ims:imageMembers:get", Do: a.showMember},
	}
}

// share offers images to projects, or takes them back.
func (a *API) share(x *exchange, verb string) error {
	var b struct {
		Images   []string `json:"images"`
		Projects []string `json:"projects"`
		Domains  []string `json:"domains"`
		Orgs     []string `json:"organizations"`
	}
	k := a.Images.Images.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, verb, "*", err)
	}
	switch {
	case len(b.Domains)+len(b.Orgs) > 0:
		return rest.Refuse(x, k, verb, "*", fail.Field("domains", "images are shared with projects here").Then("name the projects' ids"))
	case len(b.Images) == 0 || len(b.Projects) == 0:
		return rest.Refuse(x, k, verb, "*", fail.New(fail.Invalid, "images and projects must be named"))
	}
	var replies []call.Reply
	for _, i := range b.Images {
		for _, p := range b.Projects {
			r, err := rest.Send(x, k, verb, i, func(c *call.Call) { c.In = wire.Spec{"project": p}.JSON() })
			if err != nil {
				return err
			}
			replies = append(replies, r)
		}
	}
	return a.begun(x, replies...)
}

// answer accepts images that others offer, or rejects them.
func (a *API) answer(x *exchange) error {
	var b struct {
		Images  []string `json:"images"`
		Project string   `json:"project_id"`
		Status  string   `json:"status"`
	}
	k := a.Images.Offers.D
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, "accept", "*", err)
	}
	verb := map[string]string{"accepted": "accept", "rejected": "reject"}[b.Status]
	if verb == "" || len(b.Images) == 0 {
		return rest.Refuse(x, k, "accept", "*", fail.Field("status", "images must be named, and %q must be accepted or rejected", b.Status))
	}
	if b.Project != "" {
		x.Call.Project = b.Project
	}
	var replies []call.Reply
	for _, i := range b.Images {
		want, _ := id.Parse(i)
		offers, _, err := wire.Rows(x, a.Images.Offers, "", kind.Filter{Index: "image", Value: string(want)})
		if err != nil {
			return err
		}
		if len(offers) == 0 {
			return rest.Refuse(x, k, verb, "*", fail.New(fail.NotFound, "the image %q is not offered to this project", i))
		}
		r, err := rest.Send(x, k, verb, string(offers[0].ID), nil)
		if err != nil {
			return err
		}
		r.Row.M().Name = offers[0].Spec.Title
		replies = append(replies, r)
	}
	job, err := rest.Begin(x, k, "imsUpdateMember", map[string]string{"image_id": b.Images[0]}, replies...)
	if err != nil {
		return err
	}
	return rest.OK(x, map[string]any{"job_id": job})
}

func memberView(r *row, m image.Member) map[string]any {
	return map[string]any{"status": m.State, "created_at": rest.Stamp(m.Created), "updated_at": rest.Stamp(m.Updated), "image_id": rest.ID(r.ID), "member_id": m.Project,
		"schema": "/v2/schemas/member", "member_type": "project", "urn": ""}
}

func (a *API) listMembers(x *exchange) error {
	r, err := wire.Get(x, a.Images.Images, x.Param("image_id"))
	if err != nil {
		return err
	}
	out := []any{}
	for _, m := range r.Status.Members {
		if s := x.Query("status"); s == "" || s == m.State {
			out = append(out, memberView(r, m))
		}
	}
	return rest.OK(x, map[string]any{"members": out, "schema": "/v2/schemas/members", "page_info": map[string]any{"current_count": len(out)}})
}

func (a *API) showMember(x *exchange) error {
	r, err := wire.Get(x, a.Images.Images, x.Param("image_id"))
	if err != nil {
		return err
	}
	for _, m := range r.Status.Members {
		if same(m.Project, x.Param("member_id")) {
			return rest.OK(x, memberView(r, m))
		}
	}
	return fail.New(fail.NotFound, "the image is not shared with %q", x.Param("member_id"))
}
