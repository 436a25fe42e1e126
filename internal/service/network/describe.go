package network

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

func (s *Service) describe() {
	s.VPC = kind.TableOf[VPCSpec, VPCStatus](kind.Kind[VPCSpec, VPCStatus]{Service: "network", Name: "vpc", Scope: kind.InProject, AnyName: true,
		Doc:     "A virtual private cloud: a network of your own that no other's packets get into. OpenStack calls it a router.",
		Columns: []string{"spec.cidr", "spec.internet", "spec.description"}, Example: VPCSpec{CIDR: "10.1.0.0/16"},
		Quota: one[VPCSpec]("network.vpcs"), Defaults: s.vpcDefaults, Check: s.checkVPC, CheckDelete: s.vpcUnused,
		Actions: append(quarantines[VPCSpec](func(st *VPCStatus) **Quarantine { return &st.Quarantine }, s), s.projectQuarantines()...)}.Def())
	s.Subnet = kind.TableOf[SubnetSpec, SubnetStatus](kind.Kind[SubnetSpec, SubnetStatus]{Service: "network", Name: "subnet", Scope: kind.InProject, AnyName: true,
		Doc:     "A subnet of a VPC: one broadcast domain with its addresses. OpenStack calls it a network with its subnets.",
		Columns: []string{"spec.vpc", "spec.cidr", "spec.gateway", "status.free"}, Example: SubnetSpec{VPC: DefaultVPC, CIDR: "192.168.1.0/24"},
		Index: map[string]func(*subnetRow) []string{
			"vpc":       func(r *subnetRow) []string { return some(r.Spec.VPC) },
			"openstack": func(r *subnetRow) []string { return some(r.Status.IPv4, r.Status.IPv6, r.Status.Interface) }},
		Quota: one[SubnetSpec]("network.subnets"), Defaults: s.subnetDefaults, Check: s.checkSubnet, CheckDelete: s.subnetUnused,
		Changed: s.subnetChanged, Shown: s.subnetShown,
		Actions: quarantines[SubnetSpec](func(st *SubnetStatus) **Quarantine { return &st.Quarantine }, s)}.Def())
	s.Port = kind.TableOf[PortSpec, PortStatus](kind.Kind[PortSpec, PortStatus]{Service: "network", Name: "port", Scope: kind.InProject, AnyName: true,
		Doc:     "A port: one attachment to a subnet, with its addresses and security groups.",
		Columns: []string{"spec.subnet", "status.addresses", "status.mac", "spec.device"}, Example: PortSpec{Subnet: DefaultSubnet},
		Index: map[string]func(*portRow) []string{
			"subnet":  func(r *portRow) []string { return some(r.Spec.Subnet) },
			"device":  func(r *portRow) []string { return some(r.Spec.Device) },
			"group":   func(r *portRow) []string { return r.Spec.Groups },
			"vpc":     func(r *portRow) []string { return some(r.Status.VPC) },
			"address": func(r *portRow) []string { return r.Status.Addresses },
			"mac":     func(r *portRow) []string { return some(r.Status.MAC) }},
		Quota: one[PortSpec]("network.ports"), Defaults: s.portDefaults, Check: s.checkPort, CheckDelete: s.portUnused, Changed: s.portChanged,
		Loop:    job.Loop[portRow]{Every: portEvery, Do: s.watchPort},
		Actions: quarantines[PortSpec](func(st *PortStatus) **Quarantine { return &st.Quarantine }, s)}.Def())
	s.describeGroups()
	s.describePublic()
	s.describeNAT()
	s.Peering = kind.TableOf[PeeringSpec, PeeringStatus](kind.Kind[PeeringSpec, PeeringStatus]{Service: "network", Name: "peering", Scope: kind.InProject, AnyName: true,
		Doc:     "A peering of two VPCs, of one project or of two. Where both have routes over it, packets pass.",
		Columns: []string{"spec.vpc", "spec.peer", "status.state"}, Example: PeeringSpec{VPC: DefaultVPC, Peer: "shop"},
		Index: map[string]func(*peeringRow) []string{
			"vpc":    peeringVPCs,
			"shared": func(r *peeringRow) []string { return some(r.Status.Shared) }},
		Quota: one[PeeringSpec]("network.peerings"), Defaults: s.peeringDefaults, Check: s.checkPeering, CheckDelete: s.peeringUnused,
		Changed: s.peeringChanged, Actions: s.peeringActions()}.Def())
	s.FlowLog = kind.TableOf[FlowLogSpec, FlowLogStatus](kind.Kind[FlowLogSpec, FlowLogStatus]{Service: "network", Name: "flow-log", Scope: kind.InProject, AnyName: true,
		Doc:     "Writes down which connections the ports of a VPC, of a subnet, or one port had, and which were refused.",
		Columns: []string{"spec.vpc", "spec.subnet", "spec.port", "spec.traffic"}, Example: FlowLogSpec{VPC: DefaultVPC},
		Index: map[string]func(*flowRow) []string{
			"of": func(r *flowRow) []string { return some(r.Spec.VPC, r.Spec.Subnet, r.Spec.Port) }},
		Quota: one[FlowLogSpec]("network.flow-logs"), Check: s.checkFlowLog, Changed: s.flowLogChanged, Actions: s.flowLogActions()}.Def())
}

func (s *Service) describeGroups() {
	s.Group = kind.TableOf[GroupSpec, GroupStatus](kind.Kind[GroupSpec, GroupStatus]{Service: "network", Name: "security-group", Scope: kind.InProject, AnyName: true,
		Doc:     "A security group: what its members may receive and send. Nothing else passes.",
		Columns: []string{"status.rules", "spec.description"}, Example: GroupSpec{Description: "web servers"},
		Quota: one[GroupSpec]("network.security-groups"), CheckDelete: s.groupUnused, Changed: s.groupChanged, Shown: s.groupShown}.Def())
	s.Rule = kind.TableOf[RuleSpec, RuleStatus](kind.Kind[RuleSpec, RuleStatus]{Service: "network", Name: "security-rule", Scope: kind.InProject, AnyName: true,
		Doc:     "A rule of a security group.",
		Columns: []string{"spec.group", "spec.direction", "spec.action", "spec.protocol", "spec.ports", "spec.remote_prefix", "spec.priority"},
		Example: RuleSpec{Group: DefaultGroup, Protocol: "tcp", Ports: "22", RemotePrefix: "192.0.2.0/24"},
		Index: map[string]func(*ruleRow) []string{
			"group":         func(r *ruleRow) []string { return some(r.Spec.Group) },
			"remote":        func(r *ruleRow) []string { return some(r.Spec.RemoteGroup) },
			"address-group": func(r *ruleRow) []string { return some(r.Spec.RemoteAddressGroup) }},
		Quota: one[RuleSpec]("network.security-rules"), Defaults: s.ruleDefaults, Check: s.checkRule}.Def())
	s.AddressGroup = kind.TableOf[AddressGroupSpec, AddressGroupStatus](kind.Kind[AddressGroupSpec, AddressGroupStatus]{Service: "network", Name: "address-group",
		Scope: kind.InProject, AnyName: true, Doc: "Addresses that rules of security groups name together.",
		Columns: []string{"spec.addresses"}, Example: AddressGroupSpec{Addresses: []string{"192.0.2.0/24"}},
		Quota: one[AddressGroupSpec]("network.address-groups"), Check: s.checkAddresses, CheckDelete: s.addressesUnused}.Def())
}

func (s *Service) describePublic() {
	s.PublicIP = kind.TableOf[PublicIPSpec, PublicIPStatus](kind.Kind[PublicIPSpec, PublicIPStatus]{Service: "network", Name: "public-ip", Scope: kind.InProject, AnyName: true,
		Doc:     "A public address, which leads to a port or serves a NAT gateway.",
		Columns: []string{"status.address", "spec.port", "status.private", "spec.mbit", "spec.bandwidth"}, Example: PublicIPSpec{Mbit: 10},
		Index: map[string]func(*publicRow) []string{
			"port":      func(r *publicRow) []string { return some(r.Spec.Port) },
			"address":   func(r *publicRow) []string { return some(r.Status.Address) },
			"bandwidth": func(r *publicRow) []string { return some(r.Spec.Bandwidth) },
			"own":       func(r *publicRow) []string { return some(r.Status.BandwidthID) }},
		Quota: one[PublicIPSpec]("network.public-ips"),
		Meter: map[ledger.Dim]func(PublicIPSpec, PublicIPStatus) int64{
			"network.public-ips": func(PublicIPSpec, PublicIPStatus) int64 { return 1 },
			"network.bandwidth": func(p PublicIPSpec, _ PublicIPStatus) int64 {
				if p.Bandwidth != "" {
					return 0
				}
				return int64(p.Mbit)
			}},
		Defaults: s.publicDefaults, Check: s.checkPublic, CheckDelete: s.publicUnused, Changed: s.publicChanged, Shown: s.publicShown}.Def())
	s.Bandwidth = kind.TableOf[BandwidthSpec, BandwidthStatus](kind.Kind[BandwidthSpec, BandwidthStatus]{Service: "network", Name: "bandwidth", Scope: kind.InProject, AnyName: true,
		Doc: "A limit that several public addresses have in common.", Columns: []string{"spec.mbit"}, Example: BandwidthSpec{Mbit: 100},
		Quota: one[BandwidthSpec]("network.bandwidths"),
		Meter: map[ledger.Dim]func(BandwidthSpec, BandwidthStatus) int64{
			"network.bandwidth": func(b BandwidthSpec, _ BandwidthStatus) int64 { return int64(b.Mbit) }},
		CheckDelete: func(_ context.Context, tx store.Tx, r *bandwidthRow) error {
			return unused(tx, s.PublicIP, &r.Meta, "bandwidth", "take the public address out of it first")
		}}.Def())
}

func (s *Service) describeNAT() {
	s.Gateway = kind.TableOf[GatewaySpec, GatewayStatus](kind.Kind[GatewaySpec, GatewayStatus]{Service: "network", Name: "nat-gateway", Scope: kind.InProject, AnyName: true,
		Doc:     "A NAT gateway of a VPC, for its rules.",
		Columns: []string{"spec.vpc", "spec.description"}, Example: GatewaySpec{VPC: DefaultVPC},
		Index: map[string]func(*gatewayRow) []string{
			"vpc":    func(r *gatewayRow) []string { return some(r.Spec.VPC) },
			"subnet": func(r *gatewayRow) []string { return some(r.Spec.Subnet) }},
		Quota: one[GatewaySpec]("network.nat-gateways"), Check: s.checkGateway, CheckDelete: s.gatewayUnused}.Def())
	s.SNAT = kind.TableOf[SNATSpec, SNATStatus](kind.Kind[SNATSpec, SNATStatus]{Service: "network", Name: "snat-rule", Scope: kind.InProject, AnyName: true,
		Doc:     "Lets a subnet or a range go out by a public address.",
		Columns: []string{"spec.gateway", "spec.subnet", "spec.cidr"}, Example: SNATSpec{Gateway: "out", Subnet: DefaultSubnet, PublicIPs: []string{"front"}},
		Index: map[string]func(*snatRow) []string{
			"gateway":   func(r *snatRow) []string { return some(r.Spec.Gateway) },
			"subnet":    func(r *snatRow) []string { return some(r.Spec.Subnet) },
			"public-ip": func(r *snatRow) []string { return r.Spec.PublicIPs }},
		Quota: one[SNATSpec]("network.snat-rules"), Check: s.checkSNAT}.Def())
	s.DNAT = kind.TableOf[DNATSpec, DNATStatus](kind.Kind[DNATSpec, DNATStatus]{Service: "network", Name: "dnat-rule", Scope: kind.InProject, AnyName: true,
		Doc:     "Leads a port of a public address to a port inside.",
		Columns: []string{"spec.gateway", "status.public", "spec.external_port", "status.private", "spec.internal_port", "spec.protocol"},
		Example: DNATSpec{Gateway: "out", Private: "192.168.0.10", Internal: 80, PublicIP: "front", External: 8080, Protocol: "tcp"},
		Index: map[string]func(*dnatRow) []string{
			"gateway":   func(r *dnatRow) []string { return some(r.Spec.Gateway) },
			"port":      func(r *dnatRow) []string { return some(r.Spec.Port) },
			"public-ip": func(r *dnatRow) []string { return some(r.Spec.PublicIP) }},
		Quota: one[DNATSpec]("network.dnat-rules"), Check: s.checkDNAT}.Def())
}
