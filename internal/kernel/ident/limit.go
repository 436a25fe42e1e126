package ident

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// LimitKey is what a limit is about. Services that are no part of this cloud, which clients find in its catalog, keep
// their limits here and hold themselves to them; this cloud's own are quotas.
type LimitKey struct{ Service, Region, Resource string }

// RegisteredLimitSpec describes what a project may have where nothing else is said.
type RegisteredLimitSpec struct {
	Service     string `json:"service" doc:"id of the service in the catalog" required:"true" max:"64"`
	Region      string `json:"region" doc:"the region it holds in; none: in all" max:"255"`
	Resource    string `json:"resource" doc:"what is counted, in the service's words" required:"true" max:"255" example:"volumes"`
	Default     int64  `json:"default" doc:"the most that a project may have; -1: no limit" min:"-1"`
	Description string `json:"description" doc:"what it is for" max:"1024"`
}

// LimitSpec describes what one project, or a domain, may have instead.
type LimitSpec struct {
	Service     string `json:"service" doc:"id of the service in the catalog" required:"true" immutable:"true" max:"64"`
	Region      string `json:"region" doc:"the region it holds in; none: in all" immutable:"true" max:"255"`
	Resource    string `json:"resource" doc:"what is counted, in the service's words" required:"true" immutable:"true" max:"255" example:"volumes"`
	Project     string `json:"project" doc:"the project it is for; none: the domain itself" ref:"identity/project" immutable:"true"`
	Limit       int64  `json:"limit" doc:"the most that it may have; -1: no limit" min:"-1"`
	Description string `json:"description" doc:"what it is for" max:"1024"`
}

// Key is what it is about.
func (s RegisteredLimitSpec) Key() LimitKey { return LimitKey{s.Service, s.Region, s.Resource} }

// Key is what it is about.
func (s LimitSpec) Key() LimitKey { return LimitKey{s.Service, s.Region, s.Resource} }

type (
	registeredLimitRow = kind.Row[RegisteredLimitSpec, None]
	limitRow           = kind.Row[LimitSpec, None]
)

func (k *Kinds) registeredLimitKind() kind.Kind[RegisteredLimitSpec, None] {
	return kind.Kind[RegisteredLimitSpec, None]{Service: "identity", Name: "registered-limit", Scope: kind.InCloud, Public: true, AnyName: true,
		Doc:     "What projects may have of another service's resources where no limit says otherwise. That service asks for it and keeps to it.",
		Columns: []string{"spec.service", "spec.region", "spec.resource", "spec.default"},
		Check: func(_ context.Context, tx store.Tx, old, row *registeredLimitRow) error {
			if old != nil && old.Spec.Key() != row.Spec.Key() {
				if err := k.unlimited(tx, old); err != nil {
					return err
				}
			}
			same, err := k.registered(tx, row.Spec.Key())
			if err == nil && same != nil && same.ID != row.ID {
				return fail.New(fail.Exists, "the resource %s has the registered limit %s already", row.Spec.Resource, same.ID).Then("update that one")
			}
			return err
		},
		CheckDelete: func(_ context.Context, tx store.Tx, row *registeredLimitRow) error { return k.unlimited(tx, row) }}
}

// registered finds the registered limit of a resource; nil: there is none.
func (k *Kinds) registered(tx store.Tx, key LimitKey) (*registeredLimitRow, error) {
	rows, err := k.RegisteredLimit.List(tx, "-", kind.Filter{Limit: 1, Where: func(r kind.AnyRow) bool { return r.(*registeredLimitRow).Spec.Key() == key }})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// unlimited refuses what would take the ground from under somebody's own limit.
func (k *Kinds) unlimited(tx store.Tx, row *registeredLimitRow) error {
	rows, err := k.Limit.List(tx, "", kind.Filter{Limit: 1, Where: func(r kind.AnyRow) bool { return r.(*limitRow).Spec.Key() == row.Spec.Key() }})
	if err == nil && len(rows) > 0 {
		return fail.New(fail.Precondition, "limit %s stands on registered limit %s", rows[0].ID, row.ID).Then("delete that limit first")
	}
	return err
}

func (k *Kinds) limitKind() kind.Kind[LimitSpec, None] {
	return kind.Kind[LimitSpec, None]{Service: "identity", Name: "limit", Scope: kind.InDomain, AnyName: true,
		Doc:     "What one project, or a domain, may have of another service's resources in place of the registered limit. Operators set it.",
		Columns: []string{"spec.service", "spec.region", "spec.resource", "spec.project", "spec.limit"},
		Index:   map[string]func(*limitRow) []string{"project": func(r *limitRow) []string { return some(r.Spec.Project) }},
		Check: func(ctx context.Context, tx store.Tx, _, row *limitRow) error {
			if err := k.operator(ctx, tx); err != nil {
				return err
			}
			if err := ref(tx, k.Project, row.Domain, "spec.project", &row.Spec.Project); err != nil {
				return err
			}
			base, err := k.registered(tx, row.Spec.Key())
			if err != nil {
				return err
			}
			if base == nil {
				return fail.Field("spec.resource", "there is no registered limit of %q for that service and region", row.Spec.Resource).Then("register one first")
			}
			same, err := k.Limit.List(tx, string(row.Domain), kind.Filter{Limit: 1, Where: func(r kind.AnyRow) bool {
				o := r.(*limitRow)
				return o.ID != row.ID && o.Spec.Key() == row.Spec.Key() && o.Spec.Project == row.Spec.Project
			}})
			if err == nil && len(same) > 0 {
				return fail.New(fail.Exists, "there is a limit of %s already, %s", row.Spec.Resource, same[0].ID).Then("update that one")
			}
			return err
		},
		CheckDelete: func(ctx context.Context, tx store.Tx, _ *limitRow) error { return k.operator(ctx, tx) }}
}

// operator refuses everybody but operators of the cloud, as of this transaction.
func (k *Kinds) operator(ctx context.Context, tx store.Tx) error {
	p := From(ctx)
	if err := k.service.MarkCloud(tx, &p); err != nil {
		return err
	}
	if !p.Cloud() {
		return fail.New(fail.Denied, "only an operator of the cloud may do this").Then("ask the operator")
	}
	return nil
}

// forgetLimits removes the limits of a project, or with project "" all of a domain.
func (k *Kinds) forgetLimits(tx store.Tx, domain, project id.ID) error {
	f := kind.Filter{}
	if project != "" {
		f.Index, f.Value = "project", string(project)
	}
	rows, err := k.Limit.List(tx, string(domain), f)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := k.Limit.Remove(tx, r); err != nil {
			return err
		}
	}
	return nil
}
