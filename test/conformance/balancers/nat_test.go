package balancers_test

import (
	"fmt"
	"strings"
	"testing"

	nat "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/nat/v2"
	nm "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/nat/v2/model"

	"github.com/awancloud/awan/test/conformance/terraform"
)

// TestTheSDKLeadsOutAndIn tells what a tool does that lets a subnet out by one address, and leads a port of it in.
func TestTheSDKLeadsOutAndIn(t *testing.T) {
	n := open(t)
	vpc := n.makeRow(n.Networks.VPC.D, "shop", `{"cidr":"10.1.0.0/16"}`).M().ID.Dashed()
	subnet := n.makeRow(n.Networks.Subnet.D, "front", `{"vpc":"shop","cidr":"10.1.1.0/24"}`).M().ID.Dashed()
	port := n.makeRow(n.Networks.Port.D, "web", `{"subnet":"front","addresses":["10.1.1.10"]}`).M().ID.Dashed()
	one, two := n.makeRow(n.Networks.PublicIP.D, "one", `{}`).M().ID.Dashed(), n.makeRow(n.Networks.PublicIP.D, "two", `{}`).M().ID.Dashed()
	c := client(n, nat.NatClientBuilder(), nat.NewNatClient)

	size := nm.GetCreateNatGatewayOptionSpecEnum()
	made := must[*nm.CreateNatGatewayResponse](t)(c.CreateNatGateway(&nm.CreateNatGatewayRequest{Body: &nm.CreateNatGatewayRequestBody{NatGateway: &nm.CreateNatGatewayOption{
		Name: "out", RouterId: vpc, InternalNetworkId: subnet, Spec: size.E_2, Description: ptr("for all")}}})).NatGateway
	if *made.RouterId != vpc || *made.InternalNetworkId != subnet || made.Status.Value() != "ACTIVE" || made.Spec.Value() != "2" {
		t.Errorf("the gateway: %+v", made)
	}
	_, err := c.CreateNatGateway(&nm.CreateNatGatewayRequest{Body: &nm.CreateNatGatewayRequestBody{NatGateway: &nm.CreateNatGatewayOption{
		Name: "own", RouterId: vpc, InternalNetworkId: subnet, Spec: size.E_1, NgportIpAddress: ptr("10.1.1.7")}}})
	refused(t, err, "VPC.0002")
	if all := must[*nm.ListNatGatewaySpecsResponse](t)(c.ListNatGatewaySpecs(&nm.ListNatGatewaySpecsRequest{})); len(*all.Specs) != 4 {
		t.Errorf("sizes: %+v", all)
	}

	out := must[*nm.CreateNatGatewaySnatRuleResponse](t)(c.CreateNatGatewaySnatRule(&nm.CreateNatGatewaySnatRuleRequest{Body: &nm.CreateNatGatewaySnatRuleRequestOption{
		SnatRule: &nm.CreateNatGatewaySnatRuleOption{NatGatewayId: *made.Id, NetworkId: &subnet, FloatingIpId: one}}})).SnatRule
	seen := must[*nm.ShowNatGatewaySnatRuleResponse](t)(c.ShowNatGatewaySnatRule(&nm.ShowNatGatewaySnatRuleRequest{SnatRuleId: out.Id})).SnatRule
	if seen.FloatingIpId != one || seen.FloatingIpAddress == "" || seen.NetworkId != subnet || seen.SourceType != 0 {
		t.Errorf("the SNAT rule: %+v", seen)
	}
	for _, q := range []struct {
		source int32
		cidr   string
		ok     bool
	}{{0, "10.1.2.0/24", true}, {1, "10.1.3.0/24", false}, {1, "172.16.0.0/16", true}, {0, "172.16.1.0/24", false}} { // of the VPC, and beyond it
		_, err := c.CreateNatGatewaySnatRule(&nm.CreateNatGatewaySnatRuleRequest{Body: &nm.CreateNatGatewaySnatRuleRequestOption{
			SnatRule: &nm.CreateNatGatewaySnatRuleOption{NatGatewayId: *made.Id, Cidr: &q.cidr, SourceType: &q.source, FloatingIpId: one}}})
		if (err == nil) != q.ok {
			t.Errorf("source %d, %s: %v", q.source, q.cidr, err)
		}
	}
	if beyond := must[*nm.ListNatGatewaySnatRulesResponse](t)(c.ListNatGatewaySnatRules(&nm.ListNatGatewaySnatRulesRequest{SourceType: ptr(int32(1)), FloatingIpId: &one})); len(*beyond.SnatRules) != 1 {
		t.Errorf("rules for what is beyond the VPC: %+v", beyond)
	}

	in := must[*nm.CreateNatGatewayDnatRuleResponse](t)(c.CreateNatGatewayDnatRule(&nm.CreateNatGatewayDnatRuleRequest{Body: &nm.CreateNatGatewayDnatRuleOption{DnatRule: &nm.CreateNatGatewayDnatOption{
		NatGatewayId: *made.Id, PortId: &port, InternalServicePort: 80, ExternalServicePort: 8080, FloatingIpId: one, Protocol: "tcp"}}})).DnatRule
	_, err = c.CreateNatGatewayDnatRule(&nm.CreateNatGatewayDnatRuleRequest{Body: &nm.CreateNatGatewayDnatRuleOption{DnatRule: &nm.CreateNatGatewayDnatOption{
		NatGatewayId: *made.Id, PortId: &port, InternalServicePort: 81, ExternalServicePort: 8080, FloatingIpId: one, Protocol: "tcp"}}})
	refused(t, err, "VPC.0203")
	must[*nm.UpdateNatGatewayDnatRuleResponse](t)(c.UpdateNatGatewayDnatRule(&nm.UpdateNatGatewayDnatRuleRequest{DnatRuleId: in.Id, Body: &nm.UpdateNatGatewayDnatRuleRequestBody{
		DnatRule: &nm.UpdateNatGatewayDnatRuleOption{NatGatewayId: *made.Id, PortId: &port, PrivateIp: ptr("10.1.1.11"), FloatingIpId: &two}}}))
	led := must[*nm.ShowNatGatewayDnatRuleResponse](t)(c.ShowNatGatewayDnatRule(&nm.ShowNatGatewayDnatRuleRequest{DnatRuleId: in.Id})).DnatRule
	if *led.PortId != "" || *led.PrivateIp != "10.1.1.11" || led.FloatingIpId != two || led.ExternalServicePort != 8080 {
		t.Errorf("the DNAT rule, led elsewhere: %+v", led)
	}

	_, err = c.DeleteNatGateway(&nm.DeleteNatGatewayRequest{NatGatewayId: *made.Id})
	refused(t, err, "VPC.0203")
	_, err = c.DeleteNatGatewayDnatRule(&nm.DeleteNatGatewayDnatRuleRequest{NatGatewayId: subnet, DnatRuleId: in.Id})
	refused(t, err, "VPC.0202")
	must[*nm.DeleteNatGatewayDnatRuleResponse](t)(c.DeleteNatGatewayDnatRule(&nm.DeleteNatGatewayDnatRuleRequest{NatGatewayId: *made.Id, DnatRuleId: in.Id}))
	for _, r := range *must[*nm.ListNatGatewaySnatRulesResponse](t)(c.ListNatGatewaySnatRules(&nm.ListNatGatewaySnatRulesRequest{})).SnatRules {
		must[*nm.DeleteNatGatewaySnatRuleResponse](t)(c.DeleteNatGatewaySnatRule(&nm.DeleteNatGatewaySnatRuleRequest{NatGatewayId: *made.Id, SnatRuleId: r.Id}))
	}
	must[*nm.DeleteNatGatewayResponse](t)(c.DeleteNatGateway(&nm.DeleteNatGatewayRequest{NatGatewayId: *made.Id}))
}

// gateways is what a tenant writes whose servers go out by one address; words and numbers change.
const gateways = `
resource "huaweicloud_vpc_eip" "out" {
  publicip { type = "5_bgp" }
  bandwidth {
    share_type  = "PER"
    name        = "out"
    size        = 5
    charge_mode = "traffic"
  }
}
resource "huaweicloud_vpc_eip" "in" {
  publicip { type = "5_bgp" }
  bandwidth {
    share_type  = "PER"
    name        = "in"
    size        = 5
    charge_mode = "traffic"
  }
}
resource "huaweicloud_networking_vip" "web" { network_id = huaweicloud_vpc_subnet.front.id }
resource "huaweicloud_nat_gateway" "out" {
  name        = "%[1]s"
  spec        = "%[2]s"
  description = "%[1]s"
  vpc_id      = huaweicloud_vpc.shop.id
  subnet_id   = huaweicloud_vpc_subnet.front.id
  tags        = { team = "%[1]s" }
}
resource "huaweicloud_nat_snat_rule" "subnet" {
  nat_gateway_id = huaweicloud_nat_gateway.out.id
  subnet_id      = huaweicloud_vpc_subnet.front.id
  floating_ip_id = huaweicloud_vpc_eip.%[3]s.id
  description    = "%[1]s"
}
resource "huaweicloud_nat_snat_rule" "beyond" {
  nat_gateway_id = huaweicloud_nat_gateway.out.id
  source_type    = 1
  cidr           = "172.16.0.0/16"
  floating_ip_id = huaweicloud_vpc_eip.out.id
}
resource "huaweicloud_nat_dnat_rule" "web" {
  nat_gateway_id        = huaweicloud_nat_gateway.out.id
  floating_ip_id        = huaweicloud_vpc_eip.in.id
  %[4]s
  protocol              = "tcp"
  internal_service_port = 80
  external_service_port = %[5]d
  description           = "%[1]s"
}
data "huaweicloud_nat_gateway" "out" { id = huaweicloud_nat_gateway.out.id }
data "huaweicloud_nat_gateways" "all" {
  vpc_id     = huaweicloud_vpc.shop.id
  depends_on = [huaweicloud_nat_gateway.out]
}
data "huaweicloud_nat_snat_rules" "all" {
  source_type = 1
  depends_on  = [huaweicloud_nat_snat_rule.beyond, huaweicloud_nat_snat_rule.subnet]
}
data "huaweicloud_nat_dnat_rules" "all" { gateway_id = huaweicloud_nat_dnat_rule.web.nat_gateway_id }
output "seen" {
  value = join(" ", [data.huaweicloud_nat_gateway.out.spec, length(data.huaweicloud_nat_gateways.all.gateways), length(data.huaweicloud_nat_snat_rules.all.rules), length(data.huaweicloud_nat_dnat_rules.all.rules)])
}
`

func TestTerraformMakesGateways(t *testing.T) {
	terraform.Needed(t)
	n := open(t)
	tf, begin := n.terraform(t)
	tf.Write("main.tf", begin+fmt.Sprintf(gateways, "one", "1", "out", "port_id = huaweicloud_networking_vip.web.id", 8080))
	if out := tf.Run(0, "apply", "-auto-approve"); !strings.Contains(out, `seen = "1 1 1 1"`) {
		t.Error(out)
	}
	tf.Run(0, "plan", "-detailed-exitcode")
	tf.Write("main.tf", begin+fmt.Sprintf(gateways, "two", "3", "in", `private_ip = "10.1.1.99"`, 8081))
	tf.Run(0, "apply", "-auto-approve")
	tf.Run(0, "plan", "-detailed-exitcode")
	tf.Run(0, "destroy", "-auto-approve")
}
