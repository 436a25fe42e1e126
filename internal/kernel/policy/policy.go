// Package policy decides whether a request is allowed, by documents in Huawei Cloud's policy language, versions 1.0 and
// 1.1 (and 5.0, whose grammar is the same), and says which statement decided. It is pure: no clock, no store, no state.
//
// Rules: a statement speaks of a request when its action, resource and every condition match. Any Deny that speaks of
// it denies; else any Allow allows; else it is denied. Sources: the IAM user guide's "Policy Syntax" (1.x) and "JSON
// Element Reference" (5.0). It may import kernel/fail only.
package policy

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Effect is what a statement does to the requests it speaks of.
type Effect string

// The effects.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// Document is a parsed policy. It does not change and may be shared.
type Document struct {
	Version    string
	Statements []Statement
	Depends    []Dependency // of system roles (1.0); shown, not evaluated
}

// Dependency names a role that has to be granted beside this one.
type Dependency struct{ Catalog, DisplayName string }

// Statement is one rule. Exactly one of Action and NotAction is there, and at most one of Resource and NotResource;
// without either it speaks of every resource.
type Statement struct {
	Sid         string
	Effect      Effect
	Action      []string
	NotAction   []string
	Resource    []string
	NotResource []string
	Condition   []Condition

	actions, resources []pattern
}

// Request is what is asked. Its principal appears in Facts.
type Request struct {
	Action   string              // "service:type:verb"; letter case does not matter
	Resource string              // "service:region:domain:type:path"; "" where the action has none
	Facts    map[string][]string // by condition key, whose letter case does not matter: "g:ProjectName"
	Also     []Alias             // other names of the same: statements may use any of them
	// Late, where set, gives Facts when a condition first asks for them: most policies have none.
	Late func() map[string][]string
}

// Alias is what an action and its resource are called elsewhere: "obs:object:GetObject".
type Alias struct{ Action, Resource string }

// Attached is a document together with how the principal comes by it.
type Attached struct {
	ID     string // of the policy; may be empty
	Name   string // of the policy, for people
	Source string // "user alice", "group dev", "agency backup"
	Doc    *Document
}

// Decision is the answer.
type Decision struct {
	Allowed bool
	By      *Match // the statement that decided; nil when none spoke of the request
	Reason  string // for people
}

// Match names a statement.
type Match struct {
	ID             string // of the policy, where it has one
	Policy, Source string
	Statement      int // counted from 1
	Sid            string
}

// String prints "statement 1 of policy app-admin (group dev)".
func (m *Match) String() string {
	s := "statement " + strconv.Itoa(m.Statement)
	if m.Sid != "" {
		s += ` "` + m.Sid + `"`
	}
	s += " of policy " + m.Policy
	if m.Source != "" {
		s += " (" + m.Source + ")"
	}
	return s
}

// Decide answers req by docs. The order of docs and statements changes the reason at most, never the answer.
func Decide(req Request, docs []Attached) Decision {
	actions, resources := []string{strings.ToLower(req.Action)}, []string{foldService(req.Resource)}
	for _, a := range req.Also {
		actions, resources = append(actions, strings.ToLower(a.Action)), append(resources, foldService(a.Resource))
	}
	match := func(d *Attached, i int) *Match {
		return &Match{ID: d.ID, Policy: d.Name, Source: d.Source, Statement: i + 1, Sid: d.Doc.Statements[i].Sid}
	}
	var allow, near *Match // near would allow, but for an obstacle
	var obstacle string
	for k := range docs {
		d := &docs[k]
		if d.Doc == nil {
			continue
		}
		for i := range d.Doc.Statements {
			s := &d.Doc.Statements[i]
			if s.Effect == Allow && allow != nil || !s.speaksOfAction(actions) {
				continue
			}
			onIt := s.speaksOfResource(resources)
			var failing *Condition
			if onIt {
				failing = s.failing(&req)
			}
			switch {
			case onIt && failing == nil && s.Effect == Deny:
				m := match(d, i)
				return Decision{By: m, Reason: "denied by " + m.String()}
			case onIt && failing == nil:
				allow = match(d, i)
			case s.Effect == Allow && near == nil:
				near, obstacle = match(d, i), "not on this resource"
				if failing != nil {
					obstacle = "its condition " + failing.Operator + " on " + failing.Key + " does not hold"
				}
			}
		}
	}
	switch {
	case allow != nil:
		return Decision{Allowed: true, By: allow, Reason: "allowed by " + allow.String()}
	case near != nil:
		return Decision{Reason: "denied: no statement allows " + req.Action + "; " + near.String() + " would, but " + obstacle}
	}
	return Decision{Reason: "denied: no statement allows " + req.Action}
}

func (s *Statement) speaksOfAction(lower []string) bool {
	return anyMatch(s.actions, lower) == (s.NotAction == nil)
}

func (s *Statement) speaksOfResource(names []string) bool {
	return len(s.resources) == 0 || anyMatch(s.resources, names) == (s.NotResource == nil)
}

// failing is the first condition that does not hold.
func (s *Statement) failing(req *Request) *Condition {
	if len(s.Condition) == 0 {
		return nil
	}
	if req.Late != nil {
		req.Facts, req.Late = req.Late(), nil
	}
	for i := range s.Condition {
		if c := &s.Condition[i]; !c.holds(req.Facts) {
			return c
		}
	}
	return nil
}

// foldService lowers the first part of a resource, which like an action's does not depend on letter case.
func foldService(resource string) string {
	if i := strings.IndexByte(resource, ':'); i > 0 {
		return strings.ToLower(resource[:i]) + resource[i:]
	}
	return resource
}

// pattern is a string with wildcards: '*' stands for any characters, also none, '?' for exactly one.
type pattern struct {
	parts []string // cut at the stars: "a*b" is ["a", "b"]
	one   bool     // there is a '?'
}

func glob(s string) pattern { return pattern{strings.Split(s, "*"), strings.Contains(s, "?")} }

// match looks for each part once, behind the one before it: linear in the lengths of both, but for '?', where a part is
// compared at every place.
func (p pattern) match(s string) bool {
	first, last := p.parts[0], p.parts[len(p.parts)-1]
	if len(p.parts) == 1 {
		n := p.prefix(s, first)
		return n == len(s)
	}
	n := p.prefix(s, first)
	if n < 0 {
		return false
	}
	s = s[n:]
	for _, part := range p.parts[1 : len(p.parts)-1] {
		end := p.index(s, part)
		if end < 0 {
			return false
		}
		s = s[end:]
	}
	return p.suffix(s, last)
}

// prefix tells how many bytes of s part takes when s begins with it; -1 when it does not.
func (p pattern) prefix(s, part string) int {
	if !p.one {
		if strings.HasPrefix(s, part) {
			return len(part)
		}
		return -1
	}
	at := 0
	for _, want := range part {
		got, size := utf8.DecodeRuneInString(s[at:])
		if size == 0 || want != '?' && got != want {
			return -1
		}
		at += size
	}
	return at
}

// index gives where the first part in s ends; -1 when there is none.
func (p pattern) index(s, part string) int {
	if !p.one {
		if i := strings.Index(s, part); i >= 0 {
			return i + len(part)
		}
		return -1
	}
	for i := range s + "." { // the empty part may stand at the end
		if n := p.prefix(s[i:], part); n >= 0 {
			return i + n
		}
	}
	return -1
}

func (p pattern) suffix(s, part string) bool {
	if !p.one {
		return strings.HasSuffix(s, part)
	}
	skip := utf8.RuneCountInString(s) - utf8.RuneCountInString(part)
	for i := range s + "." {
		if skip == 0 {
			return p.prefix(s[i:], part) == len(s)-i
		}
		skip--
	}
	return false
}

func anyMatch(ps []pattern, names []string) bool {
	for _, p := range ps {
		for _, s := range names {
			if p.match(s) {
				return true
			}
		}
	}
	return false
}
