package vpc

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/networks"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/network"
)

func (a *API) portRoutes() []wire.Route {
	k, v1 := a.n.Port.D, "/v1/{project_id}/ports"
	return []wire.Route{
		{Method: "POST", Path: v1, Kind: k, Verb: call.Create, Do: a.createPort},
		{Method: "GET", Path: v1, Kind: k, Verb: call.List, Do: a.listPorts},
		{Method: "GET", Path: v1 + "/{port_id}", Kind: k, Verb: call.Get, Do: a.showPort},
		{Method: "PUT", Path: v1 + "/{port_id}", Kind: k, Verb: call.Update, Do: a.updatePort},
		{Method: "DELETE", Path: v1 + "/{port_id}", Kind: k, Verb: call.Delete, Do: func(x *wire.Exchange) error { return networks.Delete(x, k, x.Param("port_id")) }},
	}
}

func portStatus(r *portRow) string {
	switch {
	case r.Spec.Down:
		return "DOWN"
	case r.Status.Plugged:
		return "ACTIVE"
	}
	return "DOWN"
}

// AddressPair is an allowed address pair on the wire.
type AddressPair struct {
	Address string `json:"ip_address"`
	MAC     string `json:"mac_address,omitempty"`
}

type fixedIP struct {
	Subnet  string `json:"subnet_id,omitempty"`
	Address string `json:"ip_address,omitempty"`
}

func (a *API) portView(r *portRow, subs map[string]*subnetRow) any {
	fixed, pairs := []fixedIP{}, []AddressPair{}
	for _, at := range r.Status.Addresses {
		f := fixedIP{Address: at}
		if sub := subs[r.Spec.Subnet]; sub != nil {
			f.Subnet = rest.ID(sub.Status.IPv4)
			if strings.Contains(at, ":") {
				f.Subnet = rest.ID(sub.Status.IPv6)
			}
		}
		fixed = append(fixed, f)
	}
	for _, p := range r.Spec.AllowedPairs {
		pair := AddressPair{p.Address, p.MAC}
		if pair.MAC == "" {
			pair.MAC = r.Status.MAC
		}
		pairs = append(pairs, pair)
	}
	device := rest.ID(r.Spec.Device)
	return map[string]any{"id": rest.ID(r.ID), "name": rest.NameOf(&r.Meta), "network_id": rest.ID(r.Spec.Subnet), "fixed_ips": fixed, "mac_address": r.Status.MAC,
		"security_groups": rest.IDs(r.Spec.Groups), "allowed_address_pairs": pairs, "device_id": device, "device_owner": r.Spec.DeviceOwner, "instance_id": device, "instance_type": "",
		"status": portStatus(r), "admin_state_up": !r.Spec.Down, "port_security_enabled": r.Spec.PortSecurity == nil || *r.Spec.PortSecurity, "tenant_id": r.Project, "project_id": r.Project,
		"binding:vif_details": map[string]any{"primary_interface": false}, "binding:profile": map[string]any{}, "binding:vnic_type": "normal", "extra_dhcp_opts": []any{},
		"dns_name": r.Spec.Hostname, "dns_assignment": []any{}, "zone_id": a.n.Zone, "created_at": networks.PlainT(r.Created), "updated_at": networks.PlainT(r.Updated)}
}

// subnetsOf reads the subnets that ports are in.
func (a *API) subnetsOf(x *wire.Exchange, ports ...*portRow) map[string]*subnetRow {
	out := map[string]*subnetRow{}
	for _, p := range ports {
		if out[p.Spec.Subnet] == nil {
			if sub, err := wire.Get(x, a.n.Subnet, p.Spec.Subnet); err == nil { // who may not see it learns no ids of it
				out[p.Spec.Subnet] = sub
			}
		}
	}
	return out
}

type portBody struct {
	Name     *string        `json:"name"`
	Network  string         `json:"network_id"`
	Fixed    *[]fixedIP     `json:"fixed_ips"`
	Groups   *[]string      `json:"security_groups"`
	Pairs    *[]AddressPair `json:"allowed_address_pairs"`
	Up       *bool          `json:"admin_state_up"`
	Secure   *bool          `json:"port_security_enabled"`
	Owner    *string        `json:"device_owner"`
	Device   *string        `json:"device_id"`
	Hostname *string        `json:"dns_name"`
}

func (b *portBody) spec() wire.Spec {
	s := wire.Spec{}
	wire.Set(s, "groups", b.Groups)
	wire.Not(s, "down", b.Up)
	wire.Set(s, "port_security", b.Secure)
	wire.Set(s, "device_owner", b.Owner)
	wire.Set(s, "hostname", b.Hostname)
	if b.Device != nil {
		s["device"] = *b.Device
		if d, ok := id.Parse(*b.Device); ok {
			s["device"] = string(d)
		}
	}
	if b.Fixed != nil {
		addresses := []string{}
		for _, f := range *b.Fixed {
			if f.Address != "" {
				addresses = append(addresses, f.Address)
			}
		}
		s["addresses"] = addresses
	}
	if b.Pairs != nil {
		pairs := []network.AddressPair{}
		for _, p := range *b.Pairs {
			pairs = append(pairs, network.AddressPair{Address: p.Address, MAC: p.MAC})
		}
		s["allowed_pairs"] = pairs
	}
	return s
}

func (a *API) createPort(x *wire.Exchange) error {
	var b portBody
	if err := networks.Body(x, "port", &b); err != nil {
		return err
	}
	s := b.spec()
	s["subnet"] = b.Network
	name := ""
	if b.Name != nil {
		name = *b.Name
	}
	r, err := x.Do(a.n.Port.D, call.Create, "", func(c *call.Call) {
		c.Name, c.Spec = &name, s.JSON()
	})
	if err != nil {
		return err
	}
	p := r.(*portRow)
	return networks.One(x, http.StatusOK, "port", a.portView(p, a.subnetsOf(x, p)))
}

func (a *API) listPorts(x *wire.Exchange) error {
	f := kind.Filter{}
	for param, index := range map[string]string{"device_id": "device", "network_id": "subnet", "mac_address": "mac"} {
		if v := x.Query(param); v != "" {
			f.Index, f.Value = index, v
			if i, ok := id.Parse(v); ok {
				f.Value = string(i)
			}
		}
	}
	fixed := fixedFilter(x)
	rows, _, err := networks.Rows(x, a.n.Port, f, func(r *portRow) bool {
		for _, q := range []struct{ name, is string }{{"device_id", r.Spec.Device}, {"network_id", r.Spec.Subnet}, {"mac_address", r.Status.MAC}, {"device_owner", r.Spec.DeviceOwner}, {"status", portStatus(r)}} {
			if !networks.Same(x, q.name, q.is) {
				return false
			}
		}
		return fixed(r)
	})
	if err != nil {
		return err
	}
	subs := a.subnetsOf(x, rows...)
	items := []any{}
	for _, r := range rows {
		items = append(items, a.portView(r, subs))
	}
	return networks.One(x, http.StatusOK, "ports", items)
}

// fixedFilter reads fixed_ips=ip_address=10.0.0.1 from the query.
func fixedFilter(x *wire.Exchange) func(*portRow) bool {
	want := ""
	for _, v := range x.Queries()["fixed_ips"] {
		if ip, ok := strings.CutPrefix(v, "ip_address="); ok {
			want = ip
		}
	}
	return func(r *portRow) bool {
		if want == "" {
			return true
		}
		for _, at := range r.Status.Addresses {
			if at == want {
				return true
			}
		}
		return false
	}
}

func (a *API) showPort(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.Port, x.Param("port_id"))
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "port", a.portView(r, a.subnetsOf(x, r)))
}

func (a *API) updatePort(x *wire.Exchange) error {
	var b portBody
	if err := networks.Body(x, "port", &b); err != nil {
		return err
	}
	if b.Network != "" {
		return fail.Field("network_id", "a port stays in its subnet").Then("make another port")
	}
	r, err := networks.Update(x, a.n.Port.D, x.Param("port_id"), b.Name, b.spec())
	if err != nil {
		return err
	}
	p := r.(*portRow)
	return networks.One(x, http.StatusOK, "port", a.portView(p, a.subnetsOf(x, p)))
}
