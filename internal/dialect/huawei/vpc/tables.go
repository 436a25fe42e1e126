package vpc

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/netip"

	"github.com/awancloud/awan/internal/dialect/huawei/networks"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/network"
)

// A VPC has one route table, the default one, whose id is the VPC's. Routes of version 2.0 are the same, each with an id that
// follows from where it leads.
func (a *API) tableRoutes() []wire.Route {
	k, p, r := a.n.VPC.D, "/v1/{project_id}/routetables", "/v2.0/vpc/routes"
	return []wire.Route{
		{Method: "GET", Path: p, Kind: k, Verb: call.List, Do: a.listTables},
		{Method: "GET", Path: p + "/{routetable_id}", Kind: k, Verb: call.Get, Do: a.showTable},
		{Method: "PUT", Path: p + "/{routetable_id}", Kind: k, Verb: call.Update, Do: a.updateTable},
		{Method: "POST", Path: r, Kind: k, Verb: call.Update, Do: a.createRoute},
		{Method: "GET", Path: r, Kind: k, Verb: call.List, Do: a.listRoutes},
		{Method: "GET", Path: r + "/{route_id}", Kind: k, Verb: call.List, Do: a.showRoute},
		{Method: "DELETE", Path: r + "/{route_id}", Kind: k, Verb: call.Update, Do: a.deleteRoute},
	}
}

type wireRoute struct {
	Type        string  `json:"type"`
	Destination string  `json:"destination"`
	NextHop     string  `json:"nexthop"`
	Description *string `json:"description"`
}

// typeOf is the API's word for a next hop.
func typeOf(rt network.Route) string {
	switch {
	case rt.Type != "":
		return rt.Type
	case rt.Peering != "":
		return "peering"
	case rt.Gateway != "":
		return "nat"
	case rt.Port != "":
		return "eni"
	}
	return "vip"
}

// hopOf prints a next hop.
func (a *API) hopOf(x *wire.Exchange, rt network.Route) string {
	switch {
	case rt.Peering != "":
		return rest.ID(rt.Peering)
	case rt.Gateway != "":
		return rest.ID(rt.Gateway)
	case rt.Port != "" && rt.Type == "ecs":
		if p, err := wire.Get(x, a.n.Port, rt.Port); err == nil {
			return rest.ID(p.Spec.Device)
		}
		return rest.ID(rt.Port)
	case rt.Port != "":
		return rest.ID(rt.Port)
	}
	return rt.Address
}

// route reads one.
func (a *API) route(x *wire.Exchange, w wireRoute) (network.Route, error) {
	out := network.Route{Destination: w.Destination, Type: w.Type}
	if w.Description != nil {
		out.Description = *w.Description
	}
	switch w.Type {
	case "peering":
		out.Peering = w.NextHop
	case "nat":
		out.Gateway = w.NextHop
	case "eni":
		out.Port = w.NextHop
	case "vip":
		out.Address = w.NextHop
	case "ecs":
		server, _ := id.Parse(w.NextHop)
		ports, _, err := wire.Rows(x, a.n.Port, "", kind.Filter{Index: "device", Value: string(server), Limit: 1})
		if err != nil {
			return out, err
		}
		if len(ports) == 0 {
			return out, fail.Field("nexthop", "server %s has no port", w.NextHop)
		}
		out.Port = string(ports[0].ID)
	default:
		return out, fail.Field("type", "%q is no type of next hop here", w.Type).Then("use ecs, eni, vip, nat or peering")
	}
	return out, nil
}

func (a *API) tableView(x *wire.Exchange, r *vpcRow, subs []*subnetRow) any {
	routes, in := []any{}, []any{}
	for _, rt := range r.Spec.Routes {
		routes = append(routes, map[string]any{"type": typeOf(rt), "destination": rt.Destination, "nexthop": a.hopOf(x, rt), "description": rt.Description})
	}
	for _, s := range subs {
		if s.Spec.VPC == string(r.ID) {
			in = append(in, map[string]string{"id": rest.ID(s.ID)})
		}
	}
	return map[string]any{"id": rest.ID(r.ID), "name": "rtb-" + rest.NameOf(&r.Meta), "description": "", "default": true, "vpc_id": rest.ID(r.ID), "tenant_id": r.Project, "routes": routes, "subnets": in,
		"created_at": networks.PlainT(r.Created), "updated_at": networks.PlainT(r.Updated)}
}

func (a *API) listTables(x *wire.Exchange) error {
	rows, _, err := networks.Rows(x, a.n.VPC, kind.Filter{}, nil) // clients go on until a page is empty
	if err != nil {
		return err
	}
	subs, _, err := wire.Rows(x, a.n.Subnet, "", kind.Filter{})
	if err != nil {
		return err
	}
	items := []any{}
	for _, r := range rows {
		if !networks.Same(x, "vpc_id", string(r.ID)) || !networks.Same(x, "id", string(r.ID)) {
			continue
		}
		if s := x.Query("subnet_id"); s != "" {
			in := false
			for _, sub := range subs {
				in = in || sub.Spec.VPC == string(r.ID) && networks.Same(x, "subnet_id", string(sub.ID))
			}
			if !in {
				continue
			}
		}
		items = append(items, a.tableView(x, r, subs))
	}
	return networks.One(x, http.StatusOK, "routetables", items)
}

func (a *API) oneTable(x *wire.Exchange, r *vpcRow) error {
	subs, _, err := wire.Rows(x, a.n.Subnet, "", kind.Filter{Index: "vpc", Value: string(r.ID)})
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "routetable", a.tableView(x, r, subs))
}

func (a *API) showTable(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.VPC, x.Param("routetable_id"))
	if err != nil {
		return err
	}
	return a.oneTable(x, r)
}

// updateTable adds, changes and removes routes.
func (a *API) updateTable(x *wire.Exchange) error {
	var b struct {
		Routes map[string][]wireRoute `json:"routes"`
	}
	if err := networks.Body(x, "routetable", &b); err != nil {
		return err
	}
	r, err := a.changeVPC(x, x.Param("routetable_id"), func(sp *network.VPCSpec) (wire.Spec, error) {
		now := sp.Routes
		for _, w := range append(b.Routes["del"], b.Routes["mod"]...) {
			if now = without(now, w.Destination); len(now) == len(sp.Routes) && len(b.Routes["mod"]) == 0 {
				return nil, fail.New(fail.NotFound, "there is no route to %s", w.Destination)
			}
		}
		for _, w := range append(b.Routes["mod"], b.Routes["add"]...) {
			rt, err := a.route(x, w)
			if err != nil {
				return nil, err
			}
			now = append(now, rt)
		}
		if now == nil {
			now = []network.Route{}
		}
		return wire.Spec{"routes": now}, nil
	})
	if err != nil {
		return err
	}
	return a.oneTable(x, r)
}

// without leaves out the route to a destination.
func without(routes []network.Route, to string) []network.Route {
	if p, err := netip.ParsePrefix(to); err == nil {
		to = p.Masked().String()
	}
	out := []network.Route{}
	for _, r := range routes {
		if r.Destination != to {
			out = append(out, r)
		}
	}
	return out
}

// routeID is the id of a route: always the same for one destination of one VPC.
func routeID(vpc id.ID, to string) string {
	h := sha256.Sum256([]byte(string(vpc) + " " + to))
	return rest.ID(hex.EncodeToString(h[:16]))
}

func (a *API) routeView(x *wire.Exchange, r *vpcRow, rt network.Route) any {
	return map[string]any{"id": routeID(r.ID, rt.Destination), "type": typeOf(rt), "destination": rt.Destination, "nexthop": a.hopOf(x, rt), "vpc_id": rest.ID(r.ID), "tenant_id": r.Project}
}

func (a *API) createRoute(x *wire.Exchange) error {
	var b struct {
		wireRoute
		VPC string `json:"vpc_id"`
	}
	if err := networks.Body(x, "route", &b); err != nil {
		return err
	}
	var made network.Route
	r, err := a.changeVPC(x, b.VPC, func(sp *network.VPCSpec) (wire.Spec, error) {
		var err error
		made, err = a.route(x, b.wireRoute)
		return wire.Spec{"routes": append(sp.Routes, made)}, err
	})
	if err != nil {
		return err
	}
	for _, rt := range r.Spec.Routes {
		if rt.Destination == made.Destination {
			made = rt
		}
	}
	return networks.One(x, http.StatusCreated, "route", a.routeView(x, r, made))
}

func (a *API) listRoutes(x *wire.Exchange) error {
	rows, _, err := wire.Rows(x, a.n.VPC, "", kind.Filter{})
	if err != nil {
		return err
	}
	items, after := []any{}, x.Query("marker")
	for _, r := range rows {
		for _, rt := range r.Spec.Routes {
			if after != "" {
				if networks.Same(x, "marker", routeID(r.ID, rt.Destination)) {
					after = ""
				}
				continue
			}
			if networks.Same(x, "vpc_id", string(r.ID)) && networks.Same(x, "type", typeOf(rt)) && networks.Same(x, "destination", rt.Destination) && networks.Same(x, "id", routeID(r.ID, rt.Destination)) {
				items = append(items, a.routeView(x, r, rt))
			}
		}
	}
	return networks.One(x, http.StatusOK, "routes", items)
}

func (a *API) findRoute(x *wire.Exchange) (*vpcRow, network.Route, error) {
	rows, _, err := wire.Rows(x, a.n.VPC, "", kind.Filter{})
	if err != nil {
		return nil, network.Route{}, err
	}
	for _, r := range rows {
		for _, rt := range r.Spec.Routes {
			if routeID(r.ID, rt.Destination) == x.Param("route_id") {
				return r, rt, nil
			}
		}
	}
	return nil, network.Route{}, fail.New(fail.NotFound, "there is no route %q", x.Param("route_id"))
}

func (a *API) showRoute(x *wire.Exchange) error {
	r, rt, err := a.findRoute(x)
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "route", a.routeView(x, r, rt))
}

func (a *API) deleteRoute(x *wire.Exchange) error {
	r, rt, err := a.findRoute(x)
	if err != nil {
		return err
	}
	if _, err := a.changeVPC(x, string(r.ID), func(sp *network.VPCSpec) (wire.Spec, error) {
		return wire.Spec{"routes": without(sp.Routes, rt.Destination)}, nil
	}); err != nil {
		return err
	}
	return x.NoContent()
}
