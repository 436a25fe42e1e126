package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/kernel/kind"
)

// kindCmds derives a command from every kind. A name that two kinds share, or that a command has already, is put behind
// its service: identity-key.
func (s *session) kindCmds(root *cobra.Command) []*cobra.Command {
	taken := map[string]int{"help": 2, "completion": 2}
	for _, c := range root.Commands() {
		taken[c.Name()] = 2
	}
	for _, k := range s.Kinds {
		taken[k.Name]++
	}
	var out []*cobra.Command
	for i := range s.Kinds {
		k := &s.Kinds[i]
		name := k.Name
		if taken[name] > 1 {
			name = k.Service + "-" + k.Name
		}
		s.kindCommands[name] = k
		cmd := group(name, k.Doc, k.Doc+about(k), s.verbCmds(name, k)...)
		if k.FullName() == "bucket/bucket" {
			cmd.AddCommand(s.bucketEmptyCmd())
		}
		if taken[k.Plural] == 0 && name == k.Name {
			cmd.Aliases = []string{k.Plural}
		}
		cmd.Example = examples("awan "+name+" list", "awan "+name+" show "+sample(k)+" -o yaml")
		if !k.ReadOnly {
			cmd.Example += "\n" + examples(createExample(name, k))
		}
		out = append(out, cmd)
	}
	slices.SortFunc(out, func(a, b *cobra.Command) int { return strings.Compare(a.Name(), b.Name()) })
	return out
}

// about says in a line where a kind's rows live.
func about(k *kind.Desc) string {
	where := map[kind.Scope]string{kind.InProject: "a project", kind.InDomain: "a domain (account)", kind.InCloud: "the whole cloud"}[k.Scope]
	text := "\n\nIt belongs to " + where + "."
	if k.ReadOnly {
		text += " The cloud makes it by itself; you can read it."
	}
	if k.Retention > 0 {
		text += fmt.Sprintf(" A deleted one can be restored for %d days.", int(k.Retention.Hours()/24))
	}
	return text
}

// verbCmds derives the verbs of a kind.
func (s *session) verbCmds(name string, k *kind.Desc) []*cobra.Command {
	cmds := []*cobra.Command{s.listCmd(name, k), s.showCmd(name, k)}
	if !k.ReadOnly {
		cmds = append(cmds, s.createCmd(name, k), s.updateCmd(name, k), s.deleteCmd(name, k))
	}
	if k.Retention > 0 {
		cmds = append(cmds, s.restoreCmd(name, k))
	}
	cmds = append(cmds, s.watchCmd(name, k), s.eventsCmd(name, k))
	for i := range k.Actions {
		a := &k.Actions[i]
		switch {
		case a.Stream && hasField(a.In, "command"):
			cmds = append(cmds, s.kindExecCmd(name, k, a))
		case a.Stream && byHand[a.Verb]:
		case a.Stream:
			cmds = append(cmds, s.streamCmd(name, k, a))
		default:
			cmds = append(cmds, s.actionCmd(name, k, a))
		}
	}
	return cmds
}

// byHand are streams that have a command of their own: awan port-forward, awan cp, awan console. A screen is for programs.
var byHand = map[string]bool{"port-forward": true, "copy-in": true, "copy-out": true, "console": true, "vnc": true}

func hasField(fields []kind.Field, name string) bool {
	return slices.ContainsFunc(fields, func(f kind.Field) bool { return f.Name == name })
}

// sample is a name for examples.
func sample(k *kind.Desc) string {
	if k.AnyName {
		return "ID"
	}
	return cmp.Or(k.NameLike, "my-"+k.Name)
}

// createExample is a command line made from the kind's example.
func createExample(name string, k *kind.Desc) string {
	words := []string{"awan", name, "create"}
	if !k.AnyName {
		words = append(words, sample(k))
	}
	if doc, err := decode(k.Example); err == nil {
		words = append(words, exampleFlags(nil, k.Spec, doc)...)
	}
	return strings.Join(words, " ")
}

// exampleFlags are the flags that give what the example sets.
func exampleFlags(path []string, fields []kind.Field, doc map[string]any) []string {
	var out []string
	for _, f := range fields {
		v, p := doc[f.Name], append(slices.Clone(path), f.Name)
		flag := "--" + dotted(p)
		switch x := v.(type) {
		case nil:
			if f.Required && f.Example != "" {
				out = append(out, flag, quoteWord(f.Example))
			}
		case map[string]any:
			switch {
			case f.Type == kind.Object:
				out = append(out, exampleFlags(p, f.Fields, x)...)
			case f.Type == kind.MapOf:
				for _, key := range sortedKeys(x) {
					out = append(out, flag, quoteWord(key+"="+text(x[key])))
				}
			case len(x) > 0:
				out = append(out, flag, quoteWord(text(v)))
			}
		case []any:
			for _, e := range x {
				out = append(out, flag, quoteWord(text(e)))
			}
		case bool:
			if x {
				out = append(out, flag)
			}
		case json.Number:
			if x != "0" {
				out = append(out, flag, x.String())
			}
		case string:
			if x != "" && x != "0s" {
				out = append(out, flag, quoteWord(x))
			}
		}
	}
	return out
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// quoteWord quotes for a shell where it is needed.
func quoteWord(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r))
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
