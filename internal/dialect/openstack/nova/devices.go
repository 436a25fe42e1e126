package nova

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/compute"
)

func (a *API) deviceRoutes() []route {
	d := a.o.Compute.Server.D
	return []route{
		{"GET", "/servers/{server_id}/os-interface", d, call.Get, listInterfaces},
		{"POST", "/servers/{server_id}/os-interface", d, "attach-interface", attachInterface},
		{"GET", "/servers/{server_id}/os-interface/{port_id}", d, call.Get, showInterface},
		{"DELETE", "/servers/{server_id}/os-interface/{port_id}", d, "detach-interface", detachInterface},
		{"GET", "/servers/{server_id}/os-volume_attachments", d, call.Get, listAttachments},
		{"POST", "/servers/{server_id}/os-volume_attachments", d, "attach-volume", attachVolume},
		{"GET", "/servers/{server_id}/os-volume_attachments/{volume_id}", d, call.Get, showAttachment},
		{"DELETE", "/servers/{server_id}/os-volume_attachments/{volume_id}", d, "detach-volume", detachVolume},
		{"GET", "/servers/{server_id}/os-security-groups", d, call.Get, listGroupsOf},
		{"GET", "/os-security-groups", nil, "", listSecurityGroups},
	}
}

func (x *exchange) interfaceOf(r *serverRow, n *compute.NIC) map[string]any {
	c := x.card(n)
	fixed := []any{}
	for _, f := range c.Fixed {
		subnet := f.Subnet
		if s, ok := id.Parse(subnet); ok {
			subnet = s.Dashed()
		}
		fixed = append(fixed, map[string]string{"subnet_id": subnet, "ip_address": f.Address})
	}
	v := map[string]any{"port_id": n.Port.Dashed(), "net_id": c.NetworkID.Dashed(), "mac_addr": c.MAC, "port_state": c.Status, "fixed_ips": fixed}
	if x.Since(70) {
		v["tag"] = rest.Null(r.Spec.Foreign[keptTag+n.Key])
	}
	return v
}

func listInterfaces(x *exchange) error {
	r, err := x.get()
	if err != nil {
		return err
	}
	items := []any{}
	for i := range r.Status.Cards {
		if n := &r.Status.Cards[i]; n.Port != "" {
			items = append(items, x.interfaceOf(r, n))
		}
	}
	return x.One(http.StatusOK, "interfaceAttachments", items)
}

// cardOf finds a card by its port.
func cardOf(r *serverRow, port string) *compute.NIC {
	for i := range r.Status.Cards {
		if n := &r.Status.Cards[i]; n.Port != "" && rest.IsID(port, n.Port) {
			return n
		}
	}
	return nil
}

func noInterface(r *serverRow, port string) error {
	return fail.New(fail.NotFound, "Instance %s does not have an interface attachment with port id %s", r.ID.Dashed(), port)
}

func showInterface(x *exchange) error {
	r, err := x.get()
	if err != nil {
		return err
	}
	n := cardOf(r, x.Param("port_id"))
	if n == nil {
		return noInterface(r, x.Param("port_id"))
	}
	return x.One(http.StatusOK, "interfaceAttachment", x.interfaceOf(r, n))
}

// attachInterface answers when the card is in, for Nova's answer says what it is.
func attachInterface(x *exchange) error {
	var in struct {
		Port  string `json:"port_id"`
		Net   string `json:"net_id"`
		Fixed []struct {
			Address string `json:"ip_address"`
		} `json:"fixed_ips"`
		Tag *string `json:"tag"`
	}
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	if raw, ok := o["interfaceAttachment"]; ok && string(raw) != "null" {
		if err := o.Into("interfaceAttachment", &in); err != nil {
			return err
		}
	}
	before, err := x.get()
	if err != nil {
		return err
	}
	card := map[string]any{}
	switch {
	case in.Port != "" && in.Net != "":
		return fail.Field("interfaceAttachment", "port_id and net_id are not given together")
	case in.Port != "":
		card["port"] = in.Port
	case in.Net != "":
		subnet, err := x.subnet(in.Net)
		if err != nil {
			return err
		}
		if subnet == "" {
			return fail.Field("interfaceAttachment.net_id", "Network %s could not be found", in.Net)
		}
		card["subnet"] = string(subnet)
	}
	if len(in.Fixed) > 0 {
		if card["address"] = in.Fixed[0].Address; in.Net == "" {
			return fail.Field("interfaceAttachment.fixed_ips", "an address is given with net_id")
		}
	}
	var had []string
	for _, n := range before.Status.Cards {
		had = append(had, n.Key)
	}
	b, err := json.Marshal(card)
	if err != nil {
		return err
	}
	r, err := x.change("attach-interface", func(c *call.Call) { c.In = b })
	if err != nil {
		return err
	}
	for i := range r.Status.Cards {
		if n := &r.Status.Cards[i]; !slices.Contains(had, n.Key) {
			if r, err = x.tagged(r, n.Key, in.Tag); err != nil {
				return err
			}
			return x.One(http.StatusOK, "interfaceAttachment", x.interfaceOf(r, n))
		}
	}
	return fail.New(fail.Conflict, "the card was taken away again meanwhile")
}

// tagged notes what the client calls a card or a disk.
func (x *exchange) tagged(r *serverRow, key string, tag *string) (*serverRow, error) {
	if tag == nil || *tag == "" {
		return r, nil
	}
	return x.change(call.Update, func(c *call.Call) { c.Spec = rest.Spec{"foreign": map[string]string{keptTag + key: *tag}}.JSON() })
}

func detachInterface(x *exchange) error {
	r, err := x.get()
	if err != nil {
		return err
	}
	port := x.Param("port_id")
	if cardOf(r, port) == nil {
		return noInterface(r, port)
	}
	if _, err := x.send("detach-interface", map[string]string{"port": port}); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

func (x *exchange) attachment(r *serverRow, d *compute.Disk) map[string]any {
	v := map[string]any{"volumeId": d.Volume.Dashed(), "serverId": r.ID.Dashed(), "device": "/dev/" + d.Device}
	if !x.Since(89) {
		v["id"] = d.Volume.Dashed()
	} else {
		v["attachment_id"], v["bdm_uuid"] = attachmentID(r.ID, d.Volume), attachmentID(d.Volume, r.ID)
	}
	if x.Since(70) {
		v["tag"] = rest.Null(r.Spec.Foreign[keptTag+d.Key])
	}
	if x.Since(79) {
		v["delete_on_termination"] = d.Delete
	}
	return v
}

// attachmentID is that of a volume in a server, the same in Cinder.
func attachmentID(server, volume id.ID) string { return rest.AttachmentID(server, volume) }

func listAttachments(x *exchange) error {
	r, err := x.get()
	if err != nil {
		return err
	}
	items := []any{}
	for i := range r.Status.Disks {
		if d := &r.Status.Disks[i]; d.Volume != "" && !ownRoot(r, d) {
			items = append(items, x.attachment(r, d))
		}
	}
	return x.One(http.StatusOK, "volumeAttachments", items)
}

func diskOf(r *serverRow, volume string) *compute.Disk {
	for i := range r.Status.Disks {
		if d := &r.Status.Disks[i]; d.Volume != "" && rest.IsID(volume, d.Volume) {
			return d
		}
	}
	return nil
}

func noVolume(r *serverRow, volume string) error {
	return fail.New(fail.NotFound, "Instance %s is not attached to volume %s", r.ID.Dashed(), volume)
}

func showAttachment(x *exchange) error {
	r, err := x.get()
	if err != nil {
		return err
	}
	d := diskOf(r, x.Param("volume_id"))
	if d == nil {
		return noVolume(r, x.Param("volume_id"))
	}
	return x.One(http.StatusOK, "volumeAttachment", x.attachment(r, d))
}

func attachVolume(x *exchange) error {
	var in struct {
		Volume string    `json:"volumeId"`
		Device *string   `json:"device"`
		Tag    *string   `json:"tag"`
		Delete rest.Bool `json:"delete_on_termination"`
	}
	if err := rest.Body(x.Exchange, "volumeAttachment", &in); err != nil {
		return err
	}
	a := compute.AttachVolume{Volume: in.Volume, Delete: bool(in.Delete)}
	if in.Device != nil {
		a.Device = *in.Device
	}
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	r, err := x.change("attach-volume", func(c *call.Call) { c.In = b })
	if e := fail.From(err); e != nil && e.Kind == fail.Invalid && e.Field == "volume" {
		return fail.New(fail.NotFound, "Volume %s could not be found or is taken", in.Volume).Because(err)
	}
	if err != nil {
		return err
	}
	d := diskOf(r, in.Volume)
	if d == nil {
		return fail.New(fail.Conflict, "the volume was taken away again meanwhile")
	}
	if r, err = x.tagged(r, d.Key, in.Tag); err != nil {
		return err
	}
	return x.One(http.StatusOK, "volumeAttachment", x.attachment(r, d))
}

func detachVolume(x *exchange) error {
	r, err := x.get()
	if err != nil {
		return err
	}
	volume := x.Param("volume_id")
	if diskOf(r, volume) == nil {
		return noVolume(r, volume)
	}
	if _, err := x.send("detach-volume", map[string]string{"volume": volume}); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}

func listGroupsOf(x *exchange) error {
	r, err := x.get()
	if err != nil {
		return err
	}
	return x.securityGroupList(x.groupsOf(r), string(r.Project))
}

// listSecurityGroups gives clients the groups that they may add to servers: older ones look here for a name.
func listSecurityGroups(x *exchange) error {
	if x.api.o.Cards == nil {
		return x.securityGroupList(nil, x.Call.Project)
	}
	groups, err := x.api.o.Cards.Groups(x.Exchange)
	if err != nil {
		return err
	}
	return x.securityGroupList(groups, x.Call.Project)
}

// securityGroupList shows groups without their rules, which are Neutron's to tell.
func (x *exchange) securityGroupList(groups []GroupView, project string) error {
	items := []any{}
	for _, g := range groups {
		items = append(items, map[string]any{"id": rest.ID(g.ID), "name": g.Name, "description": g.Description, "tenant_id": project, "rules": []any{}})
	}
	return x.One(http.StatusOK, "security_groups", items)
}

func addGroup(x *exchange, in json.RawMessage) error { return x.regroup(in, "addSecurityGroup", true) }
func removeGroup(x *exchange, in json.RawMessage) error {
	return x.regroup(in, "removeSecurityGroup", false)
}

// regroup gives all cards of a server a security group more, or one less.
func (x *exchange) regroup(in json.RawMessage, name string, add bool) error {
	var g named
	if err := rest.Decode(in, name, &g); err != nil {
		return err
	}
	r, err := x.get()
	if err != nil {
		return err
	}
	if x.api.o.Cards == nil {
		return fail.New(fail.Unsupported, "this cloud has no security groups")
	}
	group := x.group(r.Project, g.Name)
	if _, ok := id.Parse(group.ID); !ok {
		return fail.New(fail.NotFound, "Security group %s not found for project %s", g.Name, r.Project)
	}
	found := false
	for i := range r.Status.Cards {
		n := &r.Status.Cards[i]
		if n.Port == "" {
			continue
		}
		groups := slices.Clone(x.card(n).Groups)
		has := slices.Contains(groups, group.ID)
		found = found || has
		switch {
		case add && !has:
			groups = append(groups, group.ID)
		case !add && has:
			groups = slices.DeleteFunc(groups, func(s string) bool { return s == group.ID })
		default:
			continue
		}
		if err := x.api.o.Cards.SetGroups(x.Exchange, n.Port, groups); err != nil {
			return err
		}
	}
	if !add && !found {
		return fail.New(fail.NotFound, "Security group %s not associated with the instance %s", g.Name, r.ID.Dashed())
	}
	return rest.Accepted(x.Exchange)
}
