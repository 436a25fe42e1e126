package ident

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// ProtectionRules say what asks for the second factor again, and what users do with their own.
type ProtectionRules struct {
	Operations  bool  `json:"operations" doc:"before a critical operation, such as deleting a server or a user, people give their second factor again, if they did not in the last 15 minutes; programs are not asked"`
	OwnKeys     *bool `json:"own_keys" doc:"users may make, change and delete access keys of their own, where a policy lets them" default:"true"`
	OwnPassword *bool `json:"own_password" doc:"users may change their own password; one that has to be changed they always may" default:"true"`
	OwnEmail    *bool `json:"own_email" doc:"users may change their own e-mail address" default:"true"`
	OwnPhone    *bool `json:"own_phone" doc:"users may change their own telephone number" default:"true"`
}

// Fresh is how long a second factor counts as given lately.
const Fresh = 15 * time.Minute

// Unconfirmed is the field that names why a critical operation was refused: clients ask for the code and try again.
const Unconfirmed = "second_factor"

// Confirmed refuses a critical operation of a person who did not give the second factor lately, where the rules of its own domain
// or of the one it acts in want that. Keys, agencies, application credentials, trusts, users for programs and people whom an
// identity provider vouches for are not asked: they have no second factor here.
func (s *Service) Confirmed(tx store.Tx, p Principal, at id.ID) error {
	if p.asker != nil {
		p = *p.asker
	}
	if p.Method != ByToken || !p.Whole() || p.vouched {
		return nil
	}
	wanted := false
	for _, domain := range slices.Compact([]id.ID{p.Domain, at}) {
		if domain == "" {
			continue
		}
		r, err := s.rules(tx, domain)
		if err != nil {
			return err
		}
		wanted = wanted || r.Protection.Operations
	}
	if !wanted || s.now().Sub(p.Verified) < Fresh {
		return nil
	}
	u, err := s.Kinds.User.Get(tx, p.User)
	if err != nil || u == nil || u.Spec.AccessMode == Programmatic {
		return err
	}
	has, err := s.Kinds.HasFactor(tx, u)
	if err != nil {
		return err
	}
	e := &fail.Error{Kind: fail.Denied, Field: Unconfirmed, Message: "this is a critical operation, which your account wants confirmed by the second factor, given in the last 15 minutes",
		Next: "give its code: awan login --verify, or the console asks for it; on OpenStack's and Huawei's APIs get a token with methods password and totp"}
	if !has {
		e.Message, e.Next = "this is a critical operation, which your account wants confirmed by the second factor, and you have none", "enrol one first: awan mfa enrol, or the console's page Your log-in; then log in again"
	}
	return e
}

// Confirm notes on p's token that its user gave the second factor's code now.
func (s *Service) Confirm(ctx context.Context, p Principal, code, source string) error {
	if p.Method != ByToken || !p.Whole() || p.Restricted != "" {
		return fail.New(fail.Denied, "only who is logged in with a token of its own confirms anything").Then("log in: awan login")
	}
	return s.Guess(p, source, func() error {
		ok, err := s.factor(ctx, p.User, code)
		if err == nil && !ok {
			err = &fail.Error{Kind: fail.Denied, Field: "code", Message: "the code is wrong or was used already", Next: "wait for the next one; check the clock of the phone"}
		}
		if err != nil {
			return err
		}
		_, err = s.store.Update(ctx, func(tx store.Tx) error { return s.verified(tx, p.Token) })
		return err
	})
}

func (s *Service) verified(tx store.Tx, hash string) error {
	b, ok, err := tx.Get(tokenPrefix + hash)
	if err != nil {
		return err
	}
	if !ok {
		return noToken()
	}
	var t Token
	if err := json.Unmarshal(b, &t); err != nil {
		return err
	}
	t.Verified, t.MFA = s.now().UTC(), true
	if b, err = json.Marshal(t); err != nil {
		return err
	}
	if err := tx.Put(tokenPrefix+hash, b); err != nil {
		return err
	}
	return bump(tx)
}

// own refuses users what their domain does not let them do with their own.
func (k *Kinds) own(ctx context.Context, tx store.Tx, user, domain id.ID, what string, allowed func(ProtectionRules) *bool) error {
	if p := From(ctx); p.User == "" || p.User != user {
		return nil
	}
	r, err := k.RulesOf(tx, domain)
	if err != nil {
		return err
	}
	if a := allowed(r.Protection); a == nil || *a {
		return nil
	}
	return fail.New(fail.Denied, "your account does not let users manage their own %s", what).Then("ask an administrator of your domain")
}

// ownUser is about what users change of themselves.
func (k *Kinds) ownUser(ctx context.Context, tx store.Tx, old, row *userRow) error {
	if old == nil {
		return nil
	}
	for _, c := range []struct {
		changed bool
		what    string
		allowed func(ProtectionRules) *bool
	}{
		{row.Spec.Email != old.Spec.Email, "e-mail address", func(r ProtectionRules) *bool { return r.OwnEmail }},
		{row.Spec.Phone != old.Spec.Phone, "telephone number", func(r ProtectionRules) *bool { return r.OwnPhone }},
		{row.Spec.Password != old.Spec.Password && !old.Spec.PasswordReset, "password", func(r ProtectionRules) *bool { return r.OwnPassword }},
	} {
		if !c.changed {
			continue
		}
		if err := k.own(ctx, tx, row.ID, row.Domain, c.what, c.allowed); err != nil {
			return err
		}
	}
	return nil
}

// ownKey is about what users do with their own access keys.
func (k *Kinds) ownKey(ctx context.Context, tx store.Tx, row *kind.Row[KeySpec, KeyStatus]) error {
	return k.own(ctx, tx, id.ID(row.Spec.User), row.Domain, "access keys", func(r ProtectionRules) *bool { return r.OwnKeys })
}
