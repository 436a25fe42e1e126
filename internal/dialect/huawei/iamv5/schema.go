package iamv5

import (
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/policy"
)

func schemaRoutes(*wire.API) []wire.Route {
	return []wire.Route{
		{Method: "GET", Path: "/v5/authorization-schemas/registered-services", Do: listServices},
		{Method: "GET", Path: "/v5/authorization-schemas/services/{service_code}", Do: showSchema},
	}
}

// listServices lists the services that policies can speak of.
func listServices(x *wire.Exchange) error {
	var names []string
	for _, k := range x.API.Door.Kinds {
		names = append(names, k.Service)
	}
	slices.Sort(names)
	var items []any
	for _, n := range slices.Compact(names) {
		items = append(items, n)
	}
	return slice(x, "service_codes", items)
}

type words struct {
	English string `json:"en_US"`
	Chinese string `json:"zh_CN"`
}

// showSchema tells what policies can say of a service: it is read from the descriptions of its resources.
func showSchema(x *wire.Exchange) error {
	service := x.Param("service_code")
	actions, resources := []any{}, []any{}
	for _, k := range x.API.Door.Kinds {
		if k.Service != service {
			continue
		}
		urn := k.Resource("*", "*", "*")
		resources = append(resources, map[string]any{"type_name": k.Name, "urn_template": urn})
		for _, v := range call.Verbs(k) {
			actions = append(actions, map[string]any{"name": k.Desc.Action(v.Verb), "access_level": level(v.Level), "permission_only": false,
				"description": words{v.Doc, v.Doc}, "aliases": []string{}, "condition_keys": []string{},
				"resources": []any{map[string]any{"urn_template": urn, "required": false, "condition_keys": []string{}}}})
		}
	}
	if len(resources) == 0 {
		return fail.New(fail.NotFound, "there is no service %q", service).Then("see GET /v5/authorization-schemas/registered-services")
	}
	conditions := []any{}
	for _, key := range policy.GlobalKeys() {
		conditions = append(conditions, map[string]any{"key": key, "value_type": "string", "multi_valued": key == "g:TagKeys", "description": words{key, key}})
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"version": "v1", "actions": actions, "resources": resources, "conditions": conditions, "operations": []any{}})
	return nil
}

func level(l kind.Level) string {
	switch l {
	case kind.List:
		return "list"
	case kind.Read:
		return "read"
	case kind.Admin:
		return "permission_management"
	}
	return "write"
}
