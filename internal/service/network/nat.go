package network

// GatewaySpec describes a NAT gateway of a VPC.
type GatewaySpec struct {
	VPC         string `json:"vpc" doc:"the VPC it is for" ref:"network/vpc" required:"true" immutable:"true"`
	Subnet      string `json:"subnet" doc:"the subnet it stands in" ref:"network/subnet" immutable:"true"`
	Description string `json:"description" doc:"free text" max:"255"`
	Size        string `json:"size" doc:"1 small to 4 extra large; kept for clients, every one is as large as the machine" enum:"1,2,3,4" default:"1"`
}

// GatewayStatus is empty: a gateway is its rules.
type GatewayStatus struct{}

// SNATSpec lets a range of a VPC go out by public addresses.
type SNATSpec struct {
	Gateway     string   `json:"gateway" doc:"the NAT gateway" ref:"network/nat-gateway" required:"true" immutable:"true"`
	Subnet      string   `json:"subnet" doc:"the subnet whose ports go out" ref:"network/subnet" immutable:"true"`
	CIDR        string   `json:"cidr" doc:"or the range that goes out" immutable:"true"`
	PublicIPs   []string `json:"public_ips" doc:"public addresses that it goes out as; the first is used" ref:"network/public-ip" required:"true" max:"20"`
	Description string   `json:"description" doc:"free text" max:"255"`
}

// SNATStatus is empty: a rule is what it says.
type SNATStatus struct{}

// DNATSpec maps a port of a public address to one inside.
type DNATSpec struct {
	Gateway     string `json:"gateway" doc:"the NAT gateway" ref:"network/nat-gateway" required:"true" immutable:"true"`
	Port        string `json:"port" doc:"port that it leads to, by id" ref:"network/port"`
	Private     string `json:"private" doc:"or the address that it leads to"`
	Protocol    string `json:"protocol" doc:"tcp or udp" enum:"tcp,udp" default:"tcp"`
	Internal    int    `json:"internal_port" doc:"port inside" required:"true" min:"1" max:"65535"`
	PublicIP    string `json:"public_ip" doc:"the public address" ref:"network/public-ip" required:"true"`
	External    int    `json:"external_port" doc:"port of the public address" required:"true" min:"1" max:"65535"`
	Description string `json:"description" doc:"free text" max:"255"`
}

// DNATStatus is what came of it.
type DNATStatus struct {
	Private string `json:"private" doc:"the address that it leads to"`
	Public  string `json:"public" doc:"the public address"`
}
