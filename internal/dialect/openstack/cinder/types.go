package cinder

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
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
		{"GET", "/types/{type_id}/extra_specs", d, call.Get, showSpecs},
		{"POST", "/types/{type_id}/extra_specs", d, call.Update, setSpecs},
		{"GET", "/types/{type_id}/extra_specs/{key}", d, call.Get, showSpec},
		{"PUT", "/types/{type_id}/extra_specs/{key}", d, call.Update, setSpec},
	}
}

// limits are what a type says, under the names that its extra specs have.
func limits(t *volume.TypeSpec) map[string]string {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	return map[string]string{"awan:class": t.Class, "awan:iops": n(t.IOPS), "awan:iops_per_gib": n(t.IOPSPerGiB), "awan:max_iops": n(t.MaxIOPS), "awan:throughput": n(t.Throughput),
		"awan:throughput_per_gib": strconv.FormatFloat(t.ThroughputPerGiB, 'g', -1, 64), "awan:max_throughput": n(t.MaxThroughput), "awan:max_size": n(t.MaxSize)}
}

// specOf turns extra specs into what a type says.
func specOf(extra map[string]string) (rest.Spec, error) {
	out := rest.Spec{}
	for k, v := range extra {
		name, ours := strings.CutPrefix(k, "awan:")
		if _, known := limits(&volume.TypeSpec{})[k]; !ours || !known {
			return nil, fail.Field("extra_specs."+k, "volume types have no such extra spec here").Then("they have awan:class, awan:iops, awan:iops_per_gib, awan:max_iops, awan:throughput, awan:throughput_per_gib, awan:max_throughput and awan:max_size")
		}
		if name == "class" {
			out[name] = v
			continue
		}
		n, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return nil, fail.Field("extra_specs."+k, "%q is not a number", v)
		}
		out[name] = n
	}
	return out, nil
}

func typeView(t *volume.Type) map[string]any {
	return map[string]any{"id": t.ID.Dashed(), "name": t.Name, "description": rest.Null(t.Spec.Description), "is_public": true, "os-volume-type-access:is_public": true,
		"extra_specs": limits(&t.Spec), "qos_specs_id": nil}
}

// typeName gives a type's name: clients send that or its id.
func (x *exchange) typeName(nameOrID string) string {
	i, ok := id.Parse(nameOrID)
	if !ok {
		return nameOrID
	}
	_ = x.view(func(tx store.Tx) error {
		t, err := x.api.o.Volumes.Types.Get(tx, i)
		if t != nil {
			nameOrID = t.Name
		}
		return err
	})
	return nameOrID
}

func listTypes(x *exchange) error {
	rows, _, err := keystone.Rows(x.Exchange, x.api.o.Volumes.Types, "", kind.Filter{})
	if err != nil {
		return err
	}
	if public, said, err := rest.Flag(x.Exchange, "is_public"); x.Query("is_public") != "None" && (err != nil || said && !public) {
		return x.list("volume_types", nil, false, "")
	}
	limit, err := rest.Number(x.Queries(), "limit")
	if err != nil {
		return err
	}
	operator := rest.Operator(x.Exchange)
	marker, items, more, last := x.Query("marker"), []any{}, false, ""
	for _, t := range rows {
		if t.Spec.Disabled && !operator {
			continue
		}
		if marker != "" {
			if sameID(marker, &t.Meta) {
				marker = ""
			}
			continue
		}
		if more = limit > 0 && len(items) == limit; more {
			break
		}
		items, last = append(items, typeView(t)), t.ID.Dashed()
	}
	return x.list("volume_types", items, more, last)
}

// theType reads the type that the path names; "default" is the one that volumes get which ask for none.
func (x *exchange) theType() (*volume.Type, error) {
	if x.Param("type_id") != "default" {
		return rest.Get(x.Exchange, x.api.o.Volumes.Types, x.Param("type_id"))
	}
	return x.defaultType()
}

func (x *exchange) defaultType() (*volume.Type, error) {
	rows, _, err := keystone.Rows(x.Exchange, x.api.o.Volumes.Types, "", kind.Filter{Where: func(r kind.AnyRow) bool { return r.(*volume.Type).Spec.Default }})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fail.New(fail.NotFound, "there is no default volume type")
	}
	return rows[0], nil
}

func showType(x *exchange) error {
	t, err := x.theType()
	if err != nil {
		return err
	}
	return x.one(http.StatusOK, "volume_type", typeView(t))
}

// typeIn is what clients send of a type.
type typeIn struct {
	Name        *string           `json:"name"`
	Description *string           `json:"description"`
	Public      *bool             `json:"is_public"`
	Access      *bool             `json:"os-volume-type-access:is_public"`
	Extra       map[string]string `json:"extra_specs"`
}

// createType makes a type with the limits of the default one where the extra specs say no others.
func createType(x *exchange) error {
	var in typeIn
	if err := rest.Body(x.Exchange, "volume_type", &in); err != nil {
		return err
	}
	if in.Public != nil && !*in.Public || in.Access != nil && !*in.Access {
		return fail.Field("volume_type.is_public", "every type is for everybody here")
	}
	if err := rest.Permitted(x.Exchange, x.api.o.Volumes.Types.D, call.Create); err != nil {
		return err
	}
	like, err := x.defaultType()
	if err != nil {
		return err
	}
	spec, err := specOf(limits(&like.Spec))
	if err != nil {
		return err
	}
	said, err := specOf(in.Extra)
	if err != nil {
		return err
	}
	for k, v := range said {
		spec[k] = v
	}
	spec["choose_iops"], spec["choose_throughput"] = like.Spec.ChooseIOPS, like.Spec.ChooseThroughput
	if in.Description != nil {
		spec["description"] = *in.Description
	}
	row, err := x.Do(x.api.o.Volumes.Types.D, call.Create, "", func(c *call.Call) { c.Name, c.Spec = in.Name, spec.JSON() })
	if err != nil {
		return err
	}
	return x.one(http.StatusOK, "volume_type", typeView(row.(*volume.Type)))
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
	if in.Public != nil && !*in.Public {
		return fail.Field("volume_type.is_public", "every type is for everybody here")
	}
	spec := rest.Spec{}
	if in.Description != nil {
		spec["description"] = *in.Description
	}
	t, err := x.editType(func(c *call.Call) { c.Name, c.Spec = in.Name, spec.JSON() })
	if err != nil {
		return err
	}
	return x.one(http.StatusOK, "volume_type", typeView(t))
}

func deleteType(x *exchange) error {
	if _, err := rest.Do(x.Exchange, x.api.o.Volumes.Types.D, call.Delete, x.Param("type_id"), nil); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

func showSpecs(x *exchange) error {
	t, err := x.theType()
	if err != nil {
		return err
	}
	return x.one(http.StatusOK, "extra_specs", limits(&t.Spec))
}

func setSpecs(x *exchange) error {
	var in map[string]string
	if err := rest.Body(x.Exchange, "extra_specs", &in); err != nil {
		return err
	}
	spec, err := specOf(in)
	if err != nil {
		return err
	}
	if _, err := x.editType(func(c *call.Call) { c.Spec = spec.JSON() }); err != nil {
		return err
	}
	return x.one(http.StatusOK, "extra_specs", in)
}

func showSpec(x *exchange) error {
	t, err := x.theType()
	if err != nil {
		return err
	}
	key := x.Param("key")
	v, ok := limits(&t.Spec)[key]
	if !ok {
		return fail.New(fail.NotFound, "Volume Type %s has no extra specs with key %s", t.ID.Dashed(), key)
	}
	token.Write(x.W, http.StatusOK, map[string]string{key: v})
	return nil
}

func setSpec(x *exchange) error {
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	key, v := x.Param("key"), ""
	if len(o) != 1 || json.Unmarshal(o[key], &v) != nil {
		return fail.New(fail.Invalid, "the body must hold %q, a text, and no other", key)
	}
	spec, err := specOf(map[string]string{key: v})
	if err != nil {
		return err
	}
	if _, err := x.editType(func(c *call.Call) { c.Spec = spec.JSON() }); err != nil {
		return err
	}
	token.Write(x.W, http.StatusOK, map[string]string{key: v})
	return nil
}
