package evs

import (
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/kernel/call"
)

// absentRoutes answer what Huawei's API has and this cloud has not: clients read why.
func (a *API) absentRoutes() []route {
	k := a.Volumes.Volumes.D
	var out []route
	add := func(method, path, verb, why, next string) {
		out = append(out, route{Method: method, Path: path, Kind: k, Verb: verb, Do: rest.NotOffered(k, verb, why, next)})
	}
	add("POST", "/v5/{project_id}/volumes/batch-extend", call.Update, "disks are extended one by one", "POST …/cloudvolumes/{volume_id}/action")
	add("POST", all+"/unsubscribe", call.Delete, "this cloud charges by use; there are no orders", "DELETE …/cloudvolumes/{volume_id}")
	const bin, own = "what is deleted by this API is deleted for good", "what was deleted by the cloud's own API is in its trash: awan volume restore"
	add("GET", "/v3/{project_id}/recycle-bin-volumes/detail", call.List, bin, own)
	add("GET", "/v3/{project_id}/recycle-bin-volumes/policy", call.Get, bin, own)
	add("PUT", "/v3/{project_id}/recycle-bin-volumes/policy", call.Update, bin, own)
	add("GET", "/v3/{project_id}/recycle-bin-volumes/{volume_id}", call.Get, bin, own)
	add("DELETE", "/v3/{project_id}/recycle-bin-volumes/{volume_id}", call.Delete, bin, own)
	add("POST", "/v3/{project_id}/recycle-bin-volumes/{volume_id}/revert", call.Update, bin, own)
	return out
}
