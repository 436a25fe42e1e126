package network

import (
	"time"

	"github.com/awancloud/awan/internal/kernel/kind"
)

// Unrouted as a subnet's VPC makes a network that no VPC routes.
const Unrouted = "none"

// VPCSpec describes a VPC: a routing domain of one's own.
type VPCSpec struct {
	Description string   `json:"description" doc:"free text" max:"255"`
	CIDR        string   `json:"cidr" doc:"private range that its subnets lie in; empty: any range" example:"192.168.0.0/16"`
	ExtendCIDRs []string `json:"extend_cidrs" doc:"further ranges" max:"5"`
	Routes      []Route  `json:"routes" doc:"where to send what is for none of its subnets" max:"200"`
	Internet    bool     `json:"internet" doc:"ports without a public address of their own may open connections to the outside"`
	Down        bool     `json:"down" doc:"nothing passes between its subnets, nor to the outside"`
}

// Route leads a destination to exactly one of the next hops.
type Route struct {
	Destination string `json:"destination" doc:"range that it is for" required:"true" example:"10.9.0.0/16"`
	Address     string `json:"address,omitempty" doc:"next hop: an address in one of the VPC's subnets"`
	Port        string `json:"port,omitempty" doc:"next hop: a port, by id" ref:"network/port"`
	Peering     string `json:"peering,omitempty" doc:"next hop: the VPC behind a peering" ref:"network/peering"`
	Gateway     string `json:"gateway,omitempty" doc:"next hop: a NAT gateway" ref:"network/nat-gateway"`
	Type        string `json:"type,omitempty" doc:"what a client called the kind of next hop; kept for it" max:"32"`
	Description string `json:"description,omitempty" doc:"free text" max:"255"`
}

// VPCStatus is what came of it.
type VPCStatus struct {
	Quarantine *Quarantine `json:"quarantine,omitempty" doc:"set while nothing passes into, out of or within it"`
}

// Quarantine says who cut something off, when and why.
type Quarantine struct {
	At     time.Time `json:"at" doc:"since when"`
	By     string    `json:"by" doc:"who did it"`
	Reason string    `json:"reason,omitempty" doc:"why"`
}

// SubnetSpec describes a subnet: one broadcast domain. It is what OpenStack calls a network with its subnets, of which there
// may be one for IPv4 and one for IPv6.
type SubnetSpec struct {
	VPC         string    `json:"vpc" doc:"VPC that routes it; empty: the project's default one; none: none" ref:"network/vpc"`
	Description string    `json:"description" doc:"free text" max:"255"`
	CIDR        string    `json:"cidr" doc:"its IPv4 range; empty: a free /24 of the VPC's is chosen" example:"192.168.1.0/24"`
	Gateway     string    `json:"gateway" doc:"address of the gateway; empty: the first; none: there is none"`
	IPv6        bool      `json:"ipv6" doc:"has IPv6 too"`
	CIDR6       string    `json:"cidr6" doc:"its IPv6 range, a /64; empty: one of the cloud's own, when ipv6 is set" example:"fd00:1:2:3::/64"`
	Gateway6    string    `json:"gateway6" doc:"address of the IPv6 gateway; empty: the first"`
	Pools       []Range   `json:"pools" doc:"addresses that are given out; none: all" max:"20"`
	DHCP        bool      `json:"dhcp" doc:"answers DHCP" default:"true"`
	DNS         []string  `json:"dns" doc:"resolvers that DHCP names; none: the cloud's own, which knows the names of the VPC's ports" max:"5"`
	NTP         []string  `json:"ntp" doc:"time servers that DHCP names" max:"4"`
	Domain      string    `json:"domain" doc:"search domain that DHCP names" max:"255"`
	Lease       kind.Span `json:"lease" doc:"how long an address is leased" default:"24h" min:"120" max:"315360000"`
	MTU         int       `json:"mtu" doc:"largest packet; 0: the engine's" max:"9000"`
	Zone        string    `json:"zone" doc:"availability zone; empty: the cloud's" max:"64"`
	Down        bool      `json:"down" doc:"its ports carry nothing"`
	// PortSecurity is what new ports get.
	PortSecurity bool   `json:"port_security" doc:"new ports have security groups and may only send as themselves" default:"true"`
	Name4        string `json:"ipv4_name" doc:"what OpenStack clients call its IPv4 subnet" max:"255"`
	Name6        string `json:"ipv6_name" doc:"what OpenStack clients call its IPv6 subnet" max:"255"`
	Description4 string `json:"ipv4_description" doc:"free text of the IPv4 subnet, as OpenStack clients give it" max:"255"`
	Description6 string `json:"ipv6_description" doc:"free text of the IPv6 subnet, as OpenStack clients give it" max:"255"`
}

// Range is addresses from the first to the last, both included.
type Range struct {
	First string `json:"first" doc:"first address" required:"true"`
	Last  string `json:"last" doc:"last address" required:"true"`
}

// SubnetStatus is what came of it.
type SubnetStatus struct {
	IPv4       string      `json:"ipv4_subnet,omitempty" doc:"id of its IPv4 subnet for OpenStack clients"`
	IPv6       string      `json:"ipv6_subnet,omitempty" doc:"id of its IPv6 subnet for OpenStack clients"`
	Interface  string      `json:"interface,omitempty" doc:"id of the VPC's interface in it for OpenStack clients"`
	Quarantine *Quarantine `json:"quarantine,omitempty" doc:"set while nothing passes into, out of or within it"`
	Free       int64       `json:"free" doc:"IPv4 addresses that can still be given out"`
}
