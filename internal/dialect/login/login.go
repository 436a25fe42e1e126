// Package login gives out tokens and takes them back, with the same checks and the same audit entries for every dialect
// that has a log-in. It may import the kernel.
package login

import (
	"cmp"
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

// Request asks for a token: by user and password, by a token that the user holds already, or by both; or by an
// application credential; or, for what another part has checked (an identity provider's word), by a Principal.
type Request struct {
	From
	Domain, User, Password string // each a name or an id; the domain may be left out where User is an id
	Code                   string // of the second factor
	Passkey                Passkey
	Token                  string
	Credential, Secret     string // an application credential: its id, or its name with Domain and User
	Agency                 Agency // act through it, with a token that the caller holds
	Principal              *ident.Principal
	Methods                []string // how Principal proved who it is
	Scope                  Scope
	Whole                  bool          // where nothing can be made up for: a log-in that lacks something is refused
	Life                   time.Duration // at most ident.MaxTokenLife; 0 = that
}

// Agency is what a caller acts through: names or ids. The zero value is none.
type Agency struct{ Domain, Name string }

// Scope is what a token is wanted for. The zero value is the user's domain.
type Scope struct {
	Project       string // name or id
	ProjectDomain string // name or id; "" = the user's own
	Domain        string // name or id; must be the user's own
	System        bool   // the whole cloud: for its operators
	Trust         string // act with what another user lent, in the trust's project
	Default       bool   // the user's default project, or nothing
	Unscoped      bool
}

// Session is a token that was given out.
type Session struct {
	Text      string // shown once
	Token     ident.Token
	Principal ident.Principal
	Before    ident.UserState // the log-in before this one
}

// In checks who asks, gives out a token and audits both outcomes: a token is stored with its entry or not at all.
func In(ctx context.Context, d *call.Door, r Request) (Session, error) {
	e := entry(r.From, Issue)
	e.Actor = "anonymous"
	if r.Credential != "" {
		e.Actor = "application credential " + r.Credential
	} else if r.User != "" {
		e.Actor = "user " + r.User
	}
	s, err := in(ctx, d, r, &e)
	if err == nil {
		return s, nil
	}
	e.Outcome, e.Reason = ledger.Failed, fail.From(err).Public()
	if e.Domain == "" { // so that the domain's auditors see attempts on its users
		e.Domain = domainOf(ctx, d, r)
	}
	return Session{}, recorded(ctx, d, e, err)
}

func unwritten(err error) error {
	return fail.Wrap(err, fail.Unavailable, "the audit log cannot be written, so nobody can log in")
}

// in also fills in the entry when only the scope was wrong.
func in(ctx context.Context, d *call.Door, r Request, e *ledger.Entry) (s Session, err error) {
	p, methods, ends, err := who(ctx, d, r)
	if err != nil {
		return s, err
	}
	if r.Whole && p.Restricted != "" && p.Restricted != ident.OnlyRequests {
		e.Domain, e.Actor, e.ActorID = p.Domain, p.String(), p.User
		return s, refusal(p)
	}
	caller := p
	if r.Agency != (Agency{}) {
		c := &call.Call{Principal: p, Source: r.Source, Agent: r.Agent, Dialect: r.Dialect, RequestID: r.RequestID}
		if p, err = d.Assume(ctx, c, r.Agency.Domain, r.Agency.Name, r.Life); err != nil {
			return s, err
		}
		methods = []string{"assume_role"}
	}
	if r.Scope.Trust != "" {
		if p, ends, err = trusted(ctx, d, p, r.Scope.Trust, ends); err != nil {
			e.Domain, e.Actor, e.ActorID = caller.Domain, caller.String(), caller.User
			return s, err
		}
		r.Scope = Scope{Project: string(p.Project)}
	}
	e.Domain, e.Actor, e.ActorID, e.Reason = p.Domain, p.String(), p.User, lacking(p)
	e.Agency, e.ByID, e.ByIn = p.Agency, p.By.User, p.By.Domain
	if r.Dialect == call.ConsoleDialect {
		if r.Life, err = session(ctx, d, p, r.Life); err != nil {
			return s, err
		}
	}
	t := ident.TokenFor(p, "", methods...)
	t.Expires = ends
	if p.Application != "" { // it works in its own project only
		r.Scope = Scope{Project: string(p.Project)}
	}
	err = d.Store.View(ctx, func(tx store.Tx) error {
		if err := d.Ident.Admit(tx, caller, r.Source, r.Dialect == call.ConsoleDialect); err != nil {
			return err
		}
		return r.Scope.put(tx, d.Ident, &p, &t)
	})
	if err != nil {
		return s, err
	}
	e.Project = t.Project
	s.Text, s.Token, err = d.Ident.IssueTokenWith(ctx, t, r.Life, func(tx store.Tx, t ident.Token) error {
		e.At = t.Issued
		e.Ended = e.At
		if t.Trust != "" {
			if err := d.Ident.UseTrust(tx, t.Trust); err != nil {
				return err
			}
		}
		if err := ledger.Record(tx, e); err != nil {
			return err
		}
		if r.Token != "" || p.Restricted != "" || p.Agency != "" || p.Lent() {
			return nil
		}
		var err error
		s.Before, err = d.Ident.LoggedIn(tx, p.User, r.Source)
		return err
	})
	if err != nil {
		return s, err
	}
	p.Project, p.Expires = t.Project, s.Token.Expires
	s.Principal = p
	return s, nil
}

// who finds out who asks: by which methods, and when what it holds ends (zero: not before its token).
func who(ctx context.Context, d *call.Door, r Request) (p ident.Principal, methods []string, ends time.Time, err error) {
	console := r.Dialect == call.ConsoleDialect
	switch {
	case r.Passkey.State != "":
		p, err = d.Ident.ByPasskey(ctx, r.Passkey.State, r.Passkey.Browser, r.Passkey.Answer, r.Source)
		return p, []string{"password", "webauthn"}, ends, err
	case r.Principal != nil:
		return *r.Principal, r.Methods, r.Principal.Expires, nil
	case r.Credential != "":
		p, err = d.Ident.ByCredential(ctx, r.Credential, r.Domain, r.User, r.Secret, r.Source)
		return p, []string{"application_credential"}, ends, err
	case r.Token != "":
		var t ident.Token
		if p, t, err = d.Ident.ByToken(ctx, r.Token); err != nil {
			return p, nil, ends, err
		}
		if p.Trust != "" {
			return p, nil, ends, fail.New(fail.Denied, "a token of a trust cannot be exchanged for another").Then("log in as the trustee")
		}
		methods, ends = add(t.Methods, "token"), t.Expires // the new one lives no longer
	}
	if r.User != "" || r.Token == "" {
		by := d.Ident.ByPassword
		if console {
			by = d.Ident.ByPasswordInConsole
		}
		q, err := by(ctx, r.Domain, r.User, r.Password, r.Source)
		if err != nil {
			return q, nil, ends, err
		}
		if r.Token != "" && q.User != p.User {
			return q, nil, ends, fail.New(fail.Unauthenticated, "the password and the token are not of the same user")
		}
		p, methods = q, add(methods, "password")
	}
	if p.Restricted == ident.NeedsCode {
		half := p
		if p, err = d.Ident.Complete(ctx, p, r.Code, r.Source, console); err != nil {
			return ident.Principal{}, nil, ends, wanted(ctx, d, half, r, err)
		}
		methods = add(methods, "totp")
	}
	return p, methods, ends, nil
}

// lacking says in the audit log what a log-in lacks.
func lacking(p ident.Principal) string {
	switch p.Restricted {
	case ident.NeedsFactor:
		return "without a second factor: may only enrol one"
	case ident.NeedsPassword:
		return "may only choose a new password"
	}
	return ""
}

// trusted is what p becomes with a trust, and when its token ends at the latest.
func trusted(ctx context.Context, d *call.Door, p ident.Principal, trust string, ends time.Time) (q ident.Principal, end time.Time, err error) {
	err = d.Store.View(ctx, func(tx store.Tx) (err error) { q, end, err = d.Ident.ByTrust(tx, p, trust); return err })
	if end.IsZero() || !ends.IsZero() && ends.Before(end) {
		end = ends
	}
	return q, end, err
}

// refusal is what a log-in is told that lacks something where it cannot make up for it.
func refusal(p ident.Principal) error {
	if p.Restricted != ident.NeedsFactor {
		return fail.New(fail.Unauthenticated, "%s", fail.From(ident.Unfinished(p)).Public())
	}
	return fail.New(fail.Unauthenticated, "%s may change things here and has no second factor, which your account asks for", p.UserName).
		Then("enrol one in the console, or with awan login and awan mfa enrol, and send its code with the password (method totp); programs log in with an application credential or an access key")
}

func add(methods []string, m string) []string {
	if slices.Contains(methods, m) {
		return methods
	}
	return append(slices.Clone(methods), m)
}

// session is how long a console session may last by its domain's rules, at most life (0 = no wish).
func session(ctx context.Context, d *call.Door, p ident.Principal, life time.Duration) (time.Duration, error) {
	err := d.Store.View(ctx, func(tx store.Tx) error {
		rules, err := d.Ident.Kinds.RulesOf(tx, p.Domain)
		if most := time.Duration(rules.Login.SessionMinutes) * time.Minute; most > 0 && (life <= 0 || life > most) {
			life = most
		}
		return err
	})
	return life, err
}

// put gives a token its scope.
func (s Scope) put(tx store.Tx, i *ident.Service, p *ident.Principal, t *ident.Token) (err error) {
	if s.System {
		if err := i.MarkCloud(tx, p); err != nil {
			return err
		}
		if !p.Cloud() {
			return fail.Field("system", "%s has no role on the system", p.UserName).Then("ask for a token of a project or of your domain")
		}
		t.System = true
		return nil
	}
	if s.Domain != "" && s.Domain != string(p.Domain) && s.Domain != p.DomainName {
		t.Visits, err = visited(tx, i, p, s.Domain)
		return err
	}
	t.Project, t.Unscoped, err = scope(tx, i, p, s)
	return err
}

// visited finds a domain that is not the caller's own and lets it in.
func visited(tx store.Tx, i *ident.Service, p *ident.Principal, domain string) (id.ID, error) {
	none := fail.Field("domain", "a token is for its user's own domain, %s, or for one that lets the user in", p.DomainName)
	row, err := i.Kinds.Domain.Find(tx, "-", domain)
	if err != nil || row == nil {
		return "", cmp.Or(err, error(none))
	}
	there, err := i.Visits(tx, *p, row.ID, "")
	if err == nil && !there {
		err = none
	}
	return row.ID, err
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
	case s.Domain != "", s.Project == "":
		return "", false, nil
	}
	domain := p.Domain
	if err := i.MarkCloud(tx, p); err != nil {
		return "", false, err
	}
	if s.ProjectDomain != "" && s.ProjectDomain != string(domain) && s.ProjectDomain != p.DomainName {
		d, err := i.Kinds.Domain.Find(tx, "-", s.ProjectDomain)
		if err != nil {
			return "", false, err
		}
		if d != nil {
			there, err := i.Visits(tx, *p, d.ID, "")
			if err != nil {
				return "", false, err
			}
			if there || p.Cloud() {
				domain = d.ID
			}
		}
	}
	unknown := fail.Field("project", "there is no project %q in your domain", s.Project)
	if s.ProjectDomain != "" && domain == p.Domain && s.ProjectDomain != string(p.Domain) && s.ProjectDomain != p.DomainName {
		return "", false, unknown
	}
	if pid, ok := id.Parse(s.Project); ok {
		at, err := i.PlaceOf(tx, pid)
		if err != nil {
			return "", false, err
		}
		if at.ID != "" && (at.Domain == p.Domain || p.Cloud()) {
			return at.ID, false, nil
		}
		if there, err := i.Visits(tx, *p, at.Domain, at.ID); err != nil || there {
			return at.ID, false, err
		}
	}
	row, err := i.Kinds.Project.Find(tx, string(domain), s.Project)
	if err != nil {
		return "", false, err
	}
	if row == nil && s.Default {
		return "", true, nil // it was deleted meanwhile
	}
	if row != nil && domain != p.Domain && !p.Cloud() {
		if there, err := i.Visits(tx, *p, domain, row.ID); err != nil || !there {
			return "", false, cmp.Or(err, error(unknown))
		}
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

// Failed audits an attempt to prove who one is for something other than a token, and gives its error back.
func Failed(ctx context.Context, d *call.Door, r Request, action string, err error) error {
	e := entry(r.From, action)
	e.Actor, e.Outcome, e.Reason, e.Domain = "user "+r.User, ledger.Failed, fail.From(err).Public(), domainOf(ctx, d, r)
	if aerr := d.Record(ctx, e); aerr != nil {
		return aerr
	}
	return err
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
