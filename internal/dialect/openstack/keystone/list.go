package keystone

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// List answers with the rows of a domain that f and match let through, as far as the query's paging goes.
func List[S, T any](x *wire.Exchange, t kind.Table[S, T], plural, domain string, f kind.Filter, match func(*kind.Row[S, T]) bool, view func(*kind.Row[S, T]) any) error {
	f.Where = func(r kind.AnyRow) bool { return match(r.(*kind.Row[S, T])) }
	p, err := pageOf(x)
	if err != nil {
		return err
	}
	f.Limit, f.After = p.limit, p.marker
	rows, more, err := wire.Rows(x, t, domain, f)
	if err != nil {
		return err
	}
	items := make([]any, 0, len(rows))
	for i, row := range rows {
		if i >= p.skip {
			items = append(items, view(row))
		}
	}
	links := token.Links{Self: Self(x, x.R.URL.RequestURI()).Self}
	out := map[string]any{plural: items}
	if more && p.limit > 0 && p.skip == 0 && len(rows) > 0 {
		q := x.R.URL.Query()
		q.Set("marker", string(rows[len(rows)-1].ID))
		next := Self(x, x.R.URL.Path+"?"+q.Encode())
		links.Next = &next.Self
	} else if more && p.limit == 0 {
		out["truncated"] = true
	}
	out["links"] = links
	wire.Write(x.W, http.StatusOK, out)
	return nil
}

type page struct {
	limit, skip int
	marker      id.ID
}

// pageOf reads Keystone's limit and marker, or Huawei's page and per_page.
func pageOf(x *wire.Exchange) (p page, err error) {
	if p.limit, err = x.Number("limit", 0, 0, wire.MaxRows); err != nil {
		return p, err
	}
	if m := x.Query("marker"); m != "" {
		row, ok := id.Parse(m)
		if !ok {
			return p, fail.Field("marker", "%q is not an id", m).Then("give the id of the last entry of the page before")
		}
		p.marker = row
	}
	number, err := x.Number("page", 0, 0, wire.MaxRows)
	if err != nil {
		return p, err
	}
	per, err := x.Number("per_page", 0, 0, wire.MaxRows)
	if err != nil {
		return p, err
	}
	if per > 0 {
		p.skip = (max(number, 1) - 1) * per
		p.limit = p.skip + per
	}
	return p, nil
}

// Page reads which part of a list is asked for: from skip, up to limit counted from the first (0 = all).
func Page(x *wire.Exchange) (skip, limit int, err error) {
	p, err := pageOf(x)
	return p.skip, p.limit, err
}

// flag reads a boolean query parameter; Keystone takes its bare name as true.
func (x *exchange) flag(name string) bool {
	q := x.Queries()
	if !q.Has(name) {
		return false
	}
	switch strings.ToLower(q.Get(name)) {
	case "false", "0", "no":
		return false
	}
	return true
}

// byName selects the name that the query asks for.
func (x *exchange) byName() kind.Filter { return kind.Filter{Exact: x.Query("name")} }

// fits tells whether a row has the name and the state that the query asks for.
func (x *exchange) fits(m *kind.Meta, disabled bool) bool {
	q := x.Queries()
	if n := q.Get("name"); n != "" && n != m.Name {
		return false
	}
	return x.nameFits(m.Name) && (!q.Has("enabled") || x.flag("enabled") != disabled)
}

// domain is the domain that the query or the body names; "" = the caller's.
func (x *exchange) domain(body *string) string {
	if body != nil {
		return x.API.domainNamed(x.R.Context(), *body)
	}
	return x.API.domainNamed(x.R.Context(), cmp.Or(x.Query("domain_id"), x.Call.Domain))
}
