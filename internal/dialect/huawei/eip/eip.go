// Package eip serves Huawei Cloud's API of public addresses and bandwidths (https://support.huaweicloud.com/intl/en-us/api-eip/)
// over service/network. A public address has a bandwidth of its own, or shares one: only those are rows.
// It may import the kernel, service/network and dialect/{huawei/networks,wire}.
package eip

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/networks"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/network"
)

type (
	publicRow    = kind.Row[network.PublicIPSpec, network.PublicIPStatus]
	bandwidthRow = kind.Row[network.BandwidthSpec, network.BandwidthStatus]
)

type api struct{ n *network.Service }

// Routes are the API's.
func Routes(n *network.Service) []wire.Route {
	a := api{n}
	k, v1, v2, v3 := n.PublicIP.D, "/v1/{project_id}/publicips", "/v2.0/{project_id}/publicips", "/v3/{project_id}/eip/publicips"
	one := "/{publicip_id}"
	remove := func(x *wire.Exchange) error { return networks.Delete(x, k, x.Param("publicip_id")) }
	out := []wire.Route{
		{Method: "POST", Path: v1, Kind: k, Verb: call.Create, Do: a.create},
		{Method: "POST", Path: v2, Kind: k, Verb: call.Create, Do: a.create},
		{Method: "GET", Path: v1, Kind: k, Verb: call.List, Do: a.list},
		{Method: "GET", Path: v1 + one, Kind: k, Verb: call.Get, Do: a.show},
		{Method: "PUT", Path: v1 + one, Kind: k, Verb: call.Update, Do: a.update},
		{Method: "DELETE", Path: v1 + one, Kind: k, Verb: call.Delete, Do: remove},
		{Method: "GET", Path: v3, Kind: k, Verb: call.List, Do: a.list},
		{Method: "GET", Path: v3 + one, Kind: k, Verb: call.Get, Do: a.show},
		{Method: "PUT", Path: v3 + one, Kind: k, Verb: call.Update, Do: a.update},
		{Method: "POST", Path: v3 + one + "/associate-instance", Kind: k, Verb: call.Update, Do: a.associate},
		{Method: "POST", Path: v3 + one + "/disassociate-instance", Kind: k, Verb: call.Update, Do: a.disassociate},
		{Method: "POST", Path: v3 + one + "/attach-share-bandwidth", Kind: k, Verb: call.Update, Do: a.attach},
		{Method: "POST", Path: v3 + one + "/detach-share-bandwidth", Kind: k, Verb: call.Update, Do: a.detach},
		{Method: "GET", Path: "/v3/{project_id}/eip/publicip-pools", Kind: k, Verb: call.List, Do: a.pools},
		{Method: "GET", Path: "/v3/{project_id}/eip/publicip-pools/common-pools", Kind: k, Verb: call.List, Do: a.commonPools},
		{Method: "GET", Path: "/v2/{project_id}/publicip_types", Kind: k, Verb: call.List, Do: a.types},
		{Method: "GET", Path: "/v2/{project_id}/elasticips", Kind: k, Verb: call.List, Do: a.count},
	}
	return append(append(out, a.bandwidthRoutes()...), networks.TagRoutes(n.PublicIP, "publicips")...)
}

// The types of addresses that clients know; all are of the same pools here.
var types = []string{"5_bgp", "5_sbgp", "5_telcom", "5_union", "5_gray"}

// typeOf is what a client called the type of an address.
func (a api) typeOf(r *publicRow) string {
	if r.Spec.Type != "" {
		return r.Spec.Type
	}
	return types[0]
}

func status(r *publicRow) string {
	if r.Spec.Port != "" || r.Status.Used != "" {
		return "ACTIVE"
	}
	return "DOWN"
}

func isV3(x *wire.Exchange) bool { return strings.HasPrefix(x.R.URL.Path, "/v3/") }

// bandwidth is what a public address is limited by, on the wire.
type bandwidth struct {
	id, name, share, charge string
	size                    int
}

func (a api) bandwidthOf(x *wire.Exchange, r *publicRow) bandwidth {
	b := bandwidth{rest.ID(r.Status.BandwidthID), r.Spec.BandwidthName, "PER", r.Spec.ChargeMode, r.Spec.Mbit}
	if b.name == "" {
		b.name = "bandwidth-" + r.Status.Address
	}
	if r.Spec.Bandwidth != "" {
		b.id, b.share = rest.ID(r.Spec.Bandwidth), "WHOLE"
		if s, err := wire.Get(x, a.n.Bandwidth, r.Spec.Bandwidth); err == nil { // who may not see it learns no more of it
			b.name, b.size, b.charge = s.Name, s.Spec.Mbit, s.Spec.ChargeMode
		}
	}
	return b
}

func (a api) view(x *wire.Exchange, r *publicRow) any {
	b := a.bandwidthOf(x, r)
	out := map[string]any{"id": rest.ID(r.ID), "status": status(r), "alias": rest.NameOf(&r.Meta), "public_ip_address": r.Status.Address, "public_ipv6_address": nil, "ip_version": 4,
		"enterprise_project_id": rest.Enterprise(&r.Meta), "description": r.Spec.Description, "public_border_group": "center", "allow_share_bandwidth_types": []string{"share"}}
	tags := []string{}
	for _, t := range rest.Tags(r.Tags) {
		tags = append(tags, t.Key+"="+t.Value) // as Terraform's provider reads them
	}
	if isV3(x) {
		a.viewV3(x, r, b, out)
		out["tags"] = tags
		return out
	}
	out["type"], out["tenant_id"], out["create_time"] = a.typeOf(r), r.Project, networks.Plain(r.Created)
	out["bandwidth_id"], out["bandwidth_name"], out["bandwidth_size"], out["bandwidth_share_type"] = b.id, b.name, b.size, b.share
	out["profile"], out["tags"] = map[string]any{}, tags
	if r.Spec.Port != "" {
		out["port_id"], out["private_ip_address"] = rest.ID(r.Spec.Port), r.Status.Private
	}
	return out
}

func (a api) viewV3(x *wire.Exchange, r *publicRow, b bandwidth, out map[string]any) {
	out["project_id"], out["type"], out["publicip_pool_name"], out["publicip_pool_id"] = r.Project, "EIP", a.typeOf(r), r.Spec.Pool
	out["created_at"], out["updated_at"] = networks.Stamp(r.Created), networks.Stamp(r.Updated)
	out["bandwidth"] = map[string]any{"id": b.id, "name": b.name, "size": b.size, "share_type": b.share, "charge_mode": b.charge, "billing_info": ""}
	out["associate_instance_type"], out["associate_instance_id"], out["vnic"] = nil, nil, nil
	if r.Spec.Port == "" {
		if r.Status.Used != "" {
			out["associate_instance_type"] = "NATGW"
		}
		return
	}
	vnic := map[string]any{"private_ip_address": r.Status.Private, "port_id": rest.ID(r.Spec.Port), "instance_id": "", "instance_type": ""}
	out["associate_instance_type"], out["associate_instance_id"] = "PORT", rest.ID(r.Spec.Port)
	if p, err := wire.Get(x, a.n.Port, r.Spec.Port); err == nil {
		vnic["instance_id"], vnic["device_id"], vnic["device_owner"], vnic["mac"], vnic["vpc_id"] = rest.ID(p.Spec.Device), rest.ID(p.Spec.Device), p.Spec.DeviceOwner, p.Status.MAC, rest.ID(p.Status.VPC)
	}
	out["vnic"] = vnic
}

type bandwidthBody struct {
	ID     string  `json:"id"`
	Name   *string `json:"name"`
	Size   *int    `json:"size"`
	Share  string  `json:"share_type"`
	Charge *string `json:"charge_mode"`
}

func (a api) create(x *wire.Exchange) error {
	var b struct {
		IP struct {
			Type    string  `json:"type"`
			Version int     `json:"ip_version"`
			Alias   string  `json:"alias"`
			Address string  `json:"ip_address"`
			Port    *string `json:"port_id"`
		} `json:"publicip"`
		Bandwidth  bandwidthBody `json:"bandwidth"`
		Enterprise string        `json:"enterprise_project_id"`
		Extra      any           `json:"extendParam"`
	}
	if err := networks.Body(x, "", &b); err != nil {
		return err
	}
	if b.IP.Version == 6 {
		return fail.Field("publicip.ip_version", "public addresses are of IPv4 here")
	}
	s := wire.Spec{"address": b.IP.Address, "type": b.IP.Type}
	wire.Set(s, "port", b.IP.Port)
	if b.Bandwidth.Share == "WHOLE" || b.Bandwidth.ID != "" {
		s["bandwidth"] = b.Bandwidth.ID
	} else {
		wire.Set(s, "mbit", b.Bandwidth.Size)
		wire.Set(s, "bandwidth_name", b.Bandwidth.Name)
		setCharge(s, b.Bandwidth.Charge)
	}
	r, err := networks.Create(x, a.n.PublicIP.D, b.IP.Alias, b.Enterprise, s)
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "publicip", a.view(x, r.(*publicRow)))
}

func setCharge(s wire.Spec, v *string) {
	if v == nil || *v == "" {
		return
	}
	if *v == "95peak_plus" {
		*v = "bandwidth"
	}
	s["charge_mode"] = *v
}

func (a api) list(x *wire.Exchange) error {
	return networks.List(x, a.n.PublicIP, "publicips", kind.Filter{}, func(r *publicRow) bool {
		for _, q := range []struct{ name, is string }{{"port_id", r.Spec.Port}, {"public_ip_address", r.Status.Address}, {"private_ip_address", r.Status.Private}, {"alias", r.Name}, {"status", status(r)},
			{"vnic.port_id", r.Spec.Port}, {"vnic.private_ip_address", r.Status.Private}} {
			if !networks.Same(x, q.name, q.is) {
				return false
			}
		}
		return networks.Same(x, "bandwidth.id", r.Spec.Bandwidth) || networks.Same(x, "bandwidth.id", r.Status.BandwidthID)
	}, func(r *publicRow) any { return a.view(x, r) })
}

func (a api) show(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.PublicIP, x.Param("publicip_id"))
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "publicip", a.view(x, r))
}

func (a api) update(x *wire.Exchange) error {
	var b struct {
		Port        *string `json:"port_id"`
		Version     int     `json:"ip_version"`
		Alias       *string `json:"alias"`
		Description *string `json:"description"`
	}
	if err := networks.Body(x, "publicip", &b); err != nil {
		return err
	}
	if b.Version == 6 {
		return fail.Field("publicip.ip_version", "public addresses are of IPv4 here")
	}
	s := wire.Spec{}
	wire.Set(s, "port", b.Port)
	wire.Set(s, "description", b.Description)
	if !isV3(x) && b.Port == nil && b.Alias == nil && b.Description == nil && b.Version == 0 {
		s["port"] = "" // an empty body takes the address away
	}
	return a.change(x, b.Alias, s)
}

func (a api) change(x *wire.Exchange, name *string, s wire.Spec) error {
	r, err := networks.Update(x, a.n.PublicIP.D, x.Param("publicip_id"), name, s)
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "publicip", a.view(x, r.(*publicRow)))
}

// associate binds an address to a port, or to the first port of a server.
func (a api) associate(x *wire.Exchange) error {
	var b struct {
		Type string `json:"associate_instance_type"`
		ID   string `json:"associate_instance_id"`
	}
	if err := networks.Body(x, "publicip", &b); err != nil {
		return err
	}
	return a.change(x, nil, wire.Spec{"port": b.ID})
}

func (a api) disassociate(x *wire.Exchange) error {
	return a.change(x, nil, wire.Spec{"port": ""})
}

func (a api) attach(x *wire.Exchange) error {
	var b struct {
		ID string `json:"bandwidth_id"`
	}
	if err := networks.Body(x, "publicip", &b); err != nil {
		return err
	}
	return a.change(x, nil, wire.Spec{"bandwidth": b.ID})
}

func (a api) detach(x *wire.Exchange) error {
	var b struct {
		Size   *int    `json:"bandwidth_size"`
		Charge *string `json:"bandwidth_charge_mode"`
	}
	if err := networks.Body(x, "publicip", &b); err != nil {
		return err
	}
	s := wire.Spec{"bandwidth": ""}
	wire.Set(s, "mbit", b.Size)
	setCharge(s, b.Charge)
	return a.change(x, nil, s)
}

// pools, common pools and types are the operator's pools: no secret, but for who may see addresses.
func (a api) pools(x *wire.Exchange) error {
	return a.listed(x, func() []any {
		out := []any{}
		for _, p := range a.n.Public {
			out = append(out, map[string]any{"id": p.Name, "name": p.Name, "type": "bgp", "size": -1, "used": -1, "project_id": nil, "status": "available", "enterprise_project_id": "0", "description": p.Prefix.String()})
		}
		return out
	}, "publicip_pools")
}

func (a api) commonPools(x *wire.Exchange) error {
	return a.listed(x, func() []any {
		out := []any{}
		for _, t := range types {
			out = append(out, map[string]any{"name": t, "status": "available", "type": t, "used": -1, "public_border_group": "center", "allow_share_bandwidth_types": []string{"share"}})
		}
		return out
	}, "common_pools")
}

func (a api) types(x *wire.Exchange) error {
	return a.listed(x, func() []any {
		out := []any{}
		for _, t := range types {
			out = append(out, map[string]any{"id": t, "type": t})
		}
		return out
	}, "publicip_types")
}

// listed answers what every project has alike, to who may list public addresses.
func (a api) listed(x *wire.Exchange, items func() []any, word string) error {
	if _, _, err := wire.Rows(x, a.n.PublicIP, "", kind.Filter{Limit: 1}); err != nil {
		return err
	}
	all := items()
	if isV3(x) {
		return networks.Many(x, word, all)
	}
	return networks.One(x, http.StatusOK, word, all)
}

func (a api) count(x *wire.Exchange) error {
	rows, _, err := wire.Rows(x, a.n.PublicIP, "", kind.Filter{})
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "counts", map[string]int{"count": len(rows)})
}
