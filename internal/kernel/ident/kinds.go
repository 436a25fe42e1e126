package ident

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// NamePattern is the rule for names of people and accounts: wider than a DNS label, without '/' and control characters.
const NamePattern = `^[A-Za-z0-9_][A-Za-z0-9_.@ -]{0,63}$`

// None is the status of a kind that has none.
type None struct{}

// Kinds are identity's resources.
type Kinds struct {
	Domain  kind.Table[DomainSpec, None]
	Project kind.Table[ProjectSpec, None]
	User    kind.Table[UserSpec, None]
	Group   kind.Table[GroupSpec, None]
	Policy  kind.Table[PolicySpec, None]
	Grant   kind.Table[GrantSpec, None]
	Key     kind.Table[KeySpec, KeyStatus]
}

// All lists the definitions.
func (k *Kinds) All() []*kind.Def {
	return []*kind.Def{k.Domain.D, k.Project.D, k.User.D, k.Group.D, k.Policy.D, k.Grant.D, k.Key.D}
}

// touch marks that who-may-do-what changed, so that every cached answer is out of date.
func touch[S, T any](_ context.Context, tx store.Tx, _, _ *kind.Row[S, T]) error { return bump(tx) }

// NewKinds makes identity's kinds. passwords may be nil where kinds are only described, not used.
func NewKinds(passwords *secret.Passwords) *Kinds {
	k := new(Kinds)
	k.Domain = table(k.domainKind())
	k.Project = table(k.projectKind())
	k.User = table(k.userKind(passwords))
	k.Group = table(k.groupKind())
	k.Policy = table(k.policyKind())
	k.Grant = table(k.grantKind())
	k.Key = table(k.accessKeyKind())
	return k
}

func table[S, T any](d kind.Kind[S, T]) kind.Table[S, T] { return kind.TableOf[S, T](d.Def()) }

// ref turns a name or id that a field holds into the id, in the row's domain.
func ref[S, T any](tx store.Tx, t kind.Table[S, T], domain id.ID, field string, value *string) error {
	if *value == "" {
		return nil
	}
	r, err := t.Find(tx, string(domain), *value)
	if err != nil {
		return err
	}
	if r == nil {
		return fail.Field(field, "there is no %s %q", t.D.Name, *value).Then("see awan %s list", t.D.Name)
	}
	*value = string(r.ID)
	return nil
}
