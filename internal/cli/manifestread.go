package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/awancloud/awan/internal/kernel/kind"
)

func under(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// object reads a mapping by its fields.
func (m *manifest) object(n *yaml.Node, fields []kind.Field, path string) map[string]any {
	out := map[string]any{}
	m.pairs(n, path, func(key string, v *yaml.Node) {
		p := under(path, key)
		i := slices.IndexFunc(fields, func(f kind.Field) bool { return f.Name == key })
		if i < 0 {
			names := make([]string, len(fields))
			for i, f := range fields {
				names[i] = f.Name
			}
			m.wrong(p, "there is no such field; fields here: %s", strings.Join(names, ", "))
			return
		}
		if path == "" && key == "environment" && v.Kind == yaml.ScalarNode { // its name alone
			out[key] = map[string]any{"name": v.Value}
			return
		}
		out[key] = m.value(v, fields[i], p)
	})
	for _, f := range fields {
		if _, given := out[f.Name]; f.Required && !given {
			m.wrong(path, "%s is missing: %s", f.Name, f.Doc)
		}
	}
	return out
}

// pairs walks a mapping and notes where its keys are.
func (m *manifest) pairs(n *yaml.Node, path string, each func(string, *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		if n.Tag != "!!null" {
			m.wrong(path, "expected fields, KEY: VALUE")
		}
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		if v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		p := under(path, key.Value)
		m.lines[p] = key.Line
		switch {
		case key.Tag == "!!merge":
			m.wrong(p, "merging with << is not possible here; an alias (*NAME) of a whole value is")
		case seen[key.Value]:
			m.wrong(p, "is there twice")
		default:
			seen[key.Value] = true
			each(key.Value, v)
		}
	}
}

// value reads one value and checks it by its field's rules.
func (m *manifest) value(n *yaml.Node, f kind.Field, path string) any {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if m.lines[path] == 0 {
		m.lines[path] = n.Line
	}
	if n.Tag == "!!null" {
		return nil // its default
	}
	switch f.Type {
	case kind.Object:
		return m.object(n, f.Fields, path)
	case kind.MapOf:
		out := map[string]any{}
		m.pairs(n, path, func(key string, v *yaml.Node) { out[key] = m.value(v, *f.Item, under(path, key)) })
		m.bounds(int64(len(out)), f, path, " entries")
		return out
	case kind.ListOf:
		if n.Kind != yaml.SequenceNode {
			m.wrong(path, "expected a list, [a, b]")
			return nil
		}
		out := []any{}
		for i, e := range n.Content {
			out = append(out, m.value(e, *f.Item, fmt.Sprintf("%s[%d]", path, i)))
		}
		m.bounds(int64(len(out)), f, path, " entries")
		return out
	}
	if n.Kind != yaml.ScalarNode {
		m.wrong(path, "expected one value, not %s", map[yaml.Kind]string{yaml.MappingNode: "fields", yaml.SequenceNode: "a list"}[n.Kind])
		return nil
	}
	return m.scalar(n, f, path)
}

func (m *manifest) scalar(n *yaml.Node, f kind.Field, path string) any {
	switch f.Type {
	case kind.Integer:
		v, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil {
			m.wrong(path, "expected a whole number, not %q", n.Value)
			return nil
		}
		m.bounds(v, f, path, "")
		return v
	case kind.Number:
		v, err := strconv.ParseFloat(n.Value, 64)
		if err != nil {
			m.wrong(path, "expected a number, not %q", n.Value)
		}
		return v
	case kind.Boolean:
		var v bool
		if n.Decode(&v) != nil {
			m.wrong(path, "expected true or false, not %q", n.Value)
		}
		return v
	case kind.Duration:
		v, err := time.ParseDuration(n.Value)
		if err != nil {
			m.wrong(path, "expected a time, 30s or 5m say, not %q", n.Value)
			return nil
		}
		m.bounds(int64(v/time.Second), f, path, " seconds")
		return v.String()
	}
	if len(f.Enum) > 0 && !slices.Contains(f.Enum, n.Value) {
		m.wrong(path, "%q is not one of %s", n.Value, strings.Join(f.Enum, ", "))
	}
	if f.Pattern != "" && n.Value != "" {
		if ok, err := regexp.MatchString(f.Pattern, n.Value); err == nil && !ok {
			m.wrong(path, "%q does not match %s", n.Value, f.Pattern)
		}
	}
	if n.Value != "" {
		m.bounds(int64(len(n.Value)), f, path, " characters")
	}
	return n.Value
}

func (m *manifest) bounds(n int64, f kind.Field, path, what string) {
	if f.Min != nil && n < *f.Min {
		m.wrong(path, "%d%s is too small; the least is %d", n, what, *f.Min)
	}
	if f.Max != nil && n > *f.Max {
		m.wrong(path, "%d%s is too large; the most is %d", n, what, *f.Max)
	}
}
