package nova

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/compute"
)

type (
	serverRow = kind.Row[compute.ServerSpec, compute.ServerStatus]
	flavorRow = kind.Row[compute.FlavorSpec, compute.FlavorStatus]
	groupRow  = kind.Row[compute.GroupSpec, compute.GroupStatus]
)

// cache is what the views of one request look up once.
type cache struct {
	flavors map[string]*flavorRow
	groups  map[string]GroupView
}

func sum224(s string) [28]byte { return sha256.Sum224([]byte(s)) }

// What Foreign keeps of what clients said.
const (
	keptDiskConfig  = "nova:disk_config"
	keptAccessIPv4  = "nova:access_ipv4"
	keptAccessIPv6  = "nova:access_ipv6"
	keptConfigDrive = "nova:config_drive"
	keptVolumeBoot  = "nova:volume_boot" // the volume it boots from is one that the client asked for
	keptLockReason  = "nova:locked_reason"
	keptTag         = "nova:tag:" // and a card's or a disk's key: what the client calls it
)

// state is what a row is in Nova's words: its status, what is being done to it, and its lasting state.
func state(r *serverRow) (status, task, vm string) {
	st := &r.Status
	switch {
	case r.State == kind.Creating:
		return "BUILD", cmpOr(r.Made, "", "spawning"), "building"
	case r.State == kind.Failed && !r.Made:
		return "ERROR", "", "error"
	case r.State == kind.Deleting, r.State == kind.Trashed:
		task = "deleting"
	}
	switch st.Power {
	case compute.On:
		status, vm = "ACTIVE", "active"
	case compute.Paused:
		status, vm = "PAUSED", "paused"
	case compute.Crashed:
		status, vm = "ERROR", "error"
	default:
		status, vm = "SHUTOFF", "stopped"
	}
	if task != "" {
		return status, task, vm
	}
	switch {
	case r.State == kind.Failed:
		return "ERROR", "", "error"
	case r.State != kind.Updating:
		if st.Resize != nil && st.Resize.Confirm {
			return "VERIFY_RESIZE", "", "resized"
		}
		return status, "", vm
	case st.Rebuild != nil:
		return "REBUILD", "rebuild_spawning", vm
	case st.Resize != nil:
		return "RESIZE", "resize_migrating", vm
	case st.Reboot == "hard":
		return "HARD_REBOOT", "rebooting_hard", vm
	case st.Reboot != "":
		return "REBOOT", "rebooting", vm
	case r.Spec.Stopped && st.Power != compute.Off:
		return status, "powering-off", vm
	case !r.Spec.Stopped && st.Power == compute.Off:
		return status, "powering-on", vm
	}
	return status, "", vm
}

func cmpOr(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

func powerState(r *serverRow) int {
	switch r.Status.Power {
	case compute.On:
		return 1
	case compute.Paused:
		return 3
	case compute.Off:
		if !r.Made {
			return 0
		}
		return 4
	case compute.Crashed:
		return 6
	}
	return 0
}

// server is a server as clients read it.
func (x *exchange) server(r *serverRow) map[string]any {
	status, task, vm := state(r)
	kept := r.Spec.Foreign
	v := map[string]any{
		"id": r.ID.Dashed(), "name": r.Name, "status": status, "tenant_id": string(r.Project), "user_id": x.User(&r.Meta), "metadata": rest.Words(r.Spec.Metadata),
		"hostId": hostID(r.Project, r.Status.Host), "image": x.image(r), "flavor": x.flavorOf(r), "created": stamp(r.Created), "updated": stamp(r.Updated),
		"addresses": x.addresses(r), "accessIPv4": kept[keptAccessIPv4], "accessIPv6": kept[keptAccessIPv6], "links": x.links("/servers/" + r.ID.Dashed()),
		"OS-DCF:diskConfig": cmpOr(kept[keptDiskConfig] == "AUTO", "AUTO", "MANUAL"), "OS-EXT-AZ:availability_zone": r.Spec.Zone,
		"config_drive": kept[keptConfigDrive], "key_name": rest.Null(r.Spec.KeyPair), "OS-SRV-USG:launched_at": rest.Micro(r.Status.Launched),
		"OS-SRV-USG:terminated_at": nil, "OS-EXT-STS:task_state": rest.Null(task), "OS-EXT-STS:vm_state": vm, "OS-EXT-STS:power_state": powerState(r),
		"os-extended-volumes:volumes_attached": x.volumesOf(r), "security_groups": x.securityGroups(r),
	}
	if status == "ACTIVE" || status == "BUILD" || status == "VERIFY_RESIZE" {
		v["progress"] = map[bool]int{true: 0, false: 100}[status == "BUILD"]
	}
	if status == "ERROR" {
		v["fault"] = map[string]any{"code": http.StatusInternalServerError, "created": stamp(r.Updated), "message": firstOf(r.Reason, r.Status.Ended, "the server failed")}
	}
	x.newer(r, v)
	if rest.Operator(x.Exchange) {
		v["OS-EXT-SRV-ATTR:host"], v["OS-EXT-SRV-ATTR:hypervisor_hostname"], v["OS-EXT-SRV-ATTR:instance_name"] = r.Status.Host, r.Status.Host, "server-"+string(r.ID)
		if x.Since(3) {
			v["OS-EXT-SRV-ATTR:reservation_id"], v["OS-EXT-SRV-ATTR:launch_index"], v["OS-EXT-SRV-ATTR:kernel_id"], v["OS-EXT-SRV-ATTR:ramdisk_id"] = "r-"+string(r.ID[:8]), 0, "", ""
			v["OS-EXT-SRV-ATTR:root_device_name"], v["OS-EXT-SRV-ATTR:hostname"] = "/dev/vda", r.Status.Hostname
		}
		if x.Since(16) {
			v["host_status"] = "UP"
		}
	}
	return v
}

// newer puts in what newer microversions show to everybody.
func (x *exchange) newer(r *serverRow, v map[string]any) {
	if x.Since(9) {
		v["locked"] = r.Spec.Locked
	}
	if x.Since(19) {
		v["description"] = rest.Null(r.Spec.Description)
	}
	if x.Since(26) {
		v["tags"] = rest.Tags(&r.Meta)
	}
	if x.Since(63) {
		v["trusted_image_certificates"] = nil
	}
	if x.Since(71) {
		groups := []string{}
		if r.Status.GroupID != "" {
			groups = append(groups, r.Status.GroupID.Dashed())
		}
		v["server_groups"] = groups
	}
	if x.Since(73) {
		v["locked_reason"] = nil
		if reason := r.Spec.Foreign[keptLockReason]; r.Spec.Locked && reason != "" {
			v["locked_reason"] = reason
		}
	}
	if x.Since(90) {
		v["OS-EXT-SRV-ATTR:hostname"] = r.Status.Hostname
	}
}

func firstOf(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}

// image is what the server boots; nothing where that is a volume of the client's.
func (x *exchange) image(r *serverRow) any {
	if r.Status.Image == "" || r.Spec.Root.Volume != "" || r.Spec.Foreign[keptVolumeBoot] != "" {
		return ""
	}
	img := r.Status.Image.Dashed()
	return map[string]any{"id": img, "links": []token.Link{{Rel: "bookmark", Href: x.API.Base(x.R) + "/images/" + img}}}
}

// flavorOf is the server's flavour: a link, or since 2.47 what it says.
func (x *exchange) flavorOf(r *serverRow) any {
	f := x.flavorNamed(r.Spec.Flavor)
	if !x.Since(47) {
		fid := r.Spec.Flavor
		if f != nil {
			fid = flavorID(f)
		}
		return map[string]any{"id": fid, "links": x.links("/flavors/" + fid)[1:]}
	}
	disk, extra := 0, map[string]string{}
	if f != nil {
		disk, extra = f.Spec.Disk, rest.Words(f.Spec.Extra)
	}
	return map[string]any{"vcpus": r.Spec.CPUs, "ram": r.Spec.Memory, "disk": disk, "ephemeral": 0, "swap": 0, "original_name": r.Spec.Flavor, "extra_specs": extra}
}

func (x *exchange) flavorNamed(name string) *flavorRow {
	f, ok := x.cache.flavors[name]
	if ok {
		return f
	}
	_ = x.View(func(tx store.Tx) (err error) {
		f, err = x.api.o.Compute.Flavor.Find(tx, "-", name)
		return err
	})
	if x.cache.flavors == nil {
		x.cache.flavors = map[string]*flavorRow{}
	}
	x.cache.flavors[name] = f
	return f
}

// ownRoot tells whether a disk is the server's own, made from its image and no thing of its own to Nova's clients.
func ownRoot(r *serverRow, d *compute.Disk) bool {
	return d.Boot && d.Own && r.Spec.Foreign[keptVolumeBoot] == ""
}

func (x *exchange) volumesOf(r *serverRow) []any {
	out := []any{}
	for i := range r.Status.Disks {
		d := &r.Status.Disks[i]
		if ownRoot(r, d) || d.Volume == "" {
			continue
		}
		v := map[string]any{"id": d.Volume.Dashed()}
		if x.Since(3) {
			v["delete_on_termination"] = d.Delete
		}
		out = append(out, v)
	}
	return out
}

// card tells of a network card what its port says, or else the row.
func (x *exchange) card(n *compute.NIC) Card {
	c := Card{Network: string(n.Subnet), NetworkID: n.Subnet, MAC: n.MAC, Status: "ACTIVE"}
	for _, a := range n.Addresses {
		c.Fixed = append(c.Fixed, FixedIP{Subnet: string(n.Subnet), Address: a})
	}
	if x.api.o.Cards == nil || n.Port == "" {
		return c
	}
	_ = x.View(func(tx store.Tx) error {
		seen, err := x.api.o.Cards.Card(tx, n.Port)
		if err == nil {
			c = seen
		}
		return err
	})
	return c
}

func family(address string) int {
	if strings.Contains(address, ":") {
		return 6
	}
	return 4
}

func (x *exchange) addresses(r *serverRow) map[string][]any {
	out := map[string][]any{}
	for i := range r.Status.Cards {
		n := &r.Status.Cards[i]
		if n.Port == "" || n.Phase == compute.Detaching {
			continue
		}
		c := x.card(n)
		put := func(a, how string) {
			out[c.Network] = append(out[c.Network], map[string]any{"version": family(a), "addr": a, "OS-EXT-IPS:type": how, "OS-EXT-IPS-MAC:mac_addr": c.MAC})
		}
		for _, f := range c.Fixed {
			put(f.Address, "fixed")
		}
		for _, a := range c.Public {
			put(a, "floating")
		}
	}
	return out
}

// securityGroups names the groups of the server's cards.
func (x *exchange) securityGroups(r *serverRow) []any {
	out := []any{}
	for _, g := range x.groupsOf(r) {
		out = append(out, map[string]any{"name": g.Name})
	}
	return out
}

func (x *exchange) groupsOf(r *serverRow) (out []GroupView) {
	var named []string
	for i := range r.Status.Cards {
		for _, g := range x.card(&r.Status.Cards[i]).Groups {
			if !slices.Contains(named, g) {
				named = append(named, g)
			}
		}
	}
	if x.api.o.Cards == nil {
		if named = r.Spec.Groups; len(named) == 0 {
			named = []string{"default"}
		}
	}
	for _, g := range named {
		out = append(out, x.group(r.Project, g))
	}
	return out
}

func (x *exchange) group(project id.ID, nameOrID string) GroupView {
	if g, ok := x.cache.groups[nameOrID]; ok {
		return g
	}
	g := GroupView{ID: nameOrID, Name: nameOrID}
	if x.api.o.Cards != nil {
		_ = x.View(func(tx store.Tx) error {
			found, err := x.api.o.Cards.Group(tx, project, nameOrID)
			if err == nil && found.ID != "" {
				g = found
			}
			return err
		})
	}
	if x.cache.groups == nil {
		x.cache.groups = map[string]GroupView{}
	}
	x.cache.groups[nameOrID] = g
	return g
}

// updatedSince reads the filter of that name.
func updatedSince(x *exchange, name string) (time.Time, error) {
	s := x.Query(name)
	if s == "" {
		return time.Time{}, nil
	}
	for _, f := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(f, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, invalidTime(name, s)
}
