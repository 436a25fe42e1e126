package ident

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// ProjectSpec describes a project: what resources, quotas and bills belong to.
type ProjectSpec struct {
	Description string `json:"description" doc:"what it is for" max:"255"`
	Foreign     string `json:"foreign" doc:"what a client of another cloud's API said that this cloud gives back and does not use" max:"8192"`
	Disabled    bool   `json:"disabled" doc:"nothing in it can be changed"`
}

func (k *Kinds) projectKind() kind.Kind[ProjectSpec, None] {
	return kind.Kind[ProjectSpec, None]{Service: "identity", Name: "project", Scope: kind.InDomain, NamePat: NamePattern,
		Doc:     "What resources, quotas and bills belong to.",
		Columns: []string{"spec.description"}, CheckDelete: k.projectEmpty, Changed: k.projectChanged}
}

func (k *Kinds) projectEmpty(ctx context.Context, tx store.Tx, row *kind.Row[ProjectSpec, None]) error {
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

func (k *Kinds) projectChanged(_ context.Context, tx store.Tx, old, row *kind.Row[ProjectSpec, None]) error {
	if row != nil {
		return bump(tx)
	}
	if err := k.forgetGrantsBy(tx, old.Domain, "project", string(old.ID)); err != nil {
		return err
	}
	if err := k.forgetUserCredentials(tx, old.Domain, "project", string(old.ID)); err != nil {
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
