package iam

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func projectRoutes(a *wire.API) []wire.Route {
	k, one := a.Kinds.Project.D, "/v3-ext/projects/{project_id}"
	return []wire.Route{
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: showProject},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: setProjectStatus},
		{Method: "DELETE", Path: "/v3/projects/{project_id}", Kind: k, Verb: call.Delete, Do: deleteProject},
	}
}

const (
	normal    = "normal"
	suspended = "suspended"
)

// showProject is the project with its status.
func showProject(x *wire.Exchange) error {
	row, err := wire.Get(x, x.API.Kinds.Project, x.Param("project_id"))
	if err != nil {
		return err
	}
	v := struct {
		token.ProjectView
		Status string `json:"status"`
	}{keystone.ProjectView(x, row, string(row.Domain)), normal}
	if row.Spec.Disabled { // which Huawei says by the status alone
		v.Status, v.Enabled = suspended, true
	}
	return x.One(http.StatusOK, "project", v)
}

func setProjectStatus(x *wire.Exchange) error {
	var b struct {
		Status string `json:"status"`
	}
	if err := x.Body("project", &b); err != nil {
		return err
	}
	if b.Status != "" && b.Status != normal && b.Status != suspended {
		return fail.Field("project.status", "%q is neither normal nor suspended", b.Status)
	}
	_, err := x.Do(x.API.Kinds.Project.D, call.Update, x.Param("project_id"), func(c *call.Call) {
		s := wire.Spec{}
		if b.Status != "" {
			s["disabled"] = b.Status == suspended
		}
		c.Spec = s.JSON()
	})
	if err != nil {
		return err
	}
	return x.NoContent()
}

// deleteProject answers 200, the one status for success that Huawei's Terraform provider takes here.
func deleteProject(x *wire.Exchange) error {
	if _, err := x.Do(x.API.Kinds.Project.D, call.Delete, x.Param("project_id"), nil); err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, struct{}{})
	return nil
}
