package cinder

import (
	"encoding/json"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

func (a *API) limitRoutes() []route {
	return []route{
		{"GET", "/limits", nil, "", showLimits},
		{"GET", "/os-quota-sets/{quota_project}", nil, "", showQuota},
		{"GET", "/os-quota-sets/{quota_project}/defaults", nil, "", defaultQuota},
		{"PUT", "/os-quota-sets/{quota_project}", nil, "", setQuota},
		{"DELETE", "/os-quota-sets/{quota_project}", nil, "", dropQuota},
		{"GET", "/os-quota-class-sets/{class}", nil, "", classQuota},
	}
}

// dims are Cinder's quotas that this cloud has.
func dims() map[string]ledger.Dim {
	return map[string]ledger.Dim{"volumes": "volume.volumes", "gigabytes": "volume.gigabytes", "snapshots": "volume.snapshots"}
}

// fixed are the others: there are no backups and no groups, and a volume may be as large as the quota.
func fixed() map[string]int64 {
	return map[string]int64{"backups": 0, "backup_gigabytes": 0, "groups": 0, "per_volume_gigabytes": -1}
}

func (x *exchange) quotas(project string) (map[ledger.Dim]ledger.Quota, error) {
	c := x.Call
	c.Project = project
	all, err := x.API.Door.Quotas(x.R.Context(), &c)
	out := map[ledger.Dim]ledger.Quota{}
	for _, q := range all {
		out[q.Dim] = q
	}
	return out, err
}

func showLimits(x *exchange) error {
	q, err := x.quotas(x.Call.Project)
	if err != nil {
		return err
	}
	d := dims()
	return x.one(http.StatusOK, "limits", map[string]any{"rate": []any{}, "absolute": map[string]any{
		"maxTotalVolumes": q[d["volumes"]].Limit, "totalVolumesUsed": q[d["volumes"]].Used, "maxTotalVolumeGigabytes": q[d["gigabytes"]].Limit,
		"totalGigabytesUsed": q[d["gigabytes"]].Used, "maxTotalSnapshots": q[d["snapshots"]].Limit, "totalSnapshotsUsed": q[d["snapshots"]].Used,
		"maxTotalBackups": 0, "totalBackupsUsed": 0, "maxTotalBackupGigabytes": 0, "totalBackupGigabytesUsed": 0}})
}

func (x *exchange) quotaSet(usage bool) (map[string]any, error) {
	project := x.Param("quota_project")
	q, err := x.quotas(project)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"id": project}
	put := func(name string, limit, used int64) {
		if out[name] = limit; usage {
			out[name] = map[string]int64{"limit": limit, "in_use": used, "reserved": 0, "allocated": 0}
		}
	}
	for name, d := range dims() {
		put(name, q[d].Limit, q[d].Used)
	}
	for name, n := range fixed() {
		put(name, n, 0)
	}
	return out, nil
}

func showQuota(x *exchange) error {
	usage, _, err := rest.Flag(x.Exchange, "usage")
	if err != nil {
		return err
	}
	set, err := x.quotaSet(usage)
	if err != nil {
		return err
	}
	return x.one(http.StatusOK, "quota_set", set)
}

func (x *exchange) defaults() map[string]any {
	out := map[string]any{}
	for name, d := range dims() {
		out[name] = int64(-1)
		if f := x.API.Door.Limits; f != nil {
			if n, ok := f(d); ok {
				out[name] = n
			}
		}
	}
	for name, n := range fixed() {
		out[name] = n
	}
	return out
}

func defaultQuota(x *exchange) error {
	if _, err := x.quotas(x.Param("quota_project")); err != nil {
		return err
	}
	out := x.defaults()
	out["id"] = x.Param("quota_project")
	return x.one(http.StatusOK, "quota_set", out)
}

func classQuota(x *exchange) error {
	if c := x.Param("class"); c != "default" {
		return fail.New(fail.NotFound, "there is no quota class %s", c).Then("ask for default")
	}
	out := x.defaults()
	out["id"] = "default"
	return x.one(http.StatusOK, "quota_class_set", out)
}

// unlimited is the limit that is none: the ledger's -1 means the default.
const unlimited = 1 << 40

func (x *exchange) setLimit(d ledger.Dim, n int64) error {
	c := x.Call
	c.Project = x.Param("quota_project")
	c.Spec, _ = json.Marshal(map[string]any{"name": d, "limit": n}) // plain values always encode
	return x.API.Door.SetQuota(x.R.Context(), &c, d, n)
}

func setQuota(x *exchange) error {
	var in map[string]json.RawMessage
	if err := rest.Body(x.Exchange, "quota_set", &in); err != nil {
		return err
	}
	if err := rest.Operators(x.Exchange); err != nil {
		return err
	}
	wanted := map[ledger.Dim]int64{}
	for name, raw := range in {
		var n rest.Int
		if name == "tenant_id" || name == "skip_validation" || name == "force" {
			continue
		}
		if err := json.Unmarshal(raw, &n); err != nil {
			return fail.Field("quota_set."+name, "it is not a whole number")
		}
		if d, ok := dims()[name]; ok {
			if wanted[d] = int64(n); n < 0 {
				wanted[d] = unlimited
			}
			continue
		}
		if f, ok := fixed()[name]; ok && f == int64(n) {
			continue
		}
		return fail.Field("quota_set."+name, "this cloud has no such quota, or it cannot change").Then("it has volumes, gigabytes and snapshots")
	}
	for d, n := range wanted {
		if err := x.setLimit(d, n); err != nil {
			return err
		}
	}
	set, err := x.quotaSet(false)
	if err != nil {
		return err
	}
	delete(set, "id")
	return x.one(http.StatusOK, "quota_set", set)
}

func dropQuota(x *exchange) error {
	for _, d := range dims() {
		if err := x.setLimit(d, -1); err != nil {
			return err
		}
	}
	x.W.WriteHeader(http.StatusOK)
	return nil
}
