package keystone

import (
	"net/http"
	"strings"

	fedpages "github.com/awancloud/awan/internal/dialect/federation"
	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/service/federation"
)

// federatedAuth gives an unscoped token to who brings an OpenID Connect token of the provider, as keystoneauth's
// v3oidcaccesstoken and its sisters do.
func federatedAuth(x *exchange) error {
	p, err := x.API.Federation.Find(x.R.Context(), x.Query("domain_id"), x.Param("idp_id"))
	if err != nil {
		return err
	}
	if p.Spec.Protocol != x.Param("protocol_id") {
		return fail.New(fail.NotFound, "identity provider %s does not speak %q", p.Name, x.Param("protocol_id"))
	}
	if !p.Spec.OIDC() {
		return fail.New(fail.Unsupported, "SAML log-ins go through a browser here").Then("open %s", x.API.Base(x.R)+fedpages.LoginPath(string(p.ID), "/"))
	}
	bearer, ok := strings.CutPrefix(x.R.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return fail.New(fail.Unauthenticated, "the request has no token of the identity provider").Then("send Authorization: Bearer with its access token or ID token")
	}
	return x.API.Admit(&x.Exchange, p, func() (federation.Known, error) {
		return x.API.Federation.ByBearer(x.R.Context(), p, strings.TrimSpace(bearer))
	}, login.Scope{Unscoped: true})
}

// Admit answers with a token for somebody whom a provider vouches for; both outcomes are audited.
func (a *API) Admit(y *wire.Exchange, p *federation.Provider, known func() (federation.Known, error), scope login.Scope) error {
	x := &exchange{Exchange: *y, API: a}
	c := x.Call
	from := login.From{Source: c.Source, Agent: c.Agent, Dialect: c.Dialect, RequestID: c.RequestID}
	k, err := known()
	var s login.Session
	if err == nil {
		s, err = fedpages.Admit(x.R, x.API.Door, x.API.Federation, k, scope, from, false)
	} else {
		err = login.Refused(x.R.Context(), x.API.Door, ident.Principal{Domain: p.Domain}, "identity provider "+p.Name, from, err)
	}
	if e := fail.From(err); e != nil && (e.Kind == fail.Denied || e.Kind == fail.Invalid) {
		err = fail.New(fail.Unauthenticated, "%s", e.Message).Then("%s", e.Next).Because(err)
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
