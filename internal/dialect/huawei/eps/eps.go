// Package eps serves Huawei Cloud's enterprise projects (https://support.huaweicloud.com/intl/en-us/api-em/): sets of
// resources across projects. It may import the kernel and dialect/{huawei/resources,wire}.
package eps

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/huawei/resources"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

type row = kind.Row[ident.EnterpriseSpec, ident.None]

// The states of an enterprise project.
const (
	enabled  = 1
	disabled = 2
)

// Routes are the paths of the service.
func Routes(a *wire.API) []wire.Route {
	k, all := a.Kinds.Enterprise.D, "/v1.0/enterprise-projects"
	one := all + "/{enterprise_project_id}"
	return []wire.Route{
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: list},
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: create},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: show},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: update},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: remove},
		{Method: "POST", Path: one + "/action", Kind: k, Verb: call.Update, Do: act},
		{Method: "POST", Path: one + "/resources/filter", Kind: k, Verb: call.Get, Do: filter},
		{Method: "POST", Path: one + "/resources-migrate", Kind: k, Verb: call.Get, Do: migrate},
		{Method: "GET", Path: all + "/quotas", Kind: k, Verb: call.List, Do: quotas},
		{Method: "GET", Path: all + "/providers", Do: providers},
		{Method: "GET", Path: all + "/resources-mapping", Do: mapping},
		{Method: "GET", Path: "/v1/enterprise-projects/configs", Do: configs},
		{Method: "GET", Path: "/v1.0/associated-resources/{resource_id}", Do: associated},
		{Method: "GET", Path: "/", Open: true, Do: versions},
		{Method: "GET", Path: "/v1.0", Open: true, Do: version},
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func view(r *row) map[string]any {
	status := enabled
	if r.Spec.Disabled {
		status = disabled
	}
	return map[string]any{"id": r.ID, "name": r.Name, "description": r.Spec.Description, "status": status, "type": cmp.Or(r.Spec.Type, "prod"),
		"created_at": stamp(r.Created), "updated_at": stamp(r.Updated), "delete_flag": false}
}

// standard is the enterprise project of what belongs to no other: it is as old as its account.
func standard(x *wire.Exchange) (map[string]any, error) {
	d, err := wire.Get(x, x.API.Kinds.Domain, cmp.Or(x.Call.Domain, string(x.Who.Domain)))
	made := time.Time{}
	switch {
	case err == nil:
		made = d.Created
	case !fail.Is(err, fail.Denied):
		return nil, err
	}
	return map[string]any{"id": ident.DefaultEnterprise, "name": "default", "description": "what belongs to no other", "status": enabled,
		"type": "prod", "created_at": stamp(made), "updated_at": stamp(made), "delete_flag": false}, nil
}

func list(x *wire.Exchange) error {
	rows, _, err := wire.Rows(x, x.API.Kinds.Enterprise, "", kind.Filter{})
	if err != nil {
		return err
	}
	first, err := standard(x)
	if err != nil {
		return err
	}
	items := []map[string]any{first}
	for _, r := range rows {
		items = append(items, view(r))
	}
	q := x.R.URL.Query()
	items = slices.DeleteFunc(items, func(v map[string]any) bool {
		status := q.Get("status")
		return q.Get("id") != "" && q.Get("id") != text(v["id"]) || !strings.Contains(text(v["name"]), q.Get("name")) ||
			q.Get("type") != "" && q.Get("type") != v["type"] || status == "1" && v["status"] != enabled || status == "2" && v["status"] != disabled
	})
	if key := q.Get("sort_key"); key != "" {
		if key != "created_at" && key != "updated_at" && key != "name" {
			return fail.Field("sort_key", "%q is not one of created_at, updated_at, name", key)
		}
		slices.SortStableFunc(items, func(a, b map[string]any) int { return cmp.Compare(text(a[key]), text(b[key])) })
		if q.Get("sort_dir") == "desc" {
			slices.Reverse(items)
		}
	}
	offset, err := x.Number("offset", 0, 0, resources.Most)
	if err != nil {
		return err
	}
	limit, err := x.Number("limit", 0, 0, resources.Most)
	if err != nil {
		return err
	}
	from, to := resources.Slice(len(items), offset, limit, 1000)
	wire.Write(x.W, http.StatusOK, map[string]any{"enterprise_projects": items[from:to], "total_count": len(items)})
	return nil
}

// text prints an id or a string of a view.
func text(v any) string { return fmt.Sprint(v) }

type body struct {
	Name        *string `json:"name"`
	Description *string `json:"description"`
	Type        *string `json:"type"`
}

func (b *body) apply(c *call.Call) {
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	wire.Set(s, "type", b.Type)
	c.Name, c.Spec = b.Name, s.JSON()
}

func create(x *wire.Exchange) error {
	var b body
	if err := x.Plain(&b); err != nil {
		return err
	}
	r, err := x.Do(x.API.Kinds.Enterprise.D, call.Create, "", b.apply)
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "enterprise_project", view(r.(*row)))
}

func show(x *wire.Exchange) error {
	if x.Param("enterprise_project_id") == ident.DefaultEnterprise {
		if err := ask(x, call.Get); err != nil {
			return err
		}
		v, err := standard(x)
		if err != nil {
			return err
		}
		return x.One(http.StatusOK, "enterprise_project", v)
	}
	r, err := wire.Get(x, x.API.Kinds.Enterprise, x.Param("enterprise_project_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "enterprise_project", view(r))
}

func ask(x *wire.Exchange, verb string) error {
	c := x.Call
	_, _, err := x.API.Door.Permit(x.R.Context(), &c, x.API.Kinds.Enterprise.D, verb, "*")
	return err
}

// changeable gives the id of one that can be changed: the default one cannot.
func changeable(x *wire.Exchange, verb string) (string, error) {
	ep := x.Param("enterprise_project_id")
	if ep != ident.DefaultEnterprise {
		return ep, nil
	}
	if err := ask(x, verb); err != nil {
		return "", err
	}
	return "", fail.New(fail.Precondition, "the default enterprise project cannot be changed").Then("make one of your own")
}

func update(x *wire.Exchange) error {
	var b body
	if err := x.Plain(&b); err != nil {
		return err
	}
	ep, err := changeable(x, call.Update)
	if err != nil {
		return err
	}
	r, err := x.Do(x.API.Kinds.Enterprise.D, call.Update, ep, b.apply)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "enterprise_project", view(r.(*row)))
}

func remove(x *wire.Exchange) error {
	ep, err := changeable(x, call.Delete)
	if err != nil {
		return err
	}
	if _, err := x.Do(x.API.Kinds.Enterprise.D, call.Delete, ep, nil); err != nil {
		return err
	}
	return x.NoContent()
}

// act enables or disables one.
func act(x *wire.Exchange) error {
	var b struct {
		Action string `json:"action"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	ep, err := changeable(x, call.Update)
	if err != nil {
		return err
	}
	if _, err := wire.Get(x, x.API.Kinds.Enterprise, ep); err != nil {
		return err
	}
	if err := ask(x, call.Update); err != nil {
		return err
	}
	if b.Action != "enable" && b.Action != "disable" {
		return fail.Field("action", "%q is neither enable nor disable", b.Action)
	}
	_, err = x.Do(x.API.Kinds.Enterprise.D, call.Update, ep, func(c *call.Call) {
		c.Spec = wire.Spec{"disabled": b.Action == "disable"}.JSON()
	})
	if err != nil {
		return err
	}
	return x.NoContent()
}
