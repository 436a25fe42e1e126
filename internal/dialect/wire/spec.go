package wire

import (
	"encoding/json"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

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
