package federation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// The rules' form is Keystone's (https://docs.openstack.org/keystone/latest/admin/federation/mapping_combinations.html),
// which Huawei Cloud's is a part of.
type (
	rule struct {
		Local  []local  `json:"local"`
		Remote []remote `json:"remote"`
	}
	local struct {
		User     *localUser `json:"user,omitempty"`
		Group    *ref       `json:"group,omitempty"`
		Groups   string     `json:"groups,omitempty"`
		GroupIDs string     `json:"group_ids,omitempty"`
		Domain   *ref       `json:"domain,omitempty"`
		Projects any        `json:"projects,omitempty"`
	}
	localUser struct {
		ID     string `json:"id,omitempty"`
		Name   string `json:"name,omitempty"`
		Email  string `json:"email,omitempty"`
		Type   string `json:"type,omitempty"`
		Domain *ref   `json:"domain,omitempty"`
	}
	ref struct {
		ID     string `json:"id,omitempty"`
		Name   string `json:"name,omitempty"`
		Domain *ref   `json:"domain,omitempty"`
	}
	remote struct {
		Type      string   `json:"type"`
		AnyOneOf  []string `json:"any_one_of,omitempty"`
		NotAnyOf  []string `json:"not_any_of,omitempty"`
		Whitelist []string `json:"whitelist,omitempty"`
		Blacklist []string `json:"blacklist,omitempty"`
		Regex     bool     `json:"regex,omitempty"`
	}
)

// Words are what a provider says of somebody: values by attribute.
type Words map[string][]string

// Mapped is what a mapping makes of them.
type Mapped struct {
	Name, Email string
	Groups      []string // names or ids
}

const maxRules = 100

func parseRules(raw json.RawMessage) ([]rule, error) {
	at := func(format string, args ...any) *fail.Error {
		return fail.Field("spec.rules", format, args...)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	var rules []rule
	if err := d.Decode(&rules); err != nil {
		return nil, at("cannot be read: %v", err).Then(`give [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "email"}]}]`)
	}
	if _, err := d.Token(); err != io.EOF { //nolint:errorlint // Decoder gives io.EOF itself
		return nil, at("goes on after its JSON value")
	}
	if len(rules) == 0 || len(rules) > maxRules {
		return nil, at("needs 1 to %d rules", maxRules)
	}
	for i, r := range rules {
		if err := r.check(); err != nil {
			return nil, at("rule %d: %v", i, err)
		}
	}
	return rules, nil
}

func (r *rule) check() error {
	if len(r.Local) == 0 || len(r.Remote) == 0 {
		return fmt.Errorf("it needs both local and remote")
	}
	places := 0
	for i, m := range r.Remote {
		lists := 0
		for _, l := range [][]string{m.AnyOneOf, m.NotAnyOf, m.Whitelist, m.Blacklist} {
			if len(l) > 0 {
				lists++
			}
			if !m.Regex {
				continue
			}
			for _, e := range l {
				if _, err := regexp.Compile(e); err != nil {
					return fmt.Errorf("remote[%d]: %q is not a regular expression", i, e)
				}
			}
		}
		switch {
		case m.Type == "":
			return fmt.Errorf("remote[%d]: type is missing: the attribute's name", i)
		case lists > 1:
			return fmt.Errorf("remote[%d]: give one of any_one_of, not_any_of, whitelist and blacklist", i)
		}
		if m.direct() {
			places++
		}
	}
	for i, l := range r.Local {
		if l.Projects != nil {
			return fmt.Errorf("local[%d]: projects are not made at log-in here: grant policies to groups instead", i)
		}
		texts := []string{l.Groups, l.GroupIDs}
		if l.User != nil {
			if l.User.Type != "" && l.User.Type != "ephemeral" {
				return fmt.Errorf("local[%d]: a user of type %q is not made by a mapping: only ephemeral ones are", i, l.User.Type)
			}
			texts = append(texts, l.User.Name, l.User.ID, l.User.Email)
		}
		if l.Group != nil {
			texts = append(texts, l.Group.ID, l.Group.Name)
		}
		for _, t := range texts {
			for _, m := range place.FindAllStringSubmatch(t, -1) {
				if n, err := strconv.Atoi(m[1]); err != nil || n >= places {
					return fmt.Errorf("local[%d]: %s stands for no remote entry: those without any_one_of and not_any_of count, from 0", i, m[0])
				}
			}
		}
	}
	return nil
}

// direct tells whether its values can be named by {n}: a condition's cannot.
func (m *remote) direct() bool { return len(m.AnyOneOf) == 0 && len(m.NotAnyOf) == 0 }

var place = regexp.MustCompile(`\{(\d+)\}`)

// Map applies rules to what a provider said. Every rule that fits adds its groups; the first with a user names it.
func Map(raw json.RawMessage, words Words) (Mapped, error) {
	rules, err := parseRules(raw)
	if err != nil {
		return Mapped{}, err
	}
	var out Mapped
	for i := range rules {
		values, ok := rules[i].fits(words)
		if !ok {
			continue
		}
		rules[i].apply(values, &out)
	}
	if out.Name == "" {
		return out, fail.New(fail.Denied, "no rule of the mapping makes a user of what the identity provider says").
			Then("ask an administrator of the domain to look at the mapping's rules")
	}
	slices.Sort(out.Groups)
	out.Groups = slices.Compact(out.Groups)
	return out, nil
}

// fits gives the values of the direct entries, in order, when all entries hold.
func (r *rule) fits(words Words) (values [][]string, ok bool) {
	for _, m := range r.Remote {
		have := words.get(m.Type)
		if len(have) == 0 {
			return nil, false
		}
		among := func(list []string) func(string) bool {
			return func(v string) bool { return m.among(v, list) }
		}
		switch {
		case len(m.AnyOneOf) > 0:
			if !slices.ContainsFunc(have, among(m.AnyOneOf)) {
				return nil, false
			}
			continue
		case len(m.NotAnyOf) > 0:
			if slices.ContainsFunc(have, among(m.NotAnyOf)) {
				return nil, false
			}
			continue
		case len(m.Whitelist) > 0:
			have = slices.DeleteFunc(slices.Clone(have), func(v string) bool { return !m.among(v, m.Whitelist) })
		case len(m.Blacklist) > 0:
			have = slices.DeleteFunc(slices.Clone(have), among(m.Blacklist))
		}
		values = append(values, have)
	}
	return values, true
}

func (m *remote) among(v string, list []string) bool {
	return slices.ContainsFunc(list, func(e string) bool {
		if !m.Regex {
			return e == v
		}
		re, err := regexp.Compile(e) // was checked when the rules were stored
		return err == nil && re.MatchString(v)
	})
}

func (r *rule) apply(values [][]string, out *Mapped) {
	fill := func(t string) string {
		return place.ReplaceAllStringFunc(t, func(p string) string {
			n, _ := strconv.Atoi(p[1 : len(p)-1])
			return strings.Join(values[n], ";")
		})
	}
	for _, l := range r.Local {
		if u := l.User; u != nil && out.Name == "" {
			if out.Name = fill(u.Name); out.Name == "" {
				out.Name = fill(u.ID)
			}
			out.Email = fill(u.Email)
		}
		if g := l.Group; g != nil {
			if name := fill(g.ID + g.Name); name != "" {
				out.Groups = append(out.Groups, name)
			}
		}
		for _, t := range []string{l.Groups, l.GroupIDs} {
			if m := place.FindStringSubmatch(t); m != nil && m[0] == t { // the whole list, one group a value
				n, _ := strconv.Atoi(m[1])
				for _, v := range values[n] {
					out.Groups = append(out.Groups, split(v)...)
				}
			} else if t != "" {
				out.Groups = append(out.Groups, split(fill(t))...)
			}
		}
	}
}

// split cuts a list in one value: Keystone's are joined by ";", some write them in JSON.
func split(v string) []string {
	var list []string
	if strings.HasPrefix(v, "[") && json.Unmarshal([]byte(v), &list) == nil {
		return list
	}
	for _, g := range strings.Split(v, ";") {
		if g = strings.TrimSpace(g); g != "" {
			list = append(list, g)
		}
	}
	return list
}

// subjectWord is how Huawei's mappings call whoever it is, whatever the protocol.
const subjectWord = "__NAMEID__"

// get finds an attribute. Mappings that were written for Keystone behind Apache name a claim HTTP_OIDC_EMAIL or
// OIDC-email.
func (w Words) get(name string) []string {
	if v, ok := w[name]; ok {
		return v
	}
	if name == subjectWord {
		return append(w["NameID"], w["sub"]...)
	}
	want := plain(name)
	for k, v := range w {
		if plain(k) == want {
			return v
		}
	}
	return nil
}

func plain(name string) string {
	s := strings.ReplaceAll(strings.ToLower(name), "-", "_")
	for _, prefix := range []string{"http_", "oidc_claim_", "oidc_", "mellon_"} {
		s = strings.TrimPrefix(s, prefix)
	}
	return s
}

func checkMapping(_ context.Context, _ store.Tx, _, row *Mapping) error {
	_, err := parseRules(row.Spec.Rules)
	return err
}
