package network

// GroupSpec describes a security group. What no rule of a port's groups lets pass is dropped, in both directions.
type GroupSpec struct {
	Description string `json:"description" doc:"free text" max:"255"`
	Bare        bool   `json:"bare" doc:"begin without the four rules that let everything out, and in from members of the group" immutable:"true"`
}

// GroupStatus is what came of it.
type GroupStatus struct {
	Rules int `json:"rules" doc:"how many rules it has"`
}

// RuleSpec describes a rule of a security group.
type RuleSpec struct {
	Group              string `json:"group" doc:"the group it belongs to" ref:"network/security-group" required:"true" immutable:"true"`
	Description        string `json:"description" doc:"free text" max:"255"`
	Direction          string `json:"direction" doc:"ingress: towards the port; egress: from it" enum:"ingress,egress" default:"ingress"`
	IPv6               bool   `json:"ipv6" doc:"of IPv6 packets; else IPv4"`
	Protocol           string `json:"protocol" doc:"tcp, udp, icmp, icmpv6 or a number; empty: any" example:"tcp"`
	Ports              string `json:"ports" doc:"ports and ranges of tcp and udp; empty: all" example:"22,80-90" max:"255"`
	ICMPType           *int   `json:"icmp_type" doc:"ICMP type; not given: any" min:"0" max:"255"`
	ICMPCode           *int   `json:"icmp_code" doc:"ICMP code; not given: any" min:"0" max:"255"`
	Action             string `json:"action" doc:"what happens to what it fits" enum:"allow,deny" default:"allow"`
	Priority           int    `json:"priority" doc:"1 counts first; deny before allow at the same priority" default:"1" min:"1" max:"100"`
	RemotePrefix       string `json:"remote_prefix" doc:"the other side: an address or range" example:"192.0.2.0/24"`
	RemoteGroup        string `json:"remote_group" doc:"the other side: members of this security group" ref:"network/security-group"`
	RemoteAddressGroup string `json:"remote_address_group" doc:"the other side: what an address group holds; with none of the three: anybody" ref:"network/address-group"`
	Disabled           bool   `json:"disabled" doc:"it does nothing for now"`
}

// RuleStatus is empty: a rule is what it says.
type RuleStatus struct{}

// AddressGroupSpec describes a set of addresses that rules name.
type AddressGroupSpec struct {
	Description string            `json:"description" doc:"free text" max:"255"`
	Addresses   []string          `json:"addresses" doc:"addresses, ranges (A-B) and prefixes" max:"100" example:"192.0.2.0/24"`
	IPv6        bool              `json:"ipv6" doc:"holds IPv6 addresses; else IPv4" immutable:"true"`
	Remarks     map[string]string `json:"remarks,omitempty" doc:"free text for some of the addresses" max:"100"`
	Max         int               `json:"max" doc:"how many it may hold" default:"20" min:"1" max:"100"`
}

// AddressGroupStatus is empty: an address group is what it says.
type AddressGroupStatus struct{}
