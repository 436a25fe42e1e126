package keystone

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	ep "github.com/awancloud/awan/internal/service/endpoint"
)

// comesWith refuses a change of what this cloud itself has in the catalog; only after the question whether the caller may
// change the catalog at all.
func (x *exchange) comesWith(k *kind.Def, verb, what, name string) error {
	c := x.Call
	if _, _, err := x.API.Door.Permit(x.R.Context(), &c, k, verb, "*"); err != nil {
		return err
	}
	return fail.New(fail.Denied, "%s %s comes with the cloud and cannot be changed", what, name).Then("add one of your own beside it")
}

// fields reads a body {singular: {…}} whose further fields are kept as they are, as Keystone keeps them.
func (x *exchange) fields(singular string, known map[string]string) (wire.Spec, map[string]any, error) {
	var raw map[string]any
	if err := x.Body(singular, &raw); err != nil {
		return nil, nil, err
	}
	s, extra := wire.Spec{}, map[string]any{}
	for name, v := range raw {
		to, ok := known[name]
		switch {
		case ok && to == "disabled":
			on, is := v.(bool)
			if !is {
				return nil, nil, fail.Field(singular+"."+name, "is not true or false")
			}
			s[to] = !on
		case ok && to != "":
			if v == nil {
				v = ""
			}
			s[to] = v
		case !ok:
			text, is := v.(string)
			if !is {
				return nil, nil, fail.Field(singular+"."+name, "is not known here").Then("leave it out, or give it as text")
			}
			extra[name] = text
		}
	}
	if len(extra) > 0 {
		s["extra"] = extra // the kind refuses it where there is no such thing
	}
	return s, raw, nil
}

var regionFields = map[string]string{"id": "", "links": "", "description": "description", "parent_region_id": "parent", "enabled": ""}

func createRegion(x *exchange) error {
	s, raw, err := x.fields("region", regionFields)
	if err != nil {
		return err
	}
	if on, sent := raw["enabled"]; sent && on != true {
		return fail.Field("region.enabled", "a region is always enabled").Then("disable its endpoints instead")
	}
	name := x.Param("region_id")
	if name == "" {
		name, _ = raw["id"].(string)
	}
	if name == x.API.Region {
		return x.comesWith(x.API.Endpoints.Region.D, call.Create, "region", name)
	}
	row, err := x.Do(x.API.Endpoints.Region.D, call.Create, "", func(c *call.Call) { c.Name, c.Spec = &name, s.JSON() })
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "region", x.regionView(row.(*ep.Region)))
}

func updateRegion(x *exchange) error {
	s, _, err := x.fields("region", regionFields)
	if err != nil {
		return err
	}
	if n := x.Param("region_id"); n == x.API.Region {
		return x.comesWith(x.API.Endpoints.Region.D, call.Update, "region", n)
	}
	row, err := x.Do(x.API.Endpoints.Region.D, call.Update, x.Param("region_id"), func(c *call.Call) { c.Spec = s.JSON() })
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "region", x.regionView(row.(*ep.Region)))
}

func deleteRegion(x *exchange) error {
	if n := x.Param("region_id"); n == x.API.Region {
		return x.comesWith(x.API.Endpoints.Region.D, call.Delete, "region", n)
	}
	return x.deleted(x.API.Endpoints.Region.D, x.Param("region_id"))
}

func (x *exchange) deleted(k *kind.Def, target string) error {
	if _, err := x.Do(k, call.Delete, target, nil); err != nil {
		return err
	}
	return x.NoContent()
}

// ours tells whether an id is of a service, or an endpoint, that this cloud itself has.
func (x *exchange) ours(target string) bool {
	for _, s := range x.own("") {
		if s.ID == target {
			return true
		}
		for _, e := range s.ends {
			if e.ID == target {
				return true
			}
		}
	}
	return false
}

var serviceFields = map[string]string{"id": "", "links": "", "type": "type", "name": "title", "description": "description", "enabled": "disabled"}

func (x *exchange) serviceRow(status int, verb, target string) error {
	s, _, err := x.fields("service", serviceFields)
	if err != nil {
		return err
	}
	if target != "" && x.ours(target) {
		return x.comesWith(x.API.Endpoints.Service.D, verb, "service", target)
	}
	row, err := x.Do(x.API.Endpoints.Service.D, verb, target, func(c *call.Call) { c.Spec = s.JSON() })
	if err != nil {
		return err
	}
	r := row.(*ep.Service)
	l := listed{Description: r.Spec.Description, Disabled: r.Spec.Disabled, Extra: r.Spec.Extra}
	l.ID, l.Type, l.Name = string(r.ID), r.Spec.Type, r.Spec.Title
	return x.One(status, "service", x.serviceView(l))
}

func createService(x *exchange) error { return x.serviceRow(http.StatusCreated, call.Create, "") }
func updateService(x *exchange) error {
	return x.serviceRow(http.StatusOK, call.Update, x.Param("service_id"))
}

func deleteService(x *exchange) error {
	if n := x.Param("service_id"); x.ours(n) {
		return x.comesWith(x.API.Endpoints.Service.D, call.Delete, "service", n)
	}
	return x.deleted(x.API.Endpoints.Service.D, x.Param("service_id"))
}

var endpointFields = map[string]string{"id": "", "links": "", "service_id": "service", "interface": "interface", "region": "", "region_id": "region", "url": "url",
	"name": "title", "description": "description", "enabled": "disabled"}

func (x *exchange) endpointRow(status int, verb, target string) error {
	s, raw, err := x.fields("endpoint", endpointFields)
	if err != nil {
		return err
	}
	if r, ok := raw["region"].(string); ok && s["region"] == nil {
		s["region"] = r
	}
	if target != "" && x.ours(target) {
		return x.comesWith(x.API.Endpoints.Endpoint.D, verb, "endpoint", target)
	}
	if err := x.regionOf(s["region"], raw["region_id"] == nil); err != nil {
		return err
	}
	row, err := x.Do(x.API.Endpoints.Endpoint.D, verb, target, func(c *call.Call) { c.Spec = s.JSON() })
	if err != nil {
		return err
	}
	r := row.(*ep.Endpoint)
	return x.One(status, "endpoint", x.endpointView(r.Spec.Service, endpointOf(r)))
}

// regionOf refuses an endpoint in a region that there is not. As Keystone does, it makes the region where a client names it
// by the older field "region".
func (x *exchange) regionOf(region any, older bool) error {
	name, _ := region.(string)
	if name == "" || name == x.API.Region {
		return nil
	}
	_, err := x.Do(x.API.Endpoints.Region.D, call.Get, name, nil)
	switch {
	case !fail.Is(err, fail.NotFound):
		return err
	case older:
		_, err = x.Do(x.API.Endpoints.Region.D, call.Create, "", func(c *call.Call) { c.Name = &name })
		return err
	}
	return fail.Field("endpoint.region_id", "there is no region %q", name).Then("make it first: openstack region create %s", name)
}

func createEndpoint(x *exchange) error { return x.endpointRow(http.StatusCreated, call.Create, "") }
func updateEndpoint(x *exchange) error {
	return x.endpointRow(http.StatusOK, call.Update, x.Param("endpoint_id"))
}

func deleteEndpoint(x *exchange) error {
	if n := x.Param("endpoint_id"); x.ours(n) {
		return x.comesWith(x.API.Endpoints.Endpoint.D, call.Delete, "endpoint", n)
	}
	return x.deleted(x.API.Endpoints.Endpoint.D, x.Param("endpoint_id"))
}
