package keystone

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// maxRows is the most rows a list without a limit gives; it then says "truncated", as Keystone does.
const maxRows = 10_000

// Do sends one call through the door. edit fills in what is special about it; it may be nil. A change of whatever is
// there is tried again where somebody else changed the row meanwhile: clients change one user in several ways at once.
func (x *Exchange) Do(k *kind.Def, verb, target string, edit func(*call.Call)) (kind.AnyRow, error) {
	for try := 0; ; try++ {
		c := x.Call
		c.Kind, c.Verb, c.Target = k, verb, target
		if edit != nil {
			edit(&c)
		}
		r, err := x.API.Door.Do(x.R.Context(), &c)
		if !fail.Is(err, fail.Conflict) || verb != call.Update || c.IfRevision != 0 || try == 5 {
			return r.Row, err
		}
	}
}

// Get reads a row whose type is known.
func Get[S, T any](x *Exchange, t kind.Table[S, T], target string) (*kind.Row[S, T], error) {
	r, err := x.Do(t.D, call.Get, target, nil)
	if err != nil {
		return nil, err
	}
	return r.(*kind.Row[S, T]), nil
}

// Rows reads the rows of a domain ("" = the caller's) that fit, page by page through the door: those after f.After, at
// most f.Limit or, without a limit, maxRows. more says that there are others.
func Rows[S, T any](x *Exchange, t kind.Table[S, T], domain string, f kind.Filter) (rows []*kind.Row[S, T], more bool, err error) {
	most := f.Limit
	if most <= 0 || most > maxRows {
		most = maxRows
	}
	for {
		c := x.Call
		c.Kind, c.Verb = t.D, call.List
		if domain != "" {
			c.Domain = domain
		}
		f.Limit = min(most-len(rows), call.MaxPage)
		c.Filter = f
		r, err := x.API.Door.Do(x.R.Context(), &c)
		if err != nil {
			return nil, false, err
		}
		for _, row := range r.Rows {
			rows = append(rows, row.(*kind.Row[S, T]))
		}
		if r.Next == "" || len(rows) >= most {
			return rows, r.Next != "", nil
		}
		f.After, f.Skip, f.Total = r.Next, 0, nil
	}
}

// List answers with the rows of a domain that f and match let through, as far as the query's paging goes.
func List[S, T any](x *Exchange, t kind.Table[S, T], plural, domain string, f kind.Filter, match func(*kind.Row[S, T]) bool, view func(*kind.Row[S, T]) any) error {
	f.Where = func(r kind.AnyRow) bool { return match(r.(*kind.Row[S, T])) }
	p, err := pageOf(x.Queries())
	if err != nil {
		return err
	}
	f.Limit, f.After = p.limit, p.marker
	rows, more, err := Rows(x, t, domain, f)
	if err != nil {
		return err
	}
	items := make([]any, 0, len(rows))
	for i, row := range rows {
		if i >= p.skip {
			items = append(items, view(row))
		}
	}
	links := token.Links{Self: x.Self(x.R.URL.RequestURI()).Self}
	out := map[string]any{plural: items}
	if more && p.limit > 0 && p.skip == 0 && len(rows) > 0 {
		q := x.R.URL.Query()
		q.Set("marker", string(rows[len(rows)-1].ID))
		next := x.Self(x.R.URL.Path + "?" + q.Encode()).Self
		links.Next = &next
	} else if more && p.limit == 0 {
		out["truncated"] = true
	}
	out["links"] = links
	token.Write(x.W, http.StatusOK, out)
	return nil
}

type page struct {
	limit, skip int
	marker      id.ID
}

// pageOf reads Keystone's limit and marker, or Huawei's page and per_page.
func pageOf(q url.Values) (p page, err error) {
	if p.limit, err = count(q, "limit"); err != nil {
		return p, err
	}
	if m := q.Get("marker"); m != "" {
		row, ok := id.Parse(m)
		if !ok {
			return p, fail.Field("marker", "%q is not an id", m).Then("give the id of the last entry of the page before")
		}
		p.marker = row
	}
	number, err := count(q, "page")
	if err != nil {
		return p, err
	}
	per, err := count(q, "per_page")
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
func Page(q url.Values) (skip, limit int, err error) {
	p, err := pageOf(q)
	return p.skip, p.limit, err
}

func count(q url.Values, name string) (int, error) {
	s := q.Get(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > maxRows {
		return 0, fail.Field(name, "%q is not a number from 0 to %d", s, maxRows)
	}
	return n, nil
}

// Body reads a body {singular: {…}} into v. No body, and no such object in it, read as an empty one: what is then
// missing is found by the kind's own rules, after the question whether the caller may do this at all.
func (x *Exchange) Body(singular string, v any) error {
	b, err := io.ReadAll(http.MaxBytesReader(x.W, x.R.Body, MaxBody))
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return fail.New(fail.TooLarge, "the body is larger than %d bytes", MaxBody)
	}
	if err != nil {
		return fail.Wrap(err, fail.Invalid, "the body could not be read to its end")
	}
	if len(b) == 0 {
		return nil
	}
	var outer map[string]json.RawMessage
	if err := json.Unmarshal(b, &outer); err != nil {
		return fail.New(fail.Invalid, "the body is not a JSON object").Then(`send {%q: {…}}`, singular)
	}
	inner, ok := outer[singular]
	if !ok && len(outer) > 0 {
		return fail.Field(singular, "it is missing").Then(`send {%q: {…}}`, singular)
	}
	return kind.DecodeStrict(inner, v, singular, kind.FieldsOf(v))
}

// Spec is a spec or a patch of one for the door: the entries that are set.
type Spec map[string]any

// Set puts a value that the client sent.
func Set[T any](s Spec, name string, v *T) {
	if v != nil {
		s[name] = *v
	}
}

// Not puts the opposite of a flag that the client sent ("enabled" is "disabled" here).
func Not(s Spec, name string, v *bool) {
	if v != nil {
		s[name] = !*v
	}
}

// JSON is the spec as the door takes it.
func (s Spec) JSON() json.RawMessage {
	b, err := json.Marshal(map[string]any(s))
	if err != nil {
		return nil // plain values always encode
	}
	return b
}

// Named turns a refusal of a referenced row's id, which the kinds see as a wrong field, into "not found": here the id
// stands in the path.
func Named(err error) error {
	if e := fail.From(err); e != nil && e.Kind == fail.Invalid && strings.HasPrefix(e.Field, "spec.") && strings.HasPrefix(e.Message, "there is no ") {
		return &fail.Error{Kind: fail.NotFound, Message: e.Message, Next: e.Next, Cause: err}
	}
	return err
}

// flag reads a boolean query parameter; Keystone takes its bare name as true.
func (x *Exchange) flag(name string) bool {
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
func (x *Exchange) byName() kind.Filter { return kind.Filter{Exact: x.Query("name")} }

// fits tells whether a row has the name and the state that the query asks for.
func (x *Exchange) fits(m *kind.Meta, disabled bool) bool {
	q := x.Queries()
	if n := q.Get("name"); n != "" && n != m.Name {
		return false
	}
	return x.nameFits(m.Name) && (!q.Has("enabled") || x.flag("enabled") != disabled)
}

// domain is the domain that the query or the body names; "" = the caller's.
func (x *Exchange) domain(body *string) string {
	if body != nil {
		return x.API.domainNamed(x.R.Context(), *body)
	}
	return x.API.domainNamed(x.R.Context(), cmp.Or(x.Query("domain_id"), x.Call.Domain))
}
