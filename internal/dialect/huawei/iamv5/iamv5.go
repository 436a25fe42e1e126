// Package iamv5 serves version 5 of Huawei Cloud's identity API (https://support.huaweicloud.com/intl/en-us/api-iam5/):
// users, groups, identity policies and their versions, trust agencies, log-in profiles, MFA devices and the account's
// settings, over the same rows as version 3. It may import the kernel and dialect/{wire,openstack/keystone}.
package iamv5

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// The most entries of a page, and those of one whose size is not asked for.
const (
	maxPage     = 200
	defaultPage = 100
)

// Hidden begins the keys of tags in which this dialect keeps what its clients say of a row and the cloud has no field
// for; they are shown as that, never as tags.
const Hidden = "huawei_"

// Routes are the paths below /v5.
func Routes(a *wire.API) []wire.Route {
	var out []wire.Route
	for _, rs := range [][]wire.Route{userRoutes(a), groupRoutes(a), keyRoutes(a), profileRoutes(a), policyRoutes(a), versionRoutes(a),
		attachRoutes(a), agencyRoutes(a), mfaRoutes(a), ruleRoutes(a), tagRoutes(a), accountRoutes(a), schemaRoutes(a)} {
		out = append(out, rs...)
	}
	return out
}

// stamp prints a time as version 5 does.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// moment prints a time that may not have come; then it is null.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return stamp(t)
}

func urn(domain id.ID, what, name string) string {
	return "iam::" + string(domain) + ":" + what + ":" + name
}

type pageInfo struct {
	Next  string `json:"next_marker,omitempty"`
	Count int    `json:"current_count"`
}

// paging reads limit and marker.
func paging(x *wire.Exchange) (limit int, after string, err error) {
	limit, err = x.Number("limit", defaultPage, 1, maxPage)
	return limit, x.Query("marker"), err
}

// page answers with one page of items under their plural name.
func page(x *wire.Exchange, plural string, items []any, next string) error {
	if items == nil {
		items = []any{}
	}
	wire.Write(x.W, http.StatusOK, map[string]any{plural: items, "page_info": pageInfo{next, len(items)}})
	return nil
}

// List answers with a page of rows of a domain ("" = the caller's); their ids are the markers.
func List[S, T any](x *wire.Exchange, t kind.Table[S, T], plural, domain string, f kind.Filter, view func(*kind.Row[S, T]) (any, error)) error {
	limit, after, err := paging(x)
	if err != nil {
		return err
	}
	if after != "" {
		row, ok := id.Parse(after)
		if !ok {
			return fail.Field("marker", "%q is no marker", after).Then("give the next_marker of the page before")
		}
		f.After = row
	}
	f.Limit = limit
	rows, more, err := wire.Rows(x, t, domain, f)
	if err != nil {
		return err
	}
	var items []any
	for _, r := range rows {
		v, err := view(r)
		if err != nil {
			return err
		}
		items = append(items, v)
	}
	next := ""
	if more && len(rows) > 0 {
		next = string(rows[len(rows)-1].ID)
	}
	return page(x, plural, items, next)
}

// slice answers with a page of a list that is at hand whole; the markers are positions in it.
func slice(x *wire.Exchange, plural string, items []any) error {
	limit, after, err := paging(x)
	if err != nil {
		return err
	}
	from := 0
	if after != "" {
		if from, err = strconv.Atoi(after); err != nil || from < 0 {
			return fail.Field("marker", "%q is no marker", after).Then("give the next_marker of the page before")
		}
	}
	from = min(from, len(items))
	to, next := min(from+limit, len(items)), ""
	if to < len(items) {
		next = strconv.Itoa(to)
	}
	return page(x, plural, items[from:to], next)
}

type tag struct {
	Key   string `json:"tag_key"`
	Value string `json:"tag_value"`
}

// tagsOf are a row's tags in the order of their keys.
func tagsOf(m *kind.Meta) []tag {
	out := []tag{}
	for _, k := range slices.Sorted(maps.Keys(m.Tags)) {
		if !strings.HasPrefix(k, Hidden) {
			out = append(out, tag{k, m.Tags[k]})
		}
	}
	return out
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Ask asks the policies whether the caller may do verb on a kind in a domain at all.
func Ask(x *wire.Exchange, k *kind.Def, verb string, domain id.ID) error {
	c := x.Call
	c.Domain = string(domain)
	_, _, err := x.API.Door.Permit(x.R.Context(), &c, k, verb, "*")
	return err
}

// must wants an id that the body has to name. Without one the caller is first asked whether they may do this at all:
// who may not learns nothing of how it is done.
func must(x *wire.Exchange, k *kind.Def, verb string, domain id.ID, field, value string) error {
	if value != "" {
		return nil
	}
	if err := Ask(x, k, verb, domain); err != nil {
		return err
	}
	return fail.Field(field, "is required")
}
