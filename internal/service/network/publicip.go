package network

// PublicIPSpec describes a public address.
type PublicIPSpec struct {
	Description   string `json:"description" doc:"free text" max:"255"`
	Pool          string `json:"pool" doc:"pool of the cloud's that it is taken from; empty: the first" immutable:"true" max:"64"`
	Address       string `json:"address" doc:"the address wanted; empty: any free one" immutable:"true"`
	Port          string `json:"port" doc:"port that it leads to, by id; empty: none" ref:"network/port"`
	Private       string `json:"private" doc:"which of the port's addresses it leads to; empty: its first"`
	Mbit          int    `json:"mbit" doc:"limit of each direction, where no bandwidth is named" unit:"Mbit/s" default:"5" min:"1" max:"2000"`
	Bandwidth     string `json:"bandwidth" doc:"the shared bandwidth that it belongs to" ref:"network/bandwidth"`
	BandwidthName string `json:"bandwidth_name" doc:"what clients that know bandwidths only as things call its own" max:"64"`
	ChargeMode    string `json:"charge_mode" doc:"what is charged: bandwidth or traffic" enum:"bandwidth,traffic" default:"bandwidth"`
	Type          string `json:"type" doc:"what a client called the type of line; kept for it" max:"36" immutable:"true"`
}

// PublicIPStatus is what came of it.
type PublicIPStatus struct {
	Address     string `json:"address" doc:"the address"`
	Private     string `json:"private,omitempty" doc:"the address that it leads to"`
	BandwidthID string `json:"bandwidth_id" doc:"id of its own bandwidth, for clients that know bandwidths only as things"`
	Used        string `json:"used_by,omitempty" doc:"the NAT gateway that uses it"`
}

// BandwidthSpec describes a bandwidth that public addresses share.
type BandwidthSpec struct {
	Mbit       int    `json:"mbit" doc:"limit of each direction, of each address in it" unit:"Mbit/s" default:"5" min:"1" max:"2000"`
	ChargeMode string `json:"charge_mode" doc:"what is charged: bandwidth or traffic" enum:"bandwidth,traffic" default:"bandwidth"`
}

// BandwidthStatus is empty: a bandwidth is what it says.
type BandwidthStatus struct{}
