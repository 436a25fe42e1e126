// Package networks is what Huawei Cloud's APIs VPC and EIP have in common beyond huawei/rest: how bodies are read, how
// errors and times are written, how lists are paged. It may import the kernel and dialect/{front,huawei/rest,wire}.
package networks

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// codes are the status and code of each kind of failure.
var codes = rest.Codes{
	fail.Invalid:         {http.StatusBadRequest, "VPC.0002"},
	fail.Unauthenticated: {http.StatusUnauthorized, "VPC.0009"},
	fail.Denied:          {http.StatusForbidden, "VPC.0010"},
	fail.NotFound:        {http.StatusNotFound, "VPC.0202"},
	fail.Gone:            {http.StatusNotFound, "VPC.0202"},
	fail.Exists:          {http.StatusConflict, "VPC.0203"},
	fail.Conflict:        {http.StatusConflict, "VPC.0203"},
	fail.Precondition:    {http.StatusConflict, "VPC.0203"},
	fail.Quota:           {http.StatusConflict, "VPC.0118"},
	fail.TooLarge:        {http.StatusRequestEntityTooLarge, "VPC.0012"},
	fail.RateLimited:     {http.StatusTooManyRequests, "APIGW.0308"},
	fail.Unsupported:     {http.StatusNotImplemented, "VPC.0011"},
	fail.NoSpace:         {http.StatusConflict, "VPC.0204"},
	fail.Unavailable:     {http.StatusServiceUnavailable, "VPC.0007"},
	fail.Timeout:         {http.StatusGatewayTimeout, "VPC.0008"},
	fail.Canceled:        {http.StatusGatewayTimeout, "VPC.0008"},
	fail.Internal:        {http.StatusInternalServerError, "VPC.0007"},
}

// Fail writes an error in the forms of all versions: clients of each read their own.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	e := fail.From(err)
	status, code := codes.Of(e.Kind)
	wire.Write(w, status, map[string]any{"code": code, "message": e.Public(), "error_code": code, "error_msg": e.Public(),
		"request_id": front.From(r.Context()).RequestID, "NeutronError": map[string]string{"type": string(e.Kind), "message": e.Public(), "detail": ""}})
}

// Body reads {singular: {…}} into v, or the bare object where singular is "". What is missing the kinds find.
func Body(x *wire.Exchange, singular string, v any) error {
	b, err := x.Bytes()
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return err
	}
	raw := json.RawMessage(b)
	if singular != "" {
		var outer map[string]json.RawMessage
		if err := json.Unmarshal(b, &outer); err != nil {
			return fail.New(fail.Invalid, "the body is not a JSON object").Then("send {%q: {…}}", singular)
		}
		if raw = outer[singular]; raw == nil {
			if len(outer) == 0 {
				return nil
			}
			return fail.Field(singular, "it is missing").Then("send {%q: {…}}", singular)
		}
	}
	if err := json.Unmarshal(raw, v); err != nil {
		var te *json.UnmarshalTypeError
		if errors.As(err, &te) {
			return fail.Field(te.Field, "a JSON %s is not what is wanted here", te.Value)
		}
		return fail.New(fail.Invalid, "the body is not the JSON that is wanted here: %v", err)
	}
	return nil
}

// Create sends a create of a row with a spec.
func Create(x *wire.Exchange, k *kind.Def, name, enterprise string, spec wire.Spec) (kind.AnyRow, error) {
	return x.Do(k, call.Create, "", func(c *call.Call) {
		c.Name, c.Spec = &name, spec.JSON()
		if enterprise != "" {
			c.EnterpriseProject = &enterprise
		}
	})
}

// Update sends a change of a row; name may be nil.
func Update(x *wire.Exchange, k *kind.Def, target string, name *string, spec wire.Spec) (kind.AnyRow, error) {
	return x.Do(k, call.Update, target, func(c *call.Call) { c.Name, c.Spec = name, spec.JSON() })
}

// Delete sends a delete and answers 204.
func Delete(x *wire.Exchange, k *kind.Def, target string) error {
	if _, err := x.Do(k, call.Delete, target, nil); err != nil {
		return err
	}
	return x.NoContent()
}

// Stamp prints a time with its zone; Plain without, as the older versions do.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// Plain prints a time as "2006-01-02 15:04:05".
func Plain(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// PlainT prints a time as "2006-01-02T15:04:05".
func PlainT(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05") }

// List answers with the rows that fit, as far as limit and marker go. links says that the list has no page_info, as in the
// older versions.
func List[S, T any](x *wire.Exchange, t kind.Table[S, T], plural string, f kind.Filter, match func(*kind.Row[S, T]) bool, view func(*kind.Row[S, T]) any) error {
	rows, more, err := Rows(x, t, f, match)
	if err != nil {
		return err
	}
	items := make([]any, 0, len(rows))
	for _, r := range rows {
		items = append(items, view(r))
	}
	out := map[string]any{plural: items}
	if strings.HasPrefix(x.R.URL.Path, "/v3/") {
		info := map[string]any{"current_count": len(items)}
		if len(rows) > 0 {
			info["previous_marker"] = rest.ID(rows[0].ID)
			if more {
				info["next_marker"] = rest.ID(rows[len(rows)-1].ID)
			}
		}
		out["page_info"], out["request_id"] = info, front.From(x.R.Context()).RequestID
		out["total_count"] = len(items)
	}
	wire.Write(x.W, http.StatusOK, out)
	return nil
}

// MaxPage is the most rows of one answer.
const MaxPage = 10_000

// Rows reads the rows that fit, as far as limit and marker go.
func Rows[S, T any](x *wire.Exchange, t kind.Table[S, T], f kind.Filter, match func(*kind.Row[S, T]) bool) ([]*kind.Row[S, T], bool, error) {
	limit, err := x.Number("limit", 0, 0, MaxPage)
	if err != nil {
		return nil, false, err
	}
	f.Limit = limit
	if m := x.Query("marker"); m != "" {
		row, ok := id.Parse(m)
		if !ok {
			return nil, false, fail.Field("marker", "%q is not an id", m).Then("give the id of the last entry of the page before")
		}
		f.After = row
	}
	if ep := x.Query("enterprise_project_id"); ep != "" && ep != "all_granted_eps" {
		f.Enterprise = ep
	}
	ids := anyOf(x, "id")
	names := x.Queries()["name"]
	f.Where = func(r kind.AnyRow) bool {
		m := r.M()
		if len(ids) > 0 && !ids[string(m.ID)] || len(names) > 0 && !contains(names, rest.NameOf(m)) {
			return false
		}
		return match == nil || match(r.(*kind.Row[S, T]))
	}
	return wire.Rows(x, t, "", f)
}

func anyOf(x *wire.Exchange, name string) map[string]bool {
	out := map[string]bool{}
	for _, v := range x.Queries()[name] {
		for s := range strings.SplitSeq(v, ",") {
			if i, ok := id.Parse(s); ok {
				out[string(i)] = true
			} else if s != "" {
				out[s] = true
			}
		}
	}
	return out
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// Same tells whether the query asks for no value of this name, or for this one. Ids are compared in either form.
func Same(x *wire.Exchange, name, value string) bool {
	q, there := x.Queries()[name]
	if !there {
		return true
	}
	for _, want := range q {
		a, ok := id.Parse(want)
		b, ok2 := id.Parse(value)
		if want == value || ok && ok2 && a == b {
			return true
		}
	}
	return false
}

// One answers {singular: item}.
func One(x *wire.Exchange, status int, singular string, item any) error {
	out := map[string]any{singular: item}
	if strings.HasPrefix(x.R.URL.Path, "/v3/") {
		out["request_id"] = front.From(x.R.Context()).RequestID
	}
	wire.Write(x.W, status, out)
	return nil
}

// Many answers a version 3 list that has no pages.
func Many(x *wire.Exchange, plural string, items []any) error {
	wire.Write(x.W, http.StatusOK, map[string]any{plural: items, "page_info": map[string]any{"current_count": len(items)}, "total_count": len(items),
		"request_id": front.From(x.R.Context()).RequestID})
	return nil
}
