package nova

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
		{"GET", "/os-quota-sets/{quota_project}", nil, "", func(x *exchange) error { return showQuota(x, false) }},
		{"GET", "/os-quota-sets/{quota_project}/detail", nil, "", func(x *exchange) error { return showQuota(x, true) }},
		{"GET", "/os-quota-sets/{quota_project}/defaults", nil, "", defaultQuota},
		{"PUT", "/os-quota-sets/{quota_project}", nil, "", setQuota},
		{"DELETE", "/os-quota-sets/{quota_project}", nil, "", dropQuota},
		{"GET", "/os-quota-class-sets/{class}", nil, "", classQuota},
	}
}

// dims are Nova's quotas that this cloud has.
func dims() map[string]ledger.Dim {
	return map[string]ledger.Dim{"instances": "compute.servers", "cores": "compute.cpus", "ram": "compute.memory", "key_pairs": "keypair.keypairs", "server_groups": "compute.server-groups"}
}

// fixedLimits are Nova's others, which are the same in every project.
func fixedLimits() map[string]int64 {
	return map[string]int64{"metadata_items": 128, "server_group_members": -1, "injected_files": 0, "injected_file_content_bytes": 0, "injected_file_path_bytes": 0}
}

// quotas reads a project's quotas; "" is the caller's project.
func (x *exchange) quotas(project string) (map[ledger.Dim]ledger.Quota, error) {
	c := x.Call
	if project != "" {
		c.Project = project
	}
	all, err := x.API.Door.Quotas(x.R.Context(), &c)
	out := map[ledger.Dim]ledger.Quota{}
	for _, q := range all {
		out[q.Dim] = q
	}
	return out, err
}

func showLimits(x *exchange) error {
	q, err := x.quotas(x.Query("tenant_id"))
	if err != nil {
		return err
	}
	d := dims()
	abs := map[string]any{"maxServerMeta": 128, "maxImageMeta": 128, "maxPersonality": 0, "maxPersonalitySize": 0, "maxServerGroupMembers": -1,
		"maxTotalInstances": q[d["instances"]].Limit, "totalInstancesUsed": q[d["instances"]].Used, "maxTotalCores": q[d["cores"]].Limit, "totalCoresUsed": q[d["cores"]].Used,
		"maxTotalRAMSize": q[d["ram"]].Limit, "totalRAMUsed": q[d["ram"]].Used, "maxTotalKeypairs": q[d["key_pairs"]].Limit,
		"maxServerGroups": q[d["server_groups"]].Limit, "totalServerGroupsUsed": q[d["server_groups"]].Used}
	return x.one(http.StatusOK, "limits", map[string]any{"rate": []any{}, "absolute": abs})
}

func (x *exchange) quotaSet(project string, detail bool) (map[string]any, error) {
	q, err := x.quotas(project)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"id": project}
	put := func(name string, limit, used int64) {
		if detail {
			out[name] = map[string]int64{"limit": limit, "in_use": used, "reserved": 0}
		} else {
			out[name] = limit
		}
	}
	for name, d := range dims() {
		if one, ok := q[d]; ok {
			put(name, one.Limit, one.Used)
		}
	}
	for name, n := range fixedLimits() {
		if x.since(57) && n == 0 {
			continue // 2.57 took the files away
		}
		put(name, n, 0)
	}
	return out, nil
}

func showQuota(x *exchange, detail bool) error {
	set, err := x.quotaSet(x.Param("quota_project"), detail)
	if err != nil {
		return err
	}
	return x.one(http.StatusOK, "quota_set", set)
}

// defaultLimit is what a project has that was given no limit of its own.
func (x *exchange) defaultLimit(d ledger.Dim) int64 {
	if x.API.Door.Limits != nil {
		if n, ok := x.API.Door.Limits(d); ok {
			return n
		}
	}
	return -1
}

func (x *exchange) defaults() map[string]any {
	out := map[string]any{}
	for name, d := range dims() {
		out[name] = x.defaultLimit(d)
	}
	for name, n := range fixedLimits() {
		if !x.since(57) || n != 0 {
			out[name] = n
		}
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

func setQuota(x *exchange) error {
	o, err := rest.Read(x.Exchange)
	if err != nil {
		return err
	}
	var in map[string]json.RawMessage
	if err := o.Into("quota_set", &in); err != nil {
		return err
	}
	wanted, known := map[ledger.Dim]int64{}, dims()
	for name, raw := range in {
		var n rest.Int
		if name == "force" || name == "tenant_id" {
			continue
		}
		if err := json.Unmarshal(raw, &n); err != nil {
			return fail.Field("quota_set."+name, "it is not a whole number")
		}
		if d, ok := known[name]; ok {
			wanted[d] = int64(n)
			continue
		}
		if f, ok := fixedLimits()[name]; ok && f == int64(n) {
			continue
		}
		return fail.Field("quota_set."+name, "this cloud has no such quota, or it cannot change").Then("it has instances, cores, ram, key_pairs and server_groups")
	}
	if err := x.setLimits(wanted); err != nil {
		return err
	}
	set, err := x.quotaSet(x.Param("quota_project"), false)
	if err != nil {
		return err
	}
	delete(set, "id")
	return x.one(http.StatusOK, "quota_set", set)
}

// unlimited is the limit that is none: the ledger's -1 means the default.
const unlimited = 1 << 40

func (x *exchange) setLimits(wanted map[ledger.Dim]int64) error {
	if len(wanted) == 0 {
		return rest.Operators(x.Exchange)
	}
	for d, n := range wanted {
		if n < 0 {
			n = unlimited
		}
		c := x.Call
		c.Project = x.Param("quota_project")
		c.Spec, _ = json.Marshal(map[string]any{"name": d, "limit": n})
		if err := x.API.Door.SetQuota(x.R.Context(), &c, d, n); err != nil {
			return err
		}
	}
	return nil
}

func dropQuota(x *exchange) error {
	for _, d := range dims() {
		c := x.Call
		c.Project = x.Param("quota_project")
		c.Spec, _ = json.Marshal(map[string]any{"name": d, "limit": -1})
		if err := x.API.Door.SetQuota(x.R.Context(), &c, d, -1); err != nil {
			return err
		}
	}
	return rest.Accepted(x.Exchange)
}
