package keystone

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/federation"
)

const (
	idpPath      = "/v3/OS-FEDERATION/identity_providers"
	mappingPath  = "/v3/OS-FEDERATION/mappings"
	protocolPath = idpPath + "/{idp_id}/protocols"
)

// federationRoutes are OS-FEDERATION. Names are ids there: a provider's or mapping's is its row's name.
func (a *API) federationRoutes() []route {
	if a.Federation == nil {
		return nil
	}
	p, m := a.Federation.Providers.D, a.Federation.Mappings.D
	return []route{
		{Method: "GET", Path: idpPath, Kind: p, Verb: call.List, Do: listProviders},
		{Method: "PUT", Path: idpPath + "/{idp_id}", Kind: p, Verb: call.Create, Do: createProvider},
		{Method: "GET", Path: idpPath + "/{idp_id}", Kind: p, Verb: call.Get, Do: showProvider},
		{Method: "PATCH", Path: idpPath + "/{idp_id}", Kind: p, Verb: call.Update, Do: updateProvider},
		{Method: "DELETE", Path: idpPath + "/{idp_id}", Kind: p, Verb: call.Delete, Do: deleteProvider},
		{Method: "GET", Path: protocolPath, Kind: p, Verb: call.Get, Do: listProtocols},
		{Method: "PUT", Path: protocolPath + "/{protocol_id}", Kind: p, Verb: call.Update, Do: setProtocol},
		{Method: "GET", Path: protocolPath + "/{protocol_id}", Kind: p, Verb: call.Get, Do: showProtocol},
		{Method: "PATCH", Path: protocolPath + "/{protocol_id}", Kind: p, Verb: call.Update, Do: updateProtocol},
		{Method: "DELETE", Path: protocolPath + "/{protocol_id}", Kind: p, Verb: call.Update, Do: deleteProtocol},
		{Method: "GET", Path: mappingPath, Kind: m, Verb: call.List, Do: listMappings},
		{Method: "PUT", Path: mappingPath + "/{mapping_id}", Kind: m, Verb: call.Create, Do: createMapping},
		{Method: "GET", Path: mappingPath + "/{mapping_id}", Kind: m, Verb: call.Get, Do: showMapping},
		{Method: "PATCH", Path: mappingPath + "/{mapping_id}", Kind: m, Verb: call.Update, Do: updateMapping},
		{Method: "DELETE", Path: mappingPath + "/{mapping_id}", Kind: m, Verb: call.Delete, Do: deleteMapping},
		{Method: "GET", Path: protocolPath + "/{protocol_id}/auth", Open: true, Do: federatedAuth},
		{Method: "POST", Path: protocolPath + "/{protocol_id}/auth", Open: true, Do: federatedAuth},
		{Method: "GET", Path: "/v3/OS-FEDERATION/projects", Do: ownProjects},
		{Method: "GET", Path: "/v3/OS-FEDERATION/domains", Do: ownDomains},
	}
}

func (x *exchange) providerView(r *federation.Provider) map[string]any {
	self := x.Self(idpPath + "/" + r.Name).Self
	v := map[string]any{"id": r.Name, "domain_id": r.Domain, "description": r.Spec.Description, "enabled": !r.Spec.Disabled,
		"remote_ids": orEmpty(r.Spec.RemoteIDs), "authorization_ttl": nil,
		"links": map[string]string{"self": self, "protocols": self + "/protocols"}}
	if x.API.Dialect != "openstack" {
		v["sso_type"] = virtualUsers
	}
	return v
}

// virtualUsers is how Huawei calls users who exist as long as they are logged in.
const virtualUsers = "virtual_user_sso"

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

type providerBody struct {
	DomainID    *string   `json:"domain_id"`
	Description *string   `json:"description"`
	Enabled     *bool     `json:"enabled"`
	RemoteIDs   *[]string `json:"remote_ids"`
	SSOType     *string   `json:"sso_type"` // Huawei's: virtual users are the only kind here
	TTL         *int      `json:"authorization_ttl"`
}

func (b *providerBody) check() error {
	if b.SSOType != nil && *b.SSOType != "" && *b.SSOType != virtualUsers {
		return fail.Field("identity_provider.sso_type", "%q is not possible here: who comes through a provider is a virtual user", *b.SSOType).Then("use virtual_user_sso")
	}
	if b.TTL != nil {
		return fail.Field("identity_provider.authorization_ttl", "cannot be set here").Then("set the provider's life with awan identity-provider update --life")
	}
	return nil
}

func (b *providerBody) spec() wire.Spec {
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	wire.Set(s, "remote_ids", b.RemoteIDs)
	wire.Not(s, "disabled", b.Enabled)
	return s
}

func listProviders(x *exchange) error {
	return List(&x.Exchange, x.API.Federation.Providers, "identity_providers", x.domain(nil), kind.Filter{Exact: x.Query("id")},
		func(r *federation.Provider) bool {
			return !x.Queries().Has("enabled") || x.flag("enabled") != r.Spec.Disabled
		}, func(r *federation.Provider) any { return x.providerView(r) })
}

// federated sends a call on a provider, and answers with view of the row.
func (x *exchange) federated(status int, singular string, k *kind.Def, verb, target string, edit func(*call.Call), view func(kind.AnyRow) any) error {
	row, err := x.Do(k, verb, target, edit)
	if err != nil {
		return wire.Named(err)
	}
	return x.One(status, singular, view(row))
}

// newName refuses a name for a new row that looks like a row's id: it would hide that row, or be taken for it.
func (x *exchange) newName(k *kind.Def, name string) error {
	if _, ok := id.Parse(name); !ok {
		return nil
	}
	c := x.Call
	c.Domain = x.domain(nil)
	if _, _, err := x.API.Door.Permit(x.R.Context(), &c, k, call.Create, name); err != nil {
		return err
	}
	return fail.New(fail.NotFound, "there is no %s %q", k.Name, name).Then("to make one, choose a name that does not look like an id")
}

func (x *exchange) provider(r kind.AnyRow) any { return x.providerView(r.(*federation.Provider)) }

func createProvider(x *exchange) error {
	var b providerBody
	if err := x.Body("identity_provider", &b); err != nil {
		return err
	}
	if err := b.check(); err != nil {
		return err
	}
	name := x.Param("idp_id")
	if err := x.newName(x.API.Federation.Providers.D, name); err != nil {
		return err
	}
	return x.federated(http.StatusCreated, "identity_provider", x.API.Federation.Providers.D, call.Create, "", func(c *call.Call) {
		s := b.spec()
		if b.Enabled == nil {
			s["disabled"] = false
		}
		c.Domain, c.Name, c.Spec = x.domain(b.DomainID), &name, s.JSON()
	}, x.provider)
}

func showProvider(x *exchange) error {
	return x.federated(http.StatusOK, "identity_provider", x.API.Federation.Providers.D, call.Get, x.Param("idp_id"), nil, x.provider)
}

func updateProvider(x *exchange) error {
	var b providerBody
	if err := x.Body("identity_provider", &b); err != nil {
		return err
	}
	if err := b.check(); err != nil {
		return err
	}
	return x.federated(http.StatusOK, "identity_provider", x.API.Federation.Providers.D, call.Update, x.Param("idp_id"),
		func(c *call.Call) { c.Spec = b.spec().JSON() }, x.provider)
}

func deleteProvider(x *exchange) error {
	if _, err := x.Do(x.API.Federation.Providers.D, call.Delete, x.Param("idp_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}

// protocolView is a provider's protocol on the wire: a provider speaks one.
func (x *exchange) protocolView(r *federation.Provider, mapping string) map[string]any {
	self := x.Self(idpPath + "/" + r.Name).Self
	return map[string]any{"id": r.Spec.Protocol, "mapping_id": mapping, "remote_id_attribute": nil,
		"links": map[string]string{"self": self + "/protocols/" + r.Spec.Protocol, "identity_provider": self}}
}

// mappingName gives the name of a provider's mapping, its id on the wire.
func (x *exchange) mappingName(r *federation.Provider) (string, error) {
	if r.Spec.Mapping == "" {
		return "", nil
	}
	m, err := wire.Get(&x.Exchange, x.API.Federation.Mappings, r.Spec.Mapping)
	if fail.Is(err, fail.NotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return m.Name, nil
}

func listProtocols(x *exchange) error {
	row, err := wire.Get(&x.Exchange, x.API.Federation.Providers, x.Param("idp_id"))
	if err != nil {
		return err
	}
	var items []any
	if row.Spec.Protocol != "" {
		m, err := x.mappingName(row)
		if err != nil {
			return err
		}
		items = append(items, x.protocolView(row, m))
	}
	token.WriteList(x.W, "protocols", items, token.Links{Self: x.Self(x.R.URL.Path).Self})
	return nil
}

// withProtocol reads the provider, which must speak the path's protocol.
func (x *exchange) withProtocol() (*federation.Provider, error) {
	row, err := wire.Get(&x.Exchange, x.API.Federation.Providers, x.Param("idp_id"))
	if err == nil && row.Spec.Protocol != x.Param("protocol_id") {
		err = fail.New(fail.NotFound, "identity provider %s does not speak %q", row.Name, x.Param("protocol_id"))
	}
	return row, err
}

func showProtocol(x *exchange) error {
	row, err := x.withProtocol()
	if err != nil {
		return err
	}
	m, err := x.mappingName(row)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "protocol", x.protocolView(row, m))
}

func (x *exchange) protocol(status int, protocol string, mapping *string) error {
	row, err := x.Do(x.API.Federation.Providers.D, call.Update, x.Param("idp_id"), func(c *call.Call) {
		s := wire.Spec{"protocol": protocol}
		wire.Set(s, "mapping", mapping)
		c.Spec = s.JSON()
	})
	if err != nil {
		return err
	}
	if protocol == "" {
		return x.NoContent()
	}
	p := row.(*federation.Provider)
	m, err := x.mappingName(p)
	if err != nil {
		return err
	}
	return x.One(status, "protocol", x.protocolView(p, m))
}

type protocolBody struct {
	Mapping *string `json:"mapping_id"`
}

func setProtocol(x *exchange) error {
	var b protocolBody
	if err := x.Body("protocol", &b); err != nil {
		return err
	}
	row, err := wire.Get(&x.Exchange, x.API.Federation.Providers, x.Param("idp_id"))
	if fail.Is(err, fail.Denied) {
		row, err = nil, nil // the update itself says what may not be done
	}
	if err != nil {
		return err
	}
	if row != nil && row.Spec.Protocol != "" {
		c := x.Call
		c.Domain = string(row.Domain)
		if _, _, err := x.API.Door.Permit(x.R.Context(), &c, x.API.Federation.Providers.D, call.Update, row.Name); err != nil {
			return err
		}
		return fail.New(fail.Exists, "identity provider %s speaks %s already: it has one protocol", row.Name, row.Spec.Protocol).Then("delete that one first")
	}
	return x.protocol(http.StatusCreated, x.Param("protocol_id"), b.Mapping)
}

func updateProtocol(x *exchange) error {
	var b protocolBody
	if err := x.Body("protocol", &b); err != nil {
		return err
	}
	if _, err := x.withProtocol(); err != nil && !fail.Is(err, fail.Denied) {
		return err
	}
	return x.protocol(http.StatusOK, x.Param("protocol_id"), b.Mapping)
}

func deleteProtocol(x *exchange) error {
	if _, err := x.withProtocol(); err != nil && !fail.Is(err, fail.Denied) {
		return err
	}
	return x.protocol(http.StatusNoContent, "", new(string))
}

func (x *exchange) mapping(r kind.AnyRow) any {
	m := r.(*federation.Mapping)
	return map[string]any{"id": m.Name, "rules": m.Spec.Rules, "schema_version": "1.0", "links": x.Self(mappingPath + "/" + m.Name)}
}

func listMappings(x *exchange) error {
	return List(&x.Exchange, x.API.Federation.Mappings, "mappings", x.domain(nil), kind.Filter{},
		func(*federation.Mapping) bool { return true }, func(r *federation.Mapping) any { return x.mapping(r) })
}

type mappingBody struct {
	Rules  json.RawMessage `json:"rules"`
	Schema *string         `json:"schema_version"`
}

func (b *mappingBody) spec() wire.Spec {
	s := wire.Spec{}
	if len(b.Rules) > 0 {
		s["rules"] = b.Rules
	}
	return s
}

func (b *mappingBody) check() error {
	if b.Schema != nil && *b.Schema != "1.0" {
		return fail.Field("mapping.schema_version", "%q is not known here", *b.Schema).Then("use 1.0")
	}
	return nil
}

func createMapping(x *exchange) error {
	var b mappingBody
	if err := x.Body("mapping", &b); err != nil {
		return err
	}
	if err := b.check(); err != nil {
		return err
	}
	name := x.Param("mapping_id")
	if err := x.newName(x.API.Federation.Mappings.D, name); err != nil {
		return err
	}
	return x.federated(http.StatusCreated, "mapping", x.API.Federation.Mappings.D, call.Create, "",
		func(c *call.Call) { c.Domain, c.Name, c.Spec = x.domain(nil), &name, b.spec().JSON() }, x.mapping)
}

func showMapping(x *exchange) error {
	return x.federated(http.StatusOK, "mapping", x.API.Federation.Mappings.D, call.Get, x.Param("mapping_id"), nil, x.mapping)
}

func updateMapping(x *exchange) error {
	var b mappingBody
	if err := x.Body("mapping", &b); err != nil {
		return err
	}
	if err := b.check(); err != nil {
		return err
	}
	return x.federated(http.StatusOK, "mapping", x.API.Federation.Mappings.D, call.Update, x.Param("mapping_id"),
		func(c *call.Call) { c.Spec = b.spec().JSON() }, x.mapping)
}

func deleteMapping(x *exchange) error {
	if _, err := x.Do(x.API.Federation.Mappings.D, call.Delete, x.Param("mapping_id"), nil); err != nil {
		return err
	}
	return x.NoContent()
}

// federationView is what a federated user's token says beside the rest.
func (x *exchange) federationView(p *federation.Provider, groups []string) *token.Federation {
	f := &token.Federation{Provider: token.ID{ID: p.Name}, Protocol: token.ID{ID: cmp.Or(p.Spec.Protocol, "mapped")}, Groups: []token.ID{}}
	for _, g := range slices.Sorted(slices.Values(groups)) {
		f.Groups = append(f.Groups, token.ID{ID: g})
	}
	return f
}
