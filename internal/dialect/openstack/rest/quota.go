package rest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

// Quotas are a service's words for what is counted in a project, and for what this cloud does not count.
type Quotas struct {
	Dims  map[string]ledger.Dim
	Fixed map[string]int64 // the same in every project
}

// unlimited is the limit that is none: -1 to clients, whereas the ledger's -1 is the default.
const unlimited = 1 << 40

// Limit prints a limit as these services do.
func Limit(n int64) int64 {
	if n >= unlimited {
		return -1
	}
	return n
}

// Of reads a project's quotas, by the service's words.
func (q Quotas) Of(x *Exchange, project string) (map[string]ledger.Quota, error) {
	c := x.Call
	if project != "" {
		c.Project = project
	}
	all, err := x.API.Door.Quotas(x.R.Context(), &c)
	out := map[string]ledger.Quota{}
	for name, d := range q.Dims {
		if i := slices.IndexFunc(all, func(one ledger.Quota) bool { return one.Dim == d }); i >= 0 {
			out[name] = all[i]
			one := out[name]
			one.Limit = Limit(one.Limit)
			out[name] = one
		}
	}
	return out, err
}

// Limits are the limits of a project.
func (q Quotas) Limits(x *Exchange, project string) (map[string]any, error) {
	all, err := q.Of(x, project)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for name, n := range q.Fixed {
		out[name] = n
	}
	for name, one := range all {
		out[name] = one.Limit
	}
	return out, nil
}

// Detail are the limits of a project and what of them is used, under the name that the service has for that ("in_use").
func (q Quotas) Detail(x *Exchange, project, used string) (map[string]any, error) {
	all, err := q.Of(x, project)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for name, n := range q.Fixed {
		out[name] = map[string]int64{"limit": n, used: 0, "reserved": 0}
	}
	for name, one := range all {
		out[name] = map[string]int64{"limit": one.Limit, used: one.Used, "reserved": 0}
	}
	return out, nil
}

// Defaults are what a project has that was given no limits of its own.
func (q Quotas) Defaults(x *Exchange) map[string]any {
	out := map[string]any{}
	for name, n := range q.Fixed {
		out[name] = n
	}
	for name, d := range q.Dims {
		out[name] = int64(-1)
		if f := x.API.Door.Limits; f != nil {
			if n, ok := f(d); ok {
				out[name] = Limit(n)
			}
		}
	}
	return out
}

// May refuses those who do not set a project's quotas; whom the project is hidden from finds none.
func (q Quotas) May(x *Exchange, project string) error {
	if _, err := q.Of(x, project); err != nil {
		return err
	}
	return Operators(x)
}

// besides are parts of a request that are no limits.
var besides = []string{"force", "tenant_id", "project_id", "skip_validation", "check_limit"}

// Set gives a project limits of its own, as operators may: -1 is none, null the default. in is the name of the object that they stood in.
// All words are read before the first limit changes. With force a limit may be below what is used already; without, it is refused.
func (q Quotas) Set(x *Exchange, project, in string, limits map[string]json.RawMessage, force bool) error {
	now, err := q.Of(x, project)
	if err != nil {
		return err
	}
	if err := Operators(x); err != nil {
		return err
	}
	wanted := map[ledger.Dim]int64{}
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		if slices.Contains(besides, name) {
			continue
		}
		n, raw := Int(-1), limits[name]
		if string(raw) != "null" {
			if err := json.Unmarshal(raw, &n); err != nil || n < -1 {
				return fail.Field(in+"."+name, "%s is not a whole number of -1 or more", string(raw))
			}
		}
		d, counted := q.Dims[name]
		if was, said := wanted[d]; said && was >= 0 && (n < 0 || was < int64(n)) {
			continue // two words for one number
		}
		fixed, known := q.Fixed[name]
		switch {
		case counted && string(raw) == "null":
			wanted[d] = -1
		case counted && n < 0:
			wanted[d] = unlimited
		case counted && !force && int64(n) < now[name].Used:
			return fail.Field(in+"."+name, "%d of them are used already, more than %d", now[name].Used, n).Then("give a limit of %d at least, or say force", now[name].Used)
		case counted:
			wanted[d] = int64(n)
		case !known:
			return fail.Field(in+"."+name, "this cloud has no such quota").Then("it has %s", strings.Join(slices.Sorted(maps.Keys(q.Dims)), ", "))
		case fixed != int64(n):
			return fail.Field(in+"."+name, "it is %d in every project", fixed).Then("it has %s", strings.Join(slices.Sorted(maps.Keys(q.Dims)), ", "))
		}
	}
	return q.write(x, project, wanted)
}

// Drop gives a project the defaults again.
func (q Quotas) Drop(x *Exchange, project string) error {
	wanted := map[ledger.Dim]int64{}
	for _, d := range q.Dims {
		wanted[d] = -1
	}
	return q.write(x, project, wanted)
}

func (q Quotas) write(x *Exchange, project string, wanted map[ledger.Dim]int64) error {
	if len(wanted) == 0 {
		return nil
	}
	c := x.Call
	c.Project = project
	c.Spec, _ = json.Marshal(wanted) // plain values always encode
	return x.API.Door.SetQuotas(x.R.Context(), &c, wanted)
}

// Class refuses quota classes other than the one there is.
func Class(name string) error {
	if name != "default" {
		return fail.New(fail.NotFound, "there is no quota class %s", name).Then("ask for default")
	}
	return nil
}
