package federation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/secret"
)

// discovered is what a provider's discovery document said, kept for a while.
type discovered struct {
	provider *oidc.Provider
	until    time.Time
}

const discoveryLife = 10 * time.Minute

// algorithms are the signatures that are believed. HMAC is not among them: its key would be the client's secret.
var algorithms = []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"}

func pool(pem string) (*x509.CertPool, error) {
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM([]byte(pem)) {
		return nil, fail.Field("spec.ca", "holds no certificate in PEM form")
	}
	return p, nil
}

func keySet(raw json.RawMessage) (*oidc.StaticKeySet, error) {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(raw, &set); err != nil || len(set.Keys) == 0 {
		return nil, fail.Field("spec.signing_keys", "is not a JSON Web Key Set with keys").Then(`give {"keys": [{"kty": "RSA", …}]}`)
	}
	out := &oidc.StaticKeySet{}
	for _, k := range set.Keys {
		if !k.IsPublic() || !k.Valid() {
			return nil, fail.Field("spec.signing_keys", "key %q is not a valid public key", k.KeyID).Then("give public keys only")
		}
		out.PublicKeys = append(out.PublicKeys, k.Key)
	}
	return out, nil
}

// client reaches a provider: through its own CA where it names one, and never on to another address.
func (s *Service) client(p *ProviderSpec) (*http.Client, error) {
	c := &http.Client{Timeout: patience, Transport: s.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if p.CA == "" || s.Transport != nil {
		return c, nil
	}
	roots, err := pool(p.CA)
	if err != nil {
		return nil, err
	}
	c.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	return c, nil
}

// discover reads a provider's discovery document.
func (s *Service) discover(ctx context.Context, p *Provider) (*oidc.Provider, context.Context, error) {
	if p.Spec.Issuer == "" || p.Spec.ClientID == "" {
		return nil, ctx, fail.New(fail.Precondition, "identity provider %s lacks its issuer or client_id", p.Name).Then("an administrator of the domain sets them")
	}
	if len(p.Spec.RemoteIDs) > 0 && !slices.Contains(p.Spec.RemoteIDs, p.Spec.Issuer) {
		return nil, ctx, fail.New(fail.Precondition, "issuer %s is not among the remote_ids of identity provider %s", p.Spec.Issuer, p.Name)
	}
	c, err := s.client(&p.Spec)
	if err != nil {
		return nil, ctx, err
	}
	key := fmt.Sprint(p.ID, p.Revision)
	s.mu.Lock()
	d, ok := s.known[key]
	s.mu.Unlock()
	if ok && s.Now().Before(d.until) {
		return d.provider, oidc.ClientContext(ctx, c), nil
	}
	// The provider keeps the context's client for later, so it must not end with this request.
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), c), p.Spec.Issuer)
	if err != nil {
		return nil, ctx, fail.New(fail.Unavailable, "identity provider %s does not answer as it should", p.Name).
			Then("try again; an administrator finds more in the cloud's log").Because(err)
	}
	s.mu.Lock()
	if len(s.known) > 1000 {
		clear(s.known)
	}
	s.known[key] = discovered{found, s.Now().Add(discoveryLife)}
	s.mu.Unlock()
	return found, oidc.ClientContext(ctx, c), nil
}

func (s *Service) secretOf(p *Provider) (string, error) {
	if p.Spec.ClientSecret == "" {
		return "", nil
	}
	return s.Unseal(&p.Meta, "spec", "client_secret", p.Spec.ClientSecret)
}

func (s *Service) oauth(ctx context.Context, p *Provider, callback string) (*oauth2.Config, *oidc.Provider, context.Context, error) {
	op, ctx, err := s.discover(ctx, p)
	if err != nil {
		return nil, nil, ctx, err
	}
	key, err := s.secretOf(p)
	if err != nil {
		return nil, nil, ctx, err
	}
	scopes := p.Spec.Scopes
	if len(scopes) == 0 {
		scopes = []string{"profile", "email"}
	}
	if !slices.Contains(scopes, oidc.ScopeOpenID) {
		scopes = append([]string{oidc.ScopeOpenID}, scopes...)
	}
	return &oauth2.Config{ClientID: p.Spec.ClientID, ClientSecret: key, Endpoint: op.Endpoint(), RedirectURL: callback, Scopes: scopes}, op, ctx, nil
}

// BeginOIDC gives the address at the provider to send a browser to, and the state it must bring back.
func (s *Service) BeginOIDC(ctx context.Context, p *Provider, callback, next string) (to, state string, err error) {
	c, _, ctx, err := s.oauth(ctx, p, callback)
	if err != nil {
		return "", "", err
	}
	w := Way{Provider: p.ID, Nonce: secret.NewToken(), Verifier: oauth2.GenerateVerifier(), Next: next}
	if state, err = s.leave(ctx, w); err != nil {
		return "", "", err
	}
	return c.AuthCodeURL(state, oidc.Nonce(w.Nonce), oauth2.S256ChallengeOption(w.Verifier)), state, nil
}

// EndOIDC turns the code that a browser brought back into who it is.
func (s *Service) EndOIDC(ctx context.Context, p *Provider, w Way, callback, code string) (Known, error) {
	c, op, ctx, err := s.oauth(ctx, p, callback)
	if err != nil {
		return Known{}, err
	}
	t, err := c.Exchange(ctx, code, oauth2.VerifierOption(w.Verifier))
	if err != nil {
		return Known{}, fail.New(fail.Unauthenticated, "identity provider %s refuses its own code", p.Name).Then("begin again on the log-in page").Because(err)
	}
	raw, _ := t.Extra("id_token").(string)
	k, nonce, err := s.verify(ctx, p, raw, op)
	if err != nil {
		return Known{}, err
	}
	if !secret.Equal(nonce, w.Nonce) {
		return Known{}, fail.New(fail.Unauthenticated, "the ID token is of another log-in").Then("begin again on the log-in page")
	}
	s.addUserInfo(ctx, op, oauth2.StaticTokenSource(t), &k)
	return k, nil
}

// addUserInfo adds what the provider tells only at its userinfo endpoint. Without an answer the ID token must do.
func (s *Service) addUserInfo(ctx context.Context, op *oidc.Provider, t oauth2.TokenSource, k *Known) {
	if op.UserInfoEndpoint() == "" {
		return
	}
	info, err := op.UserInfo(ctx, t)
	if err != nil || info.Subject != k.Subject {
		return
	}
	var claims map[string]any
	if info.Claims(&claims) == nil {
		for name, v := range wordsOf(claims) {
			if _, there := k.Words[name]; !there {
				k.Words[name] = v
			}
		}
	}
}

// verify checks an ID token: signature, issuer, audience and time. The audience is checked here: it may be one of several clients.
func (s *Service) verify(ctx context.Context, p *Provider, raw string, op *oidc.Provider) (k Known, nonce string, err error) {
	config := &oidc.Config{SkipClientIDCheck: true, Now: s.Now, SupportedSigningAlgs: algorithms}
	var v *oidc.IDTokenVerifier
	if len(p.Spec.SigningKeys) > 0 && string(p.Spec.SigningKeys) != "null" {
		keys, err := keySet(p.Spec.SigningKeys)
		if err != nil {
			return k, "", err
		}
		v = oidc.NewVerifier(p.Spec.Issuer, keys, config)
	} else {
		if op == nil {
			if op, ctx, err = s.discover(ctx, p); err != nil {
				return k, "", err
			}
		}
		v = op.VerifierContext(ctx, config)
	}
	t, err := v.Verify(ctx, raw)
	if err == nil && !slices.ContainsFunc(append([]string{p.Spec.ClientID}, p.Spec.MoreClientIDs...), func(c string) bool { return slices.Contains(t.Audience, c) }) {
		err = fail.New(fail.Unauthenticated, "it is for %v", t.Audience)
	}
	if err != nil {
		return k, "", fail.New(fail.Unauthenticated, "the ID token of identity provider %s is not valid here", p.Name).
			Then("get a new one there, for client %s", p.Spec.ClientID).Because(err)
	}
	var claims map[string]any
	if err := t.Claims(&claims); err != nil {
		return k, "", fail.Wrap(err, fail.Unauthenticated, "the ID token cannot be read")
	}
	return Known{Provider: p, Subject: t.Subject, Words: wordsOf(claims)}, t.Nonce, nil
}

// ByIDToken believes an ID token that somebody brings.
func (s *Service) ByIDToken(ctx context.Context, p *Provider, raw string) (Known, error) {
	if !p.Spec.OIDC() {
		return Known{}, fail.New(fail.Unauthenticated, "identity provider %s does not speak OpenID Connect", p.Name)
	}
	if p.Spec.Issuer == "" || p.Spec.ClientID == "" {
		return Known{}, fail.New(fail.Unauthenticated, "identity provider %s lacks its issuer or client_id", p.Name)
	}
	k, _, err := s.verify(ctx, p, raw, nil)
	return k, err
}

// ByBearer believes an ID token, or an access token of which the provider itself says that it was given to this cloud:
// one that was given to somebody else's app must not open this door.
func (s *Service) ByBearer(ctx context.Context, p *Provider, token string) (Known, error) {
	if k, err := s.ByIDToken(ctx, p, token); err == nil || strings.Count(token, ".") == 2 && !fail.Is(err, fail.Unauthenticated) {
		return k, err
	}
	c, op, ctx, err := s.oauth(ctx, p, "")
	if err != nil {
		return Known{}, err
	}
	var more struct {
		Introspection string `json:"introspection_endpoint"`
	}
	refused := fail.New(fail.Unauthenticated, "the token is not one that identity provider %s gave to this cloud", p.Name).
		Then("bring an ID token or access token for client %s", p.Spec.ClientID)
	if err := op.Claims(&more); err != nil || more.Introspection == "" {
		return Known{}, refused
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, more.Introspection, strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return Known{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret))
	hc, err := s.client(&p.Spec)
	if err != nil {
		return Known{}, err
	}
	claims, err := introspect(hc, req)
	if err != nil {
		return Known{}, fail.New(fail.Unavailable, "identity provider %s does not answer as it should", p.Name).Then("try again").Because(err)
	}
	active, _ := claims["active"].(bool)
	words := wordsOf(claims)
	if sub := words["sub"]; !active || len(sub) != 1 || !slices.Contains(words["client_id"], c.ClientID) {
		return Known{}, refused
	}
	k := Known{Provider: p, Subject: words["sub"][0], Words: words}
	s.addUserInfo(ctx, op, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token}), &k)
	return k, nil
}

func introspect(c *http.Client, req *http.Request) (claims map[string]any, err error) {
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("introspection: %s", resp.Status)
	}
	return claims, json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 1<<20)).Decode(&claims)
}

// wordsOf flattens claims: lists become several values, objects their JSON.
func wordsOf(claims map[string]any) Words {
	w := Words{}
	for name, v := range claims {
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, e := range list {
			switch e := e.(type) {
			case nil:
			case string:
				w[name] = append(w[name], e)
			default:
				if b, err := json.Marshal(e); err == nil {
					w[name] = append(w[name], string(b))
				}
			}
		}
	}
	return w
}
