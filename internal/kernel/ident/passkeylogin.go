package ident

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Key: passkeyway/<hash> holds a log-in whose password was right and that waits for the browser's answer.
const passkeyWays = "passkeyway/"

// passkeyWay is such a log-in.
type passkeyWay struct {
	User    id.ID                `json:"user"`
	Origin  string               `json:"origin"`
	Browser string               `json:"browser"` // hash of what only this browser holds
	Session webauthn.SessionData `json:"session"`
	Expires time.Time            `json:"expires"`
}

// PasskeyAsk is what a browser is asked: Options for navigator.credentials.get, and State, which goes back with the answer.
type PasskeyAsk struct {
	Options json.RawMessage
	State   string
}

// AskPasskey begins the second half of a log-in whose password was right (p needs a code), for a browser at an address that
// holds a secret of its own. It is nil where the user has no passkey for that host.
func (s *Service) AskPasskey(ctx context.Context, p Principal, origin, browser string) (*PasskeyAsk, error) {
	if p.Restricted != NeedsCode || browser == "" {
		return nil, nil
	}
	party, err := s.Kinds.party(origin)
	if err != nil {
		return nil, nil // an address at which browsers have none
	}
	var ask *PasskeyAsk
	_, err = s.store.Update(ctx, func(tx store.Tx) error {
		ask = nil
		u, have, err := s.passkeysAt(tx, p.User, party.Config.RPID)
		if err != nil || len(have) == 0 {
			return err
		}
		who, err := holderOf(u, have)
		if err != nil {
			return err
		}
		options, session, err := party.BeginLogin(who)
		if err != nil {
			return err
		}
		way := passkeyWay{User: u.ID, Origin: origin, Browser: hashToken(browser), Session: *session, Expires: s.now().Add(passkeyLogIn).UTC()}
		b, err := json.Marshal(way)
		if err != nil {
			return err
		}
		ask = &PasskeyAsk{State: secret.NewToken()}
		if ask.Options, err = json.Marshal(options.Response); err != nil {
			return err
		}
		return tx.Put(passkeyWays+hashToken(ask.State), b)
	})
	return ask, err
}

// passkeysAt are a user's that work at a host.
func (s *Service) passkeysAt(tx store.Tx, user id.ID, host string) (u *userRow, out []*passkeyRow, err error) {
	if u, err = s.Kinds.User.Get(tx, user); u == nil || err != nil {
		return u, nil, err
	}
	have, err := s.Kinds.passkeys(tx, u)
	for _, p := range have {
		if party, err := s.Kinds.party(p.Spec.Origin); err == nil && p.Status.Active && party.Config.RPID == host {
			out = append(out, p)
		}
	}
	return u, out, err
}

// ByPasskey ends a log-in by a browser's answer. What was asked is used up, whatever the answer. The password was checked when
// the browser was asked; whether the user may log in is looked at again.
func (s *Service) ByPasskey(ctx context.Context, state, browser, answer, source string) (p Principal, err error) {
	refused := fail.New(fail.Unauthenticated, "this passkey was not accepted").Then("log in again from the beginning")
	way, err := s.takeWay(ctx, state)
	if err != nil {
		return p, err
	}
	if way.User == "" || s.now().After(way.Expires) || !secret.Equal(way.Browser, hashToken(browser)) {
		return p, fail.New(fail.Unauthenticated, "this log-in is over already, or was begun in another browser").Then("log in again from the beginning")
	}
	party, err := s.Kinds.party(way.Origin)
	if err != nil {
		return p, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return p, refused.Because(err)
	}
	way.Session.Expires = time.Time{} // was looked at with the cloud's own clock
	_, err = s.store.Update(ctx, func(tx store.Tx) error {
		u, have, err := s.passkeysAt(tx, way.User, party.Config.RPID)
		if err != nil {
			return err
		}
		if u == nil {
			return refused
		}
		rules, err := s.rules(tx, u.Domain)
		if err != nil {
			return err
		}
		if p, err = s.principal(tx, u.ID); err != nil {
			return err
		}
		if err := s.restrict(tx, &p, u, rules, inConsole); err != nil {
			return err
		}
		who, err := holderOf(u, have)
		if err != nil {
			return err
		}
		key, err := party.ValidateLogin(who, way.Session, parsed)
		if err != nil {
			return refused.Because(err)
		}
		if key.Authenticator.CloneWarning {
			return fail.New(fail.Unauthenticated, "this passkey counts its uses and counted backwards, as a copy would").Then("log in with another factor, and remove it")
		}
		for i, c := range who.keys {
			if !bytes.Equal(c.ID, key.ID) {
				continue
			}
			row := have[i]
			row.Status.Used = s.now().UTC()
			if row.Status.Key, err = json.Marshal(key); err != nil {
				return err
			}
			if err := s.Kinds.Passkey.Put(tx, row); err != nil {
				return err
			}
		}
		st, err := State(tx, u.ID)
		if err != nil {
			return err
		}
		p.Method, p.Issued, p.MFA, p.Restricted = ByPassword, s.now(), true, ""
		if u.Spec.PasswordReset || !u.Spec.PasswordNeverExpires && rules.Password.expired(st.PasswordSet, s.now()) {
			p.Restricted = NeedsPassword
		}
		return nil
	})
	if err != nil {
		return Principal{}, err
	}
	s.attempts.succeeded(string(p.User), source)
	return p, nil
}

// takeWay reads what a browser was asked and forgets it. The zero value is nothing.
func (s *Service) takeWay(ctx context.Context, state string) (way passkeyWay, err error) {
	key := passkeyWays + hashToken(state)
	_, err = s.store.Update(ctx, func(tx store.Tx) error {
		way = passkeyWay{}
		b, ok, err := tx.Get(key)
		if err != nil || !ok {
			return err
		}
		if err := json.Unmarshal(b, &way); err != nil {
			return err
		}
		return tx.Delete(key)
	})
	return way, err
}

// sweepPasskeys removes what no browser answered in time.
func (s *Service) sweepPasskeys(ctx context.Context) (removed int, err error) {
	return s.sweepKeys(ctx, passkeyWays, func(b []byte) bool {
		var w passkeyWay
		return json.Unmarshal(b, &w) == nil && s.now().After(w.Expires)
	})
}
