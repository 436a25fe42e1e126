package console

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

func number0(n int64) string { return strconv.FormatInt(n, 10) }

func revision(v url.Values) int64 {
	n, _ := strconv.ParseInt(v.Get("revision"), 10, 64) // not a number: no condition
	return n
}

type auditPage struct {
	Since, Actor, Action, Outcome, Resource, Text string
	Project                                       bool
	Periods                                       [][2]string
	Outcomes                                      []ledger.Outcome
	Entries                                       []entryView
	Next, First                                   string
	Filtered                                      bool
	Err                                           *fail.Error
}

type entryView struct {
	ledger.Entry
	Body string
	Took string
	Why  string // the page that explains the decision
}

var periods = [][2]string{{"", "any time"}, {"15m", "last 15 minutes"}, {"1h", "last hour"}, {"24h", "last 24 hours"}, {"168h", "last 7 days"}, {"720h", "last 30 days"}}

func (q *request) audit() error {
	v := q.URL.Query()
	p := auditPage{Since: v.Get("since"), Actor: v.Get("actor"), Action: v.Get("action"), Outcome: v.Get("outcome"), Resource: v.Get("resource"), Text: v.Get("text"),
		Project: v.Get("here") != "", Periods: periods, Outcomes: []ledger.Outcome{ledger.Succeeded, ledger.Failed, ledger.Denied, ledger.Begun}}
	p.Filtered = p.Since+p.Actor+p.Action+p.Outcome+p.Resource+p.Text != "" || p.Project
	query := ledger.Query{Actor: p.Actor, Action: p.Action, Outcome: ledger.Outcome(p.Outcome), Resource: p.Resource, Text: p.Text, Limit: pageSize}
	if p.Action != "" && !strings.Contains(p.Action, "*") && strings.Count(p.Action, ":") < 2 {
		query.Action += "*"
	}
	if p.Project {
		query.Project = q.project.ID
	}
	if p.Since != "" {
		if d, err := time.ParseDuration(p.Since); err == nil && d > 0 {
			query.Since = q.Now().Add(-d)
		} else if t, err := time.Parse(time.RFC3339, p.Since); err == nil {
			query.Since = t
			p.Periods = append(p.Periods[:len(p.Periods):len(p.Periods)], [2]string{p.Since, p.Since})
		} else {
			return fail.New(fail.Invalid, "%q is not a time", p.Since).Then("use 24h, or 2026-01-31T12:00:00Z")
		}
	}
	if m := v.Get("marker"); m != "" {
		before, ok := id.Parse(m)
		if !ok {
			return fail.New(fail.Invalid, "the address names a page that cannot be").Then("go to the newest entries")
		}
		query.Before = before
		v.Del("marker")
		p.First = "/audit?" + v.Encode()
	}
	entries, next, err := q.Door.Audit(q.Context(), q.newCall(nil, "", ""), query)
	if err != nil {
		return err
	}
	for _, e := range entries {
		p.Entries = append(p.Entries, viewEntry(e))
	}
	q.explainable(p.Entries)
	if next != "" {
		v.Set("marker", string(next))
		p.Next = "/audit?" + v.Encode()
	}
	return q.render("audit", "Audit log", p)
}

// explainable links entries that policies decided to their explanation.
func (q *request) explainable(entries []entryView) {
	if !q.mayAsk(policyKind, "explain") {
		return
	}
	for i := range entries {
		if entries[i].Decision != nil {
			entries[i].Why = "/audit/" + string(entries[i].ID) + "/why"
		}
	}
}

func viewEntry(e ledger.Entry) entryView {
	v := entryView{Entry: e}
	if len(e.Request) > 0 {
		var b bytes.Buffer
		if json.Indent(&b, e.Request, "", "  ") == nil {
			v.Body = b.String()
		}
	}
	if d := e.Ended.Sub(e.At); !e.Ended.IsZero() && d > time.Millisecond {
		v.Took = d.Round(time.Millisecond).String()
	}
	return v
}

type usagePage struct {
	From, To       time.Time
	Period         string
	Periods        [][2]string
	Rows           []ledger.Usage
	Totals         []usageTotal
	Currency, Cost string // "": there are no rates
	FromIn, ToIn   string
	NoProjectToSee bool
}

type usageTotal struct {
	Dim   ledger.Dim
	Hours float64
	Now   int64
	Cost  string
	cost  float64
}

var usagePeriods = [][2]string{{"month", "this month"}, {"last", "last month"}, {"24h", "last 24 hours"}, {"168h", "last 7 days"}, {"own", "from … to …"}}

func (q *request) usage() error {
	v := q.URL.Query()
	now := q.Now().UTC()
	p := usagePage{Period: v.Get("period"), Periods: usagePeriods, FromIn: v.Get("from"), ToIn: v.Get("to"), NoProjectToSee: q.project.ID == ""}
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	p.From, p.To = month, now
	switch p.Period {
	case "last":
		p.From, p.To = month.AddDate(0, -1, 0), month
	case "24h", "168h":
		d, _ := time.ParseDuration(p.Period)
		p.From = now.Add(-d)
	case "own":
		var err1, err2 error
		p.From, err1 = time.Parse(time.DateOnly, p.FromIn)
		p.To, err2 = time.Parse(time.DateOnly, p.ToIn)
		if err1 != nil || err2 != nil || p.To.Before(p.From) {
			return fail.New(fail.Invalid, "those two dates are not a period").Then("give both, the earlier one first")
		}
		p.To = p.To.AddDate(0, 0, 1)
	default:
		p.Period = "month"
	}
	if p.NoProjectToSee {
		return q.render("usage", "Usage", p)
	}
	rows, err := q.Door.Usage(q.Context(), q.newCall(nil, "", ""), p.From, p.To)
	if err != nil {
		return err
	}
	p.Rows = rows
	at := map[ledger.Dim]int{}
	for _, r := range rows {
		i, ok := at[r.Dim]
		if !ok {
			i = len(p.Totals)
			at[r.Dim] = i
			p.Totals = append(p.Totals, usageTotal{Dim: r.Dim})
		}
		p.Totals[i].Hours += r.Hours
		p.Totals[i].Now += r.Now
		if c := q.Door.Rates.Cost(r); c != nil {
			p.Totals[i].cost += *c
			p.Totals[i].Cost = strconv.FormatFloat(p.Totals[i].cost, 'f', 4, 64)
		}
	}
	if p.Currency = q.Door.Rates.Currency; p.Currency != "" {
		var all float64
		for _, t := range p.Totals {
			all += t.cost
		}
		p.Cost = strconv.FormatFloat(all, 'f', 4, 64)
	}
	return q.render("usage", "Usage", p)
}

type quotaPage struct {
	Quotas         []ledger.Quota
	CanSet         bool
	Bad            string // the line whose new limit was refused
	Err            *fail.Error
	NoProjectToSee bool
}

func (q *request) quota() error { return q.quotaPage("", nil, 200) }

func (q *request) quotaPage(bad string, e *fail.Error, status int) error {
	p := quotaPage{CanSet: q.who.Cloud(), Bad: bad, Err: e, NoProjectToSee: q.project.ID == ""}
	if !p.NoProjectToSee {
		var err error
		if p.Quotas, err = q.Door.Quotas(q.Context(), q.newCall(nil, "", "")); err != nil {
			return err
		}
	}
	return q.renderStatus(status, "quota", "Quota", p)
}

func (q *request) setQuota() error {
	name := q.PostForm.Get("name")
	limit := int64(-1)
	if text := strings.TrimSpace(q.PostForm.Get("limit")); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return q.quotaPage(name, fail.Field("limit", "%q is not a whole number", text), 400)
		}
		limit = n
	}
	c := q.newCall(nil, "", "")
	c.Spec, _ = json.Marshal(map[string]any{"name": name, "limit": limit})
	if err := q.Door.SetQuotas(q.Context(), c, map[ledger.Dim]int64{ledger.Dim(name): limit}); err != nil {
		return formError(err, func(e *fail.Error, _ int) error { return q.quotaPage(name, e, native.StatusOf(err)) })
	}
	q.flash("The limit of " + name + " was changed.")
	return q.see("/quota")
}
