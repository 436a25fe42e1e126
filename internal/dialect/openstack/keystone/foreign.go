package keystone

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// extra are the fields of a body that this cloud does not know. Keystone keeps such fields with users, groups, roles and
// projects and gives them back; so does this API, in the row's field "foreign". Other dialects of it refuse them.
type extra map[string]json.RawMessage

// Kept reads a body {singular: {…}} into v, and what v has no field for.
func (x *exchange) Kept(singular string, v any) (extra, error) {
	if x.API.Dialect != "openstack" {
		return nil, x.Body(singular, v)
	}
	var all extra
	if err := x.Body(singular, &all); err != nil {
		return nil, err
	}
	fields := kind.FieldsOf(v)
	known := extra{}
	for name, raw := range all {
		if name == "id" || name == "links" { // clients send what they were given
			delete(all, name)
		} else if slices.ContainsFunc(fields, func(f kind.Field) bool { return f.Name == name }) {
			known[name] = raw
			delete(all, name)
		}
	}
	b, err := json.Marshal(known)
	if err != nil {
		return nil, fail.Wrap(err, fail.Invalid, "the body cannot be read")
	}
	return all, kind.DecodeStrict(b, v, singular, fields)
}

// over is what a row's "foreign" becomes: fields that are null are taken away. nil: it stays.
func (e extra) over(old string) *string {
	if len(e) == 0 {
		return nil
	}
	all := extra{}
	_ = json.Unmarshal([]byte(old), &all) // what another dialect kept there is replaced
	maps.Copy(all, e)
	maps.DeleteFunc(all, func(_ string, v json.RawMessage) bool { return string(v) == "null" })
	b, err := json.Marshal(all)
	if err != nil {
		return nil // raw values that were read encode
	}
	text := string(b)
	return &text
}

// withForeign is a view with the fields that were kept for its row; the cloud's own stay what they are.
func withForeign(view any, foreign string) any {
	var kept extra
	if foreign == "" || json.Unmarshal([]byte(foreign), &kept) != nil {
		return view
	}
	b, err := json.Marshal(view)
	out := extra{}
	if err != nil || json.Unmarshal(b, &out) != nil {
		return view
	}
	for name, v := range kept {
		if _, ours := out[name]; !ours {
			out[name] = v
		}
	}
	return out
}

// former gives what was kept for a row that is about to change, where the change says something to keep.
func former[S, T any](x *exchange, t kind.Table[S, T], target string, e extra, of func(S) string) (*string, error) {
	if len(e) == 0 {
		return nil, nil //nolint:nilnil // nothing to keep
	}
	row, err := wire.Get(&x.Exchange, t, target)
	if err != nil {
		return nil, err
	}
	return e.over(of(row.Spec)), nil
}
