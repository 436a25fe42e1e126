// Package wire is what the JSON APIs of other clouds stand on here: a table of routes, an authenticated exchange, and the way from a
// request to a call through the door and back to a body. What their words and errors are is each dialect's own. It may import the
// kernel and dialect/{auth,front,route}.
package wire

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/route"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// MaxBody bounds a request's body, in bytes.
const MaxBody = 1 << 20

// Options are what an API stands on. Door, Auth, Dialect and Fail must be set.
type Options struct {
	Door   *call.Door
	Auth   *auth.Authenticator
	Base   func(*http.Request) string // the address the client used; nil: BaseOf
	Region string
	// Dialect names the API in the audit log.
	Dialect string
	// Fail writes an error in the API's form.
	Fail func(http.ResponseWriter, *http.Request, error)
	// Resolve puts what is meant in the place of what a path says; may be nil.
	Resolve func(*Exchange)
	// Enter checks an authenticated request before its handler runs; may be nil.
	Enter func(*Exchange) error
}

// Route is one line of the route table: what the listener and the coverage test are made from.
type Route struct {
	Method, Path string
	// Kind and Verb are the action that a caller must be allowed; without Kind a log-in is enough.
	Kind *kind.Def
	Verb string
	Open bool // not even a log-in is needed
	// Incomplete says that a log-in that lacks something (a second factor, a new password) may use it too.
	Incomplete bool
	Do         func(*Exchange) error
}

// API serves the routes.
type API struct {
	Options
	Kinds  *ident.Kinds
	routes []Route
	table  route.Table[*Route]
}

// New makes an API without routes.
func New(o Options) *API {
	if o.Base == nil {
		o.Base = BaseOf
	}
	return &API{Options: o, Kinds: o.Door.Ident.Kinds}
}

// Add puts a route in; a later one of the same method and path takes the place of the earlier.
func (a *API) Add(r Route) {
	for i := range a.routes {
		if a.routes[i].Method == r.Method && a.routes[i].Path == r.Path {
			a.routes[i] = r
			a.index()
			return
		}
	}
	a.routes = append(a.routes, r)
	a.index()
}

// index makes the table anew: routes hold its values' addresses.
func (a *API) index() {
	a.table = route.Table[*Route]{}
	for i := range a.routes {
		r := &a.routes[i]
		if err := a.table.Add(r.Method+" "+r.Path, r); err != nil {
			panic(err) // a slip in a table of this program; the first test finds it
		}
	}
}

// Routes lists the table.
func (a *API) Routes() []Route { return a.routes }

// ServiceNamed is the API behind the listener under a name.
func (a *API) ServiceNamed(name string) front.Service {
	s := front.Service{Name: name, Handler: a, MaxBody: MaxBody,
		Fail: func(w http.ResponseWriter, r *http.Request, _ int, err *fail.Error) { a.Fail(w, r, err) }}
	for _, r := range a.routes {
		s.Routes = append(s.Routes, r.Method+" "+r.Path)
	}
	return s
}

// BaseOf is the address under which the client reached us, path prefix included.
func BaseOf(r *http.Request) string {
	info := front.From(r.Context())
	scheme := "https"
	if !info.Secure && r.TLS == nil {
		scheme = "http"
	}
	prefix, ok := strings.CutSuffix(strings.TrimSuffix(info.Path, "/"), strings.TrimSuffix(r.URL.EscapedPath(), "/"))
	if !ok {
		prefix = "" // without a listener in the way
	}
	return scheme + "://" + r.Host + prefix
}

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &Exchange{W: w, R: r, API: a}
	if err := a.serve(x); err != nil {
		a.Fail(w, r, err)
	}
}

func (a *API) serve(x *Exchange) error {
	hits := a.table.Find(x.R.Method, x.R.URL.EscapedPath())
	if len(hits) == 0 {
		if methods := a.table.Methods(x.R.URL.EscapedPath()); len(methods) > 0 {
			x.W.Header().Set("Allow", strings.Join(methods, ", "))
			return fail.New(fail.NotFound, "%s is not possible here", x.R.Method).Then("use %s", strings.Join(methods, ", "))
		}
		return fail.New(fail.NotFound, "this API has no %s", x.R.URL.Path)
	}
	hits[0].Set(x.R)
	rt := hits[0].Value
	if a.Resolve != nil {
		a.Resolve(x)
	}
	x.Call = call.Call{Source: auth.Source(x.R), Agent: x.R.UserAgent(), Dialect: a.Dialect, RequestID: front.From(x.R.Context()).RequestID}
	if rt.Open {
		return rt.Do(x)
	}
	var err error
	if x.Who, err = a.Auth.Principal(x.R); err != nil {
		return err
	}
	if x.Who.Nobody() {
		return fail.New(fail.Unauthenticated, "this needs a log-in").Then("send an X-Auth-Token, from POST /v3/auth/tokens, or sign the request")
	}
	x.Call.Principal = x.Who
	if err := a.admit(x, rt); err != nil {
		return err
	}
	if a.Enter != nil {
		if err := a.Enter(x); err != nil {
			return err
		}
	}
	return rt.Do(x)
}

// admit refuses log-ins that are not complete, and those from where the domain lets nobody in. The door asks the same of
// callers; this is for what does not go through it, or goes in the cloud's name.
func (a *API) admit(x *Exchange, rt *Route) error {
	if x.Who.Restricted != "" && !rt.Incomplete {
		return ident.Unfinished(x.Who)
	}
	return a.Door.Store.View(x.R.Context(), func(tx store.Tx) error { return a.Door.Ident.Admit(tx, x.Who, x.Call.Source, false) })
}
