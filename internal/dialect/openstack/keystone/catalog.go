package keystone

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

func (a *API) catalogRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/v3/regions", Do: regions},
		{Method: "GET", Path: "/v3/regions/{region_id}", Do: region},
		{Method: "GET", Path: "/v3/services", Do: services},
		{Method: "GET", Path: "/v3/services/{service_id}", Do: service},
		{Method: "GET", Path: "/v3/endpoints", Do: endpoints},
		{Method: "GET", Path: "/v3/endpoints/{endpoint_id}", Do: endpoint},
	}
}

// fixed makes the id of something that is no row, the same at every start.
func fixed(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p + "\x00"))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// services is the catalog as the client of this request should use it.
func (x *Exchange) services(project id.ID) []token.Service {
	entries := append([]CatalogEntry{{Type: "identity", Name: "keystone",
		URL: func(r *http.Request, _ id.ID) string { return x.API.Base(r) + "/v3" }}}, x.API.Services...)
	out := make([]token.Service, len(entries))
	for i, e := range entries {
		s := token.Service{ID: fixed("service", e.Type), Type: e.Type, Name: e.Name}
		for _, face := range []string{"public", "internal", "admin"} {
			s.Endpoints = append(s.Endpoints, token.Endpoint{ID: fixed("endpoint", e.Type, face), Interface: face, Region: x.API.Region,
				RegionID: x.API.Region, URL: e.URL(x.R, project)})
		}
		out[i] = s
	}
	return out
}

func (x *Exchange) regionView() map[string]any {
	r := x.API.Region
	return map[string]any{"id": r, "description": "", "parent_region_id": nil, "type": "public",
		"locales": map[string]string{"en-us": r, "zh-cn": r}, "links": x.Self("/v3/regions/" + r)}
}

func regions(x *Exchange) error {
	var items []any
	q := x.R.URL.Query()
	if name := cmp.Or(q.Get("name"), q.Get("id"), x.API.Region); name == x.API.Region && q.Get("parent_region_id") == "" {
		items = append(items, x.regionView())
	}
	token.WriteList(x.W, "regions", items, token.Links{Self: x.Self("/v3/regions").Self})
	return nil
}

func region(x *Exchange) error {
	if x.Param("region_id") != x.API.Region {
		return fail.New(fail.NotFound, "there is no region %q", x.Param("region_id")).Then("this cloud has one, %s", x.API.Region)
	}
	return x.One(http.StatusOK, "region", x.regionView())
}

func (x *Exchange) serviceView(s token.Service) map[string]any {
	return map[string]any{"id": s.ID, "type": s.Type, "name": s.Name, "description": "", "enabled": true, "links": x.Self("/v3/services/" + s.ID)}
}

func services(x *Exchange) error {
	var items []any
	for _, s := range x.services(x.Who.Project) {
		if t, n := x.Query("type"), x.Query("name"); (t == "" || t == s.Type) && (n == "" || n == s.Name) {
			items = append(items, x.serviceView(s))
		}
	}
	token.WriteList(x.W, "services", items, token.Links{Self: x.Self("/v3/services").Self})
	return nil
}

func service(x *Exchange) error {
	for _, s := range x.services(x.Who.Project) {
		if s.ID == x.Param("service_id") {
			return x.One(http.StatusOK, "service", x.serviceView(s))
		}
	}
	return fail.New(fail.NotFound, "there is no service %q", x.Param("service_id"))
}

func (x *Exchange) endpointView(s token.Service, e token.Endpoint) map[string]any {
	return map[string]any{"id": e.ID, "interface": e.Interface, "region": e.Region, "region_id": e.RegionID, "service_id": s.ID, "url": e.URL,
		"enabled": true, "links": x.Self("/v3/endpoints/" + e.ID)}
}

func endpoints(x *Exchange) error {
	var items []any
	for _, s := range x.services(x.Who.Project) {
		for _, e := range s.Endpoints {
			if f, sid, r := x.Query("interface"), x.Query("service_id"), x.Query("region_id"); (f == "" || f == e.Interface) &&
				(sid == "" || sid == s.ID) && (r == "" || r == e.RegionID) {
				items = append(items, x.endpointView(s, e))
			}
		}
	}
	token.WriteList(x.W, "endpoints", items, token.Links{Self: x.Self("/v3/endpoints").Self})
	return nil
}

func endpoint(x *Exchange) error {
	for _, s := range x.services(x.Who.Project) {
		for _, e := range s.Endpoints {
			if e.ID == x.Param("endpoint_id") {
				return x.One(http.StatusOK, "endpoint", x.endpointView(s, e))
			}
		}
	}
	return fail.New(fail.NotFound, "there is no endpoint %q", x.Param("endpoint_id"))
}
