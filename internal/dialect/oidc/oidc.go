// Package oidc lets tenants' apps use the cloud's log-in: OpenID Connect 1.0 with the authorization code flow, PKCE,
// refresh, userinfo, introspection (RFC 7662), revocation (RFC 7009) and RP-initiated log-out. The protocol is
// zitadel/oidc's; what is asked, agreed to and given out is kept by service/federation. The page that asks for consent
// is the console's. It may import the kernel, dialect/{auth,front} and service/federation.
package oidc

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/rs/cors"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/federation"
)

// Prefix is the path below which the provider is: https://HOST/oidc is the issuer.
const Prefix = "oidc"

// ConsentPath is the console's page that asks the user.
const ConsentPath = "/consent"

// Server is the provider.
type Server struct {
	s *federation.Service

	mu sync.Mutex
	op *op.Provider
}

// New makes the provider. What it needs of the store is read at the first request.
func New(s *federation.Service) *Server { return &Server{s: s} }

// Service is the provider behind the listener.
func (s *Server) Service() front.Service {
	return front.Service{Name: Prefix, Handler: s, MaxBody: 1 << 20}
}

func issuer(bool) (op.IssuerFromRequest, error) {
	return func(r *http.Request) string { return "https://" + r.Host + "/" + Prefix }, nil
}

func (s *Server) provider(ctx context.Context) (*op.Provider, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.op != nil {
		return s.op, nil
	}
	key, err := s.s.CryptoKey(ctx)
	if err != nil {
		return nil, err
	}
	s.op, err = op.NewProvider(&op.Config{CryptoKey: key, CryptoKeyId: "1", CodeMethodS256: true, AuthMethodPost: true, GrantTypeRefreshToken: true,
		SupportedScopes: Scopes, SupportedClaims: []string{"sub", "aud", "exp", "iat", "iss", "auth_time", "nonce", "amr", "at_hash", "azp", "client_id",
			"name", "preferred_username", "updated_at", "email", "groups", "domain_id", "domain_name"},
		DefaultLogoutRedirectURI: "/" + Prefix + "/ended"},
		storage{s.s}, issuer,
		op.WithCustomTokenEndpoint(op.NewEndpoint("token")), op.WithCustomIntrospectionEndpoint(op.NewEndpoint("introspect")),
		op.WithCORSOptions(&cors.Options{AllowedOrigins: []string{"*"}, AllowedMethods: []string{"GET", "POST"}, // apps in browsers; no cookie counts here
			AllowedHeaders: []string{"Authorization", "Content-Type"}}), op.WithCustomEndSessionEndpoint(op.NewEndpoint("logout")))
	return s.op, err
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Cache-Control", "no-store")
	if info := front.From(r.Context()); info.Path != "" && !strings.HasPrefix(info.Path, "/"+Prefix) {
		front.Fail(w, r, http.StatusNotFound, fail.New(fail.NotFound, "the log-in for apps is not at this host name").Then("use https://HOST/oidc at the console's address"))
		return
	}
	switch r.URL.Path {
	case "/enter":
		page(w, "/consent?"+url.Values{"id": {r.URL.Query().Get("id")}}.Encode(), "Log in")
		return
	case "/ended":
		page(w, "", "Logged out")
		return
	case "/healthz", "/ready", "/device_authorization":
		http.NotFound(w, r)
		return
	}
	p, err := s.provider(r.Context())
	if err != nil {
		front.Fail(w, r, http.StatusServiceUnavailable, fail.From(err))
		return
	}
	p.ServeHTTP(w, r)
}

// pageText is a page that leads on by itself. A redirect would not do: the browser comes from another site, and sends the
// console's cookie only with a request that one of our own pages began.
var pageText = template.Must(template.New("").Parse(`<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title>` +
	`{{if .To}}<meta http-equiv="refresh" content="0; url={{.To}}">{{end}}</head><body><p>{{if .To}}<a href="{{.To}}">Go on</a>{{else}}{{.Title}}.{{end}}</p></body></html>`))

func page(w http.ResponseWriter, to, title string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = pageText.Execute(w, struct{ To, Title string }{to, title}) // the browser may be gone
}

// CallbackPath is where the browser goes after the consent: it sends it back to the app with the code.
func CallbackPath(ask string) string {
	return "/" + Prefix + "/authorize/callback?" + url.Values{"id": {ask}}.Encode()
}

// RefusedURL is where the browser goes when the user said no.
func RefusedURL(a *federation.Ask) string {
	u, err := url.Parse(a.Redirect)
	if err != nil {
		return "/"
	}
	q := u.Query()
	q.Set("error", "access_denied")
	q.Set("error_description", "the user said no")
	if a.State != "" {
		q.Set("state", a.State)
	}
	u.RawQuery = q.Encode()
	return u.String()
}
