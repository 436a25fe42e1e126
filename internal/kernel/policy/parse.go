package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// MaxChars is how long a document may be, in characters: four times what Huawei Cloud takes.
const MaxChars = 4 * 6144

// Parse reads a document and refuses whatever it does not understand: a rule that is skipped silently is a hole. Errors
// are fail.Invalid and name the path: "Statement[0].Condition.StringEqualz".
func Parse(text []byte) (*Document, error) {
	if len(text) > MaxChars && utf8.RuneCount(text) > MaxChars {
		return nil, fail.New(fail.TooLarge, "the policy is longer than %d characters", MaxChars).Then("split it into several")
	}
	root, err := parseJSON(text)
	if err != nil {
		return nil, err
	}
	d := &Document{}
	err = root.fields("", []string{"Version", "Statement"}, map[string]func(node, string) error{
		"Version": func(n node, at string) (err error) {
			d.Version, err = n.oneOf(at, "1.0", "1.1", "5.0")
			return err
		},
		"Statement": func(n node, at string) error {
			items, err := n.list(at)
			for i, item := range items {
				var s Statement
				if s, err = parseStatement(item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
					return err
				}
				d.Statements = append(d.Statements, s)
			}
			return err
		},
		"Depends": func(n node, at string) error {
			if n.kind == array && len(n.items) == 0 {
				return nil
			}
			items, err := n.list(at)
			for i, item := range items {
				var dep Dependency
				if dep, err = parseDependency(item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
					return err
				}
				d.Depends = append(d.Depends, dep)
			}
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	if d.Depends != nil && d.Version != "1.0" {
		return nil, fail.Field("Depends", "only a role, version 1.0, has it")
	}
	return d, nil
}

func parseDependency(n node, at string) (d Dependency, err error) {
	return d, n.fields(at, []string{"catalog", "display_name"}, map[string]func(node, string) error{
		"catalog":      func(n node, at string) (err error) { d.Catalog, err = n.text(at); return err },
		"display_name": func(n node, at string) (err error) { d.DisplayName, err = n.text(at); return err },
	})
}

func parseStatement(n node, at string) (s Statement, err error) {
	actions := func(into *[]string) func(node, string) error {
		return func(n node, at string) (err error) {
			*into, s.actions, err = n.patterns(at, isAction, `not an action such as "ecs:servers:list", "ecs:*" or "*"`, strings.ToLower)
			return err
		}
	}
	resources := func(into *[]string) func(node, string) error {
		return func(n node, at string) (err error) {
			*into, s.resources, err = n.patterns(at, isResource,
				`not a resource such as "obs:*:*:bucket:photos" or "*"`, foldService)
			return err
		}
	}
	err = n.fields(at, []string{"Effect"}, map[string]func(node, string) error{
		"Sid": func(n node, at string) (err error) {
			if s.Sid, err = n.text(at); err == nil && !isSid.MatchString(s.Sid) {
				err = fail.Field(at, "must be 1 to 64 letters, digits, - or _")
			}
			return err
		},
		"Effect": func(n node, at string) error {
			e, err := n.oneOf(at, string(Allow), string(Deny))
			s.Effect = Effect(e)
			return err
		},
		"Action": actions(&s.Action), "NotAction": actions(&s.NotAction),
		"Resource": resources(&s.Resource), "NotResource": resources(&s.NotResource),
		"Condition": func(n node, at string) (err error) { s.Condition, err = parseConditions(n, at); return err },
	})
	switch {
	case err != nil:
	case (s.Action == nil) == (s.NotAction == nil):
		err = fail.Field(at, "must have either Action or NotAction")
	case s.Resource != nil && s.NotResource != nil:
		err = fail.Field(at, "must not have both Resource and NotResource")
	}
	return s, err
}

func parseConditions(n node, at string) (out []Condition, err error) {
	if n.kind != object {
		return nil, fail.Field(at, "must be an object of operators")
	}
	for _, op := range n.members {
		at := at + "." + op.name
		// The operator first: a mistake in it is what the writer should hear of.
		if _, i, err := newCondition(op.name, "", []string{}); err != nil && i < 0 {
			return nil, fail.Field(at, "%s", err)
		}
		if op.value.kind != object || len(op.value.members) == 0 {
			return nil, fail.Field(at, "must be an object of condition keys, not empty")
		}
		for _, key := range op.value.members {
			at := at + "." + key.name
			if err := checkKey(key.name); err != nil {
				return nil, fail.Field(at, "%s", err)
			}
			if slices.ContainsFunc(out, func(c Condition) bool { return c.Operator == op.name && strings.EqualFold(c.Key, key.name) }) {
				return nil, fail.Field(at, "is there twice")
			}
			values, err := key.value.values(at)
			if err != nil {
				return nil, err
			}
			c, i, err := newCondition(op.name, key.name, values)
			if err != nil {
				return nil, fail.Field(fmt.Sprintf("%s[%d]", at, i), "%s", err)
			}
			out = append(out, c)
		}
	}
	return out, nil
}

var (
	isSid      = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	isAction   = regexp.MustCompile(`^(\*|[A-Za-z0-9_.*?-]+(:[A-Za-z0-9_.*?/-]*)?:[A-Za-z0-9_.*?/-]+)$`)
	isResource = regexp.MustCompile(`^(\*|[A-Za-z0-9_.*?-]*(:[^:\s]*){3}:[^\s]+|[A-Za-z0-9_.-]+:\*)$`)
)

// patterns reads a list of strings of a form and compiles their wildcards.
func (n node) patterns(at string, form *regexp.Regexp, not string, fold func(string) string) ([]string, []pattern, error) {
	items, err := n.list(at)
	if err != nil {
		return nil, nil, err
	}
	out, compiled := []string{}, []pattern{}
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", at, i)
		s, err := item.text(at)
		switch {
		case err != nil:
			return nil, nil, err
		case strings.Contains(s, "${"):
			return nil, nil, fail.Field(at, "variables are not supported")
		case !form.MatchString(s):
			return nil, nil, fail.Field(at, "%s", not)
		}
		out, compiled = append(out, s), append(compiled, glob(fold(s)))
	}
	return out, compiled, nil
}
