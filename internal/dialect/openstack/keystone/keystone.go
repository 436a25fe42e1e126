// Package keystone serves OpenStack's identity API v3 (https://docs.openstack.org/api-ref/identity/v3/) over the kernel's
// identity kinds: a role is a policy, a role assignment a grant. Every read and write of rows goes through the door.
//
// Huawei's IAM is the same API with more paths; dialect/huawei/iam adds its own routes to this one's. It may import the
// kernel, dialect/{federation,front,login,wire}, dialect/openstack/token and service/{endpoint,federation}.
package keystone

import (
	"context"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	ep "github.com/awancloud/awan/internal/service/endpoint"
	"github.com/awancloud/awan/internal/service/federation"
)

// Options are what the API stands on. Without Dialect it is "openstack"; without Fail, errors have Keystone's form.
type Options struct {
	wire.Options
	// Federation is what identity providers and mappings are; nil: the API has none.
	Federation *federation.Service
	// Endpoints are what operators add to the catalog; nil: nothing can be added.
	Endpoints *ep.Kinds
	// Services are the entries of the catalog beside identity itself.
	Services []token.CatalogEntry
	// Role is a policy on the wire; nil: in Keystone's form.
	Role func(*wire.Exchange, *PolicyRow) any
}

// API serves the routes.
type API struct {
	*wire.API
	Federation *federation.Service
	Endpoints  *ep.Kinds
	Services   []token.CatalogEntry
	Role       func(*wire.Exchange, *PolicyRow) any
	own        []ownService

	written catalogs
}

// route is one line of the table.
type route struct {
	Method, Path string
	Kind         *kind.Def
	Verb         string
	Open         bool
	Incomplete   bool
	Do           func(*exchange) error
}

// exchange is a request to Keystone.
type exchange struct {
	wire.Exchange
	API   *API
	first string // the domain whose id is printed as "default"; "" = not looked up yet
}

// New makes the API.
func New(o Options) *API {
	if o.Dialect == "" {
		o.Dialect = "openstack"
	}
	if o.Fail == nil {
		o.Fail = func(w http.ResponseWriter, _ *http.Request, err error) { token.WriteError(w, err) }
	}
	a := &API{Federation: o.Federation, Endpoints: o.Endpoints, Services: o.Services, Role: o.Role}
	o.Resolve = func(x *wire.Exchange) {
		if d := x.Param("domain_id"); d != "" {
			x.R.SetPathValue("domain_id", a.domainNamed(x.R.Context(), d))
		}
	}
	a.API = wire.New(o.Options)
	a.own = a.ownServices()
	for _, rs := range [][]route{a.tokenRoutes(), a.catalogRoutes(), a.projectRoutes(), a.domainRoutes(), a.userRoutes(), a.groupRoutes(),
		a.roleRoutes(), a.grantRoutes(), a.federationRoutes(), a.credentialRoutes(), a.tagRoutes(), a.systemRoutes(), a.userCredentialRoutes(), a.ec2Routes(),
		a.limitRoutes(), a.inferenceRoutes(), a.trustRoutes(), a.accessRuleRoutes(), a.blobRoutes(), a.filterRoutes(), a.oauthRoutes()} {
		for _, r := range rs {
			a.Add(wire.Route{Method: r.Method, Path: r.Path, Kind: r.Kind, Verb: r.Verb, Open: r.Open, Incomplete: r.Incomplete,
				Do: func(x *wire.Exchange) error { return r.Do(&exchange{Exchange: *x, API: a}) }})
		}
	}
	return a
}

// Service is the API behind the listener, as "identity" and "keystone".
func (a *API) Service() front.Service {
	s := a.ServiceNamed("identity")
	s.Aliases = []string{"keystone"}
	return s
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

// Self is a link to a path below the API's base.
func (x *exchange) Self(path string) token.SelfLink { return Self(&x.Exchange, path) }

// Self is that link for dialects beside this one.
func Self(x *wire.Exchange, path string) token.SelfLink {
	return token.SelfLink{Self: x.Base() + path}
}
