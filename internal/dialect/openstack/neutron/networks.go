package neutron

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/network"
)

func (a *API) networkRoutes() []wire.Route {
	k := a.n.Subnet.D
	return []wire.Route{
		{Method: "POST", Path: "/v2.0/networks", Kind: k, Verb: call.Create, Do: a.createNetwork},
		{Method: "GET", Path: "/v2.0/networks", Kind: k, Verb: call.List, Do: a.listNetworks},
		{Method: "GET", Path: "/v2.0/networks/{network_id}", Kind: k, Verb: call.Get, Do: a.showNetwork},
		{Method: "PUT", Path: "/v2.0/networks/{network_id}", Kind: k, Verb: call.Update, Do: a.updateNetwork},
		{Method: "DELETE", Path: "/v2.0/networks/{network_id}", Kind: k, Verb: call.Delete, Do: a.deleteNetwork},
		{Method: "GET", Path: "/v2.0/network-ip-availabilities", Kind: k, Verb: call.List, Do: a.listAvailability},
		{Method: "GET", Path: "/v2.0/network-ip-availabilities/{network_id}", Kind: k, Verb: call.Get, Do: a.showAvailability},
	}
}

// external are the pools of public addresses as networks.
func (a *API) external() []map[string]any {
	var out []map[string]any
	for _, p := range a.n.Public {
		out = append(out, map[string]any{"id": poolID(p.Name), "name": p.Name, "description": "public addresses", "status": "ACTIVE", "admin_state_up": true, "shared": true, "router:external": true,
			"subnets": []string{fixed("pool subnet", p.Name)}, "mtu": 1500, "port_security_enabled": true, "availability_zone_hints": []string{}, "availability_zones": []string{a.n.Zone},
			"tenant_id": "", "project_id": "", "tags": []string{}, "dns_domain": "", "is_default": p.Name == a.n.Public[0].Name, "revision_number": 1, "ipv4_address_scope": nil, "ipv6_address_scope": nil})
	}
	return out
}

func poolID(name string) string { return fixed("pool", name) }

// poolOf is the pool behind an external network; nil when the id is not one's.
func (a *API) poolOf(network string) *network.Pool {
	for i, p := range a.n.Public {
		if same(poolID(p.Name), network) || same(fixed("pool subnet", p.Name), network) {
			return &a.n.Public[i]
		}
	}
	return nil
}

func (a *API) networkView(r *netRow) map[string]any {
	subs := []string{}
	for _, s := range []string{r.Status.IPv4, r.Status.IPv6} {
		if s != "" {
			subs = append(subs, rest.ID(s))
		}
	}
	mtu := r.Spec.MTU
	if mtu == 0 {
		mtu = 1500
	}
	return stamped(&r.Meta, map[string]any{"description": r.Spec.Description, "status": "ACTIVE", "admin_state_up": !r.Spec.Down, "shared": false, "router:external": false, "subnets": subs, "mtu": mtu,
		"port_security_enabled": r.Spec.PortSecurity, "availability_zone_hints": []string{}, "availability_zones": []string{r.Spec.Zone}, "dns_domain": r.Spec.Domain, "is_default": false,
		"ipv4_address_scope": nil, "ipv6_address_scope": nil})
}

type networkBody struct {
	Name        maybe[string]   `json:"name"`
	Description maybe[string]   `json:"description"`
	Up          *bool           `json:"admin_state_up"`
	MTU         maybe[rest.Int] `json:"mtu"`
	Security    *bool           `json:"port_security_enabled"`
	Domain      maybe[string]   `json:"dns_domain"`
	Project     string          `json:"project_id"`
	Tenant      string          `json:"tenant_id"`
	Zones       []string        `json:"availability_zone_hints"`
}

// strange are attributes of networks that nothing here would act on.
var strange = []string{"shared", "router:external", "segments", "qos_policy_id", "vlan_transparent", "provider:network_type", "provider:physical_network", "provider:segmentation_id", "is_default"}

func (b *networkBody) spec() wire.Spec {
	s := wire.Spec{}
	set(s, "description", b.Description)
	wire.Not(s, "down", b.Up)
	set(s, "mtu", b.MTU)
	wire.Set(s, "port_security", b.Security)
	set(s, "domain", b.Domain)
	return s
}

func (a *API) createNetwork(x *wire.Exchange) error {
	var b networkBody
	plain, err := body(x, "network", &b)
	if err != nil {
		return err
	}
	if err := unsupported(plain, strange...); err != nil {
		return err
	}
	inProject(x, b.Project, b.Tenant)
	s := b.spec()
	s["vpc"] = network.Unrouted
	r, err := create(x, a.n.Subnet.D, b.Name.V, s)
	if err != nil {
		return err
	}
	return one(x, http.StatusCreated, "network", a.networkView(r.(*netRow)))
}

func (a *API) listNetworks(x *wire.Exchange) error {
	rows, err := all(x, a.n.Subnet, "", "")
	if err != nil {
		return err
	}
	items := a.external()
	for _, r := range rows {
		items = append(items, a.networkView(r))
	}
	return list(x, "networks", items)
}

func (a *API) showNetwork(x *wire.Exchange) error {
	if a.poolOf(x.Param("network_id")) != nil {
		for _, v := range a.external() {
			if same(v["id"], x.Param("network_id")) {
				return one(x, http.StatusOK, "network", v)
			}
		}
	}
	r, err := wire.Get(x, a.n.Subnet, x.Param("network_id"))
	if err != nil {
		return err
	}
	return one(x, http.StatusOK, "network", a.networkView(r))
}

func (a *API) updateNetwork(x *wire.Exchange) error {
	var b networkBody
	plain, err := body(x, "network", &b)
	if err != nil {
		return err
	}
	if err := unsupported(plain, strange...); err != nil {
		return err
	}
	r, err := a.changed(x, a.n.Subnet.D, x.Param("network_id"), b.Name, b.spec())
	if err != nil {
		return err
	}
	return one(x, http.StatusOK, "network", a.networkView(r.(*netRow)))
}

// deleteNetwork refuses one that a router joins, as Neutron does.
func (a *API) deleteNetwork(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.Subnet, x.Param("network_id"))
	if err == nil && r.Spec.VPC != "" {
		if _, err := x.Do(a.n.Subnet.D, call.Delete, string(r.ID), func(c *call.Call) { c.DryRun = true }); err != nil {
			return err
		}
		return fail.New(fail.Conflict, "router %s joins the network", rest.ID(r.Spec.VPC)).Then("remove the router's interface first")
	}
	return destroy(x, a.n.Subnet.D, x.Param("network_id"))
}

func (a *API) subnetRoutes() []wire.Route {
	k := a.n.Subnet.D
	return []wire.Route{
		{Method: "POST", Path: "/v2.0/subnets", Kind: k, Verb: call.Update, Do: a.createSubnet},
		{Method: "GET", Path: "/v2.0/subnets", Kind: k, Verb: call.List, Do: a.listSubnets},
		{Method: "GET", Path: "/v2.0/subnets/{neutron_subnet_id}", Kind: k, Verb: call.List, Do: a.showSubnet},
		{Method: "PUT", Path: "/v2.0/subnets/{neutron_subnet_id}", Kind: k, Verb: call.Update, Do: a.updateSubnet},
		{Method: "DELETE", Path: "/v2.0/subnets/{neutron_subnet_id}", Kind: k, Verb: call.Update, Do: a.deleteSubnet},
	}
}

type addressRange struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// subnetViews are the subnets of a network, one of each family that it has.
func subnetViews(r *netRow) []map[string]any {
	var out []map[string]any
	sp, st := &r.Spec, &r.Status
	for _, f := range []struct {
		id, cidr, gateway, name, description string
		version                              int
	}{{st.IPv4, sp.CIDR, sp.Gateway, sp.Name4, sp.Description4, 4}, {st.IPv6, sp.CIDR6, sp.Gateway6, sp.Name6, sp.Description6, 6}} {
		if f.id == "" {
			continue
		}
		if f.gateway == "none" {
			f.gateway = ""
		}
		dns := []string{}
		for _, d := range sp.DNS {
			if a, err := netip.ParseAddr(d); err == nil && a.Is4() == (f.version == 4) {
				dns = append(dns, d)
			}
		}
		v := stamped(&r.Meta, map[string]any{"description": f.description, "network_id": rest.ID(r.ID), "cidr": f.cidr, "ip_version": f.version, "gateway_ip": null(f.gateway),
			"enable_dhcp": sp.DHCP, "dns_nameservers": dns, "host_routes": []any{}, "allocation_pools": poolsOf(sp, f.cidr, f.gateway), "ipv6_address_mode": nil, "ipv6_ra_mode": nil, "subnetpool_id": nil,
			"service_types": []string{}, "segment_id": nil, "dns_publish_fixed_ip": false})
		v["id"], v["name"] = rest.ID(f.id), f.name
		if f.version == 6 {
			v["ipv6_address_mode"], v["ipv6_ra_mode"] = "slaac", "slaac"
		}
		out = append(out, v)
	}
	return out
}

// poolsOf are the ranges that addresses are given out from.
func poolsOf(sp *network.SubnetSpec, cidr, gateway string) []addressRange {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return []addressRange{}
	}
	out := []addressRange{}
	for _, r := range sp.Pools {
		if a, err := netip.ParseAddr(r.First); err == nil && p.Contains(a) {
			out = append(out, addressRange{r.First, r.Last})
		}
	}
	if len(out) > 0 {
		return out
	}
	first, last := p.Masked().Addr().Next(), network.LastOf(p)
	if p.Addr().Is4() {
		last = last.Prev()
	}
	g, err := netip.ParseAddr(gateway)
	switch {
	case err != nil || g.Less(first) || last.Less(g):
		return []addressRange{{first.String(), last.String()}}
	case g == first:
		return []addressRange{{first.Next().String(), last.String()}}
	case g == last:
		return []addressRange{{first.String(), last.Prev().String()}}
	}
	return []addressRange{{first.String(), g.Prev().String()}, {g.Next().String(), last.String()}}
}

// outside are the subnets of external networks.
func (a *API) outside() []map[string]any {
	var out []map[string]any
	for _, p := range a.n.Public {
		out = append(out, map[string]any{"id": fixed("pool subnet", p.Name), "name": p.Name, "description": "", "network_id": poolID(p.Name), "cidr": p.Prefix.String(), "ip_version": 4, "gateway_ip": nil,
			"enable_dhcp": false, "dns_nameservers": []string{}, "host_routes": []any{}, "allocation_pools": poolsOf(&network.SubnetSpec{}, p.Prefix.String(), ""), "tenant_id": "", "project_id": "",
			"tags": []string{}, "ipv6_address_mode": nil, "ipv6_ra_mode": nil, "subnetpool_id": nil, "revision_number": 1})
	}
	return out
}

type subnetBody struct {
	Name        maybe[string]         `json:"name"`
	Description maybe[string]         `json:"description"`
	Network     string                `json:"network_id"`
	Version     rest.Int              `json:"ip_version"`
	CIDR        string                `json:"cidr"`
	Gateway     maybe[string]         `json:"gateway_ip"`
	Pools       maybe[[]addressRange] `json:"allocation_pools"`
	DNS         maybe[[]string]       `json:"dns_nameservers"`
	DHCP        *bool                 `json:"enable_dhcp"`
	Mode        maybe[string]         `json:"ipv6_address_mode"`
	RA          maybe[string]         `json:"ipv6_ra_mode"`
	Project     string                `json:"project_id"`
	Tenant      string                `json:"tenant_id"`
}

// spec is what a body says of one family of a network; the other's part of the lists that they share stays.
func (b *subnetBody) spec(six bool, now *network.SubnetSpec) (wire.Spec, error) {
	s := wire.Spec{}
	name := func(n string) string {
		if six {
			return map[string]string{"cidr": "cidr6", "gateway": "gateway6", "name": "ipv6_name", "description": "ipv6_description"}[n]
		}
		return map[string]string{"cidr": "cidr", "gateway": "gateway", "name": "ipv4_name", "description": "ipv4_description"}[n]
	}
	set(s, name("name"), b.Name)
	set(s, name("description"), b.Description)
	if b.Gateway.Given {
		s[name("gateway")] = b.Gateway.V
		if b.Gateway.Null || b.Gateway.V == "" {
			s[name("gateway")] = "none"
		}
	}
	wire.Set(s, "dhcp", b.DHCP)
	other := func(text string) bool {
		a, err := netip.ParseAddr(text)
		return err == nil && a.Is6() != six
	}
	if b.Pools.Given {
		pools := []network.Range{}
		for _, p := range now.Pools {
			if other(p.First) {
				pools = append(pools, p)
			}
		}
		for _, p := range b.Pools.V {
			pools = append(pools, network.Range{First: p.Start, Last: p.End})
		}
		s["pools"] = pools
	}
	if b.DNS.Given {
		dns := []string{}
		for _, d := range now.DNS {
			if other(d) {
				dns = append(dns, d)
			}
		}
		s["dns"] = append(dns, b.DNS.V...)
	}
	for field, m := range map[string]maybe[string]{"ipv6_address_mode": b.Mode, "ipv6_ra_mode": b.RA} {
		if m.V != "" && m.V != "slaac" {
			return nil, fail.Field(field, "%q is not offered", m.V).Then("use slaac: guests make their addresses from the router's announcements")
		}
	}
	return s, nil
}

// createSubnet gives a network its range of a family.
func (a *API) createSubnet(x *wire.Exchange) error {
	var b subnetBody
	plain, err := body(x, "subnet", &b)
	if err != nil {
		return err
	}
	if err := unsupported(plain, "host_routes", "subnetpool_id", "prefixlen", "use_default_subnetpool", "segment_id", "service_types"); err != nil {
		return err
	}
	inProject(x, b.Project, b.Tenant)
	six := b.Version == 6
	spec, err := b.spec(six, &network.SubnetSpec{})
	if err != nil {
		return err
	}
	if p, err := netip.ParsePrefix(b.CIDR); err == nil {
		b.CIDR = p.Masked().String()
	}
	spec["cidr"] = b.CIDR
	if six {
		delete(spec, "cidr")
		spec["cidr6"] = b.CIDR
	}
	for try := 0; ; try++ {
		now, err := wire.Get(x, a.n.Subnet, b.Network)
		if fail.Is(err, fail.NotFound) { // who may not change networks is told so first
			_, err = x.Do(a.n.Subnet.D, call.Update, b.Network, nil)
		}
		if err != nil {
			return missing(err, b.Network)
		}
		if taken := map[bool]string{false: now.Spec.CIDR, true: now.Spec.CIDR6}[six]; taken != "" {
			return fail.New(fail.Conflict, "the network has %s already, and one subnet of each family at most", taken).Then("make another network for it")
		}
		if b.CIDR == "" {
			return fail.Field("cidr", "is required").Then("give a range: 192.168.1.0/24 say")
		}
		if spec, err = b.spec(six, &now.Spec); err != nil {
			return err
		}
		spec["cidr"+map[bool]string{true: "6"}[six]] = b.CIDR
		r, err := x.Do(a.n.Subnet.D, call.Update, b.Network, func(c *call.Call) { c.Spec, c.IfRevision = spec.JSON(), now.Revision })
		if err == nil {
			for _, v := range subnetViews(r.(*netRow)) {
				if v["ip_version"] == map[bool]int{false: 4, true: 6}[six] {
					return one(x, http.StatusCreated, "subnet", v)
				}
			}
		}
		if !fail.Is(err, fail.Conflict) || try == 9 {
			return err
		}
	}
}

// missing turns "there is no" of what a body left out into a wrong field.
func missing(err error, network string) error {
	if network == "" && fail.Is(err, fail.NotFound) {
		return fail.Field("network_id", "is required")
	}
	return err
}

func (a *API) listSubnets(x *wire.Exchange) error {
	rows, err := all(x, a.n.Subnet, "", "")
	if err != nil {
		return err
	}
	items := a.outside()
	for _, r := range rows {
		items = append(items, subnetViews(r)...)
	}
	return list(x, "subnets", items)
}

// subnet finds a network by the id of one of its subnets, with the view of that.
func (a *API) subnet(x *wire.Exchange, ref string) (*netRow, map[string]any, error) {
	sid, ok := id.Parse(ref)
	rows, err := all(x, a.n.Subnet, "openstack", string(sid))
	if err != nil {
		return nil, nil, err
	}
	if ok && len(rows) == 1 {
		for _, v := range subnetViews(rows[0]) {
			if same(v["id"], ref) {
				return rows[0], v, nil
			}
		}
	}
	return nil, nil, fail.New(fail.NotFound, "there is no subnet %q", ref).Then("see openstack subnet list")
}

func (a *API) showSubnet(x *wire.Exchange) error {
	for _, v := range a.outside() {
		if same(v["id"], x.Param("neutron_subnet_id")) {
			return one(x, http.StatusOK, "subnet", v)
		}
	}
	_, v, err := a.subnet(x, x.Param("neutron_subnet_id"))
	if err != nil {
		return err
	}
	return one(x, http.StatusOK, "subnet", v)
}

// changeSubnet changes a network's part of one family.
func (a *API) changeSubnet(x *wire.Exchange, f func(r *netRow, six bool) (wire.Spec, error)) (*netRow, error) {
	for try := 0; ; try++ {
		r, v, err := a.subnet(x, x.Param("neutron_subnet_id"))
		if err != nil {
			return nil, err
		}
		s, err := f(r, v["ip_version"] == 6)
		if err != nil {
			return nil, err
		}
		if x.Call.IfRevision != 0 {
			r.Revision, try = x.Call.IfRevision, 9
		}
		now, err := x.Do(a.n.Subnet.D, call.Update, string(r.ID), func(c *call.Call) { c.Spec, c.IfRevision = s.JSON(), r.Revision })
		if err == nil {
			return now.(*netRow), nil
		}
		if !fail.Is(err, fail.Conflict) || try == 9 {
			return nil, err
		}
	}
}

func (a *API) updateSubnet(x *wire.Exchange) error {
	var b subnetBody
	plain, err := body(x, "subnet", &b)
	if err != nil {
		return err
	}
	if err := unsupported(plain, "host_routes", "segment_id", "service_types"); err != nil {
		return err
	}
	r, err := a.changeSubnet(x, func(r *netRow, six bool) (wire.Spec, error) { return b.spec(six, &r.Spec) })
	if err != nil {
		return err
	}
	for _, v := range subnetViews(r) {
		if same(v["id"], x.Param("neutron_subnet_id")) {
			return one(x, http.StatusOK, "subnet", v)
		}
	}
	return fail.New(fail.NotFound, "there is no subnet %q", x.Param("neutron_subnet_id"))
}

// deleteSubnet takes a network's range of one family away. A router's interface or a port's address in it stands in the way.
func (a *API) deleteSubnet(x *wire.Exchange) error {
	_, err := a.changeSubnet(x, func(r *netRow, six bool) (wire.Spec, error) {
		if r.Spec.VPC != "" {
			if _, err := x.Do(a.n.Subnet.D, call.Update, string(r.ID), func(c *call.Call) { c.DryRun = true }); err != nil {
				return nil, err
			}
			return nil, fail.New(fail.Conflict, "router %s has an interface in the subnet", rest.ID(r.Spec.VPC)).Then("remove it first: openstack router remove subnet")
		}
		pools := slices.DeleteFunc(slices.Clone(r.Spec.Pools), func(p network.Range) bool {
			at, err := netip.ParseAddr(p.First)
			return err == nil && at.Is6() == six
		})
		if pools == nil {
			pools = []network.Range{}
		}
		if six {
			return wire.Spec{"cidr6": "", "ipv6": false, "gateway6": "", "ipv6_name": "", "ipv6_description": "", "pools": pools}, nil
		}
		return wire.Spec{"cidr": "", "gateway": "", "ipv4_name": "", "ipv4_description": "", "pools": pools}, nil
	})
	if err != nil {
		return err
	}
	return x.NoContent()
}

// availability counts the addresses of a network.
func (a *API) availability(x *wire.Exchange, r *netRow) (map[string]any, error) {
	ports, err := all(x, a.n.Port, "subnet", string(r.ID))
	if err != nil {
		return nil, err
	}
	used := map[bool]int64{}
	for _, p := range ports {
		for _, at := range p.Status.Addresses {
			used[strings.Contains(at, ":")]++
		}
	}
	var subs []any
	total := int64(0)
	for _, v := range subnetViews(r) {
		six := v["ip_version"] == 6
		n := used[six] + r.Status.Free
		if six {
			n = 1 << 62 // of a /64, as far as numbers go here
		}
		total += n
		subs = append(subs, map[string]any{"subnet_id": v["id"], "subnet_name": v["name"], "cidr": v["cidr"], "ip_version": v["ip_version"], "used_ips": used[six], "total_ips": n})
	}
	return map[string]any{"network_id": rest.ID(r.ID), "network_name": rest.NameOf(&r.Meta), "tenant_id": r.Project, "project_id": r.Project, "used_ips": used[false] + used[true], "total_ips": total,
		"subnet_ip_availability": append([]any{}, subs...)}, nil
}

func (a *API) listAvailability(x *wire.Exchange) error {
	rows, err := all(x, a.n.Subnet, "", "")
	if err != nil {
		return err
	}
	var items []map[string]any
	for _, r := range rows {
		v, err := a.availability(x, r)
		if err != nil {
			return err
		}
		items = append(items, v)
	}
	return list(x, "network_ip_availabilities", items)
}

func (a *API) showAvailability(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.Subnet, x.Param("network_id"))
	if err != nil {
		return err
	}
	v, err := a.availability(x, r)
	if err != nil {
		return err
	}
	return one(x, http.StatusOK, "network_ip_availability", v)
}
