package console

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/metric"
)

// The app's actions on a gray release.
const (
	grayCheck    = "gray-check"
	grayContinue = "gray-continue"
	grayModify   = "gray-modify"
	grayRollback = "gray-rollback"
)

// grayView is a gray release under way: both releases, what they were asked and how they answered.
type grayView struct {
	app.GrayView
	Sides   []graySide
	Measure bool // shares and percentiles are measured, not only set
	Words   string
	Step    string // what continue gives
	Rules   []string
	Modify  form
	Ready   bool // it may be decided about
	Err     *fail.Error
}

// graySide is one of the two releases.
type graySide struct {
	Name           string
	Class          string
	Weight         int // of the requests that no rule matches
	Share          string
	Bar            int
	Rate, P95, Bad string
	app.GrayCount
}

// gray asks how a gray release does; nil: none is under way.
func (q *request) gray(p *appPage) *grayView {
	a := p.Kind.ActionOf(grayCheck)
	if p.Row.Status.Gray == nil || a == nil || !p.Can[grayCheck] {
		return nil
	}
	v := &grayView{}
	c := q.newCall(p.Kind, grayCheck, p.ID)
	c.Stream = kind.Stream{Body: strings.NewReader(""), Emit: func(x any) error { return json.Unmarshal(mustJSON(x), &v.GrayView) },
		Raw: func(string) (io.Writer, error) { return io.Discard, nil }}
	if _, err := q.do(c); err != nil {
		if e := fail.From(err); e.Kind != fail.Precondition { // it ended meanwhile
			v.Err = e
			return v
		}
		return nil
	}
	v.Ready = v.Phase == "open" || v.Phase == "starting"
	v.Step = nextStep(p.Row)
	v.Sides = []graySide{{Name: "Release " + strconv.Itoa(v.Live.Release), Class: "s1", Weight: 100 - v.Weight, GrayCount: v.Live},
		{Name: "Release " + strconv.Itoa(v.New.Release), Class: "s2", Weight: v.Weight, GrayCount: v.New}}
	q.measureGray(p, v)
	for _, r := range v.GrayView.Rules {
		v.Rules = append(v.Rules, ruleWords(r))
	}
	if m := p.Kind.ActionOf(grayModify); m != nil && p.Can[grayModify] {
		doc := map[string]any{"weight": json.Number(strconv.Itoa(v.Weight)), "match": v.GrayView.Match, "sticky": v.Sticky}
		if len(v.GrayView.Rules) > 0 {
			doc["rules"] = docOf(map[string]any{"r": v.GrayView.Rules})["r"]
		}
		v.Modify = q.actionForm(p.Path+"/actions/"+grayModify, m.ActionDesc, doc, nil, "")
		v.Modify.Submit = "Change rules"
	}
	return v
}

func nextStep(row *component) string {
	for _, s := range row.Spec.Gray.Steps {
		if s > row.Status.Gray.Weight {
			return strconv.Itoa(s) + " %"
		}
	}
	return "all requests"
}

func ruleWords(r app.Rule) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %q", r.Source, r.Name, map[string]string{"": "is", "exact": "is", "prefix": "begins with", "regex": "matches"}[r.Op], r.Value))
}

// measureGray adds what was measured of both in the last minute.
func (q *request) measureGray(p *appPage, v *grayView) {
	for i := range v.Sides {
		v.Sides[i].Bar, v.Sides[i].Share = v.Sides[i].Weight, strconv.Itoa(v.Sides[i].Weight)+" %"
		v.Sides[i].Rate, v.Sides[i].P95, v.Sides[i].Bad = "–", "–", "–"
	}
	if q.Metrics == nil {
		return
	}
	view, err := q.measured()
	if err != nil {
		return // who may not read measurements sees what is set
	}
	values := func(name string) map[string]float64 {
		out := map[string]float64{}
		ans, err := view.Query(q.Context(), grayExpr(name, p.Row.Name), q.Now())
		if err != nil {
			return out
		}
		vec, _ := ans.Value.(promql.Vector)
		for _, s := range vec {
			if s.F == s.F { // a number
				out[s.Metric.Get("release")] = s.F
			}
		}
		return out
	}
	rate, bad, p95, total := values("requests"), values("errors"), values("latency-p95"), 0.0
	for _, s := range v.Sides {
		total += rate[strconv.Itoa(s.Release)]
	}
	if v.Measure = total > 0; !v.Measure {
		return
	}
	for i := range v.Sides {
		s, key := &v.Sides[i], strconv.Itoa(v.Sides[i].Release)
		s.Bar = int(100*rate[key]/total + .5)
		s.Share, s.Rate = strconv.Itoa(s.Bar)+" %", short(rate[key])
		if rate[key] > 0 {
			s.Bad, s.P95 = short(bad[key])+" %", short(p95[key])+" ms"
		}
	}
}

func (q *request) appGray() error {
	p, err := q.appPage("overview")
	if err != nil {
		return err
	}
	if p.Gray = q.gray(p); p.Gray == nil {
		q.w.Header().Set("HX-Refresh", "true") // it ended: the page shows what runs now
	}
	return q.fragment("app_overview", "gray", p)
}

// graySaid tells in words what came of an action on a gray release.
func graySaid(verb string, row *component) string {
	g := row.Status.Gray
	switch {
	case verb == grayRollback:
		return fmt.Sprintf("Rolled back: release %d gets all requests again; the new instances leave.", row.Status.Release)
	case g == nil:
		return "The gray release has ended."
	case g.Phase == "finishing":
		return fmt.Sprintf("Continued: release %d takes over and gets all requests.", g.Release)
	case g.Next == nil:
		return "Nothing changed."
	}
	said := fmt.Sprintf("release %d gets %d %% of the requests as soon as %s ready", g.Release, g.Next.Weight, plural(g.Instances, "new instance is", "new instances are"))
	if n := len(g.Next.Rules); n > 0 {
		said += ", and those that " + plural(n, "rule matches", "rules match")
	}
	if verb == grayContinue {
		return "Continued: " + said + "."
	}
	return "Changed: " + said + "."
}

// grayExpr is a measurement by release over the last minute.
func grayExpr(name, component string) string {
	return metric.Expr(name, component, time.Minute, "release")
}
