package iam

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/iamv5"
	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/federation"
)

// Version 5 knows providers without mappings. One that it makes gets a mapping of its own, which makes a user of everybody whom the
// provider names, without any group: what they may do is then said in the mapping, by version 3's paths or the console.
const (
	mappingOf = "-v5"
	bySubject = `[{"local":[{"user":{"name":"{0}"}}],"remote":[{"type":"sub"}]}]`
	byNameID  = `[{"local":[{"user":{"name":"{0}"}}],"remote":[{"type":"__NAMEID__"}]}]`

	thumbprintTag = iamv5.Hidden + "thumbprints"
)

// v5 are the providers of one of the two protocols.
type v5 struct {
	providers
	oidc           bool
	path, one, all string
}

func providerRoutesV5(of *keystone.API) []wire.Route {
	if of.Federation == nil {
		return nil
	}
	k := of.Federation.Providers.D
	var out []wire.Route
	for _, a := range []v5{{providers{of}, true, "/v5/oidc-providers", "oidc_provider", "oidc_providers"}, {providers{of}, false, "/v5/saml-providers", "saml_provider", "saml_providers"}} {
		one := a.path + "/{provider_id}"
		out = append(out, wire.Route{Method: "GET", Path: a.path, Kind: k, Verb: call.List, Do: a.list},
			wire.Route{Method: "POST", Path: a.path, Kind: k, Verb: call.Create, Do: a.create},
			wire.Route{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.show},
			wire.Route{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.update},
			wire.Route{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.remove})
		if a.oidc {
			out = append(out, wire.Route{Method: "PUT", Path: one + "/thumbprint", Kind: k, Verb: call.Update, Do: a.setThumbprints},
				wire.Route{Method: "POST", Path: one + "/add-client-id", Kind: k, Verb: call.Update, Do: a.clients(true)},
				wire.Route{Method: "POST", Path: one + "/remove-client-id", Kind: k, Verb: call.Update, Do: a.clients(false)})
		}
	}
	return out
}

func (a v5) is(p *federation.Provider) bool {
	return a.oidc && p.Spec.OIDC() || !a.oidc && p.Spec.SAML()
}

func (a v5) find(x *wire.Exchange, verb string) (*federation.Provider, error) {
	p, err := wire.Get(x, a.Federation.Providers, x.Param("provider_id"))
	if err == nil && verb != call.Get {
		err = iamv5.Ask(x, a.Federation.Providers.D, verb, p.Domain)
	}
	if err == nil && !a.is(p) {
		err = fail.New(fail.NotFound, "identity provider %s speaks %s", p.Name, p.Spec.Protocol)
	}
	return p, err
}

func (a v5) view(p *federation.Provider, withTags bool) map[string]any {
	what := "saml-provider"
	if a.oidc {
		what = "oidc-provider"
	}
	v := map[string]any{"provider_id": p.ID, "name": p.Name, "description": p.Spec.Description, "created_at": p.Created.UTC().Format("2006-01-02T15:04:05.000Z"),
		"urn": "iam::" + string(p.Domain) + ":" + what + ":" + p.Name}
	if a.oidc {
		v["url"], v["client_ids"], v["thumbprints"] = p.Spec.Issuer, clientIDs(p), strings.Fields(p.Tags[thumbprintTag])
	} else {
		v["saml_metadata_document"], v["assertion_encryption_mode"], v["private_keys"], v["expires_at"] = p.Spec.Metadata, "Allowed", []any{}, nil
	}
	if withTags {
		tags := []map[string]string{}
		for k, t := range p.Tags {
			if !strings.HasPrefix(k, iamv5.Hidden) {
				tags = append(tags, map[string]string{"tag_key": k, "tag_value": t})
			}
		}
		v["tags"] = tags
	}
	return v
}

func clientIDs(p *federation.Provider) []string {
	return slices.DeleteFunc(append([]string{p.Spec.ClientID}, p.Spec.MoreClientIDs...), func(c string) bool { return c == "" })
}

func (a v5) list(x *wire.Exchange) error {
	return iamv5.List(x, a.Federation.Providers, a.all, "", kind.Filter{Where: func(r kind.AnyRow) bool { return a.is(r.(*federation.Provider)) }},
		func(p *federation.Provider) (any, error) { return a.view(p, false), nil })
}

func (a v5) show(x *wire.Exchange) error {
	p, err := a.find(x, call.Get)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, a.one, a.view(p, true))
}

// providerV5 is a provider as clients send one.
type providerV5 struct {
	Name        *string   `json:"name"`
	Description *string   `json:"description"`
	URL         *string   `json:"url"`
	Clients     []string  `json:"client_ids"`
	Thumbprints *[]string `json:"thumbprints"`
	Metadata    *string   `json:"saml_metadata_document"`
	Encryption  *string   `json:"assertion_encryption_mode"`
	AddKey      *string   `json:"add_private_key"`
	RemoveKey   *string   `json:"remove_private_key"`
}

func (a v5) read(x *wire.Exchange, create bool) (*providerV5, wire.Spec, error) {
	var b providerV5
	if err := x.Plain(&b); err != nil {
		return nil, nil, err
	}
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	switch {
	case a.oidc && (b.Metadata != nil || b.Encryption != nil), !a.oidc && (b.URL != nil || b.Clients != nil || b.Thumbprints != nil):
		return nil, nil, fail.New(fail.Invalid, "the body is of a provider that speaks another protocol")
	case !a.oidc && (b.AddKey != nil || b.RemoveKey != nil || b.Encryption != nil && *b.Encryption == "Required"):
		return nil, nil, fail.Field("assertion_encryption_mode", "encrypted assertions are not read here").Then("let the provider sign its answers; they come over TLS")
	case create && a.oidc && (b.URL == nil || len(b.Clients) == 0):
		return nil, nil, fail.Field("client_ids", "give url and at least one of client_ids")
	case create && !a.oidc && b.Metadata == nil:
		return nil, nil, fail.Field("saml_metadata_document", "is required")
	case !create && a.oidc && (b.URL != nil || b.Clients != nil || b.Thumbprints != nil):
		return nil, nil, fail.Field("description", "only the description changes here").Then("use add-client-id, remove-client-id and thumbprint for the rest")
	}
	wire.Set(s, "issuer", b.URL)
	wire.Set(s, "metadata", b.Metadata)
	if len(b.Clients) > 0 {
		s["client_id"], s["more_client_ids"] = b.Clients[0], b.Clients[1:]
	}
	return &b, s, nil
}

func (a v5) create(x *wire.Exchange) error {
	if err := iamv5.Ask(x, a.Federation.Providers.D, call.Create, x.Who.Domain); err != nil {
		return err
	}
	b, s, err := a.read(x, true)
	if err != nil {
		return err
	}
	if b.Name == nil || *b.Name == "" {
		return fail.Field("name", "is required")
	}
	protocol, rules := "saml", byNameID
	if a.oidc {
		protocol, rules = "oidc", bySubject
	}
	name := *b.Name + mappingOf
	mapping, err := x.Do(a.Federation.Mappings.D, call.Create, "", func(c *call.Call) {
		c.Name, c.Spec = &name, wire.Spec{"description": "everybody whom " + *b.Name + " names, without rights", "rules": json.RawMessage(rules)}.JSON()
	})
	if err != nil {
		return err
	}
	s["protocol"], s["mapping"] = protocol, string(mapping.M().ID)
	row, err := x.Do(a.Federation.Providers.D, call.Create, "", func(c *call.Call) {
		c.Name, c.Spec = b.Name, s.JSON()
		if b.Thumbprints != nil {
			c.Tags = &map[string]string{thumbprintTag: strings.Join(*b.Thumbprints, " ")}
		}
	})
	if err != nil {
		_, _ = x.Do(a.Federation.Mappings.D, call.Delete, string(mapping.M().ID), nil) // what stays is a mapping without a provider, under its name
		return err
	}
	return x.One(http.StatusCreated, a.one, a.view(row.(*federation.Provider), false))
}

func (a v5) update(x *wire.Exchange) error {
	p, err := a.find(x, call.Update)
	if err != nil {
		return err
	}
	_, s, err := a.read(x, false)
	if err != nil {
		return err
	}
	row, err := x.Do(a.Federation.Providers.D, call.Update, string(p.ID), func(c *call.Call) { c.Spec = s.JSON() })
	if err != nil {
		return err
	}
	if a.oidc {
		return x.NoContent()
	}
	return x.One(http.StatusOK, a.one, a.view(row.(*federation.Provider), false))
}

// remove takes a provider away, and the mapping that was made for it.
func (a v5) remove(x *wire.Exchange) error {
	p, err := a.find(x, call.Delete)
	if err != nil {
		return err
	}
	if _, err := x.Do(a.Federation.Providers.D, call.Delete, string(p.ID), nil); err != nil {
		return err
	}
	m, err := wire.Get(x, a.Federation.Mappings, p.Spec.Mapping)
	if err == nil && m.Name == p.Name+mappingOf {
		_, err = x.Do(a.Federation.Mappings.D, call.Delete, string(m.ID), nil)
	}
	if err != nil && !fail.Is(err, fail.NotFound) && !fail.Is(err, fail.Precondition) { // it may be in use by another
		return err
	}
	return x.NoContent()
}

func (a v5) setThumbprints(x *wire.Exchange) error {
	p, err := a.find(x, call.Update)
	if err != nil {
		return err
	}
	var b struct {
		Thumbprints []string `json:"thumbprints"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	tags := map[string]string{}
	maps.Copy(tags, p.Tags)
	tags[thumbprintTag] = strings.Join(b.Thumbprints, " ")
	if _, err := x.Do(a.Federation.Providers.D, call.Update, string(p.ID), func(c *call.Call) { c.Tags = &tags }); err != nil {
		return err
	}
	return x.NoContent()
}

// clients adds a client id to a provider, or takes one away.
func (a v5) clients(add bool) func(*wire.Exchange) error {
	return func(x *wire.Exchange) error {
		p, err := a.find(x, call.Update)
		if err != nil {
			return err
		}
		var b struct {
			ID string `json:"client_id"`
		}
		if err := x.Plain(&b); err != nil {
			return err
		}
		all := clientIDs(p)
		switch {
		case b.ID == "":
			return fail.Field("client_id", "is required")
		case add && slices.Contains(all, b.ID):
			return fail.New(fail.Exists, "identity provider %s knows the client %s already", p.Name, b.ID)
		case add:
			all = append(all, b.ID)
		case !slices.Contains(all, b.ID):
			return fail.New(fail.NotFound, "identity provider %s knows no client %s", p.Name, b.ID)
		case len(all) == 1:
			return fail.New(fail.Precondition, "%s is the last client of identity provider %s", b.ID, p.Name).Then("add another one first")
		default:
			all = slices.DeleteFunc(all, func(c string) bool { return c == b.ID })
		}
		if _, err := x.Do(a.Federation.Providers.D, call.Update, string(p.ID), func(c *call.Call) {
			c.Spec = wire.Spec{"client_id": all[0], "more_client_ids": all[1:]}.JSON()
		}); err != nil {
			return err
		}
		return x.NoContent()
	}
}
