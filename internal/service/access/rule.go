package access

import (
	"html"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/awancloud/awan/internal/kernel/id"
)

// rule is a row of rules, ready for requests.
type rule struct {
	component           id.ID
	allow, deny, bypass []netip.Prefix
	rate, burst, total  int
	body                int64 // bytes
	maintenance         bool
	message             string
}

func newRule(component id.ID, r *ruleRow) *rule {
	out := &rule{component: component, rate: r.Spec.Rate, burst: r.Spec.Burst, total: r.Spec.TotalRate, body: r.Spec.MaxBody << 20,
		maintenance: r.Spec.Maintenance, message: r.Spec.Message}
	out.allow, _ = networks("", r.Spec.Allow) // checked when they were stored
	out.deny, _ = networks("", r.Spec.Deny)
	out.bypass, _ = networks("", r.Spec.Bypass)
	if out.burst == 0 {
		out.burst = 2 * out.rate
	}
	return out
}

func in(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// admits tells whether an address may come at all.
func (l *rule) admits(a netip.Addr) bool {
	return !in(l.deny, a) && (len(l.allow) == 0 || in(l.allow, a))
}

// guard puts a component's rule before it; without one it is reached as it is.
func (s *Service) guard(t *table, component id.ID, next http.Handler) http.Handler {
	l := t.rules[component]
	if l == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := source(r)
		switch {
		case !l.admits(from):
			page(w, r, http.StatusForbidden, "This app cannot be reached from your address, "+from.String()+".")
		case l.maintenance && !in(l.bypass, from):
			w.Header().Set("Retry-After", "120")
			page(w, r, http.StatusServiceUnavailable, l.message)
		case l.body > 0 && r.ContentLength > l.body:
			page(w, r, http.StatusRequestEntityTooLarge, "This app takes at most "+strconv.FormatInt(l.body>>20, 10)+" MiB at once.")
		default:
			if wait := s.limits.ask(l, from, s.Now()); wait > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
				page(w, r, http.StatusTooManyRequests, "Too many requests. Please slow down.")
				return
			}
			if l.body > 0 && r.Body != nil {
				r.Body = http.MaxBytesReader(w, r.Body, l.body)
			}
			next.ServeHTTP(w, r)
		}
	})
}

// page answers instead of an app.
func page(w http.ResponseWriter, r *http.Request, status int, text string) {
	title := http.StatusText(status)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>" + title +
		"</title><body style=\"font-family:system-ui;max-width:40rem;margin:15vh auto;padding:0 1rem\"><h1>" + title + "</h1><p>" +
		html.EscapeString(text) + "<p><small>" + html.EscapeString(r.Host) + "</small>\n")) // the client may be gone
}

// maxClients bounds how many clients of one component are remembered; past it those not heard of longest are forgotten.
const maxClients = 20_000

// limits are the token buckets of components and their clients. A reload of the rules keeps them.
type limits struct {
	mu sync.Mutex
	of map[id.ID]*buckets
}

type buckets struct {
	rule    rule
	total   *rate.Limiter
	clients map[netip.Addr]*bucket
}

type bucket struct {
	*rate.Limiter
	last time.Time
}

// keep forgets the buckets of rules that are gone or have other rates.
func (l *limits) keep(rules map[id.ID]*rule) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for component, b := range l.of {
		r := rules[component]
		if r == nil || r.rate != b.rule.rate || r.burst != b.rule.burst || r.total != b.rule.total {
			delete(l.of, component)
		}
	}
}

// ask takes a token; it tells how long to wait when there is none. IPv6 clients are counted by their /64.
func (l *limits) ask(r *rule, from netip.Addr, now time.Time) time.Duration {
	if r.rate == 0 && r.total == 0 {
		return 0
	}
	if from.Is6() {
		if p, err := from.Prefix(64); err == nil {
			from = p.Addr()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.of[r.component]
	if b == nil {
		if l.of == nil {
			l.of = map[id.ID]*buckets{}
		}
		b = &buckets{rule: *r, clients: map[netip.Addr]*bucket{}}
		if r.total > 0 {
			b.total = rate.NewLimiter(rate.Limit(r.total), r.total)
		}
		l.of[r.component] = b
	}
	if r.rate > 0 {
		c := b.clients[from]
		if c == nil {
			b.forget(now)
			c = &bucket{Limiter: rate.NewLimiter(rate.Limit(r.rate), r.burst)}
			b.clients[from] = c
		}
		c.last = now
		if wait := take(c.Limiter, now); wait > 0 {
			return wait
		}
	}
	if b.total != nil {
		return take(b.total, now)
	}
	return 0
}

func take(l *rate.Limiter, now time.Time) time.Duration {
	r := l.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// forget drops idle clients when there are too many: a full bucket says the same as none.
func (b *buckets) forget(now time.Time) {
	if len(b.clients) < maxClients {
		return
	}
	for age := time.Minute; len(b.clients) >= maxClients/2; age /= 2 {
		for a, c := range b.clients {
			if now.Sub(c.last) >= age {
				delete(b.clients, a)
			}
		}
	}
}
