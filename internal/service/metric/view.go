package metric

import (
	"context"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// View answers PromQL over the series of one project, or over all.
//
// The project's matcher is added below the engine, where series are selected: whatever an expression says, and whatever
// functions select by themselves (info does), nothing else can be read. What the expression's own selectors say of the
// project is and'ed with it, so asking for another's gives nothing.
type View struct {
	s       *Service
	project id.ID // "": all, which is for operators
}

// Of gives the view of one project.
func (s *Service) Of(project id.ID) View { return View{s, project} }

// All gives the view of everything, the cloud's own series included.
func (s *Service) All() View { return View{s, ""} }

// Querier is for storage.Queryable.
func (v View) Querier(from, to int64) (storage.Querier, error) {
	q, err := v.s.db.Querier(from, to)
	if err != nil || v.project == "" {
		return q, err
	}
	return &scoped{q, labels.MustNewMatcher(labels.MatchEqual, "project", string(v.project))}, nil
}

// scoped is a querier that sees one project.
type scoped struct {
	storage.Querier
	only *labels.Matcher
}

func (q *scoped) with(m []*labels.Matcher) []*labels.Matcher {
	return append(m[:len(m):len(m)], q.only)
}

func (q *scoped) Select(ctx context.Context, sorted bool, h *storage.SelectHints, m ...*labels.Matcher) storage.SeriesSet {
	return q.Querier.Select(ctx, sorted, h, q.with(m)...)
}

func (q *scoped) LabelValues(ctx context.Context, name string, h *storage.LabelHints, m ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.Querier.LabelValues(ctx, name, h, q.with(m)...)
}

func (q *scoped) LabelNames(ctx context.Context, h *storage.LabelHints, m ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.Querier.LabelNames(ctx, h, q.with(m)...)
}

// Answer is what a query gave.
type Answer struct {
	Value           parser.Value
	Warnings, Infos []string
}

// language is PromQL without experiments.
var language = parser.NewParser(parser.Options{})

// Parse checks an expression.
func Parse(expr string) (parser.Expr, error) {
	if strings.TrimSpace(expr) == "" {
		return nil, fail.Field("query", "is empty").Then("give a PromQL expression: sum(rate(awan_http_requests_total[5m]))")
	}
	e, err := language.ParseExpr(expr)
	if err != nil {
		return nil, fail.Field("query", "is not PromQL: %v", err)
	}
	return e, nil
}

// Query evaluates an expression at one moment.
func (v View) Query(ctx context.Context, expr string, at time.Time) (Answer, error) {
	if _, err := Parse(expr); err != nil {
		return Answer{}, err
	}
	q, err := v.s.engine.NewInstantQuery(ctx, v, nil, expr, at)
	return run(ctx, q, err)
}

// MaxPoints bounds the steps of a range query.
const MaxPoints = 11000

// Range evaluates an expression at every step from one moment to another.
func (v View) Range(ctx context.Context, expr string, from, to time.Time, step time.Duration) (Answer, error) {
	switch {
	case to.Before(from):
		return Answer{}, fail.Field("end", "is before start")
	case step <= 0:
		return Answer{}, fail.Field("step", "must be more than 0").Then("15s or 60, say")
	case to.Sub(from)/step > MaxPoints:
		return Answer{}, fail.Field("step", "gives more than %d points of a series", MaxPoints).Then("take a longer step, or a shorter time")
	}
	e, err := Parse(expr)
	if err != nil {
		return Answer{}, err
	}
	if t := e.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		return Answer{}, fail.Field("query", "is a %s; over a time only a scalar or an instant vector can be shown", parser.DocumentedType(t))
	}
	q, err := v.s.engine.NewRangeQuery(ctx, v, nil, expr, from, to, step)
	return run(ctx, q, err)
}

func run(ctx context.Context, q promql.Query, err error) (Answer, error) {
	if err != nil {
		return Answer{}, fail.Field("query", "cannot be evaluated: %v", err)
	}
	defer q.Close()
	r := q.Exec(ctx)
	if r.Err != nil {
		switch e := r.Err.(type) {
		case promql.ErrQueryTimeout:
			return Answer{}, fail.New(fail.Timeout, "the query took longer than %s", queryTime).Then("ask for fewer series or a shorter time")
		case promql.ErrTooManySamples:
			return Answer{}, fail.Field("query", "would read more than %d samples", querySamples).Then("ask for fewer series or a shorter time")
		case promql.ErrQueryCanceled:
			return Answer{}, fail.New(fail.Timeout, "the query was cancelled")
		case promql.ErrStorage:
			return Answer{}, fail.Wrap(e.Err, fail.Unavailable, "the metrics cannot be read")
		}
		return Answer{}, fail.Field("query", "cannot be evaluated: %v", r.Err)
	}
	warnings, infos := r.Warnings.AsStrings(q.String(), 10, 10)
	return Answer{copied(r.Value), warnings, infos}, nil
}

// copied makes a result outlive its query, whose memory is used again once it is closed.
func copied(v parser.Value) parser.Value {
	switch v := v.(type) {
	case promql.Vector:
		return append(promql.Vector{}, v...)
	case promql.Matrix:
		out := make(promql.Matrix, len(v))
		for i, s := range v {
			out[i] = promql.Series{Metric: s.Metric, Floats: append([]promql.FPoint(nil), s.Floats...), Histograms: append([]promql.HPoint(nil), s.Histograms...)}
		}
		return out
	}
	return v
}

// selectors reads the match[] parameters of the API; none gives one that matches everything.
func (v View) selectors(match []string) ([][]*labels.Matcher, error) {
	if len(match) == 0 {
		return [][]*labels.Matcher{nil}, nil
	}
	out, err := language.ParseMetricSelectors(match)
	if err != nil {
		return nil, fail.Field("match[]", "is not a selector: %v", err)
	}
	return out, nil
}

// Series lists the series that match any of the selectors.
func (v View) Series(ctx context.Context, match []string, from, to time.Time, most int) ([]labels.Labels, error) {
	sel, err := v.selectors(match)
	if err != nil {
		return nil, err
	}
	q, err := v.Querier(timestamp.FromTime(from), timestamp.FromTime(to))
	if err != nil {
		return nil, err
	}
	defer func() { _ = q.Close() }()
	out, seen := []labels.Labels{}, map[uint64]bool{}
	for _, m := range sel {
		set := q.Select(ctx, true, &storage.SelectHints{Start: timestamp.FromTime(from), End: timestamp.FromTime(to), Func: "series"}, m...)
		for set.Next() && (most == 0 || len(out) < most) {
			l := set.At().Labels()
			if h := l.Hash(); !seen[h] {
				seen[h] = true
				out = append(out, l.Copy())
			}
		}
		if err := set.Err(); err != nil {
			return nil, fail.Wrap(err, fail.Unavailable, "the metrics cannot be read")
		}
	}
	return out, nil
}

// Labels lists label names, or with name the values of that label, of series that match any of the selectors.
func (v View) Labels(ctx context.Context, name string, match []string, from, to time.Time) ([]string, error) {
	sel, err := v.selectors(match)
	if err != nil {
		return nil, err
	}
	q, err := v.Querier(timestamp.FromTime(from), timestamp.FromTime(to))
	if err != nil {
		return nil, err
	}
	defer func() { _ = q.Close() }()
	seen := map[string]bool{}
	for _, m := range sel {
		var got []string
		if name == "" {
			got, _, err = q.LabelNames(ctx, nil, m...)
		} else {
			got, _, err = q.LabelValues(ctx, name, nil, m...)
		}
		if err != nil {
			return nil, fail.Wrap(err, fail.Unavailable, "the metrics cannot be read")
		}
		for _, s := range got {
			seen[strings.Clone(s)] = true // its memory goes with the querier
		}
	}
	out := make([]string, 0, len(seen))
	for s := range seen {
		out = append(out, s)
	}
	sort.Strings(out)
	return out, nil
}

// Project is whose series the view holds; "" for all.
func (v View) Project() id.ID { return v.project }
