package servicestage

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (a *API) applicationRoutes() []route {
	k, all := a.App.Application.D, base+"/applications"
	one := all + "/{application_id}"
	return []route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: a.createApplication},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: a.listApplications},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showApplication},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.updateApplication},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deleteApplication},
	}
}

type applicationBody struct {
	Name        *string  `json:"name"`
	Description *string  `json:"description"`
	Labels      *[]label `json:"labels"`
	Enterprise  *string  `json:"enterprise_project_id"`
}

func (a *API) applicationView(r *applicationRow) map[string]any {
	return map[string]any{"id": r.ID, "name": r.Name, "description": r.Spec.Description, "project_id": r.Project, "enterprise_project_id": enterpriseOf(&r.Meta),
		"creator": r.CreatedBy, "labels": labels(r.Tags), "create_time": stamp(r.Created), "update_time": stamp(r.Updated)}
}

// writeApplication creates or, with a target, changes an application.
func (a *API) writeApplication(x *exchange, verb, target string) error {
	var b applicationBody
	if err := body(x, &b); err != nil {
		return err
	}
	row, err := x.Do(a.App.Application.D, verb, target, func(c *call.Call) {
		s := wire.Spec{}
		wire.Set(s, "description", b.Description)
		c.Name, c.EnterpriseProject, c.Spec = b.Name, b.Enterprise, s.JSON()
		tagsOf(c, b.Labels)
	})
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, a.applicationView(row.(*applicationRow)))
	return nil
}

func (a *API) createApplication(x *exchange) error { return a.writeApplication(x, call.Create, "") }

func (a *API) updateApplication(x *exchange) error {
	return a.writeApplication(x, call.Update, x.Param("application_id"))
}

func (a *API) listApplications(x *exchange) error {
	rows, _, err := wire.Rows(x, a.App.Application, "", kind.Filter{Exact: x.Query("name"), Enterprise: enterpriseAsked(x)})
	if err != nil {
		return err
	}
	items := make([]map[string]any, len(rows))
	for i, r := range rows {
		items[i] = a.applicationView(r)
	}
	return answer(x, "applications", items)
}

func (a *API) showApplication(x *exchange) error {
	r, err := wire.Get(x, a.App.Application, x.Param("application_id"))
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, a.applicationView(r))
	return nil
}

func (a *API) deleteApplication(x *exchange) error {
	if _, err := x.Do(a.App.Application.D, call.Delete, x.Param("application_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}
