package servicestage

import (
	"errors"
	"net/http"
	"time"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func (a *API) componentRoutes() []route {
	k, all := a.App.Component.D, base+"/applications/{application_id}/components"
	one := all + "/{component_id}"
	return []route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: a.createComponent},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: a.listOfApplication},
		{Method: "GET", Path: base + "/components", Kind: k, Verb: call.List, Do: a.listComponents},
		{Method: "POST", Path: base + "/components", Kind: k, Verb: call.Create, Do: a.noTemplates},
		{Method: "POST", Path: base + "/components/parse-template-package", Kind: k, Verb: call.List, Do: a.noTemplates},
		{Method: "GET", Path: base + "/components/filterOptions", Kind: k, Verb: call.List, Do: a.filterOptions},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showComponent},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.updateComponent},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deleteComponent},
	}
}

// names maps the names that components hold to the ids that this API speaks of.
type names struct{ environment, application map[string]string }

func (a *API) names(x *exchange) (*names, error) {
	n := &names{map[string]string{}, map[string]string{}}
	environments, _, err := wire.Rows(x, a.App.Environment, "", kind.Filter{})
	if err != nil {
		return nil, err
	}
	for _, r := range environments {
		n.environment[r.Name] = string(r.ID)
	}
	applications, _, err := wire.Rows(x, a.App.Application, "", kind.Filter{})
	for _, r := range applications {
		n.application[r.Name] = string(r.ID)
	}
	return n, err
}

// component finds the path's component and checks that it is of the path's application.
func (a *API) component(x *exchange) (*componentRow, *names, error) {
	r, err := wire.Get(x, a.App.Component, x.Param("component_id"))
	if err != nil {
		return nil, nil, err
	}
	if r.State == kind.Trashed {
		return nil, nil, fail.New(fail.NotFound, "there is no component %q", x.Param("component_id"))
	}
	n, err := a.names(x)
	if err != nil {
		return nil, nil, err
	}
	if application := x.Param("application_id"); n.application[r.Spec.Application] != application {
		return nil, nil, fail.New(fail.NotFound, "there is no component %q in application %q", x.Param("component_id"), application)
	}
	return r, n, nil
}

// busyWait is how long a change waits for a component's job to end: here configs and variables roll out by themselves, and
// a client that changes them and the component at once knows nothing of that job.
const busyWait = 20 * time.Second

// send sends a change of a component through the door and gives its id and the job that works on it.
func (a *API) send(x *exchange, verb string, target id.ID, edit func(*call.Call)) (map[string]any, error) {
	c := x.Call
	c.Kind, c.Verb, c.Target = a.App.Component.D, verb, string(target)
	edit(&c)
	r, err := a.Door.Do(x.R.Context(), &c)
	for begun := time.Now(); fail.Is(err, fail.Conflict) && verb != call.Create && time.Since(begun) < busyWait; {
		select {
		case <-x.R.Context().Done():
			return nil, err
		case <-time.After(busyWait / 100):
		}
		r, err = a.Door.Do(x.R.Context(), &c)
	}
	if err != nil {
		return nil, err
	}
	if r.Row != nil {
		target = r.Row.M().ID
	}
	out := map[string]any{"component_id": target}
	if r.Job != nil {
		out["job_id"] = r.Job.ID
	}
	return out, nil
}

// read reads the body twice: as what this cloud acts on and as what the client will want back.
func read(x *exchange) (b componentBody, words componentWords, err error) {
	words = componentWords{}
	if err := body(x, &words); err != nil {
		return b, words, err
	}
	if err := decode([]byte(remember(words)), &b); err != nil {
		return b, words, err
	}
	return b, words, b.workload()
}

func (a *API) createComponent(x *exchange) error {
	if err := a.may(x, a.App.Component.D, call.Create, "*"); err != nil {
		return err
	}
	b, words, err := read(x)
	if err != nil {
		return err
	}
	application, err := wire.Get(x, a.App.Application, x.Param("application_id"))
	if err != nil {
		return err
	}
	if text(b.EnvironmentID) == "" {
		return fail.Field("environment_id", "is required").Then("create an environment first: POST …/cas/environments")
	}
	environment, err := wire.Get(x, a.App.Environment, *b.EnvironmentID)
	if err != nil {
		return err
	}
	if mode := text(b.CreateMode); mode != "" && mode != "create" {
		return fail.Field("create_mode", "%q takes over a workload of a Kubernetes cluster, and there is none behind this cloud's", mode).
			Then("give the workload itself: config_mode yaml, and the Deployment as workload_content")
	}
	if b.Source == nil {
		return fail.Field("source", "is required").Then(`give {"kind": "image", "storage": "swr", "url": "organization/name:tag"}, a package or code`)
	}
	s, err := a.spec(x, &b, nil)
	if err != nil {
		return err
	}
	kept := componentWords{}
	kept.merge(words)
	if err := a.place(x, kept, placed{name: text(b.Name), environment: environment.Name, labels: b.tags(nil), replicas: b.replicas(1)}); err != nil {
		return err
	}
	s["application"], s["environment"], s["foreign"] = application.Name, environment.Name, remember(kept)
	out, err := a.send(x, call.Create, "", func(c *call.Call) {
		c.Name, c.EnterpriseProject, c.Spec = b.Name, b.Enterprise, s.JSON()
		tagsOf(c, b.Labels)
	})
	if err != nil {
		return err
	}
	if err := a.take(x, out["component_id"].(id.ID), a.hosts(b.Accesses)); err != nil { // a component that is not reached as asked is not wanted
		_, undone := a.send(x, call.Delete, out["component_id"].(id.ID), func(c *call.Call) { c.Purge = true })
		return errors.Join(err, undone)
	}
	wire.Write(x.W, http.StatusOK, out)
	return nil
}

func (a *API) showComponent(x *exchange) error {
	r, n, err := a.component(x)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, a.componentView(r, n))
	return nil
}

func (a *API) updateComponent(x *exchange) error {
	if err := a.may(x, a.App.Component.D, call.Update, x.Param("component_id")); err != nil {
		return err
	}
	old, _, err := a.component(x)
	if err != nil {
		return err
	}
	b, words, err := read(x)
	if err != nil {
		return err
	}
	kept := componentWords{}
	recall(old.Spec.Foreign, &kept)
	kept.merge(words)
	s, err := a.spec(x, &b, &old.Spec)
	if err != nil {
		return err
	}
	if err := a.place(x, kept, placed{old.ID, old.Name, old.Spec.Environment, b.tags(old.Tags), b.replicas(old.Spec.Replicas)}); err != nil {
		return err
	}
	s["foreign"] = remember(kept)
	before, after := a.said(old.Spec.Foreign), a.said(remember(kept))
	if err := a.take(x, old.ID, after); err != nil {
		return err
	}
	out, err := a.send(x, call.Update, old.ID, func(c *call.Call) {
		c.EnterpriseProject, c.Spec = b.Enterprise, s.JSON()
		tagsOf(c, b.Labels)
	})
	if err != nil {
		return errors.Join(err, a.release(x, old.ID, after, before))
	}
	if err := a.settle(x, old.ID, before); err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, out)
	return nil
}

// deleteComponent deletes for good: this API knows no trash, and its clients expect the name to be free.
func (a *API) deleteComponent(x *exchange) error {
	if err := a.may(x, a.App.Component.D, call.Delete, x.Param("component_id")); err != nil {
		return err
	}
	old, _, err := a.component(x)
	if err != nil {
		return err
	}
	hosts, err := a.ever(x, old)
	if err != nil {
		return err
	}
	out, err := a.send(x, call.Delete, old.ID, func(c *call.Call) { c.Purge = true })
	if err != nil {
		return err
	}
	if err := a.release(x, old.ID, hosts, nil); err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, out)
	return nil
}

func (a *API) listOfApplication(x *exchange) error {
	application, err := wire.Get(x, a.App.Application, x.Param("application_id"))
	if err != nil {
		return err
	}
	return a.listWhere(x, kind.Filter{Index: "application", Value: application.Name})
}

func (a *API) listComponents(x *exchange) error {
	q := x.R.URL.Query()
	f := kind.Filter{Exact: q.Get("name"), Enterprise: enterpriseAsked(x)}
	if e := q.Get("environment_id"); e != "" {
		r, err := wire.Get(x, a.App.Environment, e)
		if err != nil {
			return err
		}
		f.Index, f.Value = "environment", r.Name
	}
	return a.listWhere(x, f)
}

func (a *API) listWhere(x *exchange, f kind.Filter) error {
	rows, _, err := wire.Rows(x, a.App.Component, "", f)
	if err != nil {
		return err
	}
	n, err := a.names(x)
	if err != nil {
		return err
	}
	items := make([]map[string]any, len(rows))
	for i, r := range rows {
		items[i] = a.componentView(r, n)
	}
	return answer(x, "components", items)
}

// filterOptions lists what the project's components use.
func (a *API) filterOptions(x *exchange) error {
	rows, _, err := wire.Rows(x, a.App.Component, "", kind.Filter{})
	if err != nil {
		return err
	}
	n, err := a.names(x)
	if err != nil {
		return err
	}
	projects := map[string]bool{"0": true}
	used := map[string]map[string]string{"applications": {}, "environments": {}}
	for _, r := range rows {
		used["applications"][r.Spec.Application] = n.application[r.Spec.Application]
		used["environments"][r.Spec.Environment] = n.environment[r.Spec.Environment]
		projects[enterpriseOf(&r.Meta)] = true
	}
	out := map[string]any{"enterprise_projects": sorted(projects)}
	for what, of := range used {
		items := []map[string]string{}
		for _, name := range sorted(of) {
			items = append(items, map[string]string{"id": of[name], "label": name})
		}
		out[what] = items
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"filter_options": out})
	return nil
}
