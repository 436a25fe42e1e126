package network

// PortSpec describes a port: one attachment to a subnet.
type PortSpec struct {
	Subnet       string        `json:"subnet" doc:"subnet it is in; empty: the project's default one" ref:"network/subnet" immutable:"true"`
	Description  string        `json:"description" doc:"free text" max:"255"`
	Addresses    []string      `json:"addresses" doc:"addresses it has; none: one of each family is chosen" max:"50"`
	NoAddress    bool          `json:"no_address" doc:"it has no address"`
	MAC          string        `json:"mac" doc:"its MAC address; empty: one is chosen" example:"fa:16:3e:12:34:56"`
	Groups       []string      `json:"groups" doc:"security groups; not given: the project's default one; an empty list: none, so nothing passes" ref:"network/security-group" max:"50"`
	AllowedPairs []AddressPair `json:"allowed_pairs" doc:"source addresses that it may use beside its own" max:"50"`
	PortSecurity *bool         `json:"port_security" doc:"it has security groups and may only send as itself; not given: as its subnet says"`
	Down         bool          `json:"down" doc:"it carries nothing"`
	Hostname     string        `json:"hostname" doc:"what DNS and DHCP call it" max:"63"`
	Device       string        `json:"device" doc:"id of what it is plugged into" max:"255"`
	DeviceOwner  string        `json:"device_owner" doc:"what that is: compute:ZONE for a server" max:"255"`
	Mbit         int           `json:"mbit" doc:"limit of each direction; 0: none" unit:"Mbit/s" max:"400000"`
	Queues       int           `json:"queues" doc:"queues of the network card; 0: one" max:"16"`
}

// AddressPair is a source that a port may use.
type AddressPair struct {
	Address string `json:"address" doc:"an address or a range" required:"true" example:"192.168.1.100"`
	MAC     string `json:"mac" doc:"MAC address it comes from; empty: the port's"`
}

// PortStatus is what came of it.
type PortStatus struct {
	MAC        string      `json:"mac" doc:"its MAC address"`
	Addresses  []string    `json:"addresses" doc:"its addresses, IPv4 first"`
	VPC        string      `json:"vpc,omitempty" doc:"the VPC it is in"`
	Plugged    bool        `json:"plugged" doc:"something holds it"`
	Up         bool        `json:"up" doc:"what holds it has opened it"`
	Owner      int         `json:"owner,omitempty" doc:"user id on the machine that may open it"`
	Own        bool        `json:"own,omitempty" doc:"the cloud itself is at its addresses, and no device"`
	Quarantine *Quarantine `json:"quarantine,omitempty" doc:"set while nothing passes but what the cloud itself opens"`
	In         int64       `json:"in" doc:"received since it was plugged" unit:"bytes"`
	Out        int64       `json:"out" doc:"sent since it was plugged" unit:"bytes"`
	Dropped    int64       `json:"dropped" doc:"dropped by groups and because of false senders" unit:"packets"`
}
