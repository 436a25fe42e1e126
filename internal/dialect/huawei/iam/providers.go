package iam

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/iamv5"
	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/federation"
)

// providers are the handlers of identity providers.
type providers struct{ *keystone.API }

// providerRoutes are what Huawei's API has of an identity provider beside Keystone's: its SAML metadata, its OpenID Connect
// settings, and log-in by ID token with a scope.
func providerRoutes(of *keystone.API) []wire.Route {
	a := providers{of}
	if a.Federation == nil {
		return nil
	}
	k := a.Federation.Providers.D
	metadata := "/v3-ext/OS-FEDERATION/identity_providers/{idp_id}/protocols/{protocol_id}/metadata"
	config := "/v3.0/OS-FEDERATION/identity-providers/{idp_id}/openid-connect-config"
	return []wire.Route{
		{Method: "GET", Path: metadata, Kind: k, Verb: call.Get, Do: a.showMetadata},
		{Method: "POST", Path: metadata, Kind: k, Verb: call.Update, Do: a.importMetadata},
		{Method: "GET", Path: config, Kind: k, Verb: call.Get, Do: a.showConfig},
		{Method: "POST", Path: config, Kind: k, Verb: call.Update, Do: a.setConfig},
		{Method: "PUT", Path: config, Kind: k, Verb: call.Update, Do: a.setConfig},
		{Method: "POST", Path: "/v3.0/OS-AUTH/id-token/tokens", Open: true, Do: a.byIDToken},
	}
}

func (a providers) provider(x *wire.Exchange) (*federation.Provider, error) {
	return wire.Get(x, a.Federation.Providers, x.Param("idp_id"))
}

func (a providers) showMetadata(x *wire.Exchange) error {
	p, err := a.provider(x)
	if err != nil {
		return err
	}
	if !p.Spec.SAML() || p.Spec.Metadata == "" || p.Spec.Protocol != x.Param("protocol_id") {
		return fail.New(fail.NotFound, "identity provider %s has no metadata for %s", p.Name, x.Param("protocol_id")).Then("import it: POST to the same path")
	}
	entity, err := federation.EntityID(p.Spec.Metadata)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"id": string(p.ID), "idp_id": p.Name, "entity_id": entity, "protocol_id": p.Spec.Protocol,
		"domain_id": string(p.Domain), "xaccount_type": "", "update_time": stamp(p.Updated), "data": p.Spec.Metadata})
	return nil
}

func (a providers) importMetadata(x *wire.Exchange) error {
	p, err := a.provider(x)
	if fail.Is(err, fail.Denied) {
		p, err = nil, nil // the update itself says what may not be done
	}
	if err != nil {
		return err
	}
	var b struct {
		Account  string  `json:"xaccount_type"`
		Domain   string  `json:"domain_id"`
		Metadata *string `json:"metadata"`
	}
	if err := iamv5.Ask(x, a.Federation.Providers.D, call.Update, x.Who.Domain); err != nil {
		return err
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	switch {
	case b.Metadata == nil || *b.Metadata == "":
		return fail.Field("metadata", "is required").Then("give the metadata of the identity provider, an XML document")
	case p != nil && p.Spec.Protocol != x.Param("protocol_id"):
		return fail.New(fail.NotFound, "identity provider %s does not speak %q", p.Name, x.Param("protocol_id")).Then("give it that protocol first")
	case p != nil && !p.Spec.SAML():
		return fail.New(fail.Invalid, "metadata are for SAML; identity provider %s speaks %s", p.Name, p.Spec.Protocol)
	case b.Domain != "" && p != nil && b.Domain != string(p.Domain):
		return fail.Field("domain_id", "is not the domain of identity provider %s", p.Name)
	}
	if _, err := x.Do(a.Federation.Providers.D, call.Update, x.Param("idp_id"), func(c *call.Call) {
		c.Spec = wire.Spec{"metadata": *b.Metadata}.JSON()
	}); err != nil {
		return err
	}
	wire.Write(x.W, http.StatusCreated, map[string]string{"message": "the metadata were imported"})
	return nil
}

// What a client says of a log-in in the browser that this cloud finds out by itself: it asks the issuer where log-ins are, and
// takes the authorization code, never a token in the address.
const (
	endpointTag     = iamv5.Hidden + "authorization_endpoint"
	responseModeTag = iamv5.Hidden + "response_mode"
	responseTypeTag = iamv5.Hidden + "response_type"
)

// config is OpenID Connect's settings on the wire.
type config struct {
	Mode         *string `json:"access_mode"`
	URL          *string `json:"idp_url"`
	Client       *string `json:"client_id"`
	Endpoint     *string `json:"authorization_endpoint"`
	Scope        *string `json:"scope"`
	ResponseType *string `json:"response_type"`
	ResponseMode *string `json:"response_mode"`
	Key          *string `json:"signing_key"`
}

func configView(p *federation.Provider) config {
	scopes := append([]string{"openid"}, p.Spec.Scopes...)
	get := func(name string) *string { v := p.Tags[name]; return &v }
	scope, keys := strings.Join(slices.Compact(scopes), " "), string(p.Spec.SigningKeys)
	mode := "program_console"
	if p.Spec.Programs {
		mode = "program"
	}
	v := config{&mode, &p.Spec.Issuer, &p.Spec.ClientID, get(endpointTag), &scope, get(responseTypeTag), get(responseModeTag), &keys}
	return v
}

func (a providers) showConfig(x *wire.Exchange) error {
	p, err := a.provider(x)
	if err != nil {
		return err
	}
	if p.Spec.Issuer == "" {
		return fail.New(fail.NotFound, "identity provider %s has no settings for OpenID Connect", p.Name).Then("create them: POST to the same path")
	}
	return x.One(http.StatusOK, "openid_connect_config", configView(p))
}

func (b *config) check(first bool) error {
	for name, v := range map[string]*string{"access_mode": b.Mode, "idp_url": b.URL, "client_id": b.Client, "signing_key": b.Key} {
		if first && (v == nil || *v == "") {
			return fail.Field("openid_connect_config."+name, "is required")
		}
	}
	for name, one := range map[string]struct {
		v   *string
		all []string
	}{"access_mode": {b.Mode, []string{"program", "program_console"}}, "response_type": {b.ResponseType, []string{"id_token"}},
		"response_mode": {b.ResponseMode, []string{"form_post", "fragment"}}} {
		if one.v != nil && *one.v != "" && !slices.Contains(one.all, *one.v) {
			return fail.Field("openid_connect_config."+name, "%q is not one of %s", *one.v, strings.Join(one.all, ", "))
		}
	}
	if b.Key != nil && !json.Valid([]byte(*b.Key)) {
		return fail.Field("openid_connect_config.signing_key", "is not a JSON Web Key Set").Then(`give {"keys": [{"kty": "RSA", …}]}`)
	}
	return nil
}

func (a providers) setConfig(x *wire.Exchange) error {
	if err := iamv5.Ask(x, a.Federation.Providers.D, call.Update, x.Who.Domain); err != nil {
		return err
	}
	p, err := a.provider(x)
	if err != nil {
		return err
	}
	var b config
	if err := x.Body("openid_connect_config", &b); err != nil {
		return err
	}
	first := x.R.Method == http.MethodPost
	switch {
	case first && p.Spec.Issuer != "":
		return fail.New(fail.Exists, "identity provider %s has its settings already", p.Name).Then("change them with PUT")
	case !first && p.Spec.Issuer == "":
		return fail.New(fail.NotFound, "identity provider %s has no settings for OpenID Connect", p.Name).Then("create them with POST")
	}
	if err := b.check(first); err != nil {
		return err
	}
	row, err := x.Do(a.Federation.Providers.D, call.Update, string(p.ID), func(c *call.Call) {
		s, tags := wire.Spec{}, map[string]string{}
		maps.Copy(tags, p.Tags)
		wire.Set(s, "issuer", b.URL)
		wire.Set(s, "client_id", b.Client)
		if b.Scope != nil {
			s["scopes"] = slices.DeleteFunc(strings.Fields(*b.Scope), func(v string) bool { return v == "openid" })
		}
		if b.Key != nil {
			s["signing_keys"] = json.RawMessage(*b.Key)
		}
		if b.Mode != nil {
			s["programs_only"] = *b.Mode == "program"
		}
		for tag, v := range map[string]*string{endpointTag: b.Endpoint, responseTypeTag: b.ResponseType, responseModeTag: b.ResponseMode} {
			if v != nil {
				tags[tag] = *v
			}
		}
		c.Spec, c.Tags = s.JSON(), &tags
	})
	if err != nil {
		return err
	}
	status := http.StatusOK
	if first {
		status = http.StatusCreated
	}
	return x.One(status, "openid_connect_config", configView(row.(*federation.Provider)))
}

// byIDToken gives a token, for the scope that is asked for, to who brings an ID token of a provider.
func (a providers) byIDToken(x *wire.Exchange) error {
	type ref struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	var b struct {
		Token ref `json:"id_token"`
		Scope *struct {
			Domain  *ref `json:"domain"`
			Project *ref `json:"project"`
		} `json:"scope"`
	}
	if err := x.Body("auth", &b); err != nil {
		return err
	}
	name := x.R.Header.Get("X-Idp-Id")
	if name == "" || b.Token.ID == "" {
		return fail.New(fail.Unauthenticated, "the request names no identity provider, or brings no ID token of it").Then("send the header X-Idp-Id and auth.id_token.id")
	}
	p, err := a.Federation.Find(x.R.Context(), x.Query("domain_id"), name)
	if err != nil {
		return err
	}
	if !p.Spec.OIDC() {
		return fail.New(fail.Unauthenticated, "identity provider %s does not speak OpenID Connect", p.Name)
	}
	scope := login.Scope{Unscoped: true}
	if s := b.Scope; s != nil && s.Project != nil {
		scope = login.Scope{Project: s.Project.ID + s.Project.Name}
	} else if s != nil && s.Domain != nil {
		scope = login.Scope{Domain: s.Domain.ID + s.Domain.Name}
	}
	return a.Admit(x, p, func() (federation.Known, error) { return a.Federation.ByIDToken(x.R.Context(), p, b.Token.ID) }, scope)
}
