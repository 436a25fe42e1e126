package nova

import (
	"cmp"
	"hash/fnv"
	"math"
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// A flavour's id is its name, unless the operator who made it chose another.

func (a *API) flavorRoutes() []route {
	d := a.o.Compute.Flavor.D
	return []route{
		{"GET", "/flavors", d, call.List, func(x *exchange) error { return listFlavors(x, false) }},
		{"GET", "/flavors/detail", d, call.List, func(x *exchange) error { return listFlavors(x, true) }},
		{"POST", "/flavors", d, call.Create, createFlavor},
		{"GET", "/flavors/{flavor_id}", d, call.Get, showFlavor},
		{"PUT", "/flavors/{flavor_id}", d, call.Update, updateFlavor},
		{"DELETE", "/flavors/{flavor_id}", d, call.Delete, deleteFlavor},
		{"GET", "/flavors/{flavor_id}/os-extra_specs", d, call.Get, showExtra},
		{"POST", "/flavors/{flavor_id}/os-extra_specs", d, call.Update, addExtra},
		{"GET", "/flavors/{flavor_id}/os-extra_specs/{key}", d, call.Get, showOneExtra},
		{"PUT", "/flavors/{flavor_id}/os-extra_specs/{key}", d, call.Update, putExtra},
		{"DELETE", "/flavors/{flavor_id}/os-extra_specs/{key}", d, call.Update, deleteExtra},
		{"GET", "/flavors/{flavor_id}/os-flavor-access", d, call.Update, showAccess},
		{"POST", "/flavors/{flavor_id}/action", d, call.Update, changeAccess},
	}
}

func flavorID(f *flavorRow) string { return cmp.Or(f.Spec.Alias, f.Name) }

// number is a number that stands for an id where the API wants one.
func number(row id.ID) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(row))
	return int32(h.Sum32() & 0x7fffffff)
}

// flavorByID finds a flavour that the caller may see by the id that clients know, or by its name; nil when there is none.
func (x *exchange) flavorByID(fid string) *flavorRow {
	if fid == "" {
		return nil
	}
	var found *flavorRow
	_ = x.View(func(tx store.Tx) error {
		f, err := x.api.o.Compute.Flavor.Find(tx, "-", fid)
		if err != nil || f != nil && (f.Spec.Alias == "" || f.Spec.Alias == fid) {
			found = f
			return err
		}
		rows, err := x.api.o.Compute.Flavor.List(tx, "-", kind.Filter{Where: func(r kind.AnyRow) bool { return flavorID(r.(*flavorRow)) == fid }})
		if len(rows) > 0 {
			found = rows[0]
		} else {
			found = f
		}
		return err
	})
	if found != nil && !x.sees(found) {
		return nil
	}
	return found
}

// sees tells whether a flavour is offered to the caller's project.
func (x *exchange) sees(f *flavorRow) bool {
	return len(f.Spec.Projects) == 0 && !f.Spec.Private || slices.Contains(f.Spec.Projects, string(x.Who.Project)) || rest.Operator(x.Exchange)
}

// flavor reads the flavour that the path names, through the door.
func (x *exchange) flavor() (*flavorRow, error) {
	fid := x.Param("flavor_id")
	f := x.flavorByID(fid)
	if f == nil {
		if err := rest.Permitted(x.Exchange, x.api.o.Compute.Flavor.D, call.Get); err != nil {
			return nil, err
		}
		return nil, fail.New(fail.NotFound, "Flavor %s could not be found", fid)
	}
	return wire.Get(x.Exchange, x.api.o.Compute.Flavor, string(f.ID))
}

func (x *exchange) flavorView(f *flavorRow) map[string]any {
	fid := flavorID(f)
	v := map[string]any{"id": fid, "name": f.Name, "ram": f.Spec.Memory, "disk": f.Spec.Disk, "vcpus": f.Spec.CPUs, "swap": "", "rxtx_factor": 1.0,
		"OS-FLV-EXT-DATA:ephemeral": 0, "OS-FLV-DISABLED:disabled": f.Spec.Disabled, "os-flavor-access:is_public": !f.Spec.Private, "links": x.links("/flavors/" + fid)}
	if x.Since(75) {
		v["swap"] = 0
	}
	if x.Since(55) {
		v["description"] = rest.Null(f.Spec.Description)
	}
	if x.Since(61) {
		v["extra_specs"] = rest.Words(f.Spec.Extra)
	}
	return v
}

func listFlavors(x *exchange, detail bool) error {
	q := x.Queries()
	disk, err := x.Number("minDisk", 0, 0, math.MaxInt)
	if err != nil {
		return err
	}
	ram, err := x.Number("minRam", 0, 0, math.MaxInt)
	if err != nil {
		return err
	}
	public, byPublic := true, true
	if s := q.Get("is_public"); s == "None" || s == "none" {
		byPublic = false
	} else if q.Has("is_public") {
		if public, _, err = rest.Flag(x.Exchange, "is_public"); err != nil {
			return err
		}
	}
	operator := rest.Operator(x.Exchange)
	all, _, err := wire.Rows(x.Exchange, x.api.o.Compute.Flavor, "", kind.Filter{})
	if err != nil {
		return err
	}
	rows := slices.DeleteFunc(all, func(f *flavorRow) bool {
		mine := f.Spec.Private && slices.Contains(f.Spec.Projects, string(x.Who.Project))
		shown := f.Spec.Private != public || !operator && public && mine
		return f.Spec.Hidden || f.Spec.Disabled && !operator || f.Spec.Disk < disk || f.Spec.Memory < int64(ram) || !x.sees(f) || byPublic && !shown
	})
	if err := sortFlavors(rows, cmp.Or(q.Get("sort_key"), "flavorid"), cmp.Or(q.Get("sort_dir"), "asc")); err != nil {
		return err
	}
	if m := q.Get("marker"); m != "" {
		at := slices.IndexFunc(rows, func(f *flavorRow) bool { return flavorID(f) == m })
		if at < 0 {
			return fail.Field("marker", "marker [%s] not found", m)
		}
		rows = rows[at+1:]
	}
	limit, err := x.Number("limit", 0, 0, math.MaxInt)
	if err != nil {
		return err
	}
	more, last := limit > 0 && len(rows) > limit, ""
	if more {
		rows = rows[:limit]
	}
	items := []any{}
	for _, f := range rows {
		last = flavorID(f)
		if detail {
			items = append(items, x.flavorView(f))
			continue
		}
		v := map[string]any{"id": last, "name": f.Name, "links": x.links("/flavors/" + last)}
		if x.Since(55) {
			v["description"] = rest.Null(f.Spec.Description)
		}
		items = append(items, v)
	}
	return x.List("flavors", items, more, last)
}

func sortFlavors(rows []*flavorRow, key, dir string) error {
	by := map[string]func(a, b *flavorRow) int{
		"flavorid":   func(a, b *flavorRow) int { return cmp.Compare(flavorID(a), flavorID(b)) },
		"id":         func(a, b *flavorRow) int { return cmp.Compare(a.ID, b.ID) },
		"name":       func(a, b *flavorRow) int { return cmp.Compare(a.Name, b.Name) },
		"memory_mb":  func(a, b *flavorRow) int { return cmp.Compare(a.Spec.Memory, b.Spec.Memory) },
		"vcpus":      func(a, b *flavorRow) int { return cmp.Compare(a.Spec.CPUs, b.Spec.CPUs) },
		"root_gb":    func(a, b *flavorRow) int { return cmp.Compare(a.Spec.Disk, b.Spec.Disk) },
		"created_at": func(a, b *flavorRow) int { return a.Created.Compare(b.Created) },
	}[key]
	if by == nil {
		return fail.Field("sort_key", "%q is no key to sort by", key)
	}
	slices.SortStableFunc(rows, func(a, b *flavorRow) int {
		if dir == "desc" {
			a, b = b, a
		}
		return cmp.Or(by(a, b), cmp.Compare(a.Name, b.Name))
	})
	return nil
}

func showFlavor(x *exchange) error {
	f, err := x.flavor()
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "flavor", x.flavorView(f))
}

func createFlavor(x *exchange) error {
	var in struct {
		ID          *string   `json:"id"`
		Name        string    `json:"name"`
		RAM         rest.Int  `json:"ram"`
		Disk        rest.Int  `json:"disk"`
		VCPUs       rest.Int  `json:"vcpus"`
		Swap        *rest.Int `json:"swap"`
		Ephemeral   *rest.Int `json:"OS-FLV-EXT-DATA:ephemeral"`
		RXTX        *float64  `json:"rxtx_factor"`
		Public      *bool     `json:"os-flavor-access:is_public"`
		Description *string   `json:"description"`
	}
	if err := rest.Body(x.Exchange, "flavor", &in); err != nil {
		return err
	}
	if in.Swap != nil && *in.Swap != 0 || in.Ephemeral != nil && *in.Ephemeral != 0 {
		return fail.Field("flavor", "there are no ephemeral and no swap disks here").Then("leave swap and ephemeral at 0")
	}
	spec := rest.Spec{"cpus": in.VCPUs, "memory": in.RAM, "disk": in.Disk, "private": in.Public != nil && !*in.Public}
	if in.Description != nil {
		spec["description"] = *in.Description
	}
	if in.ID != nil && *in.ID != "" && *in.ID != "auto" {
		if other := x.flavorByID(*in.ID); other != nil {
			return fail.New(fail.Exists, "Flavor with ID %s already exists", *in.ID)
		}
		if *in.ID != in.Name {
			spec["alias"] = *in.ID
		}
	} else {
		spec["alias"] = id.New().Dashed()
	}
	row, err := x.Do(x.api.o.Compute.Flavor.D, call.Create, "", func(c *call.Call) { c.Name, c.Spec = &in.Name, spec.JSON() })
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "flavor", x.flavorView(row.(*flavorRow)))
}

// edit changes the flavour that the path names.
func (x *exchange) edit(f *flavorRow, spec rest.Spec) (*flavorRow, error) {
	row, err := x.Do(x.api.o.Compute.Flavor.D, call.Update, string(f.ID), func(c *call.Call) { c.Spec = spec.JSON() })
	if err != nil {
		return nil, err
	}
	return row.(*flavorRow), nil
}

func updateFlavor(x *exchange) error {
	var in struct {
		Description *string `json:"description"`
	}
	if err := rest.Body(x.Exchange, "flavor", &in); err != nil {
		return err
	}
	f, err := x.flavor()
	if err != nil {
		return err
	}
	text := ""
	if in.Description != nil {
		text = *in.Description
	}
	if f, err = x.edit(f, rest.Spec{"description": text}); err != nil {
		return err
	}
	return x.One(http.StatusOK, "flavor", x.flavorView(f))
}

func deleteFlavor(x *exchange) error {
	f, err := x.flavor()
	if err != nil {
		return err
	}
	if _, err := x.Do(x.api.o.Compute.Flavor.D, call.Delete, string(f.ID), nil); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

func showExtra(x *exchange) error {
	f, err := x.flavor()
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "extra_specs", rest.Words(f.Spec.Extra))
}

func addExtra(x *exchange) error {
	var in map[string]string
	if err := rest.Body(x.Exchange, "extra_specs", &in); err != nil {
		return err
	}
	f, err := x.flavor()
	if err != nil {
		return err
	}
	if _, err := x.edit(f, rest.Spec{"extra": in}); err != nil {
		return err
	}
	return x.One(http.StatusOK, "extra_specs", in)
}

func noExtra(f *flavorRow, key string) error {
	return fail.New(fail.NotFound, "Flavor %s has no extra specs with key %s", flavorID(f), key)
}

func showOneExtra(x *exchange) error {
	f, err := x.flavor()
	if err != nil {
		return err
	}
	key := x.Param("key")
	v, ok := f.Spec.Extra[key]
	if !ok {
		return noExtra(f, key)
	}
	writeJSON(x, map[string]string{key: v})
	return nil
}

func putExtra(x *exchange) error {
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	key, v := x.Param("key"), ""
	if len(o) != 1 || o[key] == nil || o.Into(key, &v) != nil {
		return fail.New(fail.Invalid, "the body must hold %q, a text, and no other", key)
	}
	f, err := x.flavor()
	if err != nil {
		return err
	}
	if _, err := x.edit(f, rest.Spec{"extra": map[string]string{key: v}}); err != nil {
		return err
	}
	writeJSON(x, map[string]string{key: v})
	return nil
}

func deleteExtra(x *exchange) error {
	f, err := x.flavor()
	if err != nil {
		return err
	}
	key := x.Param("key")
	if _, ok := f.Spec.Extra[key]; !ok {
		if err := rest.Operators(x.Exchange); err != nil {
			return err
		}
		return noExtra(f, key)
	}
	if _, err := x.edit(f, rest.Spec{"extra": map[string]any{key: nil}}); err != nil {
		return err
	}
	x.W.WriteHeader(http.StatusOK)
	return nil
}

func access(f *flavorRow) []any {
	out := []any{}
	for _, p := range f.Spec.Projects {
		out = append(out, map[string]string{"flavor_id": flavorID(f), "tenant_id": p})
	}
	return out
}

func showAccess(x *exchange) error {
	if err := rest.Operators(x.Exchange); err != nil {
		return err
	}
	f, err := x.flavor()
	if err != nil {
		return err
	}
	if !f.Spec.Private {
		return fail.New(fail.NotFound, "Access list not available for public flavors.")
	}
	return x.One(http.StatusOK, "flavor_access", access(f))
}

func changeAccess(x *exchange) error {
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	f, err := x.flavor()
	if err != nil {
		return err
	}
	var in struct {
		Tenant string `json:"tenant"`
	}
	add := o["addTenantAccess"] != nil
	name := map[bool]string{true: "addTenantAccess", false: "removeTenantAccess"}[add]
	if err := o.Into(name, &in); err != nil {
		return err
	}
	if !f.Spec.Private {
		if err := rest.Operators(x.Exchange); err != nil {
			return err
		}
		return fail.New(fail.Conflict, "the flavour %s is for everybody", f.Name)
	}
	has := slices.Contains(f.Spec.Projects, in.Tenant)
	projects := slices.Clone(f.Spec.Projects)
	switch {
	case add && has:
		return fail.New(fail.Conflict, "Flavor access already exists for flavor %s and project %s combination.", flavorID(f), in.Tenant)
	case add:
		projects = append(projects, in.Tenant)
	case !has:
		return fail.New(fail.NotFound, "Flavor access not found for %s / %s combination.", flavorID(f), in.Tenant)
	default:
		projects = slices.DeleteFunc(projects, func(p string) bool { return p == in.Tenant })
	}
	if f, err = x.edit(f, rest.Spec{"projects": projects}); err != nil {
		return err
	}
	return x.One(http.StatusOK, "flavor_access", access(f))
}
