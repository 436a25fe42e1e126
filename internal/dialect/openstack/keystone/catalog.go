package keystone

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	ep "github.com/awancloud/awan/internal/service/endpoint"
)

func (a *API) catalogRoutes() []route {
	out := []route{
		{Method: "GET", Path: "/v3/regions", Do: regions},
		{Method: "GET", Path: "/v3/regions/{region_id}", Do: region},
		{Method: "GET", Path: "/v3/services", Do: services},
		{Method: "GET", Path: "/v3/services/{service_id}", Do: service},
		{Method: "GET", Path: "/v3/endpoints", Do: endpoints},
		{Method: "GET", Path: "/v3/endpoints/{endpoint_id}", Do: endpoint},
	}
	if a.Endpoints == nil {
		return out
	}
	r, s, e := a.Endpoints.Region.D, a.Endpoints.Service.D, a.Endpoints.Endpoint.D
	return append(out,
		route{Method: "POST", Path: "/v3/regions", Kind: r, Verb: call.Create, Do: createRegion},
		route{Method: "PUT", Path: "/v3/regions/{region_id}", Kind: r, Verb: call.Create, Do: createRegion},
		route{Method: "PATCH", Path: "/v3/regions/{region_id}", Kind: r, Verb: call.Update, Do: updateRegion},
		route{Method: "DELETE", Path: "/v3/regions/{region_id}", Kind: r, Verb: call.Delete, Do: deleteRegion},
		route{Method: "POST", Path: "/v3/services", Kind: s, Verb: call.Create, Do: createService},
		route{Method: "PATCH", Path: "/v3/services/{service_id}", Kind: s, Verb: call.Update, Do: updateService},
		route{Method: "DELETE", Path: "/v3/services/{service_id}", Kind: s, Verb: call.Delete, Do: deleteService},
		route{Method: "POST", Path: "/v3/endpoints", Kind: e, Verb: call.Create, Do: createEndpoint},
		route{Method: "PATCH", Path: "/v3/endpoints/{endpoint_id}", Kind: e, Verb: call.Update, Do: updateEndpoint},
		route{Method: "DELETE", Path: "/v3/endpoints/{endpoint_id}", Kind: e, Verb: call.Delete, Do: deleteEndpoint})
}

// fixed makes the id of something that is no row, the same at every start.
func fixed(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p + "\x00"))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// listed is a service of the catalog with what only its own page shows.
type listed struct {
	token.Service
	Description string
	Disabled    bool
	Extra       map[string]string
	ends        []listedEndpoint
}

type listedEndpoint struct {
	token.Endpoint
	Name, Description string
	Disabled          bool
}

// interfaces are the ones that every service of this cloud has; all lead to the same address.
var interfaces = [3]string{"public", "internal", "admin"}

// ownService is a service of this cloud itself with the ids that it always has.
type ownService struct {
	token.CatalogEntry
	id   string
	ends [len(interfaces)]string
}

func (a *API) ownServices() []ownService {
	entries := append([]token.CatalogEntry{{Type: "identity", Name: "keystone", URL: func(r *http.Request, _ id.ID) string { return a.Base(r) + "/v3" }}}, a.Services...)
	out := make([]ownService, len(entries))
	for i, e := range entries {
		out[i] = ownService{CatalogEntry: e, id: fixed("service", e.Type)}
		for j, face := range interfaces {
			out[i].ends[j] = fixed("endpoint", e.Type, face)
		}
	}
	return out
}

// own are the services of this cloud itself.
func (x *exchange) own(project id.ID) []listed {
	out := make([]listed, len(x.API.own))
	for i, e := range x.API.own {
		s := listed{Service: token.Service{ID: e.id, Type: e.Type, Name: e.Name}, ends: make([]listedEndpoint, len(interfaces))}
		at := e.URL(x.R, project)
		for j, face := range interfaces {
			s.ends[j].Endpoint = token.Endpoint{ID: e.ends[j], Interface: face, Region: x.API.Region, RegionID: x.API.Region, URL: at}
		}
		out[i] = s
	}
	return out
}

// added are those that operators added. Where services are is no secret to who is logged in, so no policy is asked.
func (x *exchange) added() (out []listed, err error) {
	if x.API.Endpoints == nil {
		return nil, nil
	}
	err = x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error {
		out = nil
		all, err := x.API.Endpoints.Added(tx)
		if err != nil {
			return err
		}
		for _, r := range all.Services {
			s := listed{Service: token.Service{ID: string(r.ID), Type: r.Spec.Type, Name: r.Spec.Title}, Description: r.Spec.Description, Disabled: r.Spec.Disabled, Extra: r.Spec.Extra}
			for _, e := range all.Endpoints {
				if e.Spec.Service == string(r.ID) {
					s.ends = append(s.ends, endpointOf(e))
				}
			}
			out = append(out, s)
		}
		return err
	})
	return out, err
}

func endpointOf(e *ep.Endpoint) listedEndpoint {
	return listedEndpoint{Endpoint: token.Endpoint{ID: string(e.ID), Interface: e.Spec.Interface, Region: e.Spec.Region, RegionID: e.Spec.Region, URL: e.Spec.URL},
		Name: e.Spec.Title, Description: e.Spec.Description, Disabled: e.Spec.Disabled}
}

func (x *exchange) allServices() ([]listed, error) {
	more, err := x.added()
	return append(x.own(x.Who.Project), more...), err
}

// services is the catalog as the client of this request should use it.
func (x *exchange) services(project id.ID) ([]token.Service, error) {
	more, err := x.added()
	if err != nil {
		return nil, err
	}
	fill := func(url string) string {
		if strings.Contains(url, "(") {
			for _, name := range []string{"$(project_id)s", "%(project_id)s", "$(tenant_id)s", "%(tenant_id)s"} {
				url = strings.ReplaceAll(url, name, string(project))
			}
		}
		return url
	}
	var chosen []string
	err = x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) (err error) { chosen, err = x.chosen(tx, project); return err })
	if err != nil {
		return nil, err
	}
	var out []token.Service
	for _, s := range append(x.own(project), more...) {
		if s.Disabled {
			continue
		}
		s.Service.Endpoints = []token.Endpoint{}
		for _, e := range s.ends {
			if !e.Disabled && (len(chosen) == 0 || slices.Contains(chosen, e.ID)) {
				e.URL = fill(e.URL)
				s.Service.Endpoints = append(s.Service.Endpoints, e.Endpoint)
			}
		}
		if len(chosen) == 0 || len(s.Service.Endpoints) > 0 {
			out = append(out, s.Service)
		}
	}
	return out, nil
}

func (x *exchange) ownRegion() map[string]any {
	r := x.API.Region
	return map[string]any{"id": r, "description": "", "parent_region_id": nil, "type": "public",
		"locales": map[string]string{"en-us": r, "zh-cn": r}, "links": x.Self("/v3/regions/" + r)}
}

func (x *exchange) regionView(r *ep.Region) map[string]any {
	v := map[string]any{}
	for k, e := range r.Spec.Extra {
		v[k] = e
	}
	v["id"], v["description"], v["parent_region_id"], v["links"] = r.Name, r.Spec.Description, nil, x.Self("/v3/regions/"+r.Name)
	if r.Spec.Parent != "" {
		v["parent_region_id"] = r.Spec.Parent
	}
	return v
}

func (x *exchange) addedRegions() (out []*ep.Region, err error) {
	if x.API.Endpoints == nil {
		return nil, nil
	}
	err = x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error {
		all, err := x.API.Endpoints.Added(tx)
		if err == nil {
			out = all.Regions
		}
		return err
	})
	return out, err
}

func regions(x *exchange) error {
	var items []any
	q := x.Queries()
	parent, name := q.Get("parent_region_id"), cmp.Or(q.Get("name"), q.Get("id"))
	if parent == "" && (name == "" || name == x.API.Region) {
		items = append(items, x.ownRegion())
	}
	more, err := x.addedRegions()
	if err != nil {
		return err
	}
	for _, r := range more {
		if (parent == "" || parent == r.Spec.Parent) && (name == "" || name == r.Name) {
			items = append(items, x.regionView(r))
		}
	}
	token.WriteList(x.W, "regions", items, token.Links{Self: x.Self("/v3/regions").Self})
	return nil
}

func region(x *exchange) error {
	name := x.Param("region_id")
	if name == x.API.Region {
		return x.One(http.StatusOK, "region", x.ownRegion())
	}
	more, err := x.addedRegions()
	if err != nil {
		return err
	}
	for _, r := range more {
		if r.Name == name {
			return x.One(http.StatusOK, "region", x.regionView(r))
		}
	}
	return fail.New(fail.NotFound, "there is no region %q", name).Then("this cloud's own is %s", x.API.Region)
}

func (x *exchange) serviceView(s listed) map[string]any {
	v := map[string]any{}
	for k, e := range s.Extra {
		v[k] = e
	}
	v["id"], v["type"], v["name"], v["description"], v["enabled"], v["links"] = s.ID, s.Type, s.Name, s.Description, !s.Disabled, x.Self("/v3/services/"+s.ID)
	return v
}

func services(x *exchange) error {
	all, err := x.allServices()
	if err != nil {
		return err
	}
	var items []any
	for _, s := range all {
		if t, n := x.Query("type"), x.Query("name"); (t == "" || t == s.Type) && (n == "" || n == s.Name) {
			items = append(items, x.serviceView(s))
		}
	}
	token.WriteList(x.W, "services", items, token.Links{Self: x.Self("/v3/services").Self})
	return nil
}

func service(x *exchange) error {
	all, err := x.allServices()
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.ID == x.Param("service_id") {
			return x.One(http.StatusOK, "service", x.serviceView(s))
		}
	}
	return fail.New(fail.NotFound, "there is no service %q", x.Param("service_id"))
}

func (x *exchange) endpointView(service string, e listedEndpoint) map[string]any {
	v := map[string]any{"id": e.ID, "interface": e.Interface, "region": nil, "region_id": nil, "service_id": service, "url": e.URL,
		"enabled": !e.Disabled, "links": x.Self("/v3/endpoints/" + e.ID)}
	if e.Region != "" {
		v["region"], v["region_id"] = e.Region, e.RegionID
	}
	if e.Name != "" || e.Description != "" {
		v["name"], v["description"] = e.Name, e.Description
	}
	return v
}

func endpoints(x *exchange) error {
	all, err := x.allServices()
	if err != nil {
		return err
	}
	var items []any
	for _, s := range all {
		for _, e := range s.ends {
			if f, sid, r := x.Query("interface"), x.Query("service_id"), x.Query("region_id"); (f == "" || f == e.Interface) &&
				(sid == "" || sid == s.ID) && (r == "" || r == e.RegionID) {
				items = append(items, x.endpointView(s.ID, e))
			}
		}
	}
	token.WriteList(x.W, "endpoints", items, token.Links{Self: x.Self("/v3/endpoints").Self})
	return nil
}

func endpoint(x *exchange) error {
	all, err := x.allServices()
	if err != nil {
		return err
	}
	for _, s := range all {
		for _, e := range s.ends {
			if e.ID == x.Param("endpoint_id") {
				return x.One(http.StatusOK, "endpoint", x.endpointView(s.ID, e))
			}
		}
	}
	return fail.New(fail.NotFound, "there is no endpoint %q", x.Param("endpoint_id"))
}
