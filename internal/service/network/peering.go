package network

// PeeringSpec asks for a peering of two VPCs. Packets pass once the other side accepted, where both have routes.
type PeeringSpec struct {
	VPC         string `json:"vpc" doc:"the VPC of this project" ref:"network/vpc" required:"true" immutable:"true"`
	Peer        string `json:"peer" doc:"the other VPC, by id; of this project also by name" required:"true" immutable:"true"`
	PeerProject string `json:"peer_project" doc:"id of the project of the other VPC; empty: this one" immutable:"true"`
	Description string `json:"description" doc:"free text" max:"255"`
}

// PeeringStatus is what came of it.
type PeeringStatus struct {
	State  string `json:"state" doc:"pending, active or rejected"`
	Pair   string `json:"pair,omitempty" doc:"id of the same peering as the other project sees it; empty: both VPCs are of one project"`
	Asked  bool   `json:"asked" doc:"the other project asked for it"`
	Shared string `json:"shared_id" doc:"the id that both projects know it by"`
}

// FlowLogSpec says whose packets are written down.
type FlowLogSpec struct {
	VPC         string `json:"vpc" doc:"of every port of this VPC" ref:"network/vpc" immutable:"true"`
	Subnet      string `json:"subnet" doc:"or of this subnet" ref:"network/subnet" immutable:"true"`
	Port        string `json:"port" doc:"or of this port" ref:"network/port" immutable:"true"`
	Traffic     string `json:"traffic" doc:"what is written" enum:"all,accept,reject" default:"all"`
	Disabled    bool   `json:"disabled" doc:"nothing is written for now"`
	Description string `json:"description" doc:"free text" max:"255"`
	LogGroup    string `json:"log_group" doc:"id of the log group that a client named; kept for it" max:"64"`
	LogStream   string `json:"log_stream" doc:"id of the log stream that a client named; kept for it" max:"64"`
}

// FlowLogStatus is empty: a flow log is its records.
type FlowLogStatus struct{}
