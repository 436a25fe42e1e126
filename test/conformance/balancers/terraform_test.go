package balancers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/awancloud/awan/test/conformance/terraform"
)

// provider says how the provider reaches the cloud.
const provider = `
terraform {
  required_providers {
    huaweicloud = { source = "huaweicloud/huaweicloud" }
  }
}
provider "huaweicloud" {
  region                = "awan-1"
  access_key            = "%[1]s"
  secret_key            = "%[2]s"
  project_id            = "%[3]s"
  domain_id             = "%[4]s"
  auth_url              = "%[5]s/iam/v3"
  cloud                 = "awan.test"
  enterprise_project_id = "0"
  max_retries           = 1
  endpoints = {
    iam = "%[5]s/iam/"
    eps = "%[5]s/eps/"
    vpc = "%[5]s/vpc/"
    nat = "%[5]s/nat/"
    elb = "%[5]s/elb/"
    dns = "%[5]s/dns/"
  }
}
resource "huaweicloud_vpc" "shop" {
  name = "shop"
  cidr = "10.1.0.0/16"
}
resource "huaweicloud_vpc_subnet" "front" {
  name       = "front"
  cidr       = "10.1.1.0/24"
  gateway_ip = "10.1.1.1"
  vpc_id     = huaweicloud_vpc.shop.id
}
`

// balancers is what a tenant writes who has two servers behind one public address; words and numbers change.
const balancers = `
data "huaweicloud_elb_flavors" "all" {}
data "huaweicloud_elb_flavors" "l7" { type = "L7" }
data "huaweicloud_elb_availability_zones" "all" {}
resource "huaweicloud_vpc_eip" "front" {
  publicip { type = "5_bgp" }
  bandwidth {
    share_type  = "PER"
    name        = "front"
    size        = 5
    charge_mode = "traffic"
  }
}
resource "huaweicloud_elb_loadbalancer" "front" {
  name              = "front-%[1]s"
  description       = "%[1]s"
  vpc_id            = huaweicloud_vpc.shop.id
  ipv4_subnet_id    = huaweicloud_vpc_subnet.front.ipv4_subnet_id
  ipv4_eip_id       = huaweicloud_vpc_eip.front.id
  availability_zone = ["awan-1a"]
  l7_flavor_id      = data.huaweicloud_elb_flavors.l7.flavors[0].id
  tags              = { team = "%[1]s" }
}
resource "huaweicloud_elb_loadbalancer" "own" {
  name                  = "own"
  vpc_id                = huaweicloud_vpc.shop.id
  ipv4_subnet_id        = huaweicloud_vpc_subnet.front.ipv4_subnet_id
  availability_zone     = ["awan-1a"]
  iptype                = "5_bgp"
  bandwidth_charge_mode = "traffic"
  sharetype             = "PER"
  bandwidth_size        = 10
}
resource "huaweicloud_elb_certificate" "shop" {
  name        = "shop"
  description = "%[1]s"
  domain      = "%[5]s"
  private_key = <<EOT
%[4]s
EOT
  certificate = <<EOT
%[3]s
EOT
}
resource "huaweicloud_elb_certificate" "authority" {
  name        = "authority"
  type        = "client"
  certificate = <<EOT
%[3]s
EOT
}
resource "huaweicloud_elb_ipgroup" "office" {
  name        = "office"
  description = "%[1]s"
  ip_list {
    ip          = "192.0.2.10"
    description = "%[1]s"
  }
}
resource "huaweicloud_elb_listener" "plain" {
  name                        = "plain"
  description                 = "%[1]s"
  protocol                    = "HTTP"
  protocol_port               = 80
  loadbalancer_id             = huaweicloud_elb_loadbalancer.front.id
  advanced_forwarding_enabled = true
  idle_timeout                = %[2]d
  request_timeout             = 61
  response_timeout            = 62
  forward_port                = true
  access_policy               = "white"
  ip_group                    = huaweicloud_elb_ipgroup.office.id
  tags                        = { team = "%[1]s" }
}
resource "huaweicloud_elb_listener" "secure" {
  name               = "secure"
  protocol           = "HTTPS"
  protocol_port      = 443
  loadbalancer_id    = huaweicloud_elb_loadbalancer.front.id
  server_certificate = huaweicloud_elb_certificate.shop.id
  ca_certificate     = huaweicloud_elb_certificate.authority.id
  tls_ciphers_policy = "tls-1-2"
  http2_enable       = true
  default_pool_id    = huaweicloud_elb_pool.web.id
}
resource "huaweicloud_elb_listener" "mail" {
  name            = "mail"
  protocol        = "TCP"
  protocol_port   = 25
  loadbalancer_id = huaweicloud_elb_loadbalancer.front.id
}
resource "huaweicloud_elb_listener" "names" {
  name            = "names"
  protocol        = "UDP"
  protocol_port   = 53
  loadbalancer_id = huaweicloud_elb_loadbalancer.front.id
}
resource "huaweicloud_elb_pool" "web" {
  name            = "web"
  description     = "%[1]s"
  protocol        = "HTTP"
  lb_method       = "ROUND_ROBIN"
  type            = "instance"
  vpc_id          = huaweicloud_vpc.shop.id
  loadbalancer_id = huaweicloud_elb_loadbalancer.front.id
  slow_start_enabled  = true
  slow_start_duration = 100
  persistence {
    type    = "HTTP_COOKIE"
    timeout = %[2]d
  }
}
resource "huaweicloud_elb_pool" "mail" {
  protocol    = "TCP"
  lb_method   = "LEAST_CONNECTIONS"
  listener_id = huaweicloud_elb_listener.mail.id
  persistence {
    type    = "SOURCE_IP"
    timeout = 10
  }
}
resource "huaweicloud_elb_member" "one" {
  name          = "one"
  address       = "10.1.1.10"
  protocol_port = 8080
  weight        = %[2]d
  pool_id       = huaweicloud_elb_pool.web.id
  subnet_id     = huaweicloud_vpc_subnet.front.ipv4_subnet_id
}
resource "huaweicloud_elb_member" "two" {
  address       = "10.1.1.11"
  protocol_port = 8080
  pool_id       = huaweicloud_elb_pool.web.id
  subnet_id     = huaweicloud_vpc_subnet.front.ipv4_subnet_id
}
resource "huaweicloud_elb_monitor" "web" {
  pool_id          = huaweicloud_elb_pool.web.id
  name             = "web-%[1]s"
  protocol         = "HTTP"
  interval         = 20
  timeout          = 10
  max_retries      = 5
  max_retries_down = 4
  url_path         = "/%[1]s"
  status_code      = "200,401-500,502"
  domain_name      = "www.example.org"
  port             = 8080
}
resource "huaweicloud_elb_l7policy" "api" {
  name             = "api"
  description      = "%[1]s"
  action           = "REDIRECT_TO_POOL"
  priority         = %[2]d
  listener_id      = huaweicloud_elb_listener.plain.id
  redirect_pool_id = huaweicloud_elb_pool.web.id
}
resource "huaweicloud_elb_l7rule" "path" {
  l7policy_id  = huaweicloud_elb_l7policy.api.id
  type         = "PATH"
  compare_type = "STARTS_WITH"
  value        = "/%[1]s"
}
resource "huaweicloud_elb_l7rule" "query" {
  l7policy_id  = huaweicloud_elb_l7policy.api.id
  type         = "QUERY_STRING"
  compare_type = "EQUAL_TO"
  conditions {
    key   = "version"
    value = "%[1]s"
  }
}
resource "huaweicloud_elb_l7policy" "sorry" {
  name        = "sorry"
  action      = "FIXED_RESPONSE"
  priority    = 30
  listener_id = huaweicloud_elb_listener.plain.id
  fixed_response_config {
    status_code  = "503"
    content_type = "text/plain"
    message_body = "%[1]s"
  }
}
resource "huaweicloud_elb_l7rule" "sorry" {
  l7policy_id  = huaweicloud_elb_l7policy.sorry.id
  type         = "HOST_NAME"
  compare_type = "EQUAL_TO"
  value        = "old.example.org"
}
resource "huaweicloud_elb_l7policy" "away" {
  name        = "away"
  action      = "REDIRECT_TO_URL"
  priority    = 40
  listener_id = huaweicloud_elb_listener.plain.id
  redirect_url_config {
    protocol    = "HTTPS"
    host        = "%[1]s.example.org"
    status_code = "308"
  }
}
resource "huaweicloud_elb_l7rule" "away" {
  l7policy_id  = huaweicloud_elb_l7policy.away.id
  type         = "METHOD"
  compare_type = "EQUAL_TO"
  conditions {
    value = "DELETE"
  }
}
resource "huaweicloud_elb_l7policy" "secure" {
  name                 = "secure"
  action               = "REDIRECT_TO_LISTENER"
  listener_id          = huaweicloud_elb_listener.plain.id
  redirect_listener_id = huaweicloud_elb_listener.secure.id
}
`

// reads are the data sources over what is there then.
const reads = `
data "huaweicloud_elb_loadbalancers" "it" { loadbalancer_id = huaweicloud_elb_loadbalancer.front.id }
data "huaweicloud_elb_listeners" "it" { loadbalancer_id = huaweicloud_elb_loadbalancer.front.id }
data "huaweicloud_elb_pools" "it" { pool_id = huaweicloud_elb_pool.web.id }
data "huaweicloud_elb_members" "it" { pool_id = huaweicloud_elb_pool.web.id }
data "huaweicloud_elb_monitors" "it" { monitor_id = huaweicloud_elb_monitor.web.id }
data "huaweicloud_elb_l7policies" "it" { listener_id = huaweicloud_elb_listener.plain.id }
data "huaweicloud_elb_l7rules" "it" { l7policy_id = huaweicloud_elb_l7policy.api.id }
data "huaweicloud_elb_certificate" "it" { name = huaweicloud_elb_certificate.shop.name }
data "huaweicloud_elb_certificates" "it" { certificate_id = [huaweicloud_elb_certificate.shop.id] }
data "huaweicloud_elb_ipgroups" "it" { ipgroup_id = huaweicloud_elb_ipgroup.office.id }
data "huaweicloud_elb_quotas" "it" {}
data "huaweicloud_elb_all_members" "it" {}
data "huaweicloud_elb_loadbalancer_status" "it" { loadbalancer_id = huaweicloud_elb_loadbalancer.front.id }
output "counts" {
  value = join(" ", [for l in [data.huaweicloud_elb_loadbalancers.it.loadbalancers, data.huaweicloud_elb_listeners.it.listeners, data.huaweicloud_elb_pools.it.pools,
    data.huaweicloud_elb_members.it.members, data.huaweicloud_elb_monitors.it.monitors, data.huaweicloud_elb_l7policies.it.l7policies, data.huaweicloud_elb_l7rules.it.l7rules,
    data.huaweicloud_elb_certificates.it.certificates, data.huaweicloud_elb_ipgroups.it.ipgroups, data.huaweicloud_elb_all_members.it.members] : length(l)])
}
output "eips" {
  value = "${huaweicloud_elb_loadbalancer.front.ipv4_eip == huaweicloud_vpc_eip.front.address} ${huaweicloud_elb_loadbalancer.own.ipv4_eip != ""}"
}
`

func (n *tenant) terraform(t *testing.T) (*terraform.Terraform, string) {
	t.Helper()
	terraform.Needed(t)
	return terraform.New(t, n.caFile), fmt.Sprintf(provider, n.Admin.AccessKey, n.Admin.SecretKey, n.project, n.Admin.DomainID, n.url)
}

func TestTerraformMakesBalancers(t *testing.T) {
	terraform.Needed(t)
	n := open(t)
	tf, begin := n.terraform(t)
	certificate, key := pair(t, "www.example.org")
	next, nextKey := pair(t, "shop.example.org")
	tf.Write("main.tf", begin+fmt.Sprintf(balancers, "one", 11, certificate, key, "www.example.org"))
	tf.Run(0, "apply", "-auto-approve")
	tf.Run(0, "plan", "-detailed-exitcode")
	tf.Write("reads.tf", reads)
	if out := tf.Run(0, "apply", "-auto-approve"); !strings.Contains(out, `"1 4 1 2 1 4 2 1 1 2"`) || !strings.Contains(out, `"true true"`) {
		t.Errorf("the data sources:\n%s", out)
	}
	tf.Write("main.tf", begin+fmt.Sprintf(balancers, "two", 22, next, nextKey, "shop.example.org"))
	tf.Run(0, "apply", "-auto-approve")
	tf.Run(0, "plan", "-detailed-exitcode")
	tf.Run(0, "destroy", "-auto-approve")
	if left := n.left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// zones are those of a shop, in public and in private.
const zones = `
resource "huaweicloud_dns_zone" "public" {
  name        = "example.org."
  email       = "%[1]s@example.org"
  description = "%[1]s"
  ttl         = %[2]d
  tags        = { team = "%[1]s" }
}
resource "huaweicloud_dns_zone" "private" {
  name        = "shop.internal."
  zone_type   = "private"
  description = "%[1]s"
  router { router_id = huaweicloud_vpc.shop.id }
}
resource "huaweicloud_dns_recordset" "www" {
  zone_id     = huaweicloud_dns_zone.public.id
  name        = "www.example.org."
  type        = "A"
  description = "%[1]s"
  ttl         = %[2]d
  records     = ["192.0.2.1", "192.0.2.%[2]d"]
  tags        = { team = "%[1]s" }
}
resource "huaweicloud_dns_recordset" "mail" {
  zone_id = huaweicloud_dns_zone.public.id
  name    = "example.org."
  type    = "MX"
  ttl     = 300
  records = ["10 mail.example.org."]
}
resource "huaweicloud_dns_recordset" "text" {
  zone_id = huaweicloud_dns_zone.public.id
  name    = "text.example.org."
  type    = "TXT"
  records = ["\"%[1]s\""]
  status  = "%[3]s"
}
resource "huaweicloud_dns_recordset" "db" {
  zone_id = huaweicloud_dns_zone.private.id
  name    = "db.shop.internal."
  type    = "A"
  records = ["10.1.1.%[2]d"]
}
`

const zoneReads = `
data "huaweicloud_dns_zones" "it" {
  zone_type = "public"
  name      = huaweicloud_dns_zone.public.name
}
data "huaweicloud_dns_recordsets" "it" {
  zone_id = huaweicloud_dns_zone.public.id
  type    = "A"
}
data "huaweicloud_dns_nameservers" "it" { type = "public" }
output "names" {
  value = "${length(data.huaweicloud_dns_zones.it.zones)} ${data.huaweicloud_dns_recordsets.it.recordsets[0].name} ${length(data.huaweicloud_dns_nameservers.it.nameservers)}"
}
`

func TestTerraformMakesZones(t *testing.T) {
	terraform.Needed(t)
	n := open(t)
	tf, begin := n.terraform(t)
	tf.Write("main.tf", begin+fmt.Sprintf(zones, "one", 60, "ENABLE"))
	tf.Run(0, "apply", "-auto-approve")
	tf.Run(0, "plan", "-detailed-exitcode")
	tf.Write("reads.tf", zoneReads)
	if out := tf.Run(0, "apply", "-auto-approve"); !strings.Contains(out, `"1 www.example.org. 1"`) {
		t.Errorf("the data sources:\n%s", out)
	}
	tf.Write("main.tf", begin+fmt.Sprintf(zones, "two", 61, "DISABLE"))
	tf.Run(0, "apply", "-auto-approve")
	tf.Run(0, "plan", "-detailed-exitcode")
	tf.Run(0, "destroy", "-auto-approve")
	if left := n.left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
