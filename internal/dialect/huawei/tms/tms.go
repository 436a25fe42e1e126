// Package tms serves Huawei Cloud's Tag Management Service (https://support.huaweicloud.com/intl/en-us/api-tms/):
// predefined tags, and the tags of resources of every kind. It may import the kernel and
// dialect/{huawei/resources,wire}.
package tms

import (
	"cmp"
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

type row = kind.Row[ident.TagSpec, ident.None]

// Routes are the paths of the service.
func Routes(a *wire.API) []wire.Route {
	k, p := a.Kinds.Tag.D, a.Kinds.Project.D
	return []wire.Route{
		{Method: "GET", Path: "/v1.0/predefine_tags", Kind: k, Verb: call.List, Do: listPredefined},
		{Method: "PUT", Path: "/v1.0/predefine_tags", Kind: k, Verb: call.Create, Do: updatePredefined},
		{Method: "POST", Path: "/v1.0/predefine_tags/action", Kind: k, Verb: call.Create, Do: actPredefined},
		{Method: "GET", Path: "/v1.0/tms/quotas", Kind: k, Verb: call.List, Do: quotas},
		{Method: "GET", Path: "/v1.0/tms/providers", Do: providers},
		{Method: "POST", Path: "/v1.0/resource-tags/batch-create", Do: createTags},
		{Method: "POST", Path: "/v1.0/resource-tags/batch-delete", Do: deleteTags},
		{Method: "GET", Path: "/v2.0/resources/{resource_id}/tags", Do: showTags},
		{Method: "POST", Path: "/v1.0/resource-instances/filter", Do: filter},
		{Method: "GET", Path: "/v1.0/tags", Do: listTags},
		{Method: "GET", Path: "/v1.0/tag-keys", Kind: p, Verb: call.List, Do: listKeys},
		{Method: "GET", Path: "/v1.0/tag-values", Kind: p, Verb: call.List, Do: listValues},
	}
}

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// predefined reads all predefined tags, in the order of their keys.
func predefined(x *wire.Exchange) ([]*row, error) {
	rows, _, err := wire.Rows(x, x.API.Kinds.Tag, "", kind.Filter{})
	slices.SortFunc(rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.Spec.Key, b.Spec.Key), cmp.Compare(a.Spec.Value, b.Spec.Value))
	})
	return rows, err
}

// listPredefined lists predefined tags; the marker is a position.
func listPredefined(x *wire.Exchange) error {
	rows, err := predefined(x)
	if err != nil {
		return err
	}
	key, value := x.Query("key"), x.Query("value")
	rows = slices.DeleteFunc(rows, func(r *row) bool {
		return !strings.Contains(r.Spec.Key, key) || !strings.Contains(r.Spec.Value, value)
	})
	switch by := x.Query("order_field"); by {
	case "", "key":
	case "value":
		slices.SortStableFunc(rows, func(a, b *row) int { return cmp.Compare(a.Spec.Value, b.Spec.Value) })
	case "update_time":
		slices.SortStableFunc(rows, func(a, b *row) int { return a.Updated.Compare(b.Updated) })
	default:
		return fail.Field("order_field", "%q is not one of update_time, key, value", by)
	}
	if x.Query("order_method") == "desc" {
		slices.Reverse(rows)
	}
	from, to, err := part(x, len(rows))
	if err != nil {
		return err
	}
	items := make([]any, 0, to-from)
	for _, r := range rows[from:to] {
		items = append(items, map[string]any{"key": r.Spec.Key, "value": r.Spec.Value, "update_time": r.Updated.UTC().Format(time.RFC3339)})
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"tags": items, "marker": next(to, len(rows)), "total_count": len(rows)})
	return nil
}

// actPredefined creates or deletes predefined tags. What is there already, or is gone, is as it should be.
func actPredefined(x *wire.Exchange) error {
	var b struct {
		Action string `json:"action"`
		Tags   []tag  `json:"tags"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	change, verb := define, call.Create
	switch b.Action {
	case "create":
	case "delete":
		change, verb = undefine, call.Delete
	default:
		if err := ask(x, call.Create); err != nil {
			return err
		}
		return fail.Field("action", "%q is neither create nor delete", b.Action)
	}
	if len(b.Tags) == 0 {
		if err := ask(x, verb); err != nil {
			return err
		}
		return fail.Field("tags", "is required")
	}
	for _, t := range b.Tags {
		if err := change(x, t); err != nil {
			return err
		}
	}
	return x.NoContent()
}

func ask(x *wire.Exchange, verb string) error {
	c := x.Call
	_, _, err := x.API.Door.Permit(x.R.Context(), &c, x.API.Kinds.Tag.D, verb, "*")
	return err
}

func define(x *wire.Exchange, t tag) error {
	_, err := x.Do(x.API.Kinds.Tag.D, call.Create, "", func(c *call.Call) { c.Spec = wire.Spec{"key": t.Key, "value": t.Value}.JSON() })
	if fail.Is(err, fail.Exists) {
		return nil
	}
	return err
}

// find gives a predefined tag; nil where there is none.
func find(x *wire.Exchange, t tag) (*row, error) {
	rows, _, err := wire.Rows(x, x.API.Kinds.Tag, "", kind.Filter{Index: "key", Value: t.Key, Where: func(r kind.AnyRow) bool {
		return r.(*row).Spec.Value == t.Value
	}})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

func undefine(x *wire.Exchange, t tag) error {
	if err := ask(x, call.Delete); err != nil {
		return err
	}
	r, err := find(x, t)
	if err != nil || r == nil {
		return err
	}
	_, err = x.Do(x.API.Kinds.Tag.D, call.Delete, string(r.ID), nil)
	return err
}

// updatePredefined puts one predefined tag in the place of another.
func updatePredefined(x *wire.Exchange) error {
	var b struct {
		Old *tag `json:"old_tag"`
		New *tag `json:"new_tag"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	if err := ask(x, call.Create); err != nil {
		return err
	}
	if b.Old == nil || b.New == nil {
		return fail.Field("old_tag", "give both old_tag and new_tag")
	}
	r, err := find(x, *b.Old)
	if err != nil {
		return err
	}
	if r == nil {
		return fail.New(fail.NotFound, "the tag %s=%s is not predefined", b.Old.Key, b.Old.Value)
	}
	if *b.Old == *b.New {
		return x.NoContent()
	}
	if err := define(x, *b.New); err != nil {
		return err
	}
	if err := undefine(x, *b.Old); err != nil {
		return err
	}
	return x.NoContent()
}

// quotas counts the predefined tags; there is no limit to them.
func quotas(x *wire.Exchange) error {
	rows, err := predefined(x)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"quotas": []any{
		map[string]any{"quota_key": "predefined_tag", "quota_limit": -1, "used": len(rows), "unit": "count"}}})
	return nil
}

func providers(x *wire.Exchange) error {
	all := resources.Providers(x, x.Query("provider"))
	offset, err := x.Number("offset", 0, 0, resources.Most)
	if err != nil {
		return err
	}
	limit, err := x.Number("limit", 0, 0, resources.Most)
	if err != nil {
		return err
	}
	from, to := resources.Slice(len(all), offset, limit, 200)
	wire.Write(x.W, http.StatusOK, map[string]any{"providers": all[from:to], "total_count": len(all)})
	return nil
}

// part reads limit and marker: a position.
func part(x *wire.Exchange, n int) (from, to int, err error) {
	at, err := x.Number("marker", 0, 0, resources.Most)
	if err != nil {
		return 0, 0, err
	}
	limit, err := x.Number("limit", 0, 0, resources.Most)
	if err != nil {
		return 0, 0, err
	}
	from, to = resources.Slice(n, at, limit, 1000)
	return from, to, nil
}
