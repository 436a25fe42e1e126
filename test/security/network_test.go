package security_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/dialect/huawei/vpc"
	"github.com/awancloud/awan/internal/dialect/openstack/neutron"
	"github.com/awancloud/awan/internal/dialect/wire"
)

// makeNetworks makes one of everything that networks consist of.
func (v *town) makeNetworks(root, inProject string) {
	w := v.whole
	w.make(root, inProject+"network/vpcs", "shop", `{"cidr":"10.1.0.0/16"}`)
	w.make(root, inProject+"network/vpcs", "back", `{"cidr":"10.2.0.0/16"}`)
	sub := w.make(root, inProject+"network/subnets", "web", `{"vpc":"shop","cidr":"10.1.1.0/24"}`)
	port := w.make(root, inProject+"network/ports", "web", `{"subnet":"web"}`).Resource.ID
	w.make(root, inProject+"network/address-groups", "office", `{"addresses":["192.0.2.0/24"]}`)
	rule := w.make(root, inProject+"network/security-rules", "", `{"group":"default","protocol":"tcp","ports":"22"}`).Resource.ID
	w.make(root, inProject+"network/bandwidths", "shared", `{}`)
	ip := w.make(root, inProject+"network/public-ips", "nat", `{}`).Resource.ID
	w.make(root, inProject+"network/nat-gateways", "out", `{"vpc":"shop"}`)
	w.make(root, inProject+"network/snat-rules", "out", `{"gateway":"out","subnet":"web","public_ips":["nat"]}`)
	w.make(root, inProject+"network/dnat-rules", "in", `{"gateway":"out","port":"web","internal_port":80,"public_ip":"nat","external_port":80}`)
	peering := w.make(root, inProject+"network/peerings", "both", `{"vpc":"shop","peer":"back"}`).Resource.ID
	w.make(root, inProject+"network/flow-logs", "all", `{"port":"web"}`)
	var st struct {
		IPv4 string `json:"ipv4_subnet"`
	}
	if err := json.Unmarshal(sub.Resource.Status, &st); err != nil {
		v.t.Fatal(err)
	}
	for name, value := range map[string]string{"port_id": port, "subnet_id": sub.Resource.ID, "network_id": sub.Resource.ID, "neutron_subnet_id": st.IPv4, "security_group_rule_id": rule, "publicip_id": ip,
		"peering_id": peering, "key": "team", "alias": "router"} {
		v.values[name] = value
	}
}

// networkValues are the rows that paths of networks name.
func (v *town) networkValues() {
	for name, k := range map[string]string{"vpc_id": "network/vpc", "routetable_id": "network/vpc", "route_id": "network/vpc", "router_id": "network/vpc", "security_group_id": "network/security-group",
		"address_group_id": "network/address-group", "bandwidth_id": "network/bandwidth", "flowlog_id": "network/flow-log",
		"nat_gateway_id": "network/nat-gateway", "snat_rule_id": "network/snat-rule", "dnat_rule_id": "network/dnat-rule"} {
		v.values[name] = v.rows[k]
	}
}

// coverNetworks tries the routes of Huawei's VPC and EIP and of Neutron.
func (v *town) coverNetworks(t *testing.T, o wire.Options) {
	stack := neutron.New(neutron.Options{Options: o, Network: v.IaaS.Networks})
	header := func(domain string) []string { return []string{"X-Domain-Id", domain} }
	t.Run("vpc", func(t *testing.T) {
		v.coverDialect(t, "/vpc", v.about(t, vpc.New(vpc.Options{Options: o, Network: v.IaaS.Networks}).Routes()), header)
	})
	t.Run("neutron", func(t *testing.T) {
		v.coverDialect(t, "/network", v.about(t, stack.Routes()), header)
	})
}

// about gives each route of tags the resource that it is about.
func (v *town) about(t *testing.T, routes []wire.Route) []wire.Route {
	t.Helper()
	for i, r := range routes {
		if r.Kind != nil && v.rows[r.Kind.FullName()] != "" {
			routes[i].Path = strings.ReplaceAll(r.Path, "{resource_id}", v.rows[r.Kind.FullName()])
		}
	}
	return routes
}
