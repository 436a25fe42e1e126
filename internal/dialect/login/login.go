// Package login gives out tokens and takes them back, with the same checks and the same audit entries for every dialect
// that has a log-in. It may import the kernel.
package login

import (
	"context"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// The actions under which log-ins are audited.
const (
	Issue  = "identity:token:create"
	Revoke = "identity:token:delete"
)

// From is where a log-in comes from.
type From struct{ Source, Agent, Dialect, RequestID string }

// Request asks for a token: by user and password, by a token that the user holds already, or by both.
type Request struct {
	From
	Domain, User, Password string // each a name or an id; the domain may be left out where User is an id
	Token                  string
	Scope                  Scope
	Life                   time.Duration // at most ident.MaxTokenLife; 0 = that
}

// Scope is what a token is wanted for. The zero value is the user's domain.
type Scope struct {
	Project       string // name or id
	ProjectDomain string // name or id; "" = the user's own
	Domain        string // name or id; must be the user's own
	Default       bool   // the user's default project, or nothing
	Unscoped      bool
}

// Session is a token that was given out.
type Session struct {
	Text      string // shown once
	Token     ident.Token
	Principal ident.Principal
}

// In checks who asks, gives out a token and audits both outcomes.
func In(ctx context.Context, d *call.Door, r Request) (Session, error) {
	e := entry(r.From, Issue)
	e.Actor = "anonymous"
	if r.User != "" {
		e.Actor = "user " + r.User
	}
	s, err := in(ctx, d, r)
	if p := s.Principal; !p.Nobody() {
		e.Domain, e.Project, e.Actor, e.ActorID = p.Domain, s.Token.Project, p.String(), p.User
	}
	if err != nil {
		e.Outcome, e.Reason = ledger.Failed, fail.From(err).Public()
		if e.Domain == "" { // so that the domain's auditors see attempts on its users
			e.Domain = domainOf(ctx, d, r)
		}
	}
	if aerr := d.Record(ctx, e); aerr != nil {
		if err == nil { // nobody holds the token, so nobody misses it
			_ = d.Ident.RevokeToken(ctx, s.Text)
		}
		return Session{}, fail.Wrap(aerr, fail.Unavailable, "the audit log cannot be written, so nobody can log in")
	}
	if err != nil {
		return Session{}, err
	}
	return s, nil
}

// in also gives the principal when only the scope was wrong, for the audit entry.
func in(ctx context.Context, d *call.Door, r Request) (s Session, err error) {
	t := ident.Token{}
	var p ident.Principal
	if r.Token != "" {
		if p, t, err = d.Ident.ByToken(ctx, r.Token); err != nil {
			return s, err
		}
		t = ident.Token{Methods: t.Methods, Expires: t.Expires, MFA: t.MFA} // the new one lives no longer
		t.Methods = add(t.Methods, "token")
	}
	if r.User != "" || r.Token == "" {
		q, err := d.Ident.ByPassword(ctx, r.Domain, r.User, r.Password, r.Source)
		if err != nil {
			return s, err
		}
		if r.Token != "" && q.User != p.User {
			return s, fail.New(fail.Unauthenticated, "the password and the token are not of the same user")
		}
		p, t.Methods = q, add(t.Methods, "password")
	}
	s.Principal = p
	t.User, t.Domain = p.User, p.Domain
	err = d.Store.View(ctx, func(tx store.Tx) error {
		t.Project, t.Unscoped, err = scope(tx, d.Ident, &p, r.Scope)
		return err
	})
	if err != nil {
		return s, err
	}
	p.Project = t.Project
	if s.Text, s.Token, err = d.Ident.IssueToken(ctx, t, r.Life); err != nil {
		return s, err
	}
	p.Expires = s.Token.Expires
	s.Principal = p
	return s, nil
}

func add(methods []string, m string) []string {
	if slices.Contains(methods, m) {
		return methods
	}
	return append(slices.Clone(methods), m)
}

// scope finds the project that a token is for.
func scope(tx store.Tx, i *ident.Service, p *ident.Principal, s Scope) (project id.ID, unscoped bool, err error) {
	switch {
	case s.Unscoped:
		return "", true, nil
	case s.Default:
		u, err := i.Kinds.User.Get(tx, p.User)
		if err != nil || u == nil || u.Spec.DefaultProject == "" {
			return "", true, err
		}
		s.Project = u.Spec.DefaultProject
	case s.Domain != "":
		if s.Domain != string(p.Domain) && s.Domain != p.DomainName {
			return "", false, fail.Field("domain", "a token is for its user's own domain, %s", p.DomainName)
		}
		return "", false, nil
	case s.Project == "":
		return "", false, nil
	}
	domain := p.Domain
	if err := i.MarkCloud(tx, p); err != nil {
		return "", false, err
	}
	if s.ProjectDomain != "" && p.Cloud() {
		d, err := i.Kinds.Domain.Find(tx, "-", s.ProjectDomain)
		if err != nil {
			return "", false, err
		}
		if d != nil {
			domain = d.ID
		}
	}
	unknown := fail.Field("project", "there is no project %q in your domain", s.Project)
	if s.ProjectDomain != "" && domain == p.Domain && s.ProjectDomain != string(p.Domain) && s.ProjectDomain != p.DomainName {
		return "", false, unknown
	}
	row, err := i.Kinds.Project.Find(tx, string(domain), s.Project)
	if row == nil && err == nil && p.Cloud() {
		if pid, ok := id.Parse(s.Project); ok {
			row, err = i.Kinds.Project.Get(tx, pid)
		}
	}
	if err != nil {
		return "", false, err
	}
	if row == nil && s.Default {
		return "", true, nil // it was deleted meanwhile
	}
	if row == nil {
		return "", false, unknown
	}
	return row.ID, false, nil
}

func entry(f From, action string) ledger.Entry {
	e := ledger.Entry{Source: f.Source, Agent: f.Agent, Dialect: f.Dialect, Action: action, Outcome: ledger.Succeeded, RequestID: f.RequestID}
	if e.RequestID == "" {
		e.RequestID = string(id.New())
	}
	return e
}

// domainOf finds the domain that a failed log-in was aimed at.
func domainOf(ctx context.Context, d *call.Door, r Request) (domain id.ID) {
	_ = d.Store.View(ctx, func(tx store.Tx) error { // without it the entry belongs to no domain, and only operators see it
		if uid, ok := id.Parse(r.User); ok {
			if u, err := d.Ident.Kinds.User.Get(tx, uid); err == nil && u != nil {
				domain = u.Domain
			}
		}
		if domain == "" && r.Domain != "" {
			if row, err := d.Ident.Kinds.Domain.Find(tx, "-", r.Domain); err == nil && row != nil {
				domain = row.ID
			}
		}
		return nil
	})
	return domain
}

// Out ends a token on behalf of by, who must be allowed to: it is its own, or the caller checked that.
func Out(ctx context.Context, d *call.Door, by ident.Principal, text string, owner *kind.Meta, f From) error {
	if err := d.Ident.RevokeToken(ctx, text); err != nil {
		return err
	}
	e := entry(f, Revoke)
	e.Domain, e.Project, e.Actor, e.ActorID = by.Domain, by.Project, by.String(), by.User
	if owner != nil {
		e.Domain, e.Row, e.Name, e.Kind = owner.Domain, owner.ID, owner.Name, owner.Kind
	}
	return d.Record(ctx, e)
}
