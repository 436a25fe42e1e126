package ims

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

func (a *API) listRoutes() []route {
	k := a.Images.Images.D
	return []route{
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Alias: "ims:images:list", Do: a.list},
		{Method: "GET", Path: "/v2/images", Kind: k, Verb: call.List, Alias: "ims:images:list", Do: a.list},
		{Method: "GET", Path: "/v2/images/{image_id}", Kind: k, Verb: call.Get, Alias: "ims:images:get", Do: a.show},
	}
}

// visible lists what the caller's project may use, once the caller may list images.
func (a *API) visible(x *exchange) (rows []*row, project id.ID, err error) {
	c := x.Call
	_, project, err = a.Door.Permit(x.R.Context(), &c, a.Images.Images.D, call.List, "*")
	if err != nil {
		return nil, "", err
	}
	err = a.Door.Store.View(x.R.Context(), func(tx store.Tx) (err error) {
		rows, err = a.Images.Visible(tx, project)
		return err
	})
	return rows, project, err
}

// find gives an image that the caller may see: one of its own through the door, else one that everybody sees or that its
// project accepted.
func (a *API) find(x *exchange, name string) (*row, error) {
	r, err := x.Do(a.Images.Images.D, call.Get, name, nil)
	if err == nil {
		return r.(*row), nil
	}
	if !fail.Is(err, fail.NotFound) {
		return nil, err
	}
	c := x.Call
	_, project, perr := a.Door.Permit(x.R.Context(), &c, a.Images.Images.D, call.Get, "*")
	if perr != nil {
		return nil, perr
	}
	var found *row
	verr := a.Door.Store.View(x.R.Context(), func(tx store.Tx) (err error) {
		found, err = a.Images.Locate(tx, project, name)
		return err
	})
	if verr != nil || found == nil {
		return nil, err
	}
	return found, nil
}

// project is the one that a request is about.
func (a *API) project(x *exchange) id.ID {
	c := x.Call
	_, project, err := a.Door.Permit(x.R.Context(), &c, a.Images.Images.D, call.Get, "*")
	if err != nil {
		return "" // what is shown then belongs to somebody else
	}
	return project
}

func (a *API) show(x *exchange) error {
	r, err := a.find(x, x.Param("image_id"))
	if err != nil {
		return err
	}
	return rest.OK(x, a.view(r, a.project(x)))
}

// list answers a page: the images after the one that marker names. A page after the last is empty, which clients wait for.
func (a *API) list(x *exchange) error {
	rows, project, err := a.visible(x)
	if err != nil {
		return err
	}
	limit, err := x.Number("limit", 25, 0, 1000)
	if err != nil {
		return err
	}
	fits, err := a.tests(x, project)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(r *row) bool { return !fits(r) })
	newestFirst(rows)
	if err := order(x, rows); err != nil {
		return err
	}
	if m := x.Query("marker"); m != "" {
		at := slices.IndexFunc(rows, func(r *row) bool { return same(r.ID, m) })
		if at < 0 {
			return fail.Field("marker", "%q is not an image of this list", m).Then("give the id of the last entry of the page before")
		}
		rows = rows[at+1:]
	}
	out := []any{}
	for _, r := range rest.Cut(rows, 0, limit) {
		out = append(out, a.view(r, project))
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"images": out})
	return nil
}

func order(x *exchange, rows []*row) error {
	by := x.Query("sort_key")
	less := map[string]func(l, r *row) int{"": nil, "created_at": func(l, r *row) int { return l.Created.Compare(r.Created) }, "updated_at": func(l, r *row) int { return l.Updated.Compare(r.Updated) },
		"name": func(l, r *row) int { return cmp.Compare(l.Name, r.Name) }, "id": func(l, r *row) int { return cmp.Compare(l.ID, r.ID) }, "size": func(l, r *row) int { return cmp.Compare(l.Status.Size, r.Status.Size) },
		"status": func(l, r *row) int { return cmp.Compare(status(l), status(r)) }, "disk_format": func(l, r *row) int { return cmp.Compare(diskFormat(l), diskFormat(r)) }, "container_format": func(*row, *row) int { return 0 }}
	f, ok := less[by]
	if !ok {
		return fail.Field("sort_key", "%q is none of created_at, updated_at, name, id, size, status, disk_format and container_format", by)
	}
	if f != nil {
		slices.SortStableFunc(rows, f)
	}
	switch d := x.Query("sort_dir"); {
	case d == "desc" && f != nil || d == "asc" && f == nil:
		slices.Reverse(rows)
	case d != "" && d != "asc" && d != "desc":
		return fail.Field("sort_dir", "%q is neither asc nor desc", d)
	}
	return nil
}

func same(row id.ID, want string) bool {
	w, ok := id.Parse(strings.TrimSpace(want))
	return ok && w == row
}

// tests reads what the query filters by.
func (a *API) tests(x *exchange, project id.ID) (func(*row) bool, error) {
	q := x.Queries()
	var all []func(*row) bool
	is := func(name string, of func(*row) string) {
		if w := q.Get(name); w != "" {
			all = append(all, func(r *row) bool { return strings.EqualFold(of(r), w) })
		}
	}
	is("name", func(r *row) string { return r.Name })
	is("status", status)
	is("owner", func(r *row) string { return string(r.Project) })
	is("__platform", platform)
	is("virtual_env_type", kindOf)
	is("disk_format", diskFormat)
	is("container_format", func(*row) string { return "bare" })
	is("protected", func(r *row) string { return strconv.FormatBool(r.Spec.Protected) })
	is("__os_bit", func(*row) string { return "64" })
	is("__os_type", func(r *row) string { return r.Spec.OSType })
	is("__isregistered", func(*row) string { return "true" })
	is("__support_kvm", func(*row) string { return "true" })
	is("architecture", func(r *row) string {
		return map[string]string{"aarch64": "arm"}[r.Spec.Architecture] + map[string]string{"x86_64": "x86"}[r.Spec.Architecture]
	})
	is("enterprise_project_id", func(r *row) string {
		if w := q.Get("enterprise_project_id"); w == "all_granted_eps" || a.typeOf(r, project) != "private" {
			return w
		}
		return rest.Enterprise(&r.Meta)
	})
	is("visibility", func(r *row) string {
		return map[string]string{"gold": "public", "private": "private", "shared": "shared"}[a.typeOf(r, project)]
	})
	if w := q.Get("__imagetype"); w != "" { // several, with commas
		all = append(all, func(r *row) bool { return slices.Contains(strings.Split(w, ","), a.typeOf(r, project)) })
	}
	if w := q.Get("id"); w != "" {
		all = append(all, func(r *row) bool {
			return slices.ContainsFunc(strings.Split(w, ","), func(one string) bool { return same(r.ID, one) })
		})
	}
	if w := q.Get("tag"); w != "" {
		all = append(all, func(r *row) bool {
			return slices.Contains(rest.Pairs(r.Tags), w) || slices.Contains(rest.Pairs(r.Tags), strings.Replace(w, ".", "=", 1))
		})
	}
	if s := q.Get("member_status"); s != "" {
		all = append(all, func(r *row) bool { return a.typeOf(r, project) != "shared" || s == "accepted" })
	}
	for _, name := range []string{"min_disk", "min_ram"} {
		n, err := x.Number(name, -1, 0, 1<<30)
		if err != nil {
			return nil, err
		}
		if n >= 0 {
			all = append(all, func(r *row) bool {
				return map[string]int64{"min_disk": r.Spec.MinDisk, "min_ram": r.Spec.MinMemory}[name] == int64(n)
			})
		}
	}
	for _, name := range []string{"created_at", "updated_at"} {
		if w := q.Get(name); w != "" {
			f, err := moment(name, w)
			if err != nil {
				return nil, err
			}
			all = append(all, func(r *row) bool {
				return f(map[string]time.Time{"created_at": r.Created, "updated_at": r.Updated}[name])
			})
		}
	}
	return func(r *row) bool { return !slices.ContainsFunc(all, func(f func(*row) bool) bool { return !f(r) }) }, nil
}

// moment reads "gte:2019-10-10T10:00:00Z".
func moment(field, s string) (func(time.Time) bool, error) {
	op, at, _ := strings.Cut(s, ":")
	when, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return nil, fail.Field(field, "%q is not an operator and a time, gte:2019-10-10T10:00:00Z say", s)
	}
	cmp := map[string]func(int) bool{"gt": func(c int) bool { return c > 0 }, "gte": func(c int) bool { return c >= 0 }, "lt": func(c int) bool { return c < 0 },
		"lte": func(c int) bool { return c <= 0 }, "eq": func(c int) bool { return c == 0 }, "neq": func(c int) bool { return c != 0 }}[op]
	if cmp == nil {
		return nil, fail.Field(field, "%q is none of gt, gte, lt, lte, eq and neq", op)
	}
	return func(t time.Time) bool { return cmp(t.Truncate(time.Second).Compare(when)) }, nil
}
