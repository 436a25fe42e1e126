package neutron

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/network"
)

func (a *API) portRoutes() []wire.Route {
	k := a.n.Port.D
	return []wire.Route{
		{Method: "POST", Path: "/v2.0/ports", Kind: k, Verb: call.Create, Do: a.createPort},
		{Method: "GET", Path: "/v2.0/ports", Kind: k, Verb: call.List, Do: a.listPorts},
		{Method: "GET", Path: "/v2.0/ports/{port_id}", Kind: k, Verb: call.Get, Do: a.showPort},
		{Method: "PUT", Path: "/v2.0/ports/{port_id}", Kind: k, Verb: call.Update, Do: a.updatePort},
		{Method: "DELETE", Path: "/v2.0/ports/{port_id}", Kind: k, Verb: call.Delete, Do: remove(k, "port_id")},
	}
}

type fixedIP struct {
	Subnet  string `json:"subnet_id,omitempty"`
	Address string `json:"ip_address,omitempty"`
}

type addressPair struct {
	Address string `json:"ip_address"`
	MAC     string `json:"mac_address,omitempty"`
}

func fixedOf(r *netRow, addresses []string) []fixedIP {
	out := []fixedIP{}
	for _, at := range addresses {
		f := fixedIP{Address: at}
		if r != nil {
			f.Subnet = rest.ID(r.Status.IPv4)
			if strings.Contains(at, ":") {
				f.Subnet = rest.ID(r.Status.IPv6)
			}
		}
		out = append(out, f)
	}
	return out
}

func (a *API) portView(p *portRow, in *netRow) map[string]any {
	sp := &p.Spec
	pairs := []addressPair{}
	for _, q := range sp.AllowedPairs {
		if q.MAC == "" {
			q.MAC = p.Status.MAC
		}
		pairs = append(pairs, addressPair{q.Address, q.MAC})
	}
	status := "DOWN"
	if p.Status.Plugged && !sp.Down {
		status = "ACTIVE"
	}
	assigned := []map[string]string{}
	if sp.Hostname != "" {
		domain := network.DefaultDomain
		if in != nil && in.Spec.Domain != "" {
			domain = in.Spec.Domain
		}
		for _, at := range p.Status.Addresses {
			assigned = append(assigned, map[string]string{"hostname": sp.Hostname, "ip_address": at, "fqdn": sp.Hostname + "." + domain + "."})
		}
	}
	return stamped(&p.Meta, map[string]any{"description": sp.Description, "network_id": rest.ID(sp.Subnet), "mac_address": p.Status.MAC, "fixed_ips": fixedOf(in, p.Status.Addresses), "status": status,
		"admin_state_up": !sp.Down, "device_id": rest.ID(sp.Device), "device_owner": sp.DeviceOwner, "security_groups": ids(sp.Groups), "allowed_address_pairs": pairs,
		"port_security_enabled": sp.PortSecurity == nil || *sp.PortSecurity, "dns_name": sp.Hostname, "dns_assignment": assigned, "dns_domain": "", "extra_dhcp_opts": []any{}, "binding:vnic_type": "normal",
		"binding:profile": map[string]any{}, "qos_policy_id": nil, "propagate_uplink_status": true})
}

// interfaceView is a router's end in a network. It is no row: the network's own gateway.
func interfaceView(r *netRow) map[string]any {
	var at []string
	for _, g := range []string{r.Spec.Gateway, r.Spec.Gateway6} {
		if g != "" && g != "none" {
			at = append(at, g)
		}
	}
	v := stamped(&r.Meta, map[string]any{"description": "", "network_id": rest.ID(r.ID), "mac_address": "", "fixed_ips": fixedOf(r, at), "status": "ACTIVE", "admin_state_up": true,
		"device_id": rest.ID(r.Spec.VPC), "device_owner": "network:router_interface", "security_groups": []string{}, "allowed_address_pairs": []any{}, "port_security_enabled": false,
		"dns_name": "", "dns_assignment": []any{}, "extra_dhcp_opts": []any{}, "binding:vnic_type": "normal", "binding:profile": map[string]any{}})
	v["id"], v["name"], v["tags"] = rest.ID(r.Status.Interface), "", []string{}
	return v
}

type portBody struct {
	Name        maybe[string]        `json:"name"`
	Description maybe[string]        `json:"description"`
	Network     string               `json:"network_id"`
	Up          *bool                `json:"admin_state_up"`
	MAC         maybe[string]        `json:"mac_address"`
	Fixed       maybe[[]fixedIP]     `json:"fixed_ips"`
	Groups      maybe[[]string]      `json:"security_groups"`
	Pairs       maybe[[]addressPair] `json:"allowed_address_pairs"`
	Security    *bool                `json:"port_security_enabled"`
	Device      maybe[string]        `json:"device_id"`
	Owner       maybe[string]        `json:"device_owner"`
	Hostname    maybe[string]        `json:"dns_name"`
	Project     string               `json:"project_id"`
	Tenant      string               `json:"tenant_id"`
}

func (a *API) portSpec(x *wire.Exchange, b *portBody) (wire.Spec, error) {
	s := wire.Spec{}
	set(s, "description", b.Description)
	wire.Not(s, "down", b.Up)
	set(s, "mac", b.MAC)
	set(s, "device_owner", b.Owner)
	set(s, "hostname", b.Hostname)
	wire.Set(s, "port_security", b.Security)
	if b.Security != nil && !*b.Security && !b.Groups.Given {
		s["groups"] = []string{}
	}
	if b.Groups.Given {
		s["groups"] = append([]string{}, b.Groups.V...)
	} else if b.Security != nil && *b.Security {
		delete(s, "groups")
	}
	if b.Device.Given {
		s["device"] = b.Device.V
		if d, ok := id.Parse(b.Device.V); ok {
			s["device"] = string(d)
		}
	}
	if b.Pairs.Given {
		pairs := []network.AddressPair{}
		for _, p := range b.Pairs.V {
			pairs = append(pairs, network.AddressPair{Address: p.Address, MAC: p.MAC})
		}
		s["allowed_pairs"] = pairs
	}
	if b.Fixed.Given {
		addresses := []string{}
		for _, f := range b.Fixed.V {
			if f.Address != "" {
				addresses = append(addresses, f.Address)
				continue
			}
			if _, _, err := a.subnet(x, f.Subnet); err != nil {
				return nil, fail.Field("fixed_ips", "there is no subnet %q", f.Subnet)
			}
		}
		s["addresses"], s["no_address"] = addresses, len(b.Fixed.V) == 0
	}
	return s, nil
}

func (a *API) createPort(x *wire.Exchange) error {
	var b portBody
	plain, err := body(x, "port", &b)
	if err != nil {
		return err
	}
	if err := unsupported(plain, "extra_dhcp_opts", "qos_policy_id", "value_specs"); err != nil {
		return err
	}
	inProject(x, b.Project, b.Tenant)
	s, err := a.portSpec(x, &b)
	if err != nil {
		return err
	}
	s["subnet"] = b.Network
	if b.Network == "" {
		s["subnet"] = "(network_id is missing)" // a port is in no network by itself here
	}
	r, err := create(x, a.n.Port.D, b.Name.V, s)
	if err != nil {
		return err
	}
	return a.onePort(x, http.StatusCreated, r.(*portRow))
}

func (a *API) onePort(x *wire.Exchange, status int, p *portRow) error {
	in, err := wire.Get(x, a.n.Subnet, p.Spec.Subnet)
	if err != nil {
		in = nil // who may not see the network does not learn its subnets
	}
	return one(x, status, "port", a.portView(p, in))
}

// networks reads the networks of the project, by id.
func (a *API) networks(x *wire.Exchange) (map[string]*netRow, error) {
	rows, err := all(x, a.n.Subnet, "", "")
	out := map[string]*netRow{}
	for _, r := range rows {
		out[string(r.ID)] = r
	}
	return out, err
}

func (a *API) listPorts(x *wire.Exchange) error {
	index, value := "", ""
	for param, i := range map[string]string{"device_id": "device", "network_id": "subnet"} {
		if v, ok := id.Parse(x.Query(param)); ok && len(x.Queries()[param]) == 1 {
			index, value = i, string(v)
		}
	}
	rows, err := all(x, a.n.Port, index, value)
	if err != nil {
		return err
	}
	nets, err := a.networks(x)
	if fail.Is(err, fail.Denied) {
		nets, err = nil, nil
	}
	if err != nil {
		return err
	}
	var items []map[string]any
	for _, p := range rows {
		items = append(items, a.portView(p, nets[p.Spec.Subnet]))
	}
	for _, r := range nets {
		if r.Spec.VPC != "" {
			items = append(items, interfaceView(r))
		}
	}
	sortBy([]string{"id"}, nil, items)
	return list(x, "ports", items)
}

func (a *API) showPort(x *wire.Exchange) error {
	p, err := wire.Get(x, a.n.Port, x.Param("port_id"))
	if fail.Is(err, fail.NotFound) {
		if r, ierr := a.interfaceOf(x, x.Param("port_id")); ierr == nil && r != nil {
			return one(x, http.StatusOK, "port", interfaceView(r))
		}
	}
	if err != nil {
		return err
	}
	return a.onePort(x, http.StatusOK, p)
}

// interfaceOf finds the network that a router's interface is in; nil when the id is no interface's.
func (a *API) interfaceOf(x *wire.Exchange, ref string) (*netRow, error) {
	i, ok := id.Parse(ref)
	if !ok {
		return nil, nil
	}
	rows, err := all(x, a.n.Subnet, "openstack", string(i))
	if err != nil || len(rows) == 0 || rows[0].Status.Interface != string(i) || rows[0].Spec.VPC == "" {
		return nil, err
	}
	return rows[0], nil
}

func (a *API) updatePort(x *wire.Exchange) error {
	var b portBody
	plain, err := body(x, "port", &b)
	if err != nil {
		return err
	}
	if err := unsupported(plain, "extra_dhcp_opts", "qos_policy_id"); err != nil {
		return err
	}
	s, err := a.portSpec(x, &b)
	if err != nil {
		return err
	}
	r, err := a.changed(x, a.n.Port.D, x.Param("port_id"), b.Name, s)
	if err != nil {
		return err
	}
	return a.onePort(x, http.StatusOK, r.(*portRow))
}
