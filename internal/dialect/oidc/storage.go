package oidc

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/federation"
)

// storage gives the library what service/federation keeps.
type storage struct{ s *federation.Service }

// public turns an error into one that the library shows: what the user did wrong, or that the cloud is at fault.
func public(err error, as func() *oidc.Error) error {
	if err == nil {
		return nil
	}
	e := fail.From(err)
	if e.Kind == fail.Internal || e.Kind == fail.Unavailable {
		return oidc.ErrServerError().WithDescription("something went wrong inside the cloud").WithParent(err)
	}
	return as().WithDescription("%s", e.Public()).WithParent(err)
}

func (st storage) CreateAuthRequest(ctx context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	c, err := st.GetClientByClientID(ctx, r.ClientID)
	if err != nil {
		return nil, err
	}
	switch {
	case slices.Contains(r.Prompt, oidc.PromptNone):
		return nil, oidc.ErrInteractionRequired().WithDescription("the user must be asked: leave prompt=none out")
	case r.CodeChallenge != "" && r.CodeChallengeMethod != oidc.CodeChallengeMethodS256:
		return nil, oidc.ErrInvalidRequest().WithDescription("code_challenge_method must be S256")
	case r.CodeChallenge == "" && c.AuthMethod() == oidc.AuthMethodNone:
		return nil, oidc.ErrInvalidRequest().WithDescription("a public client must use PKCE: send code_challenge with method S256")
	}
	a, err := st.s.NewAsk(ctx, federation.Ask{Client: id.ID(r.ClientID), Redirect: r.RedirectURI, State: r.State, Nonce: r.Nonce,
		Challenge: r.CodeChallenge, Mode: string(r.ResponseMode), Scopes: r.Scopes, MaxAge: r.MaxAge,
		Fresh: slices.Contains(r.Prompt, oidc.PromptLogin), Consent: slices.Contains(r.Prompt, oidc.PromptConsent)})
	if err != nil {
		return nil, public(err, oidc.ErrServerError)
	}
	return ask{a}, nil
}

func (st storage) AuthRequestByID(ctx context.Context, askID string) (op.AuthRequest, error) {
	a, err := st.s.AskOf(ctx, askID)
	if err != nil {
		return nil, public(err, oidc.ErrInvalidRequest)
	}
	return ask{a}, nil
}

func (st storage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	a, err := st.s.TakeCode(ctx, code)
	if err != nil {
		return nil, public(err, oidc.ErrInvalidGrant)
	}
	return ask{a}, nil
}

func (st storage) SaveAuthCode(ctx context.Context, askID, code string) error {
	return st.s.SaveCode(ctx, askID, code)
}

// DeleteAuthRequest has nothing to do: taking the code took the request.
func (st storage) DeleteAuthRequest(context.Context, string) error { return nil }

func grantOf(r op.TokenRequest) (federation.Grant, error) {
	switch r := r.(type) {
	case ask:
		return federation.Grant{Client: r.Client, User: r.User, Scopes: r.Scopes, LogIn: r.LogIn, Methods: r.Methods}, nil
	case *refresh:
		g := *r.Grant
		g.Scopes = r.scopes
		return g, nil
	}
	return federation.Grant{}, oidc.ErrUnsupportedGrantType()
}

func (st storage) CreateAccessToken(ctx context.Context, r op.TokenRequest) (string, time.Time, error) {
	g, err := grantOf(r)
	if err != nil {
		return "", time.Time{}, err
	}
	return st.s.NewAccess(ctx, g)
}

func (st storage) CreateAccessAndRefreshTokens(ctx context.Context, r op.TokenRequest, current string) (string, string, time.Time, error) {
	g, err := grantOf(r)
	if err != nil {
		return "", "", time.Time{}, err
	}
	access, again, until, err := st.s.NewPair(ctx, g, current)
	return access, again, until, public(err, oidc.ErrInvalidGrant)
}

func (st storage) TokenRequestByRefreshToken(ctx context.Context, token string) (op.RefreshTokenRequest, error) {
	g, err := st.s.GrantOf(ctx, token, true)
	if err != nil {
		return nil, public(err, oidc.ErrInvalidGrant)
	}
	return &refresh{g, g.Scopes}, nil
}

func (st storage) TerminateSession(ctx context.Context, user, client string) error {
	if user == "" {
		return nil // without an id_token_hint nobody is named, so nobody is logged out
	}
	return st.s.EndAll(ctx, id.ID(user), id.ID(client))
}

func (st storage) RevokeToken(ctx context.Context, token, _, client string) *oidc.Error {
	err := st.s.Revoke(ctx, id.ID(client), token)
	switch {
	case err == nil:
		return nil
	case fail.Is(err, fail.Denied):
		return oidc.ErrInvalidClient().WithDescription("the token is another client's")
	}
	return oidc.ErrServerError().WithParent(err)
}

func (st storage) GetRefreshTokenInfo(ctx context.Context, _, token string) (user, tokenID string, err error) {
	g, err := st.s.GrantOf(ctx, token, true)
	if err != nil {
		return "", "", op.ErrInvalidRefreshToken
	}
	return string(g.User), token, nil
}

func (st storage) GetClientByClientID(ctx context.Context, clientID string) (op.Client, error) {
	c, err := st.client(ctx, clientID)
	if err != nil {
		return nil, public(err, oidc.ErrInvalidClient)
	}
	return client{c}, nil
}

func (st storage) client(ctx context.Context, clientID string) (c *federation.Client, err error) {
	err = st.s.Store.View(ctx, func(tx store.Tx) error {
		c, err = st.s.Client(tx, clientID)
		return err
	})
	return c, err
}

func (st storage) AuthorizeClientIDSecret(ctx context.Context, clientID, secret string) error {
	c, err := st.client(ctx, clientID)
	if err != nil {
		return public(err, oidc.ErrInvalidClient)
	}
	ok, err := st.s.Secret(c, secret)
	if err != nil {
		return public(err, oidc.ErrInvalidClient)
	}
	if !ok {
		return oidc.ErrInvalidClient().WithDescription("the client secret is wrong")
	}
	return nil
}

// SetUserinfoFromScopes is what the library says to leave empty: SetUserinfoFromRequest does it.
func (st storage) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

// SetUserinfoFromRequest fills an ID token.
func (st storage) SetUserinfoFromRequest(ctx context.Context, u *oidc.UserInfo, r op.IDTokenRequest, scopes []string) error {
	return st.userInfo(ctx, u, r.GetSubject(), scopes)
}

func (st storage) userInfo(ctx context.Context, u *oidc.UserInfo, user string, scopes []string) error {
	c, err := st.s.Claims(ctx, id.ID(user), scopes)
	if err != nil {
		return public(err, oidc.ErrInvalidGrant)
	}
	u.Subject = user
	if c.Name != "" {
		u.Name, u.PreferredUsername, u.UpdatedAt = c.Name, c.Name, oidc.FromTime(c.Updated)
		u.AppendClaims("domain_id", string(c.Domain))
		u.AppendClaims("domain_name", c.DomainName)
	}
	u.Email = c.Email // nobody checked that it is theirs, so email_verified is not said
	if c.Groups != nil {
		u.AppendClaims("groups", c.Groups)
	}
	return nil
}

func (st storage) SetUserinfoFromToken(ctx context.Context, u *oidc.UserInfo, tokenID, _, _ string) error {
	g, err := st.s.GrantOf(ctx, tokenID, false)
	if err != nil {
		return err
	}
	return st.userInfo(ctx, u, string(g.User), g.Scopes)
}

// SetIntrospectionFromToken tells a client of a token of its own; of others it learns nothing.
func (st storage) SetIntrospectionFromToken(ctx context.Context, r *oidc.IntrospectionResponse, tokenID, _, clientID string) error {
	g, err := st.s.GrantOf(ctx, tokenID, false)
	if err != nil {
		return err
	}
	if string(g.Client) != clientID {
		return errors.New("the token is another client's")
	}
	u := new(oidc.UserInfo)
	if err := st.userInfo(ctx, u, string(g.User), g.Scopes); err != nil {
		return err
	}
	r.SetUserInfo(u)
	r.Scope, r.ClientID, r.TokenType = g.Scopes, clientID, "Bearer"
	r.Audience = oidc.Audience{clientID}
	r.Expiration, r.IssuedAt = oidc.FromTime(g.Expires), oidc.FromTime(g.Issued)
	return nil
}

func (st storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil //nolint:nilnil // none: access tokens are opaque
}

// GetKeyByIDAndClientID and ValidateJWTProfileScopes belong to a way of logging in that is not offered.
func (st storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, oidc.ErrInvalidClient()
}

func (st storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, oidc.ErrInvalidScope()
}

func (st storage) Health(context.Context) error { return nil }

// key is a signing key as the library sees it.
type key struct{ federation.Key }

func (k key) ID() string                                  { return string(k.Key.ID) }
func (k key) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k key) Algorithm() jose.SignatureAlgorithm          { return jose.RS256 }
func (k key) Use() string                                 { return "sig" }

type (
	signing   struct{ key }
	published struct{ key }
)

func (k signing) Key() any   { return k.key.Private }
func (k published) Key() any { return k.key.Private.Public() }

func (st storage) SigningKey(ctx context.Context) (op.SigningKey, error) {
	keys, err := st.s.Keys(ctx)
	if err != nil {
		return nil, err
	}
	return signing{key{keys[len(keys)-1]}}, nil
}

func (st storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (st storage) KeySet(ctx context.Context) ([]op.Key, error) {
	keys, err := st.s.Keys(ctx)
	out := make([]op.Key, len(keys))
	for i, k := range keys {
		out[i] = published{key{k}}
	}
	return out, err
}
