package federation_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/service/federation"
	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// app is a tenant's app with the log-in of a cloud: go-oidc and x/oauth2, as any Go program would use them.
type app struct {
	*httptest.Server
	t        *testing.T
	c        *cloudtest.Cloud
	ctx      context.Context
	config   oauth2.Config
	provider *oidc.Provider
	verifier string
	got      url.Values // what the browser brought back
}

func startApp(t *testing.T, c *cloudtest.Cloud, public bool) *app {
	t.Helper()
	a := &app{t: t, c: c, verifier: oauth2.GenerateVerifier()}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.got = r.URL.Query()
		_, _ = io.WriteString(w, "back in the app")
	}))
	t.Cleanup(a.Close)
	name := "shop"
	if public {
		name = "phone"
	}
	row := create(t, c, c.Federation.Clients.D, name, fmt.Sprintf(`{"title":"The Shop","redirect_uris":[%q],"logout_uris":[%q],"public":%v}`,
		a.URL+"/callback", a.URL+"/bye", public)).(*federation.Client)
	if public == (row.Status.Secret != "") {
		t.Fatalf("public %v, secret %q", public, row.Status.Secret)
	}
	a.ctx = oidc.ClientContext(t.Context(), open(t, trust(t, c)).Client)
	var err error
	if a.provider, err = oidc.NewProvider(a.ctx, c.URL+"/oidc"); err != nil {
		t.Fatal(err)
	}
	a.config = oauth2.Config{ClientID: string(row.ID), ClientSecret: row.Status.Secret, Endpoint: a.provider.Endpoint(), RedirectURL: a.URL + "/callback",
		Scopes: []string{"openid", "profile", "email", "groups", "offline_access"}}
	return a
}

// authorize is where the app sends the browser.
func (a *app) authorize(options ...oauth2.AuthCodeOption) string {
	return a.config.AuthCodeURL("the-state", append([]oauth2.AuthCodeOption{oidc.Nonce("the-nonce"), oauth2.S256ChallengeOption(a.verifier)}, options...)...)
}

func (a *app) exchange() (*oauth2.Token, error) {
	return a.config.Exchange(a.ctx, a.got.Get("code"), oauth2.VerifierOption(a.verifier))
}

// post sends a form to the provider as the app and gives the answer.
func (a *app) post(path string, v url.Values) (int, map[string]any) {
	a.t.Helper()
	req, err := http.NewRequest("POST", a.c.URL+"/oidc/"+path, strings.NewReader(v.Encode()))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(a.config.ClientID, a.config.ClientSecret)
	resp, err := open(a.t, trust(a.t, a.c)).Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var out map[string]any
	_ = json.NewDecoder(resp.Body).Decode(&out)
	return resp.StatusCode, out
}

func people(t *testing.T, c *cloudtest.Cloud) {
	t.Helper()
	create(t, c, c.Ident.Kinds.Group.D, "crew", `{}`)
	create(t, c, c.Ident.Kinds.User.D, "alice", `{"password":"correct-horse","email":"alice@example.org","groups":["crew"]}`)
}

func TestAppsUseTheLogIn(t *testing.T) {
	c := cloudtest.Start(t)
	people(t, c)
	a := startApp(t, c, false)
	b := open(t, trust(t, c))

	p := b.agree(b.logIn(b.get(a.authorize()), "alice", "correct-horse"))
	if p.body != "back in the app" || a.got.Get("state") != "the-state" {
		t.Fatalf("%d %s\n%s", p.status, p.url, p.body)
	}
	tok, err := a.exchange()
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := tok.Extra("id_token").(string)
	idToken, err := a.provider.Verifier(&oidc.Config{ClientID: a.config.ClientID, Now: c.Clock.Now}).Verify(a.ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Name, Email string
		Groups      []string
	}
	if err := idToken.Claims(&claims); err != nil || idToken.Nonce != "the-nonce" || claims.Name != "alice" || claims.Email != "alice@example.org" || !slices.Equal(claims.Groups, []string{"crew"}) {
		t.Fatalf("%v %+v %+v", err, idToken, claims)
	}
	if err := idToken.VerifyAccessToken(tok.AccessToken); err != nil {
		t.Error(err)
	}
	info, err := a.provider.UserInfo(a.ctx, oauth2.StaticTokenSource(tok))
	if err != nil || info.Subject != idToken.Subject || info.Email != "alice@example.org" {
		t.Fatalf("%v %+v", err, info)
	}
	if status, v := a.post("introspect", url.Values{"token": {tok.AccessToken}}); status != 200 || v["active"] != true || v["client_id"] != a.config.ClientID || v["sub"] != idToken.Subject {
		t.Errorf("introspection: %d %v", status, v)
	}
	if es := audited(t, c, "federation:oidc-client:log-in"); len(es) != 1 || es[0].Name != "shop" || es[0].Actor != "user alice" {
		t.Errorf("audit: %+v", es)
	}

	t.Run("a code is good once", func(t *testing.T) {
		if _, err := a.exchange(); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
			t.Errorf("%v", err)
		}
	})
	t.Run("who agreed is not asked again, unless the app wants it", func(t *testing.T) {
		if p := b.get(a.authorize()); p.body != "back in the app" || a.got.Get("code") == "" {
			t.Fatalf("%d %s\n%s", p.status, p.url, p.body)
		}
		b.agree(b.get(a.authorize(oauth2.SetAuthURLParam("prompt", "consent"))))
		c.Clock.Add(time.Second)
		if p := b.get(a.authorize(oauth2.SetAuthURLParam("prompt", "login"))); p.url.Path != "/login" {
			t.Errorf("prompt=login: %s", p.url)
		}
		b.logIn(b.get(a.authorize()), "alice", "correct-horse")
	})
	t.Run("a refresh token takes the place of the one before; used twice, all end", func(t *testing.T) {
		again := func(refresh string) (*oauth2.Token, error) {
			return a.config.TokenSource(a.ctx, &oauth2.Token{RefreshToken: refresh, Expiry: time.Unix(1, 0)}).Token()
		}
		second, err := again(tok.RefreshToken)
		if err != nil || second.RefreshToken == tok.RefreshToken {
			t.Fatalf("%v", err)
		}
		if _, err := again(tok.RefreshToken); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
			t.Errorf("the old one again: %v", err)
		}
		if _, err := again(second.RefreshToken); err == nil {
			t.Error("the new one outlives the theft")
		}
		if _, err := a.provider.UserInfo(a.ctx, oauth2.StaticTokenSource(second)); err == nil {
			t.Error("the access token outlives the theft")
		}
	})
	t.Run("revocation and log-out end tokens", func(t *testing.T) {
		b.get(a.authorize())
		tok, err := a.exchange()
		if err != nil {
			t.Fatal(err)
		}
		if status, v := a.post("revoke", url.Values{"token": {tok.AccessToken}}); status != 200 {
			t.Errorf("%d %v", status, v)
		}
		if status, v := a.post("introspect", url.Values{"token": {tok.AccessToken}}); status != 200 || v["active"] == true {
			t.Errorf("%d %v", status, v)
		}
		hint, _ := tok.Extra("id_token").(string)
		p := b.get(c.URL + "/oidc/logout?" + url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {a.URL + "/bye"}, "state": {"s"}}.Encode())
		if p.body != "back in the app" || p.url.Path != "/bye" {
			t.Errorf("%d %s", p.status, p.url)
		}
		if _, err := a.config.TokenSource(a.ctx, &oauth2.Token{RefreshToken: tok.RefreshToken, Expiry: time.Unix(1, 0)}).Token(); err == nil {
			t.Error("the refresh token outlives the log-out")
		}
		if p := b.get(c.URL + "/oidc/logout?" + url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://evil.example"}}.Encode()); p.status != 400 {
			t.Errorf("a log-out to elsewhere: %d %s", p.status, p.url)
		}
	})
	t.Run("keys rotate", func(t *testing.T) {
		before, err := c.Federation.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Clock.Add(federation.KeyLife + time.Hour)
		after, err := c.Federation.Keys(t.Context())
		if err != nil || len(after) != len(before)+1 || after[len(after)-1].ID == before[0].ID {
			t.Fatalf("%v %d keys, then %d", err, len(before), len(after))
		}
		c.Clock.Add(3 * 24 * time.Hour)
		if last, err := c.Federation.Keys(t.Context()); err != nil || len(last) != 1 {
			t.Errorf("%v %d keys", err, len(last))
		}
	})
}

func TestAppsThatAreRefused(t *testing.T) {
	c := cloudtest.Start(t)
	people(t, c)
	a := startApp(t, c, true)
	b := open(t, trust(t, c))

	t.Run("PKCE of a public client", func(t *testing.T) {
		b.get(a.config.AuthCodeURL("s"))
		if a.got.Get("error") != "invalid_request" {
			t.Errorf("without PKCE: %v", a.got)
		}
		b.agree(b.logIn(b.get(a.authorize()), "alice", "correct-horse"))
		code := a.got.Get("code")
		if _, err := a.config.Exchange(a.ctx, code, oauth2.VerifierOption(oauth2.GenerateVerifier())); err == nil {
			t.Error("another verifier is taken")
		}
		if _, err := a.config.Exchange(a.ctx, code, oauth2.VerifierOption(a.verifier)); err == nil {
			t.Error("a code that was tried with a wrong verifier is still good")
		}
		b.get(a.authorize())
		if _, err := a.exchange(); err != nil {
			t.Error(err)
		}
	})
	t.Run("a redirect address that was not registered", func(t *testing.T) {
		other := a.config
		other.RedirectURL = a.URL + "/callback/../evil"
		if p := b.get(other.AuthCodeURL("s", oauth2.S256ChallengeOption(a.verifier))); p.status != 400 || strings.Contains(p.url.String(), "evil") && p.url.Host != strings.TrimPrefix(c.URL, "https://") {
			t.Errorf("%d %s", p.status, p.url)
		}
	})
	t.Run("the user says no", func(t *testing.T) {
		p := b.get(a.authorize(oauth2.SetAuthURLParam("prompt", "consent")))
		b.submit(p, "/consent", map[string]string{"answer": "no"})
		if a.got.Get("error") != "access_denied" || a.got.Get("state") != "the-state" {
			t.Errorf("%v", a.got)
		}
	})
	t.Run("a forged consent", func(t *testing.T) {
		p := b.get(a.authorize(oauth2.SetAuthURLParam("prompt", "consent")))
		a.got = nil
		if p := b.submit(p, "/consent", map[string]string{"answer": "yes", "csrf": base64.RawURLEncoding.EncodeToString([]byte("x"))}); p.status != 403 || a.got != nil {
			t.Errorf("%d %v", p.status, a.got)
		}
	})
	t.Run("a disabled user", func(t *testing.T) {
		b.get(a.authorize())
		tok, err := a.exchange()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := send(t, c, c.Ident.Kinds.User.D, call.Update, "alice", "", `{"disabled":true}`); err != nil {
			t.Fatal(err)
		}
		if _, err := a.provider.UserInfo(a.ctx, oauth2.StaticTokenSource(tok)); err == nil {
			t.Error("the access token is still good")
		}
		if _, err := a.config.TokenSource(a.ctx, &oauth2.Token{RefreshToken: tok.RefreshToken, Expiry: time.Unix(1, 0)}).Token(); err == nil {
			t.Error("the refresh token is still good")
		}
	})
	t.Run("users of another domain", func(t *testing.T) {
		create(t, c, c.Ident.Kinds.Domain.D, "elsewhere", `{}`)
		name := "bob"
		if _, err := c.Door.Do(t.Context(), &call.Call{Kind: c.Ident.Kinds.User.D, Verb: call.Create, Domain: "elsewhere", Name: &name, Principal: c.Root,
			Spec: json.RawMessage(`{"password":"correct-horse"}`)}); err != nil {
			t.Fatal(err)
		}
		b := open(t, trust(t, c))
		p := b.get(a.authorize())
		p = b.submit(p, "/login", map[string]string{"domain": "elsewhere", "user": "bob", "password": "correct-horse", "next": p.url.Query().Get("next")})
		if p.status != 403 || !strings.Contains(p.body, "users of another domain") {
			t.Errorf("%d %s", p.status, p.body)
		}
	})
}
