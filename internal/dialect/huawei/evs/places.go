package evs

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/volume"
)

func (a *API) placeRoutes() []route {
	out := []route{}
	for _, v := range []string{"/v2", "/v3"} {
		out = append(out,
			route{Method: "GET", Path: v + "/{project_id}/types", Kind: a.Volumes.Types.D, Verb: call.List, Alias: "evs:types:list", Do: a.listTypes},
			route{Method: "GET", Path: v + "/{project_id}/types/{type_id}", Kind: a.Volumes.Types.D, Verb: call.Get, Alias: "evs:types:get", Do: a.showType},
			route{Method: "GET", Path: v + "/{project_id}/os-availability-zone", Alias: "evs:availabilityZones:list", Do: a.zones},
			route{Method: "GET", Path: v + "/{project_id}/os-quota-sets/{target_project_id}", Kind: a.Volumes.Volumes.D, Verb: call.List, Alias: "evs:quotas:get", Do: a.quotas})
	}
	return out
}

func (a *API) typeView(r *volume.Type) map[string]any {
	return map[string]any{"id": rest.ID(r.ID), "name": r.Name, "description": r.Spec.Description, "is_public": true, "os-volume-type-access:is_public": true, "qos_specs_id": nil,
		"extra_specs": map[string]string{"volume_backend_name": r.Name, "availability-zone": a.Zone, "RESKEY:availability_zones": a.Zone, "os-vendor-extended:sold_out_availability_zones": ""}}
}

func (a *API) listTypes(x *exchange) error {
	rows, _, err := wire.Rows(x, a.Volumes.Types, "", kind.Filter{Where: func(r kind.AnyRow) bool { return r.(*volume.Type).Spec.For(x.Who.Project) }})
	if err != nil {
		return err
	}
	out := []any{}
	for _, r := range rows {
		out = append(out, a.typeView(r))
	}
	return rest.OK(x, map[string]any{"volume_types": out})
}

func (a *API) showType(x *exchange) error {
	r, err := wire.Get(x, a.Volumes.Types, x.Param("type_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "volume_type", a.typeView(r))
}

// typeID is the id of a type, by its name.
func (a *API) typeID(x *exchange, name string) (found string) {
	_ = a.Door.Store.View(x.R.Context(), func(tx store.Tx) error { // without it no id fits
		r, err := a.Volumes.Types.Find(tx, "-", name)
		if r != nil {
			found = rest.ID(r.ID)
		}
		return err
	})
	return found
}

func (a *API) zones(x *exchange) error {
	return rest.OK(x, map[string]any{"availabilityZoneInfo": []any{map[string]any{"zoneName": a.Zone, "zoneState": map[string]bool{"available": true}, "hosts": nil}}})
}

// quotas tells what a project may have of each thing, and has; -1 is no limit.
func (a *API) quotas(x *exchange) error {
	if t := x.Param("target_project_id"); t != x.Param("project_id") {
		return rest.Refuse(x, a.Volumes.Volumes.D, call.List, "*", fail.New(fail.NotFound, "there is no project %q here", t).Then("ask for the project's own: …/os-quota-sets/%s", x.Param("project_id")))
	}
	if err := rest.May(x, a.Volumes.Volumes.D, call.List, "*"); err != nil {
		return err
	}
	c := x.Call
	all, err := a.Door.Quotas(x.R.Context(), &c)
	if err != nil {
		return err
	}
	of := map[ledger.Dim]ledger.Quota{}
	for _, q := range all {
		of[q.Dim] = q
	}
	line := func(limit, used int64) map[string]int64 {
		return map[string]int64{"limit": limit, "in_use": used, "reserved": 0}
	}
	dim := func(d ledger.Dim) map[string]int64 {
		q, ok := of[d]
		if !ok {
			return line(-1, 0)
		}
		return line(q.Limit, q.Used)
	}
	set := map[string]any{"id": x.Param("target_project_id"), "volumes": dim("volume.volumes"), "gigabytes": dim("volume.gigabytes"), "snapshots": dim("volume.snapshots"),
		"backups": line(0, 0), "backup_gigabytes": line(0, 0), "per_volume_gigabytes": line(32768, 0)}
	rows, _, err := wire.Rows(x, a.Volumes.Volumes, "", kind.Filter{})
	if err != nil {
		return err
	}
	for _, t := range []string{"SATA", "SAS", "SSD", "GPSSD", "ESSD", "GPSSD2", "ESSD2"} {
		var n, gib int64
		for _, r := range rows {
			if r.Spec.Type == t {
				n, gib = n+1, gib+r.Spec.Size
			}
		}
		set["volumes_"+t], set["gigabytes_"+t], set["snapshots_"+t] = line(-1, n), line(-1, gib), line(-1, 0)
	}
	return rest.OK(x, map[string]any{"quota_set": set})
}
