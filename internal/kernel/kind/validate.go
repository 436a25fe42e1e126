package kind

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// DecodeStrict reads JSON into the struct v points at; an unknown or ill-typed field gives an error that names it and,
// for an unknown one, those that there are. An empty body leaves v as it is.
func DecodeStrict(raw []byte, v any, path string, fields []Field) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	var te *json.UnmarshalTypeError
	var se *json.SyntaxError
	switch {
	case err == nil:
		if d.More() {
			return fail.Field(path, "there is text after the end of the JSON document")
		}
		return nil
	case errors.As(err, &te):
		return fail.Field(join(path, te.Field), "expected %s, got %s", plainType(te.Type), te.Value)
	case errors.As(err, &se):
		return fail.Field(path, "not valid JSON at byte %d: %v", se.Offset, se)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fail.Field(path, "the JSON document breaks off")
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		name := strings.Trim(strings.TrimPrefix(err.Error(), "json: unknown field "), `"`)
		return fail.Field(join(path, name), "there is no such field").Then("fields here: %s", strings.Join(fieldNames(fields), ", "))
	}
	return fail.Field(path, "cannot be read: %v", err)
}

func plainType(t reflect.Type) string {
	f := Field{}
	describe(&f, t)
	return "a " + string(f.Type)
}

func fieldNames(fields []Field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.Name
	}
	return out
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	if name == "" {
		return path
	}
	return path + "." + name
}

// SetDefaults fills a fresh value with its fields' defaults, before a document is decoded over it: what the document
// says then wins, a zero included.
func SetDefaults(v any, fields []Field) {
	eachDefault(reflect.ValueOf(v).Elem(), fields, func(fv reflect.Value, _ Field) bool { return fv.IsZero() })
}

// FillDefaults fills, after decoding, what a document cannot have meant: empty strings that have a default, and the
// fields of objects in lists, which were not there before.
func FillDefaults(v any, fields []Field) {
	var walk func(v reflect.Value, fields []Field, all bool)
	walk = func(v reflect.Value, fields []Field, all bool) {
		eachDefault(v, fields, func(fv reflect.Value, f Field) bool { return fv.IsZero() && (all || f.Type == String) })
		for _, f := range fields {
			fv := v.FieldByIndex(f.index)
			switch {
			case f.Type == Object && fv.Kind() == reflect.Struct:
				walk(fv, f.Fields, all)
			case f.Type == ListOf && f.Item.Type == Object:
				for i := range fv.Len() {
					walk(fv.Index(i), f.Item.Fields, true)
				}
			}
		}
	}
	walk(reflect.ValueOf(v).Elem(), fields, false)
}

// eachDefault sets every field that has a default and for which empty says so, nested objects included.
func eachDefault(v reflect.Value, fields []Field, empty func(reflect.Value, Field) bool) {
	for _, f := range fields {
		fv := v.FieldByIndex(f.index)
		if f.Default != "" && empty(fv, f) {
			if err := parseInto(fv, f.Default); err != nil {
				panic(fmt.Sprintf("default of %s: %v", f.Name, err))
			}
		}
		if f.Type == Object && fv.Kind() == reflect.Struct {
			eachDefault(fv, f.Fields, empty)
		}
	}
}

func parseInto(v reflect.Value, s string) error {
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		v.Set(p)
		v = p.Elem()
	}
	if v.Type() == spanType || v.Type() == durationType {
		d, err := time.ParseDuration(s)
		v.SetInt(int64(d))
		return err
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		b, err := strconv.ParseBool(s)
		v.SetBool(b)
		return err
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(s, 10, 64)
		v.SetInt(n)
		return err
	case reflect.Float64:
		n, err := strconv.ParseFloat(s, 64)
		v.SetFloat(n)
		return err
	default:
		return json.Unmarshal([]byte(s), v.Addr().Interface())
	}
	return nil
}

// Validate checks every field rule and returns the first break as a fail.Field error.
func Validate(v any, path string, fields []Field) error {
	return validate(reflect.ValueOf(v).Elem(), path, fields)
}

func validate(v reflect.Value, path string, fields []Field) error {
	for _, f := range fields {
		if err := check(v.FieldByIndex(f.index), join(path, f.Name), f); err != nil {
			return err
		}
	}
	return nil
}

func check(v reflect.Value, path string, f Field) error {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			if f.Required {
				return fail.Field(path, "is required")
			}
			return nil
		}
		v, f.Required = v.Elem(), false // it was said, and may be zero
	}
	if f.Required && v.IsZero() {
		e := fail.Field(path, "is required")
		if f.Example != "" {
			e.Next = "for example " + f.Example
		}
		return e
	}
	if v.IsZero() && f.Default == "" {
		return nil // left out
	}
	n, sized, what := int64(0), false, ""
	switch f.Type {
	case Integer:
		n, sized = intOf(v), true
	case Duration:
		n, sized, what = v.Int()/int64(time.Second), true, " seconds"
	case String:
		s := v.String()
		if s == "" {
			return nil
		}
		n, sized, what = int64(len(s)), true, " characters"
		if err := checkString(s, path, f); err != nil {
			return err
		}
	case ListOf:
		n, sized, what = int64(v.Len()), true, " entries"
		for i := range v.Len() {
			if err := check(v.Index(i), fmt.Sprintf("%s[%d]", path, i), *f.Item); err != nil {
				return err
			}
		}
	case MapOf:
		n, sized, what = int64(v.Len()), true, " entries"
		for it := v.MapRange(); it.Next(); {
			if it.Key().String() == "" {
				return fail.Field(path, "an empty key is not allowed")
			}
			// map values are not addressable: only their own rules are checked
			if err := check(it.Value(), path+"."+it.Key().String(), *f.Item); err != nil {
				return err
			}
		}
	case Object:
		if v.Kind() == reflect.Struct {
			return validate(v, path, f.Fields)
		}
	}
	if sized {
		if f.Min != nil && n < *f.Min {
			if what != "" {
				return fail.Field(path, "%d%s are too few; the least is %d%s", n, what, *f.Min, unit(f))
			}
			return fail.Field(path, "%d is too small; the least is %d%s", n, *f.Min, unit(f))
		}
		if f.Max != nil && n > *f.Max {
			if what != "" {
				return fail.Field(path, "%d%s are too many; the most is %d%s", n, what, *f.Max, unit(f))
			}
			return fail.Field(path, "%d is too large; the most is %d%s", n, *f.Max, unit(f))
		}
	}
	return nil
}

func unit(f Field) string {
	if f.Unit == "" {
		return ""
	}
	return " " + f.Unit
}

func intOf(v reflect.Value) int64 {
	if v.CanUint() {
		return int64(v.Uint())
	}
	return v.Int()
}

func checkString(s, path string, f Field) error {
	if len(f.Enum) > 0 {
		for _, e := range f.Enum {
			if s == e {
				return nil
			}
		}
		named := slices.DeleteFunc(slices.Clone(f.Enum), func(e string) bool { return e == "" })
		return fail.Field(path, "%q is not one of %s", s, strings.Join(named, ", "))
	}
	if f.Pattern != "" && !compiled(f.Pattern).MatchString(s) {
		return fail.Field(path, "%q does not match %s", s, f.Pattern)
	}
	return nil
}

var patterns sync.Map // string → *regexp.Regexp; patterns are part of the program, so this stays small

func compiled(p string) *regexp.Regexp {
	if r, ok := patterns.Load(p); ok {
		return r.(*regexp.Regexp)
	}
	r := regexp.MustCompile(p)
	patterns.Store(p, r)
	return r
}

// CheckImmutable refuses a change of an immutable field.
func CheckImmutable(old, now any, fields []Field) error {
	return checkImmutable(reflect.ValueOf(old).Elem(), reflect.ValueOf(now).Elem(), "spec", fields)
}

// same compares two values of a field; documents as what they say, for an update writes them anew.
func same(a, b reflect.Value, f Field) bool {
	if f.Type != JSON {
		return reflect.DeepEqual(a.Interface(), b.Interface())
	}
	x, xerr := json.Marshal(a.Interface())
	y, yerr := json.Marshal(b.Interface())
	var u, v any
	return xerr == nil && yerr == nil && json.Unmarshal(x, &u) == nil && json.Unmarshal(y, &v) == nil && reflect.DeepEqual(u, v)
}

func checkImmutable(old, now reflect.Value, path string, fields []Field) error {
	for _, f := range fields {
		a, b := old.FieldByIndex(f.index), now.FieldByIndex(f.index)
		if f.Immutable && !same(a, b, f) {
			return fail.Field(join(path, f.Name), "cannot change after creation").Then("delete it and create it anew, or leave the field as it is")
		}
		if f.Type == Object && a.Kind() == reflect.Struct {
			if err := checkImmutable(a, b, join(path, f.Name), f.Fields); err != nil {
				return err
			}
		}
	}
	return nil
}
