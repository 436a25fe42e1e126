package ident

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

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
	// LastUsed is not kept in the row: see lastuse.go.
	LastUsed time.Time `json:"last_used,omitzero" doc:"when something was last signed with it, exact to a minute; none: never"`
}

func (k *Kinds) accessKeyKind() kind.Kind[KeySpec, KeyStatus] {
	return kind.Kind[KeySpec, KeyStatus]{Service: "identity", Name: "access-key", Scope: kind.InDomain, AnyName: true,
		Doc: "What programs sign requests with. The secret is shown once.", Columns: []string{"status.access_key", "spec.user", "spec.disabled", "status.last_used"},
		Index: map[string]func(*kind.Row[KeySpec, KeyStatus]) []string{
			"user":   func(r *kind.Row[KeySpec, KeyStatus]) []string { return []string{r.Spec.User} },
			"access": func(r *kind.Row[KeySpec, KeyStatus]) []string { return []string{r.Status.Access} }},
		Quota:   nil,
		Prepare: makeKey, Defaults: k.keyOwner, Check: k.checkKey, CheckDelete: k.ownKey, Changed: keyChanged,
		Shown: func(tx store.Tx, r *kind.Row[KeySpec, KeyStatus]) (err error) {
			r.Status.LastUsed, err = k.service.KeyUsed(tx, r.Status.Access)
			return err
		}}
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

func (k *Kinds) checkKey(ctx context.Context, tx store.Tx, old, row *kind.Row[KeySpec, KeyStatus]) error {
	if p := From(ctx); old == nil && p.Lent() && !p.Manages {
		return fail.New(fail.Denied, "this application credential or trust cannot make keys").Then("use a token of the user")
	}
	if err := ref(tx, k.User, row.Domain, "spec.user", &row.Spec.User); err != nil {
		return err
	}
	if err := k.ownKey(ctx, tx, row); err != nil {
		return err
	}
	if err := k.guardUserID(ctx, tx, row.Spec.User); err != nil || old != nil {
		return err
	}
	u, err := k.User.Get(tx, id.ID(row.Spec.User))
	if err == nil && u != nil && u.Spec.AccessMode == ConsoleOnly {
		return fail.Field("spec.user", "%s may use the console only", u.Name).Then("change its access_mode first")
	}
	return err
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
