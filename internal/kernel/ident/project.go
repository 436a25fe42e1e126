package ident

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// ProjectSpec describes a project: what resources, quotas and bills belong to.
type ProjectSpec struct {
	Description string `json:"description" doc:"what it is for" max:"255"`
	Foreign     string `json:"foreign" form:"-" doc:"what a client of another cloud's API said that this cloud gives back and does not use" max:"8192"`
	Disabled    bool   `json:"disabled" doc:"nothing in it can be changed"`
	Parent      string `json:"parent" doc:"the project it is below; none: it is right in the domain. What is inherited from that one holds in it" ref:"identity/project" immutable:"true"`
	// Endpoints narrow what clients see, not what they may do.
	Endpoints []string `json:"endpoints" doc:"ids of the endpoints that the catalog shows to tokens of this project, as OpenStack's endpoint filter has it; empty: all" max:"200"`
}

type projectRow = kind.Row[ProjectSpec, None]

// maxDepth is how many projects may be above each other, as in Keystone.
const maxDepth = 5

func (k *Kinds) projectKind() kind.Kind[ProjectSpec, None] {
	return kind.Kind[ProjectSpec, None]{Service: "identity", Name: "project", Scope: kind.InDomain, NamePat: NamePattern,
		Doc:     "What resources, quotas and bills belong to.",
		Columns: []string{"spec.parent", "spec.description"}, Check: k.checkProject, CheckDelete: k.projectEmpty, Changed: k.projectChanged,
		Index: map[string]func(*projectRow) []string{"parent": func(r *projectRow) []string { return some(r.Spec.Parent) }}}
}

func (k *Kinds) checkProject(_ context.Context, tx store.Tx, old, row *projectRow) error {
	if err := ref(tx, k.Project, row.Domain, "spec.parent", &row.Spec.Parent); err != nil || old != nil {
		return err
	}
	above, err := k.Above(tx, row)
	if err == nil && len(above) >= maxDepth {
		return fail.Field("spec.parent", "%d projects are above each other there already, which is the most", maxDepth)
	}
	return err
}

// Above lists the projects that a project is below, the nearest first.
func (k *Kinds) Above(tx store.Tx, row *projectRow) (out []*projectRow, err error) {
	for row.Spec.Parent != "" {
		if row, err = k.Project.Get(tx, id.ID(row.Spec.Parent)); row == nil || err != nil {
			return out, err
		}
		out = append(out, row)
	}
	return out, nil
}

// Below lists the projects below one, at any depth.
func (k *Kinds) Below(tx store.Tx, domain, project id.ID) (out []id.ID, err error) {
	rows, err := k.Project.List(tx, string(domain), kind.Filter{Index: "parent", Value: string(project)})
	for _, r := range rows {
		var more []id.ID
		if more, err = k.Below(tx, domain, r.ID); err != nil {
			break
		}
		out = append(append(out, r.ID), more...)
	}
	return out, err
}

func (k *Kinds) projectEmpty(ctx context.Context, tx store.Tx, row *kind.Row[ProjectSpec, None]) error {
	below, err := k.Project.List(tx, string(row.Domain), kind.Filter{Index: "parent", Value: string(row.ID), Limit: 1})
	if err != nil {
		return err
	}
	if len(below) > 0 {
		return fail.New(fail.Precondition, "project %s is below %s", below[0].Name, row.Name).Then("delete the projects below it first")
	}
	if err := k.clear(ctx, tx, row); err != nil {
		return err
	}
	used, err := ledger.Used(tx)
	if err != nil {
		return err
	}
	for dim, n := range used[row.ID] {
		if n > 0 {
			return fail.New(fail.Precondition, "project %s is not empty: %s %d", row.Name, dim, n).Then("delete what is in it first (the trash counts: purge it)")
		}
	}
	return nil
}

func (k *Kinds) projectChanged(ctx context.Context, tx store.Tx, old, row *kind.Row[ProjectSpec, None]) error {
	if err := k.furnish(ctx, tx, old, row); err != nil {
		return err
	}
	if row != nil {
		return bump(tx)
	}
	if err := k.forgetGrantsBy(tx, old.Domain, "project", string(old.ID)); err != nil {
		return err
	}
	if err := k.forgetUserCredentials(tx, old.Domain, "project", string(old.ID)); err != nil {
		return err
	}
	if err := k.forgetTrusts(tx, old.Domain, "project", string(old.ID)); err != nil {
		return err
	}
	if err := k.forgetLimits(tx, old.Domain, old.ID); err != nil {
		return err
	}
	credentials, err := k.Credential.List(tx, string(old.Domain), kind.Filter{Index: "project", Value: string(old.ID)})
	if err != nil {
		return err
	}
	for _, c := range credentials {
		if err := k.Credential.Remove(tx, c); err != nil {
			return err
		}
	}
	return bump(tx)
}
