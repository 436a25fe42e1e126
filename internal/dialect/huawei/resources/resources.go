// Package resources finds resources of every kind by the type, project and id that Huawei Cloud's enterprise project and
// tag services name them by. A type is a service and a kind, "app.component". It may import the kernel and
// dialect/{wire,openstack/keystone}.
package resources

import (
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// TypeOf is how a kind is called.
func TypeOf(k *kind.Def) string { return k.Service + "." + k.Name }

// Kinds lists what belongs to projects.
func Kinds(x *wire.Exchange) (out []*kind.Def) {
	for _, k := range x.API.Door.Kinds {
		if k.Scope == kind.InProject {
			out = append(out, k)
		}
	}
	return out
}

// Kind finds a kind by its type.
func Kind(x *wire.Exchange, field, of string) (*kind.Def, error) {
	var all []string
	for _, k := range Kinds(x) {
		if TypeOf(k) == of {
			return k, nil
		}
		all = append(all, TypeOf(k))
	}
	return nil, fail.Field(field, "there is no type of resource %q", of).Then("use one of %s", strings.Join(all, ", "))
}

// Get reads one resource.
func Get(x *wire.Exchange, of, project, row string) (*kind.Def, kind.AnyRow, error) {
	k, err := Kind(x, "resource_type", of)
	if err != nil {
		return nil, nil, err
	}
	r, err := x.Do(k, call.Get, row, func(c *call.Call) { In(c, project) })
	return k, r, err
}

// In sets the project of a call, where one is named.
func In(c *call.Call, project string) {
	if project != "" {
		c.Project = project
	}
}

// Found is one resource.
type Found struct {
	Kind    *kind.Def
	Row     kind.AnyRow
	Project string // its name
}

// Refused is where the caller may not look.
type Refused struct {
	Code    string `json:"error_code"`
	Msg     string `json:"error_msg"`
	Project string `json:"project_id"`
	Type    string `json:"resource_type"`
}

// Most is the most resources of one kind and project that are looked at.
const Most = 10_000

// Search lists the resources of projects (none: all that the caller sees) and types (none: all) that fit. Where the
// caller may not look is said, and no error.
func Search(x *wire.Exchange, projects, types []string, f kind.Filter) (out []Found, refused []Refused, err error) {
	refused, out = []Refused{}, []Found{}
	kinds := Kinds(x)
	if len(types) > 0 {
		kinds = nil
		for _, t := range types {
			k, err := Kind(x, "resource_types", t)
			if err != nil {
				return nil, nil, err
			}
			kinds = append(kinds, k)
		}
	}
	rows, err := projectsOf(x, projects)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range rows {
		for _, k := range kinds {
			found, err := all(x, k, string(p.ID), f)
			if e := fail.From(err); e != nil && e.Kind == fail.Denied {
				refused = append(refused, Refused{"EPS.0003", e.Public(), string(p.ID), TypeOf(k)})
				continue
			}
			if err != nil {
				return nil, nil, err
			}
			for _, r := range found {
				out = append(out, Found{k, r, p.Name})
			}
		}
	}
	return out, refused, nil
}

func projectsOf(x *wire.Exchange, named []string) (out []*keystone.ProjectRow, err error) {
	if len(named) == 0 {
		out, _, err = wire.Rows(x, x.API.Kinds.Project, "", kind.Filter{})
		return out, err
	}
	for _, n := range named {
		row, err := wire.Get(x, x.API.Kinds.Project, n)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, nil
}

func all(x *wire.Exchange, k *kind.Def, project string, f kind.Filter) (out []kind.AnyRow, err error) {
	for {
		c := x.Call
		c.Kind, c.Verb, c.Project, c.Filter = k, call.List, project, f
		c.Filter.Limit = call.MaxPage
		r, err := x.API.Door.Do(x.R.Context(), &c)
		if err != nil {
			return nil, err
		}
		out = append(out, r.Rows...)
		if r.Next == "" || len(out) >= Most {
			return out, nil
		}
		f.After = r.Next
	}
}

// Slice gives the part of n entries that an offset and a limit (0: fallback) ask for.
func Slice(n, offset, limit, fallback int) (from, to int) {
	if limit <= 0 {
		limit = fallback
	}
	from = min(max(offset, 0), n)
	return from, min(from+limit, n)
}

// Providers lists the services with the types of resources they have, those of one provider where it is named.
func Providers(x *wire.Exchange, only string) []any {
	var names []string
	types := map[string][]any{}
	for _, k := range Kinds(x) {
		if only != "" && only != k.Service {
			continue
		}
		if !slices.Contains(names, k.Service) {
			names = append(names, k.Service)
		}
		types[k.Service] = append(types[k.Service], map[string]any{"resource_type": TypeOf(k), "resource_type_i18n_display_name": k.Name,
			"regions": []string{x.API.Region}, "global": false})
	}
	out := []any{}
	for _, n := range names {
		out = append(out, map[string]any{"provider": n, "provider_i18n_display_name": n, "resource_types": types[n]})
	}
	return out
}
