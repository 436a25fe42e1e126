package kind

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Field describes one field of a spec, a status or an action's input, read once from its struct tags:
//
//	json:"memory_mib" doc:"memory limit" unit:"MiB" min:"16" max:"65536" default:"256"
//	enum:"http,tcp,command"  pattern:"^[a-z]+$"  required:"true"  immutable:"true"  secret:"true"
//	ref:"app/application"  example:"3"  form:"-" (nothing that people fill in)
type Field struct {
	Name      string   `json:"name"` // the JSON name
	Type      Type     `json:"type"`
	Doc       string   `json:"doc,omitempty"`
	Unit      string   `json:"unit,omitempty"`
	Required  bool     `json:"required,omitempty"`
	Immutable bool     `json:"immutable,omitempty"` // cannot change after creation
	Secret    bool     `json:"secret,omitempty"`    // sealed when stored, never shown again
	Default   string   `json:"default,omitempty"`
	Enum      []string `json:"enum,omitempty"`
	Pattern   string   `json:"pattern,omitempty"`
	Min       *int64   `json:"min,omitempty"` // of a number; of the length of a string, list or map
	Max       *int64   `json:"max,omitempty"`
	Ref       string   `json:"ref,omitempty"` // the kind whose id or name this holds
	Example   string   `json:"example,omitempty"`
	Unasked   bool     `json:"unasked,omitempty"` // forms leave it as it is, and show it only where it says something
	Item      *Field   `json:"item,omitempty"`    // of a list or map
	Fields    []Field  `json:"fields,omitempty"`  // of an object

	index []int
}

// Type of a field, in JSON's terms plus a few that matter to forms.
type Type string

const (
	String   Type = "string"
	Integer  Type = "integer"
	Number   Type = "number"
	Boolean  Type = "boolean"
	Time     Type = "time"
	Duration Type = "duration" // "30s", "5m"
	ListOf   Type = "list"
	MapOf    Type = "map" // string keys
	Object   Type = "object"
	JSON     Type = "json" // any document
)

// FieldsOf describes the struct v (or what it points at). It panics on a tag that cannot be read: that is a defect
// found by the first test.
func FieldsOf(v any) []Field {
	if v == nil {
		return nil
	}
	t := reflect.TypeOf(v)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return fieldsOf(t)
}

func fieldsOf(t reflect.Type) []Field {
	if t.Kind() != reflect.Struct {
		return nil
	}
	var out []Field
	for i := range t.NumField() {
		sf := t.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if sf.Anonymous && name == "" {
			for _, f := range fieldsOf(sf.Type) {
				f.index = append([]int{i}, f.index...)
				out = append(out, f)
			}
			continue
		}
		if name == "-" || !sf.IsExported() {
			continue
		}
		if name == "" {
			panic(fmt.Sprintf("%s.%s has no json tag", t, sf.Name))
		}
		f := Field{Name: name, Doc: sf.Tag.Get("doc"), Unit: sf.Tag.Get("unit"), Default: sf.Tag.Get("default"),
			Pattern: sf.Tag.Get("pattern"), Ref: sf.Tag.Get("ref"), Example: sf.Tag.Get("example"),
			Required: sf.Tag.Get("required") == "true", Immutable: sf.Tag.Get("immutable") == "true",
			Secret: sf.Tag.Get("secret") == "true", Unasked: sf.Tag.Get("form") == "-", index: []int{i}}
		if e := sf.Tag.Get("enum"); e != "" {
			f.Enum = strings.Split(e, ",")
		}
		f.Min, f.Max = bound(sf.Tag.Get("min")), bound(sf.Tag.Get("max"))
		describe(&f, sf.Type)
		out = append(out, f)
	}
	return out
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
	spanType     = reflect.TypeFor[Span]()
	idType       = reflect.TypeFor[id.ID]()
)

func describe(f *Field, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == timeType:
		f.Type = Time
	case t == spanType, t == durationType:
		f.Type = Duration
	case t == idType:
		f.Type = String
	case t.Kind() == reflect.String:
		f.Type = String
	case t.Kind() == reflect.Bool:
		f.Type = Boolean
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		f.Type = Integer
	case t.Kind() == reflect.Float64:
		f.Type = Number
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		f.Type = JSON
	case t.Kind() == reflect.Slice:
		f.Type = ListOf
		f.Item = &Field{}
		describe(f.Item, t.Elem())
	case t.Kind() == reflect.Map:
		f.Type = MapOf
		f.Item = &Field{}
		describe(f.Item, t.Elem())
	case t.Kind() == reflect.Struct:
		f.Type = Object
		f.Fields = fieldsOf(t)
	default:
		f.Type = JSON
	}
}

func bound(s string) *int64 {
	if s == "" {
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic("bad bound " + s)
	}
	return &n
}

// Span is a duration that reads and prints as "30s" in JSON.
type Span time.Duration

// MarshalText prints like time.Duration.
func (s Span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// UnmarshalText reads "30s", "5m", "24h".
func (s *Span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*s = Span(d)
	return err
}

func newLike(v any) any { return reflect.New(reflect.TypeOf(v)).Interface() }
