package cinder

import (
	"cmp"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/volume"
)

func (a *API) typeRoutes() []route {
	d := a.o.Volumes.Types.D
	return []route{
		{"GET", "/types", d, call.List, listTypes},
		{"POST", "/types", d, call.Create, createType},
		{"GET", "/types/{type_id}", d, call.Get, showType},
		{"PUT", "/types/{type_id}", d, call.Update, updateType},
		{"DELETE", "/types/{type_id}", d, call.Delete, deleteType},
	}
}

// limits are what a type says, under the names that its extra specs have.
func limits(t *volume.TypeSpec) map[string]string {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	return map[string]string{"awan:class": t.Class, "awan:iops": n(t.IOPS), "awan:iops_per_gib": n(t.IOPSPerGiB), "awan:max_iops": n(t.MaxIOPS), "awan:throughput": n(t.Throughput),
		"awan:throughput_per_gib": strconv.FormatFloat(t.ThroughputPerGiB, 'g', -1, 64), "awan:max_throughput": n(t.MaxThroughput), "awan:max_size": n(t.MaxSize)}
}

// specOf turns extra specs into a change of a type: its limits, and words that are kept. Null takes one away; the default type's limit
// stands then.
func specOf(extra map[string]*string, like *volume.Type) (rest.Spec, error) {
	out, kept := rest.Spec{}, map[string]any{}
	standard := limits(&like.Spec)
	for k, v := range extra {
		name, ours := strings.CutPrefix(k, "awan:")
		if !ours {
			if kept[k] = nil; v != nil {
				kept[k] = *v
			}
			continue
		}
		limit, known := standard[k]
		if !known {
			return nil, fail.Field("extra_specs."+k, "volume types have no such limit here").Then("they have %s", strings.Join(slices.Sorted(maps.Keys(standard)), ", "))
		}
		if v != nil {
			limit = *v
		}
		if name == "class" {
			out[name] = limit
			continue
		}
		n, err := strconv.ParseFloat(limit, 64)
		if err != nil {
			return nil, fail.Field("extra_specs."+k, "%q is not a number", limit)
		}
		out[name] = n
	}
	if len(kept) > 0 {
		out["extra"] = kept
	}
	return out, nil
}

// extraOf are a type's extra specs: what it keeps, and its limits where they are others than the default type's.
func extraOf(t, like *volume.Type) map[string]string {
	out := map[string]string{}
	standard := limits(&like.Spec)
	for k, v := range limits(&t.Spec) {
		if t.ID == like.ID || v != standard[k] {
			out[k] = v
		}
	}
	maps.Copy(out, t.Spec.Extra)
	return out
}

func typeView(t, like *volume.Type) map[string]any {
	return map[string]any{"id": t.ID.Dashed(), "name": t.Name, "description": rest.Null(t.Spec.Description), "is_public": !t.Spec.Private, "os-volume-type-access:is_public": !t.Spec.Private,
		"extra_specs": extraOf(t, like), "qos_specs_id": nil}
}

// typeName gives a type's name: clients send that or its id.
func (x *exchange) typeName(nameOrID string) string {
	i, ok := id.Parse(nameOrID)
	if !ok {
		return nameOrID
	}
	_ = x.View(func(tx store.Tx) error {
		t, err := x.api.o.Volumes.Types.Get(tx, i)
		if t != nil {
			nameOrID = t.Name
		}
		return err
	})
	return nameOrID
}

// sees tells whether a type is offered to the caller's project.
func (x *exchange) sees(t *volume.Type, operator bool) bool {
	return operator || t.Spec.For(x.Who.Project)
}

func listTypes(x *exchange) error {
	rows, _, err := wire.Rows(x.Exchange, x.api.o.Volumes.Types, "", kind.Filter{})
	if err != nil {
		return err
	}
	like, err := x.defaultType()
	if err != nil {
		return err
	}
	q := x.Queries()
	public, byPublic := false, false
	if q.Get("is_public") != "None" {
		if public, byPublic, err = rest.Flag(x.Exchange, "is_public"); err != nil {
			return err
		}
	}
	limit, err := x.Number("limit", 0, 0, math.MaxInt)
	if err != nil {
		return err
	}
	operator := rest.Operator(x.Exchange)
	marker, items, more, last := x.Query("marker"), []any{}, false, ""
	for _, t := range rows {
		if !x.sees(t, operator) || byPublic && public == t.Spec.Private || !rest.Same(q, "name", t.Name) || !rest.Same(q, "description", t.Spec.Description) {
			continue
		}
		if marker != "" {
			if rest.IsID(marker, t.ID) {
				marker = ""
			}
			continue
		}
		if more = limit > 0 && len(items) == limit; more {
			break
		}
		items, last = append(items, typeView(t, like)), t.ID.Dashed()
	}
	return x.List("volume_types", items, more, last)
}

// theType reads the type that the path names; "default" is the one that volumes get which ask for none.
func (x *exchange) theType() (*volume.Type, error) {
	if x.Param("type_id") == "default" {
		return x.defaultType()
	}
	t, err := rest.Get(x.Exchange, x.api.o.Volumes.Types, x.Param("type_id"))
	if err == nil && !x.sees(t, false) && !rest.Operator(x.Exchange) {
		return nil, rest.Absent(x.api.o.Volumes.Types.D, x.Param("type_id"))
	}
	return t, err
}

// withDefault reads the type that the path names, and the default one, which it is compared with.
func (x *exchange) withDefault() (t, like *volume.Type, err error) {
	if t, err = x.theType(); err == nil {
		like, err = x.defaultType()
	}
	return t, like, err
}

func (x *exchange) defaultType() (*volume.Type, error) {
	rows, _, err := wire.Rows(x.Exchange, x.api.o.Volumes.Types, "", kind.Filter{Where: func(r kind.AnyRow) bool { return r.(*volume.Type).Spec.Default }})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fail.New(fail.NotFound, "there is no default volume type")
	}
	return rows[0], nil
}

func showType(x *exchange) error {
	t, like, err := x.withDefault()
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "volume_type", typeView(t, like))
}

// typeIn is what clients send of a type.
type typeIn struct {
	Name        *string            `json:"name"`
	Description *string            `json:"description"`
	Public      *bool              `json:"is_public"`
	Access      *bool              `json:"os-volume-type-access:is_public"`
	Extra       map[string]*string `json:"extra_specs"`
}

// spec is a change of a type's words.
func (in *typeIn) spec() rest.Spec {
	out := rest.Spec{}
	if in.Description != nil {
		out["description"] = *in.Description
	}
	if public := cmp.Or(in.Public, in.Access); public != nil {
		out["private"] = !*public
	}
	return out
}

// createType makes a type with the limits of the default one where the extra specs say no others.
func createType(x *exchange) error {
	var in typeIn
	if err := rest.Body(x.Exchange, "volume_type", &in); err != nil {
		return err
	}
	if err := rest.Permitted(x.Exchange, x.api.o.Volumes.Types.D, call.Create); err != nil {
		return err
	}
	like, err := x.defaultType()
	if err != nil {
		return err
	}
	whole := map[string]*string{}
	for k := range limits(&like.Spec) {
		whole[k] = nil
	}
	maps.Copy(whole, in.Extra)
	spec, err := specOf(whole, like)
	if err != nil {
		return err
	}
	maps.Copy(spec, in.spec())
	spec["choose_iops"], spec["choose_throughput"] = like.Spec.ChooseIOPS, like.Spec.ChooseThroughput
	row, err := x.Do(x.api.o.Volumes.Types.D, call.Create, "", func(c *call.Call) { c.Name, c.Spec = in.Name, spec.JSON() })
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "volume_type", typeView(row.(*volume.Type), like))
}

func (x *exchange) editType(edit func(*call.Call)) (*volume.Type, error) {
	r, err := rest.Change(x.Exchange, x.api.o.Volumes.Types.D, call.Update, x.Param("type_id"), edit)
	if err != nil {
		return nil, err
	}
	return r.(*volume.Type), nil
}

func updateType(x *exchange) error {
	var in typeIn
	if err := rest.Body(x.Exchange, "volume_type", &in); err != nil {
		return err
	}
	t, err := x.editType(func(c *call.Call) { c.Name, c.Spec = in.Name, in.spec().JSON() })
	if err != nil {
		return err
	}
	like, err := x.defaultType()
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "volume_type", typeView(t, like))
}

func deleteType(x *exchange) error {
	if _, err := rest.Do(x.Exchange, x.api.o.Volumes.Types.D, call.Delete, x.Param("type_id"), nil); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}
