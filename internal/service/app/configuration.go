package app

import (
	"context"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// ConfigurationSpec is what all components of an application get in one environment.
type ConfigurationSpec struct {
	Application string            `json:"application" doc:"the application" ref:"app/application" default:"default" immutable:"true"`
	Environment string            `json:"environment" doc:"the environment" ref:"app/environment" default:"default" immutable:"true"`
	Variables   map[string]string `json:"variables" doc:"environment variables given to every component of the application in this environment" max:"200"`
	Labels      map[string]string `json:"labels" doc:"labels of every instance of the application in this environment" max:"50"`
	Foreign     string            `json:"foreign" form:"-" doc:"what a client of another cloud's API said that this cloud gives back and does not use" max:"65536"`
}

// ConfigurationStatus is empty.
type ConfigurationStatus struct{}

type configurationRow = kind.Row[ConfigurationSpec, ConfigurationStatus]

func pairOf(application, environment string) string { return application + "." + environment }

func (s *Service) describeConfiguration() {
	s.Configuration = kind.TableOf[ConfigurationSpec, ConfigurationStatus](kind.Kind[ConfigurationSpec, ConfigurationStatus]{
		Service: "app", Name: "configuration", Scope: kind.InProject, NoRename: true, NamePat: `^[A-Za-z][A-Za-z0-9._-]{0,129}$`,
		Doc:     "What all components of an application get in one environment: variables and labels.",
		Columns: []string{"spec.application", "spec.environment"},
		Example: ConfigurationSpec{Application: "shop", Environment: "live", Variables: map[string]string{"REGION": "north"}},
		Index: map[string]func(*configurationRow) []string{
			"application": func(r *configurationRow) []string { return []string{r.Spec.Application} },
			"environment": func(r *configurationRow) []string { return []string{r.Spec.Environment} },
			"pair":        func(r *configurationRow) []string { return []string{pairOf(r.Spec.Application, r.Spec.Environment)} }},
		Prepare: func(_ context.Context, old, row *configurationRow) error {
			if old == nil && row.Name == "" {
				row.Name = pairOf(row.Spec.Application, row.Spec.Environment)
			}
			return nil
		},
		Check: s.checkConfiguration,
		Changed: func(context.Context, store.Tx, *configurationRow, *configurationRow) error {
			s.wakeSoon(s.Component.D)
			return nil
		}}.Def())
}

func (s *Service) checkConfiguration(_ context.Context, tx store.Tx, old, row *configurationRow) error {
	spec := &row.Spec
	env, err := s.Environment.Find(tx, string(row.Project), spec.Environment)
	if err != nil {
		return err
	}
	if env == nil {
		return fail.Field("spec.environment", "there is no environment %q", spec.Environment).Then("awan environment create %s", spec.Environment)
	}
	application, err := s.Application.Find(tx, string(row.Project), spec.Application)
	if err != nil {
		return err
	}
	if application == nil {
		return fail.Field("spec.application", "there is no application %q", spec.Application).Then("awan application create %s", spec.Application)
	}
	spec.Environment, spec.Application = env.Name, application.Name
	if old == nil {
		others, err := s.Configuration.List(tx, string(row.Project), kind.Filter{Index: "pair", Value: pairOf(spec.Application, spec.Environment), Limit: 1})
		if err != nil {
			return err
		}
		if len(others) > 0 {
			return fail.New(fail.Exists, "application %s has a configuration in environment %s already: %s", spec.Application, spec.Environment, others[0].Name).
				Then("update that one")
		}
	}
	for k := range spec.Variables {
		if k == "" || strings.ContainsAny(k, "=\x00 ") {
			return fail.Field("spec.variables", "%q is not a name for an environment variable", k)
		}
	}
	return nil
}

// unconfigured refuses to delete what a configuration is for.
func (s *Service) unconfigured(tx store.Tx, index string, m *kind.Meta) error {
	rows, err := s.Configuration.List(tx, string(m.Project), kind.Filter{Index: index, Value: m.Name, Limit: 1})
	if err == nil && len(rows) > 0 {
		err = fail.New(fail.Precondition, "configuration %s still belongs to it", rows[0].Name).Then("awan configuration delete %s", rows[0].Name)
	}
	return err
}

// renamedConfigurations tells the configurations what their environment or application is called now.
func (s *Service) renamedConfigurations(tx store.Tx, index string, old, now *kind.Meta) error {
	rows, err := s.Configuration.List(tx, string(old.Project), kind.Filter{Index: index, Value: old.Name})
	for _, r := range rows {
		if err != nil {
			return err
		}
		if index == "application" {
			r.Spec.Application = now.Name
		} else {
			r.Spec.Environment = now.Name
		}
		err = s.Configuration.Put(tx, r)
	}
	return err
}

func (s *Service) configurationOf(tx store.Tx, row *componentRow) (*configurationRow, error) {
	rows, err := s.Configuration.List(tx, string(row.Project), kind.Filter{Index: "pair", Value: pairOf(row.Spec.Application, row.Spec.Environment), Limit: 1})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}
