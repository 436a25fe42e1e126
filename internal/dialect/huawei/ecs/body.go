package ecs

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// serverBody is a server as a client asks for it.
type serverBody struct {
	Name             string                  `json:"name"`
	ImageRef         string                  `json:"imageRef"`
	FlavorRef        string                  `json:"flavorRef"`
	VPC              string                  `json:"vpcid"`
	Nics             []nicBody               `json:"nics"`
	RootVolume       *volumeBody             `json:"root_volume"`
	DataVolumes      []volumeBody            `json:"data_volumes"`
	SecurityGroups   []idBody                `json:"security_groups"`
	PublicIP         *publicBody             `json:"publicip"`
	AvailabilityZone string                  `json:"availability_zone"`
	KeyName          string                  `json:"key_name"`
	AdminPass        string                  `json:"adminPass"`
	UserData         string                  `json:"user_data"` // base64
	Count            int                     `json:"count"`
	ServerTags       []rest.Tag              `json:"server_tags"`
	Tags             []string                `json:"tags"` // "key.value"
	Metadata         map[string]string       `json:"metadata"`
	Hints            *hintsBody              `json:"os:scheduler_hints"`
	Extend           *extendBody             `json:"extendparam"`
	Description      string                  `json:"description"`
	Terminate        string                  `json:"auto_terminate_time"`
	Enclave          *struct{ Enabled bool } `json:"enclave_options"`
}

type (
	idBody struct {
		ID string `json:"id"`
	}
	nicBody struct {
		SubnetID       string            `json:"subnet_id"`
		PortID         string            `json:"port_id"`
		IPAddress      string            `json:"ip_address"`
		IPv6           bool              `json:"ipv6_enable"`
		SecurityGroups []idBody          `json:"security_groups"`
		Pairs          []json.RawMessage `json:"allowed_address_pairs"`
	}
	volumeBody struct {
		Type        string            `json:"volumetype"`
		Size        int               `json:"size"`
		IOPS        int               `json:"iops"`
		Throughput  int               `json:"throughput"`
		Shareable   bool              `json:"shareable"`
		MultiAttach bool              `json:"multiattach"`
		DataImage   string            `json:"data_image_id"`
		Delete      bool              `json:"delete_on_termination"`
		Metadata    map[string]string `json:"metadata"`
		Extend      *struct {
			Snapshot string `json:"snapshotId"`
		} `json:"extendparam"`
	}
	publicBody struct {
		ID  string `json:"id"`
		EIP *struct {
			Bandwidth *struct {
				Size int    `json:"size"`
				ID   string `json:"id"`
			} `json:"bandwidth"`
		} `json:"eip"`
		Delete bool `json:"delete_on_termination"`
	}
	hintsBody struct {
		Group     string `json:"group"`
		Tenancy   string `json:"tenancy"`
		Dedicated string `json:"dedicated_host_id"`
	}
	extendBody struct {
		ChargingMode any    `json:"chargingMode"` // 0 or "postPaid": by use
		Enterprise   string `json:"enterprise_project_id"`
		Recovery     any    `json:"support_auto_recovery"`
		Market       string `json:"marketType"`
	}
)

// refuse says what cannot be had here and would be missed.
func (b *serverBody) refuse() error {
	if e := b.Extend; e != nil {
		switch e.ChargingMode {
		case nil, "", "postPaid", "0", float64(0):
		default:
			return fail.Field("server.extendparam.chargingMode", "this cloud charges by use; there are no orders").Then("leave it out, or say postPaid")
		}
		if e.Market != "" {
			return fail.Field("server.extendparam.marketType", "there are no spot prices here").Then("leave it out")
		}
	}
	if h := b.Hints; h != nil && (h.Dedicated != "" || h.Tenancy != "" && h.Tenancy != "shared") {
		return fail.Field("server.os:scheduler_hints", "there are no dedicated hosts here").Then("leave tenancy and dedicated_host_id out")
	}
	if b.Terminate != "" {
		return fail.Field("server.auto_terminate_time", "servers are not deleted by the clock here").Then("leave it out")
	}
	if b.Enclave != nil && b.Enclave.Enabled {
		return fail.Field("server.enclave_options.enabled", "there are no enclaves here").Then("leave it out")
	}
	for _, v := range b.DataVolumes {
		if v.Shareable || v.MultiAttach {
			return fail.Field("server.data_volumes.multiattach", "a disk that comes with a server is that server's").Then("make a shared disk first (POST …/cloudvolumes) and attach it")
		}
	}
	for _, n := range b.Nics {
		if len(n.Pairs) > 0 {
			return fail.Field("server.nics.allowed_address_pairs", "is set on the port").Then("PUT /v1/{project_id}/ports/{port_id} when the server is there")
		}
	}
	if b.Count < 0 || b.Count > 500 {
		return fail.Field("server.count", "%d is not a number from 1 to 500", b.Count)
	}
	return nil
}

// spec is what the body asks of the compute service.
func (b *serverBody) spec() (wire.Spec, error) {
	if err := b.refuse(); err != nil {
		return nil, err
	}
	user, err := decoded("server.user_data", b.UserData)
	if err != nil {
		return nil, err
	}
	s := wire.Spec{"flavor": b.FlavorRef, "image": b.ImageRef, "key_pair": b.KeyName, "zone": b.AvailabilityZone, "description": b.Description}
	foreign, meta := map[string]string{}, map[string]string{}
	for k, v := range b.Metadata {
		switch k {
		case agencyKey:
			s["agency"] = v
		case agents:
			foreign[agents] = v
		case "op_svc_userid": // who ordered it, at Huawei: here the call says that
		default:
			meta[k] = v
		}
	}
	if b.AdminPass != "" {
		s["password"] = b.AdminPass
	}
	if user != "" {
		s["user_data"] = user
	}
	if v := b.RootVolume; v != nil {
		s["root"] = v.root()
	}
	var data, cards []wire.Spec
	for i := range b.DataVolumes {
		data = append(data, b.DataVolumes[i].data())
	}
	for i := range b.Nics {
		cards = append(cards, b.Nics[i].card())
	}
	if data != nil {
		s["volumes"] = data
	}
	if cards != nil {
		s["networks"] = cards
	}
	if g := ids(b.SecurityGroups); len(g) > 0 {
		s["groups"] = g
	}
	if p := b.PublicIP; p != nil {
		ip, err := p.spec()
		if err != nil {
			return nil, err
		}
		s["public_ip"], s["release_ip"] = ip, p.Delete
	}
	if b.Hints != nil && b.Hints.Group != "" {
		s["group"] = b.Hints.Group
	}
	if b.Extend != nil && b.Extend.Recovery != nil {
		foreign[recovery] = strings.ToLower(strings.Trim(strings.TrimSpace(toText(b.Extend.Recovery)), `"`))
	}
	if len(meta) > 0 {
		s["metadata"] = meta
	}
	s["foreign"] = foreign
	return s, nil
}

func toText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "" // plain values always encode
	}
	return string(b)
}

// decoded reads base64.
func decoded(field, s string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", fail.Field(field, "is not base64").Then("encode it: base64 -w0 FILE")
	}
	return string(b), nil
}

func ids(of []idBody) (out []string) {
	for _, g := range of {
		if g.ID != "" {
			out = append(out, g.ID)
		}
	}
	return out
}

func (v *volumeBody) root() wire.Spec {
	s := wire.Spec{"type": v.Type, "size": v.Size}
	put(s, "iops", v.IOPS)
	put(s, "throughput", v.Throughput)
	put(s, "encryption", v.Metadata["__system__cmkid"])
	return s
}

func (v *volumeBody) data() wire.Spec {
	s := wire.Spec{"type": v.Type, "size": v.Size, "delete": v.Delete}
	put(s, "iops", v.IOPS)
	put(s, "throughput", v.Throughput)
	put(s, "image", v.DataImage)
	if v.Extend != nil {
		put(s, "snapshot", v.Extend.Snapshot)
	}
	return s
}

// put sets what is not empty.
func put[T comparable](s wire.Spec, name string, v T) {
	var zero T
	if v != zero {
		s[name] = v
	}
}

func (n *nicBody) card() wire.Spec {
	s := wire.Spec{"port": n.PortID, "subnet": n.SubnetID}
	put(s, "address", n.IPAddress)
	put(s, "ipv6", n.IPv6)
	if g := ids(n.SecurityGroups); len(g) > 0 {
		s["groups"] = g
	}
	return s
}

func (p *publicBody) spec() (wire.Spec, error) {
	switch {
	case p.ID != "" && p.EIP != nil:
		return nil, fail.Field("server.publicip", "id and eip exclude each other").Then("give the id of an address, or say what a new one is to be like")
	case p.ID != "":
		return wire.Spec{"address": p.ID}, nil
	case p.EIP == nil:
		return nil, fail.Field("server.publicip", "neither id nor eip is given")
	}
	s := wire.Spec{"address": ""}
	if b := p.EIP.Bandwidth; b != nil {
		if b.ID != "" {
			return nil, fail.Field("server.publicip.eip.bandwidth.id", "a shared bandwidth is joined by the address itself").Then("leave it out, then add the address to the bandwidth")
		}
		put(s, "bandwidth", b.Size)
	}
	return s, nil
}

// tags are those of either form.
func (b *serverBody) tags() map[string]string {
	out := rest.TagMap(b.ServerTags)
	for _, t := range b.Tags {
		k, v, _ := strings.Cut(t, ".")
		out[k] = v
	}
	return out
}
