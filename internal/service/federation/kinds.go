package federation

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// ProviderSpec describes an identity provider: who says who somebody is.
type ProviderSpec struct {
	Description   string          `json:"description" doc:"whose it is" max:"255"`
	Title         string          `json:"title" doc:"text of its button on the log-in page; its name when empty" max:"64" example:"Company log-in"`
	Protocol      string          `json:"protocol" doc:"what it speaks; nobody can log in through it until this is set. openid is oidc, saml2 is saml" enum:"oidc,openid,saml,saml2"`
	Mapping       string          `json:"mapping" doc:"rules that make a user of what it says" ref:"federation/mapping"`
	Issuer        string          `json:"issuer" doc:"OpenID Connect: its issuer address, under which /.well-known/openid-configuration is found" max:"1024" example:"https://login.example.org"`
	ClientID      string          `json:"client_id" doc:"OpenID Connect: the id it knows this cloud by" max:"255"`
	MoreClientIDs []string        `json:"more_client_ids" doc:"OpenID Connect: other clients of it whose ID tokens programs may bring" max:"99"`
	ClientSecret  string          `json:"client_secret" doc:"OpenID Connect: the secret it knows this cloud by; none for a public client" secret:"true" max:"1024"`
	Scopes        []string        `json:"scopes" doc:"OpenID Connect: what is asked for beside openid; profile and email when empty" max:"20"`
	SigningKeys   json.RawMessage `json:"signing_keys" doc:"OpenID Connect: its public keys as a JSON Web Key Set; none: they are fetched from it"`
	Metadata      string          `json:"metadata" doc:"SAML: its metadata, an XML document" max:"262144"`
	RemoteIDs     []string        `json:"remote_ids" doc:"issuer names it may go by; its issuer or entity id must be among them when any is given" max:"20"`
	CA            string          `json:"ca" doc:"certificates, in PEM, that its own is signed by; none: the system's" max:"65536"`
	Life          kind.Span       `json:"life" doc:"how long a log-in through it lasts" min:"300" max:"86400" default:"8h"`
	Programs      bool            `json:"programs_only" doc:"log-ins by API only: the console offers none through it, and lets nobody in"`
	Disabled      bool            `json:"disabled" doc:"nobody can log in through it; who did is logged out"`
}

// OIDC tells whether it speaks OpenID Connect.
func (p *ProviderSpec) OIDC() bool { return p.Protocol == "oidc" || p.Protocol == "openid" }

// SAML tells whether it speaks SAML 2.0.
func (p *ProviderSpec) SAML() bool { return strings.HasPrefix(p.Protocol, "saml") }

// MappingSpec describes how a provider's words become a user.
type MappingSpec struct {
	Description string          `json:"description" doc:"what it is for" max:"255"`
	Rules       json.RawMessage `json:"rules" doc:"rules in Keystone's and Huawei Cloud's form: a list of {local, remote}" required:"true"`
}

// SessionSpec is somebody's stay.
type SessionSpec struct {
	Provider string    `json:"provider" doc:"the identity provider they came through" ref:"federation/identity-provider"`
	Subject  string    `json:"subject" doc:"who they are there"`
	User     string    `json:"user" doc:"the user they are here, as long as the session lasts" ref:"identity/user"`
	Expires  time.Time `json:"expires" doc:"when the session ends and the user goes"`
}

// ClientSpec describes an app that uses this cloud's log-in.
type ClientSpec struct {
	Title        string   `json:"title" doc:"name that users read when they are asked for consent; its name when empty" max:"64"`
	RedirectURIs []string `json:"redirect_uris" doc:"addresses that a log-in may return to, matched letter for letter; https, or http on a loopback address" required:"true" min:"1" max:"20" example:"https://shop.example.org/callback"`
	LogoutURIs   []string `json:"logout_uris" doc:"addresses that a log-out may return to" max:"20"`
	Public       bool     `json:"public" doc:"has no secret, because it could not keep one: runs in browsers or on phones" immutable:"true"`
	Disabled     bool     `json:"disabled" doc:"refused; its tokens stop working at once"`
}

// ClientStatus is what a client identifies itself with.
type ClientStatus struct {
	Secret string `json:"client_secret,omitempty" doc:"client secret; shown once, when it is created; the client id is the row's id" secret:"true"`
}

type (
	// Provider and the like are the rows.
	Provider = kind.Row[ProviderSpec, ident.None]
	Mapping  = kind.Row[MappingSpec, ident.None]
	Session  = kind.Row[SessionSpec, ident.None]
	Client   = kind.Row[ClientSpec, ClientStatus]
)

func (s *Service) kinds() {
	s.Mappings = table(kind.Kind[MappingSpec, ident.None]{Service: "federation", Name: "mapping", Scope: kind.InDomain, NamePat: ident.NamePattern,
		Doc: "Rules that turn what an identity provider says of somebody into a user name and groups.", Columns: []string{"spec.description"},
		Example: MappingSpec{Rules: json.RawMessage(`[{"local":[{"user":{"name":"{0}"},"groups":"{1}"}],"remote":[{"type":"email"},{"type":"groups"}]}]`)},
		Check:   checkMapping, CheckDelete: s.mappingUnused})
	s.Providers = table(kind.Kind[ProviderSpec, ident.None]{Service: "federation", Name: "identity-provider", Scope: kind.InDomain, NamePat: ident.NamePattern, NoRename: true,
		Doc: "Who says who somebody is: people of an organisation log in with what they have there.", Columns: []string{"spec.protocol", "spec.mapping", "spec.disabled"},
		Example: ProviderSpec{Protocol: "oidc", Mapping: "staff", Issuer: "https://login.example.org", ClientID: "awan"},
		Index:   map[string]func(*Provider) []string{"mapping": func(r *Provider) []string { return []string{r.Spec.Mapping} }},
		Check:   s.checkProvider, Changed: s.providerChanged})
	s.Sessions = table(kind.Kind[SessionSpec, ident.None]{Service: "federation", Name: "federated-session", Scope: kind.InDomain, AnyName: true, ReadOnly: true,
		Doc:     "Who is logged in through an identity provider. Its user exists as long as it does.",
		Columns: []string{"spec.provider", "spec.subject", "spec.user", "spec.expires"},
		Index: map[string]func(*Session) []string{
			"provider": func(r *Session) []string { return []string{r.Spec.Provider} },
			"user":     func(r *Session) []string { return []string{r.Spec.User} },
			"subject":  func(r *Session) []string { return []string{r.Spec.Provider + " " + r.Spec.Subject} }},
		Actions: []kind.Action[SessionSpec, ident.None]{{Verb: "end", Doc: "log them out everywhere", Level: kind.Write,
			Change: func(ctx context.Context, tx store.Tx, row *Session, _ any) (string, error) {
				row.Spec.Expires = s.Now().UTC()
				return "", s.forgetUser(ctx, tx, row) // the row itself goes with the next round of the loop
			}}},
		Loop: job.Loop[Session]{Every: time.Minute, Do: s.expire}})
	s.Clients = table(kind.Kind[ClientSpec, ClientStatus]{Service: "federation", Name: "oidc-client", Scope: kind.InDomain,
		Doc: "An app that uses this cloud's log-in, by OpenID Connect.", Columns: []string{"spec.redirect_uris", "spec.public", "spec.disabled"},
		Example: ClientSpec{RedirectURIs: []string{"https://shop.example.org/callback"}},
		Prepare: makeSecret, Check: checkClient})
}

func table[S, T any](d kind.Kind[S, T]) kind.Table[S, T] { return kind.TableOf[S, T](d.Def()) }

func (s *Service) checkProvider(_ context.Context, tx store.Tx, _, row *Provider) error {
	p := &row.Spec
	if p.Mapping != "" {
		m, err := s.Mappings.Find(tx, string(row.Domain), p.Mapping)
		if err != nil {
			return err
		}
		if m == nil {
			return fail.Field("spec.mapping", "there is no mapping %q", p.Mapping).Then("see awan mapping list")
		}
		p.Mapping = string(m.ID)
	}
	if p.Issuer != "" {
		if err := checkURL("spec.issuer", p.Issuer); err != nil {
			return err
		}
	}
	if len(p.SigningKeys) > 0 && string(p.SigningKeys) != "null" {
		if _, err := keySet(p.SigningKeys); err != nil {
			return err
		}
	}
	if p.Metadata != "" {
		if _, err := readMetadata(p.Metadata); err != nil {
			return err
		}
	}
	if p.CA != "" {
		if _, err := pool(p.CA); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) mappingUnused(_ context.Context, tx store.Tx, row *Mapping) error {
	used, err := s.Providers.List(tx, string(row.Domain), kind.Filter{Index: "mapping", Value: string(row.ID), Limit: 1})
	if err == nil && len(used) > 0 {
		return fail.New(fail.Precondition, "mapping %s is used by identity provider %s", row.Name, used[0].Name).Then("give that one another mapping first")
	}
	return err
}

func checkClient(_ context.Context, _ store.Tx, _, row *Client) error {
	for field, uris := range map[string][]string{"spec.redirect_uris": row.Spec.RedirectURIs, "spec.logout_uris": row.Spec.LogoutURIs} {
		for _, u := range uris {
			if err := checkURL(field, u); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkURL takes https, and http on a loopback address.
func checkURL(field, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fail.Field(field, "%q is not a plain address", text).Then("give one like https://login.example.org/path")
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fail.Field(field, "%q is not https", text).Then("use https; http is for loopback addresses only")
}
