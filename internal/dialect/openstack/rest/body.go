package rest

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Object is a body: an object of named parts.
type Object map[string]json.RawMessage

// Read reads the body. No body is an empty object.
func Read(x *Exchange) (Object, error) {
	b, err := x.Bytes()
	if err != nil {
		return nil, err
	}
	out := Object{}
	if len(b) == 0 {
		return out, nil
	}
	if err := json.Unmarshal(b, &out); err != nil || out == nil {
		return nil, fail.New(fail.Invalid, "malformed request body: it is not a JSON object")
	}
	return out, nil
}

// Into reads the part called name into v; without one it is an error.
func (o Object) Into(name string, v any) error {
	raw, ok := o[name]
	if !ok || string(raw) == "null" {
		return fail.Field(name, "it is missing").Then(`send {%q: {…}}`, name)
	}
	return kind.DecodeStrict(raw, v, name, kind.FieldsOf(v))
}

// Body reads {name: {…}} into v.
func Body(x *Exchange, name string, v any) error {
	o, err := Read(x)
	if err != nil {
		return err
	}
	return o.Into(name, v)
}

// Int is a number that clients also send as text.
type Int int64

// UnmarshalJSON reads either.
func (i *Int) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	if s == "null" || s == "" {
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return fail.New(fail.Invalid, "%s is not a whole number", string(b))
	}
	*i = Int(n)
	return nil
}

// Bool is a truth value that clients also send as text.
type Bool bool

// UnmarshalJSON reads either.
func (v *Bool) UnmarshalJSON(b []byte) error {
	switch strings.ToLower(strings.Trim(string(b), `"`)) {
	case "true", "1", "yes", "on", "t", "y":
		*v = true
	case "false", "0", "no", "off", "f", "n", "null", "":
		*v = false
	default:
		return fail.New(fail.Invalid, "%s is neither true nor false", string(b))
	}
	return nil
}

// Flag reads a query parameter of that kind; ok is false when it is not given.
func Flag(x *Exchange, name string) (v, ok bool, err error) {
	q := x.Queries()
	if !q.Has(name) {
		return false, false, nil
	}
	var b Bool
	if s := q.Get(name); s == "" {
		b = true
	} else if b.UnmarshalJSON([]byte(s)) != nil {
		return false, false, fail.Field(name, "%q is neither true nor false", s)
	}
	return bool(b), true, nil
}

// Spec is a patch or a spec for the door.
type Spec = wire.Spec
