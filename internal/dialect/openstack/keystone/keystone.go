// Package keystone serves OpenStack's identity API v3 (https://docs.openstack.org/api-ref/identity/v3/) over the kernel's
// identity kinds: a role is a policy, a role assignment a grant. Every read and write of rows goes through the door.
//
// Huawei's IAM is the same API with more paths; dialect/huawei/iam adds its own routes to this one's. It may import the
// kernel, dialect/{auth,federation,front,login,route}, dialect/openstack/token and service/{endpoint,federation}.
package keystone

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/route"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	ep "github.com/awancloud/awan/internal/service/endpoint"
	"github.com/awancloud/awan/internal/service/federation"
)

// MaxBody bounds a request's body, in bytes.
const MaxBody = 1 << 20

// Options are what the API stands on. Door and Auth must be set.
type Options struct {
	Door   *call.Door
	Auth   *auth.Authenticator
	Base   func(*http.Request) string // the address the client used, up to "/v3"; nil: BaseOf
	Region string
	// Federation is what identity providers and mappings are; nil: the API has none.
	Federation *federation.Service
	// Endpoints are what operators add to the catalog; nil: nothing can be added.
	Endpoints *ep.Kinds
	// Services are the entries of the catalog beside identity itself.
	Services []CatalogEntry
	// Dialect names it in the audit log; "" = "openstack".
	Dialect string
	// Fail writes an error; nil: in Keystone's form.
	Fail func(http.ResponseWriter, *http.Request, error)
	// Role is a policy on the wire; nil: RoleView.
	Role func(*Exchange, *PolicyRow) any
	// Enter checks an authenticated request before its handler runs; may be nil.
	Enter func(*Exchange) error
}

// CatalogEntry is a service of the catalog.
type CatalogEntry struct {
	Type, Name string // "compute", "nova"
	// URL is where it is reached, for a client that reached identity by r; project is "" in a token without one.
	URL func(r *http.Request, project id.ID) string
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
	own    []ownService

	written catalogs
}

// New makes the API.
func New(o Options) *API {
	a := Bare(o)
	for _, rs := range [][]Route{a.tokenRoutes(), a.catalogRoutes(), a.projectRoutes(), a.domainRoutes(), a.userRoutes(), a.groupRoutes(),
		a.roleRoutes(), a.grantRoutes(), a.federationRoutes(), a.credentialRoutes(), a.tagRoutes(), a.systemRoutes(), a.userCredentialRoutes(), a.ec2Routes(),
		a.limitRoutes(), a.inferenceRoutes(), a.trustRoutes(), a.accessRuleRoutes(), a.blobRoutes(), a.filterRoutes()} {
		for _, r := range rs {
			a.Add(r)
		}
	}
	return a
}

// Bare makes an API without routes, for others that work the same way.
func Bare(o Options) *API {
	if o.Dialect == "" {
		o.Dialect = "openstack"
	}
	if o.Base == nil {
		o.Base = BaseOf
	}
	if o.Fail == nil {
		o.Fail = func(w http.ResponseWriter, _ *http.Request, err error) { token.WriteError(w, err) }
	}
	a := &API{Options: o, Kinds: o.Door.Ident.Kinds}
	a.own = a.ownServices()
	return a
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

// Service is the API behind the listener, as "identity" and "keystone".
func (a *API) Service() front.Service {
	s := a.ServiceNamed("identity")
	s.Aliases = []string{"keystone"}
	return s
}

// ServiceNamed is the API behind the listener under a name.
func (a *API) ServiceNamed(name string) front.Service {
	s := front.Service{Name: name, Handler: a, MaxBody: MaxBody,
		Fail: func(w http.ResponseWriter, r *http.Request, _ int, err *fail.Error) { a.Fail(w, r, err) }}
	for _, r := range a.routes {
		s.Routes = append(s.Routes, r.Method+" "+r.Path)
	}
	return s
}

// BaseOf is the address under which the client reached us, path prefix included, without "/v3".
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

// Exchange is one request on its way to the door.
type Exchange struct {
	W    http.ResponseWriter
	R    *http.Request
	API  *API
	Who  ident.Principal
	Call call.Call // what every call of this request has

	at    string     // the API's base, once it was asked for
	first string     // the domain whose id is printed as "default"; "" = not looked up yet
	query url.Values // once it was asked for: lists ask for every row
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
	if d := x.Param("domain_id"); d != "" {
		x.R.SetPathValue("domain_id", a.domainNamed(x.R.Context(), d))
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

// domainNamed gives what a client means by a domain. Keystone compares names without case and its first domain has the id
// "default", which clients have as their default: a domain called Default answers to it in any case.
func (a *API) domainNamed(ctx context.Context, idOrName string) string {
	if !strings.EqualFold(idOrName, "default") {
		return idOrName
	}
	out := idOrName
	_ = a.Door.Store.View(ctx, func(tx store.Tx) error { // without it the door says that there is none
		d, err := a.Door.Ident.FirstDomain(tx)
		if d != "" {
			out = string(d)
		}
		return err
	})
	return out
}

// Param is a placeholder's value.
func (x *Exchange) Param(name string) string { return x.R.PathValue(name) }

// Query is a query parameter.
func (x *Exchange) Query(name string) string { return x.Queries().Get(name) }

// Queries are the query's parameters; they must not be changed.
func (x *Exchange) Queries() url.Values {
	if x.query == nil {
		x.query = x.R.URL.Query()
	}
	return x.query
}

// NoContent answers 204.
func (x *Exchange) NoContent() error {
	x.W.WriteHeader(http.StatusNoContent)
	return nil
}

// One answers with one thing under its singular name.
func (x *Exchange) One(status int, singular string, item any) error {
	token.WriteOne(x.W, status, singular, item)
	return nil
}

// Self is a link to a path below the API's base.
func (x *Exchange) Self(path string) token.SelfLink {
	return token.SelfLink{Self: x.base() + path}
}

// base is the API's, found once: lists print it with every row.
func (x *Exchange) base() string {
	if x.at == "" {
		x.at = x.API.Base(x.R)
	}
	return x.at
}
