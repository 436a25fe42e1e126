package ident

import (
	"context"
	"fmt"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

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

func (k *Kinds) userKind(passwords *secret.Passwords) kind.Kind[UserSpec, None] {
	return kind.Kind[UserSpec, None]{Service: "identity", Name: "user", Scope: kind.InDomain, NamePat: NamePattern,
		Doc:     "A person or a program that logs in. A new user may do nothing until a policy is granted.",
		Columns: []string{"spec.email", "spec.disabled"}, Example: UserSpec{Email: "alice@example.org"},
		Index:   map[string]func(*kind.Row[UserSpec, None]) []string{"group": func(r *kind.Row[UserSpec, None]) []string { return r.Spec.Groups }},
		Prepare: hashPassword(passwords), Check: k.checkUser, CheckDelete: k.notSelf, Changed: k.userChanged}
}

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

func weak(p string) bool {
	seen := map[rune]bool{}
	for _, c := range p {
		seen[c] = true
	}
	return len(p) < 8 || len(seen) < 4 || p == "password"
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
