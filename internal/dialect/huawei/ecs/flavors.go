package ecs

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (a *API) flavorRoutes() []route {
	f, s := a.Compute.Flavor.D, a.Compute.Server.D
	const list = "ecs:cloudServerFlavors:get ecs:flavors:get ecs:cloudServers:listFlavors"
	return []route{
		{Method: "GET", Path: all + "/flavors", Kind: f, Verb: call.List, Alias: list, Do: a.listFlavors},
		{Method: "GET", Path: all + "/resize_flavors", Kind: s, Verb: call.List, Alias: list, Do: a.resizeFlavors},
		{Method: "GET", Path: all + "/flavor-sell-policies", Kind: f, Verb: call.List, Alias: list, Do: a.sellPolicies},
		{Method: "GET", Path: all + "/flavors/{flavor_id}/resources", Kind: f, Verb: call.Get, Alias: list, Do: a.capacity},
		{Method: "GET", Path: "/v1/{project_id}/availability-zones", Alias: "ecs:availabilityZones:list", Do: a.zones},
		{Method: "GET", Path: "/v2.1/{project_id}/os-availability-zone", Alias: "ecs:availabilityZones:list", Do: a.novaZones},
	}
}

// offered are the flavours that new servers may have, smallest first.
func (a *API) offered(x *exchange) ([]*flavorRow, error) {
	rows, _, err := wire.Rows(x, a.Compute.Flavor, "", kind.Filter{Where: func(r kind.AnyRow) bool {
		f := r.(*flavorRow)
		return !f.Spec.Disabled && !f.Spec.Hidden
	}})
	slices.SortFunc(rows, func(l, r *flavorRow) int {
		return cmp.Or(cmp.Compare(l.Spec.CPUs, r.Spec.CPUs), cmp.Compare(l.Spec.Memory, r.Spec.Memory), cmp.Compare(l.Name, r.Name))
	})
	return rows, err
}

func (a *API) flavorView(r *flavorRow, extra string) map[string]any {
	specs := map[string]string{"ecs:performancetype": "normal", "resource_type": "IOoptimized", "cond:operation:status": "normal",
		"cond:operation:az": a.Compute.Zone + "(normal)", "ecs:virtualization_env_types": "CloudCompute", "ecs:instance_architecture": "x86"}
	maps.Copy(specs, r.Spec.Extra)
	return map[string]any{"id": r.Name, "name": r.Name, "vcpus": strconv.Itoa(r.Spec.CPUs), "ram": r.Spec.Memory, "disk": strconv.Itoa(r.Spec.Disk), "swap": "",
		"OS-FLV-EXT-DATA:ephemeral": 0, "OS-FLV-DISABLED:disabled": r.Spec.Disabled, "rxtx_factor": 1, "rxtx_quota": "", "rxtx_cap": "",
		"os-flavor-access:is_public": true, "links": []any{}, extra: specs}
}

func (a *API) listFlavors(x *exchange) error {
	rows, err := a.offered(x)
	if err != nil {
		return err
	}
	out := []any{}
	for _, r := range rows {
		if z := x.Query("availability_zone"); z != "" && z != a.Compute.Zone {
			break
		}
		if n := x.Query("flavor_id"); n != "" && n != r.Name {
			continue
		}
		out = append(out, a.flavorView(r, "os_extra_specs"))
	}
	return rest.OK(x, map[string]any{"flavors": out})
}

// resizeFlavors lists what a server, named by its id or described by its flavour, can be resized to.
func (a *API) resizeFlavors(x *exchange) error {
	has := x.Query("source_flavor_id")
	if s := x.Query("instance_uuid"); s != "" {
		r, err := wire.Get(x, a.Compute.Server, s)
		if err != nil {
			return err
		}
		has = r.Spec.Flavor
	} else if err := rest.May(x, a.Compute.Server.D, call.List, "*"); err != nil {
		return err
	}
	rows, err := a.offered(x)
	if err != nil {
		return err
	}
	out := []any{}
	for _, r := range rows {
		if r.Name != has {
			out = append(out, a.flavorView(r, "extra_specs"))
		}
	}
	return rest.OK(x, map[string]any{"flavors": out})
}

// sellPolicies tells that every flavour is sold by use, in the zone that there is.
func (a *API) sellPolicies(x *exchange) error {
	rows, err := a.offered(x)
	if err != nil {
		return err
	}
	out := []any{}
	for _, r := range rows {
		h := fnv.New32a()
		_, _ = h.Write([]byte(r.Name))
		if f := x.Query("flavor_id"); f != "" && f != r.Name || x.Query("availability_zone_id") != "" && x.Query("availability_zone_id") != a.Compute.Zone ||
			x.Query("sell_mode") != "" && x.Query("sell_mode") != "postPaid" || x.Query("sell_status") != "" && x.Query("sell_status") != "available" {
			continue
		}
		out = append(out, map[string]any{"id": int32(h.Sum32() & 0x7fffffff), "flavor_id": r.Name, "sell_status": "available", "availability_zone_id": a.Compute.Zone, "sell_mode": "postPaid"})
	}
	return rest.OK(x, map[string]any{"sell_policies": out, "count": len(out)})
}

func (a *API) capacity(x *exchange) error {
	r, err := wire.Get(x, a.Compute.Flavor, x.Param("flavor_id"))
	if err != nil {
		return err
	}
	if r.Spec.Disabled {
		return fail.New(fail.NotFound, "the flavour %s is not offered any more", r.Name)
	}
	return rest.OK(x, map[string]any{"resources": []any{map[string]any{"region_id": a.Region, "availability_zone": a.Compute.Zone, "prefer": true}}})
}

func (a *API) zones(x *exchange) error {
	return rest.OK(x, map[string]any{"availability_zones": []any{map[string]any{"availability_zone_id": a.Compute.Zone, "type": "Core", "mode": "shared",
		"public_border_group": "center", "alias": a.Compute.Zone, "az_group_ids": []string{}, "category": 0}}})
}

func (a *API) novaZones(x *exchange) error {
	return rest.OK(x, map[string]any{"availabilityZoneInfo": []any{map[string]any{"zoneName": a.Compute.Zone, "zoneState": map[string]bool{"available": true}, "hosts": nil}}})
}
