package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// fieldFlag is a flag that sets one field of a spec or of an action's input.
type fieldFlag struct {
	flag  string
	path  []string
	field kind.Field
	given []string
}

// String is what pflag asks for a default; there is none, the cloud has its own.
func (f *fieldFlag) String() string { return strings.Join(f.given, ",") }

// Set notes the text; it is understood when the request is made, for a secret may have to be asked for.
func (f *fieldFlag) Set(v string) error {
	if f.field.Type != kind.ListOf && f.field.Type != kind.MapOf {
		f.given = nil
	}
	f.given = append(f.given, v)
	return nil
}

// Type is what help shows as the value's name.
func (f *fieldFlag) Type() string {
	if len(f.field.Enum) > 0 {
		return strings.Join(f.field.Enum, "|")
	}
	switch t := f.field.Type; t {
	case kind.String:
		if f.field.Ref != "" {
			_, name, _ := strings.Cut(f.field.Ref, "/")
			return strings.ToUpper(name)
		}
		return "TEXT"
	case kind.Integer, kind.Number:
		return "N"
	case kind.Boolean:
		return "bool"
	case kind.MapOf:
		if f.field.Item.Type == kind.String {
			return "KEY=VALUE"
		}
		return "KEY=JSON"
	case kind.ListOf:
		if f.field.Item.Type == kind.String || f.field.Item.Type == kind.Integer {
			return "VALUE"
		}
		return "JSON"
	case kind.Object, kind.JSON:
		return "JSON"
	default:
		return strings.ToUpper(string(t))
	}
}

func (f *fieldFlag) help() string {
	var notes []string
	field := f.field
	if field.Required {
		notes = append(notes, "required")
	}
	if field.Unit != "" {
		notes = append(notes, "in "+field.Unit)
	}
	if field.Default != "" {
		notes = append(notes, "default "+field.Default)
	}
	if field.Type == kind.ListOf || field.Type == kind.MapOf {
		notes = append(notes, "may be repeated")
	}
	if field.Secret {
		notes = append(notes, "@FILE reads a file, - asks")
	}
	if field.Immutable {
		notes = append(notes, "fixed at creation")
	}
	text := strings.ReplaceAll(field.Doc, "`", "'") // pflag reads backquotes as the value's name
	if len(notes) > 0 {
		text += " (" + strings.Join(notes, "; ") + ")"
	}
	return text
}

// dotted names a field's flag by its path: --probe.path.
func dotted(path []string) string {
	return strings.ReplaceAll(strings.Join(path, "."), "_", "-")
}

// fieldFlags adds a flag for every field, nested ones too. A name that is taken gets the prefix "spec.".
func (s *session) fieldFlags(cmd *cobra.Command, fields []kind.Field, name func(path []string) string) []*fieldFlag {
	var out []*fieldFlag
	var walk func(path []string, fields []kind.Field)
	walk = func(path []string, fields []kind.Field) {
		for _, field := range fields {
			p := append(slices.Clone(path), field.Name)
			if field.Type == kind.Object && len(field.Fields) > 0 {
				walk(p, field.Fields)
				continue
			}
			f := &fieldFlag{flag: name(p), path: p, field: field}
			if f.flag == "" {
				continue
			}
			if cmd.Flags().Lookup(f.flag) != nil || slices.Contains([]string{"data", "profile", "help"}, f.flag) {
				f.flag = "spec." + f.flag
			}
			flag := cmd.Flags().VarPF(f, f.flag, "", f.help())
			if field.Type == kind.Boolean {
				flag.NoOptDefVal = "true"
			}
			s.completeField(cmd, f)
			out = append(out, f)
		}
	}
	walk(nil, fields)
	return out
}

// values makes the document that the given flags describe; remove lists map entries ("KEY-") and is kept as null.
func (s *session) values(flags []*fieldFlag) (map[string]any, error) {
	doc := map[string]any{}
	for _, f := range flags {
		if f.given == nil {
			continue
		}
		v, err := s.value(f)
		if err != nil {
			return nil, err
		}
		put(doc, f.path, v)
	}
	return doc, nil
}

func put(doc map[string]any, path []string, v any) {
	for _, name := range path[:len(path)-1] {
		next, ok := doc[name].(map[string]any)
		if !ok {
			next = map[string]any{}
			doc[name] = next
		}
		doc = next
	}
	doc[path[len(path)-1]] = v
}

func (s *session) value(f *fieldFlag) (any, error) {
	switch f.field.Type {
	case kind.MapOf:
		m := map[string]any{}
		for _, g := range f.given {
			k, v, ok := strings.Cut(g, "=")
			switch {
			case ok:
				x, err := s.scalar(f, *f.field.Item, v, k)
				if err != nil {
					return nil, err
				}
				m[k] = x
			case strings.HasSuffix(g, "-") && len(g) > 1:
				m[strings.TrimSuffix(g, "-")] = nil // a merge patch takes null as "remove"
			default:
				return nil, usagef("--%s takes KEY=VALUE (KEY- removes one), not %q", f.flag, g)
			}
		}
		return m, nil
	case kind.ListOf:
		list := []any{}
		given := f.given
		if f.field.Ref != "" || f.field.Item.Ref != "" { // names hold no comma: a,b are two
			given = strings.Split(strings.Join(given, ","), ",")
		}
		for _, g := range given {
			if g == "" && len(given) == 1 {
				break // an empty value empties the list
			}
			x, err := s.scalar(f, *f.field.Item, g, "")
			if err != nil {
				return nil, err
			}
			list = append(list, x)
		}
		return list, nil
	}
	return s.scalar(f, f.field, f.given[0], "")
}

// scalar reads one value as its field's type.
func (s *session) scalar(f *fieldFlag, field kind.Field, v, key string) (any, error) {
	switch field.Type {
	case kind.Integer:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return nil, usagef("--%s takes a whole number, not %q", f.flag, v)
		}
		return n, nil
	case kind.Number:
		n, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return nil, usagef("--%s takes a number, not %q", f.flag, v)
		}
		return n, nil
	case kind.Boolean:
		b, err := strconv.ParseBool(v)
		if err != nil {
			return nil, usagef("--%s takes true or false, not %q", f.flag, v)
		}
		return b, nil
	case kind.Object, kind.JSON, kind.ListOf, kind.MapOf:
		b := []byte(v)
		if path, ok := strings.CutPrefix(v, "@"); ok {
			var err error
			if b, err = os.ReadFile(path); err != nil {
				return nil, fail.Wrap(err, fail.Invalid, "--%s: %s cannot be read", f.flag, path)
			}
		}
		doc, err := fromYAML(b)
		if err != nil {
			return nil, usagef("--%s takes JSON or @FILE: %v", f.flag, err)
		}
		return doc, nil
	}
	if f.field.Secret {
		return s.secret(f.flag, key, v, key == "" && field.Max != nil && *field.Max >= document)
	}
	if path, ok := strings.CutPrefix(v, "@"); ok && field.Type == kind.String && field.Max != nil && *field.Max >= document {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fail.Wrap(err, fail.Invalid, "--%s: %s cannot be read", f.flag, path)
		}
		return string(b), nil
	}
	return v, nil
}

// document is the length from which a text is one that people keep in a file: a certificate, a list of keys.
const document = 8192

// secret reads a secret's value: from a file, by asking, or as it is. A file that is a text of its own is taken whole.
func (s *session) secret(flag, key, v string, whole bool) (any, error) {
	switch {
	case v == "-":
		label := strings.TrimSpace(flag + " " + key)
		return s.ask(label+": ", true)
	case strings.HasPrefix(v, "@"):
		b, err := os.ReadFile(v[1:])
		if err != nil {
			return nil, fail.Wrap(err, fail.Invalid, "--%s: %s cannot be read", flag, v[1:])
		}
		if line := bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r")); !whole && !bytes.Contains(line, []byte("\n")) {
			return string(line), nil // an editor ends the one line of a password so
		}
		return string(b), nil
	}
	return v, nil
}

// merged lays flags over a document from a file.
func merged(under json.RawMessage, over map[string]any) (map[string]any, error) {
	doc := map[string]any{}
	if len(under) > 0 {
		var err error
		if doc, err = decode(under); err != nil {
			return nil, err
		}
	}
	var lay func(into, from map[string]any)
	lay = func(into, from map[string]any) {
		for k, v := range from {
			if sub, ok := v.(map[string]any); ok {
				if have, ok := into[k].(map[string]any); ok {
					lay(have, sub)
					continue
				}
			}
			into[k] = v
		}
	}
	lay(doc, over)
	return doc, nil
}
