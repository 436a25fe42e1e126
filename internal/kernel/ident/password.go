package ident

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

var badLogin = fail.Error{Kind: fail.Unauthenticated, Message: "the user name, domain or password is wrong",
	Next: "check all three; after ten failures in a row the log-in is closed for a while"}

// ByPassword logs a user in. domain is a name or id; source is the caller's address, for the limit on guessing. A
// principal that is Restricted may do nothing but what it lacks; one with a second factor always is, until Complete.
func (s *Service) ByPassword(ctx context.Context, domain, user, password, source string) (Principal, error) {
	return s.passwordLogin(ctx, domain, user, password, source, onAPI)
}

// ByPasswordInConsole is ByPassword for people in front of the console, for whom the domain's rules are stricter.
func (s *Service) ByPasswordInConsole(ctx context.Context, domain, user, password, source string) (Principal, error) {
	return s.passwordLogin(ctx, domain, user, password, source, inConsole)
}

// where a password is given.
type where int

const (
	onAPI where = iota
	inConsole
	anywhere
)

func (s *Service) passwordLogin(ctx context.Context, domain, user, password, source string, at where) (Principal, error) {
	var p Principal
	var hash, name string
	var limit lockRules
	err := s.store.View(ctx, func(tx store.Tx) error {
		limit, name = defaultLock, domain+"/"+user
		u, err := s.findUser(tx, domain, user)
		if err != nil || u == nil {
			return err
		}
		rules, err := s.rules(tx, u.Domain)
		if err != nil {
			return err
		}
		limit, name = rules.Login.lock(), string(u.ID) // whatever the user is called by
		if u.Spec.Password != "" {
			h, err := s.unseal(u.Domain, "spec.password", u.ID, u.Spec.Password)
			if err != nil {
				return err
			}
			hash = h
		}
		if p, err = s.principal(tx, u.ID); err != nil {
			return err
		}
		return s.restrict(tx, &p, u, rules, at)
	})
	if err != nil && !fail.Is(err, fail.Unauthenticated) {
		return Principal{}, err
	}
	if err := s.attempts.allowed(name, source, limit); err != nil {
		return Principal{}, err
	}
	// An empty hash costs as much as any: time does not tell which names exist.
	ok, _, verr := s.passwords.Verify(ctx, hash, password)
	if verr != nil {
		return Principal{}, verr
	}
	if !ok || p.User == "" {
		s.attempts.failed(name, source)
		bad := badLogin
		return Principal{}, &bad
	}
	if err != nil {
		return Principal{}, err
	}
	if p.Restricted != NeedsCode { // else the count goes on until the code is right
		s.attempts.succeeded(name, source)
	}
	p.Method, p.Issued = ByPassword, s.now()
	return p, nil
}

// restrict finds what a log-in by password alone lacks, and refuses those that may not log in this way.
func (s *Service) restrict(tx store.Tx, p *Principal, u *userRow, rules RulesSpec, at where) error {
	st, err := State(tx, u.ID)
	if err != nil {
		return err
	}
	refuse := func(format string, args ...any) error {
		return fail.New(fail.Unauthenticated, format, args...).Then("ask an administrator of your domain")
	}
	switch {
	case at == inConsole && u.Spec.AccessMode == Programmatic:
		return refuse("this user is for programs and cannot use the console")
	case at == onAPI && u.Spec.AccessMode == ConsoleOnly:
		return refuse("this user may use the console only")
	}
	seen := st.LastLogin
	if seen.IsZero() {
		seen = u.Created
	}
	if days := rules.Login.ValidityDays; days > 0 && s.now().Sub(seen) > time.Duration(days)*24*time.Hour {
		return refuse("this user did not log in for %d days and is locked", days)
	}
	has, err := s.Kinds.HasFactor(tx, u)
	if err != nil {
		return err
	}
	if has {
		p.Restricted = NeedsCode
		return nil
	}
	p.Restricted, err = s.lacks(tx, *p, u, st, rules, at == inConsole)
	return err
}

// lacks says what a user without a second factor has to do before anything else.
func (s *Service) lacks(tx store.Tx, p Principal, u *userRow, st UserState, rules RulesSpec, console bool) (Restriction, error) {
	if console && (u.Spec.PasswordReset || !u.Spec.PasswordNeverExpires && rules.Password.expired(st.PasswordSet, s.now())) {
		return NeedsPassword, nil
	}
	if u.Spec.AccessMode == Programmatic || !console && (!rules.mfaOnAPIs() || st.Generated) {
		return "", nil
	}
	need := u.Spec.LoginProtection || rules.MFA == "all"
	if !need && rules.MFA != "off" {
		var err error
		if need, err = s.writes(tx, p); err != nil {
			return "", err
		}
	}
	if need {
		return NeedsFactor, nil
	}
	return "", nil
}

// Complete adds the second factor to a log-in that needs a code.
func (s *Service) Complete(ctx context.Context, p Principal, code, source string, console bool) (Principal, error) {
	if p.Restricted != NeedsCode {
		return p, nil
	}
	if code == "" {
		return Principal{}, &fail.Error{Kind: fail.Unauthenticated, Field: "code", Message: "this user has a second factor", Next: "give the code that the app shows now, or a backup code"}
	}
	var rules RulesSpec
	err := s.store.View(ctx, func(tx store.Tx) (err error) { rules, err = s.rules(tx, p.Domain); return err })
	if err != nil {
		return Principal{}, err
	}
	limit := rules.Login.lock()
	if err := s.attempts.allowed(string(p.User), source, limit); err != nil {
		return Principal{}, err
	}
	ok, err := s.factor(ctx, p.User, code)
	if err != nil {
		return Principal{}, err
	}
	if !ok {
		s.attempts.failed(string(p.User), source)
		return Principal{}, &fail.Error{Kind: fail.Unauthenticated, Field: "code", Message: "the code is wrong or was used already", Next: "wait for the next one; check the clock of the phone"}
	}
	s.attempts.succeeded(string(p.User), source)
	p.MFA, p.Restricted = true, ""
	err = s.store.View(ctx, func(tx store.Tx) error {
		u, err := s.Kinds.User.Get(tx, p.User)
		if err != nil || u == nil {
			return err
		}
		st, err := State(tx, u.ID)
		if err == nil && console && (u.Spec.PasswordReset || !u.Spec.PasswordNeverExpires && rules.Password.expired(st.PasswordSet, s.now())) {
			p.Restricted = NeedsPassword
		}
		return err
	})
	return p, err
}

// LoggedIn notes a log-in in the caller's transaction, and gives what was noted at the one before.
func (s *Service) LoggedIn(tx store.Tx, user id.ID, source string) (before UserState, err error) {
	if before, err = State(tx, user); err != nil {
		return before, err
	}
	st := before
	st.LastLogin, st.LastSource = s.now().UTC(), source
	return before, putState(tx, user, st)
}

// ByPasswordAnywhere is ByPassword for a user who changes the password, wherever it may log in.
func (s *Service) ByPasswordAnywhere(ctx context.Context, domain, user, password, source string) (Principal, error) {
	return s.passwordLogin(ctx, domain, user, password, source, anywhere)
}

// HasFactor tells whether a user has a second factor that works.
func (s *Service) HasFactor(ctx context.Context, user id.ID) (has bool, err error) {
	err = s.store.View(ctx, func(tx store.Tx) error {
		u, err := s.Kinds.User.Get(tx, user)
		if err != nil || u == nil {
			return err
		}
		has, err = s.Kinds.HasFactor(tx, u)
		return err
	})
	return has, err
}

// Guess runs what checks a code for p, and counts a wrong one like a wrong password.
func (s *Service) Guess(p Principal, source string, try func() error) error {
	name := "code/" + string(p.User)
	if err := s.attempts.allowed(name, source, defaultLock); err != nil {
		return err
	}
	err := try()
	if e := fail.From(err); e != nil && e.Field == "code" {
		s.attempts.failed(name, source)
	}
	return err
}
