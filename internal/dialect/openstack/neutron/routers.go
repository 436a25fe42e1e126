package neutron

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/network"
)

func (a *API) routerRoutes() []wire.Route {
	k, sub, one := a.n.VPC.D, a.n.Subnet.D, "/v2.0/routers/{router_id}"
	return []wire.Route{
		{Method: "POST", Path: "/v2.0/routers", Kind: k, Verb: call.Create, Do: a.createRouter},
		{Method: "GET", Path: "/v2.0/routers", Kind: k, Verb: call.List, Do: a.listRouters},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showRouter},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.updateRouter},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: remove(k, "router_id")},
		{Method: "PUT", Path: one + "/add_router_interface", Kind: sub, Verb: call.Update, Do: a.addInterface},
		{Method: "PUT", Path: one + "/remove_router_interface", Kind: sub, Verb: call.Update, Do: a.removeInterface},
		{Method: "PUT", Path: one + "/add_extraroutes", Kind: k, Verb: call.Update, Do: a.addRoutes},
		{Method: "PUT", Path: one + "/remove_extraroutes", Kind: k, Verb: call.Update, Do: a.removeRoutes},
	}
}

type wireRoute struct {
	Destination string `json:"destination"`
	NextHop     string `json:"nexthop"`
}

// hop is a next hop in OpenStack's words: an address, or what else it is, by id.
func hop(rt network.Route) string {
	for _, s := range []string{rt.Address, rest.ID(rt.Port), rest.ID(rt.Peering), rest.ID(rt.Gateway)} {
		if s != "" {
			return s
		}
	}
	return ""
}

func (a *API) routerView(r *vpcRow) map[string]any {
	routes := []wireRoute{}
	for _, rt := range r.Spec.Routes {
		routes = append(routes, wireRoute{rt.Destination, hop(rt)})
	}
	var gateway any
	if r.Spec.Internet {
		gateway = map[string]any{"network_id": poolID(a.n.Public[0].Name), "enable_snat": true, "external_fixed_ips": []any{}}
	}
	return stamped(&r.Meta, map[string]any{"description": r.Spec.Description, "status": "ACTIVE", "admin_state_up": !r.Spec.Down, "external_gateway_info": gateway, "routes": routes, "ha": false,
		"distributed": false, "availability_zone_hints": []string{}, "availability_zones": []string{a.n.Zone}, "flavor_id": nil, "service_type_id": nil})
}

type gatewayInfo struct {
	Network string `json:"network_id"`
	SNAT    *bool  `json:"enable_snat"`
	Fixed   []any  `json:"external_fixed_ips"`
}

type routerBody struct {
	Name        maybe[string]      `json:"name"`
	Description maybe[string]      `json:"description"`
	Up          *bool              `json:"admin_state_up"`
	Gateway     maybe[gatewayInfo] `json:"external_gateway_info"`
	Routes      maybe[[]wireRoute] `json:"routes"`
	Project     string             `json:"project_id"`
	Tenant      string             `json:"tenant_id"`
}

func (a *API) routerSpec(b *routerBody) (wire.Spec, error) {
	s := wire.Spec{}
	set(s, "description", b.Description)
	wire.Not(s, "down", b.Up)
	if b.Gateway.Given {
		g := b.Gateway.V
		s["internet"] = g.Network != ""
		switch {
		case g.Network == "":
		case a.poolOf(g.Network) == nil:
			return nil, fail.Field("external_gateway_info.network_id", "%q is no external network", g.Network).Then("see openstack network list --external")
		case g.SNAT != nil && !*g.SNAT:
			return nil, fail.New(fail.Unsupported, "a gateway translates addresses here").Then("leave enable_snat out")
		case len(g.Fixed) > 0 && !onlySubnets(g.Fixed):
			return nil, fail.New(fail.Unsupported, "a gateway has no address of its own here").Then("leave external_fixed_ips out")
		}
	}
	if b.Routes.Given {
		s["routes"] = routesOf(b.Routes.V)
	}
	return s, nil
}

// onlySubnets tells whether no address is asked for.
func onlySubnets(fixed []any) bool {
	for _, f := range fixed {
		if m, ok := f.(map[string]any); !ok || m["ip_address"] != nil {
			return false
		}
	}
	return true
}

func routesOf(list []wireRoute) []network.Route {
	out := []network.Route{}
	for _, r := range list {
		out = append(out, network.Route{Destination: r.Destination, Address: r.NextHop})
	}
	return out
}

func (a *API) createRouter(x *wire.Exchange) error {
	var b routerBody
	plain, err := body(x, "router", &b)
	if err != nil {
		return err
	}
	if err := unsupported(plain, "ha", "distributed", "flavor_id"); err != nil {
		return err
	}
	inProject(x, b.Project, b.Tenant)
	s, err := a.routerSpec(&b)
	if err != nil {
		return err
	}
	r, err := create(x, a.n.VPC.D, b.Name.V, s)
	if err != nil {
		return err
	}
	return one(x, http.StatusCreated, "router", a.routerView(r.(*vpcRow)))
}

func (a *API) listRouters(x *wire.Exchange) error {
	rows, err := all(x, a.n.VPC, "", "")
	if err != nil {
		return err
	}
	var items []map[string]any
	for _, r := range rows {
		items = append(items, a.routerView(r))
	}
	return list(x, "routers", items)
}

func (a *API) showRouter(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.VPC, x.Param("router_id"))
	if err != nil {
		return err
	}
	return one(x, http.StatusOK, "router", a.routerView(r))
}

func (a *API) updateRouter(x *wire.Exchange) error {
	var b routerBody
	plain, err := body(x, "router", &b)
	if err != nil {
		return err
	}
	if err := unsupported(plain, "ha", "distributed", "flavor_id"); err != nil {
		return err
	}
	s, err := a.routerSpec(&b)
	if err != nil {
		return err
	}
	r, err := a.changed(x, a.n.VPC.D, x.Param("router_id"), b.Name, s)
	if err != nil {
		return err
	}
	return one(x, http.StatusOK, "router", a.routerView(r.(*vpcRow)))
}

type interfaceBody struct {
	Subnet string `json:"subnet_id"`
	Port   string `json:"port_id"`
}

// joined answers what an interface is.
func joined(x *wire.Exchange, router string, r *netRow, subnet string) error {
	if subnet == "" {
		subnet = r.Status.IPv4
		if subnet == "" {
			subnet = r.Status.IPv6
		}
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"id": rest.ID(router), "subnet_id": rest.ID(subnet), "subnet_ids": []string{rest.ID(subnet)}, "port_id": rest.ID(r.Status.Interface),
		"network_id": rest.ID(r.ID), "tenant_id": r.Project, "project_id": r.Project, "tags": []string{}})
	return nil
}

// move puts a network into a router's domain, or takes it out.
func (a *API) move(x *wire.Exchange, r *netRow, vpc string) (*netRow, error) {
	now, err := x.Do(a.n.Subnet.D, call.Update, string(r.ID), func(c *call.Call) { c.Spec, c.IfRevision = wire.Spec{"vpc": vpc}.JSON(), r.Revision })
	if err != nil {
		return nil, err
	}
	return now.(*netRow), nil
}

// addInterface joins a network to a router, at the network's gateway address.
func (a *API) addInterface(x *wire.Exchange) error {
	var b interfaceBody
	if err := read(x, "", &b); err != nil {
		return err
	}
	router, err := wire.Get(x, a.n.VPC, x.Param("router_id"))
	if err != nil {
		return err
	}
	if b.Subnet == "" {
		if _, err := x.Do(a.n.Subnet.D, call.Update, "none", nil); !fail.Is(err, fail.NotFound) { // who may not is told so
			return err
		}
		if b.Port != "" {
			return fail.New(fail.Unsupported, "a router's interface has the gateway's address of its subnet here, not a port's").Then("give subnet_id: openstack router add subnet")
		}
		return fail.Field("subnet_id", "is required")
	}
	r, v, err := a.subnet(x, b.Subnet)
	if err != nil {
		return err
	}
	if r.Spec.VPC != "" && (r.Spec.VPC != string(router.ID) || v["ip_version"] == 4) {
		return fail.New(fail.Conflict, "router %s has an interface in the subnet already", rest.ID(r.Spec.VPC)).Then("remove it there first")
	}
	if v["gateway_ip"] == nil {
		return fail.Field("subnet_id", "the subnet has no gateway address that the router could have").Then("openstack subnet set --gateway ADDRESS %s", b.Subnet)
	}
	if r, err = a.move(x, r, string(router.ID)); err != nil {
		return err
	}
	return joined(x, string(router.ID), r, b.Subnet)
}

func (a *API) removeInterface(x *wire.Exchange) error {
	var b interfaceBody
	if err := read(x, "", &b); err != nil {
		return err
	}
	router, err := wire.Get(x, a.n.VPC, x.Param("router_id"))
	if err != nil {
		return err
	}
	var r *netRow
	switch {
	case b.Subnet != "":
		r, _, err = a.subnet(x, b.Subnet)
	case b.Port != "":
		if r, err = a.interfaceOf(x, b.Port); r == nil && err == nil {
			err = fail.New(fail.NotFound, "there is no interface %q", b.Port)
		}
	default:
		if _, err = x.Do(a.n.Subnet.D, call.Update, "none", nil); fail.Is(err, fail.NotFound) {
			err = fail.Field("subnet_id", "is required")
		}
	}
	if err != nil {
		return err
	}
	if r.Spec.VPC != string(router.ID) {
		return fail.New(fail.NotFound, "the router has no interface there")
	}
	if err := a.routesStay(router, r); err != nil {
		return err
	}
	if r, err = a.move(x, r, network.Unrouted); err != nil {
		return err
	}
	return joined(x, string(router.ID), r, b.Subnet)
}

// routesStay refuses to take a network away over which a route leads.
func (a *API) routesStay(router *vpcRow, r *netRow) error {
	for _, rt := range router.Spec.Routes {
		if rt.Address != "" && network.Holds(&r.Spec, rt.Address) {
			return fail.New(fail.Conflict, "the route to %s leads over it", rt.Destination).Then("remove the route first")
		}
	}
	return nil
}

func (a *API) changeRoutes(x *wire.Exchange, f func(now, named []network.Route) []network.Route) error {
	var b struct {
		Routes []wireRoute `json:"routes"`
	}
	if err := read(x, "router", &b); err != nil {
		return err
	}
	for try := 0; ; try++ {
		r, err := wire.Get(x, a.n.VPC, x.Param("router_id"))
		if err != nil {
			return err
		}
		s := wire.Spec{"routes": f(r.Spec.Routes, routesOf(b.Routes))}
		now, err := x.Do(a.n.VPC.D, call.Update, string(r.ID), func(c *call.Call) { c.Spec, c.IfRevision = s.JSON(), r.Revision })
		if err == nil {
			return one(x, http.StatusOK, "router", a.routerView(now.(*vpcRow)))
		}
		if !fail.Is(err, fail.Conflict) || try == 9 {
			return err
		}
	}
}

func (a *API) addRoutes(x *wire.Exchange) error {
	return a.changeRoutes(x, func(now, named []network.Route) []network.Route { return append(drop(now, named), named...) })
}

func (a *API) removeRoutes(x *wire.Exchange) error { return a.changeRoutes(x, drop) }

// drop leaves out the routes that are named.
func drop(now, named []network.Route) []network.Route {
	out := []network.Route{}
	for _, r := range now {
		gone := false
		for _, n := range named {
			gone = gone || n.Destination == r.Destination && n.Address == hop(r)
		}
		if !gone {
			out = append(out, r)
		}
	}
	return out
}
