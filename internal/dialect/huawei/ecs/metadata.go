package ecs

import (
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func (a *API) metadataRoutes() []route {
	k := a.Compute.Server.D
	const put = "ecs:cloudServers:updateMetadata ecs:serverMetadata:update"
	return []route{
		{Method: "POST", Path: one + "/metadata", Kind: k, Verb: call.Update, Alias: put, Do: a.setMetadata},
		{Method: "DELETE", Path: one + "/metadata/{key}", Kind: k, Verb: call.Update, Alias: "ecs:cloudServers:deleteMetadata ecs:serverMetadata:delete", Do: a.removeMetadata},
		{Method: "GET", Path: one + "/tags", Kind: k, Verb: call.Get, Alias: "ecs:cloudServers:showServerTags ecs:serverTags:list", Do: rest.ShowTags(k, "server_id")},
		{Method: "POST", Path: one + "/tags/action", Kind: k, Verb: call.Update, Alias: "ecs:cloudServers:batchSetServerTags ecs:serverTags:set", Do: rest.ActOnTags(k, "server_id")},
		{Method: "GET", Path: all + "/tags", Kind: k, Verb: call.List, Alias: "ecs:cloudServers:listServerTags ecs:serverTags:list", Do: rest.ProjectTags(a.Compute.Server)},
	}
}

// setMetadata adds to the metadata, or changes it; what is not named stays.
func (a *API) setMetadata(x *exchange) error {
	var b struct {
		Metadata map[string]string `json:"metadata"`
	}
	k, target := a.Compute.Server.D, x.Param("server_id")
	if err := rest.Body(x, &b); err != nil {
		return rest.Refuse(x, k, call.Update, target, err)
	}
	meta := map[string]any{}
	s := wire.Spec{}
	for key, v := range b.Metadata {
		switch key {
		case agencyKey:
			s["agency"] = v
		case agents:
			s["foreign"] = map[string]string{agents: v}
		case "op_svc_userid":
		default:
			meta[key] = v
		}
	}
	if len(meta) > 0 {
		s["metadata"] = meta
	}
	r, err := rest.Send(x, k, call.Update, target, func(c *call.Call) { c.Spec = s.JSON() })
	if err != nil {
		return err
	}
	return rest.OK(x, map[string]any{"metadata": metadata(r.Row.(*serverRow))})
}

func (a *API) removeMetadata(x *exchange) error {
	k, target, key := a.Compute.Server.D, x.Param("server_id"), x.Param("key")
	r, err := a.server(x)
	if err != nil {
		return err
	}
	if _, ok := r.Spec.Metadata[key]; !ok {
		return rest.Refuse(x, k, call.Update, target, fail.New(fail.NotFound, "server %s has no metadata %q", rest.ID(r.ID), key))
	}
	if _, err := rest.Send(x, k, call.Update, target, func(c *call.Call) { c.Spec = wire.Spec{"metadata": map[string]any{key: nil}}.JSON() }); err != nil {
		return err
	}
	return x.NoContent()
}
