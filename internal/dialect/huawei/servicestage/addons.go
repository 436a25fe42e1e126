package servicestage

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// addonRoutes answer about what ServiceStage installs into an environment's cluster, and what it makes by Terraform for
// one: there is neither here. Lists are empty, what is named is not found, and who asks for one is told why.
func (a *API) addonRoutes() []route {
	k, one := a.App.Environment.D, base+"/environments/{environment_id}"
	addon, iac := one+"/addons/{addon_id}", one+"/iac-resources/{resource_id}"
	return []route{
		{Method: "GET", Path: one + "/addons", Kind: k, Verb: call.Get, Do: a.none("addons")},
		{Method: "GET", Path: one + "/addons-metadata", Kind: k, Verb: call.Get, Do: a.none("addons")},
		{Method: "POST", Path: one + "/addons", Kind: k, Verb: call.Update, Do: a.noAddons},
		{Method: "GET", Path: addon, Kind: k, Verb: call.Get, Do: a.noSuch("add-on", "addon_id")},
		{Method: "DELETE", Path: addon, Kind: k, Verb: call.Update, Do: a.noSuch("add-on", "addon_id")},
		{Method: "POST", Path: addon + "/action", Kind: k, Verb: call.Update, Do: a.noSuch("add-on", "addon_id")},
		{Method: "GET", Path: one + "/iac-resources", Kind: k, Verb: call.Get, Do: a.none("iac_resources")},
		{Method: "POST", Path: one + "/iac-resources", Kind: k, Verb: call.Update, Do: a.noIAC},
		{Method: "PUT", Path: iac, Kind: k, Verb: call.Update, Do: a.noSuch("resource", "resource_id")},
		{Method: "DELETE", Path: iac, Kind: k, Verb: call.Update, Do: a.noSuch("resource", "resource_id")},
	}
}

// environment finds the path's environment for somebody who may do this with it.
func (a *API) environment(x *exchange, verb string) error {
	if err := a.may(x, a.App.Environment.D, verb, x.Param("environment_id")); err != nil {
		return err
	}
	_, err := wire.Get(x, a.App.Environment, x.Param("environment_id"))
	return err
}

func (a *API) none(list string) func(*exchange) error {
	return func(x *exchange) error {
		if err := a.environment(x, call.Get); err != nil {
			return err
		}
		wire.Write(x.W, http.StatusOK, map[string]any{list: []any{}})
		return nil
	}
}

func (a *API) noSuch(what, param string) func(*exchange) error {
	return func(x *exchange) error {
		verb := call.Update
		if x.R.Method == http.MethodGet {
			verb = call.Get
		}
		if err := a.environment(x, verb); err != nil {
			return err
		}
		return fail.New(fail.NotFound, "this environment has no %s %q", what, x.Param(param))
	}
}

func (a *API) noAddons(x *exchange) error {
	if err := a.environment(x, call.Update); err != nil {
		return err
	}
	return fail.New(fail.Unsupported, "name: there are no add-ons to install").
		Then("measurements, lanes, and instances that come and go without a failed request are part of the cloud; leave the add-on out")
}

func (a *API) noIAC(x *exchange) error {
	if err := a.environment(x, call.Update); err != nil {
		return err
	}
	return fail.New(fail.Unsupported, "resources are not made by an environment here").Then("make them by their own APIs or with Terraform, and bind them: PUT …/resources")
}

// noTemplates answers who brings a component template: a package of Kubernetes resources, which need a Kubernetes.
func (a *API) noTemplates(x *exchange) error {
	verb := call.Create
	if strings.HasSuffix(x.R.URL.Path, "/parse-template-package") {
		verb = call.List
	}
	if err := a.may(x, a.App.Component.D, verb, "*"); err != nil {
		return err
	}
	return fail.New(fail.Unsupported, "template_source: component templates are packages of Kubernetes resources, and there is no Kubernetes behind this cloud").
		Then("give one Deployment as workload_content with config_mode yaml, or keep the whole application in a file: awan apply -f awan.yaml")
}
