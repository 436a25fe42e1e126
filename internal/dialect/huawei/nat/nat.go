// Package nat serves Huawei Cloud's API of public NAT gateways (https://support.huaweicloud.com/intl/en-us/api-natgateway/),
// version 2, over service/network. It may import the kernel, service/network and dialect/{huawei/{networks,rest},wire}.
package nat

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/huawei/networks"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/network"
)

type (
	gatewayRow = kind.Row[network.GatewaySpec, network.GatewayStatus]
	snatRow    = kind.Row[network.SNATSpec, network.SNATStatus]
	dnatRow    = kind.Row[network.DNATSpec, network.DNATStatus]
)

type api struct{ n *network.Service }

// Routes are the API's. The tags of gateways are at the address of VPCs too.
func Routes(n *network.Service) []wire.Route {
	a := api{n}
	k, p := n.Gateway.D, "/v2/{project_id}/nat_gateways"
	one := p + "/{nat_gateway_id}"
	out := []wire.Route{
		{Method: "POST", Path: p, Kind: k, Verb: call.Create, Do: a.createGateway},
		{Method: "GET", Path: p, Kind: k, Verb: call.List, Do: a.listGateways},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showGateway},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.updateGateway},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: func(x *wire.Exchange) error { return networks.Delete(x, k, x.Param("nat_gateway_id")) }},
		{Method: "GET", Path: "/v2/{project_id}/nat_gateway_specs", Kind: k, Verb: call.List, Do: a.sizes},
	}
	out = append(out, a.snatRoutes()...)
	out = append(out, a.dnatRoutes()...)
	return append(out, networks.TagRoutes(n.Gateway, "nat_gateways")...)
}

// stamp prints a time as this API does.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000") }

// status is the API's word for a row's state.
func status(m *kind.Meta) string {
	switch m.State {
	case kind.Active:
		return "ACTIVE"
	case kind.Failed:
		return "INACTIVE"
	case kind.Creating:
		return "PENDING_CREATE"
	case kind.Deleting, kind.Trashed:
		return "PENDING_DELETE"
	}
	return "PENDING_UPDATE"
}

// asked tells whether a row is what a list asks for: every query but those of pages names what must be so.
func asked(x *wire.Exchange, m *kind.Meta, is map[string]string) bool {
	is["status"], is["created_at"], is["admin_state_up"], is["tenant_id"] = status(m), stamp(m.Created), "true", string(m.Project)
	for name, v := range is {
		if name == "description" && x.Query(name) == "" {
			continue
		}
		if !networks.Same(x, name, v) {
			return false
		}
	}
	return true
}

func (a api) gatewayView(r *gatewayRow) any {
	return map[string]any{"id": rest.ID(r.ID), "tenant_id": r.Project, "name": rest.NameOf(&r.Meta), "description": r.Spec.Description, "spec": r.Spec.Size, "router_id": rest.ID(r.Spec.VPC),
		"internal_network_id": rest.ID(r.Spec.Subnet), "status": status(&r.Meta), "admin_state_up": true, "created_at": stamp(r.Created), "enterprise_project_id": rest.Enterprise(&r.Meta),
		"billing_info": "", "ngport_ip_address": ""}
}

type gatewayBody struct {
	Name        *string         `json:"name"`
	Description *string         `json:"description"`
	Spec        *string         `json:"spec"`
	VPC         *string         `json:"router_id"`
	Network     *string         `json:"internal_network_id"`
	Enterprise  string          `json:"enterprise_project_id"`
	Own         string          `json:"ngport_ip_address"`
	Session     json.RawMessage `json:"session_conf"`
	Prepaid     json.RawMessage `json:"prepaid_options"`
	Tags        []string        `json:"tags"`
}

// readGateway reads a gateway, and refuses what is not to be had.
func readGateway(x *wire.Exchange) (b gatewayBody, s wire.Spec, err error) {
	if err := networks.Body(x, "nat_gateway", &b); err != nil {
		return b, nil, err
	}
	for _, no := range []struct {
		field, why, next string
		there            bool
	}{
		{"session_conf", "how long connections are remembered is the same for all gateways", "leave it out", said(b.Session)},
		{"prepaid_options", "gateways are not paid for in advance", "leave it out: what is used is charged", said(b.Prepaid)},
		{"tags", "they are not set with the gateway", "set them when it is there: POST …/nat_gateways/{id}/tags/action", len(b.Tags) > 0},
		{"ngport_ip_address", "a gateway has no address in the subnet", "leave it out", b.Own != ""},
	} {
		if no.there {
			return b, nil, fail.Field(no.field, "%s", no.why).Then("%s", no.next)
		}
	}
	s = wire.Spec{}
	wire.Set(s, "description", b.Description)
	wire.Set(s, "size", b.Spec)
	wire.Set(s, "vpc", b.VPC)
	wire.Set(s, "subnet", b.Network)
	return b, s, nil
}

func said(v json.RawMessage) bool {
	v = bytes.TrimSpace(v)
	return len(v) > 0 && string(v) != "null" && string(v) != "{}"
}

func (a api) createGateway(x *wire.Exchange) error {
	b, s, err := readGateway(x)
	if err != nil {
		return rest.Refuse(x, a.n.Gateway.D, call.Create, "*", err)
	}
	name := ""
	if b.Name != nil {
		name = *b.Name
	}
	r, err := networks.Create(x, a.n.Gateway.D, name, b.Enterprise, s)
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusCreated, "nat_gateway", a.gatewayView(r.(*gatewayRow)))
}

func (a api) listGateways(x *wire.Exchange) error {
	return networks.List(x, a.n.Gateway, "nat_gateways", kind.Filter{}, func(r *gatewayRow) bool {
		return asked(x, &r.Meta, map[string]string{"router_id": r.Spec.VPC, "internal_network_id": r.Spec.Subnet, "spec": r.Spec.Size, "description": r.Spec.Description})
	}, func(r *gatewayRow) any { return a.gatewayView(r) })
}

func (a api) showGateway(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.Gateway, x.Param("nat_gateway_id"))
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "nat_gateway", a.gatewayView(r))
}

func (a api) updateGateway(x *wire.Exchange) error {
	b, s, err := readGateway(x)
	if err != nil {
		return rest.Refuse(x, a.n.Gateway.D, call.Update, x.Param("nat_gateway_id"), err)
	}
	r, err := networks.Update(x, a.n.Gateway.D, x.Param("nat_gateway_id"), b.Name, s)
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "nat_gateway", a.gatewayView(r.(*gatewayRow)))
}

// sizes are the names of sizes; all are alike here.
func (a api) sizes(x *wire.Exchange) error {
	if err := rest.May(x, a.n.Gateway.D, call.List, "*"); err != nil {
		return err
	}
	for _, f := range a.n.Gateway.D.Spec {
		if f.Name == "size" {
			return networks.One(x, http.StatusOK, "specs", f.Enum)
		}
	}
	return nil
}

// of refuses a rule that another gateway than the path's has.
func of(x *wire.Exchange, gateway string, what string) error {
	if g := x.Param("nat_gateway_id"); g != "" && strings.ReplaceAll(g, "-", "") != gateway {
		return fail.New(fail.NotFound, "the gateway %s has no such %s", g, what)
	}
	return nil
}
