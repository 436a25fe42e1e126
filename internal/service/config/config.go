// Package config keeps what programs are configured with: config groups and configs with every version of them, and
// secrets. Content is sealed at rest, whether it is secret or not. Which component gets what is the app service's matter;
// this package says what a mount of theirs comes to. It may import the kernel and service/workload (the form of a file).
package config

import (
	"time"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// GroupSpec describes a config group: configs that belong together.
type GroupSpec struct {
	Description string `json:"description" doc:"what it is for" max:"256"`
}

// GroupStatus is empty.
type GroupStatus struct{}

// Spec describes a config: one text that instances get as a file or as variables.
type Spec struct {
	Group       string `json:"group" doc:"the config group it belongs to" ref:"config/config-group" default:"default" immutable:"true"`
	Type        string `json:"type" doc:"what the content is: checked when it is yaml or properties" enum:"text,yaml,properties" default:"text"`
	Content     string `json:"content" doc:"the text, UTF-8; sealed at rest, read with the content action" secret:"true" max:"524288"`
	Sensitive   bool   `json:"sensitive" doc:"the content is never shown again, to anybody; it cannot be made readable later"`
	Description string `json:"description" doc:"what it is for" max:"255"`
}

// Status tells of a config's versions.
type Status struct {
	Version int       `json:"version" doc:"number of the present version"`
	Changed time.Time `json:"changed,omitzero" doc:"when it came"`
	By      string    `json:"by" doc:"who made it"`
	Note    string    `json:"note,omitempty"`
}

// VersionSpec is a config as it was.
type VersionSpec struct {
	Config    string `json:"config" doc:"the config's id" ref:"config/config"`
	Number    int    `json:"number" doc:"counts up from 1"`
	Type      string `json:"type"`
	Content   string `json:"content" secret:"true"`
	Sensitive bool   `json:"sensitive"`
	By        string `json:"by" doc:"who made it"`
	Note      string `json:"note" doc:"why: rollback to 3"`
	Name      string `json:"name" doc:"the config's name"`
}

// SecretSpec describes a secret: values under keys, which nobody ever sees again.
type SecretSpec struct {
	Values      map[string]string `json:"values" doc:"values by key: password=…" secret:"true" max:"100"`
	Description string            `json:"description" doc:"what it is for" max:"255"`
}

// SecretStatus tells what of a secret may be known.
type SecretStatus struct {
	Version int       `json:"version" doc:"counts its changes"`
	Keys    []string  `json:"keys" doc:"its keys"`
	Changed time.Time `json:"changed,omitzero" doc:"when it changed"`
	By      string    `json:"by" doc:"who changed it"`
}

// SecretVersionSpec is a secret as it was: instances of an earlier release may still need it.
type SecretVersionSpec struct {
	Secret string            `json:"secret" doc:"the secret's id" ref:"config/secret"`
	Number int               `json:"number" doc:"counts up from 1"`
	Keys   []string          `json:"keys"`
	Values map[string]string `json:"values" secret:"true"`
	By     string            `json:"by" doc:"who made it"`
	Name   string            `json:"name" doc:"the secret's name"`
}

// VersionStatus is empty: a version does not change.
type VersionStatus struct{}

type (
	groupRow         = kind.Row[GroupSpec, GroupStatus]
	configRow        = kind.Row[Spec, Status]
	versionRow       = kind.Row[VersionSpec, VersionStatus]
	secretRow        = kind.Row[SecretSpec, SecretStatus]
	secretVersionRow = kind.Row[SecretVersionSpec, VersionStatus]
)

// Keep is how many versions of a config, and of a secret, are kept.
const (
	KeepConfigs = 100
	KeepSecrets = 20
)

// Deps are what the service stands on. The zero value is enough to describe its kinds.
type Deps struct {
	Store store.Store
	Now   clock.Clock
	// Unseal reads a secret of a stored row.
	Unseal func(m *kind.Meta, part, path, sealed string) (string, error)
	// UsedBy names a component that mounts "config/NAME", "secret/NAME" or "group/NAME"; "" when none does.
	UsedBy func(tx store.Tx, project id.ID, what string) (string, error)
	// Changed tells that what a mount comes to may have changed.
	Changed func()
}

// Service is the config service.
type Service struct {
	Deps
	Group         kind.Table[GroupSpec, GroupStatus]
	Config        kind.Table[Spec, Status]
	Version       kind.Table[VersionSpec, VersionStatus]
	Secret        kind.Table[SecretSpec, SecretStatus]
	SecretVersion kind.Table[SecretVersionSpec, VersionStatus]
}

// New makes the service.
func New(d Deps) *Service {
	s := &Service{Deps: d}
	s.describe()
	return s
}

// Kinds lists the service's kinds.
func (s *Service) Kinds() []*kind.Def {
	return []*kind.Def{s.Group.D, s.Config.D, s.Version.D, s.Secret.D, s.SecretVersion.D}
}
