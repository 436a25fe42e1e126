package elb

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (a *API) zone() string { return a.Region + "a" }

type balancerBody struct {
	words
	VPC        *string  `json:"vpc_id"`
	Subnet     *string  `json:"vip_subnet_cidr_id"`
	Address    *string  `json:"vip_address"`
	Subnets    []string `json:"elb_virsubnet_ids"`
	L4         *string  `json:"l4_flavor_id"`
	L7         *string  `json:"l7_flavor_id"`
	Zones      []string `json:"availability_zone_list"`
	PublicIPs  []string `json:"publicip_ids"`
	PublicIP   *newEIP  `json:"publicip"`
	Protection *bool    `json:"deletion_protection_enable"`
	Protected  string   `json:"protection_status"`
	Prepaid    any      `json:"prepaid_options"`
	IPv6       string   `json:"ipv6_vip_virsubnet_id"`
}

type newEIP struct {
	Bandwidth struct {
		Size int `json:"size"`
	} `json:"bandwidth"`
}

func (a *API) balancers() *resource {
	return &resource{d: a.b.Balancer.D, path: "/loadbalancers", param: "loadbalancer_id", singular: "loadbalancer", plural: "loadbalancers",
		write: a.writeBalancer, view: a.balancerView}
}

func (a *API) writeBalancer(_ *exchange, raw json.RawMessage, row kind.AnyRow, c *call.Call) error {
	var b balancerBody
	if err := decode(raw, &b); err != nil {
		return err
	}
	if err := first(refuse("deletion_protection_enable", on(b.Protection)), refuse("protection_status", b.Protected == "consoleProtection"),
		refuse("prepaid_options", b.Prepaid != nil), refuse("ipv6_vip_virsubnet_id", b.IPv6 != ""), a.flavor("l4_flavor_id", b.L4, "L4"), a.flavor("l7_flavor_id", b.L7, "L7")); err != nil {
		return err
	}
	for _, z := range b.Zones {
		if z != a.zone() {
			return fail.Field("availability_zone_list", "there is no availability zone %q", z).Then("this cloud has one, %s", a.zone())
		}
	}
	s := wire.Spec{}
	b.apply(c, s)
	wire.Set(s, "l4_flavor", b.L4)
	wire.Set(s, "l7_flavor", b.L7)
	if row != nil {
		old := row.(*balancerRow)
		if b.Address != nil && *b.Address != old.Status.Address || b.Subnet != nil && rest.ID(*b.Subnet) != rest.ID(old.Status.IPv4Subnet) {
			return fail.Field("vip_address", "cannot change").Then("make another load balancer")
		}
		c.Spec = s.JSON()
		return nil
	}
	wire.Set(s, "address", b.Address)
	wire.Set(s, "vpc", b.VPC)
	switch {
	case b.Subnet != nil && *b.Subnet != "":
		s["subnet"] = *b.Subnet
	case len(b.Subnets) > 0:
		s["subnet"] = b.Subnets[0]
	case b.VPC != nil && *b.VPC != "":
		return fail.Field("vip_subnet_cidr_id", "is required").Then("give the neutron_subnet_id of a subnet of the VPC")
	}
	if len(b.PublicIPs) > 1 {
		return fail.Field("publicip_ids", "a load balancer has one address that a public one leads to").Then("give one")
	}
	if len(b.PublicIPs) == 1 {
		s["public_ip"] = b.PublicIPs[0]
	}
	if b.PublicIP != nil {
		s["public_mbit"] = max(b.PublicIP.Bandwidth.Size, 1)
	}
	c.Spec = s.JSON()
	return nil
}

func (a *API) balancerView(x *exchange, row kind.AnyRow) (map[string]any, error) {
	r := row.(*balancerRow)
	v := common(r)
	listeners, err := under(x, a.b.Listener.D, "balancer", string(r.ID))
	if err != nil {
		return nil, err
	}
	pools, err := under(x, a.b.Pool.D, "balancer", string(r.ID))
	if err != nil {
		return nil, err
	}
	eips, public := []any{}, []any{}
	for _, p := range r.Status.Public {
		version := 4
		if strings.Contains(p.Address, ":") {
			version = 6
		}
		eips = append(eips, map[string]any{"eip_id": rest.ID(p.ID), "eip_address": p.Address, "ip_version": version})
		public = append(public, map[string]any{"publicip_id": rest.ID(p.ID), "publicip_address": p.Address, "ip_version": version})
	}
	for name, value := range map[string]any{"description": r.Spec.Description, "admin_state_up": !r.Spec.Disabled, "provider": "vlb", "operating_status": operating(r),
		"vip_address": r.Status.Address, "vip_subnet_cidr_id": rest.ID(r.Status.IPv4Subnet), "vip_port_id": rest.ID(r.Status.Port), "vpc_id": rest.ID(r.Status.VPC), "listeners": listeners,
		"pools": pools, "eips": eips, "publicips": public, "tags": rest.Tags(r.Tags), "guaranteed": true, "availability_zone_list": []string{a.zone()},
		"l4_flavor_id": chosen(r.Spec.L4Flavor), "l7_flavor_id": chosen(r.Spec.L7Flavor), "ip_target_enable": false, "elb_virsubnet_ids": []string{rest.ID(r.Status.Subnet)},
		"elb_virsubnet_type": "ipv4", "deletion_protection_enable": false, "protection_status": "nonProtection", "loadbalancer_type": "dedicated",
		"ipv6_vip_address": r.Status.Address6, "frozen_scene": nil, "billing_info": "", "public_border_group": "center"} {
		v[name] = value
	}
	return v, nil
}

func operating(r *balancerRow) string {
	switch r.Status.Operating {
	case "online":
		return "ONLINE"
	case "degraded":
		return "DEGRADED"
	}
	return "OFFLINE"
}

// moreRoutes are what is beyond the five of every resource.
func (a *API) moreRoutes() []route {
	one, pool := base+"/loadbalancers/{loadbalancer_id}", base+"/pools/{pool_id}"
	k := a.b.Balancer.D
	return []route{
		{Method: "DELETE", Path: one + "/force-elb", Kind: k, Verb: call.Delete, Do: a.force},
		{Method: "GET", Path: one + "/statuses", Kind: k, Verb: call.Get, Do: a.statuses},
		{Method: "DELETE", Path: base + "/listeners/{listener_id}/force", Kind: a.b.Listener.D, Verb: call.Delete, Do: a.forceListener},
		{Method: "DELETE", Path: pool + "/delete-cascade", Kind: a.b.Pool.D, Verb: call.Delete, Do: a.forcePool},
		{Method: "POST", Path: pool + "/members/batch-add", Kind: a.b.Member.D, Verb: call.Create, Do: a.addMembers},
		{Method: "POST", Path: pool + "/members/batch-update", Kind: a.b.Member.D, Verb: call.Update, Do: a.changeMembers},
		{Method: "POST", Path: pool + "/members/batch-delete", Kind: a.b.Member.D, Verb: call.Delete, Do: a.dropMembers},
		{Method: "GET", Path: base + "/members", Kind: a.b.Member.D, Verb: call.List, Do: a.allMembers},
	}
}

// drop deletes the rows that an index holds under an id.
func drop(x *exchange, k *kind.Def, index, value string) error {
	found, err := rows(x, k, kind.Filter{Index: index, Value: value})
	for _, r := range found {
		if err == nil {
			_, err = do(x, k, call.Delete, string(r.M().ID), nil)
		}
	}
	return err
}

// permit asks whether the caller may delete the row, before anything that hangs on it goes.
func (a *API) permit(x *exchange, k *kind.Def, target string) (kind.AnyRow, error) {
	r, err := get(x, k, target)
	if err != nil {
		return nil, err
	}
	c := x.Call
	_, _, err = a.Door.Permit(x.R.Context(), &c, k, call.Delete, r.M().Name)
	return r, err
}

// dropListener deletes a listener with its policies.
func (a *API) dropListener(x *exchange, l string) error {
	for _, index := range []string{"listener", "to"} {
		found, err := rows(x, a.b.Policy.D, kind.Filter{Index: index, Value: l})
		if err != nil {
			return err
		}
		for _, p := range found {
			if err := drop(x, a.b.Rule.D, "policy", string(p.M().ID)); err != nil {
				return err
			}
			if _, err := do(x, a.b.Policy.D, call.Delete, string(p.M().ID), nil); err != nil {
				return err
			}
		}
	}
	_, err := do(x, a.b.Listener.D, call.Delete, l, nil)
	return err
}

// dropPool deletes a pool with its members and its monitor.
func (a *API) dropPool(x *exchange, p string) error {
	if err := first(drop(x, a.b.Member.D, "pool", p), drop(x, a.b.Monitor.D, "pool", p)); err != nil {
		return err
	}
	_, err := do(x, a.b.Pool.D, call.Delete, p, nil)
	return err
}

func (a *API) forceListener(x *exchange) error {
	r, err := a.permit(x, a.b.Listener.D, x.Param("listener_id"))
	if err != nil {
		return err
	}
	if err := a.dropListener(x, string(r.M().ID)); err != nil {
		return err
	}
	return x.NoContent()
}

func (a *API) forcePool(x *exchange) error {
	r, err := a.permit(x, a.b.Pool.D, x.Param("pool_id"))
	if err != nil {
		return err
	}
	if err := a.dropPool(x, string(r.M().ID)); err != nil {
		return err
	}
	return x.NoContent()
}

// force deletes a load balancer with everything that is of it.
func (a *API) force(x *exchange) error {
	r, err := a.permit(x, a.b.Balancer.D, x.Param("loadbalancer_id"))
	if err != nil {
		return err
	}
	b := string(r.M().ID)
	for _, part := range []struct {
		k    *kind.Def
		drop func(*exchange, string) error
	}{{a.b.Listener.D, a.dropListener}, {a.b.Pool.D, a.dropPool}} {
		found, err := rows(x, part.k, kind.Filter{Index: "balancer", Value: b})
		if err != nil {
			return err
		}
		for _, r := range found {
			if err := part.drop(x, string(r.M().ID)); err != nil {
				return err
			}
		}
	}
	if _, err := do(x, a.b.Balancer.D, call.Delete, b, nil); err != nil {
		return err
	}
	return x.NoContent()
}

// statuses is the tree of what a load balancer consists of.
func (a *API) statuses(x *exchange) error {
	row, err := get(x, a.b.Balancer.D, x.Param("loadbalancer_id"))
	if err != nil {
		return err
	}
	short := func(r kind.AnyRow, operating string) map[string]any {
		return map[string]any{"id": r.M().ID, "name": common(r)["name"], "provisioning_status": common(r)["provisioning_status"], "operating_status": operating}
	}
	poolTree := func(p kind.AnyRow) (map[string]any, error) {
		v := short(p, "ONLINE")
		members, err := rows(x, a.b.Member.D, kind.Filter{Index: "pool", Value: string(p.M().ID)})
		if err != nil {
			return nil, err
		}
		items := []any{}
		for _, m := range members {
			item := short(m, memberState(m.(*memberRow)))
			item["address"], item["protocol_port"] = m.(*memberRow).Spec.Address, m.(*memberRow).Spec.Port
			items = append(items, item)
		}
		v["members"] = items
		return v, nil
	}
	tree := short(row, operating(row.(*balancerRow)))
	pools, err := rows(x, a.b.Pool.D, kind.Filter{Index: "balancer", Value: string(row.M().ID)})
	if err != nil {
		return err
	}
	all, of := []any{}, map[string][]any{}
	for _, p := range pools {
		v, err := poolTree(p)
		if err != nil {
			return err
		}
		all = append(all, v)
		of[string(p.M().ID)] = []any{v}
	}
	listeners, err := rows(x, a.b.Listener.D, kind.Filter{Index: "balancer", Value: string(row.M().ID)})
	if err != nil {
		return err
	}
	items := []any{}
	for _, l := range listeners {
		v := short(l, "ONLINE")
		v["pools"] = of[l.(*listenerRow).Spec.Pool]
		if v["pools"] == nil || of[l.(*listenerRow).Spec.Pool] == nil {
			v["pools"] = []any{}
		}
		items = append(items, v)
	}
	tree["listeners"], tree["pools"] = items, all
	wire.Write(x.W, http.StatusOK, map[string]any{"statuses": map[string]any{"loadbalancer": tree}})
	return nil
}
