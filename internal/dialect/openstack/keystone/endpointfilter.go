package keystone

import (
	"slices"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

const filterPath = "/v3/OS-EP-FILTER"

// filterRoutes are OS-EP-FILTER's associations of projects and endpoints; groups of endpoints are not offered.
func (a *API) filterRoutes() []route {
	k := a.Kinds.Project.D
	one := filterPath + "/projects/{project_id}/endpoints/{endpoint_id}"
	return []route{
		{Method: "GET", Path: filterPath + "/projects/{project_id}/endpoints", Kind: k, Verb: call.Get, Do: endpointsOfProject},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: showEndpointTo},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: isEndpointShown},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Update, Do: hideEndpointFrom},
		{Method: "GET", Path: filterPath + "/endpoints/{endpoint_id}/projects", Do: projectsOfEndpoint}, // of those that the caller may list
	}
}

// endpointsOfProject lists what was chosen for a project: nothing chosen means that its tokens show all.
func endpointsOfProject(x *exchange) error {
	p, err := wire.Get(&x.Exchange, x.API.Kinds.Project, x.Param("project_id"))
	if err != nil {
		return err
	}
	all, err := x.allServices()
	if err != nil {
		return err
	}
	items := []any{}
	for _, s := range all {
		for _, e := range s.ends {
			if slices.Contains(p.Spec.Endpoints, e.ID) {
				items = append(items, x.endpointView(s.ID, e))
			}
		}
	}
	token.WriteList(x.W, "endpoints", items, token.Links{Self: x.Self(x.R.URL.Path).Self})
	return nil
}

// choose edits what a project's tokens show, again where somebody else changed the project meanwhile.
func (x *exchange) choose(edit func([]string) ([]string, error)) error {
	for try := 0; ; try++ {
		p, err := wire.Get(&x.Exchange, x.API.Kinds.Project, x.Param("project_id"))
		if err != nil {
			return err
		}
		c := x.Call
		c.Domain = string(p.Domain)
		if _, _, err := x.API.Door.Permit(x.R.Context(), &c, x.API.Kinds.Project.D, call.Update, p.Name); err != nil {
			return err
		}
		chosen, err := edit(slices.Clone(p.Spec.Endpoints))
		if err != nil {
			return err
		}
		_, err = x.Do(x.API.Kinds.Project.D, call.Update, string(p.ID), func(c *call.Call) {
			c.Domain, c.IfRevision, c.Spec = string(p.Domain), p.Revision, wire.Spec{"endpoints": chosen}.JSON()
		})
		if fail.Is(err, fail.Conflict) && try < 5 {
			continue
		}
		if err != nil {
			return err
		}
		return x.NoContent()
	}
}

func showEndpointTo(x *exchange) error {
	id := x.Param("endpoint_id")
	return x.choose(func(have []string) ([]string, error) {
		all, err := x.allServices()
		if err != nil {
			return nil, err
		}
		known := slices.ContainsFunc(all, func(s listed) bool {
			return slices.ContainsFunc(s.ends, func(e listedEndpoint) bool { return e.ID == id })
		})
		if !known {
			return nil, fail.New(fail.NotFound, "there is no endpoint %q", id).Then("see GET /v3/endpoints")
		}
		if !slices.Contains(have, id) {
			have = append(have, id)
		}
		return have, nil
	})
}

func hideEndpointFrom(x *exchange) error {
	id := x.Param("endpoint_id")
	return x.choose(func(have []string) ([]string, error) {
		if !slices.Contains(have, id) {
			return nil, fail.New(fail.NotFound, "the endpoint was not chosen for this project")
		}
		return slices.DeleteFunc(have, func(e string) bool { return e == id }), nil
	})
}

func isEndpointShown(x *exchange) error {
	p, err := wire.Get(&x.Exchange, x.API.Kinds.Project, x.Param("project_id"))
	if err != nil {
		return err
	}
	if !slices.Contains(p.Spec.Endpoints, x.Param("endpoint_id")) {
		return fail.New(fail.NotFound, "the endpoint was not chosen for this project")
	}
	return x.NoContent()
}

func projectsOfEndpoint(x *exchange) error {
	return List(&x.Exchange, x.API.Kinds.Project, "projects", x.domain(nil), kind.Filter{}, func(r *ProjectRow) bool {
		return slices.Contains(r.Spec.Endpoints, x.Param("endpoint_id"))
	}, func(r *ProjectRow) any { return x.projectShown(r) })
}
