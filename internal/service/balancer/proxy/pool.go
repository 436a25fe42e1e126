package proxy

import (
	"context"
	"hash/fnv"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// pool is a Pool at work. What is known of its members outlives changes.
type pool struct {
	id      id.ID
	net     Network
	cfg     atomic.Pointer[Pool]
	mu      sync.Mutex
	members map[id.ID]*member
	order   []*member // as configured
	apps    map[string]stuck
	http    *transport
	stop    context.CancelFunc // of the checks
	checks  sync.WaitGroup
}

// member is a Member at work.
type member struct {
	id     id.ID
	at     netip.AddrPort
	name   string // in cookies
	weight int
	health Health
	streak int // checks in a row that say otherwise than health
	since  time.Time
	share  int // of smooth weighted round robin
	active atomic.Int64
	conns  map[*link]bool // tcp and udp: what is cut when the member is gone for good
	gone   bool
}

// Health of a member.
type Health string

const (
	Unknown Health = "unknown" // not checked yet
	Online  Health = "online"
	Offline Health = "offline"
	Unseen  Health = "no_monitor" // nobody checks
)

// apply takes a changed configuration over.
func (p *pool) apply(c *Pool) {
	was := p.cfg.Swap(c)
	p.mu.Lock()
	left := p.members
	p.members, p.order = map[id.ID]*member{}, nil
	for _, m := range c.Members {
		x := left[m.ID]
		if x == nil || x.at != m.At {
			x = &member{id: m.ID, at: m.At, name: cookieValue(m.ID), health: Unknown, since: time.Now(), conns: map[*link]bool{}}
		} else {
			delete(left, m.ID)
		}
		x.weight = m.Weight
		switch {
		case c.Monitor == nil:
			x.health = Unseen
		case x.health == Unseen:
			x.health = Unknown
		}
		p.members[m.ID] = x
		p.order = append(p.order, x)
	}
	p.mu.Unlock()
	for _, m := range left {
		p.retire(m, c.Drain)
	}
	if was == nil || !sameChecks(was, c) {
		p.check(c)
	}
}

// retire lets what goes on with a member end, and cuts what is left when the time is over.
func (p *pool) retire(m *member, drain time.Duration) {
	cut := func() {
		p.mu.Lock()
		m.gone = true
		conns := m.conns
		m.conns = nil
		p.mu.Unlock()
		for c := range conns {
			c.cut()
		}
	}
	if drain <= 0 {
		cut()
		return
	}
	time.AfterFunc(drain, cut)
}

// hold notes a connection with a member; release ends it. ok is false when the member is gone.
func (p *pool) hold(m *member, l *link) (ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.gone {
		return false
	}
	m.conns[l] = true
	return true
}

func (p *pool) release(m *member, l *link) {
	p.mu.Lock()
	delete(m.conns, l)
	p.mu.Unlock()
}

// client is who asks, as far as the choice of a member needs it.
type client struct {
	from   netip.Addr
	cookie string // a cookie of ours: the member's name
	app    string // the value of the app's cookie
}

// pick chooses a member for a client that none of tried answered; nil when there is none.
func (p *pool) pick(c client, tried map[id.ID]bool) *member {
	cfg := p.cfg.Load()
	p.mu.Lock()
	defer p.mu.Unlock()
	able := p.able(tried)
	if len(able) == 0 {
		return nil
	}
	switch cfg.Sticky {
	case StickCookie:
		for _, m := range able {
			if m.name == c.cookie {
				return m
			}
		}
	case StickAppCookie:
		if s, ok := p.apps[c.app]; ok && c.app != "" && time.Now().Before(s.until) {
			for _, m := range able {
				if m.id == s.member {
					p.apps[c.app] = stuck{m.id, time.Now().Add(cfg.StickFor)}
					return m
				}
			}
		}
	case StickSource:
		return rendezvous(able, c.from)
	}
	switch cfg.Algorithm {
	case SourceIP:
		return rendezvous(able, c.from)
	case LeastConnections:
		return p.least(able, cfg.SlowStart)
	}
	return p.robin(able, cfg.SlowStart)
}

// able are the members that may get something: those that work, or, where none is known to, those not checked yet.
func (p *pool) able(tried map[id.ID]bool) (out []*member) {
	var unknown []*member
	for _, m := range p.order {
		if m.weight == 0 || tried[m.id] {
			continue
		}
		switch m.health {
		case Online, Unseen:
			out = append(out, m)
		case Unknown:
			unknown = append(unknown, m)
		}
	}
	if len(out) == 0 {
		return unknown
	}
	return out
}

// current is a member's weight of the moment, in hundredths: during its slow start a part of it.
func (m *member) current(slow time.Duration) int {
	full := 100 * m.weight
	up := time.Since(m.since)
	if slow <= 0 || up >= slow {
		return full
	}
	return max(1, int(float64(full)*float64(up)/float64(slow)))
}

// robin is smooth weighted round robin, as nginx has it: shares grow by the weight, the largest is taken and pays the sum.
func (p *pool) robin(able []*member, slow time.Duration) *member {
	var best *member
	sum := 0
	for _, m := range able {
		w := m.current(slow)
		m.share += w
		sum += w
		if best == nil || m.share > best.share {
			best = m
		}
	}
	best.share -= sum
	return best
}

// least is the member with the fewest connections for its weight; among equals their turn decides.
func (p *pool) least(able []*member, slow time.Duration) *member {
	var best []*member
	low := math.Inf(1)
	for _, m := range able {
		load := float64(m.active.Load()+1) / float64(m.current(slow))
		if load < low {
			low, best = load, best[:0]
		}
		if load == low {
			best = append(best, m)
		}
	}
	return p.robin(best, slow)
}

// rendezvous gives a client the same member as long as it is there, and clients evenly by weight (highest random weight).
func rendezvous(able []*member, from netip.Addr) *member {
	var best *member
	high := math.Inf(-1)
	for _, m := range able {
		h := fnv.New64a()
		b := from.As16()
		_, _ = h.Write(b[:])
		_, _ = h.Write([]byte(m.id))
		x := h.Sum64()
		x ^= x >> 33 // FNV's upper bits are not mixed well
		x *= 0xff51afd7ed558ccd
		x ^= x >> 33
		u := (float64(x>>11) + 0.5) / (1 << 53)
		if score := -float64(m.weight) / math.Log(u); score > high {
			high, best = score, m
		}
	}
	return best
}

func (p *pool) close() {
	if p.stop != nil {
		p.stop()
	}
	p.checks.Wait()
	if p.http != nil {
		p.http.CloseIdleConnections()
	}
	p.mu.Lock()
	all := p.order
	p.mu.Unlock()
	drain := p.cfg.Load().Drain
	for _, m := range all {
		p.retire(m, drain)
	}
}
