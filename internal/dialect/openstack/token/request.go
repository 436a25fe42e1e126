// Package token holds the Keystone v3 wire forms of identity: token requests, tokens with their catalog, version
// documents, domains, projects, users, and errors (https://docs.openstack.org/api-ref/identity/v3/).
//
// It is pure: bytes in, values out, and back. Who may have a token is decided by kernel/ident. It may import the
// standard library and kernel/fail.
package token

import (
	"bytes"
	"io"
	"net/url"
	"slices"
	"strings"

	json "github.com/go-json-experiment/json/v1" // the same meaning as encoding/json, in half the time

	"github.com/awancloud/awan/internal/kernel/fail"
)

// MaxRequest bounds a token request, in bytes.
const MaxRequest = 64 << 10

const maxName = 255 // of a name or id, as in Keystone's own schema

// Method is a way to prove who one is.
type Method string

// The methods known here.
const (
	ByPassword   Method = "password"
	ByToken      Method = "token"
	ByCredential Method = "application_credential"
	ByCode       Method = "totp"        // beside the password: the second factor's code
	ByOAuth      Method = "oauth1"      // by a consumer's signature in the header Authorization, alone
	ByAgency     Method = "assume_role" // Huawei's: by the caller's own token, or signature, and an agency
)

// Request is a checked token request: exactly the parts its methods need are there.
type Request struct {
	Methods    []Method // without repetition, in the client's order
	Password   *Password
	Token      string
	Credential *Credential
	Code       string
	Agency     *Agency
	Scope      Scope
}

// Agency is what the caller, who is logged in already, wants to act through, for Seconds (0 = as long as it may).
type Agency struct {
	Name    string
	Domain  Domain
	Seconds int64
}

// Password proves a user by password.
type Password struct {
	User     User
	Password string
}

// Credential proves a user by an application credential: its id, or its name and its user.
type Credential struct {
	ID, Name, Secret string
	User             User
}

// User names a user: by ID, or by Name within Domain.
type User struct {
	ID, Name string
	Domain   Domain
}

// Domain names a domain by ID or Name; one of them is set, or neither where no domain is meant.
type Domain struct{ ID, Name string }

// Project names a project: by ID, or by Name within Domain.
type Project struct {
	ID, Name string
	Domain   Domain
}

// ScopeKind tells what a token is wanted for.
type ScopeKind int

// The scopes. DefaultScope is what a request without scope means: the user's default project, or nothing.
const (
	DefaultScope ScopeKind = iota
	Unscoped
	ProjectScope
	DomainScope
	SystemScope
	TrustScope
)

// Scope is what the token is wanted for; Project or Domain is set as Kind says.
type Scope struct {
	Kind    ScopeKind
	Project Project
	Domain  Domain
	Trust   string
}

// The wire's forms. Pointers tell absent from empty.
type (
	wireDomain struct {
		ID   *string `json:"id"`
		Name *string `json:"name"`
	}
	wireUser struct {
		ID       *string     `json:"id"`
		Name     *string     `json:"name"`
		Domain   *wireDomain `json:"domain"`
		Password *string     `json:"password"`
	}
	wireProject struct {
		ID     *string     `json:"id"`
		Name   *string     `json:"name"`
		Domain *wireDomain `json:"domain"`
	}
	wireCredential struct {
		ID     *string   `json:"id"`
		Name   *string   `json:"name"`
		Secret *string   `json:"secret"`
		User   *wireUser `json:"user"`
	}
	wireIdentity struct {
		Methods  []string `json:"methods"`
		Password *struct {
			User *wireUser `json:"user"`
		} `json:"password"`
		Token *struct {
			ID *string `json:"id"`
		} `json:"token"`
		Credential *wireCredential `json:"application_credential"`
		Code       *struct {
			User *struct {
				wireUser
				Passcode *string `json:"passcode"`
			} `json:"user"`
		} `json:"totp"`
		Agency *struct {
			Name       *string `json:"agency_name"`
			Former     *string `json:"xrole_name"` // what the field was called before
			DomainID   *string `json:"domain_id"`
			DomainName *string `json:"domain_name"`
			Seconds    int64   `json:"duration_seconds"`
		} `json:"assume_role"`
	}
	wireRequest struct {
		Auth *struct {
			Identity *wireIdentity   `json:"identity"`
			Scope    json.RawMessage `json:"scope"`
		} `json:"auth"`
	}
)

// Parse reads the body of POST /v3/auth/tokens. Its errors are fail.Invalid and name the field to correct; none repeats
// a password.
func Parse(body []byte) (*Request, error) {
	if len(body) > MaxRequest {
		return nil, fail.New(fail.TooLarge, "a token request has at most %d bytes", MaxRequest)
	}
	var wire wireRequest
	if err := decode(body, &wire); err != nil {
		return nil, err
	}
	if wire.Auth == nil {
		return nil, missing("auth")
	}
	if wire.Auth.Identity == nil {
		return nil, missing("auth.identity")
	}
	req := &Request{}
	if err := req.identity(wire.Auth.Identity); err != nil {
		return nil, err
	}
	var err error
	if req.Scope, err = scope(wire.Auth.Scope); err != nil {
		return nil, err
	}
	if len(req.Methods) == 1 && req.Methods[0] == ByCredential && req.Scope.Kind != DefaultScope {
		return nil, fail.Field("auth.scope", "an application credential has the scope it was made with").Then("leave auth.scope out")
	}
	return req, nil
}

func decode(body []byte, into any) error {
	if json.Unmarshal(body, into) == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body)) // it tells more of what is wrong
	if err := d.Decode(into); err != nil {
		return fail.New(fail.Invalid, "the body is not a token request in JSON").
			Then(`send {"auth": {"identity": {"methods": ["password"], …}}}`).Because(err)
	}
	if _, err := d.Token(); err != io.EOF { //nolint:errorlint // Decoder gives io.EOF itself
		return fail.New(fail.Invalid, "the body goes on after its JSON value")
	}
	return nil
}

func (req *Request) identity(w *wireIdentity) error {
	if len(w.Methods) == 0 {
		return missing("auth.identity.methods").Then("name one of password, token, application_credential")
	}
	for _, name := range w.Methods {
		m := Method(name)
		if slices.Contains(req.Methods, m) {
			continue
		}
		var err error
		switch m {
		case ByPassword:
			err = req.password(w)
		case ByToken:
			err = req.token(w)
		case ByCredential:
			err = req.credential(w)
		case ByCode:
			err = req.code(w)
		case ByAgency:
			err = req.agency(w)
		case ByOAuth:
			if len(w.Methods) != 1 {
				err = fail.Field("auth.identity.methods", "oauth1 stands alone")
			}
		default:
			err = fail.Field("auth.identity.methods", "the method %.40q is not known here", name).
				Then("use password, totp beside it, token, application_credential, oauth1 or assume_role")
		}
		if err != nil {
			return err
		}
		req.Methods = append(req.Methods, m)
	}
	return nil
}

func (req *Request) password(w *wireIdentity) error {
	const at = "auth.identity.password"
	if w.Password == nil || w.Password.User == nil {
		return missing(at + ".user")
	}
	user, err := userOf(at+".user", w.Password.User)
	if err != nil {
		return err
	}
	if w.Password.User.Password == nil {
		return missing(at + ".user.password")
	}
	req.Password = &Password{User: user, Password: *w.Password.User.Password}
	return nil
}

func (req *Request) token(w *wireIdentity) error {
	const at = "auth.identity.token.id"
	if w.Token == nil || w.Token.ID == nil || *w.Token.ID == "" {
		return missing(at)
	}
	req.Token = *w.Token.ID
	return nil
}

func (req *Request) credential(w *wireIdentity) error {
	const at = "auth.identity.application_credential"
	c := w.Credential
	switch {
	case c == nil:
		return missing(at)
	case c.Secret == nil || *c.Secret == "":
		return missing(at + ".secret")
	}
	req.Credential = &Credential{Secret: *c.Secret}
	var err error
	if c.ID != nil {
		req.Credential.ID, err = word(at+".id", c.ID)
		return err
	}
	if req.Credential.Name, err = word(at+".name", c.Name); err != nil {
		return err
	}
	if c.User == nil {
		return missing(at + ".user").Then("give the credential's id, or its name and its user")
	}
	req.Credential.User, err = userOf(at+".user", c.User)
	return err
}

// code reads the second factor's code, which goes with the password of the same user.
func (req *Request) code(w *wireIdentity) error {
	const at = "auth.identity.totp.user"
	if !slices.Contains(w.Methods, string(ByPassword)) {
		return fail.Field("auth.identity.methods", "totp alone is no log-in").Then("name password beside it")
	}
	if w.Code == nil || w.Code.User == nil || w.Code.User.Passcode == nil || *w.Code.User.Passcode == "" {
		return missing(at + ".passcode")
	}
	u, err := userOf(at, &w.Code.User.wireUser)
	if err != nil {
		return err
	}
	if w.Password != nil && w.Password.User != nil {
		if p, err := userOf(at, w.Password.User); err == nil && (p.ID != "" && u.ID != "" && p.ID != u.ID || p.Name != "" && u.Name != "" && p.Name != u.Name) {
			return fail.Field(at, "is another user than the password's")
		}
	}
	req.Code = *w.Code.User.Passcode
	return nil
}

func (req *Request) agency(w *wireIdentity) error {
	const at = "auth.identity.assume_role"
	if len(w.Methods) != 1 {
		return fail.Field("auth.identity.methods", "assume_role stands alone").Then("send the token of who assumes the agency as X-Auth-Token")
	}
	a := w.Agency
	if a == nil {
		return missing(at)
	}
	if a.Name == nil {
		a.Name = a.Former
	}
	name, err := word(at+".agency_name", a.Name)
	if err != nil {
		return err
	}
	req.Agency = &Agency{Name: name, Seconds: a.Seconds}
	if a.Seconds < 0 {
		return fail.Field(at+".duration_seconds", "it is below zero")
	}
	if a.DomainID == nil && a.DomainName == nil {
		return missing(at + ".domain_name").Then("say whose agency it is: domain_name or domain_id")
	}
	req.Agency.Domain, err = domainOf(at, &wireDomain{ID: a.DomainID, Name: a.DomainName})
	return err
}

func userOf(at string, w *wireUser) (User, error) {
	var u User
	var err error
	if w.ID != nil {
		u.ID, err = word(at+".id", w.ID)
		return u, err
	}
	if u.Name, err = word(at+".name", w.Name); err != nil {
		return u, err
	}
	u.Domain, err = domainOf(at+".domain", w.Domain)
	return u, err
}

func domainOf(at string, w *wireDomain) (Domain, error) {
	switch {
	case w == nil:
		return Domain{}, missing(at).Then("a name is unique within its domain only: give the domain's id or name, or use the id instead of the name")
	case w.ID != nil:
		id, err := word(at+".id", w.ID)
		return Domain{ID: id}, err
	}
	name, err := word(at+".name", w.Name)
	return Domain{Name: name}, err
}

// scope reads the scope, which is absent, the word "unscoped", or an object with exactly one kind in it.
func scope(raw json.RawMessage) (Scope, error) {
	const at = "auth.scope"
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return Scope{}, nil
	}
	if raw[0] == '"' {
		if string(raw) == `"unscoped"` {
			return Scope{Kind: Unscoped}, nil
		}
		return Scope{}, fail.Field(at, `the only scope in one word is "unscoped"`)
	}
	var kinds map[string]json.RawMessage
	if err := json.Unmarshal(raw, &kinds); err != nil || len(kinds) != 1 {
		return Scope{}, fail.Field(at, "a scope is exactly one of project, domain, system, OS-TRUST:trust").Because(err)
	}
	for kind, value := range kinds {
		switch kind {
		case "project":
			return projectScope(at+".project", value)
		case "domain":
			var w wireDomain
			if err := json.Unmarshal(value, &w); err != nil {
				return Scope{}, fail.Field(at+".domain", `want {"id": …} or {"name": …}`).Because(err)
			}
			d, err := domainOf(at+".domain", &w)
			return Scope{Kind: DomainScope, Domain: d}, err
		case "system":
			var w struct {
				All *bool `json:"all"`
			}
			if err := json.Unmarshal(value, &w); err != nil || w.All == nil || !*w.All {
				return Scope{}, fail.Field(at+".system", `the only scope on the system is {"all": true}`)
			}
			return Scope{Kind: SystemScope}, nil
		case "OS-TRUST:trust":
			var w struct {
				ID *string `json:"id"`
			}
			if err := json.Unmarshal(value, &w); err != nil {
				return Scope{}, fail.Field(at+".OS-TRUST:trust", `want {"id": …}`).Because(err)
			}
			trust, err := word(at+".OS-TRUST:trust.id", w.ID)
			return Scope{Kind: TrustScope, Trust: trust}, err
		case "unscoped":
			return Scope{Kind: Unscoped}, nil
		}
	}
	return Scope{}, fail.Field(at, "the scope is neither project nor domain nor system")
}

func projectScope(at string, raw json.RawMessage) (Scope, error) {
	var w wireProject
	if err := json.Unmarshal(raw, &w); err != nil {
		return Scope{}, fail.Field(at, `want {"id": …} or {"name": …, "domain": …}`).Because(err)
	}
	s := Scope{Kind: ProjectScope}
	var err error
	if w.ID != nil {
		s.Project.ID, err = word(at+".id", w.ID)
		return s, err
	}
	if s.Project.Name, err = word(at+".name", w.Name); err != nil {
		return s, err
	}
	// Huawei's clients may name a project without its domain: the user's own is meant.
	if w.Domain != nil {
		s.Project.Domain, err = domainOf(at+".domain", w.Domain)
	}
	return s, err
}

// word checks an id or a name.
func word(at string, s *string) (string, error) {
	switch {
	case s == nil || *s == "":
		return "", missing(at)
	case len(*s) > maxName:
		return "", fail.Field(at, "it has over %d bytes", maxName)
	case strings.ContainsFunc(*s, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\uFFFD' }):
		return "", fail.Field(at, "it holds control characters")
	}
	return *s, nil
}

func missing(field string) *fail.Error { return fail.Field(field, "it is missing or empty") }

// WantsCatalog tells whether the query of a token request leaves the catalog in: "nocatalog" takes it out, whatever
// its value but a plain no.
func WantsCatalog(query url.Values) bool {
	if !query.Has("nocatalog") {
		return true
	}
	switch strings.ToLower(query.Get("nocatalog")) {
	case "false", "0", "no":
		return true
	}
	return false
}
