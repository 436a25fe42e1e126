package scaling

import (
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/kind"
)

func TestDecide(t *testing.T) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	long := now.Add(-time.Hour)
	cpu := func(v float64) []sample { return []sample{{Rule{"cpu", 60}, v, true}} }
	spec := Spec{UpPause: kind.Span(30 * time.Second), DownAfter: kind.Span(5 * time.Minute), Idle: kind.Span(10 * time.Minute)}
	rules := spec
	rules.Rules = []Rule{{"cpu", 60}}
	for _, c := range []struct {
		name      string
		in        input
		want      int
		becauseOf string
	}{
		{"busy", input{spec: rules, low: 1, high: 10, replicas: 2, ready: 2, samples: cpu(90)}, 3, "cpu: 90 %"},
		{"near enough", input{spec: rules, low: 1, high: 10, replicas: 2, ready: 2, samples: cpu(64)}, 2, ""},
		{"very busy: at most four more at once", input{spec: rules, low: 1, high: 50, replicas: 2, ready: 2, samples: cpu(900)}, 6, "cpu"},
		{"the maximum holds", input{spec: rules, low: 1, high: 3, replicas: 2, ready: 2, samples: cpu(900)}, 3, "cpu"},
		{"only just changed", input{spec: rules, low: 1, high: 10, replicas: 2, ready: 2, samples: cpu(90), changed: now.Add(-10 * time.Second)}, 2, ""},
		{"quiet for long", input{spec: rules, low: 1, high: 10, replicas: 4, ready: 4, samples: cpu(10)}, 1, "cpu: 10 %"},
		{"quiet, but busy a moment ago", input{spec: rules, low: 1, high: 10, replicas: 4, ready: 4, samples: cpu(10),
			recent: &recent{since: long, wishes: []wish{{now.Add(-time.Minute), 4}}}}, 4, ""},
		{"quiet, and busy before the time that counts", input{spec: rules, low: 1, high: 10, replicas: 4, ready: 4, samples: cpu(10),
			recent: &recent{since: long, wishes: []wish{{now.Add(-6 * time.Minute), 4}}}}, 1, "cpu"},
		{"quiet, but the cloud has just started", input{spec: rules, low: 1, high: 10, replicas: 4, ready: 4, samples: cpu(10), recent: &recent{since: now.Add(-time.Minute)}}, 4, ""},
		{"nothing is known: nothing is stopped", input{spec: rules, low: 1, high: 10, replicas: 4, ready: 4, samples: []sample{{Rule{"cpu", 60}, 0, false}}}, 4, ""},
		{"the rule that wants most decides", input{spec: rules, low: 1, high: 20, replicas: 4, ready: 4, samples: append(cpu(10), sample{Rule{"requests", 10}, 75, true})}, 8, "requests: 18.8 per second"},
		{"below the minimum", input{spec: spec, low: 3, high: 5, replicas: 1, ready: 1}, 3, "the minimum is 3"},
		{"above the maximum", input{spec: spec, low: 1, high: 2, replicas: 4, ready: 4}, 2, "the maximum is 2"},
		{"asleep stays asleep", input{spec: spec, low: 0, high: 5, replicas: 0}, 0, ""},
		{"asleep, and a minimum came", input{spec: spec, low: 2, high: 5, replicas: 0}, 2, "the minimum is 2"},
		{"idle for long", input{spec: rules, low: 0, high: 5, replicas: 2, ready: 2, samples: cpu(90), idleSince: long}, 0, "no request for 10m0s"},
		{"idle, but woken just now", input{spec: spec, low: 0, high: 5, replicas: 1, ready: 1, idleSince: long, changed: now.Add(-time.Minute)}, 1, ""},
		{"a request is under way", input{spec: spec, low: 0, high: 5, replicas: 1, ready: 1}, 1, ""},
		{"rules alone never go to none", input{spec: rules, low: 0, high: 5, replicas: 2, ready: 2, samples: cpu(0)}, 1, "cpu"},
	} {
		c.in.now = now
		if c.in.recent == nil {
			c.in.recent = &recent{since: long}
		}
		if c.in.changed.IsZero() {
			c.in.changed = long
		}
		if got, why := decide(c.in); got != c.want || !strings.Contains(why, c.becauseOf) || (got == c.in.replicas) != (why == "") {
			t.Errorf("%s: %d because of %q, want %d", c.name, got, why, c.want)
		}
	}
}

func TestSchedules(t *testing.T) {
	spec := Spec{Min: 1, Max: 3, Schedules: []Schedule{{"0 8 * * 1-5", "Asia/Kuala_Lumpur", 4, 10}, {"0 20 * * 1-5", "Asia/Kuala_Lumpur", 0, 2}}}
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, time.UTC) }
	for _, c := range []struct {
		at        time.Time
		low, high int
	}{
		{at(2, 0, 0), 4, 10},  // Monday, 8:00 in Malaysia
		{at(1, 23, 59), 0, 2}, // a minute before: since Friday evening
		{at(2, 11, 59), 4, 10},
		{at(2, 12, 0), 0, 2},
		{at(7, 5, 0), 0, 2}, // Saturday
	} {
		if low, high := bounds(spec, c.at); low != c.low || high != c.high {
			t.Errorf("%s: %d to %d, want %d to %d", c.at, low, high, c.low, c.high)
		}
	}
	spec.Schedules = []Schedule{{"0 0 31 2 *", "UTC", 5, 5}} // never
	if low, high := bounds(spec, at(2, 0, 0)); low != 1 || high != 3 {
		t.Errorf("a time that never comes: %d to %d", low, high)
	}
}
