package neutron

import (
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func (a *API) floatingRoutes() []wire.Route {
	k := a.n.PublicIP.D
	return []wire.Route{
		{Method: "POST", Path: "/v2.0/floatingips", Kind: k, Verb: call.Create, Do: a.createFloating},
		{Method: "GET", Path: "/v2.0/floatingips", Kind: k, Verb: call.List, Do: a.listFloating},
		{Method: "GET", Path: "/v2.0/floatingips/{publicip_id}", Kind: k, Verb: call.Get, Do: a.showFloating},
		{Method: "PUT", Path: "/v2.0/floatingips/{publicip_id}", Kind: k, Verb: call.Update, Do: a.updateFloating},
		{Method: "DELETE", Path: "/v2.0/floatingips/{publicip_id}", Kind: k, Verb: call.Delete, Do: remove(k, "publicip_id")},
	}
}

func (a *API) floatingView(r *publicRow, ports map[string]*portRow) map[string]any {
	v := stamped(&r.Meta, map[string]any{"description": r.Spec.Description, "floating_network_id": poolID(r.Spec.Pool), "floating_ip_address": r.Status.Address, "fixed_ip_address": null(r.Status.Private),
		"port_id": null(rest.ID(r.Spec.Port)), "router_id": nil, "status": "DOWN", "dns_domain": "", "dns_name": "", "port_forwardings": []any{}, "qos_policy_id": nil, "port_details": nil})
	delete(v, "name")
	if p := ports[r.Spec.Port]; p != nil {
		v["router_id"], v["status"] = null(rest.ID(p.Status.VPC)), "ACTIVE"
		v["port_details"] = map[string]any{"name": rest.NameOf(&p.Meta), "network_id": rest.ID(p.Spec.Subnet), "mac_address": p.Status.MAC, "admin_state_up": !p.Spec.Down, "status": "ACTIVE",
			"device_id": rest.ID(p.Spec.Device), "device_owner": p.Spec.DeviceOwner}
	}
	return v
}

// portsOf reads the ports that addresses lead to.
func (a *API) portsOf(x *wire.Exchange, rows ...*publicRow) map[string]*portRow {
	out := map[string]*portRow{}
	for _, r := range rows {
		if r.Spec.Port != "" {
			if p, err := wire.Get(x, a.n.Port, r.Spec.Port); err == nil { // who may not see it learns no more of it
				out[r.Spec.Port] = p
			}
		}
	}
	return out
}

type floatingBody struct {
	Network     string        `json:"floating_network_id"`
	Subnet      string        `json:"subnet_id"`
	Address     string        `json:"floating_ip_address"`
	Port        maybe[string] `json:"port_id"`
	Fixed       maybe[string] `json:"fixed_ip_address"`
	Description maybe[string] `json:"description"`
	Project     string        `json:"project_id"`
	Tenant      string        `json:"tenant_id"`
}

func (b *floatingBody) spec() wire.Spec {
	s := wire.Spec{}
	set(s, "port", b.Port)
	set(s, "private", b.Fixed)
	if b.Port.Given && !b.Fixed.Given {
		s["private"] = ""
	}
	set(s, "description", b.Description)
	return s
}

func (a *API) createFloating(x *wire.Exchange) error {
	var b floatingBody
	plain, err := body(x, "floatingip", &b)
	if err != nil {
		return err
	}
	if err := unsupported(plain, "dns_domain", "dns_name", "qos_policy_id"); err != nil {
		return err
	}
	inProject(x, b.Project, b.Tenant)
	s := b.spec()
	s["address"] = b.Address
	if pool := a.poolOf(b.Network); pool != nil {
		s["pool"] = pool.Name
	} else {
		s["pool"] = "(" + b.Network + " is no external network)"
	}
	r, err := create(x, a.n.PublicIP.D, "", s)
	if e := fail.From(err); e != nil && e.Field == "spec.pool" {
		return fail.Field("floating_network_id", "%q is no external network", b.Network).Then("see openstack network list --external")
	}
	if err != nil {
		return err
	}
	p := r.(*publicRow)
	return one(x, http.StatusCreated, "floatingip", a.floatingView(p, a.portsOf(x, p)))
}

func (a *API) listFloating(x *wire.Exchange) error {
	rows, err := all(x, a.n.PublicIP, "", "")
	if err != nil {
		return err
	}
	ports := a.portsOf(x, rows...)
	var items []map[string]any
	for _, r := range rows {
		items = append(items, a.floatingView(r, ports))
	}
	return list(x, "floatingips", items)
}

func (a *API) showFloating(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.PublicIP, x.Param("publicip_id"))
	if err != nil {
		return err
	}
	return one(x, http.StatusOK, "floatingip", a.floatingView(r, a.portsOf(x, r)))
}

func (a *API) updateFloating(x *wire.Exchange) error {
	var b floatingBody
	plain, err := body(x, "floatingip", &b)
	if err != nil {
		return err
	}
	if err := unsupported(plain, "qos_policy_id"); err != nil {
		return err
	}
	r, err := x.Do(a.n.PublicIP.D, call.Update, x.Param("publicip_id"), func(c *call.Call) { c.Spec = b.spec().JSON() })
	if err != nil {
		return err
	}
	p := r.(*publicRow)
	return one(x, http.StatusOK, "floatingip", a.floatingView(p, a.portsOf(x, p)))
}

func (a *API) addressGroupRoutes() []wire.Route {
	k, one := a.n.AddressGroup.D, "/v2.0/address-groups/{address_group_id}"
	return []wire.Route{
		{Method: "POST", Path: "/v2.0/address-groups", Kind: k, Verb: call.Create, Do: a.createAddresses},
		{Method: "GET", Path: "/v2.0/address-groups", Kind: k, Verb: call.List, Do: a.listAddresses},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showAddresses},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.updateAddresses},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: remove(k, "address_group_id")},
		{Method: "PUT", Path: one + "/add_addresses", Kind: k, Verb: call.Update, Do: a.addAddresses},
		{Method: "PUT", Path: one + "/remove_addresses", Kind: k, Verb: call.Update, Do: a.removeAddresses},
	}
}

func addressesView(r *addressesRow) map[string]any {
	set := []string{}
	return stamped(&r.Meta, map[string]any{"description": r.Spec.Description, "addresses": append(set, r.Spec.Addresses...), "shared": false})
}

type addressesBody struct {
	Name        maybe[string] `json:"name"`
	Description maybe[string] `json:"description"`
	Addresses   []string      `json:"addresses"`
	Project     string        `json:"project_id"`
	Tenant      string        `json:"tenant_id"`
}

// createAddresses makes a group of the family of its first address; without one, of IPv4.
func (a *API) createAddresses(x *wire.Exchange) error {
	var b addressesBody
	if _, err := body(x, "address_group", &b); err != nil {
		return err
	}
	inProject(x, b.Project, b.Tenant)
	s := wire.Spec{"addresses": append([]string{}, b.Addresses...), "max": 100}
	set(s, "description", b.Description)
	s["ipv6"] = len(b.Addresses) > 0 && slices.Contains([]byte(b.Addresses[0]), ':')
	r, err := create(x, a.n.AddressGroup.D, b.Name.V, s)
	if err != nil {
		return err
	}
	return one(x, http.StatusCreated, "address_group", addressesView(r.(*addressesRow)))
}

func (a *API) listAddresses(x *wire.Exchange) error {
	rows, err := all(x, a.n.AddressGroup, "", "")
	if err != nil {
		return err
	}
	var items []map[string]any
	for _, r := range rows {
		items = append(items, addressesView(r))
	}
	return list(x, "address_groups", items)
}

func (a *API) showAddresses(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.AddressGroup, x.Param("address_group_id"))
	if err != nil {
		return err
	}
	return one(x, http.StatusOK, "address_group", addressesView(r))
}

func (a *API) updateAddresses(x *wire.Exchange) error {
	var b addressesBody
	if _, err := body(x, "address_group", &b); err != nil {
		return err
	}
	s := wire.Spec{}
	set(s, "description", b.Description)
	r, err := a.changed(x, a.n.AddressGroup.D, x.Param("address_group_id"), b.Name, s)
	if err != nil {
		return err
	}
	return one(x, http.StatusOK, "address_group", addressesView(r.(*addressesRow)))
}

func (a *API) changeAddresses(x *wire.Exchange, f func(now, named []string) []string) error {
	var b struct {
		Addresses []string `json:"addresses"`
	}
	if err := read(x, "", &b); err != nil {
		return err
	}
	for try := 0; ; try++ {
		r, err := wire.Get(x, a.n.AddressGroup, x.Param("address_group_id"))
		if err != nil {
			return err
		}
		s := wire.Spec{"addresses": append([]string{}, f(slices.Clone(r.Spec.Addresses), b.Addresses)...)}
		now, err := x.Do(a.n.AddressGroup.D, call.Update, string(r.ID), func(c *call.Call) { c.Spec, c.IfRevision = s.JSON(), r.Revision })
		if err == nil {
			return one(x, http.StatusOK, "address_group", addressesView(now.(*addressesRow)))
		}
		if !fail.Is(err, fail.Conflict) || try == 9 {
			return err
		}
	}
}

func (a *API) addAddresses(x *wire.Exchange) error {
	return a.changeAddresses(x, func(now, named []string) []string {
		for _, n := range named {
			if !slices.Contains(now, n) {
				now = append(now, n)
			}
		}
		return now
	})
}

func (a *API) removeAddresses(x *wire.Exchange) error {
	return a.changeAddresses(x, func(now, named []string) []string {
		return slices.DeleteFunc(now, func(s string) bool { return slices.Contains(named, s) })
	})
}
