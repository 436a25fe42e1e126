package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// outputFlag adds -o with the forms a command can print.
func outputFlag(cmd *cobra.Command, into *string) {
	*into = "table"
	cmd.Flags().VarP(&choice{into: into, of: []string{"table", "json", "yaml"}}, "output", "o", "print as table, json or yaml")
	complete(cmd, "output", "table", "json", "yaml")
}

// choice is a flag that takes one of a few words.
type choice struct {
	into *string
	of   []string
}

func (c *choice) String() string { return *c.into }
func (c *choice) Type() string   { return strings.Join(c.of, "|") }
func (c *choice) Set(v string) error {
	for _, o := range c.of {
		if v == o {
			*c.into = v
			return nil
		}
	}
	return fmt.Errorf("it is none of %s", strings.Join(c.of, ", "))
}

// complete offers fixed words for a flag.
func complete(cmd *cobra.Command, flag string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // fails for an unknown flag only
}

// document prints a document of the server as json or yaml; fields keep their order and values.
func (s *session) document(form string, doc []byte) error {
	var b bytes.Buffer
	if form == "json" {
		if err := json.Indent(&b, doc, "", "  "); err != nil {
			return fail.Wrap(err, fail.Internal, "the answer is no JSON")
		}
		b.WriteByte('\n')
	} else {
		y, err := toYAML(doc)
		if err != nil {
			return fail.Wrap(err, fail.Internal, "the answer cannot be shown as YAML")
		}
		b.Write(y)
	}
	_, err := s.Stdout.Write(b.Bytes())
	return err
}

// toYAML writes JSON as YAML with the same order of fields: JSON is YAML in another style.
func toYAML(doc []byte) ([]byte, error) {
	var n yaml.Node
	if err := yaml.Unmarshal(doc, &n); err != nil {
		return nil, err
	}
	var restyle func(*yaml.Node)
	restyle = func(n *yaml.Node) {
		n.Style = 0
		if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && strings.Contains(n.Value, "\n") {
			n.Style = yaml.LiteralStyle
		} else if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
			quoteIfNeeded(n)
		}
		for _, c := range n.Content {
			restyle(c)
		}
	}
	restyle(&n)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&n); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// quoteIfNeeded keeps a string a string: "1", "true" and "null" would read back as something else.
func quoteIfNeeded(n *yaml.Node) {
	var v any
	if err := yaml.Unmarshal([]byte(n.Value), &v); err != nil {
		n.Style = yaml.DoubleQuotedStyle
	} else if _, ok := v.(string); !ok {
		n.Style = yaml.DoubleQuotedStyle
	}
}

// fromYAML reads YAML or JSON as JSON.
func fromYAML(b []byte) (json.RawMessage, error) {
	if json.Valid(b) {
		return b, nil
	}
	var v any
	if err := yaml.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// age prints a time as how long ago it was: 5s, 3m, 2h, 4d.
func age(at string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil || t.IsZero() {
		return ""
	}
	d := max(now.Sub(t), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// when tells a time as people say it: "4m ago", "in 2h". "" is no time.
func when(at string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil || t.IsZero() {
		return ""
	}
	if t.After(now) {
		return "in " + age(now.Format(time.RFC3339Nano), t)
	}
	return age(at, now) + " ago"
}

// count says how many there are: 1 file, 2 files.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}

// at reads a value in a document by its path, "spec.replicas".
func at(doc any, path string) any {
	for _, name := range strings.Split(path, ".") {
		m, ok := doc.(map[string]any)
		if !ok {
			return nil
		}
		doc = m[name]
	}
	return doc
}

// text prints a value of a document in a cell or a line.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case json.Number:
		return v.String()
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = text(e)
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		if len(v) == 0 {
			return ""
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// decode reads a document, keeping numbers as they are.
func decode(doc []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		return nil, fail.Wrap(err, fail.Internal, "the cloud's answer cannot be read")
	}
	return v, nil
}
