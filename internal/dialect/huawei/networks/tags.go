package networks

import (
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// TagRoutes are version 2.0's paths about the tags of one type of resource.
func TagRoutes[S, T any](t kind.Table[S, T], typ string) []wire.Route {
	all := "/v2.0/{project_id}/" + typ
	one, k, id := all+"/{resource_id}/tags", t.D, "resource_id"
	return []wire.Route{
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: rest.ShowTags(k, id)},
		{Method: "POST", Path: one, Kind: k, Verb: call.Update, Do: rest.AddTag(k, id)},
		{Method: "POST", Path: one + "/action", Kind: k, Verb: call.Update, Do: rest.ActOnTags(k, id)},
		{Method: "DELETE", Path: one + "/{key}", Kind: k, Verb: call.Update, Do: rest.RemoveTag(k, id)},
		{Method: "GET", Path: all + "/tags", Kind: k, Verb: call.List, Do: rest.ProjectTags(t)},
		{Method: "POST", Path: all + "/resource_instances/action", Kind: k, Verb: call.List, Do: rest.SearchByTags(t, nil)},
	}
}
