package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// maxDepth is deeper than any policy: document, statements, statement, conditions, operator, values.
const maxDepth = 8

// node is a JSON value. The standard library's decoder into structs takes the last of two equal keys and any letter
// case, so that two readers can read one policy differently; this one refuses both.
type node struct {
	kind    kind
	string  string
	items   []node
	members []member
}

type member struct {
	name  string
	value node
}

type kind int

const (
	other kind = iota // number, bool, null
	str
	array
	object
)

func parseJSON(text []byte) (node, error) {
	if !utf8.Valid(text) {
		return node{}, fail.New(fail.Invalid, "the policy is not UTF-8 text")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	n, err := parseNode(d, "", 0)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return n, nil
		} else if err == nil {
			err = errors.New("more text behind the end")
		}
	}
	var public *fail.Error
	if errors.As(err, &public) {
		return node{}, err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the text ends too early")
	}
	return node{}, fail.New(fail.Invalid, "the policy is not JSON: near byte %d: %s", d.InputOffset(), err)
}

func parseNode(d *json.Decoder, at string, depth int) (n node, err error) {
	if depth > maxDepth {
		return n, fail.Field(at, "is nested too deeply for a policy")
	}
	t, err := d.Token()
	if err != nil {
		return n, err
	}
	switch t := t.(type) {
	case string:
		return node{kind: str, string: t}, nil
	case json.Delim:
		if t == '[' {
			n.kind = array
			for i := 0; d.More(); i++ {
				item, err := parseNode(d, fmt.Sprintf("%s[%d]", at, i), depth+1)
				if err != nil {
					return n, err
				}
				n.items = append(n.items, item)
			}
		} else {
			n.kind = object
			seen := map[string]bool{}
			for d.More() {
				t, err := d.Token()
				if err != nil {
					return n, err
				}
				m := member{name: t.(string)} // the decoder gives nothing else here
				at := strings.TrimPrefix(at+"."+m.name, ".")
				if seen[m.name] {
					return n, fail.Field(at, "is there twice")
				}
				seen[m.name] = true
				if m.value, err = parseNode(d, at, depth+1); err != nil {
					return n, err
				}
				n.members = append(n.members, m)
			}
		}
		_, err = d.Token() // the closing bracket
	}
	return n, err
}

// fields hands each member of an object to its reader, and wants the required ones to be there.
func (n node) fields(at string, required []string, readers map[string]func(node, string) error) error {
	if n.kind != object {
		if at == "" {
			return fail.New(fail.Invalid, "the policy must be a JSON object")
		}
		return fail.Field(at, "must be an object")
	}
	prefix := ""
	if at != "" {
		prefix = at + "."
	}
	for _, m := range n.members {
		read, ok := readers[m.name]
		if !ok {
			return fail.Field(prefix+m.name, "unknown field; one of %s", strings.Join(slices.Sorted(maps.Keys(readers)), ", "))
		}
		if err := read(m.value, prefix+m.name); err != nil {
			return err
		}
	}
	for _, r := range required {
		if !slices.ContainsFunc(n.members, func(m member) bool { return m.name == r }) {
			return fail.Field(prefix+r, "is missing")
		}
	}
	return nil
}

func (n node) list(at string) ([]node, error) {
	if n.kind != array || len(n.items) == 0 {
		return nil, fail.Field(at, "must be a list that is not empty")
	}
	return n.items, nil
}

func (n node) text(at string) (string, error) {
	if n.kind != str || n.string == "" {
		return "", fail.Field(at, "must be a string that is not empty")
	}
	return n.string, nil
}

func (n node) oneOf(at string, options ...string) (string, error) {
	if n.kind != str || !slices.Contains(options, n.string) {
		return "", fail.Field(at, "must be one of %s", strings.Join(options, ", "))
	}
	return n.string, nil
}

// values reads a condition's values: a string, or a list of them.
func (n node) values(at string) ([]string, error) {
	if n.kind == str {
		return []string{n.string}, nil
	}
	items, err := n.list(at)
	if err != nil {
		return nil, fail.Field(at, "must be a string, or a list of strings that is not empty")
	}
	out := make([]string, len(items))
	for i, item := range items {
		if item.kind != str {
			return nil, fail.Field(fmt.Sprintf("%s[%d]", at, i), "must be a string")
		}
		out[i] = item.string
	}
	return out, nil
}
