package rest

import (
	"cmp"
	"math"
	"net/url"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// MaxRows is the most rows a page has, and what it has when the client does not say.
const MaxRows = 1000

// Query says which part of a list is asked for.
type Query[S, T any] struct {
	Filter kind.Filter
	Match  func(*kind.Row[S, T]) bool
	// Sorts compare rows by the keys that clients may sort by. Without one they come as they were made, oldest first.
	Sorts map[string]func(a, b *kind.Row[S, T]) int
	// Everywhere lists all projects that the caller may list.
	Everywhere bool
}

// Part gives a page of a list and whether more follows.
func Part[S, T any](x *Exchange, t kind.Table[S, T], q Query[S, T]) (rows []*kind.Row[S, T], more bool, err error) {
	limit, err := x.Number("limit", 0, 0, math.MaxInt)
	if err != nil {
		return nil, false, err
	}
	if limit == 0 || limit > MaxRows {
		limit = MaxRows
	}
	skip, err := x.Number("offset", 0, 0, math.MaxInt)
	if err != nil {
		return nil, false, err
	}
	var marker id.ID
	if m := x.Query("marker"); m != "" {
		var ok bool
		if marker, ok = id.Parse(m); !ok {
			return nil, false, fail.Field("marker", "%q is not an id", m).Then("give the id of the last entry of the page before")
		}
	}
	order, err := ordering(x.Queries(), q.Sorts)
	if err != nil {
		return nil, false, err
	}
	f := q.Filter
	if q.Match != nil {
		f.Where = func(r kind.AnyRow) bool { return q.Match(r.(*kind.Row[S, T])) }
	}
	if order == nil && !q.Everywhere {
		f.Limit, f.After = limit+skip, marker
		rows, more, err = wire.Rows(x, t, "", f)
		return rows[min(skip, len(rows)):], more, err
	}
	if rows, err = whole(x, t, f, q.Everywhere); err != nil {
		return nil, false, err
	}
	if order == nil {
		order = func(a, b *kind.Row[S, T]) int { return cmp.Compare(a.ID, b.ID) }
	}
	slices.SortStableFunc(rows, order)
	if marker != "" {
		at := slices.IndexFunc(rows, func(r *kind.Row[S, T]) bool { return r.ID == marker })
		if at < 0 {
			return nil, false, fail.Field("marker", "marker [%s] not found", marker.Dashed())
		}
		rows = rows[at+1:]
	}
	rows = rows[min(skip, len(rows)):]
	if len(rows) > limit {
		return rows[:limit], true, nil
	}
	return rows, false, nil
}

// whole reads a list to its end, of the caller's project or of all that it may list.
func whole[S, T any](x *Exchange, t kind.Table[S, T], f kind.Filter, everywhere bool) (out []*kind.Row[S, T], err error) {
	projects := []string{x.Call.Project}
	if everywhere {
		if projects, err = Projects(x); err != nil {
			return nil, err
		}
	}
	was := x.Call.Project
	defer func() { x.Call.Project = was }()
	for _, p := range projects {
		x.Call.Project = p
		f.After = ""
		rows, _, err := wire.Rows(x, t, "", f)
		if everywhere && fail.Is(err, fail.Denied) && p != string(x.Who.Project) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, nil
}

// Projects are those that the caller sees: its own, and others of its domain where it may list them; of all domains for
// operators of the cloud.
func Projects(x *Exchange) ([]string, error) {
	if x.Who.Project != "" && x.Who.Bound() {
		return []string{string(x.Who.Project)}, nil // a token for one project opens no other
	}
	domains := []string{""}
	if Operator(x) {
		rows, _, err := wire.Rows(x, x.API.Kinds.Domain, "", kind.Filter{})
		if err != nil {
			return nil, err
		}
		domains = nil
		for _, r := range rows {
			domains = append(domains, string(r.ID))
		}
	}
	var out []string
	for _, d := range domains {
		rows, _, err := wire.Rows(x, x.API.Kinds.Project, d, kind.Filter{})
		if fail.Is(err, fail.Denied) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			out = append(out, string(r.ID))
		}
	}
	return out, nil
}

// ordering reads sort_key and sort_dir, which may come several times, or Cinder's and Glance's "sort=name:asc,size:desc".
func ordering[S, T any](q url.Values, sorts map[string]func(a, b *kind.Row[S, T]) int) (func(a, b *kind.Row[S, T]) int, error) {
	keys, dirs := slices.Clone(q["sort_key"]), slices.Clone(q["sort_dir"])
	for _, part := range splitList(q.Get("sort")) {
		key, dir, _ := strings.Cut(part, ":")
		keys, dirs = append(keys, key), append(dirs, cmp.Or(dir, "desc"))
	}
	if len(keys) == 0 {
		if len(dirs) == 0 || sorts["created_at"] == nil {
			return nil, nil
		}
		keys = []string{"created_at"}
	}
	var by []func(a, b *kind.Row[S, T]) int
	for i, k := range keys {
		f := sorts[k]
		if f == nil {
			return nil, fail.Field("sort_key", "%q is no key to sort by", k)
		}
		dir := "desc"
		if i < len(dirs) {
			dir = dirs[i]
		} else if len(dirs) > 0 {
			dir = dirs[0]
		}
		switch dir {
		case "asc":
			by = append(by, f)
		case "desc":
			by = append(by, func(a, b *kind.Row[S, T]) int { return f(b, a) })
		default:
			return nil, fail.Field("sort_dir", "%q is neither asc nor desc", dir)
		}
	}
	return func(a, b *kind.Row[S, T]) int {
		for _, f := range by {
			if c := f(a, b); c != 0 {
				return c
			}
		}
		return cmp.Compare(a.ID, b.ID)
	}, nil
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// Next is the query of the page after a row.
func Next(x *Exchange, last string) string {
	q := x.R.URL.Query()
	q.Set("marker", last)
	return x.R.URL.Path + "?" + q.Encode()
}

// Same compares a filter of the query with a value: not given, everything fits.
func Same(q url.Values, name, value string) bool {
	return !q.Has(name) || slices.Contains(q[name], value)
}

// Operator tells whether the caller is an operator of the cloud.
func Operator(x *Exchange) bool {
	err := x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error { return x.API.Door.Ident.MarkCloud(tx, &x.Who) })
	return err == nil && x.Who.Cloud()
}

// Operators refuses callers who are none.
func Operators(x *Exchange) error {
	if Operator(x) {
		return nil
	}
	return fail.New(fail.Denied, "Policy doesn't allow this to be performed: only an operator of the cloud may")
}

// Permitted asks the door whether the caller may do something that is no call on a row.
func Permitted(x *Exchange, k *kind.Def, verb string) error {
	c := x.Call
	_, _, err := x.API.Door.Permit(x.R.Context(), &c, k, verb, "*")
	return err
}
