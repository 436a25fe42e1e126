package app

import (
	"context"
	"crypto/subtle"
	"crypto/x509"
	"encoding/pem"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// CredentialSpec is what opens a git repository or a registry of somebody else.
type CredentialSpec struct {
	Host        string `json:"host" doc:"the one host it is sent to, with its port if that is not the usual one" required:"true" max:"255" example:"github.com"`
	Username    string `json:"username" doc:"user name; hosts that take a token need none" max:"255"`
	Password    string `json:"password" doc:"password or access token, for https" secret:"true" max:"4096"`
	PrivateKey  string `json:"private_key" doc:"private key in OpenSSH form without a passphrase, for ssh (a deploy key)" secret:"true" max:"16384"`
	KnownHosts  string `json:"known_hosts" doc:"the host's own keys, as ssh-keyscan HOST prints them; needed for ssh" max:"16384"`
	CA          string `json:"ca" doc:"certificate authority in PEM form, for a host with one of its own" max:"65536"`
	Description string `json:"description" doc:"what it is for" max:"255"`
}

// opens tells whether the credential may be sent to a host.
func (c CredentialSpec) opens(host string) bool {
	plain := func(h string) string {
		h = strings.ToLower(h)
		if name, port, err := net.SplitHostPort(h); err == nil && (port == "443" || port == "22") {
			return name
		}
		return h
	}
	return plain(c.Host) == plain(host)
}

// TokenPrefix begins every deploy token.
const TokenPrefix = "awdt-"

// TokenSpec is a right to deploy one component, and nothing else.
type TokenSpec struct {
	Component   string    `json:"component" doc:"the component that it may deploy" ref:"app/component" required:"true" immutable:"true"`
	Expires     time.Time `json:"expires,omitzero" doc:"when it stops to work; empty: never"`
	Description string    `json:"description" doc:"who or what uses it" max:"255"`
}

// TokenStatus is the token.
type TokenStatus struct {
	Token string `json:"token,omitempty" doc:"password for git push (any user name), secret of a webhook, bearer of a call; shown once" secret:"true"`
	Hook  string `json:"hook" doc:"path of the webhook, after the cloud's address"`
}

type (
	credentialRow = kind.Row[CredentialSpec, ident.None]
	tokenRow      = kind.Row[TokenSpec, TokenStatus]
)

func (s *Service) describeCredentials() {
	s.Credential = kind.TableOf[CredentialSpec, ident.None](kind.Kind[CredentialSpec, ident.None]{
		Service: "app", Name: "credential", Scope: kind.InProject,
		Doc:     "What opens a git repository or an image registry of somebody else. It is sent to its own host only, and never shown again.",
		Columns: []string{"spec.host", "spec.username", "spec.description"}, Example: CredentialSpec{Host: "git.example.org", Username: "deploy", Password: "…"},
		Quota: map[ledger.Dim]func(CredentialSpec) int64{"app.credentials": func(CredentialSpec) int64 { return 1 }},
		Prepare: func(_ context.Context, old, row *credentialRow) error {
			var was string
			if old != nil {
				was = old.Spec.PrivateKey
			}
			return checkCredential(row.Spec, was)
		}}.Def())
	s.Token = kind.TableOf[TokenSpec, TokenStatus](kind.Kind[TokenSpec, TokenStatus]{
		Service: "app", Name: "deploy-token", Scope: kind.InProject,
		Doc:     "Lets a program deploy one component and do nothing else: with git push, a webhook or a plain call. The token is shown once.",
		Columns: []string{"spec.component", "spec.expires", "spec.description"}, Example: TokenSpec{Component: "shop", Description: "CI"},
		Quota: map[ledger.Dim]func(TokenSpec) int64{"app.deploy-tokens": func(TokenSpec) int64 { return 1 }},
		Index: map[string]func(*tokenRow) []string{"component": func(r *tokenRow) []string { return []string{r.Spec.Component} }},
		Prepare: func(_ context.Context, old, row *tokenRow) error {
			if old == nil {
				row.Status.Token = TokenPrefix + secret.NewToken()
			}
			return nil
		},
		Check: func(_ context.Context, tx store.Tx, old, row *tokenRow) error {
			c, err := s.Component.Find(tx, string(row.Project), row.Spec.Component)
			if err != nil || old != nil {
				return err
			}
			if c == nil {
				return fail.Field("spec.component", "there is no component %q", row.Spec.Component)
			}
			row.Spec.Component = string(c.ID)
			row.Status.Hook = "/git/" + string(row.Project) + "/" + c.Name + "/hook"
			return nil
		}}.Def())
}

func checkCredential(c CredentialSpec, was string) error {
	if strings.ContainsAny(c.Host, "/@ \n") {
		return fail.Field("spec.host", "%q is not a host", c.Host).Then("write the name alone, with :PORT if it is not the usual one")
	}
	if strings.ContainsAny(c.Username+c.Password, "\n\r\x00") {
		return fail.Field("spec.password", "must be one line")
	}
	if c.PrivateKey != "" && c.PrivateKey != kind.Mask && c.PrivateKey != was {
		if _, err := ssh.ParseRawPrivateKey([]byte(c.PrivateKey)); err != nil {
			return fail.Field("spec.private_key", "is not a private key without a passphrase").Then("give the file that ssh-keygen -t ed25519 -N '' -f FILE makes")
		}
	}
	if c.KnownHosts != "" {
		if _, _, _, _, _, err := ssh.ParseKnownHosts([]byte(c.KnownHosts)); err != nil {
			return fail.Field("spec.known_hosts", "holds no host key").Then("give what ssh-keyscan %s prints", c.Host)
		}
	}
	if c.CA != "" {
		b, _ := pem.Decode([]byte(c.CA))
		if b == nil {
			return fail.Field("spec.ca", "is not a certificate in PEM form")
		}
		if _, err := x509.ParseCertificate(b.Bytes); err != nil {
			return fail.Field("spec.ca", "is not a certificate: %s", err)
		}
	}
	return nil
}

// Deployer finds the deploy token of a component that knows tells to be the one that was sent, and gives the principal
// it stands for: one that the caller must use for nothing but deploying that component.
func (s *Service) Deployer(ctx context.Context, project, component string, knows func(token string) bool) (ident.Principal, *kind.Row[ComponentSpec, ComponentStatus], error) {
	unknown := fail.New(fail.Unauthenticated, "the deploy token is not one of this component").Then("awan deploy-token create NAME --component %s", component)
	pid, ok := id.Parse(project)
	if !ok { // whose project of that name it is nobody can tell who is not logged in
		return ident.Principal{}, nil, unknown.Then("write the project's id into the address, as awan deploy-token show NAME says it")
	}
	var row *componentRow
	var tokens []*tokenRow
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		if row, err = s.Component.Find(tx, string(pid), component); err != nil || row == nil {
			return err
		}
		tokens, err = s.Token.List(tx, string(pid), kind.Filter{Index: "component", Value: string(row.ID)})
		return err
	})
	if err != nil {
		return ident.Principal{}, nil, err
	}
	if row == nil || row.State == kind.Trashed {
		return ident.Principal{}, nil, unknown
	}
	i := slices.IndexFunc(tokens, func(t *tokenRow) bool {
		if !t.Spec.Expires.IsZero() && !s.Now().Before(t.Spec.Expires) {
			return false
		}
		plain, err := s.Host.Unseal(&t.Meta, "status", "token", t.Status.Token)
		return err == nil && plain != "" && knows(plain)
	})
	if i < 0 {
		return ident.Principal{}, nil, unknown
	}
	return deployer(tokens[i].Name, row.Domain, row.Project), row, nil
}

// SameToken compares in constant time.
func SameToken(sent string) func(string) bool {
	return func(token string) bool { return subtle.ConstantTimeCompare([]byte(sent), []byte(token)) == 1 }
}

// forgetTokens removes the deploy tokens of a component that is gone.
func (s *Service) forgetTokens(tx store.Tx, row *componentRow) error {
	tokens, err := s.Token.List(tx, string(row.Project), kind.Filter{Index: "component", Value: string(row.ID)})
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if err := s.Token.Remove(tx, t); err != nil {
			return err
		}
	}
	return tx.Delete(waitingHook + string(row.ID))
}
