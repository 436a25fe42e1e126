package login

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Vouched gives out a token to somebody whom an identity provider vouched for; who says which and as whom, for the audit
// log. It lives until p.Expires at most, and like every log-in by the rules of the domain: from the addresses that it lets
// in and, where the token is the console's session, as long as one may last. console tells whether it is.
func Vouched(ctx context.Context, d *call.Door, p ident.Principal, who string, sc Scope, from From, console bool) (s Session, err error) {
	e := entry(from, Issue)
	e.Domain, e.Actor, e.ActorID, e.Reason = p.Domain, p.String(), p.User, who
	t := ident.TokenFor(p, "", "mapped")
	t.Expires = p.Expires
	err = d.Store.View(ctx, func(tx store.Tx) error {
		if err := d.Ident.Admit(tx, p, from.Source, console); err != nil {
			return err
		}
		return sc.put(tx, d.Ident, &p, &t)
	})
	var life time.Duration
	if err == nil && console {
		life, err = session(ctx, d, p, 0)
	}
	if err == nil {
		e.Project = t.Project
		s.Text, s.Token, err = d.Ident.IssueTokenWith(ctx, t, life, func(tx store.Tx, t ident.Token) error {
			e.At = t.Issued
			e.Ended = e.At
			return ledger.Record(tx, &e)
		})
		p.Project, s.Principal = t.Project, p
	}
	if err == nil {
		return s, nil
	}
	e.Outcome, e.Reason = ledger.Failed, who+": "+fail.From(err).Public()
	return Session{}, recorded(ctx, d, e, err)
}

// Refused audits a log-in through a provider that came to nothing, and gives err back.
func Refused(ctx context.Context, d *call.Door, owner ident.Principal, who string, from From, err error) error {
	e := entry(from, Issue)
	e.Domain, e.Actor, e.Outcome, e.Reason = owner.Domain, who, ledger.Failed, fail.From(err).Public()
	return recorded(ctx, d, e, err)
}

// recorded audits a log-in that failed, and gives its error back.
func recorded(ctx context.Context, d *call.Door, e ledger.Entry, err error) error {
	if aerr := d.Record(ctx, e); aerr != nil {
		return unwritten(aerr)
	}
	return err
}
