package servicestage

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/app"
)

type configurationRow = kind.Row[app.ConfigurationSpec, app.ConfigurationStatus]

func (a *API) configurationRoutes() []route {
	k, one := a.App.Configuration.D, base+"/applications/{application_id}/configuration"
	return []route{
		{Method: "GET", Path: one, Kind: k, Verb: call.List, Do: a.showConfiguration},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.writeConfiguration},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deleteConfiguration},
	}
}

// configurationWords is what this cloud gives back and does not use: variables always follow the application here.
type configurationWords struct {
	AssignStrategy *bool `json:"assign_strategy,omitempty"`
}

func (a *API) configurationView(r *configurationRow, n *names) map[string]any {
	envs := []env{}
	for _, k := range sorted(r.Spec.Variables) {
		envs = append(envs, env{Name: k, Value: r.Spec.Variables[k]})
	}
	var w configurationWords
	recall(r.Spec.Foreign, &w)
	return map[string]any{"application_id": n.application[r.Spec.Application], "environment_id": n.environment[r.Spec.Environment],
		"configuration": map[string]any{"env": envs, "assign_strategy": w.AssignStrategy != nil && *w.AssignStrategy}}
}

// configurations are an application's, in one environment or in all.
func (a *API) configurations(x *exchange, environment string) ([]*configurationRow, *names, error) {
	application, err := wire.Get(x, a.App.Application, x.Param("application_id"))
	if err != nil {
		return nil, nil, err
	}
	n, err := a.names(x)
	if err != nil {
		return nil, nil, err
	}
	rows, _, err := wire.Rows(x, a.App.Configuration, "", kind.Filter{Index: "application", Value: application.Name, Where: func(r kind.AnyRow) bool {
		return environment == "" || n.environment[r.(*configurationRow).Spec.Environment] == environment
	}})
	return rows, n, err
}

func (a *API) showConfiguration(x *exchange) error {
	rows, n, err := a.configurations(x, x.Query("environment_id"))
	if err != nil {
		return err
	}
	items := make([]map[string]any, len(rows))
	for i, r := range rows {
		items[i] = a.configurationView(r, n)
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"configuration": items})
	return nil
}

// writeConfiguration replaces the variables of an application in an environment.
func (a *API) writeConfiguration(x *exchange) error {
	if err := a.may(x, a.App.Configuration.D, call.Update, "*"); err != nil {
		return err
	}
	var b struct {
		EnvironmentID string `json:"environment_id"`
		Configuration struct {
			Env            []env `json:"env"`
			AssignStrategy *bool `json:"assign_strategy"`
		} `json:"configuration"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	if b.EnvironmentID == "" {
		return fail.Field("environment_id", "is required")
	}
	application, err := wire.Get(x, a.App.Application, x.Param("application_id"))
	if err != nil {
		return err
	}
	environment, err := wire.Get(x, a.App.Environment, b.EnvironmentID)
	if err != nil {
		return err
	}
	rows, n, err := a.configurations(x, string(environment.ID))
	if err != nil {
		return err
	}
	variables, verb, target := map[string]any{}, call.Create, ""
	s := wire.Spec{"variables": variables, "foreign": remember(configurationWords{b.Configuration.AssignStrategy})}
	if len(rows) > 0 {
		verb, target = call.Update, string(rows[0].ID)
		for k := range rows[0].Spec.Variables {
			variables[k] = nil
		}
	} else {
		s["application"], s["environment"] = application.Name, environment.Name
	}
	for _, e := range b.Configuration.Env {
		variables[e.Name] = e.Value
	}
	row, err := x.Do(a.App.Configuration.D, verb, target, func(c *call.Call) { c.Spec = s.JSON() })
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, a.configurationView(row.(*configurationRow), n))
	return nil
}

// deleteConfiguration deletes it in one environment, or in all. That there is none is no failure, as at ServiceStage.
func (a *API) deleteConfiguration(x *exchange) error {
	if err := a.may(x, a.App.Configuration.D, call.Delete, "*"); err != nil {
		return err
	}
	rows, _, err := a.configurations(x, x.Query("environment_id"))
	if err != nil {
		return err
	}
	for _, r := range rows {
		if _, err := x.Do(a.App.Configuration.D, call.Delete, string(r.ID), nil); err != nil {
			return err
		}
	}
	return x.NoContent()
}
