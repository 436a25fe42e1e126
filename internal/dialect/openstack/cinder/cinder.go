// Package cinder serves OpenStack's block storage API v3 (https://docs.openstack.org/api-ref/block-storage/v3/) over the
// rows of service volume: volumes, types, snapshots, transfers, and the attachments that servers make. It may import
// the kernel, services' exported types and dialect/{front,wire,openstack/{rest,token}}.
package cinder

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/volume"
)

// Service is how Cinder is found; Alias is the type that newer clients look for.
var (
	Service = rest.Service{Name: "cinder", Prefix: "volume", Type: "volumev3", Path: "/v3/{project}"}
	Alias   = rest.Service{Name: "cinder", Prefix: "volume", Type: "block-storage", Path: "/v3/{project}"}
)

// micros: up to where transfers have filters; later ones are about clusters and quotas of volumes that do not count.
var micros = rest.Micros{Type: "volume", Major: 3, From: 0, To: 59}

// codes: where Cinder differs.
var codes = rest.Codes{fail.Quota: http.StatusRequestEntityTooLarge}

// Options are what the API stands on.
type Options struct {
	wire.Options
	Volumes *volume.Service
	Zone    string
	Host    string
}

// API serves the routes.
type API struct {
	*wire.API
	o Options
}

type route struct {
	method, path string
	kind         *kind.Def
	verb         string
	do           func(*exchange) error
}

// exchange is a request with the microversion it asks for.
type exchange struct {
	rest.Request
	api *API
}

// New makes the API.
func New(o Options) *API {
	o.Dialect, o.Fail = rest.Dialect, codes.Writer(rest.Wrapped)
	a := &API{API: wire.New(o.Options), o: o}
	a.Add(wire.Route{Method: "GET", Path: "/", Open: true, Do: func(x *rest.Exchange) error { return a.versions(x, http.StatusMultipleChoices) }})
	a.Add(wire.Route{Method: "GET", Path: "/v3", Open: true, Do: func(x *rest.Exchange) error { return a.versions(x, http.StatusOK) }})
	for _, rs := range [][]route{a.volumeRoutes(), a.actionRoutes(), a.snapshotRoutes(), a.typeRoutes(), a.typeDetailRoutes(), a.transferRoutes(), a.limitRoutes(), a.placeRoutes()} {
		for _, r := range rs {
			a.Add(wire.Route{Method: r.method, Path: "/v3/{project_id}" + r.path, Kind: r.kind, Verb: r.verb, Do: func(x *rest.Exchange) error {
				minor, err := micros.Asked(x)
				if err != nil {
					return err
				}
				x.Call.Project = x.Param("project_id")
				return rest.Guard(x, r.kind, r.verb, r.path, r.do(&exchange{Request: rest.Request{Exchange: x, Minor: minor}, api: a}))
			}})
		}
	}
	return a
}

// metadataRoutes are those of the words that clients keep with what is at a path.
func metadataRoutes(at string, m rest.Metadata) (out []route) {
	m.Dropped = http.StatusOK
	for _, r := range m.Routes() {
		out = append(out, route{r.Method, at + r.Path, m.D, r.Verb, func(x *exchange) error { return r.Do(x.Exchange) }})
	}
	return out
}

// Behind is the API behind the listener.
func (a *API) Behind() front.Service { return Service.Behind(a.API, wire.MaxBody) }

func (a *API) versions(x *rest.Exchange, status int) error {
	wire.Write(x.W, status, map[string]any{"versions": []any{micros.Version("v3.0", a.Base(x.R)+"/v3/")}})
	return nil
}

// links point at something of the project's.
func (x *exchange) links(path string) []token.Link {
	base, p := x.API.Base(x.R), x.Param("project_id")
	return []token.Link{{Rel: "self", Href: base + "/v3/" + p + path}, {Rel: "bookmark", Href: base + "/" + p + path}}
}

// dashed prints an id that a field holds; nil for none.
func dashed(s string) any {
	if i, ok := id.Parse(s); ok {
		return i.Dashed()
	}
	return rest.Null(s)
}
