package servicestage

import (
	"cmp"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (a *API) environmentRoutes() []route {
	k, all := a.App.Environment.D, base+"/environments"
	one := all + "/{environment_id}"
	return []route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: a.createEnvironment},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: a.listEnvironments},
		{Method: "GET", Path: all + "/resources", Kind: k, Verb: call.List, Do: a.listManageable},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showEnvironment},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.updateEnvironment},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deleteEnvironment},
		{Method: "GET", Path: one + "/resources", Kind: k, Verb: call.Get, Do: a.listBound},
		{Method: "PUT", Path: one + "/resources", Kind: k, Verb: call.Update, Do: a.bind},
	}
}

// environmentWords is what ServiceStage's clients say of an environment and this cloud gives back.
type environmentWords struct {
	VPC        string  `json:"vpc_id,omitempty"`
	DeployMode string  `json:"deploy_mode,omitempty"`
	Bound      []bound `json:"resources,omitempty"`
}

// bound is a resource that an environment is bound to.
type bound struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Name string `json:"name,omitempty"`
}

type environmentBody struct {
	Name        *string  `json:"name"`
	VPC         *string  `json:"vpc_id"`
	DeployMode  *string  `json:"deploy_mode"`
	Description *string  `json:"description"`
	Labels      *[]label `json:"labels"`
	Enterprise  *string  `json:"enterprise_project_id"`
}

func (a *API) environmentView(r *environmentRow) map[string]any {
	var w environmentWords
	recall(r.Spec.Foreign, &w)
	return map[string]any{"id": r.ID, "name": r.Name, "description": r.Spec.Description, "project_id": r.Project, "vpc_id": w.VPC,
		"deploy_mode": cmp.Or(w.DeployMode, "container"), "enterprise_project_id": enterpriseOf(&r.Meta), "creator": r.CreatedBy, "labels": labels(r.Tags),
		"create_time": stamp(r.Created), "update_time": stamp(r.Updated)}
}

// checkMode refuses environments for what there is not: everything runs in containers.
func checkMode(mode *string) error {
	switch text(mode) {
	case "", "container", "mixed":
		return nil
	case "virtualmachine":
		return fail.New(fail.Unsupported, "deploy_mode: components run in containers here, not on virtual machines").Then("use container or mixed")
	}
	return fail.Field("deploy_mode", "%q is none of container, mixed and virtualmachine", *mode)
}

func (a *API) createEnvironment(x *exchange) error {
	var b environmentBody
	if err := body(x, &b); err != nil {
		return err
	}
	if err := checkMode(b.DeployMode); err != nil {
		return err
	}
	row, err := x.Do(a.App.Environment.D, call.Create, "", func(c *call.Call) {
		s := wire.Spec{"foreign": remember(environmentWords{VPC: text(b.VPC), DeployMode: text(b.DeployMode)})}
		wire.Set(s, "description", b.Description)
		c.Name, c.EnterpriseProject, c.Spec = b.Name, b.Enterprise, s.JSON()
		tagsOf(c, b.Labels)
	})
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, a.environmentView(row.(*environmentRow)))
	return nil
}

func (a *API) listEnvironments(x *exchange) error {
	q := x.R.URL.Query()
	rows, _, err := wire.Rows(x, a.App.Environment, "", kind.Filter{Exact: q.Get("name"), Enterprise: enterpriseAsked(x)})
	if err != nil {
		return err
	}
	items := make([]map[string]any, len(rows))
	for i, r := range rows {
		items[i] = a.environmentView(r)
	}
	return answer(x, "environments", items)
}

func (a *API) showEnvironment(x *exchange) error {
	r, err := wire.Get(x, a.App.Environment, x.Param("environment_id"))
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, a.environmentView(r))
	return nil
}

func (a *API) updateEnvironment(x *exchange) error {
	var b environmentBody
	if err := body(x, &b); err != nil {
		return err
	}
	row, err := x.Do(a.App.Environment.D, call.Update, x.Param("environment_id"), func(c *call.Call) {
		s := wire.Spec{}
		wire.Set(s, "description", b.Description)
		c.Name, c.EnterpriseProject, c.Spec = b.Name, b.Enterprise, s.JSON()
		tagsOf(c, b.Labels)
	})
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, a.environmentView(row.(*environmentRow)))
	return nil
}

func (a *API) deleteEnvironment(x *exchange) error {
	if _, err := x.Do(a.App.Environment.D, call.Delete, x.Param("environment_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}

// listManageable lists what an environment can be bound to: the cluster that this cloud's containers are.
func (a *API) listManageable(x *exchange) error {
	if err := a.seen(x); err != nil {
		return err
	}
	items := []bound{}
	if t := x.Query("type"); t == "" || t == "cce" {
		items = append(items, bound{ID: clusterID(x.Param("project_id")), Type: "cce", Name: clusterName})
	}
	return answer(x, "resources", items)
}

func (a *API) listBound(x *exchange) error {
	r, err := wire.Get(x, a.App.Environment, x.Param("environment_id"))
	if err != nil {
		return err
	}
	var w environmentWords
	recall(r.Spec.Foreign, &w)
	if w.Bound == nil {
		w.Bound = []bound{}
	}
	return answer(x, "resources", w.Bound)
}

// bind replaces what an environment is bound to. Of a cluster there is only one; what is of another type is kept.
func (a *API) bind(x *exchange) error {
	var b struct {
		Resources []bound `json:"resources"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	target := x.Param("environment_id")
	if err := a.may(x, a.App.Environment.D, call.Update, target); err != nil {
		return err
	}
	r, err := wire.Get(x, a.App.Environment, target)
	if err != nil {
		return err
	}
	for i, res := range b.Resources {
		if res.Type == "cce" && res.ID != clusterID(x.Param("project_id")) {
			return fail.Field("resources["+itoa(i)+"].id", "there is no cluster %q in this project", res.ID).
				Then("use %s, which GET …/cas/environments/resources?type=cce lists", clusterID(x.Param("project_id")))
		}
	}
	var w environmentWords
	recall(r.Spec.Foreign, &w)
	w.Bound = b.Resources
	_, err = x.Do(a.App.Environment.D, call.Update, target, func(c *call.Call) {
		c.IfRevision, c.Spec = r.Revision, wire.Spec{"foreign": remember(w)}.JSON()
	})
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"resources": b.Resources})
	return nil
}
