// Package native is Awan's own HTTP API. Every route under /awan/v1 is derived from the kinds; what is written here is
// how a Call looks in HTTP, not what any resource is. It may import the kernel and dialect/auth.
package native

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Base is the path under which the API lies.
const Base = "/awan/v1"

// MaxBody bounds a JSON body.
const MaxBody = 4 << 20

// API serves the native dialect.
type API struct {
	Door    *call.Door
	Auth    *auth.Authenticator
	Version string
	Domain  string        // the cloud's DNS domain, told by GET /version; may be empty
	CA      func() []byte // the cloud's CA in PEM form, told by GET /ca; may be nil
	mux     *http.ServeMux
}

// New makes the routes.
func New(d *call.Door, a *auth.Authenticator, version string) *API {
	api := &API{Door: d, Auth: a, Version: version, mux: http.NewServeMux()}
	api.routes()
	return api
}

// ServeHTTP answers requests under Base.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// Route is one line of the route table: what OpenAPI and the coverage test are made from.
type Route struct {
	Method, Path string
	Kind         *kind.Def
	Verb         string
	Doc          string
}

func collection(k *kind.Def) string {
	p := Base
	switch k.Scope {
	case kind.InProject:
		p += "/projects/{project}"
	case kind.InDomain:
		p += "/domains/{domain}"
	}
	return p + "/" + k.Service + "/" + k.Plural
}

// Routes lists the routes that come from kinds.
func Routes(kinds []*kind.Def) []Route {
	var out []Route
	for _, k := range kinds {
		c := collection(k)
		for _, v := range call.Verbs(k) {
			r := Route{Kind: k, Verb: v.Verb, Doc: v.Doc}
			switch v.Verb {
			case call.List:
				r.Method, r.Path = "GET", c
			case call.Create:
				r.Method, r.Path = "POST", c
			case call.Get:
				r.Method, r.Path = "GET", c+"/{id}"
			case call.Update:
				r.Method, r.Path = "PATCH", c+"/{id}"
			case call.Delete:
				r.Method, r.Path = "DELETE", c+"/{id}"
			case call.Events:
				r.Method, r.Path = "GET", c+"/{id}/events"
			case call.Watch:
				r.Method, r.Path = "GET", c+"/actions/watch"
			case call.Restore:
				r.Method, r.Path = "POST", c+"/{id}/actions/restore"
			default:
				r.Method, r.Path = "POST", c+"/{id}/actions/"+v.Verb
				if k.ActionOf(v.Verb).Collection {
					r.Path = c + "/actions/" + v.Verb
				}
			}
			out = append(out, r)
		}
	}
	return out
}

// General is a route that does not come from a kind.
type General struct {
	Method, Path string
	// Needs is the action that a caller must be allowed; LogInNeeded: none, but a log-in; "": not even that.
	Needs string
	serve func(http.ResponseWriter, *http.Request) error
}

// LogInNeeded is what a route needs that anybody who is logged in may use.
const LogInNeeded = "log-in"

// Generals lists the routes that do not come from kinds, for OpenAPI and the coverage test.
func Generals() []General { return new(API).general() }

func (a *API) general() []General {
	return []General{
		{"POST", Base + "/login", "", a.login},
		{"POST", Base + "/logout", LogInNeeded, a.logout},
		{"POST", Base + "/me/password", "", a.ownPassword}, // by the old password: also before there is a log-in
		{"GET", Base + "/me/mfa", LogInNeeded, a.ownFactors},
		{"POST", Base + "/me/mfa", LogInNeeded, a.enrol},
		{"POST", Base + "/me/mfa/{id}/confirm", LogInNeeded, a.confirm},
		{"DELETE", Base + "/me/mfa/{id}", LogInNeeded, a.disown},
		{"POST", Base + "/me/backup-codes", LogInNeeded, a.backupCodes},
		{"POST", Base + "/me/verify", LogInNeeded, a.verify},
		{"POST", Base + "/me/temporary-keys", LogInNeeded, a.temporaryKey},
		{"POST", Base + "/assume", LogInNeeded, a.assume},
		{"GET", Base + "/whoami", LogInNeeded, a.whoami},
		{"GET", Base + "/version", "", a.version},
		{"GET", Base + "/ca", "", a.ca},
		{"GET", Base + "/kinds", "", a.kinds},
		{"GET", Base + "/openapi.json", "", a.openapi},
		{"GET", Base + "/jobs/{id}", "job", a.job}, // that of reading what the job works on
		{"GET", Base + "/domains/{domain}/audit", "audit:entry:list", a.audit},
		{"GET", Base + "/domains/{domain}/audit/checkpoint", "audit:entry:list", a.auditHead},
		{"GET", Base + "/domains/{domain}/audit/leaves", "audit:entry:list", a.auditLeaves},
		{"GET", Base + "/domains/{domain}/audit/verify", "audit:entry:list", a.auditVerify},
		{"GET", Base + "/projects/{project}/quota", "quota:quota:list", a.quota},
		{"PUT", Base + "/projects/{project}/quota", "quota:quota:update", a.setQuota},
		{"GET", Base + "/projects/{project}/usage", "billing:usage:list", a.usage},
	}
}

func (a *API) routes() {
	for _, r := range Routes(a.Door.Kinds) {
		a.mux.HandleFunc(r.Method+" "+r.Path, func(w http.ResponseWriter, q *http.Request) { a.serve(w, q, r) })
	}
	for _, g := range a.general() {
		a.mux.HandleFunc(g.Method+" "+g.Path, func(w http.ResponseWriter, r *http.Request) {
			if err := g.serve(w, r); err != nil {
				WriteError(w, r, err)
			}
		})
	}
	a.mux.HandleFunc(Base+"/", func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, r, fail.New(fail.NotFound, "there is no %s %s", r.Method, r.URL.Path).Then("see %s/openapi.json", Base))
	})
}

// newCall fills in what every call has from its request.
func (a *API) newCall(r *http.Request) (*call.Call, error) {
	p, err := a.Auth.Principal(r)
	if err != nil {
		return nil, err
	}
	c := &call.Call{Principal: p, Source: auth.Source(r), Agent: r.UserAgent(), Dialect: "native", RequestID: r.Header.Get("X-Request-Id"),
		Domain: dash(r.PathValue("domain")), Project: dash(r.PathValue("project")), Target: r.PathValue("id"), Idempotency: r.Header.Get("Idempotency-Key")}
	if domain, project, ok := strings.Cut(c.Project, ":"); ok { // operators reach other accounts' projects by name
		c.Domain, c.Project = dash(domain), dash(project)
	}
	if c.RequestID == "" {
		c.RequestID = string(id.New())
	}
	return c, nil
}

// dash reads "-" in a path as "mine".
func dash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// body is what a client sends to create or update.
type body struct {
	Name       *string            `json:"name"`
	Enterprise *string            `json:"enterprise_project"`
	Tags       *map[string]string `json:"tags"`
	Spec       json.RawMessage    `json:"spec"`
	IfRevision int64              `json:"if_revision"`
}

var bodyFields = []kind.Field{{Name: "name"}, {Name: "tags"}, {Name: "spec"}, {Name: "if_revision"}, {Name: "enterprise_project"}}

func (a *API) serve(w http.ResponseWriter, r *http.Request, route Route) {
	c, err := a.newCall(r)
	if err == nil {
		c.Kind, c.Verb = route.Kind, route.Verb
		err = a.dispatch(w, r, c)
	}
	if err != nil {
		WriteError(w, r, err)
	}
}

func (a *API) dispatch(w http.ResponseWriter, r *http.Request, c *call.Call) error {
	q := r.URL.Query()
	c.DryRun, c.Purge = q.Get("dry_run") == "true", q.Get("purge") == "true"
	if err := number(q.Get("if_revision"), "if_revision", &c.IfRevision); err != nil {
		return err
	}
	switch c.Verb {
	case call.List, call.Events:
		if err := filter(r, c); err != nil {
			return err
		}
	case call.Create, call.Update:
		b, err := readBody(w, r, MaxBody)
		if err != nil {
			return err
		}
		var in body
		if err := kind.DecodeStrict(b, &in, "", bodyFields); err != nil {
			return err
		}
		c.Name, c.Tags, c.Spec, c.EnterpriseProject = in.Name, in.Tags, in.Spec, in.Enterprise
		if in.IfRevision != 0 {
			c.IfRevision = in.IfRevision
		}
	case call.Watch:
		c.Target = q.Get("id")
		return a.stream(w, r, c)
	case call.Get, call.Delete, call.Restore:
	default:
		act := c.Kind.ActionOf(c.Verb)
		if act.Stream {
			return a.stream(w, r, c)
		}
		b, err := readBody(w, r, MaxBody)
		if err != nil {
			return err
		}
		c.In = b
	}
	reply, err := a.Door.Do(r.Context(), c)
	if err != nil {
		return err
	}
	if q.Get("names") == "true" {
		return a.namedAnswer(r.Context(), w, c, reply)
	}
	return answer(w, c, reply)
}

// Document is the JSON of a reply.
type Document struct {
	Row   kind.AnyRow       `json:"resource,omitempty"`
	Job   any               `json:"job,omitempty"`
	Names map[string]string `json:"names,omitempty"`
}

func answer(w http.ResponseWriter, c *call.Call, r call.Reply) error { return answerWith(w, c, r, nil) }

func answerWith(w http.ResponseWriter, c *call.Call, r call.Reply, names map[string]string) error {
	status := http.StatusOK
	switch {
	case r.Job != nil && !r.Job.Done():
		status = http.StatusAccepted
		w.Header().Set("Location", Base+"/jobs/"+string(r.Job.ID))
	case c.Verb == call.Create && !r.Repeat:
		status = http.StatusCreated
	}
	switch c.Verb {
	case call.List:
		if r.Rows == nil {
			r.Rows = []kind.AnyRow{}
		}
		return writeJSON(w, status, struct {
			Items []kind.AnyRow     `json:"items"`
			Next  id.ID             `json:"next,omitempty"`
			Names map[string]string `json:"names,omitempty"`
		}{r.Rows, r.Next, names})
	case call.Events:
		return writeJSON(w, status, map[string]any{"items": orEmpty(r.Events)})
	}
	doc := Document{Row: r.Row, Names: names}
	if r.Job != nil {
		doc.Job = r.Job
	}
	return writeJSON(w, status, doc)
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func filter(r *http.Request, c *call.Call) error {
	q := r.URL.Query()
	f := &c.Filter
	for key, values := range q {
		v := values[0]
		switch {
		case key == "names": // of what the rows refer to
		case key == "limit":
			var n int64
			if err := number(v, key, &n); err != nil {
				return err
			}
			f.Limit = int(n)
		case key == "marker":
			m, ok := id.Parse(v)
			if !ok {
				return fail.Field("marker", "is not one").Then("give the next field of the page before, as it was")
			}
			f.After = m
		case key == "name":
			f.Name = v
		case key == "enterprise_project":
			f.Enterprise = v
		case key == "state":
			f.State = kind.State(v)
		case key == "tag":
			f.Tags = map[string]string{}
			for _, t := range values {
				k, val, _ := strings.Cut(t, "=")
				f.Tags[k] = val
			}
		case strings.HasPrefix(key, "by."):
			name := strings.TrimPrefix(key, "by.")
			if !contains(c.Kind.IndexBy, name) {
				return fail.Field(key, "there is no such filter").Then("filters of %s: %s", c.Kind.Plural, strings.Join(c.Kind.IndexBy, ", "))
			}
			f.Index, f.Value = name, v
		default:
			return fail.Field(key, "there is no such parameter").Then("known: limit, marker, name, names, state, tag, enterprise_project, by.INDEX")
		}
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func number(s, field string, into *int64) error {
	if s == "" {
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return fail.Field(field, "%q is not a whole number", s)
	}
	*into = n
	return nil
}

func moment(s, field string, into *time.Time) error {
	if s == "" {
		return nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		*into = time.Now().Add(-d)
		return nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return fail.Field(field, "%q is not a time", s).Then("use RFC 3339 (2026-01-31T12:00:00Z) or a duration back from now (24h)")
	}
	*into = t
	return nil
}
