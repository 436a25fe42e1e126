package ecs

import (
	"encoding/base64"
	"maps"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/compute"
)

// Status is a server's state in this API's words: a view of the row and of what runs on it.
func Status(r *serverRow) string {
	st := &r.Status
	switch {
	case r.State == kind.Creating:
		return "BUILD"
	case !r.Made:
		return "ERROR"
	case r.Job != "" && st.Rebuild != nil:
		return "REBUILD"
	case r.Job != "" && st.Resize != nil:
		return "RESIZE"
	case st.Resize != nil && st.Resize.Confirm:
		return "VERIFY_RESIZE"
	case r.Job != "" && st.Reboot == "soft":
		return "REBOOT"
	case r.Job != "" && st.Reboot == "hard":
		return "HARD_REBOOT"
	}
	switch st.Power {
	case compute.On:
		return "ACTIVE"
	case compute.Paused:
		return "PAUSED"
	case compute.Crashed:
		return "ERROR"
	}
	return "SHUTOFF"
}

// task is what is being done to a server, "" for nothing.
func task(r *serverRow) string {
	switch {
	case r.Job == "":
		return ""
	case r.State == kind.Creating:
		return "spawning"
	case r.State == kind.Deleting:
		return "deleting"
	case r.Status.Rebuild != nil:
		return "rebuilding"
	case r.Status.Resize != nil:
		return "resize_finish"
	case r.Status.Reboot == "soft":
		return "rebooting"
	case r.Status.Reboot == "hard":
		return "rebooting_hard"
	case r.Spec.Stopped && r.Status.Power != compute.Off:
		return "powering-off"
	case !r.Spec.Stopped && r.Status.Power == compute.Off:
		return "powering-on"
	}
	return ""
}

func vmState(status string) string {
	switch status {
	case "BUILD":
		return "building"
	case "SHUTOFF":
		return "stopped"
	case "VERIFY_RESIZE":
		return "resized"
	case "PAUSED", "ERROR":
		return strings.ToLower(status)
	}
	return "active"
}

func powerState(p compute.Power) int {
	switch p {
	case compute.On:
		return 1
	case compute.Paused:
		return 3
	case compute.Crashed:
		return 6
	}
	return 4
}

// view is a server as this API shows it.
func (a *API) view(x *exchange, r *serverRow) map[string]any {
	spec, st, status := &r.Spec, &r.Status, Status(r)
	v := map[string]any{"id": rest.ID(r.ID), "name": r.Name, "status": status, "tenant_id": r.Project, "user_id": r.CreatedBy,
		"created": rest.Stamp(r.Created), "updated": rest.Stamp(r.Updated), "auto_terminate_time": "", "hostId": st.Host, "host_status": "UP",
		"OS-EXT-SRV-ATTR:host": st.Host, "OS-EXT-SRV-ATTR:hypervisor_hostname": st.Host, "OS-EXT-SRV-ATTR:hostname": st.Hostname,
		"OS-EXT-SRV-ATTR:instance_name": "instance-" + string(r.ID[24:]), "OS-EXT-SRV-ATTR:kernel_id": "", "OS-EXT-SRV-ATTR:ramdisk_id": "",
		"OS-EXT-SRV-ATTR:root_device_name": "/dev/vda", "OS-EXT-SRV-ATTR:launch_index": index(r), "OS-EXT-SRV-ATTR:reservation_id": reservation(r),
		"OS-EXT-STS:vm_state": vmState(status), "OS-EXT-STS:power_state": powerState(st.Power), "OS-EXT-STS:task_state": task(r),
		"OS-EXT-AZ:availability_zone": spec.Zone, "OS-DCF:diskConfig": "MANUAL", "OS-SRV-USG:launched_at": rest.Fine(st.Launched),
		"OS-SRV-USG:terminated_at": "", "config_drive": "", "accessIPv4": "", "accessIPv6": "", "progress": progress(status),
		"key_name": spec.KeyPair, "description": spec.Description, "locked": spec.Locked, "enterprise_project_id": rest.Enterprise(&r.Meta),
		"tags": rest.Pairs(r.Tags), "sys_tags": []any{map[string]string{"key": "_sys_enterprise_project_id", "value": rest.Enterprise(&r.Meta)}},
		"flavor": a.flavorOf(r), "image": map[string]any{"id": dashed(st.Image)}, "addresses": addresses(r), "metadata": metadata(r),
		"security_groups": a.groupsOf(x, r), "os-extended-volumes:volumes_attached": volumes(r), "os:scheduler_hints": hints(r)}
	if spec.UserData != "" {
		v["OS-EXT-SRV-ATTR:user_data"] = base64.StdEncoding.EncodeToString([]byte(spec.UserData))
	}
	if f := fault(r, status); f != nil {
		v["fault"] = f
	}
	return v
}

func dashed(i id.ID) string {
	if i == "" {
		return ""
	}
	return rest.ID(i)
}

func progress(status string) int {
	if status == "BUILD" {
		return 0
	}
	return 100
}

func fault(r *serverRow, status string) map[string]any {
	if status != "ERROR" {
		return nil
	}
	why := r.Reason
	if why == "" {
		why = r.Status.Ended
	}
	return map[string]any{"code": 500, "created": rest.Stamp(r.Updated), "message": why, "details": why}
}

func (a *API) flavorOf(r *serverRow) map[string]any {
	return map[string]any{"id": r.Spec.Flavor, "name": r.Spec.Flavor, "disk": "0", "vcpus": strconv.Itoa(r.Spec.CPUs), "ram": strconv.FormatInt(r.Spec.Memory, 10),
		"gpus": []any{}, "asic_accelerators": []any{}}
}

// addresses are those of the cards by VPC, each with the public one beside it.
func addresses(r *serverRow) map[string][]any {
	out := map[string][]any{}
	for i, n := range r.Status.Cards {
		if n.Port == "" {
			continue
		}
		vpc := dashed(n.VPC)
		add := func(addr, typ string) {
			version := "4"
			if strings.Contains(addr, ":") {
				version = "6"
			}
			out[vpc] = append(out[vpc], map[string]any{"version": version, "addr": addr, "primary": i == 0, "OS-EXT-IPS:type": typ,
				"OS-EXT-IPS-MAC:mac_addr": n.MAC, "OS-EXT-IPS:port_id": rest.ID(n.Port)})
		}
		for _, addr := range n.Addresses {
			add(addr, "fixed")
		}
		if i == 0 && r.Status.PublicIP != "" {
			add(r.Status.PublicIP, "floating")
		}
	}
	return out
}

// metadata is the user's, and what Huawei's API tells there beside it.
func metadata(r *serverRow) map[string]string {
	m := map[string]string{"charging_mode": "0", "image_name": r.Spec.Image, "os_type": "Linux", "os_bit": "64", "vpc_id": "",
		"metering.image_id": dashed(r.Status.Image), "metering.imagetype": "gold", "metering.resourcespeccode": r.Spec.Flavor + ".linux",
		"metering.resourcetype": "1", "cascaded.instance_extrainfo": "", "agency_name": r.Spec.Agency, "__support_agent_list": r.Spec.Foreign[agents]}
	for _, n := range r.Status.Cards {
		if n.VPC != "" {
			m["vpc_id"] = rest.ID(n.VPC)
			break
		}
	}
	maps.Copy(m, r.Spec.Metadata)
	return m
}

func volumes(r *serverRow) []any {
	out := []any{}
	for _, d := range r.Status.Disks {
		if d.Volume == "" || d.Phase == compute.Detaching {
			continue
		}
		boot := "-1"
		if d.Boot {
			boot = "0"
		}
		out = append(out, map[string]any{"id": rest.ID(d.Volume), "delete_on_termination": strconv.FormatBool(d.Delete), "bootIndex": boot, "device": "/dev/" + d.Device})
	}
	return out
}

func hints(r *serverRow) map[string]any {
	if r.Status.GroupID == "" {
		return map[string]any{}
	}
	return map[string]any{"group": []string{rest.ID(r.Status.GroupID)}}
}

// Names of what this API's clients said that the row has no field for.
const (
	agents    = "__support_agent_list"
	recovery  = "support_auto_recovery"
	reserved  = "reservation_id"
	ordinal   = "launch_index"
	agencyKey = "agency_name"
)

func reservation(r *serverRow) string { return r.Spec.Foreign[reserved] }

func index(r *serverRow) int {
	n, _ := strconv.Atoi(r.Spec.Foreign[ordinal])
	return n
}

// groupsOf are the security groups of a server's first card.
func (a *API) groupsOf(x *exchange, r *serverRow) []any {
	out := []any{}
	if len(r.Status.Cards) == 0 || r.Status.Cards[0].Port == "" {
		return out
	}
	_ = a.Door.Store.View(x.R.Context(), func(tx store.Tx) error { // without it the server is shown without groups
		port, err := a.Network.Port.Get(tx, r.Status.Cards[0].Port)
		if err != nil || port == nil {
			return err
		}
		for _, g := range port.Spec.Groups {
			row, err := a.Network.Group.Find(tx, string(r.Project), g)
			if err != nil {
				return err
			}
			if row != nil {
				out = append(out, map[string]any{"id": rest.ID(row.ID), "name": row.Name})
			}
		}
		return nil
	})
	return out
}
