package openstack_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// TestNetworks: a network with its subnet, a router, ports, groups and floating addresses, as the command makes, shows,
// changes and deletes them.
func TestNetworks(t *testing.T) {
	c := cloudtest.Start(t)
	o := start(t, c, c.Admin.User, c.Admin.Password)
	net := o.show("network create web --description first --mtu 1400")
	o.want(net["admin_state_up"] == true && net["mtu"] == 1400.0 && net["router:external"] == false, "network: %v", net)
	sub := o.show("subnet create web4 --network web --subnet-range 10.5.0.0/24 --dns-nameserver 10.5.0.53 --allocation-pool start=10.5.0.100,end=10.5.0.120 --description a")
	o.want(sub["gateway_ip"] == "10.5.0.1" && sub["cidr"] == "10.5.0.0/24" && sub["enable_dhcp"] == true, "subnet: %v", sub)
	o.want(strings.Contains(o.fails("subnet create again --network web --subnet-range 10.6.0.0/24"), "one subnet of each family"), "a second subnet")
	six := o.show("subnet create web6 --network web --subnet-range fd00:5::/64 --ip-version 6 --ipv6-ra-mode slaac --ipv6-address-mode slaac")
	o.want(six["ip_version"] == 6.0 && six["gateway_ip"] == "fd00:5::1", "subnet: %v", six)
	o.want(len(o.list("subnet list --network web")) == 2, "subnets")
	o.ok("subnet set web4 --name front --dns-nameserver 10.5.0.54")
	sub = o.show("subnet show front")
	o.want(fmt.Sprint(sub["dns_nameservers"]) == "[10.5.0.54 10.5.0.53]" && strings.Contains(fmt.Sprint(sub["allocation_pools"]), "10.5.0.100"), "subnet: %v", sub)

	o.ok("security group create http --description web")
	rules := o.list("security group rule list http")
	o.want(len(rules) == 4, "rules: %v", rules)
	o.ok("security group rule create http --protocol tcp --dst-port 80:90 --remote-ip 192.0.2.0/24")
	o.ok("security group rule create http --protocol icmp --icmp-type 8")
	o.ok("security group rule create http --ethertype IPv6 --protocol tcp --dst-port 22 --egress")
	rule := o.show("security group rule create http --protocol udp --remote-group http")
	o.ok("security group rule delete " + rule["id"].(string))
	o.want(has(o.list("security group rule list http"), "Port Range", "80:90"), "rules")
	o.want(strings.Contains(o.fails("security group rule create http --protocol tcp --dst-port 80:90 --remote-ip 192.0.2.0/24"), "already"), "the same rule")

	port := o.show("port create p1 --network web --fixed-ip ip-address=10.5.0.110 --security-group http --allowed-address ip-address=10.5.0.200")
	o.want(port["status"] == "DOWN" && strings.Contains(fmt.Sprint(port["fixed_ips"]), "10.5.0.110") && strings.HasPrefix(port["mac_address"].(string), "fa:16:3e"), "port: %v", port)
	o.want(strings.Contains(o.fails("port create p2 --network web --fixed-ip ip-address=10.5.0.110"), "taken"), "an address twice")
	o.ok("port set p1 --name web-1 --description second --tag blue")
	o.want(o.show("port show web-1")["description"] == "second", "port")
	o.want(len(o.list("port list --network web --tags blue")) == 1, "ports by tag")
	o.want(strings.Contains(o.fails("network delete web"), "is still in it"), "a network with a port")

	o.want(has(o.list("network list --external"), "Name", "public"), "external networks")
	router := o.show("router create edge --external-gateway public")
	o.want(router["status"] == "ACTIVE" && strings.Contains(fmt.Sprint(router["external_gateway_info"]), "enable_snat"), "router: %v", router)
	o.ok("router add subnet edge front")
	o.want(len(o.list("port list --router edge")) == 1, "the router's port")
	o.ok("router set edge --route destination=10.9.0.0/16,gateway=10.5.0.110")
	o.want(strings.Contains(fmt.Sprint(o.show("router show edge")["routes"]), "10.9.0.0/16"), "routes")
	o.want(strings.Contains(o.fails("router remove subnet edge front"), "leads over it"), "a route over the interface")
	o.want(strings.Contains(o.fails("router delete edge"), "subnet web"), "a router with an interface")

	ip := o.show("floating ip create public --description front")
	address := ip["floating_ip_address"].(string)
	o.ok("floating ip set " + address + " --port web-1")
	ip = o.show("floating ip show " + address)
	o.want(ip["fixed_ip_address"] == "10.5.0.110" && ip["status"] == "ACTIVE" && ip["router_id"] == router["id"], "floating ip: %v", ip)
	o.ok("floating ip unset " + address + " --port")
	o.ok("floating ip delete " + address)

	o.ok("address group create office --address 192.0.2.0/24")
	o.ok("address group set office --address 198.51.100.7/32")
	o.want(strings.Contains(fmt.Sprint(o.show("address group show office")["addresses"]), "198.51.100.7"), "address group")
	o.ok("address group delete office")

	o.ok("router unset edge --route destination=10.9.0.0/16,gateway=10.5.0.110")
	o.ok("router set edge --disable")
	o.ok("router unset edge --external-gateway")
	o.ok("router remove subnet edge front")
	o.ok("router delete edge")
	o.ok("port delete web-1")
	o.ok("subnet delete front")
	o.ok("network set web --name store --disable")
	o.want(o.show("network show store")["admin_state_up"] == false, "network")
	o.ok("network delete store")
	o.ok("security group delete http")
	o.want(len(o.list("extension list --network")) > 20, "extensions")
	o.want(len(o.list("network agent list")) == 0, "agents")
	o.want(has(o.list("availability zone list --network"), "Zone Name", "awan-1a"), "zones")
	left := o.list("router list")
	o.want(len(left) == 1 && has(left, "Name", "vpc-default") && len(o.list("port list")) == 1, "what is left beside the project's own, with its gateway")
}
