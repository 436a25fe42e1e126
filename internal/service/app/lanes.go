package app

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/kernel/id"
)

// laneTable finds the group of a component.
type laneTable map[id.ID]*laneGroup

// laneGroup is a group as the ingress needs it.
type laneGroup struct {
	entry  id.ID
	header string
	lanes  []*lane
	own    map[id.ID]*lane // component that is there for one lane only → that lane
}

type lane struct {
	name string
	matcher
	by map[id.ID]id.ID // component → the one that answers in its place
}

// laneBaggage is the lane's key in the baggage header (W3C), which tracing libraries pass on by themselves.
const laneBaggage = "awan-lane"

// along finds the lane of a request and the backend that answers in it: the lane's own where it has one that can serve,
// else the baseline's. At the entry the lane is chosen, everywhere else the request brings it along. What comes from inside has
// its lane already: the one it brings along, else that of the component which sends it.
func (g *Ingress) along(w http.ResponseWriter, r *http.Request, b *backend) (to *backend, group *laneGroup, l *lane) {
	table := g.lanes.Load()
	if table == nil {
		return b, nil, nil
	}
	if group = (*table)[b.component]; group == nil {
		return b, nil, nil
	}
	switch from, inside := callerOf(r.Context()); {
	case inside:
		if l = group.brought(r); l == nil {
			l = group.own[from]
		}
	case b.component == group.entry:
		l = group.choose(w, r)
	default:
		l = group.brought(r)
	}
	if l == nil {
		return b, group, nil
	}
	if other := l.by[b.component]; other != "" {
		g.mu.RLock()
		o := g.byID[other]
		g.mu.RUnlock()
		if o != nil && o.serves() {
			return o, group, l
		}
	}
	return b, group, l
}

// choose gives a request its lane: the first whose rules match, else one by weight.
func (lg *laneGroup) choose(w http.ResponseWriter, r *http.Request) *lane {
	sticky, weight := false, 0
	for _, l := range lg.lanes {
		if l.matches(r) {
			return l
		}
		sticky, weight = sticky || l.sticky, weight+l.weight
	}
	if weight == 0 {
		return nil
	}
	n := bucket(w, r, sticky)
	for _, l := range lg.lanes {
		if n -= l.weight; n < 0 {
			return l
		}
	}
	return nil
}

// brought reads the lane that a request has already.
func (lg *laneGroup) brought(r *http.Request) *lane {
	name := r.Header.Get(lg.header)
	if name == "" {
		name = baggage(r.Header)
	}
	for _, l := range lg.lanes {
		if l.name == name {
			return l
		}
	}
	return nil
}

// learn finds the components that are there for one lane only: what they call is called in that lane.
func (lg *laneGroup) learn() {
	for _, l := range lg.lanes {
		for base, other := range l.by {
			if was, seen := lg.own[other]; seen && was != l {
				lg.own[other] = nil
			} else {
				lg.own[other] = l
			}
			if _, seen := lg.own[base]; !seen {
				lg.own[base] = nil
			}
		}
	}
}

// mark writes the lane into a request that is passed on.
func (lg *laneGroup) mark(h http.Header, l *lane) {
	h.Del(lg.header)
	kept := members(h, func(key string) bool { return key != laneBaggage })
	if l != nil {
		h.Set(lg.header, l.name)
		kept = append(kept, laneBaggage+"="+l.name)
	}
	h.Del("Baggage")
	if len(kept) > 0 {
		h.Set("Baggage", strings.Join(kept, ","))
	}
}

func baggage(h http.Header) string {
	for _, m := range members(h, func(key string) bool { return key == laneBaggage }) {
		_, v, _ := strings.Cut(m, "=")
		v, _, _ = strings.Cut(v, ";")
		return strings.TrimSpace(v)
	}
	return ""
}

// members lists the entries of the baggage header whose key the filter takes.
func members(h http.Header, take func(key string) bool) (out []string) {
	for _, line := range h.Values("Baggage") {
		for m := range strings.SplitSeq(line, ",") {
			key, _, _ := strings.Cut(m, "=")
			if m = strings.TrimSpace(m); m != "" && take(strings.TrimSpace(key)) {
				out = append(out, m)
			}
		}
	}
	return out
}

// serves tells whether any endpoint is ready.
func (b *backend) serves() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, e := range b.all {
		if e.ready.Load() {
			return true
		}
	}
	return false
}
