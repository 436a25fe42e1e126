package oidc

import (
	"net/url"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/awancloud/awan/internal/service/federation"
)

// Scopes that an app may ask for.
var Scopes = []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, "groups", oidc.ScopeOfflineAccess}

// client is an app as the library sees it.
type client struct{ *federation.Client }

func (c client) GetID() string                    { return string(c.ID) }
func (c client) RedirectURIs() []string           { return c.Spec.RedirectURIs }
func (c client) PostLogoutRedirectURIs() []string { return c.Spec.LogoutURIs }
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
}
func (c client) ApplicationType() op.ApplicationType {
	if c.Spec.Public {
		return op.ApplicationTypeUserAgent
	}
	return op.ApplicationTypeWeb
}
func (c client) AuthMethod() oidc.AuthMethod {
	if c.Spec.Public {
		return oidc.AuthMethodNone
	}
	return oidc.AuthMethodBasic
}
func (c client) LoginURL(ask string) string {
	return "/" + Prefix + "/enter?" + url.Values{"id": {ask}}.Encode()
}
func (c client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeBearer }
func (c client) IDTokenLifetime() time.Duration      { return time.Hour }

// DevMode lets a public client return to http: the kind took that for loopback addresses only.
func (c client) DevMode() bool { return true }
func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}
func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}
func (c client) IsScopeAllowed(scope string) bool     { return slices.Contains(Scopes, scope) }
func (c client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c client) ClockSkew() time.Duration             { return 0 }

// ask is a request for a log-in as the library sees it.
type ask struct{ *federation.Ask }

func (a ask) GetID() string                      { return string(a.ID) }
func (a ask) GetACR() string                     { return "" }
func (a ask) GetAMR() []string                   { return a.Methods }
func (a ask) GetAudience() []string              { return []string{string(a.Client)} }
func (a ask) GetAuthTime() time.Time             { return a.LogIn }
func (a ask) GetClientID() string                { return string(a.Client) }
func (a ask) GetNonce() string                   { return a.Nonce }
func (a ask) GetRedirectURI() string             { return a.Redirect }
func (a ask) GetResponseType() oidc.ResponseType { return oidc.ResponseTypeCode }
func (a ask) GetResponseMode() oidc.ResponseMode { return oidc.ResponseMode(a.Mode) }
func (a ask) GetScopes() []string                { return a.Scopes }
func (a ask) GetState() string                   { return a.State }
func (a ask) GetSubject() string                 { return string(a.User) }
func (a ask) Done() bool                         { return a.User != "" }
func (a ask) GetCodeChallenge() *oidc.CodeChallenge {
	if a.Challenge == "" {
		return nil
	}
	return &oidc.CodeChallenge{Challenge: a.Challenge, Method: oidc.CodeChallengeMethodS256}
}

// refresh is an exchange of a refresh token as the library sees it.
type refresh struct {
	*federation.Grant
	scopes []string
}

func (r *refresh) GetAMR() []string            { return r.Methods }
func (r *refresh) GetAudience() []string       { return []string{string(r.Client)} }
func (r *refresh) GetAuthTime() time.Time      { return r.LogIn }
func (r *refresh) GetClientID() string         { return string(r.Client) }
func (r *refresh) GetScopes() []string         { return r.scopes }
func (r *refresh) GetSubject() string          { return string(r.User) }
func (r *refresh) SetCurrentScopes(s []string) { r.scopes = s }
