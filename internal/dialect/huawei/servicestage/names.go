package servicestage

import (
	"strings"

	"github.com/awancloud/awan/internal/kernel/call"
)

// named makes a route's calls bear the names that ServiceStage's own documents give the action, which policies may use:
// those of identity policies (servicestage:app:createComponent) and the older, coarser ones (servicestage:app:create).
// See "Actions Supported by Identity Policy-based Authorization" and "… by Policy-based Authorization" in its API reference.
func named(r route) route {
	names := actionNamesOf(strings.TrimPrefix(r.Path, base), r.Verb)
	if names == "" {
		return r
	}
	do := r.Do
	r.Do = func(x *exchange) error {
		x.Call.Alias = names
		return do(x)
	}
	return r
}

// verbNames are our verbs in ServiceStage's words.
func verbNames() map[string]string {
	return map[string]string{call.Create: "create", call.Get: "get", call.List: "list", call.Update: "modify", call.Delete: "delete"}
}

// actionNamesOf gives the names of what a route does; those of runtime stacks and jobs are not published.
func actionNamesOf(path, verb string) string {
	do := verbNames()[verb]
	is := func(part string) bool { return strings.Contains(path, part) }
	switch {
	case do == "":
		return ""
	case is("/environments"):
		return "servicestage:environment:" + do
	case is("/histories/"):
		return "servicestage:config:getHistory servicestage:config:get"
	case is("/histories"):
		return "servicestage:config:listHistories servicestage:config:list"
	case is("/config"):
		if is("/configuration") {
			return "servicestage:app:" + do + "Configuration servicestage:app:" + do
		}
		return "servicestage:config:" + do
	case is("/swimlane-group/{lane_group_id}/swimlane"):
		return "servicestage::" + do + "Lane servicestage:app:" + do
	case is("/swimlane-group"):
		return "servicestage::" + do + "LaneGroup servicestage:app:" + do
	case is("/components"):
		return "servicestage:app:" + do + "Component servicestage:app:" + do
	case is("/applications"):
		return "servicestage:app:" + do + "Application servicestage:app:" + do
	}
	return ""
}
