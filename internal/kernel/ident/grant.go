package ident

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// GrantSpec gives a policy to a user or a group.
type GrantSpec struct {
	Policy  string `json:"policy" doc:"the policy given" ref:"identity/policy" required:"true" immutable:"true"`
	User    string `json:"user" doc:"the user it is given to" ref:"identity/user" immutable:"true"`
	Group   string `json:"group" doc:"or the group" ref:"identity/group" immutable:"true"`
	Project string `json:"project" doc:"holds in this project only; empty: in the domain and all its projects" ref:"identity/project" immutable:"true"`
	Cloud   bool   `json:"cloud" doc:"holds in every domain: for operators of the cloud" immutable:"true"`
}

func (k *Kinds) grantKind() kind.Kind[GrantSpec, None] {
	return kind.Kind[GrantSpec, None]{Service: "identity", Name: "grant", Scope: kind.InDomain, AnyName: true,
		Doc: "Gives a policy to a user or a group, in one project or in the whole domain.", Columns: []string{"spec.policy", "spec.user", "spec.group", "spec.project"},
		Example: GrantSpec{Policy: "app-developer", User: "alice"},
		Index: map[string]func(*kind.Row[GrantSpec, None]) []string{
			"subject": func(r *kind.Row[GrantSpec, None]) []string { return []string{r.Spec.User + r.Spec.Group} },
			"policy":  func(r *kind.Row[GrantSpec, None]) []string { return []string{r.Spec.Policy} }},
		Check: k.checkGrant, Changed: touch[GrantSpec, None]}
}

func (k *Kinds) checkGrant(ctx context.Context, tx store.Tx, _, row *kind.Row[GrantSpec, None]) error {
	s := &row.Spec
	if (s.User == "") == (s.Group == "") {
		return fail.Field("spec.user", "give either a user or a group")
	}
	if s.Cloud && s.Project != "" {
		return fail.Field("spec.project", "a grant for the whole cloud names no project")
	}
	if err := ref(tx, k.Policy, row.Domain, "spec.policy", &s.Policy); err != nil {
		return err
	}
	if err := ref(tx, k.User, row.Domain, "spec.user", &s.User); err != nil {
		return err
	}
	if err := ref(tx, k.Group, row.Domain, "spec.group", &s.Group); err != nil {
		return err
	}
	if err := ref(tx, k.Project, row.Domain, "spec.project", &s.Project); err != nil {
		return err
	}
	if s.Cloud && !From(ctx).Cloud() {
		return fail.Field("spec.cloud", "only an operator of the cloud can make another one")
	}
	same, err := k.Grant.List(tx, string(row.Domain), kind.Filter{Index: "subject", Value: s.User + s.Group, Where: func(r kind.AnyRow) bool {
		o := r.(*kind.Row[GrantSpec, None])
		return o.ID != row.ID && o.Spec == *s
	}})
	if err == nil && len(same) > 0 {
		return fail.New(fail.Exists, "this policy is granted there already, as grant %s", same[0].ID)
	}
	return err
}

func (k *Kinds) forgetGrants(tx store.Tx, domain id.ID, subject string) error {
	grants, err := k.Grant.List(tx, string(domain), kind.Filter{Index: "subject", Value: subject})
	if err != nil {
		return err
	}
	for _, g := range grants {
		if err := k.Grant.Remove(tx, g); err != nil {
			return err
		}
	}
	return nil
}
