package ident

import (
	"context"
	"slices"

	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

type groupRow = kind.Row[GroupSpec, None]

// GroupSpec describes a set of users that are given the same policies.
type GroupSpec struct {
	Description string `json:"description" doc:"what its members do" max:"255"`
	Foreign     string `json:"foreign" form:"-" doc:"what a client of another cloud's API said that this cloud gives back and does not use" max:"8192"`
}

func (k *Kinds) groupKind() kind.Kind[GroupSpec, None] {
	return kind.Kind[GroupSpec, None]{Service: "identity", Name: "group", Scope: kind.InDomain, NamePat: NamePattern,
		Doc: "Users that are given the same policies.", Columns: []string{"spec.description"}, CheckDelete: k.guardGroup, Changed: k.groupChanged}
}

func (k *Kinds) groupChanged(_ context.Context, tx store.Tx, old, row *kind.Row[GroupSpec, None]) error {
	if row != nil {
		return bump(tx)
	}
	members, err := k.User.List(tx, string(old.Domain), kind.Filter{Index: "group", Value: string(old.ID)})
	if err != nil {
		return err
	}
	for _, u := range members {
		u.Spec.Groups = slices.DeleteFunc(u.Spec.Groups, func(g string) bool { return g == string(old.ID) })
		if err := k.User.Put(tx, u); err != nil {
			return err
		}
	}
	if err := k.forgetGrants(tx, old.Domain, string(old.ID)); err != nil {
		return err
	}
	return bump(tx)
}
