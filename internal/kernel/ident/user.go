package ident

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// UserSpec describes a person or a program that logs in.
type UserSpec struct {
	Description          string   `json:"description" doc:"who it is" max:"255"`
	Foreign              string   `json:"foreign" form:"-" doc:"what a client of another cloud's API said that this cloud gives back and does not use" max:"8192"`
	Email                string   `json:"email" doc:"e-mail address" max:"255"`
	Password             string   `json:"password" doc:"log-in password; kept as an Argon2id hash; none: no log-in by password" secret:"true" min:"6" max:"255"`
	Groups               []string `json:"groups" doc:"groups it is in" ref:"identity/group" max:"100"`
	Phone                string   `json:"phone" doc:"country code and number" pattern:"^[0-9]{1,8}-[0-9]{1,32}$" example:"0062-81122334455"`
	DefaultProject       string   `json:"default_project" doc:"the project it works in when it does not say" ref:"identity/project"`
	PasswordReset        bool     `json:"password_reset" doc:"the user has to choose a new password before anything else in the console; cleared when the user does"`
	PasswordNeverExpires bool     `json:"password_never_expires" doc:"its password does not get too old, whatever the account's security policy says"`
	AccessMode           string   `json:"access_mode" doc:"where it may log in: default is everywhere; console is the console only, without keys; programmatic is for programs, never asked for a second factor and kept out of the console" enum:"default,console,programmatic" default:"default"`
	LoginProtection      bool     `json:"login_protection" doc:"always needs a second factor to log in to the console, whatever the account's security policy says"`
	Disabled             bool     `json:"disabled" doc:"cannot log in; its tokens and keys stop working at once"`
}

// What AccessMode may say.
const (
	ConsoleOnly  = "console"
	Programmatic = "programmatic"
)

// UserStatus is what is known of a user.
type UserStatus struct {
	LastUsed time.Time `json:"last_used,omitzero" doc:"when it last did something, exact to a minute; none: never"`
}

type userRow = kind.Row[UserSpec, UserStatus]

func (k *Kinds) userKind(passwords *secret.Passwords) kind.Kind[UserSpec, UserStatus] {
	return kind.Kind[UserSpec, UserStatus]{Service: "identity", Name: "user", Scope: kind.InDomain, NamePat: NamePattern,
		Doc:     "A person or a program that logs in. A new user may do nothing until a policy is granted.",
		Columns: []string{"spec.email", "spec.access_mode", "spec.disabled", "status.last_used"}, Example: UserSpec{Email: "alice@example.org"},
		Index:   map[string]func(*userRow) []string{"group": func(r *userRow) []string { return r.Spec.Groups }},
		Prepare: k.hashPassword(passwords), Check: k.checkUser, CheckDelete: k.mayEnd, Changed: k.userChanged,
		Shown: func(tx store.Tx, r *userRow) (err error) {
			r.Status.LastUsed, err = k.service.UserUsed(tx, r.ID)
			return err
		}}
}

// hashPassword checks a new password by the domain's rules and hashes it, outside the transaction: it is slow.
func (k *Kinds) hashPassword(p *secret.Passwords) func(context.Context, *userRow, *userRow) error {
	return func(ctx context.Context, old, row *userRow) error {
		plain := row.Spec.Password
		if plain == "" || old != nil && plain == old.Spec.Password {
			return nil
		}
		if weak(plain) {
			return fail.Field("spec.password", "is too easy to guess").Then("use at least 4 different characters, and not the word password")
		}
		var rules RulesSpec
		var st UserState
		err := k.view(ctx, func(tx store.Tx) (err error) {
			if rules, err = k.RulesOf(tx, row.Domain); err == nil && old != nil {
				st, err = State(tx, row.ID)
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := rules.Password.check(row.Name, plain); err != nil {
			return err
		}
		own := From(ctx).Method == BySystem && From(ctx).User == row.ID
		if least := time.Duration(rules.Password.MinAgeMinutes) * time.Minute; own && old != nil && k.now().Sub(st.PasswordSet) < least {
			return fail.Field("spec.password", "was changed less than %d minutes ago", rules.Password.MinAgeMinutes).Then("wait, or ask an administrator of your domain")
		}
		if old != nil {
			if err := k.reused(ctx, p, old, st, int(rules.Password.Reuse), plain); err != nil {
				return err
			}
		}
		row.Spec.Password, err = p.Hash(ctx, plain)
		return err
	}
}

// reused refuses a password that is one of the last n, the present one among them.
func (k *Kinds) reused(ctx context.Context, p *secret.Passwords, old *userRow, st UserState, n int, plain string) error {
	was := append(some(old.Spec.Password), st.Before...)
	for _, sealed := range was[:min(n, len(was))] {
		hash, err := k.unseal(old.Domain, "spec.password", old.ID, sealed)
		if err != nil {
			return err
		}
		same, _, err := p.Verify(ctx, hash, plain)
		if err != nil {
			return err
		}
		if same {
			return fail.Field("spec.password", "is one of the last %d passwords", n).Then("choose one that was not in use lately")
		}
	}
	return nil
}

func weak(p string) bool {
	seen := map[rune]bool{}
	for _, c := range p {
		seen[c] = true
	}
	return len(seen) < 4 || p == "password"
}

func (k *Kinds) checkUser(ctx context.Context, tx store.Tx, old, row *userRow) error {
	for i := range row.Spec.Groups {
		if err := ref(tx, k.Group, row.Domain, fmt.Sprintf("spec.groups[%d]", i), &row.Spec.Groups[i]); err != nil {
			return err
		}
	}
	slices.Sort(row.Spec.Groups)
	row.Spec.Groups = slices.Compact(row.Spec.Groups)
	if err := k.guardUser(ctx, tx, old, row); err != nil {
		return err
	}
	if err := k.ownUser(ctx, tx, old, row); err != nil {
		return err
	}
	return ref(tx, k.Project, row.Domain, "spec.default_project", &row.Spec.DefaultProject)
}

func (k *Kinds) mayEnd(ctx context.Context, tx store.Tx, row *userRow) error {
	if From(ctx).User == row.ID {
		return fail.New(fail.Precondition, "you cannot delete yourself").Then("let another administrator do it")
	}
	return k.guardUser(ctx, tx, row)
}

func (k *Kinds) userChanged(_ context.Context, tx store.Tx, old, row *userRow) error {
	if row == nil { // deleted: its keys, grants and tokens go with it
		return k.forgetUser(tx, old)
	}
	changed := old == nil && row.Spec.Password != "" || old != nil && old.Spec.Password != row.Spec.Password
	if changed {
		st, err := State(tx, row.ID)
		if err != nil {
			return err
		}
		if old != nil && old.Spec.Password != "" {
			st.Before = append([]string{old.Spec.Password}, st.Before...)
			st.Before = st.Before[:min(len(st.Before), 24)]
		}
		st.PasswordSet, st.Generated = row.Updated, false
		if err := putState(tx, row.ID, st); err != nil {
			return err
		}
	}
	if old != nil && (changed || row.Spec.Disabled) {
		if err := revokeAll(tx, row.ID); err != nil {
			return err
		}
	}
	return bump(tx)
}

func (k *Kinds) forgetUser(tx store.Tx, user *userRow) error {
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
	credentials, err := k.Credential.List(tx, string(user.Domain), kind.Filter{Index: "user", Value: string(user.ID)})
	if err != nil {
		return err
	}
	for _, c := range credentials {
		if err := k.Credential.Remove(tx, c); err != nil {
			return err
		}
	}
	for _, forget := range []func() error{
		func() error { return k.forgetGrants(tx, user.Domain, string(user.ID)) },
		func() error { return k.forgetTrusts(tx, user.Domain, "trustor", string(user.ID)) },
		func() error { return k.forgetTrusts(tx, user.Domain, "trustee", string(user.ID)) },
		func() error { return k.forgetRequests(tx, user) },
		func() error { return k.forgetFactors(tx, user) },
		func() error { return k.forgetUserCredentials(tx, user.Domain, "user", string(user.ID)) },
		func() error { return revokeAll(tx, user.ID) },
		func() error { return forgetUse(tx, user.ID) },
		func() error { return tx.Delete(statePrefix + string(user.ID)) },
	} {
		if err := forget(); err != nil {
			return err
		}
	}
	return bump(tx)
}
