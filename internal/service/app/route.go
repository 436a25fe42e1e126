package app

import (
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/id"
)

// BucketCookie keeps a client on its side of a weight. It holds a number from 0 to 99: those below the weight are on the
// new side, so that a growing weight moves clients there and never back.
const BucketCookie = "awan-bucket"

// matcher decides whether a request belongs to a gray release or a lane.
type matcher struct {
	weight int
	any    bool
	sticky bool
	rules  []condition
}

type condition struct {
	of    func(*http.Request) []string
	holds func(string) bool
}

// newMatcher reads traffic rules that were checked when they were stored; one that cannot be read matches nothing.
func newMatcher(t Traffic) matcher {
	m := matcher{weight: t.Weight, any: t.Match == "any", sticky: t.Sticky}
	for _, r := range t.Rules {
		holds, err := r.compile()
		if err != nil {
			holds = func(string) bool { return false }
		}
		m.rules = append(m.rules, condition{r.values(), holds})
	}
	return m
}

// values reads what a rule is about from a request.
func (r Rule) values() func(*http.Request) []string {
	name := r.Name
	switch r.Source {
	case "header":
		if strings.EqualFold(name, "Host") { // net/http keeps it apart
			return func(q *http.Request) []string { return []string{q.Host} }
		}
		return func(q *http.Request) []string { return q.Header.Values(name) }
	case "cookie":
		return func(q *http.Request) (out []string) {
			for _, c := range q.CookiesNamed(name) {
				out = append(out, c.Value)
			}
			return out
		}
	case "query":
		return func(q *http.Request) []string { return q.URL.Query()[name] }
	}
	return func(q *http.Request) []string {
		host, _, err := net.SplitHostPort(q.RemoteAddr)
		if err != nil {
			host = q.RemoteAddr
		}
		return []string{host}
	}
}

// matches tells whether the rules hold for a request; without rules none does.
func (m *matcher) matches(r *http.Request) bool {
	if len(m.rules) == 0 {
		return false
	}
	for _, c := range m.rules {
		holds := false
		for _, v := range c.of(r) {
			holds = holds || c.holds(v)
		}
		if holds == m.any {
			return m.any
		}
	}
	return !m.any
}

// chosen tells whether a request is on the new side: by rule, by its client's bucket, or by chance. A sticky choice is
// remembered in the answer's header.
func (m *matcher) chosen(w http.ResponseWriter, r *http.Request) bool {
	if m.matches(r) {
		return true
	}
	return bucket(w, r, m.sticky) < m.weight
}

// bucket gives a request a number from 0 to 99: by chance, or its client's, which is made and remembered when it has none.
func bucket(w http.ResponseWriter, r *http.Request, sticky bool) int {
	if !sticky {
		return rand.IntN(100)
	}
	if c, err := r.Cookie(BucketCookie); err == nil {
		if n, err := strconv.Atoi(c.Value); err == nil && n >= 0 && n < 100 {
			return n
		}
	}
	n := rand.IntN(100)
	http.SetCookie(w, &http.Cookie{Name: BucketCookie, Value: strconv.Itoa(n), Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return n
}

// split is how a component's requests are divided between two releases.
type split struct {
	release int // the new one; what runs another release is on the other side
	of      Traffic
	matcher
}

// side is where a request belongs.
type side int

const (
	either side = iota
	stable
	gray
)

// Divide sends those of a component's requests that the traffic chooses to one release, and the others to what runs any
// other; nil ends that.
func (g *Ingress) Divide(component id.ID, release int, t *Traffic) {
	b := g.backend(component)
	switch now := b.split.Load(); {
	case t == nil:
		b.split.Store(nil)
	case now == nil || now.release != release || !reflect.DeepEqual(now.of, *t):
		b.split.Store(&split{release: release, of: *t, matcher: newMatcher(*t)})
	}
}

// Tally gives what a release answered so far.
func (g *Ingress) Tally(component id.ID, release int) Tally {
	return g.backend(component).tallies.get(release)
}

// backend finds a component's; one that is not exposed gets one that nothing reaches.
func (g *Ingress) backend(component id.ID) *backend {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if b := g.byID[component]; b != nil {
		return b
	}
	return new(backend)
}

func (b *backend) choose(w http.ResponseWriter, r *http.Request) side {
	s := b.split.Load()
	switch {
	case s == nil:
		return either
	case s.chosen(w, r):
		return gray
	}
	return stable
}

// blind chooses for a connection of which nothing can be read: by weight alone.
func (b *backend) blind() side {
	s := b.split.Load()
	switch {
	case s == nil:
		return either
	case rand.IntN(100) < s.weight:
		return gray
	}
	return stable
}

// on tells which side an endpoint is on.
func (s *split) on(e *endpoint) side {
	if e.release == s.release {
		return gray
	}
	return stable
}

// resume lets a release's count go on from what its row remembers.
func (g *Ingress) resume(component id.ID, release int, from Tally) {
	g.backend(component).tallies.resume(release, from)
}
