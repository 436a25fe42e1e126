package ident

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/policy"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// NamePattern is the rule for names of people and accounts: wider than a DNS label, without '/' and control characters.
const NamePattern = `^[A-Za-z0-9_][A-Za-z0-9_.@ -]{0,63}$`

// DomainSpec describes an account: the border between tenants.
type DomainSpec struct {
	Description string `json:"description" doc:"what it is for" max:"255"`
	Disabled    bool   `json:"disabled" doc:"nobody of it can log in"`
}

// ProjectSpec describes a project: what resources, quotas and bills belong to.
type ProjectSpec struct {
	Description string `json:"description" doc:"what it is for" max:"255"`
	Disabled    bool   `json:"disabled" doc:"nothing in it can be changed"`
}

// UserSpec describes a person or a program that logs in.
type UserSpec struct {
	Description    string   `json:"description" doc:"who it is" max:"255"`
	Email          string   `json:"email" doc:"e-mail address" max:"255"`
	Password       string   `json:"password" doc:"log-in password; kept as an Argon2id hash; none: no log-in by password" secret:"true" min:"8" max:"255"`
	Groups         []string `json:"groups" doc:"groups it is in" ref:"identity/group" max:"100"`
	Phone          string   `json:"phone" doc:"country code and number" pattern:"^[0-9]{1,8}-[0-9]{1,32}$" example:"0062-81122334455"`
	DefaultProject string   `json:"default_project" doc:"the project it works in when it does not say" ref:"identity/project"`
	PasswordReset  bool     `json:"password_reset" doc:"the user is asked, not forced, to choose a new password; cleared when the user does"`
	Disabled       bool     `json:"disabled" doc:"cannot log in; its tokens and keys stop working at once"`
}

// GroupSpec describes a set of users that are given the same policies.
type GroupSpec struct {
	Description string `json:"description" doc:"what its members do" max:"255"`
}

// PolicySpec describes what may be done.
type PolicySpec struct {
	Description string          `json:"description" doc:"what it allows" max:"255"`
	Document    json.RawMessage `json:"document" doc:"policy document: Version, Statement[Effect, Action, Resource, Condition]" required:"true"`
	System      bool            `json:"system" doc:"comes with the cloud and cannot be changed" immutable:"true"`
}

// GrantSpec gives a policy to a user or a group.
type GrantSpec struct {
	Policy  string `json:"policy" doc:"the policy given" ref:"identity/policy" required:"true" immutable:"true"`
	User    string `json:"user" doc:"the user it is given to" ref:"identity/user" immutable:"true"`
	Group   string `json:"group" doc:"or the group" ref:"identity/group" immutable:"true"`
	Project string `json:"project" doc:"holds in this project only; empty: in the domain and all its projects" ref:"identity/project" immutable:"true"`
	Cloud   bool   `json:"cloud" doc:"holds in every domain: for operators of the cloud" immutable:"true"`
}

// KeySpec describes an access key: what programs sign with.
type KeySpec struct {
	User        string `json:"user" doc:"whose key it is; yours when empty" ref:"identity/user" immutable:"true"`
	Description string `json:"description" doc:"what uses it" max:"255"`
	Disabled    bool   `json:"disabled" doc:"signatures by it are refused"`
}

// KeyStatus is what a key consists of.
type KeyStatus struct {
	Access string `json:"access_key" doc:"access key id"`
	Secret string `json:"secret_key" doc:"secret key; shown once, when it is created" secret:"true"`
}

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
	k.Domain = table(kind.Kind[DomainSpec, None]{Service: "identity", Name: "domain", Scope: kind.InCloud, NamePat: NamePattern,
		Doc: "An account: the border between tenants. Users, projects and policies belong to one.", Columns: []string{"spec.description"},
		CheckDelete: k.domainEmpty, Changed: k.domainChanged})
	k.Project = table(kind.Kind[ProjectSpec, None]{Service: "identity", Name: "project", Scope: kind.InDomain, NamePat: NamePattern,
		Doc:     "What resources, quotas and bills belong to.",
		Columns: []string{"spec.description"}, CheckDelete: k.projectEmpty, Changed: touch[ProjectSpec, None]})
	k.User = table(kind.Kind[UserSpec, None]{Service: "identity", Name: "user", Scope: kind.InDomain, NamePat: NamePattern,
		Doc:     "A person or a program that logs in. A new user may do nothing until a policy is granted.",
		Columns: []string{"spec.email", "spec.disabled"}, Example: UserSpec{Email: "alice@example.org"},
		Index:   map[string]func(*kind.Row[UserSpec, None]) []string{"group": func(r *kind.Row[UserSpec, None]) []string { return r.Spec.Groups }},
		Prepare: hashPassword(passwords), Check: k.checkUser, CheckDelete: k.notSelf, Changed: k.userChanged})
	k.Group = table(kind.Kind[GroupSpec, None]{Service: "identity", Name: "group", Scope: kind.InDomain, NamePat: NamePattern,
		Doc: "Users that are given the same policies.", Columns: []string{"spec.description"}, Changed: k.groupChanged})
	k.Policy = table(kind.Kind[PolicySpec, None]{Service: "identity", Name: "policy", Plural: "policies", Scope: kind.InDomain, NamePat: NamePattern,
		Doc: "What may be done: a policy document in Huawei Cloud's grammar.", Columns: []string{"spec.system", "spec.description"},
		Example: PolicySpec{Document: json.RawMessage(`{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["app:*:get","app:*:list"]}]}`)},
		Check:   checkPolicy, CheckDelete: k.policyUnused, Changed: touch[PolicySpec, None]})
	k.Grant = table(kind.Kind[GrantSpec, None]{Service: "identity", Name: "grant", Scope: kind.InDomain, AnyName: true,
		Doc: "Gives a policy to a user or a group, in one project or in the whole domain.", Columns: []string{"spec.policy", "spec.user", "spec.group", "spec.project"},
		Example: GrantSpec{Policy: "app-developer", User: "alice"},
		Index: map[string]func(*kind.Row[GrantSpec, None]) []string{
			"subject": func(r *kind.Row[GrantSpec, None]) []string { return []string{r.Spec.User + r.Spec.Group} },
			"policy":  func(r *kind.Row[GrantSpec, None]) []string { return []string{r.Spec.Policy} }},
		Check: k.checkGrant, Changed: touch[GrantSpec, None]})
	k.Key = table(kind.Kind[KeySpec, KeyStatus]{Service: "identity", Name: "access-key", Scope: kind.InDomain, AnyName: true,
		Doc: "What programs sign requests with. The secret is shown once.", Columns: []string{"status.access_key", "spec.user", "spec.disabled"},
		Index: map[string]func(*kind.Row[KeySpec, KeyStatus]) []string{
			"user":   func(r *kind.Row[KeySpec, KeyStatus]) []string { return []string{r.Spec.User} },
			"access": func(r *kind.Row[KeySpec, KeyStatus]) []string { return []string{r.Status.Access} }},
		Quota:   nil,
		Prepare: makeKey, Defaults: k.keyOwner, Check: k.checkKey, Changed: keyChanged})
	return k
}

func table[S, T any](d kind.Kind[S, T]) kind.Table[S, T] { return kind.TableOf[S, T](d.Def()) }

func hashPassword(p *secret.Passwords) func(context.Context, *kind.Row[UserSpec, None], *kind.Row[UserSpec, None]) error {
	return func(ctx context.Context, old, row *kind.Row[UserSpec, None]) error {
		if row.Spec.Password == "" || old != nil && row.Spec.Password == old.Spec.Password {
			return nil
		}
		if weak(row.Spec.Password) {
			return fail.Field("spec.password", "is too easy to guess").Then("use at least 8 characters of which 4 differ, and not the word password")
		}
		h, err := p.Hash(ctx, row.Spec.Password)
		row.Spec.Password = h
		return err
	}
}

func makeKey(_ context.Context, old, row *kind.Row[KeySpec, KeyStatus]) error {
	if old == nil {
		row.Status = KeyStatus{Access: secret.NewAccessKey(), Secret: secret.NewSecretKey()}
		row.Name = row.Status.Access
	}
	return nil
}

func (k *Kinds) keyOwner(ctx context.Context, _ store.Tx, row *kind.Row[KeySpec, KeyStatus]) error {
	if row.Spec.User == "" {
		row.Spec.User = string(From(ctx).User)
	}
	return nil
}

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

func (k *Kinds) checkKey(ctx context.Context, tx store.Tx, _, row *kind.Row[KeySpec, KeyStatus]) error {
	return ref(tx, k.User, row.Domain, "spec.user", &row.Spec.User)
}

func (k *Kinds) checkUser(_ context.Context, tx store.Tx, _, row *kind.Row[UserSpec, None]) error {
	for i := range row.Spec.Groups {
		if err := ref(tx, k.Group, row.Domain, fmt.Sprintf("spec.groups[%d]", i), &row.Spec.Groups[i]); err != nil {
			return err
		}
	}
	slices.Sort(row.Spec.Groups)
	row.Spec.Groups = slices.Compact(row.Spec.Groups)
	return ref(tx, k.Project, row.Domain, "spec.default_project", &row.Spec.DefaultProject)
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

func checkPolicy(ctx context.Context, _ store.Tx, old, row *kind.Row[PolicySpec, None]) error {
	system := From(ctx).Method == BySystem
	if row.Spec.System && !system {
		if old != nil {
			return fail.New(fail.Denied, "policy %s comes with the cloud and cannot be changed", row.Name).Then("make one of your own")
		}
		return fail.Field("spec.system", "only the cloud itself makes system policies")
	}
	_, err := policy.Parse(row.Spec.Document)
	if err != nil {
		e := fail.From(err)
		return (&fail.Error{Kind: e.Kind, Field: "spec.document." + e.Field, Message: e.Message, Next: e.Next, Cause: err})
	}
	return nil
}

func (k *Kinds) policyUnused(ctx context.Context, tx store.Tx, row *kind.Row[PolicySpec, None]) error {
	if row.Spec.System && From(ctx).Method != BySystem {
		return fail.New(fail.Denied, "policy %s comes with the cloud and cannot be deleted", row.Name)
	}
	used, err := k.Grant.List(tx, string(row.Domain), kind.Filter{Index: "policy", Value: string(row.ID), Limit: 1})
	if err == nil && len(used) > 0 {
		return fail.New(fail.Precondition, "policy %s is still granted", row.Name).Then("delete grant %s first", used[0].ID)
	}
	return err
}

func (k *Kinds) notSelf(ctx context.Context, _ store.Tx, row *kind.Row[UserSpec, None]) error {
	if From(ctx).User == row.ID {
		return fail.New(fail.Precondition, "you cannot delete yourself").Then("let another administrator do it")
	}
	return nil
}

func (k *Kinds) userChanged(ctx context.Context, tx store.Tx, old, row *kind.Row[UserSpec, None]) error {
	if row == nil { // deleted: its keys, grants and tokens go with it
		return k.forgetUser(tx, old)
	}
	if old != nil && (old.Spec.Password != row.Spec.Password || row.Spec.Disabled) {
		if err := revokeAll(tx, row.ID); err != nil {
			return err
		}
	}
	return bump(tx)
}

func (k *Kinds) forgetUser(tx store.Tx, user *kind.Row[UserSpec, None]) error {
	keys, err := k.Key.List(tx, string(user.Domain), kind.Filter{Index: "user", Value: string(user.ID)})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := tx.Delete(keyPrefix + key.Status.Access); err != nil {
			return err
		}
		if err := k.Key.Remove(tx, key); err != nil {
			return err
		}
	}
	if err := k.forgetGrants(tx, user.Domain, string(user.ID)); err != nil {
		return err
	}
	if err := revokeAll(tx, user.ID); err != nil {
		return err
	}
	return bump(tx)
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

func keyChanged(_ context.Context, tx store.Tx, old, row *kind.Row[KeySpec, KeyStatus]) error {
	if row == nil {
		if err := tx.Delete(keyPrefix + old.Status.Access); err != nil {
			return err
		}
	} else if err := tx.Put(keyPrefix+row.Status.Access, []byte(row.ID)); err != nil {
		return err
	}
	return bump(tx)
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

func (k *Kinds) domainChanged(ctx context.Context, tx store.Tx, old, row *kind.Row[DomainSpec, None]) error {
	if old == nil {
		if err := k.addSystemPolicies(tx, row); err != nil {
			return err
		}
	}
	if row == nil {
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

func weak(p string) bool {
	seen := map[rune]bool{}
	for _, c := range p {
		seen[c] = true
	}
	return len(p) < 8 || len(seen) < 4 || p == "password"
}
