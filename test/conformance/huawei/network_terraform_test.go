package huawei_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/awancloud/awan/test/conformance/cloudtest"
	"github.com/awancloud/awan/test/conformance/terraform"
)

// network is what a tenant writes who wants a network. The descriptions, a rule and a limit change.
const networkPlan = `
terraform {
  required_providers {
    huaweicloud = { source = "huaweicloud/huaweicloud" }
  }
}
provider "huaweicloud" {
  region                = "awan-1"
  access_key            = "%[1]s"
  secret_key            = "%[2]s"
  auth_url              = "%[3]s/iam/v3"
  cloud                 = "awan.test"
  enterprise_project_id = "0"
  max_retries           = 1
  endpoints = {
    iam = "%[3]s/iam/"
    eps = "%[3]s/eps/"
    vpc = "%[3]s/vpc/"
    nat = "%[3]s/nat/"
  }
}
resource "huaweicloud_vpc" "shop" {
  name            = "shop"
  cidr            = "10.1.0.0/16"
  description     = "%[4]s"
  secondary_cidrs = ["10.3.0.0/16"]
  tags            = { team = "%[4]s" }
}
resource "huaweicloud_vpc" "back" {
  name = "back"
  cidr = "10.2.0.0/16"
}
resource "huaweicloud_vpc_subnet" "web" {
  name               = "web"
  vpc_id             = huaweicloud_vpc.shop.id
  cidr               = "10.1.1.0/24"
  gateway_ip         = "10.1.1.1"
  description        = "%[4]s"
  ipv6_enable        = true
  primary_dns        = "10.1.1.53"
  secondary_dns      = "10.1.1.54"
  ntp_server_address = "10.1.1.5"
  dhcp_domain_name   = "shop.test"
  tags               = { team = "%[4]s" }
}
resource "huaweicloud_vpc_subnet" "db" {
  name       = "db"
  vpc_id     = huaweicloud_vpc.back.id
  cidr       = "10.2.1.0/24"
  gateway_ip = "10.2.1.1"
}
resource "huaweicloud_networking_secgroup" "web" {
  name        = "web"
  description = "%[4]s"
}
resource "huaweicloud_networking_secgroup" "bare" {
  name                 = "bare"
  delete_default_rules = true
}
resource "huaweicloud_vpc_address_group" "office" {
  name        = "office"
  addresses   = ["192.0.2.1", "198.51.100.0/24"]
  description = "%[4]s"
}
resource "huaweicloud_networking_secgroup_rule" "http" {
  security_group_id = huaweicloud_networking_secgroup.web.id
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  ports             = "%[5]s"
  action            = "allow"
  priority          = 5
  remote_ip_prefix  = "0.0.0.0/0"
}
resource "huaweicloud_networking_secgroup_rule" "ssh" {
  security_group_id = huaweicloud_networking_secgroup.web.id
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  port_range_min    = 22
  port_range_max    = 22
  remote_ip_prefix  = "192.0.2.0/24"
}
resource "huaweicloud_networking_secgroup_rule" "office" {
  security_group_id       = huaweicloud_networking_secgroup.web.id
  direction               = "ingress"
  ethertype               = "IPv4"
  protocol                = "udp"
  ports                   = "53"
  remote_address_group_id = huaweicloud_vpc_address_group.office.id
}
resource "huaweicloud_networking_secgroup_rule" "ping" {
  security_group_id = huaweicloud_networking_secgroup.web.id
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "icmp"
  remote_group_id   = huaweicloud_networking_secgroup.bare.id
}
resource "huaweicloud_networking_vip" "front" {
  network_id = huaweicloud_vpc_subnet.web.id
}
resource "huaweicloud_vpc_eip" "front" {
  name = "%[4]s"
  publicip {
    type = "5_bgp"
  }
  bandwidth {
    name        = "front"
    size        = %[6]d
    share_type  = "PER"
    charge_mode = "traffic"
  }
  description = "%[4]s"
  tags        = { team = "%[4]s" }
}
resource "huaweicloud_vpc_bandwidth" "shared" {
  name = "shared"
  size = 10
}
resource "huaweicloud_vpc_eip" "nat" {
  publicip {
    type = "5_bgp"
  }
  bandwidth {
    share_type = "WHOLE"
    id         = huaweicloud_vpc_bandwidth.shared.id
  }
}
resource "huaweicloud_vpc_eip_associate" "front" {
  public_ip = huaweicloud_vpc_eip.front.address
  port_id   = huaweicloud_networking_vip.front.id
}
resource "huaweicloud_vpc_peering_connection" "both" {
  name        = "both"
  vpc_id      = huaweicloud_vpc.shop.id
  peer_vpc_id = huaweicloud_vpc.back.id
  description = "%[4]s"
}
resource "huaweicloud_vpc_route" "there" {
  vpc_id      = huaweicloud_vpc.shop.id
  destination = "10.2.0.0/16"
  type        = "peering"
  nexthop     = huaweicloud_vpc_peering_connection.both.id
  description = "%[4]s"
}
resource "huaweicloud_vpc_route" "back" {
  vpc_id      = huaweicloud_vpc.back.id
  destination = "10.1.0.0/16"
  type        = "peering"
  nexthop     = huaweicloud_vpc_peering_connection.both.id
}
data "huaweicloud_vpc" "shop" {
  name = huaweicloud_vpc.shop.name
}
data "huaweicloud_vpcs" "all" {
  name = huaweicloud_vpc.back.name
}
data "huaweicloud_vpc_subnet" "web" {
  vpc_id = huaweicloud_vpc.shop.id
  name   = huaweicloud_vpc_subnet.web.name
}
data "huaweicloud_vpc_subnets" "all" {
  vpc_id = huaweicloud_vpc_subnet.web.vpc_id
}
data "huaweicloud_networking_secgroup" "web" {
  name = huaweicloud_networking_secgroup.web.name
}
data "huaweicloud_networking_secgroups" "all" {
  name = huaweicloud_networking_secgroup.bare.name
}
data "huaweicloud_networking_port" "vip" {
  network_id = huaweicloud_vpc_subnet.web.id
  port_id    = huaweicloud_networking_vip.front.id
}
data "huaweicloud_vpc_route_table" "shop" {
  vpc_id     = huaweicloud_vpc.shop.id
  depends_on = [huaweicloud_vpc_route.there]
}
data "huaweicloud_vpc_eips" "all" {
  public_ips = [huaweicloud_vpc_eip.front.address]
}
data "huaweicloud_vpc" "own" {
  name = "vpc-default"
}
data "huaweicloud_vpc_subnet" "own" {
  name = "subnet-default"
}
data "huaweicloud_networking_secgroup" "own" {
  name = "default"
}
output "own" {
  value = join(",", [data.huaweicloud_vpc.own.cidr, data.huaweicloud_vpc_subnet.own.cidr, data.huaweicloud_networking_secgroup.own.name])
}
output "seen" {
  value = join(",", [data.huaweicloud_vpc.shop.cidr, tostring(length(data.huaweicloud_vpcs.all.vpcs)), data.huaweicloud_vpc_subnet.web.cidr, tostring(length(data.huaweicloud_vpc_subnets.all.subnets)),
    data.huaweicloud_networking_secgroup.web.name, tostring(length(data.huaweicloud_networking_secgroups.all.security_groups)), tostring(length(data.huaweicloud_vpc_route_table.shop.route)), tostring(length(data.huaweicloud_vpc_eips.all.eips))])
}
%[7]s
`

func TestTerraformMakesNetworks(t *testing.T) {
	terraform.Needed(t)
	c := cloudtest.Start(t)
	tf := terraform.New(t, c.CAFile)
	write := func(text, ports string, size int) {
		tf.Write("main.tf", fmt.Sprintf(networkPlan, c.Admin.AccessKey, c.Admin.SecretKey, c.URL, text, ports, size, ""))
	}
	write("first", "80,443", 5)
	out := tf.Run(0, "apply", "-auto-approve")
	for _, want := range []string{`seen = "10.1.0.0/16,1,10.1.1.0/24,1,web,1,`, `own = "192.168.0.0/16,192.168.0.0/24,default"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	tf.Run(0, "plan", "-detailed-exitcode")
	write("second", "80,8000-8999", 7)
	tf.Run(0, "apply", "-auto-approve")
	tf.Run(0, "plan", "-detailed-exitcode")
	tf.Run(0, "destroy", "-auto-approve")
}
