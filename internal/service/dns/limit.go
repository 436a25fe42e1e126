package dns

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/awancloud/awan/internal/kernel/clock"
)

// verdict is what becomes of a question.
type verdict int

const (
	pass verdict = iota
	slip         // answered with "ask over TCP"
	drop
)

const (
	perSecond  = 200 // answers to one network over UDP
	burst      = 400
	maxSources = 50_000
)

// limiter bounds what goes to one network (IPv4: a /24, IPv6: a /56), whose addresses may be forged: otherwise the server
// could be used to flood somebody. Every second question beyond the limit is told to come over TCP.
type limiter struct {
	now clock.Clock
	mu  sync.Mutex
	of  map[netip.Prefix]*source
}

type source struct {
	*rate.Limiter
	over int
	last time.Time
}

func newLimiter(now clock.Clock) *limiter { return &limiter{now: now, of: map[netip.Prefix]*source{}} }

func (l *limiter) ask(from netip.Addr) verdict {
	bits := 24
	if from.Is6() {
		bits = 56
	}
	network, err := from.Prefix(bits)
	if err != nil {
		return drop
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.of[network]
	if s == nil {
		l.forget(now)
		s = &source{Limiter: rate.NewLimiter(perSecond, burst)}
		l.of[network] = s
	}
	s.last = now
	if s.AllowN(now, 1) {
		return pass
	}
	if s.over++; s.over%2 == 0 {
		return slip
	}
	return drop
}

// forget makes room: a full bucket says the same as none.
func (l *limiter) forget(now time.Time) {
	if len(l.of) < maxSources {
		return
	}
	for age := time.Minute; len(l.of) >= maxSources/2; age /= 2 {
		for a, s := range l.of {
			if now.Sub(s.last) >= age {
				delete(l.of, a)
			}
		}
	}
}
