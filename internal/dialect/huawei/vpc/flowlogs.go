package vpc

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/huawei/networks"
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/network"
)

type flowRow = kind.Row[network.FlowLogSpec, network.FlowLogStatus]

func (a *API) flowLogRoutes() []wire.Route {
	k, p := a.n.FlowLog.D, "/v1/{project_id}/fl/flow_logs"
	return []wire.Route{
		{Method: "POST", Path: p, Kind: k, Verb: call.Create, Do: a.createFlowLog},
		{Method: "GET", Path: p, Kind: k, Verb: call.List, Do: a.listFlowLogs},
		{Method: "GET", Path: p + "/{flowlog_id}", Kind: k, Verb: call.Get, Do: a.showFlowLog},
		{Method: "PUT", Path: p + "/{flowlog_id}", Kind: k, Verb: call.Update, Do: a.updateFlowLog},
		{Method: "DELETE", Path: p + "/{flowlog_id}", Kind: k, Verb: call.Delete, Do: func(x *wire.Exchange) error { return networks.Delete(x, k, x.Param("flowlog_id")) }},
	}
}

func flowLogView(r *flowRow) any {
	typ, of := "port", r.Spec.Port
	if r.Spec.VPC != "" {
		typ, of = "vpc", r.Spec.VPC
	} else if r.Spec.Subnet != "" {
		typ, of = "network", r.Spec.Subnet
	}
	status := "ACTIVE"
	if r.Spec.Disabled {
		status = "DOWN"
	}
	return map[string]any{"id": rest.ID(r.ID), "name": rest.NameOf(&r.Meta), "description": r.Spec.Description, "resource_type": typ, "resource_id": rest.ID(of), "traffic_type": r.Spec.Traffic,
		"log_group_id": r.Spec.LogGroup, "log_topic_id": r.Spec.LogStream, "log_store_type": "lts", "admin_state": !r.Spec.Disabled, "status": status, "tenant_id": r.Project,
		"created_at": networks.Stamp(r.Created), "updated_at": networks.Stamp(r.Updated)}
}

func (a *API) createFlowLog(x *wire.Exchange) error {
	var b struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Type        string `json:"resource_type"`
		Of          string `json:"resource_id"`
		Traffic     string `json:"traffic_type"`
		Group       string `json:"log_group_id"`
		Stream      string `json:"log_topic_id"`
	}
	if err := networks.Body(x, "flow_log", &b); err != nil {
		return err
	}
	s := wire.Spec{"description": b.Description, "log_group": b.Group, "log_stream": b.Stream}
	if b.Traffic != "" {
		s["traffic"] = b.Traffic
	}
	switch b.Type {
	case "vpc", "port":
		s[b.Type] = b.Of
	case "network":
		s["subnet"] = b.Of
	case "": // the kind says what is missing
	default:
		return fail.Field("resource_type", "%q is none of vpc, network and port", b.Type)
	}
	r, err := networks.Create(x, a.n.FlowLog.D, b.Name, "", s)
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "flow_log", flowLogView(r.(*flowRow)))
}

func (a *API) listFlowLogs(x *wire.Exchange) error {
	return networks.List(x, a.n.FlowLog, "flow_logs", kind.Filter{}, nil, func(r *flowRow) any { return flowLogView(r) })
}

func (a *API) showFlowLog(x *wire.Exchange) error {
	r, err := wire.Get(x, a.n.FlowLog, x.Param("flowlog_id"))
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "flow_log", flowLogView(r))
}

func (a *API) updateFlowLog(x *wire.Exchange) error {
	var b struct {
		Name        *string `json:"name"`
		Description *string `json:"description"`
		State       *bool   `json:"admin_state"`
	}
	if err := networks.Body(x, "flow_log", &b); err != nil {
		return err
	}
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	wire.Not(s, "disabled", b.State)
	r, err := networks.Update(x, a.n.FlowLog.D, x.Param("flowlog_id"), b.Name, s)
	if err != nil {
		return err
	}
	return networks.One(x, http.StatusOK, "flow_log", flowLogView(r.(*flowRow)))
}
