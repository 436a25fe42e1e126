// Package prometheus serves Prometheus' HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api/) over the
// cloud's metrics, so that Grafana, promtool and every other reader of Prometheus works: at projects/{project}/api/v1/… the
// series of one project, at cloud/api/v1/… all there are, which is for operators, as is the text format at the top.
//
// It may import the kernel, service/{metric,alarm} and dialect/{auth,front,route}.
package prometheus

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/route"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/alarm"
	"github.com/awancloud/awan/internal/service/metric"
)

// Options are what the API stands on; all must be set.
type Options struct {
	Metrics *metric.Service
	Alarms  *alarm.Service
	Door    *call.Door
	// User gives who sends a request: Basic credentials, a token, or a signature.
	User func(*http.Request) (ident.Principal, error)
}

// API serves the routes.
type API struct {
	Options
	routes []Route
	table  route.Table[*Route]
}

// Route is one line of the route table: what is served, and the action that its caller must be allowed.
type Route struct {
	Method, Path string
	Kind         *kind.Def
	Verb         string
	do           func(*exchange) (any, error)
}

// exchange is one authorised request.
type exchange struct {
	w    http.ResponseWriter
	r    *http.Request
	call *call.Call
	view metric.View
	arg  func(name string) string // of the path
}

// written says that a handler has answered by itself.
type written struct{}

// New makes the API.
func New(o Options) *API {
	a := &API{Options: o}
	a.routes = []Route{{"GET", "/", metric.Cloud, "read", a.exposition}}
	for _, in := range []struct {
		prefix string
		kind   *kind.Def
		verb   string
	}{{"/projects/{project}", metric.Series, call.List}, {"/cloud", metric.Cloud, "read"}} {
		for _, x := range []struct {
			path string
			form bool // also as a POST with a form, for long expressions
			do   func(*exchange) (any, error)
		}{
			{"query", true, a.query}, {"query_range", true, a.queryRange}, {"series", true, a.series}, {"labels", true, a.labels},
			{"label/{name}/values", false, a.labels}, {"metadata", false, a.metadata}, {"status/buildinfo", false, buildInfo},
			{"query_exemplars", true, exemplars}, {"rules", false, a.rules}, {"alerts", false, a.alerts},
		} {
			a.routes = append(a.routes, Route{"GET", in.prefix + "/api/v1/" + x.path, in.kind, in.verb, x.do})
			if x.form {
				a.routes = append(a.routes, Route{"POST", in.prefix + "/api/v1/" + x.path, in.kind, in.verb, x.do})
			}
		}
	}
	for i := range a.routes {
		if err := a.table.Add(a.routes[i].Method+" "+a.routes[i].Path, &a.routes[i]); err != nil {
			panic(err) // a slip in the table above; the first test finds it
		}
	}
	return a
}

// Routes lists the table.
func (a *API) Routes() []Route { return a.routes }

// Service is the API behind the listener.
func (a *API) Service() front.Service {
	return front.Service{Name: "metrics", Handler: a, MaxBody: 1 << 20,
		Fail: func(w http.ResponseWriter, _ *http.Request, _ int, err *fail.Error) { writeError(w, err) }}
}

// ServeHTTP finds the route, asks whether the caller may, and answers.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := a.serve(w, r)
	if err != nil {
		writeError(w, err)
		return
	}
	if _, done := out.(written); !done {
		writeData(w, out)
	}
}

func (a *API) serve(w http.ResponseWriter, r *http.Request) (any, error) {
	q := r
	if q.URL.Path == "" {
		q = r.Clone(r.Context())
		q.URL.Path = "/"
	}
	hits := a.table.Find(q.Method, q.URL.EscapedPath())
	if len(hits) == 0 {
		return nil, fail.New(fail.NotFound, "there is no %s %s here", r.Method, r.URL.Path).Then("a data source's address is …/metrics/projects/PROJECT")
	}
	p, err := a.User(r)
	if err != nil {
		return nil, err
	}
	hit := hits[0]
	x := &exchange{w: w, r: r, arg: hit.Param}
	x.call = &call.Call{Principal: p, Project: dash(hit.Param("project")), Source: auth.Source(r), Agent: r.UserAgent(), Dialect: "prometheus", RequestID: front.From(r.Context()).RequestID}
	if x.call.RequestID == "" {
		x.call.RequestID = string(id.New())
	}
	_, project, err := a.Door.Permit(r.Context(), x.call, hit.Value.Kind, hit.Value.Verb, "*")
	if err != nil {
		return nil, err
	}
	x.view = a.Metrics.All()
	if hit.Value.Kind.Scope == kind.InProject {
		x.view = a.Metrics.Of(project)
	}
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	}
	if err := r.ParseForm(); err != nil {
		return nil, fail.Field("body", "is not a form").Then("send application/x-www-form-urlencoded")
	}
	return hit.Value.do(x)
}

// dash reads "-" as "that of the credential".
func dash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

func (a *API) exposition(x *exchange) (any, error) {
	promhttp.HandlerFor(a.Metrics.Registry, promhttp.HandlerOpts{}).ServeHTTP(x.w, x.r)
	return written{}, nil
}

// document is what every answer of the API is.
type document struct {
	Status    string   `json:"status"`
	Data      any      `json:"data,omitempty"`
	ErrorType string   `json:"errorType,omitempty"`
	Error     string   `json:"error,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Infos     []string `json:"infos,omitempty"`
}

// warned is data with the engine's remarks beside it.
type warned struct {
	data            any
	warnings, infos []string
}

func writeData(w http.ResponseWriter, data any) {
	d := document{Status: "success", Data: data}
	if x, ok := data.(warned); ok {
		d.Data, d.Warnings, d.Infos = x.data, x.warnings, x.infos
	}
	write(w, http.StatusOK, d)
}

// failures are the statuses and types that the API gives to errors.
var failures = map[fail.Kind]struct {
	status int
	name   string
}{
	fail.Invalid: {400, "bad_data"}, fail.Unauthenticated: {401, "unauthorized"}, fail.Denied: {403, "forbidden"}, fail.NotFound: {404, "not_found"},
	fail.Timeout: {503, "timeout"}, fail.Canceled: {499, "canceled"}, fail.Unavailable: {503, "unavailable"}, fail.TooLarge: {413, "bad_data"}, fail.RateLimited: {429, "unavailable"},
}

func writeError(w http.ResponseWriter, err error) {
	e := fail.From(err)
	f, ok := failures[e.Kind]
	if !ok {
		f.status, f.name = 500, "internal"
	}
	if e.Kind == fail.Unauthenticated {
		w.Header().Set("WWW-Authenticate", `Basic realm="metrics", charset="UTF-8"`)
	}
	write(w, f.status, document{Status: "error", ErrorType: f.name, Error: strings.TrimSpace(e.Public())})
}

func write(w http.ResponseWriter, status int, d document) {
	b, err := json.Marshal(d)
	if err != nil {
		status, b = 500, []byte(`{"status":"error","errorType":"internal","error":"the result cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client went away: nobody to tell
}
