package ident

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// DomainSpec describes an account: the border between tenants.
type DomainSpec struct {
	Description string `json:"description" doc:"what it is for" max:"255"`
	Disabled    bool   `json:"disabled" doc:"nobody of it can log in"`
}

func (k *Kinds) domainKind() kind.Kind[DomainSpec, None] {
	return kind.Kind[DomainSpec, None]{Service: "identity", Name: "domain", Scope: kind.InCloud, NamePat: NamePattern,
		Doc: "An account: the border between tenants. Users, projects and policies belong to one.", Columns: []string{"spec.description"},
		CheckDelete: k.domainEmpty, Changed: k.domainChanged}
}

func (k *Kinds) domainEmpty(ctx context.Context, tx store.Tx, row *kind.Row[DomainSpec, None]) error {
	if From(ctx).Domain == row.ID {
		return fail.New(fail.Precondition, "you cannot delete the domain you are in")
	}
	projects, err := k.Project.List(tx, string(row.ID), kind.Filter{Limit: 1})
	if err != nil {
		return err
	}
	if len(projects) > 0 {
		return fail.New(fail.Precondition, "domain %s still has project %s", row.Name, projects[0].Name).Then("delete its projects first")
	}
	return nil
}

func (k *Kinds) domainChanged(ctx context.Context, tx store.Tx, old, row *kind.Row[DomainSpec, None]) error {
	if old == nil {
		if err := k.addSystemPolicies(tx, row); err != nil {
			return err
		}
		if err := k.addRules(tx, row); err != nil {
			return err
		}
	}
	if row == nil {
		if err := k.forgetLimits(tx, old.ID, ""); err != nil {
			return err
		}
		if err := k.forgetVisits(tx, "", old.ID); err != nil {
			return err
		}
		visitors, err := k.Grant.List(tx, string(old.ID), kind.Filter{Where: func(r kind.AnyRow) bool { return r.(*grantRow).Spec.Home != "" }})
		if err != nil {
			return err
		}
		if err := k.removeGrants(tx, visitors); err != nil {
			return err
		}
		agencies, err := k.Agency.List(tx, string(old.ID), kind.Filter{})
		if err != nil {
			return err
		}
		for _, a := range agencies {
			if err := k.forgetAgency(tx, a); err != nil {
				return err
			}
			if err := k.Agency.Remove(tx, a); err != nil {
				return err
			}
		}
		users, err := k.User.List(tx, string(old.ID), kind.Filter{})
		if err != nil {
			return err
		}
		for _, u := range users {
			if err := k.forgetUser(tx, u); err != nil {
				return err
			}
			if err := k.User.Remove(tx, u); err != nil {
				return err
			}
		}
	}
	return bump(tx)
}
