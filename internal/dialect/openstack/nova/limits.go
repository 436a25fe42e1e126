package nova

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
		{"GET", "/os-quota-sets/{quota_project}/detail", nil, "", detailQuota},
		{"GET", "/os-quota-sets/{quota_project}/defaults", nil, "", defaultQuota},
		{"PUT", "/os-quota-sets/{quota_project}", nil, "", setQuota},
		{"DELETE", "/os-quota-sets/{quota_project}", nil, "", dropQuota},
		{"GET", "/os-quota-class-sets/{class}", nil, "", classQuota},
	}
}

// quotas are Nova's words. 2.36 took away those of networks, which Neutron counts, 2.57 those of files that are put into servers.
func (x *exchange) quotas() rest.Quotas {
	q := rest.Quotas{Dims: map[string]ledger.Dim{"instances": "compute.servers", "cores": "compute.cpus", "ram": "compute.memory", "key_pairs": "keypair.keypairs", "server_groups": "compute.server-groups"},
		Fixed: map[string]int64{"metadata_items": 128, "server_group_members": -1}}
	if !x.Since(57) {
		q.Fixed["injected_files"], q.Fixed["injected_file_content_bytes"], q.Fixed["injected_file_path_bytes"] = mostFiles, mostFileBytes, mostFilePath
	}
	if !x.Since(36) {
		for _, neutrons := range []string{"fixed_ips", "floating_ips", "security_groups", "security_group_rules"} {
			q.Fixed[neutrons] = -1
		}
	}
	return q
}

func showLimits(x *exchange) error {
	q, err := x.quotas().Of(x.Exchange, x.Query("tenant_id"))
	if err != nil {
		return err
	}
	abs := map[string]any{"maxServerMeta": 128, "maxImageMeta": 128, "maxServerGroupMembers": -1}
	if !x.Since(57) {
		abs["maxPersonality"], abs["maxPersonalitySize"] = mostFiles, mostFileBytes
	}
	for name, words := range map[string][2]string{"instances": {"maxTotalInstances", "totalInstancesUsed"}, "cores": {"maxTotalCores", "totalCoresUsed"}, "ram": {"maxTotalRAMSize", "totalRAMUsed"},
		"server_groups": {"maxServerGroups", "totalServerGroupsUsed"}, "key_pairs": {"maxTotalKeypairs", ""}} {
		if abs[words[0]] = q[name].Limit; words[1] != "" {
			abs[words[1]] = q[name].Used
		}
	}
	return x.One(http.StatusOK, "limits", map[string]any{"rate": []any{}, "absolute": abs})
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
	return x.quotaSet(x.quotas().Limits(x.Exchange, x.Param("quota_project")))
}

func detailQuota(x *exchange) error {
	return x.quotaSet(x.quotas().Detail(x.Exchange, x.Param("quota_project"), "in_use"))
}

func defaultQuota(x *exchange) error {
	_, err := x.quotas().Of(x.Exchange, x.Param("quota_project"))
	return x.quotaSet(x.quotas().Defaults(x.Exchange), err)
}

func classQuota(x *exchange) error {
	if err := rest.Class(x.Param("class")); err != nil {
		return err
	}
	out := x.quotas().Defaults(x.Exchange)
	out["id"] = "default"
	return x.One(http.StatusOK, "quota_class_set", out)
}

func setQuota(x *exchange) error {
	if err := x.quotas().May(x.Exchange, x.Param("quota_project")); err != nil {
		return err
	}
	var in map[string]json.RawMessage
	if err := rest.Body(x.Exchange, "quota_set", &in); err != nil {
		return err
	}
	var force rest.Bool
	if raw, said := in["force"]; said {
		if err := force.UnmarshalJSON(raw); err != nil {
			return err
		}
	}
	if err := x.quotas().Set(x.Exchange, x.Param("quota_project"), "quota_set", in, bool(force)); err != nil {
		return err
	}
	set, err := x.quotas().Limits(x.Exchange, x.Param("quota_project"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "quota_set", set)
}

func dropQuota(x *exchange) error {
	if err := x.quotas().Drop(x.Exchange, x.Param("quota_project")); err != nil {
		return err
	}
	return rest.Accepted(x.Exchange)
}
