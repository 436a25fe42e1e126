package scaling

import (
	"fmt"
	"math"
	"time"
)

// sample is a rule with what was measured; known is false when there is nothing.
type sample struct {
	rule  Rule
	value float64 // requests: of all instances together
	known bool
}

// input is everything that a decision follows from.
type input struct {
	spec      Spec
	low, high int
	now       time.Time
	replicas  int // that should run
	ready     int
	samples   []sample
	idleSince time.Time // zero: requests are under way, or it is not known
	changed   time.Time // when the number changed last
	recent    *recent
}

// tolerance is how far from its target a measurement may be before anything is done.
const tolerance = 0.1

// decide says how many instances should run and why. It does nothing else, so tables test it.
func decide(in input) (want int, reason string) {
	n := in.replicas
	if n == 0 { // asleep: what wakes is a request, or a minimum
		if in.low > 0 {
			return in.low, fmt.Sprintf("the minimum is %d now", in.low)
		}
		return 0, ""
	}
	switch {
	case n < in.low:
		return in.low, fmt.Sprintf("the minimum is %d now", in.low)
	case n > in.high:
		return in.high, fmt.Sprintf("the maximum is %d now", in.high)
	}
	if in.low == 0 && !in.idleSince.IsZero() && in.now.Sub(in.idleSince) >= time.Duration(in.spec.Idle) && in.now.Sub(in.changed) >= time.Duration(in.spec.Idle) {
		return 0, fmt.Sprintf("no request for %s", time.Duration(in.spec.Idle))
	}
	if len(in.spec.Rules) == 0 {
		return n, ""
	}
	least := max(in.low, 1)
	wish, why, blind := least, "", false
	for _, x := range in.samples {
		if !x.known {
			blind = true // who sees nothing stops nothing
			continue
		}
		w, text := wished(x, n, in.ready)
		if w > wish || why == "" {
			wish, why = max(w, least), text
		}
	}
	if blind {
		wish = max(wish, n)
	}
	wish = min(wish, in.high, max(2*n, n+4))
	if wish < n {
		wish = in.recent.most(in.now, time.Duration(in.spec.DownAfter), wish)
		if wish >= n {
			return n, ""
		}
		return wish, why
	}
	in.recent.add(in.now, wish)
	if wish > n && in.now.Sub(in.changed) >= time.Duration(in.spec.UpPause) {
		return wish, why
	}
	return n, ""
}

// wished is how many instances one rule wants, of n that there are.
func wished(x sample, n, ready int) (int, string) {
	per, unit := x.value, ""
	switch x.rule.Metric {
	case "requests":
		want := int(math.Ceil(x.value / x.rule.Target))
		per, unit = x.value/float64(n), " per second for each instance"
		if math.Abs(per/x.rule.Target-1) <= tolerance {
			want = n
		}
		return want, text(x.rule, per, unit)
	case "cpu", "memory":
		unit = " %"
	case "latency":
		unit = " ms"
	}
	if math.Abs(per/x.rule.Target-1) <= tolerance {
		return n, text(x.rule, per, unit)
	}
	return int(math.Ceil(float64(max(1, min(ready, n))) * per / x.rule.Target)), text(x.rule, per, unit)
}

func text(r Rule, value float64, unit string) string {
	return fmt.Sprintf("%s: %.3g%s, the target is %.3g", r.Metric, value, unit, r.Target)
}

// recent remembers what was wished lately, so that a short lull stops nothing.
type recent struct {
	since  time.Time // nothing is known of before
	wishes []wish
}

type wish struct {
	at time.Time
	n  int
}

func (r *recent) add(at time.Time, n int) {
	if len(r.wishes) > 10000 {
		r.wishes = r.wishes[5000:]
	}
	r.wishes = append(r.wishes, wish{at, n})
}

// most notes a wish for fewer and gives the most that was wished in the time before; without a whole such time it is very
// many: after a start of the cloud nothing is stopped in haste.
func (r *recent) most(now time.Time, window time.Duration, n int) int {
	r.add(now, n)
	if now.Sub(r.since) < window {
		return math.MaxInt
	}
	first := 0
	for first < len(r.wishes) && now.Sub(r.wishes[first].at) > window {
		first++
	}
	r.wishes = r.wishes[first:]
	out := n
	for _, w := range r.wishes {
		out = max(out, w.n)
	}
	return out
}
