package keystone

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

func (a *API) tokenRoutes() []route {
	return []route{
		{Method: "GET", Path: "/", Open: true, Do: versions},
		{Method: "GET", Path: "/v3", Open: true, Do: version},
		{Method: "POST", Path: "/v3/auth/tokens", Open: true, Do: issue},
		{Method: "GET", Path: "/v3/auth/tokens", Incomplete: true, Do: validate},
		{Method: "DELETE", Path: "/v3/auth/tokens", Incomplete: true, Do: revoke},
		{Method: "GET", Path: "/v3/auth/catalog", Do: catalog},
		{Method: "GET", Path: "/v3/auth/projects", Do: ownProjects},
		{Method: "GET", Path: "/v3/auth/domains", Do: ownDomains},
		{Method: "GET", Path: "/v3/auth/system", Do: ownSystem},
	}
}

func versions(x *exchange) error {
	token.WriteVersions(x.W, token.Keystone(x.API.Base(x.R)+"/v3/"))
	return nil
}

func version(x *exchange) error {
	token.WriteVersion(x.W, token.Keystone(x.API.Base(x.R)+"/v3/"))
	return nil
}

// issue gives out a token.
func issue(x *exchange) error {
	body, err := io.ReadAll(http.MaxBytesReader(x.W, x.R.Body, token.MaxRequest))
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return fail.New(fail.TooLarge, "a token request has at most %d bytes", token.MaxRequest)
	case err != nil:
		return fail.Wrap(err, fail.Invalid, "the body could not be read to its end")
	}
	in, err := token.Parse(body)
	if err != nil {
		return err
	}
	c := x.Call
	r := login.Request{From: login.From{Source: c.Source, Agent: c.Agent, Dialect: c.Dialect, RequestID: c.RequestID}, Token: in.Token, Scope: scopeOf(in.Scope), Whole: true}
	if p := in.Password; p != nil {
		r.Domain, r.User, r.Password = one(p.User.Domain.ID, p.User.Domain.Name), one(p.User.ID, p.User.Name), p.Password
	}
	r.Code = in.Code
	if a := in.Agency; a != nil {
		if x.Who, err = x.API.Auth.Principal(x.R); err != nil {
			return err
		}
		if x.Who.Nobody() {
			return fail.New(fail.Unauthenticated, "assume_role needs to know who assumes the agency").Then("send an X-Auth-Token, or sign the request")
		}
		r.Principal, r.Life = &x.Who, time.Duration(a.Seconds)*time.Second
		r.Agency = login.Agency{Domain: x.API.domainNamed(x.R.Context(), one(a.Domain.ID, a.Domain.Name)), Name: a.Name}
	}
	if slices.Contains(in.Methods, token.ByOAuth) {
		if r.Principal, err = x.signedIn(); err != nil {
			return err
		}
		r.Methods = []string{string(token.ByOAuth)}
	}
	if k := in.Credential; k != nil {
		r.Credential, r.Secret = one(k.ID, k.Name), k.Secret
		r.Domain, r.User = one(k.User.Domain.ID, k.User.Domain.Name), one(k.User.ID, k.User.Name)
	}
	for _, d := range []*string{&r.Domain, &r.Scope.Domain, &r.Scope.ProjectDomain} {
		*d = x.API.domainNamed(x.R.Context(), *d)
	}
	s, err := login.In(x.R.Context(), x.API.Door, r)
	if e := fail.From(err); e != nil && e.Kind == fail.Invalid && e.Field != "" {
		err = fail.New(fail.Unauthenticated, "%s", e.Message).Because(err) // a scope one cannot have is no log-in, in Keystone's terms
	}
	if err != nil {
		return err
	}
	view, err := x.tokenView(s.Principal, s.Token, token.WantsCatalog(x.Queries()))
	if err != nil {
		return err
	}
	token.WriteToken(x.W, http.StatusCreated, s.Text, view)
	return nil
}

func one(id, name string) string {
	if id != "" {
		return id
	}
	return name
}

func scopeOf(s token.Scope) login.Scope {
	switch s.Kind {
	case token.Unscoped:
		return login.Scope{Unscoped: true}
	case token.ProjectScope:
		return login.Scope{Project: one(s.Project.ID, s.Project.Name), ProjectDomain: one(s.Project.Domain.ID, s.Project.Domain.Name)}
	case token.TrustScope:
		return login.Scope{Trust: s.Trust}
	case token.SystemScope:
		return login.Scope{System: true}
	case token.DomainScope:
		return login.Scope{Domain: one(s.Domain.ID, s.Domain.Name)}
	}
	return login.Scope{Default: true}
}

// tokenView is what a token says.
func (x *exchange) tokenView(p ident.Principal, t ident.Token, withCatalog bool) (token.Token, error) {
	v := token.Token{AuditIDs: []string{t.AuditID}, Issued: token.Time(t.Issued), Expires: token.Time(t.Expires),
		User: token.TokenUser{ScopedRef: token.ScopedRef{ID: string(p.User), Name: p.UserName, Domain: x.domainRef(p.Domain, p.DomainName)}}}
	for _, m := range t.Methods {
		v.Methods = append(v.Methods, token.Method(m))
	}
	if p.Agency != "" {
		v.Assumed = &token.Assumed{User: token.ScopedRef{ID: string(p.By.User), Name: p.By.Name, Domain: token.Ref{ID: string(p.By.Domain), Name: p.By.DomainName}}}
	}
	if p.Trust != "" {
		trustor, trustee, impersonates := p.Parties()
		v.Trust = &token.Trust{ID: string(p.Trust), Impersonation: impersonates, Trustor: token.ID{ID: string(trustor)}, Trustee: token.ID{ID: string(trustee)}}
	}
	err := x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error { // a token's own scope: part of authentication
		i, domain := x.API.Door.Ident, p.Domain
		if f := x.API.Federation; f != nil && slices.Contains(t.Methods, "mapped") {
			session, provider, err := f.SessionOf(tx, p.Domain, p.User)
			if err != nil {
				return err
			}
			if session != nil && provider != nil {
				v.User.Federation = x.federationView(provider, p.Groups)
			}
		}
		if t.Application != "" {
			row, err := x.API.Kinds.Credential.Get(tx, t.Application)
			if err != nil {
				return err
			}
			if row != nil && row.Spec.Consumer != "" {
				v.OAuth = &token.OAuth{AccessToken: string(row.ID), Consumer: row.Spec.Consumer}
			} else if row != nil {
				v.Credential = confined(row, p)
			}
		}
		switch {
		case p.Restricted != "" && p.Restricted != ident.OnlyRequests:
			return nil // it may do nothing yet
		case t.System:
			roles, err := i.SystemRoles(tx, p)
			v.System, v.Roles = &token.System{All: true}, refs(roles)
			return err
		case t.Project != "":
			at, err := i.PlaceOf(tx, t.Project)
			if err != nil {
				return err
			}
			if at.ID == "" {
				return fail.New(fail.Unauthenticated, "the project of this token is no more").Then("ask for a token of another project")
			}
			v.Project = &token.ScopedRef{ID: string(at.ID), Name: at.Name, Domain: x.domainRef(at.Domain, at.DomainName)}
			no := false
			v.IsDomain, domain = &no, at.Domain
		case t.Unscoped:
			return nil
		case t.Visits != "":
			row, err := x.API.Kinds.Domain.Get(tx, t.Visits)
			if err != nil {
				return err
			}
			if row == nil {
				return fail.New(fail.Unauthenticated, "the domain of this token is no more").Then("ask for a token of another domain")
			}
			there := x.domainRef(row.ID, row.Name)
			v.Domain, domain = &there, row.ID
		default:
			own := x.domainRef(p.Domain, p.DomainName)
			v.Domain = &own
		}
		roles, err := i.Roles(tx, p, domain, t.Project)
		v.Roles = refs(roles)
		return err
	})
	if err == nil && withCatalog && !t.Unscoped && (p.Restricted == "" || p.Restricted == ident.OnlyRequests) {
		v.Written, err = x.writtenCatalog(t.Project)
	}
	return v, err
}

// confined tells services that check a token which credential it is of, and to which requests they must keep it.
func confined(row *CredentialRow, p ident.Principal) *token.Confined {
	c := &token.Confined{ID: string(row.ID), Name: row.Name, Restricted: !row.Spec.Manages}
	for _, r := range p.Requests {
		c.Rules = append(c.Rules, token.Rule{Service: r.Service, Method: r.Method, Path: r.Path})
	}
	return c
}

func refs(roles []ident.Role) (out []token.Ref) {
	for _, r := range roles {
		out = append(out, token.Ref{ID: string(r.ID), Name: r.Name})
	}
	return out
}

// subject reads the token that a request is about, and whose it is. Its own user may do all with it; others must be
// allowed verb on that user.
func (x *exchange) subject(verb string) (text string, p ident.Principal, t ident.Token, err error) {
	text = x.R.Header.Get(token.SubjectHeader)
	if text == "" {
		return "", p, t, fail.Field(token.SubjectHeader, "the header is missing").Then("say which token is meant")
	}
	p, t, err = x.API.Door.Ident.ByToken(x.R.Context(), text)
	if fail.Is(err, fail.Unauthenticated) {
		return "", p, t, fail.New(fail.NotFound, "the token in %s is unknown, revoked or expired", token.SubjectHeader)
	}
	if err != nil || p.User == x.Who.User {
		return text, p, t, err
	}
	c := x.Call
	c.Domain = string(p.Domain)
	if _, _, err = x.API.Door.Permit(x.R.Context(), &c, x.API.Kinds.User.D, verb, p.UserName); fail.Is(err, fail.NotFound) {
		err = fail.New(fail.NotFound, "the token in %s is unknown, revoked or expired", token.SubjectHeader)
	}
	return text, p, t, err
}

// validate tells what a token says.
func validate(x *exchange) error {
	text, p, t, err := x.subject(call.Get)
	if err != nil {
		return err
	}
	v, err := x.tokenView(p, t, token.WantsCatalog(x.Queries()))
	if err != nil {
		return err
	}
	token.WriteToken(x.W, http.StatusOK, text, v)
	return nil
}

// revoke ends a token.
func revoke(x *exchange) error {
	text, p, _, err := x.subject(call.Update)
	if err != nil {
		return err
	}
	c := x.Call
	owner := &kind.Meta{Kind: x.API.Kinds.User.D.FullName(), Domain: p.Domain, ID: p.User, Name: p.UserName}
	f := login.From{Source: c.Source, Agent: c.Agent, Dialect: c.Dialect, RequestID: c.RequestID}
	if err := login.Out(x.R.Context(), x.API.Door, x.Who, text, owner, f); err != nil {
		return err
	}
	return x.NoContent()
}

// catalog tells where the services are.
func catalog(x *exchange) error {
	all, err := x.services(x.Who.Project)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"catalog": all, "links": x.Self("/v3/auth/catalog")})
	return nil
}

// ownProjects lists the projects that the caller may have a token for: part of logging in, so no policy is asked.
func ownProjects(x *exchange) error { return x.projectsOf(x.Who) }

func (x *exchange) projectsOf(p ident.Principal) error {
	var items []any
	_ = x.domainID("") // looked up before the transaction, not in it
	err := x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error {
		rows, err := x.API.Door.Ident.Projects(tx, p)
		for _, row := range rows {
			if x.fits(&row.Meta, row.Spec.Disabled) {
				items = append(items, ProjectView(&x.Exchange, row, x.domainID(row.Domain)))
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	token.WriteList(x.W, "projects", items, token.Links{Self: x.Self(x.R.URL.Path).Self})
	return nil
}

// ownDomains lists the caller's domain, and those that let it in.
func ownDomains(x *exchange) error {
	var items []any
	_ = x.domainID("")
	err := x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error {
		items = nil
		abroad, err := x.API.Door.Ident.Visited(tx, x.Who)
		for _, d := range append([]id.ID{x.Who.Domain}, abroad...) {
			row, err := x.API.Kinds.Domain.Get(tx, d)
			if err != nil {
				return err
			}
			if row != nil {
				items = append(items, x.domainView(row))
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	token.WriteList(x.W, "domains", items, token.Links{Self: x.Self("/v3/auth/domains").Self})
	return nil
}

// ownSystem tells whether the caller may have a token for the system.
func ownSystem(x *exchange) error {
	system := []map[string]bool{}
	err := x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error { return x.API.Door.Ident.MarkCloud(tx, &x.Who) })
	if err != nil {
		return err
	}
	if x.Who.Cloud() {
		system = append(system, map[string]bool{"all": true})
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"system": system, "links": x.Self("/v3/auth/system")})
	return nil
}
