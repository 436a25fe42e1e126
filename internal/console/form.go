package console

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// form is a form on a page.
type form struct {
	To, CSRF, Submit, Cancel string
	Hidden                   [][2]string
	Inputs                   []*input
	Err                      *fail.Error // one that no input takes
}

// input is one control, or a group of them.
type input struct {
	ID, Name, Label string
	Doc, Unit       string
	Control         string // text, number, password, select, checkbox, lines, json, map, object, objects, name
	Value           string
	Checked         bool
	Options         []string // of a select
	Suggest         []string // of a text that names another resource
	Pairs           []pair   // of a map
	Items           []*input // of an object; of a list of objects
	Min, Max        *int64
	Pattern, Hint   string
	Required        bool
	Disabled        bool
	Set             bool // a secret that has a value
	Err, Next       string
	Place           []sourceLine // of a JSON text: the wrong line and those around it
}

type pair struct {
	Key, Value string
	Set        bool // a secret that has a value
}

// former makes inputs from fields.
type former struct {
	current map[string]any // what is stored; nil at creation
	suggest func(ref string) []string
	more    string // the list or map that the user wants more room in
	err     *fail.Error
	taken   bool // an input shows err
}

// spareRows is how many empty rows a map's editor offers.
const spareRows = 2

func (f *former) inputs(fields []kind.Field, prefix string, doc, current map[string]any) []*input {
	var out []*input
	for _, fl := range fields {
		if fl.Unasked {
			continue
		}
		out = append(out, f.input(fl, prefix+"."+fl.Name, doc[fl.Name], current[fl.Name]))
	}
	return out
}

func (f *former) input(fl kind.Field, name string, v, cur any) *input {
	in := &input{ID: "f-" + strings.NewReplacer(".", "-", "[", "-", "]", "").Replace(name), Name: name, Label: label(fl.Name), Doc: fl.Doc, Unit: fl.Unit,
		Min: fl.Min, Max: fl.Max, Pattern: fl.Pattern, Required: fl.Required, Disabled: fl.Immutable && f.current != nil}
	if fl.Default != "" {
		in.Hint = fl.Default
	} else if fl.Example != "" {
		in.Hint = fl.Example
	}
	if f.err != nil && !f.taken && f.mine(fl, name) {
		in.Err, in.Next, f.taken = f.err.Message, f.err.Next, true
		if rest := strings.TrimPrefix(f.err.Field, name); rest != "" && rest != f.err.Field {
			in.Err = strings.TrimPrefix(rest, ".") + ": " + in.Err
		}
	}
	in.Value = scalar(v)
	switch {
	case fl.Type == kind.MapOf && fl.Item.Type != kind.Object && fl.Item.Type != kind.ListOf:
		f.mapInput(in, fl, v, cur)
	case fl.Type == kind.Object:
		in.Control = "object"
		in.Items = f.inputs(fl.Fields, name, asMap(v), asMap(cur))
	case fl.Type == kind.ListOf && fl.Item.Type == kind.Object:
		in.Control = "objects"
		list, _ := v.([]any)
		n := len(list)
		if !in.Disabled && (f.more == name || n == 0) {
			n++
		}
		for i := range n {
			var at any
			if i < len(list) {
				at = list[i]
			}
			item := name + "[" + strconv.Itoa(i) + "]"
			in.Items = append(in.Items, &input{ID: in.ID + "-" + strconv.Itoa(i), Name: item, Label: fmt.Sprintf("%s %d", in.Label, i+1),
				Control: "object", Items: f.inputs(fl.Item.Fields, item, asMap(at), nil)})
			if i >= len(list) {
				optional(in.Items[i].Items) // a spare one may stay empty
			}
		}
	case fl.Type == kind.ListOf && scalarType(fl.Item.Type):
		in.Control = "lines"
		list, _ := v.([]any)
		lines := make([]string, len(list))
		for i, x := range list {
			lines[i] = scalar(x)
		}
		in.Value = strings.Join(lines, "\n")
		if s, ok := v.(string); ok {
			in.Value = s
		}
	case fl.Secret:
		in.Control, in.Value, in.Set = "password", "", scalar(cur) != ""
		if fl.Type == kind.String && fl.Max != nil && *fl.Max > longSecret {
			in.Control = "secrettext"
			if cur == nil && f.current == nil {
				in.Value = scalar(v) // what was just typed
			}
		}
		in.Hint = ""
		in.Required = in.Required && !in.Set
	case fl.Type == kind.Boolean:
		in.Control, in.Checked = "checkbox", v == true || v == nil && fl.Default == "true"
	case len(fl.Enum) > 0:
		in.Control, in.Options = "select", fl.Enum
		if in.Value == "" {
			in.Value = fl.Default
		}
		if !fl.Required && fl.Default == "" {
			in.Options = append([]string{""}, fl.Enum...)
		}
	case fl.Type == kind.Integer:
		in.Control = "number"
	case fl.Type == kind.String, fl.Type == kind.Number, fl.Type == kind.Duration, fl.Type == kind.Time:
		in.Control = "text"
		in.Min, in.Max = nil, nil
		if fl.Type == kind.String && fl.Max != nil {
			in.Max = fl.Max
		}
		if fl.Type == kind.Time {
			in.Hint = "2026-01-31T12:00:00Z"
		}
		if fl.Ref != "" && f.suggest != nil {
			in.Suggest = f.suggest(fl.Ref)
		}
	default:
		in.Control = "json"
		if s, ok := v.(string); ok && v != nil {
			in.Value = s
		} else if v != nil {
			b, _ := json.MarshalIndent(v, "", "  ")
			in.Value = string(b)
		}
		if in.Err != "" {
			line := lineOfSyntax(in.Value)
			if line == 0 {
				line = lineOfPath(in.Value, strings.TrimPrefix(f.err.Field, name+"."))
			}
			in.Place = snippet(in.Value, line)
		}
	}
	return in
}

// longSecret is the length from which a secret is a text of several lines: a key, a file.
const longSecret = 8192

func optional(items []*input) {
	for _, in := range items {
		in.Required = false
		optional(in.Items)
	}
}

func (f *former) mapInput(in *input, fl kind.Field, v, cur any) {
	in.Control = "map"
	m, was := asMap(v), asMap(cur)
	if fl.Secret {
		in.Control = "secrets"
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		p := pair{Key: k, Value: scalar(m[k])}
		if fl.Secret {
			p.Value, p.Set = "", was[k] != nil
		}
		in.Pairs = append(in.Pairs, p)
	}
	if in.Disabled {
		return
	}
	for range spareRows {
		in.Pairs = append(in.Pairs, pair{})
	}
	if f.more == in.Name {
		in.Pairs = append(in.Pairs, make([]pair, 4)...)
	}
}

// mine tells whether the input called name is the one to show the error at.
func (f *former) mine(fl kind.Field, name string) bool {
	at := f.err.Field
	if at == name {
		return true
	}
	if !strings.HasPrefix(at, name+".") && !strings.HasPrefix(at, name+"[") {
		return false
	}
	return fl.Type != kind.Object && (fl.Type != kind.ListOf || fl.Item.Type != kind.Object)
}

func scalarType(t kind.Type) bool {
	return slices.Contains([]kind.Type{kind.String, kind.Integer, kind.Number, kind.Boolean, kind.Time, kind.Duration}, t)
}

func scalar(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case json.Number:
		return x.String()
	case bool:
		return strconv.FormatBool(x)
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// reader reads what a form sent into the document that an API client would send. What cannot be read stays in the
// document as it was typed, so that the form can be shown again, and the first such error is kept.
type reader struct {
	sent    url.Values
	editing bool // a row that exists: untouched secrets stay, immutable fields are not sent
	err     *fail.Error
}

func (r *reader) object(fields []kind.Field, prefix string, current map[string]any) map[string]any {
	out := map[string]any{}
	for _, fl := range fields {
		if r.editing && fl.Immutable || fl.Unasked {
			if v, ok := current[fl.Name]; ok {
				out[fl.Name] = v
			}
			continue
		}
		if v := r.value(fl, prefix+"."+fl.Name, current[fl.Name]); v != nil {
			out[fl.Name] = v
		}
	}
	return out
}

func (r *reader) bad(name, format string, args ...any) {
	if r.err == nil {
		r.err = fail.Field(name, format, args...)
	}
}

func (r *reader) value(fl kind.Field, name string, cur any) any {
	text := r.sent.Get(name)
	switch {
	case fl.Type == kind.MapOf && fl.Item.Type != kind.Object && fl.Item.Type != kind.ListOf:
		return r.pairs(fl, name, asMap(cur))
	case fl.Type == kind.Object:
		if o := r.object(fl.Fields, name, asMap(cur)); !blank(o) || cur != nil {
			return o
		}
		return nil
	case fl.Type == kind.ListOf && fl.Item.Type == kind.Object:
		return r.objects(fl, name)
	case fl.Type == kind.ListOf && scalarType(fl.Item.Type):
		var list []any
		for _, line := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
			if strings.TrimSpace(line) == "" {
				continue
			}
			list = append(list, r.scalar(*fl.Item, name, line))
		}
		if list == nil {
			return nil
		}
		return list
	case fl.Secret:
		if r.sent.Get(name+"#clear") != "" {
			return nil
		}
		if text == "" && r.editing && scalar(cur) != "" {
			return kind.Mask
		}
	case fl.Type == kind.Boolean:
		return text == "true"
	}
	if strings.TrimSpace(text) == "" {
		return nil
	}
	return r.scalar(fl, name, text)
}

func (r *reader) scalar(fl kind.Field, name, text string) any {
	switch fl.Type {
	case kind.String:
		return text
	case kind.Integer:
		text = strings.TrimSpace(text)
		if _, err := strconv.ParseInt(text, 10, 64); err != nil {
			r.bad(name, "%q is not a whole number", text)
			return text
		}
		return json.Number(text)
	case kind.Number:
		text = strings.TrimSpace(text)
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			r.bad(name, "%q is not a number", text)
			return text
		}
		return json.Number(text)
	case kind.Boolean:
		return text == "true"
	case kind.Time, kind.Duration:
		return strings.TrimSpace(text)
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() {
		if e := badJSON(name, text); e != nil {
			if r.err == nil {
				r.err = e
			}
		} else {
			r.bad(name, "is more than one JSON value")
		}
		return text
	}
	return v
}

func (r *reader) pairs(fl kind.Field, name string, cur map[string]any) any {
	out := map[string]any{}
	keys, values, drop := r.sent[name+"#k"], r.sent[name+"#v"], r.sent[name+"#drop"]
	for i, k := range keys {
		if k = strings.TrimSpace(k); k == "" || i >= len(values) {
			if i < len(values) && values[i] != "" {
				r.bad(name, "a value has no name")
			}
			continue
		}
		if slices.Contains(drop, k) {
			continue
		}
		if _, twice := out[k]; twice {
			r.bad(name, "%q is there twice", k)
		}
		if fl.Secret && values[i] == "" && cur[k] != nil {
			out[k] = kind.Mask
			continue
		}
		out[k] = r.scalar(*fl.Item, name, values[i])
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// objects reads a list of objects: rows that were left empty are not sent.
func (r *reader) objects(fl kind.Field, name string) any {
	var list []any
	for i := 0; ; i++ {
		item := name + "[" + strconv.Itoa(i) + "]"
		there := false
		for k := range r.sent {
			there = there || strings.HasPrefix(k, item)
		}
		if !there {
			break
		}
		if o := r.object(fl.Item.Fields, item, nil); !untouched(fl.Item.Fields, o) {
			list = append(list, o)
		}
	}
	if list == nil {
		return nil
	}
	return list
}

// untouched reports that a spare row was left as the form shows it: empty, or at its defaults.
func untouched(fields []kind.Field, o map[string]any) bool {
	for _, f := range fields {
		v := o[f.Name]
		switch {
		case blank(v), f.Default != "" && scalar(v) == f.Default:
		case f.Type == kind.Object && untouched(f.Fields, asMap(v)):
		default:
			return false
		}
	}
	return true
}

// blank reports that nothing was filled in; a box that is not ticked says nothing.
func blank(v any) bool {
	switch x := v.(type) {
	case nil:
		return true
	case string:
		return x == ""
	case bool:
		return !x
	case map[string]any:
		for _, e := range x {
			if !blank(e) {
				return false
			}
		}
		return true
	case []any:
		return len(x) == 0
	}
	return false
}

// patchOf is the merge patch (RFC 7396) that turns the fields of old into those of now. Fields that a form does not have
// are not in fields and stay as they are.
func patchOf(fields []kind.Field, old, now map[string]any) map[string]any {
	out := map[string]any{}
	for _, f := range fields {
		if f.Immutable {
			continue
		}
		a, b := old[f.Name], now[f.Name]
		switch {
		case f.Type == kind.Object:
			if p := patchOf(f.Fields, asMap(a), asMap(b)); len(p) > 0 {
				out[f.Name] = p
			}
		case b == nil && empty(a):
		case b == nil:
			out[f.Name] = nil
		default:
			if p, changed := differ(a, b); changed {
				out[f.Name] = p
			}
		}
	}
	return out
}

// empty is a stored value that says nothing, so that leaving it out is no change.
func empty(v any) bool {
	switch x := v.(type) {
	case json.Number:
		return x == "0"
	case map[string]any:
		return len(x) == 0
	}
	return blank(v)
}

func differ(a, b any) (any, bool) {
	am, aok := a.(map[string]any)
	bm, bok := b.(map[string]any)
	if !aok || !bok {
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		return b, string(x) != string(y)
	}
	out := map[string]any{}
	for k := range am {
		if _, ok := bm[k]; !ok {
			out[k] = nil
		}
	}
	for k, v := range bm {
		was, ok := am[k]
		if !ok {
			out[k] = v
			continue
		}
		if p, changed := differ(was, v); changed {
			out[k] = p
		}
	}
	return out, len(out) > 0
}
