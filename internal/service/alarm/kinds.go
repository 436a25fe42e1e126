package alarm

import (
	"context"
	"encoding/json"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/metric"
)

// Spec describes an alarm.
type Spec struct {
	Description string    `json:"description" doc:"what it means, and what to do then" max:"1024"`
	Query       string    `json:"query" doc:"a PromQL expression over the project's series; without a comparison the alarm fires while it gives any series" max:"4096"`
	Metric      string    `json:"metric" doc:"or a measurement by name: requests (per second), errors (% of requests), latency-p50, -p95, -p99 (ms), cpu and memory (% of the limit), restarts (in 10 minutes), ready (instances)" enum:",requests,errors,latency-p50,latency-p95,latency-p99,cpu,memory,restarts,ready"`
	Component   string    `json:"component" doc:"with a measurement: of this component" max:"63"`
	Comparison  string    `json:"comparison" doc:"how it is compared with the value while it fires" enum:",>,>=,<,<=,==,!="`
	Value       float64   `json:"value" doc:"what it is compared with"`
	For         kind.Span `json:"for" doc:"how long that must be so before it fires" default:"1m" min:"0" max:"86400"`
	Severity    string    `json:"severity" doc:"how bad it is" enum:"info,warning,critical" default:"warning"`
	Channels    []string  `json:"channels" doc:"channels that are told when it begins and when it ends" ref:"metric/channel" max:"10"`
	NoData      bool      `json:"no_data" doc:"tell them also when there is nothing to measure"`
	Muted       bool      `json:"muted" doc:"evaluate, but tell nobody"`
}

// Phases of an alarm.
const (
	ok      = "ok"
	pending = "pending" // it is so, but not yet for long enough
	firing  = "firing"
	noData  = "no data"
)

// Status is how an alarm is.
type Status struct {
	Alarm string    `json:"alarm" doc:"ok, pending, firing or no data"`
	Since time.Time `json:"since,omitzero" doc:"since when"`
	Value float64   `json:"value" doc:"what was measured when that began"`
	Text  string    `json:"text,omitempty" doc:"the same in words"`
	Told  string    `json:"told,omitempty" doc:"what the channels were told last"`
}

// ChannelSpec describes where notifications go.
type ChannelSpec struct {
	Type   string   `json:"type" doc:"how" enum:"webhook,email" default:"webhook" immutable:"true"`
	URL    string   `json:"url" doc:"of a webhook: where a JSON document is posted" max:"2048"`
	Secret string   `json:"secret" doc:"of a webhook: key of the HMAC-SHA256 in X-Awan-Signature" secret:"true" min:"0" max:"255"`
	To     []string `json:"to" doc:"of e-mail: who gets it" max:"20"`
}

// ChannelStatus is empty: what became of notifications stands with them.
type ChannelStatus struct{}

// NotificationSpec is one message on its way.
type NotificationSpec struct {
	Alarm   string `json:"alarm" doc:"name of the alarm; empty: a test"`
	AlarmID string `json:"alarm_id" doc:"its id"`
	Channel string `json:"channel" doc:"id of the channel"`
	Text    string `json:"text" doc:"what it says"`
	Message string `json:"message" doc:"the document that is sent"`
}

// NotificationStatus is what became of it.
type NotificationStatus struct {
	Delivery string    `json:"delivery" doc:"waiting, delivered or given up"`
	Tries    int       `json:"tries" doc:"how often it was tried"`
	Next     time.Time `json:"next,omitzero" doc:"when it is tried again"`
	Ended    time.Time `json:"ended,omitzero" doc:"when it arrived or was given up"`
	Error    string    `json:"error,omitempty" doc:"why the newest try failed"`
}

type (
	row             = kind.Row[Spec, Status]
	channelRow      = kind.Row[ChannelSpec, ChannelStatus]
	notificationRow = kind.Row[NotificationSpec, NotificationStatus]
)

func (s *Service) describe() {
	one := func(Spec) int64 { return 1 }
	s.Alarm = kind.TableOf[Spec, Status](kind.Kind[Spec, Status]{Service: "metric", Name: "alarm", Scope: kind.InProject,
		Doc:     "A condition over measurements that is watched, and people who are told.",
		Columns: []string{"status.alarm", "spec.severity", "status.since", "status.text"},
		Example: Spec{Metric: "errors", Component: "web", Comparison: ">", Value: 5, For: kind.Span(time.Minute), Severity: "critical"},
		Quota:   map[ledger.Dim]func(Spec) int64{"metric.alarms": one},
		Index:   map[string]func(*row) []string{"channel": func(r *row) []string { return r.Spec.Channels }},
		Check:   s.checkAlarm,
	}.Def())
	s.Channel = kind.TableOf[ChannelSpec, ChannelStatus](kind.Kind[ChannelSpec, ChannelStatus]{Service: "metric", Name: "channel", Scope: kind.InProject,
		Doc:     "Where notifications of alarms go: a webhook, or e-mail.",
		Columns: []string{"spec.type", "spec.url", "spec.to"}, Example: ChannelSpec{Type: "webhook", URL: "https://chat.example.org/hook"},
		Quota: map[ledger.Dim]func(ChannelSpec) int64{"metric.channels": func(ChannelSpec) int64 { return 1 }},
		Check: s.checkChannel, CheckDelete: s.unused,
		Actions: []kind.Action[ChannelSpec, ChannelStatus]{{Verb: "test", Doc: "send a notification that says it is a test; see awan notification list", Level: kind.Write,
			Change: func(_ context.Context, tx store.Tx, r *channelRow, _ any) (string, error) {
				return "", s.queue(tx, r, message{Text: "this is a test of channel " + r.Name, State: "test", Project: string(r.Project), At: s.Now().UTC()})
			}}},
	}.Def())
	s.Notification = kind.TableOf[NotificationSpec, NotificationStatus](kind.Kind[NotificationSpec, NotificationStatus]{Service: "metric", Name: "notification",
		Scope: kind.InProject, ReadOnly: true, AnyName: true, Doc: "A message of an alarm to a channel, and what became of it.",
		Columns: []string{"status.delivery", "spec.text", "status.tries", "status.error"},
		Index: map[string]func(*notificationRow) []string{
			"alarm":    func(r *notificationRow) []string { return []string{r.Spec.AlarmID} },
			"delivery": func(r *notificationRow) []string { return []string{r.Status.Delivery} }},
	}.Def())
}

func (s *Service) checkAlarm(_ context.Context, tx store.Tx, _, r *row) error {
	spec := &r.Spec
	switch {
	case spec.Query == "" && spec.Metric == "":
		return fail.Field("spec.query", "says nothing to watch").Then("give a PromQL expression, or a metric with a component")
	case spec.Query != "" && (spec.Metric != "" || spec.Component != ""):
		return fail.Field("spec.query", "give either a query, or a metric with a component")
	case spec.Metric != "" && spec.Component == "":
		return fail.Field("spec.component", "is required with a metric")
	case spec.Metric != "" && spec.Comparison == "":
		return fail.Field("spec.comparison", "is required with a metric").Then("> or <, say")
	}
	if spec.Query != "" {
		if _, err := metric.Parse(spec.Query); err != nil {
			e := fail.From(err)
			e.Field = "spec.query"
			return e
		}
	}
	for i, name := range spec.Channels {
		c, err := s.Channel.Find(tx, string(r.Project), name)
		if err != nil {
			return err
		}
		if c == nil {
			return fail.Field("spec.channels", "there is no channel %q", name).Then("awan channel list shows them; awan channel create NAME --url https://… makes one")
		}
		spec.Channels[i] = string(c.ID)
	}
	if r.Status.Alarm == "" {
		r.Status.Alarm, r.Status.Since = ok, s.Now().UTC()
	}
	return nil
}

func (s *Service) checkChannel(_ context.Context, _ store.Tx, _, r *channelRow) error {
	spec := &r.Spec
	if spec.Type == "email" {
		if s.Mail.Server == "" {
			return fail.New(fail.Unsupported, "this cloud sends no e-mail: its operator has not said which server to use").Then("use a webhook, or ask the operator to start the cloud with --smtp HOST:PORT")
		}
		if spec.URL != "" || spec.Secret != "" {
			return fail.Field("spec.to", "e-mail has addresses, and no URL nor secret")
		}
		if len(spec.To) == 0 {
			return fail.Field("spec.to", "is required of e-mail").Then("--to ops@example.org")
		}
		for i, a := range spec.To {
			addr, err := mail.ParseAddress(a)
			if err != nil {
				return fail.Field("spec.to", "%q is not an e-mail address", a)
			}
			spec.To[i] = addr.Address
		}
		return nil
	}
	u, err := url.Parse(spec.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		return fail.Field("spec.url", "%q is not an address to post to", spec.URL).Then("write https://HOST/PATH, without a user name in it")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fail.Field("spec.url", "%q is not a port", port)
		}
	}
	if len(spec.To) > 0 {
		return fail.Field("spec.to", "is for e-mail")
	}
	return nil
}

func (s *Service) unused(_ context.Context, tx store.Tx, r *channelRow) error {
	users, err := s.Alarm.List(tx, string(r.Project), kind.Filter{Index: "channel", Value: string(r.ID), Limit: 1})
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return fail.New(fail.Precondition, "alarm %s still tells it", users[0].Name).Then("take it out of the alarm's channels first")
	}
	return nil
}

// message is the document that a channel gets.
type message struct {
	ID       string  `json:"id"` // the same in every try
	Alarm    string  `json:"alarm,omitempty"`
	State    string  `json:"state"` // firing, ok, no data, test
	Severity string  `json:"severity,omitempty"`
	Text     string  `json:"text"`
	Detail   string  `json:"description,omitempty"`
	Value    float64 `json:"value"`
	Project  string  `json:"project"`
	// ProjectName is what people call it.
	ProjectName string    `json:"project_name,omitempty"`
	At          time.Time `json:"at"`
}

func (m message) encode() string {
	b, err := json.Marshal(m)
	if err != nil {
		m.Value = 0 // not a number that JSON knows
		b, _ = json.Marshal(m)
	}
	return string(b)
}

// subject is the first line that people read.
func (m message) subject() string {
	about := m.Text
	if m.Alarm != "" {
		about = m.Alarm + ": " + about
	}
	return strings.Join(strings.Fields("["+strings.ToUpper(m.State)+"] "+about), " ")
}
