package ecs

import (
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

func (a *API) quotaRoutes() []route {
	return []route{{Method: "GET", Path: all + "/limits", Kind: a.Compute.Server.D, Verb: call.List, Alias: "ecs:cloudServerQuotas:get ecs:cloudServers:showServerLimits", Do: a.limits}}
}

// limits tells what a project may have and has; -1 is no limit.
func (a *API) limits(x *exchange) error {
	if err := rest.May(x, a.Compute.Server.D, call.List, "*"); err != nil {
		return err
	}
	own := x.Call
	quotas, err := a.Door.Quotas(x.R.Context(), &own)
	if err != nil {
		return err
	}
	of := map[ledger.Dim]ledger.Quota{}
	for _, q := range quotas {
		of[q.Dim] = q
	}
	limit := func(d ledger.Dim) int64 {
		if q, ok := of[d]; ok {
			return q.Limit
		}
		return -1
	}
	used := func(d ledger.Dim) int64 { return of[d].Used }
	return rest.OK(x, map[string]any{"absolute": map[string]any{
		"maxTotalInstances": limit("compute.servers"), "totalInstancesUsed": used("compute.servers"),
		"maxTotalCores": limit("compute.cpus"), "totalCoresUsed": used("compute.cpus"),
		"maxTotalRAMSize": limit("compute.memory"), "totalRAMUsed": used("compute.memory"),
		"maxTotalKeypairs": limit("keypair.keypairs"), "maxServerGroups": limit("compute.server-groups"), "totalServerGroupsUsed": used("compute.server-groups"),
		"maxServerGroupMembers": -1, "maxTotalFloatingIps": limit("network.public-ips"), "totalFloatingIpsUsed": used("network.public-ips"),
		"maxSecurityGroups": limit("network.security-groups"), "totalSecurityGroupsUsed": used("network.security-groups"), "maxSecurityGroupRules": -1,
		"maxServerMeta": 128, "maxImageMeta": 128, "maxPersonality": 0, "maxPersonalitySize": 0,
		"maxTotalSpotInstances": 0, "maxTotalSpotCores": 0, "maxTotalSpotRAMSize": 0, "totalSpotInstancesUsed": 0, "totalSpotCoresUsed": 0, "totalSpotRAMUsed": 0}})
}
