package iam

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// defaultEnterprise is the id of the enterprise project that every account has, and here the only one.
const defaultEnterprise = "0"

func enterpriseRoutes() []keystone.Route {
	all := "/v1.0/enterprise-projects"
	return []keystone.Route{
		{Method: "GET", Path: all, Do: listEnterprise},
		{Method: "GET", Path: all + "/{enterprise_project_id}", Do: showEnterprise},
		{Method: "POST", Path: all, Do: noEnterprise},
		{Method: "PUT", Path: all + "/{enterprise_project_id}", Do: noEnterprise},
		{Method: "DELETE", Path: all + "/{enterprise_project_id}", Do: noEnterprise},
	}
}

func enterprise() map[string]any {
	return map[string]any{"id": defaultEnterprise, "name": "default", "description": "everything of the account", "status": 1, "type": "prod",
		"created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z", "delete_flag": false}
}

func listEnterprise(x *keystone.Exchange) error {
	items := []any{}
	q := x.R.URL.Query()
	if (q.Get("name") == "" || q.Get("name") == "default") && (q.Get("id") == "" || q.Get("id") == defaultEnterprise) &&
		(q.Get("status") == "" || q.Get("status") == "0" || q.Get("status") == "1") && (q.Get("offset") == "" || q.Get("offset") == "0") {
		items = append(items, enterprise())
	}
	token.Write(x.W, http.StatusOK, map[string]any{"enterprise_projects": items, "total_count": len(items)})
	return nil
}

func showEnterprise(x *keystone.Exchange) error {
	if x.Param("enterprise_project_id") != defaultEnterprise {
		return fail.New(fail.NotFound, "there is no enterprise project %q", x.Param("enterprise_project_id")).Then("use the default one, 0")
	}
	return x.One(http.StatusOK, "enterprise_project", enterprise())
}

func noEnterprise(*keystone.Exchange) error {
	return fail.New(fail.Unsupported, "this cloud has the default enterprise project only").Then("use projects to keep resources and bills apart")
}
