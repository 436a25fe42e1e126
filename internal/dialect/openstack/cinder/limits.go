package cinder

import (
	"encoding/json"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
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

// quotas are Cinder's words. There are no backups and no groups, and a volume may be as large as the quota.
func quotas() rest.Quotas {
	return rest.Quotas{Dims: map[string]ledger.Dim{"volumes": "volume.volumes", "gigabytes": "volume.gigabytes", "snapshots": "volume.snapshots"},
		Fixed: map[string]int64{"backups": 0, "backup_gigabytes": 0, "groups": 0, "per_volume_gigabytes": -1}}
}

func showLimits(x *exchange) error {
	q, err := quotas().Of(x.Exchange, x.Call.Project)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "limits", map[string]any{"rate": []any{}, "absolute": map[string]any{
		"maxTotalVolumes": q["volumes"].Limit, "totalVolumesUsed": q["volumes"].Used, "maxTotalVolumeGigabytes": q["gigabytes"].Limit,
		"totalGigabytesUsed": q["gigabytes"].Used, "maxTotalSnapshots": q["snapshots"].Limit, "totalSnapshotsUsed": q["snapshots"].Used,
		"maxTotalBackups": 0, "totalBackupsUsed": 0, "maxTotalBackupGigabytes": 0, "totalBackupGigabytesUsed": 0}})
}

// quotaSet answers with a project's quotas.
func (x *exchange) quotaSet(set map[string]any, err error) error {
	if err != nil {
		return err
	}
	set["id"] = x.Param("quota_project")
	return x.One(http.StatusOK, "quota_set", set)
}

func showQuota(x *exchange) error {
	usage, _, err := rest.Flag(x.Exchange, "usage")
	if err != nil {
		return err
	}
	if usage {
		return x.quotaSet(quotas().Detail(x.Exchange, x.Param("quota_project"), "in_use"))
	}
	return x.quotaSet(quotas().Limits(x.Exchange, x.Param("quota_project")))
}

func defaultQuota(x *exchange) error {
	_, err := quotas().Of(x.Exchange, x.Param("quota_project"))
	return x.quotaSet(quotas().Defaults(x.Exchange), err)
}

func classQuota(x *exchange) error {
	if err := rest.Class(x.Param("class")); err != nil {
		return err
	}
	out := quotas().Defaults(x.Exchange)
	out["id"] = "default"
	return x.One(http.StatusOK, "quota_class_set", out)
}

// setQuota lets a limit be below what is used, as Cinder does.
func setQuota(x *exchange) error {
	if err := quotas().May(x.Exchange, x.Param("quota_project")); err != nil {
		return err
	}
	var in map[string]json.RawMessage
	if err := rest.Body(x.Exchange, "quota_set", &in); err != nil {
		return err
	}
	if err := quotas().Set(x.Exchange, x.Param("quota_project"), "quota_set", in, true); err != nil {
		return err
	}
	set, err := quotas().Limits(x.Exchange, x.Param("quota_project"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "quota_set", set)
}

func dropQuota(x *exchange) error {
	if err := quotas().Drop(x.Exchange, x.Param("quota_project")); err != nil {
		return err
	}
	x.W.WriteHeader(http.StatusOK)
	return nil
}
