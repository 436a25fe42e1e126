package alarm

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/metric"
)

// window is over what time measurements by name are taken.
const window = time.Minute

// evaluateAll looks at every alarm as often as there are new measurements.
func (s *Service) evaluateAll(ctx context.Context) {
	t := time.NewTicker(s.Metrics.Every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := s.Evaluate(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("alarms cannot be evaluated", "err", err)
		}
	}
}

// Evaluate looks at every alarm once.
func (s *Service) Evaluate(ctx context.Context) error {
	var rows []*row
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		rows, err = s.Alarm.List(tx, "", kind.Filter{State: kind.Active})
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range rows {
		next := s.next(r, s.measure(ctx, r))
		if next == nil || ctx.Err() != nil {
			continue
		}
		if err := s.turn(ctx, r, *next); err != nil {
			return err
		}
	}
	return nil
}

// finding is what an alarm's expression gave.
type finding struct {
	phase string // ok, firing or noData; whether for long enough is not looked at yet
	value float64
	text  string
}

func (s *Service) measure(ctx context.Context, r *row) finding {
	spec, expr, what := r.Spec, r.Spec.Query, "the query"
	if spec.Metric != "" {
		expr = metric.Expr(spec.Metric, spec.Component, window)
		what = spec.Metric + " of " + spec.Component
	}
	a, err := s.Metrics.Of(r.Project).Query(ctx, expr, s.Now())
	if err != nil {
		return finding{noData, 0, fail.From(err).Public()}
	}
	var samples promql.Vector
	switch v := a.Value.(type) {
	case promql.Vector:
		samples = v
	case promql.Scalar:
		samples = promql.Vector{{F: v.V}}
	default:
		return finding{noData, 0, "the query gives no number"}
	}
	seen, hit, most := 0, 0, finding{phase: ok}
	for _, x := range samples {
		if math.IsNaN(x.F) {
			continue
		}
		x.F = max(-math.MaxFloat64, min(math.MaxFloat64, x.F)) // what JSON can say
		seen++
		if spec.Comparison == "" || compare(x.F, spec.Comparison, spec.Value) {
			if hit++; hit == 1 {
				most = finding{firing, x.F, strings.TrimSpace(what + " is " + number(x.F) + " " + unit(spec.Metric) + names(x))}
			}
		} else if hit == 0 {
			most = finding{ok, x.F, strings.TrimSpace(what + " is " + number(x.F) + " " + unit(spec.Metric))}
		}
	}
	switch {
	case seen == 0 && spec.Comparison != "":
		return finding{noData, 0, "there is nothing to measure"}
	case seen == 0:
		return finding{ok, 0, "the query gives no series"}
	case hit > 1:
		most.text += fmt.Sprintf(", and %d more", hit-1)
	}
	if hit > 0 && spec.Comparison != "" {
		most.text += fmt.Sprintf(" (alarm: %s %s)", spec.Comparison, number(spec.Value))
	}
	return most
}

func unit(name string) string {
	if name == "" {
		return ""
	}
	return metric.Names[name]
}

// names tells series apart in words.
func names(x promql.Sample) string {
	for _, label := range []string{"component", "instance"} {
		if v := x.Metric.Get(label); v != "" {
			return " for " + label + " " + v
		}
	}
	return ""
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', 4, 64) }

func compare(a float64, op string, b float64) bool {
	switch op {
	case ">":
		return a > b
	case ">=":
		return a >= b
	case "<":
		return a < b
	case "<=":
		return a <= b
	case "==":
		return a == b
	case "!=":
		return a != b
	}
	return false
}

// next gives the status that follows from a finding; nil when nothing changes.
func (s *Service) next(r *row, f finding) *Status {
	now, st := s.Now().UTC(), r.Status
	phase := f.phase
	if phase == firing && st.Alarm != firing {
		held := time.Duration(0)
		if st.Alarm == pending {
			held = now.Sub(st.Since)
		}
		if held < time.Duration(r.Spec.For) {
			phase = pending
		}
	}
	if phase == st.Alarm {
		return nil
	}
	return &Status{Alarm: phase, Since: now, Value: f.value, Text: f.text, Told: st.Told}
}

// turn stores a change of state, with its event and the notifications that follow from it, in one transaction: none is
// lost and none comes twice, whenever the process dies.
func (s *Service) turn(ctx context.Context, r *row, next Status) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		now, err := s.Alarm.Get(tx, r.ID)
		if err != nil || now == nil || now.Revision != r.Revision {
			return err // somebody changed it: the next round sees that
		}
		next := next
		if news(next) != "" && news(next) != now.Status.Told && (next.Alarm != noData || now.Spec.NoData) && !(next.Alarm == ok && now.Status.Told == "") {
			next.Told = news(next)
			if !now.Spec.Muted {
				if err := s.tell(tx, now, next); err != nil {
					return err
				}
			}
		}
		level := map[string]event.Level{ok: event.Info, pending: event.Info, firing: event.Error, noData: event.Warning}[next.Alarm]
		if err := event.Emit(tx, now.ID, event.Event{At: next.Since, Level: level, Type: eventOf[next.Alarm], Text: next.Alarm + ": " + next.Text}); err != nil {
			return err
		}
		now.Status, now.Updated = next, next.Since
		return s.Alarm.Put(tx, now)
	})
	if err == nil {
		s.kick()
	}
	return err
}

var eventOf = map[string]string{ok: "Resolved", pending: "Pending", firing: "Firing", noData: "NoData"}

// news is what channels are told of a state; that a limit was passed a moment ago is none.
func news(st Status) string {
	if st.Alarm == pending {
		return ""
	}
	return st.Alarm
}

func (s *Service) tell(tx store.Tx, r *row, st Status) error {
	for _, c := range r.Spec.Channels {
		channel, err := s.Channel.Get(tx, id.ID(c))
		if err != nil {
			return err
		}
		if channel == nil {
			continue
		}
		err = s.queue(tx, channel, message{Alarm: r.Name, State: st.Alarm, Severity: r.Spec.Severity, Text: st.Text, Detail: r.Spec.Description,
			Value: st.Value, Project: string(r.Project), At: st.Since}, string(r.ID))
		if err != nil {
			return err
		}
	}
	return nil
}
