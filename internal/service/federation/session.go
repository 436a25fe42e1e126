package federation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Known is somebody whom a provider vouched for.
type Known struct {
	Provider *Provider
	Subject  string // who they are there
	Words    Words
}

// Guest is what became of them here.
type Guest struct {
	Principal ident.Principal
	Session   *Session
	Provider  *Provider
	Expires   time.Time
}

// Find gives a provider that is in use, by id, or by name: in a domain, or in whichever has the only one of that name.
func (s *Service) Find(ctx context.Context, domain, name string) (*Provider, error) {
	var found []*Provider
	err := s.Store.View(ctx, func(tx store.Tx) error {
		if pid, ok := id.Parse(name); ok {
			p, err := s.Providers.Get(tx, pid)
			if p != nil {
				found = append(found, p)
			}
			return err
		}
		scope := ""
		if domain != "" {
			d, err := s.Ident.Kinds.Domain.Find(tx, "-", domain)
			if err != nil || d == nil {
				return err
			}
			scope = string(d.ID)
		}
		var err error
		found, err = s.Providers.List(tx, scope, kind.Filter{Exact: name, Limit: 2})
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case len(found) > 1:
		return nil, fail.New(fail.Unauthenticated, "several domains have an identity provider %q", name).Then("say which by its id, or add ?domain_id=")
	case len(found) == 0 || found[0].Spec.Disabled || found[0].Spec.Protocol == "" || found[0].Spec.Mapping == "":
		return nil, fail.New(fail.Unauthenticated, "there is no identity provider %q to log in through", name).
			Then("ask an administrator of the domain: it may be disabled, or lack its protocol or mapping")
	}
	return found[0], nil
}

// Open lists the providers of a domain that people can log in through.
func (s *Service) Open(ctx context.Context, domain string) (out []*Provider, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		d, err := s.Ident.Kinds.Domain.Find(tx, "-", domain)
		if err != nil || d == nil || d.Spec.Disabled {
			return err
		}
		out, err = s.Providers.List(tx, string(d.ID), kind.Filter{Where: func(r kind.AnyRow) bool {
			p := r.(*Provider).Spec
			return !p.Disabled && !p.Programs && p.Protocol != "" && p.Mapping != ""
		}})
		return err
	})
	return out, err
}

// Enter begins or prolongs somebody's session: the user is made when there is none, and given the groups that the
// mapping says. It is one transaction with its audit entry.
func (s *Service) Enter(ctx context.Context, k Known, from ledger.Entry) (*Guest, error) {
	if k.Subject == "" {
		return nil, fail.New(fail.Unauthenticated, "the identity provider does not say who this is")
	}
	ctx = asCloud(ctx)
	var g *Guest
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		g = &Guest{Provider: k.Provider}
		return s.enter(ctx, tx, k, from, g)
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

func (s *Service) enter(ctx context.Context, tx store.Tx, k Known, from ledger.Entry, g *Guest) error {
	p, err := s.Providers.Get(tx, k.Provider.ID)
	if err != nil {
		return err
	}
	domain, err := s.Ident.Kinds.Domain.Get(tx, k.Provider.Domain)
	if err != nil {
		return err
	}
	if p == nil || p.Spec.Disabled || domain == nil || domain.Spec.Disabled {
		return fail.New(fail.Unauthenticated, "nobody can log in through %s now", k.Provider.Name).Then("ask an administrator of the domain")
	}
	m, err := s.Mappings.Get(tx, id.ID(p.Spec.Mapping))
	if err != nil {
		return err
	}
	if m == nil {
		return fail.New(fail.Unauthenticated, "identity provider %s has no mapping", p.Name)
	}
	mapped, err := Map(m.Spec.Rules, k.Words)
	if err != nil {
		return err
	}
	groups, err := s.groups(tx, p.Domain, mapped.Groups)
	if err != nil {
		return err
	}
	now := s.Now().UTC()
	g.Expires = now.Add(time.Duration(p.Spec.Life)).Truncate(time.Second)
	session, err := s.sessionOf(tx, p, k.Subject)
	if err != nil {
		return err
	}
	if session == nil {
		session = &Session{Meta: s.meta(s.Sessions.D, p.Domain, p.Name+": "+k.Subject, now)}
		session.Spec = SessionSpec{Provider: string(p.ID), Subject: k.Subject}
	}
	user, err := s.user(ctx, tx, p, session, mapped, groups, from)
	if err != nil {
		return err
	}
	session.Spec.User = string(user.ID)
	if session.Spec.Expires.Before(g.Expires) {
		session.Spec.Expires = g.Expires
	}
	session.Updated, g.Session = now, session
	g.Principal = ident.Principal{User: user.ID, UserName: user.Name, Domain: domain.ID, DomainName: domain.Name, Groups: groups,
		Method: ident.ByToken, Issued: now, Expires: g.Expires}
	return s.Sessions.Put(tx, session)
}

func (s *Service) meta(d *kind.Def, domain id.ID, name string, now time.Time) kind.Meta {
	return kind.Meta{ID: id.New(), Kind: d.FullName(), Domain: domain, Name: name, State: kind.Active, Generation: 1, Made: true,
		CreatedBy: "system awan", Created: now, Updated: now}
}

// groups turns names and ids into the ids of the domain's groups; those that it does not have say nothing.
func (s *Service) groups(tx store.Tx, domain id.ID, names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		row, err := s.Ident.Kinds.Group.Find(tx, string(domain), name)
		if err != nil {
			return nil, err
		}
		if row != nil {
			out = append(out, string(row.ID))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func (s *Service) sessionOf(tx store.Tx, p *Provider, subject string) (*Session, error) {
	rows, err := s.Sessions.List(tx, string(p.Domain), kind.Filter{Index: "subject", Value: string(p.ID) + " " + subject, Limit: 1})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

type userRow = kind.Row[ident.UserSpec, ident.UserStatus]

// user makes the session's user, or brings it up to date.
func (s *Service) user(ctx context.Context, tx store.Tx, p *Provider, session *Session, m Mapped, groups []string, from ledger.Entry) (*userRow, error) {
	t, now := s.Ident.Kinds.User, s.Now().UTC()
	var old, row *userRow
	var err error
	if session.Spec.User != "" {
		if old, err = t.Get(tx, id.ID(session.Spec.User)); err != nil {
			return nil, err
		}
	}
	e := from
	e.Domain, e.Actor, e.Kind, e.Outcome = p.Domain, fmt.Sprintf("identity provider %s, subject %s", p.Name, session.Spec.Subject), t.D.FullName(), ledger.Succeeded
	e.Action, e.ID = t.D.Desc.Action("create"), ""
	if old == nil {
		row = &userRow{Meta: s.meta(t.D, p.Domain, userName(m.Name, p.Name, session.Spec.Subject), now)}
		row.Spec.Description = "from identity provider " + p.Name + ", as long as the session lasts"
		row.Tags = map[string]string{"identity-provider": p.Name}
	} else {
		if old.Spec.Disabled {
			return nil, fail.New(fail.Unauthenticated, "user %s is disabled", old.Name).Then("ask an administrator of the domain")
		}
		c := *old
		row = &c
		row.Updated = now
		e.Action = t.D.Desc.Action("update")
	}
	if m.Email != "" && len(m.Email) <= 255 {
		row.Spec.Email = m.Email
	}
	same := old != nil && slices.Equal(old.Spec.Groups, groups) && old.Spec.Email == row.Spec.Email
	if same {
		return old, nil
	}
	row.Spec.Groups = groups
	if old == nil {
		err = t.D.Check(ctx, tx, nil, row)
	} else {
		err = t.D.Check(ctx, tx, old, row)
	}
	if err == nil {
		err = t.Put(tx, row)
	}
	if err == nil && old == nil {
		err = t.D.Changed(ctx, tx, nil, row)
	} else if err == nil {
		err = t.D.Changed(ctx, tx, old, row)
	}
	if err != nil {
		return nil, err
	}
	e.At, e.Ended, e.Row, e.Name = now, now, row.ID, row.Name
	return row, ledger.Record(tx, &e)
}

var unfit = regexp.MustCompile(`[^A-Za-z0-9_.@ -]+`)

// userName is NAME@PROVIDER: nobody from elsewhere can look like a user of the domain. Where that is too long, or holds
// what a name cannot, the subject's digest keeps it apart from others.
func userName(name, provider, subject string) string {
	clean := strings.TrimLeft(unfit.ReplaceAllString(name, "-"), ".@ -")
	full := clean + "@" + provider
	if clean == name && len(full) <= 64 {
		return full
	}
	sum := sha256.Sum256([]byte(subject))
	tail := "-" + hex.EncodeToString(sum[:4]) + "@" + provider
	if len(tail) > 50 {
		tail = tail[:50]
	}
	return clean[:min(len(clean), 64-len(tail))] + tail
}

// SessionOf gives the session that a user belongs to; nil when it is an ordinary one.
func (s *Service) SessionOf(tx store.Tx, domain, user id.ID) (*Session, *Provider, error) {
	rows, err := s.Sessions.List(tx, string(domain), kind.Filter{Index: "user", Value: string(user), Limit: 1})
	if err != nil || len(rows) == 0 {
		return nil, nil, err
	}
	p, err := s.Providers.Get(tx, id.ID(rows[0].Spec.Provider))
	return rows[0], p, err
}

// forgetUser removes the session's user with its tokens, keys and grants.
func (s *Service) forgetUser(ctx context.Context, tx store.Tx, session *Session) error {
	t := s.Ident.Kinds.User
	user, err := t.Get(tx, id.ID(session.Spec.User))
	if err != nil || user == nil {
		return err
	}
	if err := t.D.Changed(asCloud(ctx), tx, user, nil); err != nil {
		return err
	}
	now := s.Now().UTC()
	e := ledger.Entry{Domain: user.Domain, At: now, Ended: now, Actor: "system awan", Dialect: "loop", Action: t.D.Desc.Action("delete"), Kind: t.D.FullName(),
		Row: user.ID, Name: user.Name, Outcome: ledger.Succeeded, Reason: "the session of " + session.Name + " ended", RequestID: string(id.New())}
	if err := ledger.Record(tx, &e); err != nil {
		return err
	}
	return t.Remove(tx, user)
}

// expire ends sessions whose time is over, or whose user is gone.
func (s *Service) expire(ctx context.Context, row *Session) (bool, error) {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		now, err := s.Sessions.Get(tx, row.ID)
		if err != nil || now == nil {
			return err
		}
		user, err := s.Ident.Kinds.User.Get(tx, id.ID(now.Spec.User))
		if err != nil || user != nil && s.Now().Before(now.Spec.Expires) {
			return err
		}
		if err := s.forgetUser(ctx, tx, now); err != nil {
			return err
		}
		return s.Sessions.Remove(tx, now)
	})
	return false, err
}

// providerChanged ends the sessions of a provider that is gone or disabled.
func (s *Service) providerChanged(ctx context.Context, tx store.Tx, old, row *Provider) error {
	if row != nil && (!row.Spec.Disabled || old == nil) {
		return nil
	}
	rows, err := s.Sessions.List(tx, string(old.Domain), kind.Filter{Index: "provider", Value: string(old.ID)})
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := s.forgetUser(ctx, tx, r); err != nil {
			return err
		}
		if err := s.Sessions.Remove(tx, r); err != nil {
			return err
		}
	}
	return nil
}
