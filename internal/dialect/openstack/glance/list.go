package glance

import (
	"cmp"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/image"
)

// Pages have 25 images where the client does not say, as Glance's; at most 1000.
const defaultPage = 25

// visible lists what the caller may use: its own images, those it is offered (accepted ones, unless the query asks for
// others), and the cloud's.
func (x *exchange) visible() ([]found, error) {
	s := x.api.o.Images
	own, _, err := wire.Rows(x.Exchange, s.Images, "", kind.Filter{})
	if err != nil {
		return nil, err
	}
	var out []found
	for _, r := range own {
		out = append(out, found{Row: r, of: s.Images.D})
	}
	public, _, err := wire.Rows(x.Exchange, s.Public, "", kind.Filter{})
	if err != nil && !fail.Is(err, fail.Denied) {
		return nil, err
	}
	for _, r := range public {
		out = append(out, found{Row: r, of: s.Public.D})
	}
	offers, _, err := wire.Rows(x.Exchange, s.Offers, "", kind.Filter{})
	if err != nil && !fail.Is(err, fail.Denied) {
		return nil, err
	}
	want := cmp.Or(x.Query("member_status"), image.Accepted)
	for _, o := range offers {
		if want != "all" && o.Status.State != want {
			continue
		}
		r, err := x.offered(o)
		if err != nil {
			return nil, err
		}
		if r != nil {
			out = append(out, found{Row: r, of: s.Images.D, offer: o})
		}
	}
	return out, nil
}

// notProperties are parameters of the query that are no property of images.
var notProperties = []string{"limit", "marker", "sort", "sort_key", "sort_dir", "member_status", "name", "id", "status", "visibility", "owner", "tag", "protected", "os_hidden", "size_min", "size_max",
	"created_at", "updated_at", "disk_format", "container_format", "min_ram", "min_disk", "checksum", "os_hash_value"}

// filter reads what the query asks for.
func (x *exchange) filter() (func(found) bool, error) {
	q := x.Queries()
	protected, byProtected, err := rest.Flag(x.Exchange, "protected")
	if err != nil {
		return nil, err
	}
	hidden, _, err := rest.Flag(x.Exchange, "os_hidden")
	if err != nil {
		return nil, err
	}
	numbers := map[string]int64{}
	for _, k := range []string{"size_min", "size_max", "min_ram", "min_disk"} {
		if s := q.Get(k); s != "" {
			if numbers[k], err = strconv.ParseInt(s, 10, 64); err != nil {
				return nil, fail.Field(k, "%q is not a whole number", s)
			}
		}
	}
	times := map[string]func(time.Time) bool{}
	for _, k := range []string{"created_at", "updated_at"} {
		if times[k], err = timeFilter(k, q.Get(k)); err != nil {
			return nil, err
		}
	}
	return func(f found) bool {
		v := f.view()
		size, sized := v["size"].(int64)
		switch {
		case !oneOf(q["name"], rest.NameOf(&f.Row.Meta)), !oneOf(q["status"], status(f.Row)), !oneOf(q["disk_format"], f.diskFormat()), !oneOf(q["container_format"], f.containerFormat()):
		case q.Has("id") && !oneOf(q["id"], f.Row.ID.Dashed()) && !oneOf(q["id"], string(f.Row.ID)):
		case q.Has("visibility") && q.Get("visibility") != "all" && q.Get("visibility") != f.visibility():
		case q.Has("owner") && q.Get("owner") != string(f.Project), byProtected && protected != f.Spec.Protected, hidden != f.Spec.Hidden:
		case q.Has("size_min") && (!sized || size < numbers["size_min"]), q.Has("size_max") && sized && size > numbers["size_max"]:
		case q.Has("min_ram") && f.Spec.MinMemory != numbers["min_ram"], q.Has("min_disk") && f.Spec.MinDisk != numbers["min_disk"]:
		case q.Has("checksum") && q.Get("checksum") != v["checksum"], q.Has("os_hash_value") && q.Get("os_hash_value") != v["os_hash_value"]:
		case !times["created_at"](f.Created), !times["updated_at"](f.Updated), slices.ContainsFunc(q["tag"], func(t string) bool { return !slices.Contains(rest.Tags(&f.Row.Meta), t) }):
		default:
			for k := range q {
				if !slices.Contains(notProperties, k) && v[k] != q.Get(k) {
					return false
				}
			}
			return true
		}
		return false
	}, nil
}

// oneOf compares with a value, or with "in:a,b".
func oneOf(want []string, got string) bool {
	for _, w := range want {
		if list, ok := strings.CutPrefix(w, "in:"); ok {
			all := strings.Split(list, ",")
			for i := range all {
				all[i] = strings.Trim(all[i], `"`)
			}
			if !slices.Contains(all, got) {
				return false
			}
		} else if w != got {
			return false
		}
	}
	return true
}

// timeFilter reads "gte:2026-01-31T12:00:00Z" and its like.
func timeFilter(name, s string) (func(time.Time) bool, error) {
	if s == "" {
		return func(time.Time) bool { return true }, nil
	}
	op, text, ok := strings.Cut(s, ":")
	if !ok || len(op) > 3 {
		op, text = "eq", s
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, fail.Field(name, "%q is not a time", text).Then("give it as 2026-01-31T12:00:00Z, with gt:, gte:, lt:, lte:, eq: or neq: before it")
	}
	test := map[string]func(c int) bool{"gt": func(c int) bool { return c > 0 }, "gte": func(c int) bool { return c >= 0 }, "lt": func(c int) bool { return c < 0 },
		"lte": func(c int) bool { return c <= 0 }, "eq": func(c int) bool { return c == 0 }, "neq": func(c int) bool { return c != 0 }}[op]
	if test == nil {
		return nil, fail.Field(name, "%q is no comparison", op)
	}
	return func(t time.Time) bool { return test(t.UTC().Truncate(time.Second).Compare(at.UTC())) }, nil
}

func order(keys, dirs []string) (func(a, b found) int, error) {
	by := map[string]func(a, b found) int{
		"name": func(a, b found) int { return cmp.Compare(rest.NameOf(&a.Row.Meta), rest.NameOf(&b.Row.Meta)) }, "status": func(a, b found) int { return cmp.Compare(status(a.Row), status(b.Row)) },
		"id": func(a, b found) int { return cmp.Compare(a.Row.ID, b.Row.ID) }, "created_at": func(a, b found) int { return a.Created.Compare(b.Created) },
		"updated_at": func(a, b found) int { return a.Updated.Compare(b.Updated) }, "size": func(a, b found) int { return cmp.Compare(a.Status.Size, b.Status.Size) },
		"disk_format": func(a, b found) int { return cmp.Compare(a.diskFormat(), b.diskFormat()) }, "container_format": func(a, b found) int { return cmp.Compare(a.containerFormat(), b.containerFormat()) },
	}
	var fs []func(a, b found) int
	for i, k := range keys {
		f, dir := by[k], "desc"
		if f == nil {
			return nil, fail.Field("sort_key", "%q is no key to sort by", k)
		}
		if len(dirs) > 0 {
			dir = dirs[min(i, len(dirs)-1)]
		}
		switch dir {
		case "asc":
		case "desc":
			up := f
			f = func(a, b found) int { return up(b, a) }
		default:
			return nil, fail.Field("sort_dir", "%q is neither asc nor desc", dir)
		}
		fs = append(fs, f)
	}
	return func(a, b found) int {
		for _, f := range fs {
			if c := f(a, b); c != 0 {
				return c
			}
		}
		return cmp.Compare(b.Row.ID, a.Row.ID)
	}, nil
}

func listImages(x *exchange) error {
	q := x.Queries()
	match, err := x.filter()
	if err != nil {
		return err
	}
	keys, dirs := slices.Clone(q["sort_key"]), slices.Clone(q["sort_dir"])
	if s := q.Get("sort"); s != "" {
		for _, part := range strings.Split(s, ",") {
			k, dir, _ := strings.Cut(part, ":")
			keys, dirs = append(keys, k), append(dirs, cmp.Or(dir, "desc"))
		}
	}
	if len(keys) == 0 {
		keys = []string{"created_at"}
	}
	less, err := order(keys, dirs)
	if err != nil {
		return err
	}
	limit := defaultPage
	if q.Has("limit") {
		if limit, err = x.Number("limit", 0, 0, math.MaxInt); err != nil {
			return err
		}
		limit = min(limit, rest.MaxRows)
	}
	all, err := x.visible()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(f found) bool { return !match(f) })
	slices.SortStableFunc(all, less)
	if m := q.Get("marker"); m != "" {
		row, _ := id.Parse(m)
		at := slices.IndexFunc(all, func(f found) bool { return f.Row.ID == row })
		if at < 0 {
			return fail.Field("marker", "No image found with ID %s", m)
		}
		all = all[at+1:]
	}
	items := []any{}
	for i, f := range all {
		if i == limit {
			break
		}
		items = append(items, f.view())
	}
	u := *x.R.URL
	query := u.Query()
	query.Del("marker")
	first := u.Path
	if e := query.Encode(); e != "" {
		first += "?" + e
	}
	out := map[string]any{"images": items, "first": first, "schema": "/v2/schemas/images"}
	if len(all) > limit && limit > 0 {
		query.Set("marker", all[limit-1].Row.ID.Dashed())
		out["next"] = u.Path + "?" + query.Encode()
	}
	wire.Write(x.W, http.StatusOK, out)
	return nil
}
