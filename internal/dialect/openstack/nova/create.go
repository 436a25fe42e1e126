package nova

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/compute"
)

// keptReservation tells which servers one request made.
const keptReservation = "nova:reservation"

// What a request may hold of files that are written into the server.
const (
	mostFiles     = 5
	mostFileBytes = 10240
	mostFilePath  = 255
)

// mostAtOnce is how many servers one request may make.
const mostAtOnce = 100

// createIn is what clients send.
type createIn struct {
	Name       string            `json:"name"`
	Flavor     string            `json:"flavorRef"`
	Image      *string           `json:"imageRef"`
	Networks   json.RawMessage   `json:"networks"`
	Groups     []named           `json:"security_groups"`
	Devices    []device          `json:"block_device_mapping_v2"`
	KeyName    *string           `json:"key_name"`
	AdminPass  string            `json:"adminPass"`
	UserData   *string           `json:"user_data"`
	Metadata   map[string]string `json:"metadata"`
	Zone       *string           `json:"availability_zone"`
	Min        *rest.Int         `json:"min_count"`
	Max        *rest.Int         `json:"max_count"`
	Reserve    rest.Bool         `json:"return_reservation_id"`
	Drive      *rest.Bool        `json:"config_drive"`
	DiskConfig string            `json:"OS-DCF:diskConfig"`
	AccessIPv4 string            `json:"accessIPv4"`
	AccessIPv6 string            `json:"accessIPv6"`
	Tags       []string          `json:"tags"`
	Text       *string           `json:"description"`
	Hostname   string            `json:"hostname"`
	Host       *string           `json:"host"`
	Node       *string           `json:"hypervisor_hostname"`
	Files      []personality     `json:"personality"`
	Trusted    []string          `json:"trusted_image_certificates"`
	Hints      json.RawMessage   `json:"os:scheduler_hints"`
	OldDevices []json.RawMessage `json:"block_device_mapping"`
}

type named struct {
	Name string `json:"name"`
}

// device is a disk that the client wants.
type device struct {
	Boot        *rest.Int `json:"boot_index"`
	UUID        string    `json:"uuid"`
	Source      string    `json:"source_type"`
	Destination string    `json:"destination_type"`
	Size        *rest.Int `json:"volume_size"`
	Type        *string   `json:"volume_type"`
	Delete      rest.Bool `json:"delete_on_termination"`
	Device      *string   `json:"device_name"`
	Bus         *string   `json:"disk_bus"`
	Kind        *string   `json:"device_type"`
	Format      *string   `json:"guest_format"`
	Tag         *string   `json:"tag"`
	NoDevice    *bool     `json:"no_device"`
	Volume      string    `json:"volume_id"`
	Image       string    `json:"image_id"`
	Snapshot    string    `json:"snapshot_id"`
}

// personality is a file that is to be there from the first start.
type personality struct {
	Path     string `json:"path"`
	Contents string `json:"contents"`
}

// nic is a network card that the client wants.
type nic struct {
	UUID    string  `json:"uuid"`
	Port    *string `json:"port"`
	FixedIP string  `json:"fixed_ip"`
	Tag     *string `json:"tag"`
}

func createServers(x *exchange) error {
	var in createIn
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	if err := o.Into("server", &in); err != nil {
		return err
	}
	spec, err := x.specOf(&in)
	if err != nil {
		return err
	}
	for _, name := range []string{"os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"} {
		if raw := o[name]; raw != nil {
			in.Hints = raw
		}
	}
	if err := x.hints(in.Hints, spec); err != nil {
		return err
	}
	least, most, err := counts(&in)
	if err != nil {
		return err
	}
	reservation := "r-" + string(id.New())[24:]
	spec.Foreign[keptReservation] = reservation
	rows, err := x.makeServers(in.Name, spec, rest.TagMap(in.Tags), least, most)
	if err != nil {
		return err
	}
	if in.Reserve {
		wire.Write(x.W, http.StatusAccepted, map[string]string{"reservation_id": reservation})
		return nil
	}
	r := rows[0]
	self := x.links("/servers/" + r.ID.Dashed())
	out := map[string]any{"id": r.ID.Dashed(), "links": self, "OS-DCF:diskConfig": cmpOr(in.DiskConfig == "AUTO", "AUTO", "MANUAL"),
		"security_groups": x.securityGroups(r)}
	if in.AdminPass != "" {
		out["adminPass"] = in.AdminPass
	}
	x.W.Header().Set("Location", self[0].Href)
	return x.One(http.StatusAccepted, "server", out)
}

func counts(in *createIn) (least, most int, err error) {
	least, most = 1, 1
	if in.Min != nil {
		least, most = int(*in.Min), int(*in.Min)
	}
	if in.Max != nil {
		if most = int(*in.Max); in.Min == nil {
			least = 1
		}
	}
	switch {
	case least < 1 || most < 1:
		return 0, 0, fail.Field("min_count", "min_count and max_count must be 1 or more")
	case least > most:
		return 0, 0, fail.Field("min_count", "min_count must be <= max_count")
	case most > mostAtOnce:
		return 0, 0, fail.Field("max_count", "one request makes at most %d servers", mostAtOnce)
	}
	return least, most, nil
}

// makeServers makes as many as there is room for, at least the least; else none stays.
func (x *exchange) makeServers(name string, spec *compute.ServerSpec, tags map[string]string, least, most int) ([]*serverRow, error) {
	b, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var made []*serverRow
	for i := range most {
		one := name
		if most > 1 {
			one = fmt.Sprintf("%s-%d", name, i+1)
		}
		c := x.Call
		c.Kind, c.Verb, c.Name, c.Spec, c.Tags = x.api.o.Compute.Server.D, call.Create, &one, b, &tags
		r, err := x.API.Door.Do(x.R.Context(), &c)
		if err == nil {
			made = append(made, r.Row.(*serverRow))
			continue
		}
		if len(made) >= least && (fail.Is(err, fail.Quota) || fail.Is(err, fail.NoSpace)) {
			break
		}
		for _, m := range made {
			_, _ = rest.Do(x.Exchange, x.api.o.Compute.Server.D, call.Delete, string(m.ID), nil)
		}
		return nil, plainField(err)
	}
	return made, nil
}

// plainField says what a refused field is called here.
func plainField(err error) error {
	e := fail.From(err)
	names := map[string]string{"spec.flavor": "flavorRef", "spec.image": "imageRef", "spec.key_pair": "key_name", "spec.zone": "availability_zone",
		"spec.user_data": "user_data", "spec.hostname": "hostname", "spec.metadata": "metadata", "spec.description": "description"}
	if n := names[e.Field]; n != "" {
		out := *e
		out.Field = n
		return &out
	}
	return err
}

// specOf turns what the client sent into a server.
func (x *exchange) specOf(in *createIn) (*compute.ServerSpec, error) {
	switch {
	case in.Name == "":
		return nil, fail.Field("name", "is required")
	case in.Flavor == "":
		return nil, fail.Field("flavorRef", "is required").Then("see GET /flavors")
	case len(in.Files) > 0 && x.Since(57):
		return nil, fail.Field("personality", "it went with microversion 2.57").Then("send user_data, which writes files by write_files")
	case len(in.Files) > mostFiles:
		return nil, fail.New(fail.Denied, "Personality file limit exceeded: at most %d", mostFiles)
	case len(in.OldDevices) > 0:
		return nil, fail.Field("block_device_mapping", "this form is not known any more").Then("send block_device_mapping_v2")
	case len(in.Trusted) > 0:
		return nil, fail.Field("trusted_image_certificates", "images have no signatures here")
	}
	f := x.flavorByID(lastPart(in.Flavor))
	if f == nil {
		return nil, fail.Field("flavorRef", "Flavor %s could not be found", in.Flavor).Then("see GET /flavors")
	}
	spec := &compute.ServerSpec{Flavor: f.Name, Password: in.AdminPass, Metadata: in.Metadata, Hostname: in.Hostname, Foreign: map[string]string{}}
	if in.Image != nil {
		spec.Image = lastPart(*in.Image)
	}
	if in.KeyName != nil {
		spec.KeyPair = *in.KeyName
	}
	if in.Text != nil {
		spec.Description = *in.Text
	}
	if in.Zone != nil {
		zone, host, _ := strings.Cut(*in.Zone, ":")
		if spec.Zone = zone; host != "" {
			if err := x.hostIs(host); err != nil {
				return nil, err
			}
		}
	}
	for _, h := range []*string{in.Host, in.Node} {
		if h != nil && *h != "" {
			if err := x.hostIs(*h); err != nil {
				return nil, err
			}
		}
	}
	for _, g := range in.Groups {
		spec.Groups = append(spec.Groups, g.Name)
	}
	for _, f := range in.Files {
		spec.Files = append(spec.Files, compute.File{Path: f.Path, Content: strings.Join(strings.Fields(f.Contents), "")})
	}
	for k, v := range map[string]string{keptDiskConfig: in.DiskConfig, keptAccessIPv4: in.AccessIPv4, keptAccessIPv6: in.AccessIPv6} {
		if v != "" {
			spec.Foreign[k] = v
		}
	}
	if in.Drive != nil && bool(*in.Drive) {
		spec.Foreign[keptConfigDrive] = "True"
	}
	if in.UserData != nil {
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(*in.UserData), ""))
		if err != nil {
			return nil, fail.Field("user_data", "it is not base64")
		}
		if !utf8.Valid(b) {
			return nil, fail.Field("user_data", "it is not text").Then("send it unpacked: compressed user data is not taken")
		}
		spec.UserData = string(b)
	}
	if err := x.cards(in.Networks, spec); err != nil {
		return nil, err
	}
	return spec, x.disks(in.Devices, spec)
}

// hostIs refuses hosts other than the one there is; only operators may name it.
func (x *exchange) hostIs(host string) error {
	if err := rest.Operators(x.Exchange); err != nil {
		return err
	}
	if own := x.api.o.Compute.HostName; host != own {
		return fail.Field("host", "Compute host %s could not be found", host).Then("this cloud has %s", own)
	}
	return nil
}

// lastPart takes the id of a reference that may be a whole link.
func lastPart(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// cards reads the networks wanted: a list, "auto" or "none".
func (x *exchange) cards(raw json.RawMessage, spec *compute.ServerSpec) error {
	text := ""
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	if json.Unmarshal(raw, &text) == nil {
		switch text {
		case "auto":
			return nil
		case "none":
			spec.Unplugged = true
			return nil
		}
		return fail.Field("networks", "%q is neither auto nor none", text)
	}
	var list []nic
	if err := kind.DecodeStrict(raw, &list, "networks", kind.FieldsOf(&list)); err != nil {
		return err
	}
	for i, n := range list {
		c := compute.Card{Address: n.FixedIP}
		switch {
		case n.Port != nil && *n.Port != "":
			c.Port, c.Address = *n.Port, ""
		case n.UUID != "":
			subnet, err := x.subnet(n.UUID)
			if err != nil {
				return err
			}
			if c.Subnet = string(subnet); subnet == "" {
				return fail.Field(fmt.Sprintf("networks[%d].uuid", i), "Network %s could not be found", n.UUID)
			}
		}
		if n.Tag != nil && *n.Tag != "" {
			spec.Foreign[keptTag+fmt.Sprintf("nic%d", i)] = *n.Tag
		}
		spec.Networks = append(spec.Networks, c)
	}
	return nil
}

// subnet gives the subnet that a client's network is.
func (x *exchange) subnet(network string) (out id.ID, err error) {
	if x.api.o.Cards == nil {
		i, _ := id.Parse(network)
		return i, nil
	}
	err = x.View(func(tx store.Tx) (err error) {
		out, err = x.api.o.Cards.Subnet(tx, x.Who.Project, network)
		return err
	})
	return out, err
}

// disks reads the disks wanted.
func (x *exchange) disks(list []device, spec *compute.ServerSpec) error {
	for i, d := range list {
		at := fmt.Sprintf("block_device_mapping_v2[%d]", i)
		source := firstOf(d.UUID, d.Volume, d.Image, d.Snapshot)
		to := d.Destination
		if to == "" {
			to = map[string]string{"volume": "volume", "snapshot": "volume"}[d.Source]
		}
		size, typ := 0, ""
		if d.Size != nil {
			size = int(*d.Size)
		}
		if d.Type != nil {
			typ = *d.Type
		}
		if d.Tag != nil && *d.Tag != "" {
			key := "root"
			if !d.boots() {
				key = fmt.Sprintf("data%d", len(spec.Volumes))
			}
			spec.Foreign[keptTag+key] = *d.Tag
		}
		if d.boots() {
			if err := bootFrom(spec, at, &d, source, to, size, typ); err != nil {
				return err
			}
			continue
		}
		v := compute.Volume{Size: size, Type: typ, Delete: bool(d.Delete)}
		if d.Device != nil {
			v.Device = *d.Device
		}
		switch d.Source {
		case "volume":
			v.Volume = source
		case "image":
			if v.Image = source; to != "volume" {
				return fail.Field(at+".destination_type", "disks beside the first are volumes here").Then("say volume")
			}
		case "snapshot":
			v.Snapshot = source
		case "blank":
			if to != "volume" {
				return fail.Field(at+".destination_type", "there are no ephemeral and no swap disks here").Then("say volume")
			}
		default:
			return fail.Field(at+".source_type", "%q is none of volume, image, snapshot and blank", d.Source)
		}
		spec.Volumes = append(spec.Volumes, v)
	}
	return nil
}

// boots tells whether the server is to boot from a disk.
func (d *device) boots() bool { return d.Boot != nil && *d.Boot == 0 }

// bootFrom reads the disk that the server is to boot from.
func bootFrom(spec *compute.ServerSpec, at string, d *device, source, to string, size int, typ string) error {
	switch d.Source {
	case "image":
		if spec.Image == "" || to == "volume" {
			spec.Image = source
		}
		spec.Root.Size, spec.Root.Type = size, typ
		if to == "volume" {
			spec.Root.Keep = !bool(d.Delete)
			spec.Foreign[keptVolumeBoot] = "image"
		}
	case "volume":
		spec.Image, spec.Root.Volume, spec.Root.Keep = "", source, !bool(d.Delete)
		spec.Foreign[keptVolumeBoot] = "volume"
	case "snapshot":
		return fail.Field(at+".source_type", "a server boots from an image or a volume").Then("make a volume of the snapshot first")
	default:
		return fail.Field(at+".source_type", "a server cannot boot from %q", d.Source).Then("say image or volume")
	}
	return nil
}

// hints reads the scheduler's hints: the group counts, others have no meaning where there is one host.
func (x *exchange) hints(raw json.RawMessage, spec *compute.ServerSpec) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var h struct {
		Group json.RawMessage `json:"group"`
	}
	if err := json.Unmarshal(raw, &h); err != nil {
		return fail.Field("os:scheduler_hints", "it is not an object")
	}
	var one string
	var many []string
	switch {
	case len(h.Group) == 0:
	case json.Unmarshal(h.Group, &one) == nil:
		spec.Group = one
	case json.Unmarshal(h.Group, &many) == nil && len(many) == 1:
		spec.Group = many[0]
	default:
		return fail.Field("os:scheduler_hints.group", "it must be the id of one server group")
	}
	return nil
}
