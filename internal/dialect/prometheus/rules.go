package prometheus

import (
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/service/alarm"
)

// rule is an alarm in the API's words.
type rule struct {
	State       string            `json:"state"` // inactive, pending, firing
	Name        string            `json:"name"`
	Query       string            `json:"query"`
	Duration    float64           `json:"duration"` // seconds
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Alerts      []alert           `json:"alerts"`
	Health      string            `json:"health"`
	Type        string            `json:"type"`
}

type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	State       string            `json:"state"`
	ActiveAt    time.Time         `json:"activeAt"`
	Value       string            `json:"value"`
}

func (a *API) alarms(x *exchange) ([]rule, error) {
	c := *x.call
	c.Kind, c.Verb, c.Target = a.Alarms.Alarm.D, call.List, ""
	all := []rule{}
	project := x.view.Project()
	if project != "" { // who may read measurements need not be allowed to read alarms
		if _, _, err := a.Door.Permit(x.r.Context(), &c, a.Alarms.Alarm.D, call.List, "*"); err != nil {
			return nil, err
		}
	}
	lines, err := a.Alarms.List(x.r.Context(), project)
	for _, l := range lines {
		all = append(all, toRule(l))
	}
	return all, err
}

func toRule(l alarm.Line) rule {
	r := rule{State: "inactive", Name: l.Name, Query: l.Query, Duration: l.For.Seconds(), Health: "ok", Type: "alerting", Alerts: []alert{},
		Labels: map[string]string{"severity": l.Severity, "project": string(l.Project)}, Annotations: map[string]string{"description": l.Description, "summary": l.Text}}
	switch l.State {
	case "firing", "pending":
		r.State = l.State
		labels := map[string]string{"alertname": l.Name}
		for k, v := range r.Labels {
			labels[k] = v
		}
		r.Alerts = []alert{{labels, r.Annotations, l.State, l.Since, l.Value}}
	case "no data":
		r.Health = "unknown"
	}
	return r
}

func (a *API) rules(x *exchange) (any, error) {
	all, err := a.alarms(x)
	return map[string]any{"groups": []map[string]any{{"name": "alarms", "file": "", "interval": a.Metrics.Every.Seconds(), "limit": 0, "rules": all}}}, err
}

func (a *API) alerts(x *exchange) (any, error) {
	all, err := a.alarms(x)
	out := []alert{}
	for _, r := range all {
		out = append(out, r.Alerts...)
	}
	return map[string]any{"alerts": out}, err
}
