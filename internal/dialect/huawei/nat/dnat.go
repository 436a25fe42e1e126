package nat

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/networks"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (a api) dnatRoutes() []wire.Route {
	k, p := a.n.DNAT.D, "/v2/{project_id}/dnat_rules"
	one := p + "/{dnat_rule_id}"
	return []wire.Route{
		{Method: "POST", Path: p, Kind: k, Verb: call.Create, Do: a.createDNAT},
		{Method: "GET", Path: p, Kind: k, Verb: call.List, Do: a.listDNAT},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showDNAT},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.updateDNAT},
		{Method: "DELETE", Path: "/v2/{project_id}/nat_gateways/{nat_gateway_id}/dnat_rules/{dnat_rule_id}", Kind: k, Verb: call.Delete, Do: a.deleteDNAT},
	}
}

func dnatView(r *dnatRow) any {
	return map[string]any{"id": rest.ID(r.ID), "tenant_id": r.Project, "nat_gateway_id": rest.ID(r.Spec.Gateway), "port_id": rest.ID(r.Spec.Port), "private_ip": r.Spec.Private,
		"protocol": r.Spec.Protocol, "internal_service_port": r.Spec.Internal, "external_service_port": r.Spec.External, "internal_service_port_range": "", "external_service_port_range": "",
		"floating_ip_id": rest.ID(r.Spec.PublicIP), "floating_ip_address": r.Status.Public, "global_eip_id": "", "global_eip_address": "", "description": r.Spec.Description,
		"status": status(&r.Meta), "admin_state_up": true, "created_at": stamp(r.Created)}
}

type dnatBody struct {
	Gateway       string  `json:"nat_gateway_id"`
	Port          *string `json:"port_id"`
	Private       *string `json:"private_ip"`
	Protocol      *string `json:"protocol"`
	Internal      *int    `json:"internal_service_port"`
	External      *int    `json:"external_service_port"`
	InternalRange string  `json:"internal_service_port_range"`
	ExternalRange string  `json:"external_service_port_range"`
	PublicIP      *string `json:"floating_ip_id"`
	Global        string  `json:"global_eip_id"`
	Description   *string `json:"description"`
}

// readDNAT reads a rule; was is what there is of it, nil for a new one.
func readDNAT(x *wire.Exchange, was *dnatRow) (b dnatBody, s wire.Spec, err error) {
	if err := networks.Body(x, "dnat_rule", &b); err != nil {
		return b, nil, err
	}
	if b.Protocol != nil {
		*b.Protocol = strings.ToLower(*b.Protocol)
	}
	switch {
	case b.Global != "":
		return b, nil, fail.Field("global_eip_id", "there are no global public addresses").Then("give floating_ip_id")
	case b.InternalRange != "" || b.ExternalRange != "":
		return b, nil, fail.Field("external_service_port_range", "a rule leads one port").Then("make a rule for each port")
	case b.Protocol != nil && *b.Protocol == "any":
		return b, nil, fail.Field("protocol", "a rule leads one port of tcp or udp").Then("bind the public address to the port itself, to lead everything there")
	}
	s = wire.Spec{}
	wire.Set(s, "protocol", b.Protocol)
	wire.Set(s, "internal_port", b.Internal)
	wire.Set(s, "external_port", b.External)
	wire.Set(s, "public_ip", b.PublicIP)
	wire.Set(s, "description", b.Description)
	port, private := text(b.Port), text(b.Private)
	if port != "" && private != "" && was != nil { // clients send what was there too: what is new counts
		if strings.ReplaceAll(port, "-", "") == was.Spec.Port {
			port = ""
		} else {
			private = ""
		}
	}
	if port != "" || private != "" || was == nil {
		s["port"], s["private"] = port, private
	}
	return b, s, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (a api) createDNAT(x *wire.Exchange) error {
	b, s, err := readDNAT(x, nil)
	if err != nil {
		return rest.Refuse(x, a.n.DNAT.D, call.Create, "*", err)
	}
	s["gateway"] = b.Gateway
	r, err := networks.Create(x, a.n.DNAT.D, "", "", s)
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusCreated, "dnat_rule", dnatView(r.(*dnatRow)))
}

func (a api) listDNAT(x *wire.Exchange) error {
	return networks.List(x, a.n.DNAT, "dnat_rules", kind.Filter{}, func(r *dnatRow) bool {
		return asked(x, &r.Meta, map[string]string{"nat_gateway_id": r.Spec.Gateway, "port_id": r.Spec.Port, "private_ip": r.Spec.Private, "protocol": r.Spec.Protocol,
			"floating_ip_id": r.Spec.PublicIP, "floating_ip_address": r.Status.Public, "description": r.Spec.Description,
			"internal_service_port": strconv.Itoa(r.Spec.Internal), "external_service_port": strconv.Itoa(r.Spec.External)})
	}, func(r *dnatRow) any { return dnatView(r) })
}

func (a api) showDNAT(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.DNAT, x.Param("dnat_rule_id"))
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "dnat_rule", dnatView(r))
}

func (a api) updateDNAT(x *wire.Exchange) error {
	was, err := wire.Get(x, a.n.DNAT, x.Param("dnat_rule_id"))
	var s wire.Spec
	if err == nil {
		_, s, err = readDNAT(x, was)
	}
	if err != nil {
		return rest.Refuse(x, a.n.DNAT.D, call.Update, x.Param("dnat_rule_id"), err)
	}
	r, err := networks.Update(x, a.n.DNAT.D, string(was.ID), nil, s)
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "dnat_rule", dnatView(r.(*dnatRow)))
}

func (a api) deleteDNAT(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.DNAT, x.Param("dnat_rule_id"))
	if err == nil {
		err = of(x, r.Spec.Gateway, "DNAT rule")
	}
	if err != nil {
		return rest.Refuse(x, a.n.DNAT.D, call.Delete, x.Param("dnat_rule_id"), err)
	}
	return networks.Delete(x, a.n.DNAT.D, string(r.ID))
}
