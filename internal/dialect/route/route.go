// Package route finds what serves a method and path among patterns of many services.
//
// net/http's ServeMux refuses patterns that overlap without one being narrower ("/v2/zones/{id}" and
// "/v2/{project}/instances"); the APIs that Awan speaks are full of those. Here they live side by side and one rule
// decides: segment by segment from the left, a literal beats a placeholder, and a placeholder beats a rest; only where
// two patterns have the same shape does the order in which they were added count. It may import the standard library.
package route

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Table holds patterns and their values. Fill it first; then it may be read concurrently.
type Table[T any] struct{ root node[T] }

// Hit is a pattern that a request fits.
type Hit[T any] struct {
	Value   T
	Pattern string // as it was added
	names   []string
	values  []string
}

type node[T any] struct {
	literal map[string]*node[T]
	any     *node[T]              // a {placeholder}
	ends    map[string][]entry[T] // by method, "" for every method
	rests   map[string][]entry[T] // {name...}: whatever follows
}

type entry[T any] struct {
	value   T
	pattern string
	names   []string
}

// Add puts a pattern in: "GET /v1/{project_id}/vpcs/{vpc_id}", a method (or none, for all) and a path whose segments
// are literals, {placeholders} or, at the end, {name...} for the rest. A closing slash says nothing.
func (t *Table[T]) Add(pattern string, value T) error {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		method, path = "", pattern
	}
	if !strings.HasPrefix(path, "/") || method != strings.ToUpper(method) {
		return fmt.Errorf("route %q: want \"METHOD /path\"", pattern)
	}
	e := entry[T]{value: value, pattern: pattern}
	at := &t.root
	segments := split(path)
	for i, segment := range segments {
		name, braces := strings.CutPrefix(segment, "{")
		if !braces || !strings.HasSuffix(name, "}") {
			if strings.ContainsAny(segment, "{}") {
				return fmt.Errorf("route %q: a segment is a literal or a placeholder, not both", pattern)
			}
			at = at.child(segment)
			continue
		}
		name = strings.TrimSuffix(name, "}")
		if rest, ok := strings.CutSuffix(name, "..."); ok {
			if i != len(segments)-1 {
				return fmt.Errorf("route %q: {%s} must come last", pattern, name)
			}
			e.names = append(e.names, rest)
			at.rests = put(at.rests, method, e)
			return nil
		}
		e.names = append(e.names, name)
		if at.any == nil {
			at.any = &node[T]{}
		}
		at = at.any
	}
	at.ends = put(at.ends, method, e)
	return nil
}

func (n *node[T]) child(segment string) *node[T] {
	if n.literal == nil {
		n.literal = map[string]*node[T]{}
	}
	c := n.literal[segment]
	if c == nil {
		c = &node[T]{}
		n.literal[segment] = c
	}
	return c
}

func put[T any](m map[string][]entry[T], method string, e entry[T]) map[string][]entry[T] {
	if m == nil {
		m = map[string][]entry[T]{}
	}
	m[method] = append(m[method], e)
	return m
}

// Find gives the patterns that fit best, in the order they were added: one, unless several have the same shape. HEAD
// falls back on GET. The path is as the client sent it, percent-encoded.
func (t *Table[T]) Find(method, escapedPath string) []Hit[T] {
	segments := split(escapedPath)
	for i, s := range segments {
		if plain, err := url.PathUnescape(s); err == nil {
			segments[i] = plain
		}
	}
	if hits := t.root.find(method, segments, nil); hits != nil || method != http.MethodHead {
		return hits
	}
	return t.root.find(http.MethodGet, segments, nil)
}

func (n *node[T]) find(method string, left, taken []string) []Hit[T] {
	if len(left) == 0 {
		if hits := hitsOf(n.ends, method, taken); hits != nil {
			return hits
		}
		return hitsOf(n.rests, method, append(taken, ""))
	}
	if c := n.literal[left[0]]; c != nil {
		if hits := c.find(method, left[1:], taken); hits != nil {
			return hits
		}
	}
	if n.any != nil {
		if hits := n.any.find(method, left[1:], append(taken, left[0])); hits != nil {
			return hits
		}
	}
	return hitsOf(n.rests, method, append(taken, strings.Join(left, "/")))
}

func hitsOf[T any](m map[string][]entry[T], method string, taken []string) []Hit[T] {
	entries := m[method]
	if entries == nil {
		entries = m[""]
	}
	var hits []Hit[T]
	for _, e := range entries {
		hits = append(hits, Hit[T]{Value: e.value, Pattern: e.pattern, names: e.names, values: slices.Clone(taken)})
	}
	return hits
}

// Methods tells which methods some pattern offers for the path: what a 405 answer must say.
func (t *Table[T]) Methods(escapedPath string) []string {
	var methods []string
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		if t.Find(m, escapedPath) != nil {
			methods = append(methods, m)
		}
	}
	return methods
}

// Set makes the placeholders' values readable by r.PathValue.
func (h Hit[T]) Set(r *http.Request) {
	for i, name := range h.names {
		r.SetPathValue(name, h.values[i])
	}
}

// Param gives one placeholder's value, "" when the pattern has none of that name.
func (h Hit[T]) Param(name string) string {
	if i := slices.Index(h.names, name); i >= 0 {
		return h.values[i]
	}
	return ""
}

func split(path string) []string {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}
