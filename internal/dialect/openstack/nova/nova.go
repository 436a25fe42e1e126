// Package nova serves OpenStack's compute API v2.1 (https://docs.openstack.org/api-ref/compute/) over the rows of service
// compute and the key pairs: servers with their actions, cards and volumes, flavours, key pairs, groups, and what operators
// look at. It may import the kernel, services' exported types and dialect/{front,wire,openstack/{rest,token}}.
package nova

import (
	"fmt"
	"time"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/image"
)

// Service is how Nova is found.
var Service = rest.Service{Name: "nova", Prefix: "compute", Type: "compute", Path: "/v2.1"}

// micros: from 2.91 on, rebuilding and unshelving say things that this cloud does not have.
var micros = rest.Micros{Type: "compute", Header: "X-OpenStack-Nova-API-Version", Major: 2, From: 1, To: 90}

// codes: a quota that is used up is Keystone's 403.
var codes = rest.Codes{}

// Options are what the API stands on.
type Options struct {
	wire.Options
	Compute *compute.Service
	// KeyPairs is the kind of key pairs.
	KeyPairs *kind.Def
	// Cards tells of a port what a server's view says; nil: nothing beyond the server's row.
	Cards Cards
	// Images are where an image of a server goes; nil: servers make none.
	Images *image.Service
	// Console gives the address at which a person sees a server's screen or serial line; nil: there is none.
	Console func(project, server id.ID, protocol string) string
}

// Cards tells of networks and ports.
type Cards interface {
	// Card tells of a port.
	Card(tx store.Tx, port id.ID) (Card, error)
	// Group gives a security group by its id or name.
	Group(tx store.Tx, project id.ID, nameOrID string) (GroupView, error)
	// Groups gives the project's security groups, by a call of the exchange's own.
	Groups(x *rest.Exchange) ([]GroupView, error)
	// Subnet gives what a client's network is here: the subnet that a card is put in, "" when there is none.
	Subnet(tx store.Tx, project id.ID, network string) (id.ID, error)
	// SetGroups gives a port other groups, by a call of the exchange's own.
	SetGroups(x *rest.Exchange, port id.ID, groups []string) error
}

// Card is what a server shows of a port.
type Card struct {
	Network     string // its network's name
	NetworkID   id.ID
	Fixed       []FixedIP
	Public      []string // public addresses that lead to it
	Groups      []string // ids
	MAC, Status string
}

// FixedIP is an address with the subnet it is of.
type FixedIP struct {
	Subnet  string
	Address string
}

// GroupView is a security group.
type GroupView struct {
	ID          string
	Name        string
	Description string
}

// API serves the routes.
type API struct {
	*wire.API
	o Options
}

// route is one line of the table.
type route struct {
	method, path string
	kind         *kind.Def
	verb         string
	do           func(*exchange) error
}

// exchange is a request with the microversion it asks for.
type exchange struct {
	rest.Request
	api   *API
	cache cache
}

// New makes the API.
func New(o Options) *API {
	o.Dialect, o.Fail = rest.Dialect, codes.Writer(rest.Wrapped)
	a := &API{API: wire.New(o.Options), o: o}
	for _, p := range []string{"/", "/v2.1", "/v2"} {
		a.Add(wire.Route{Method: "GET", Path: p, Open: true, Do: a.versions})
	}
	for _, rs := range [][]route{a.serverRoutes(), a.metadataRoutes(), a.actionRoutes(), a.deviceRoutes(), a.keyRoutes(), a.flavorRoutes(), a.placeRoutes(), a.limitRoutes(),
		a.groupRoutes(), a.historyRoutes()} {
		for _, r := range rs {
			a.Add(wire.Route{Method: r.method, Path: "/v2.1" + r.path, Kind: r.kind, Verb: r.verb, Do: func(x *rest.Exchange) error {
				minor, err := micros.Asked(x)
				if err != nil {
					return err
				}
				return rest.Guard(x, r.kind, r.verb, r.path, r.do(&exchange{Request: rest.Request{Exchange: x, Minor: minor}, api: a}))
			}})
		}
	}
	return a
}

// Behind is the API behind the listener.
func (a *API) Behind() front.Service { return Service.Behind(a.API, wire.MaxBody) }

// versions answers at the root with what there is, and at a version with what that is.
func (a *API) versions(x *rest.Exchange) error {
	v := micros.Version("v2.1", a.Base(x.R)+"/v2.1/")
	if x.R.URL.Path == "/" || x.R.URL.Path == "" {
		token.WriteServiceVersions(x.W, v)
		return nil
	}
	token.WriteVersion(x.W, v)
	return nil
}

// links point at something of the API.
func (x *exchange) links(path string) []token.Link {
	base := x.API.Base(x.R)
	return []token.Link{{Rel: "self", Href: base + "/v2.1" + path}, {Rel: "bookmark", Href: base + path}}
}

func stamp(t time.Time) rest.Time { return rest.Time(t) }

// hostID is a hash of project and host, as Nova's: tenants do not learn the host's name.
func hostID(project id.ID, host string) string {
	if host == "" {
		return ""
	}
	return fmt.Sprintf("%x", sum224(string(project)+host))
}
