package glance

import (
	"encoding/json"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/image"
)

func (a *API) memberRoutes() []route {
	d := a.o.Images.Images.D
	return []route{
		{"GET", "/images/{image_id}/members", d, call.Get, listMembers},
		{"POST", "/images/{image_id}/members", d, "share", addMember},
		{"GET", "/images/{image_id}/members/{member_id}", d, call.Get, showMember},
		{"PUT", "/images/{image_id}/members/{member_id}", d, call.Get, answer}, // the answer is the other project's, to its offer
		{"DELETE", "/images/{image_id}/members/{member_id}", d, "unshare", removeMember},
	}
}

func memberView(r *image.Row, m image.Member) map[string]any {
	return map[string]any{"member_id": string(m.Project), "image_id": r.ID.Dashed(), "status": m.State, "created_at": rest.Time(m.Created), "updated_at": rest.Time(m.Updated), "schema": "/v2/schemas/member"}
}

// members are those that the caller may know of: all of its own image, itself of another's.
func (x *exchange) members(f found) []image.Member {
	if f.offer == nil {
		return f.Status.Members
	}
	for _, m := range f.Status.Members {
		if m.Project == x.Who.Project {
			return []image.Member{m}
		}
	}
	return nil
}

func listMembers(x *exchange) error {
	f, err := x.image()
	if err != nil {
		return err
	}
	if f.public() {
		return fail.New(fail.NotFound, "public images do not have members")
	}
	items := []any{}
	for _, m := range x.members(f) {
		items = append(items, memberView(f.Row, m))
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"members": items, "schema": "/v2/schemas/members"})
	return nil
}

// member finds the member that the path names.
func (x *exchange) member(f found) (image.Member, error) {
	for _, m := range x.members(f) {
		if string(m.Project) == x.Param("member_id") {
			return m, nil
		}
	}
	return image.Member{}, fail.New(fail.NotFound, "%s not found in the member list of the image %s.", x.Param("member_id"), f.Row.ID.Dashed())
}

func showMember(x *exchange) error {
	f, err := x.image()
	if err != nil {
		return err
	}
	m, err := x.member(f)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, memberView(f.Row, m))
	return nil
}

func addMember(x *exchange) error {
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	var project string
	if json.Unmarshal(o["member"], &project) != nil || project == "" {
		return fail.Field("member", "is required: the id of a project")
	}
	f, err := x.own()
	if err != nil {
		return err
	}
	if v := f.visibility(); v != "shared" {
		return fail.New(fail.Denied, "the image is %s, only shared ones have members", v).Then("set its visibility to shared")
	}
	r, err := x.send(f, "share", func(c *call.Call) { c.In, _ = json.Marshal(image.ShareIn{Project: project}) })
	if fail.Is(err, fail.Invalid) {
		return fail.New(fail.NotFound, "%s", fail.From(err).Message).Because(err)
	}
	if err != nil {
		return err
	}
	for _, m := range r.Status.Members {
		if string(m.Project) == project {
			wire.Write(x.W, http.StatusOK, memberView(r, m))
			return nil
		}
	}
	if n := len(r.Status.Members); n > 0 { // named, not by its id
		wire.Write(x.W, http.StatusOK, memberView(r, r.Status.Members[n-1]))
	}
	return nil
}

// answer is what a project says to an image that is offered to it.
func answer(x *exchange) error {
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	var state string
	if json.Unmarshal(o["status"], &state) != nil {
		return fail.Field("status", "is required: pending, accepted or rejected")
	}
	verb := map[string]string{"accepted": "accept", "rejected": "reject", "pending": "undecide"}[state]
	if verb == "" {
		return fail.Field("status", "%q is none of pending, accepted and rejected", state)
	}
	f, err := x.image()
	if err != nil {
		return err
	}
	if f.offer == nil {
		if _, err := x.member(f); err != nil {
			return err
		}
		return fail.New(fail.Denied, "only the member itself says so")
	}
	if _, err := x.member(f); err != nil {
		return err
	}
	if _, err := rest.Do(x.Exchange, x.api.o.Images.Offers.D, verb, string(f.offer.ID), nil); err != nil {
		return err
	}
	if f, err = x.image(); err != nil {
		return err
	}
	m, err := x.member(f)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, memberView(f.Row, m))
	return nil
}

func removeMember(x *exchange) error {
	f, err := x.own()
	if err != nil {
		return err
	}
	if _, err := x.member(f); err != nil {
		return err
	}
	if _, err := x.send(f, "unshare", func(c *call.Call) { c.In, _ = json.Marshal(image.ShareIn{Project: x.Param("member_id")}) }); err != nil {
		return err
	}
	return x.NoContent()
}
