package console

import (
	"sort"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

// dashboardPage is the first page: how things are, and what to do next.
type dashboardPage struct {
	Apps      []appView
	CanApps   bool
	Quotas    []ledger.Quota
	Entries   []entryView
	Events    []appEvent
	CanAudit  bool
	CanDeploy bool
	NoProject bool
	Starters  []starter // of the tour, while there is no app
}

// when is the last time an event happened.
func when(e event.Event) time.Time {
	if e.Last.After(e.At) {
		return e.Last
	}
	return e.At
}

type appEvent struct {
	event.Event
	App, Path string
}

const dashboardRows = 8

func (q *request) dashboard() error {
	component := action{"app", "component", call.List}
	events := action{"app", "component", call.Events}
	create := action{"app", "component", call.Create}
	quotas, entries := action{"quota", "quota", call.List}, action{"audit", "entry", call.List}
	may := q.may([]action{component, events, create, quotas, entries})
	p := dashboardPage{CanApps: may[component] && q.Door.KindOf(componentKind) != nil, CanAudit: may[entries], NoProject: q.project.ID == ""}
	p.CanDeploy = p.CanApps && may[create]
	if p.CanApps && !p.NoProject {
		rows, _, err := q.components(200, "")
		if err != nil {
			return err
		}
		for i, r := range rows {
			p.Apps = append(p.Apps, q.viewApp(r))
			if !may[events] || i >= 20 {
				continue
			}
			c := q.newCall(q.Door.KindOf(componentKind), call.Events, string(r.ID))
			c.Filter.Limit = dashboardRows
			rep, err := q.do(c)
			if err != nil {
				return err
			}
			for _, e := range rep.Events {
				p.Events = append(p.Events, appEvent{e, r.Name, appPath(r)})
			}
		}
		sort.SliceStable(p.Events, func(i, j int) bool { return when(p.Events[i].Event).After(when(p.Events[j].Event)) })
		p.Events = p.Events[:min(len(p.Events), dashboardRows)]
	}
	if p.CanDeploy && len(p.Apps) == 0 {
		p.Starters = starters()
	}
	if may[quotas] && !p.NoProject {
		all, err := q.Door.Quotas(q.Context(), q.newCall(nil, "", ""))
		if err != nil {
			return err
		}
		for _, u := range all {
			if u.Limit > 0 {
				p.Quotas = append(p.Quotas, u)
			}
		}
		sort.SliceStable(p.Quotas, func(i, j int) bool { // what is used most of comes first
			return float64(p.Quotas[i].Used)/float64(p.Quotas[i].Limit) > float64(p.Quotas[j].Used)/float64(p.Quotas[j].Limit)
		})
		p.Quotas = p.Quotas[:min(len(p.Quotas), dashboardRows)]
	}
	if p.CanAudit {
		found, _, err := q.Door.Audit(q.Context(), q.newCall(nil, "", ""), ledger.Query{Limit: dashboardRows})
		if err != nil {
			return err
		}
		for _, e := range found {
			p.Entries = append(p.Entries, viewEntry(e))
		}
		q.explainable(p.Entries)
	}
	return q.render("dashboard", "Dashboard", p)
}
