package nova

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/compute"
)

// What operators look at: the one machine there is, as a host, a hypervisor and a service.
func (a *API) placeRoutes() []route {
	return []route{
		{"GET", "/os-availability-zone", nil, "", listZones},
		{"GET", "/os-availability-zone/detail", nil, "", detailZones},
		{"GET", "/os-hypervisors", nil, "", func(x *exchange) error { return listHypervisors(x, false) }},
		{"GET", "/os-hypervisors/detail", nil, "", func(x *exchange) error { return listHypervisors(x, true) }},
		{"GET", "/os-hypervisors/statistics", nil, "", statistics},
		{"GET", "/os-hypervisors/{hypervisor_id}", nil, "", showHypervisor},
		{"GET", "/os-hypervisors/{hypervisor_id}/uptime", nil, "", uptime},
		{"GET", "/os-services", nil, "", listServices},
		{"GET", "/os-hosts", nil, "", listHosts},
		{"GET", "/extensions", nil, "", listExtensions},
		{"GET", "/extensions/{alias}", nil, "", showExtension},
		{"GET", "/os-migrations", a.o.Compute.Server.D, call.List, listMigrations},
		{"GET", "/servers/{server_id}/migrations", a.o.Compute.Server.D, call.Get, serverMigrations},
	}
}

func writeJSON(x *exchange, v any) { wire.Write(x.W, http.StatusOK, v) }

func listZones(x *exchange) error {
	return x.One(http.StatusOK, "availabilityZoneInfo", []any{map[string]any{"zoneName": x.api.o.Compute.Zone, "zoneState": map[string]bool{"available": true}, "hosts": nil}})
}

func detailZones(x *exchange) error {
	if err := rest.Operators(x.Exchange); err != nil {
		return err
	}
	up := map[string]any{"nova-compute": map[string]any{"available": true, "active": true, "updated_at": rest.Micro(time.Now())}}
	return x.One(http.StatusOK, "availabilityZoneInfo", []any{map[string]any{"zoneName": x.api.o.Compute.Zone, "zoneState": map[string]bool{"available": true},
		"hosts": map[string]any{x.api.o.Compute.HostName: up}}})
}

// room is the machine, for operators.
func (x *exchange) room() (compute.Room, error) {
	if err := rest.Operators(x.Exchange); err != nil {
		return compute.Room{}, err
	}
	return x.api.o.Compute.Room(x.R.Context())
}

// hypervisorID is the machine's id: made of its name, for it is no row.
func (x *exchange) hypervisorID(host string) any {
	if x.Since(53) {
		return id.ID(fmt.Sprintf("%x", sum224("host "+host))[:32]).Dashed()
	}
	return 1
}

func (x *exchange) hypervisor(r compute.Room) map[string]any {
	v := map[string]any{"id": x.hypervisorID(r.Host), "hypervisor_hostname": r.Host, "state": "up", "status": "enabled"}
	if with, _, _ := rest.Flag(x.Exchange, "with_servers"); with && x.Since(53) {
		all := []any{}
		for _, m := range r.All {
			all = append(all, map[string]string{"name": "server-" + string(m.ID), "uuid": m.ID.Dashed()})
		}
		v["servers"] = all
	}
	return v
}

func (x *exchange) hypervisorDetail(r compute.Room) map[string]any {
	v := x.hypervisor(r)
	v["host_ip"], v["hypervisor_type"], v["hypervisor_version"] = "127.0.0.1", r.Engine, 0
	v["service"] = map[string]any{"host": r.Host, "id": x.hypervisorID(r.Host), "disabled_reason": nil}
	if x.Since(88) {
		v["uptime"] = nil
		return v
	}
	for k, n := range x.amounts(r) {
		v[k] = n
	}
	v["cpu_info"] = ""
	if x.Since(28) {
		v["cpu_info"] = map[string]any{}
	}
	return v
}

// amounts are what the machine has and what of it is promised.
func (x *exchange) amounts(r compute.Room) map[string]any {
	return map[string]any{"vcpus": r.CPUs, "vcpus_used": r.UsedCPUs, "memory_mb": r.Memory, "memory_mb_used": r.UsedMemory, "free_ram_mb": r.Memory - r.UsedMemory,
		"running_vms": r.Running, "current_workload": 0, "local_gb": 0, "local_gb_used": r.Disk, "free_disk_gb": 0, "disk_available_least": nil}
}

func listHypervisors(x *exchange, detail bool) error {
	r, err := x.room()
	if err != nil {
		return err
	}
	if p := x.Query("hypervisor_hostname_pattern"); !strings.Contains(r.Host, p) {
		return fail.New(fail.NotFound, "No hypervisor matching '%s' could be found.", p)
	}
	if _, _, err := rest.Flag(x.Exchange, "with_servers"); err != nil {
		return err
	}
	v := x.hypervisor(r)
	if detail {
		v = x.hypervisorDetail(r)
	}
	return x.One(http.StatusOK, "hypervisors", []any{v})
}

func statistics(x *exchange) error {
	r, err := x.room()
	if err != nil {
		return err
	}
	v := x.amounts(r)
	v["count"] = 1
	return x.One(http.StatusOK, "hypervisor_statistics", v)
}

// theHypervisor refuses ids other than the machine's.
func (x *exchange) theHypervisor() (compute.Room, error) {
	r, err := x.room()
	if err != nil {
		return r, err
	}
	if said := x.Param("hypervisor_id"); said != fmt.Sprint(x.hypervisorID(r.Host)) && said != r.Host {
		return r, fail.New(fail.NotFound, "Compute host %s could not be found.", said)
	}
	return r, nil
}

func showHypervisor(x *exchange) error {
	r, err := x.theHypervisor()
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "hypervisor", x.hypervisorDetail(r))
}

func uptime(x *exchange) error {
	if _, err := x.theHypervisor(); err != nil {
		return err
	}
	return fail.New(fail.Unsupported, "how long the machine has been up is not told")
}

// parts are Nova's programs whose work this cloud does, in one of its own: it runs servers, says where they go, and sees their jobs through.
var parts = []string{"nova-compute", "nova-scheduler", "nova-conductor"}

// zoneOf is the zone of one of the parts: what runs servers is where they are, the others are nobody's to choose.
func zoneOf(binary string, r compute.Room) string {
	if binary == parts[0] {
		return r.Zone
	}
	return "internal"
}

func listServices(x *exchange) error {
	r, err := x.room()
	if err != nil {
		return err
	}
	q, items := x.Queries(), []any{}
	for i, binary := range parts {
		if !rest.Same(q, "binary", binary) || !rest.Same(q, "host", r.Host) {
			continue
		}
		v := map[string]any{"id": i + 1, "binary": binary, "host": r.Host, "zone": zoneOf(binary, r), "state": "up", "status": "enabled", "updated_at": rest.Micro(time.Now()), "disabled_reason": nil}
		if x.Since(53) {
			v["id"] = x.hypervisorID(r.Host)
			if i > 0 {
				v["id"] = id.ID(fmt.Sprintf("%x", sum224(binary+" "+r.Host))[:32]).Dashed()
			}
		}
		if x.Since(11) {
			v["forced_down"] = false
		}
		items = append(items, v)
	}
	return x.One(http.StatusOK, "services", items)
}

// listHosts names what runs where, as Nova did until 2.43; older clients still ask.
func listHosts(x *exchange) error {
	r, err := x.room()
	if err != nil {
		return err
	}
	items := []any{}
	for _, binary := range parts {
		if zone := zoneOf(binary, r); rest.Same(x.Queries(), "zone", zone) {
			items = append(items, map[string]string{"host_name": r.Host, "service": strings.TrimPrefix(binary, "nova-"), "zone": zone})
		}
	}
	return x.One(http.StatusOK, "hosts", items)
}

// extensions are those whose parts clients look for before they use them.
var extensions = []string{"os-availability-zone", "os-console-output", "os-extended-availability-zone", "os-extended-server-attributes", "os-extended-status",
	"os-extended-volumes", "os-flavor-access", "os-flavor-extra-specs", "os-flavor-manage", "os-hypervisors", "os-instance-actions", "os-keypairs", "os-lock-server",
	"os-pause-server", "os-quota-sets", "os-attach-interfaces", "os-security-groups", "os-server-groups", "os-server-start-stop", "os-server-usage", "os-services",
	"os-simple-tenant-usage", "os-volume_attachments", "os-config-drive", "os-disk-config", "os-scheduler-hints", "os-user-data", "os-multiple-create"}

func extension(alias string) map[string]any {
	return map[string]any{"alias": alias, "name": alias, "description": "", "links": []any{}, "namespace": "http://docs.openstack.org/compute/ext/fake_xml", "updated": "2014-12-03T00:00:00Z"}
}

func listExtensions(x *exchange) error {
	out := []any{}
	for _, e := range extensions {
		out = append(out, extension(e))
	}
	return x.One(http.StatusOK, "extensions", out)
}

func showExtension(x *exchange) error {
	for _, e := range extensions {
		if e == x.Param("alias") {
			return x.One(http.StatusOK, "extension", extension(e))
		}
	}
	return fail.New(fail.NotFound, "there is no extension %s", x.Param("alias"))
}

// listMigrations: where there is one machine, nothing moves.
func listMigrations(x *exchange) error {
	if err := rest.Permitted(x.Exchange, x.api.o.Compute.Server.D, call.List); err != nil {
		return err
	}
	return x.One(http.StatusOK, "migrations", []any{})
}

func serverMigrations(x *exchange) error {
	if _, err := x.get(); err != nil {
		return err
	}
	return x.One(http.StatusOK, "migrations", []any{})
}
