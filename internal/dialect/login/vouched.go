package login

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Vouched gives out a token to somebody whom an identity provider vouched for; who says which and as whom, for the audit
// log. It lives until p.Expires at most.
func Vouched(ctx context.Context, d *call.Door, p ident.Principal, who string, sc Scope, from From) (s Session, err error) {
	e := entry(from, Issue)
	e.Domain, e.Actor, e.ActorID, e.Reason = p.Domain, p.String(), p.User, who
	t := ident.TokenFor(p, "", "mapped")
	t.Expires = p.Expires
	err = d.Store.View(ctx, func(tx store.Tx) error {
		t.Project, t.Unscoped, err = scope(tx, d.Ident, &p, sc)
		return err
	})
	if err == nil {
		s.Text, s.Token, err = d.Ident.IssueToken(ctx, t, 0)
		p.Project, s.Principal, e.Project = t.Project, p, t.Project
	}
	if err != nil {
		e.Outcome, e.Reason = ledger.Failed, who+": "+fail.From(err).Public()
	}
	return s, recorded(ctx, d, e, s, err)
}

// Refused audits a log-in through a provider that came to nothing, and gives err back.
func Refused(ctx context.Context, d *call.Door, owner ident.Principal, who string, from From, err error) error {
	e := entry(from, Issue)
	e.Domain, e.Actor, e.Outcome, e.Reason = owner.Domain, who, ledger.Failed, fail.From(err).Public()
	return recorded(ctx, d, e, Session{}, err)
}

// recorded audits a log-in. Without its entry nobody logs in.
func recorded(ctx context.Context, d *call.Door, e ledger.Entry, s Session, err error) error {
	if aerr := d.Record(ctx, e); aerr != nil {
		if s.Text != "" { // nobody holds the token, so nobody misses it
			_ = d.Ident.RevokeToken(ctx, s.Text)
		}
		return fail.Wrap(aerr, fail.Unavailable, "the audit log cannot be written, so nobody can log in")
	}
	return err
}
