package console

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/service/metric"
)

// metricRange is a time that pictures may show, and the step between two points of it.
type metricRange struct {
	Key, Label   string
	long, step   time.Duration
	window, tick time.Duration
}

var metricRanges = []metricRange{
	{"15m", "15 minutes", 15 * time.Minute, 10 * time.Second, time.Minute, 5 * time.Minute},
	{"1h", "1 hour", time.Hour, 30 * time.Second, time.Minute, 15 * time.Minute},
	{"6h", "6 hours", 6 * time.Hour, 3 * time.Minute, 5 * time.Minute, 2 * time.Hour},
	{"24h", "1 day", 24 * time.Hour, 10 * time.Minute, 15 * time.Minute, 6 * time.Hour},
	{"168h", "7 days", 7 * 24 * time.Hour, time.Hour, 2 * time.Hour, 48 * time.Hour},
	{"360h", "15 days", 15 * 24 * time.Hour, 2 * time.Hour, 4 * time.Hour, 120 * time.Hour},
}

// metricsPage is the pictures of an app's measurements.
type metricsPage struct {
	*appPage
	Range  metricRange
	Ranges []metricRange
	By     string // "" all instances together, "instance", "release"
	Charts []chart
	Off    bool // nothing is measured here
}

// picture is one that the page draws: measurements by their names, each a line; or one measurement kept apart.
type picture struct {
	title, unit string
	names       []string          // of metric.Expr
	lines       map[string]string // what the line of a name is called, where that is not its instance or percentile
}

var pictures = []picture{
	{"Requests", "per second", []string{"requests"}, nil}, {"Latency", "ms", []string{"latency-p50", "latency-p95", "latency-p99"}, nil},
	{"Errors", "% of requests", []string{"errors"}, nil}, {"CPU", "% of the limit", []string{"cpu"}, nil}, {"Memory", "% of the limit", []string{"memory"}, nil},
}

// maxLines is how many lines one picture shows: more cannot be told apart.
const maxLines = 6

func (q *request) appMetrics() error {
	p, err := q.metricsOf()
	if err != nil {
		return err
	}
	return q.render("app_metrics", p.Name+" metrics", p)
}

func (q *request) appMetricsLive() error {
	p, err := q.metricsOf()
	if err != nil {
		return err
	}
	return q.fragment("app_metrics", "charts", p)
}

func (q *request) metricsOf() (*metricsPage, error) {
	a, err := q.appPage("metrics")
	if err != nil {
		return nil, err
	}
	p := &metricsPage{appPage: a, Ranges: metricRanges, Range: q.metricRange(), By: q.URL.Query().Get("by"), Off: q.Metrics == nil}
	if p.By != "instance" && p.By != "release" {
		p.By = ""
	}
	if p.Off {
		return p, nil
	}
	view, err := q.measured()
	if err != nil {
		return nil, err
	}
	p.Charts, err = q.charts(view, p.Range, pictures, p.By, func(name string, by ...string) string {
		return metric.Expr(name, a.Row.Name, p.Range.window, by...)
	})
	return p, err
}

// charts draws pictures of measurements up to now. by keeps instances or releases apart.
func (q *request) charts(view metric.View, r metricRange, pictures []picture, by string, expr func(name string, by ...string) string) (out []chart, err error) {
	to := q.Now().Truncate(r.step)
	from := to.Add(-r.long)
	for _, pic := range pictures {
		if len(pic.names) > 1 && by != "" {
			pic.names = pic.names[1:2] // of several instances, the 95th percentile
			pic.title += ", 95th percentile"
		}
		c := chart{Title: pic.title, Unit: pic.unit, From: from, To: to, tick: r.tick}
		for _, name := range pic.names {
			var apart []string
			if by != "" {
				apart = []string{by}
			}
			ans, err := view.Range(q.Context(), expr(name, apart...), from, to, r.step)
			if err != nil {
				return nil, err
			}
			m, _ := ans.Value.(promql.Matrix)
			for _, s := range m {
				l := line{Name: lineName(name, s.Metric.Get(by), by, len(pic.names))}
				if pic.lines != nil {
					l.Name = pic.lines[name]
				}
				for _, f := range s.Floats {
					if !math.IsNaN(f.F) && !math.IsInf(f.F, 0) {
						l.points = append(l.points, point{time.UnixMilli(f.T), f.F})
					}
				}
				if len(l.points) > 0 {
					c.Lines = append(c.Lines, l)
				}
			}
		}
		c.draw(r.step)
		out = append(out, c)
	}
	return out, nil
}

// metricRange is the time that the page is asked for; an hour by itself.
func (q *request) metricRange() metricRange {
	for _, r := range metricRanges {
		if r.Key == q.URL.Query().Get("range") {
			return r
		}
	}
	return metricRanges[1]
}

func lineName(name, value, by string, of int) string {
	switch {
	case by == "instance":
		return value[max(0, len(value)-8):]
	case by == "release":
		return "release " + value
	case of > 1:
		return strings.TrimPrefix(name, "latency-")
	}
	return "all instances"
}

// measured gives the series of this project when the caller may read them.
func (q *request) measured() (metric.View, error) {
	_, project, err := q.Door.Permit(q.Context(), q.newCall(nil, "", ""), metric.Series, call.List, "*")
	return q.Metrics.Of(project), err
}

// point is one measurement.
type point struct {
	at time.Time
	v  float64
}

// line is a series of a chart, drawn.
type line struct {
	Name            string
	Class           string // its colour
	Path            string // of an SVG path; a gap where nothing was measured
	Now, Mean, Most string
	points          []point
}

// chart is a picture over time, drawn on the server as SVG.
type chart struct {
	Title, Unit string
	From, To    time.Time
	Lines       []line
	More        int // lines that are not drawn
	Y           []mark
	X           []mark
	Rows        []chartRow // the same as a table

	tick time.Duration
	top  float64
}

// mark is a line of the grid with its word.
type mark struct {
	At, Word string
	Anchor   string
}

type chartRow struct {
	At    time.Time
	Cells []string
}

// The drawing's own units: the plot lies right of the words and above the times.
const (
	chartLeft, chartRight = 46.0, 632.0
	chartTop, chartBottom = 8.0, 140.0
	tableRows             = 12
)

func (c *chart) draw(step time.Duration) {
	slices.SortStableFunc(c.Lines, func(a, b line) int { return strings.Compare(a.Name, b.Name) })
	if len(c.Lines) > maxLines {
		slices.SortStableFunc(c.Lines, func(a, b line) int { // the liveliest ones
			return int(math.Copysign(1, b.points[len(b.points)-1].v-a.points[len(a.points)-1].v))
		})
		c.More, c.Lines = len(c.Lines)-maxLines, c.Lines[:maxLines]
	}
	most := 0.0
	for _, l := range c.Lines {
		for _, p := range l.points {
			most = max(most, p.v)
		}
	}
	c.top = niceTop(most)
	for i := range 5 {
		v := c.top * float64(i) / 4
		if i%2 == 0 || c.top > 0 && i == 4 {
			c.Y = append(c.Y, mark{At: coordinate(c.y(v)), Word: short(v)})
		}
	}
	for t := c.From.Truncate(c.tick).Add(c.tick); !t.After(c.To); t = t.Add(c.tick) {
		layout := "15:04"
		if c.tick >= 24*time.Hour {
			layout = "2 Jan"
		}
		m := mark{At: coordinate(c.x(t)), Word: t.UTC().Format(layout), Anchor: "middle"}
		if c.x(t) > chartRight-20 {
			m.Anchor = "end"
		}
		c.X = append(c.X, m)
	}
	for i := range c.Lines {
		l := &c.Lines[i]
		l.Class = "s" + strconv.Itoa(i+1)
		sum, high := 0.0, 0.0
		var b strings.Builder
		var before time.Time
		for n, p := range l.points {
			sum, high = sum+p.v, max(high, p.v)
			cmd := "L"
			if n == 0 || p.at.Sub(before) > 3*step {
				cmd = "M"
			}
			fmt.Fprintf(&b, "%s%s %s", cmd, coordinate(c.x(p.at)), coordinate(c.y(p.v)))
			if cmd == "M" {
				fmt.Fprintf(&b, "h.1") // a point by itself is seen, too
			}
			before = p.at
		}
		l.Path = b.String()
		l.Now, l.Mean, l.Most = l.now(c.To, step), short(sum/float64(len(l.points))), short(high)
	}
	c.table()
}

// now is the newest measurement; none of what runs no more.
func (l *line) now(to time.Time, step time.Duration) string {
	if p := l.points[len(l.points)-1]; to.Sub(p.at) <= 3*step {
		return short(p.v)
	}
	return "–"
}

// table tells the same in words: some moments of the time.
func (c *chart) table() {
	if len(c.Lines) == 0 {
		return
	}
	long := c.To.Sub(c.From) / tableRows
	for i := 1; i <= tableRows; i++ {
		row := chartRow{At: c.From.Add(time.Duration(i) * long)}
		some := false
		for _, l := range c.Lines {
			text := "–"
			for n := len(l.points) - 1; n >= 0; n-- {
				if p := l.points[n]; !p.at.After(row.At) {
					if row.At.Sub(p.at) < long {
						text, some = short(p.v), true
					}
					break
				}
			}
			row.Cells = append(row.Cells, text)
		}
		if some {
			c.Rows = append(c.Rows, row)
		}
	}
}

func (c *chart) x(t time.Time) float64 {
	return chartLeft + (chartRight-chartLeft)*float64(t.Sub(c.From))/float64(c.To.Sub(c.From))
}

func (c *chart) y(v float64) float64 { return chartBottom - (chartBottom-chartTop)*v/c.top }

func coordinate(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// niceTop is the end of a scale that holds v: 1, 2, 4, 5 or 8 times a power of ten.
func niceTop(v float64) float64 {
	if v <= 0 {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 4, 5, 8, 10} {
		if v <= m*p {
			return m * p
		}
	}
	return 10 * p
}

// short prints a measurement with three digits that count.
func short(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 100:
		return number(int64(math.Round(v)))
	case v < 0.001:
		return "<0.001"
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
