package ident

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// PasskeySpec describes a second factor of a user that only browsers can ask: a passkey or a security key (WebAuthn).
type PasskeySpec struct {
	User   string `json:"user" doc:"whose it is" ref:"identity/user" required:"true" immutable:"true"`
	Origin string `json:"origin" doc:"the console's address that it works at: browsers use it under that host name only, and under no address of digits" required:"true" immutable:"true" max:"255" example:"https://cloud.example.org"`
}

// PasskeyStatus is what the browser is asked, and what came of it.
type PasskeyStatus struct {
	Options json.RawMessage `json:"options,omitempty" doc:"what navigator.credentials.create is called with; good for ten minutes"`
	Pending json.RawMessage `json:"pending,omitempty" doc:"what the answer is compared with"`
	Active  bool            `json:"active" doc:"it was confirmed: from then on log-ins by password ask for a second factor"`
	Key     json.RawMessage `json:"key,omitempty" doc:"the public key, and how often the authenticator says it was used"`
	Used    time.Time       `json:"used,omitzero" doc:"when it was last used to log in"`
}

type passkeyRow = kind.Row[PasskeySpec, PasskeyStatus]

// PasskeyAnswer is what a browser answers.
type PasskeyAnswer struct {
	Answer string `json:"answer" doc:"the answer of navigator.credentials.create, as JSON" required:"true" max:"65536"`
}

// The times within which a browser has to answer.
const (
	passkeyEnrol = 10 * time.Minute
	passkeyLogIn = 5 * time.Minute
	maxPasskeys  = 10
)

func (k *Kinds) passkeyKind() kind.Kind[PasskeySpec, PasskeyStatus] {
	return kind.Kind[PasskeySpec, PasskeyStatus]{Service: "identity", Name: "passkey", Scope: kind.InDomain, AnyName: true,
		Doc: "A second factor of a user for the console: a passkey or a security key (WebAuthn). Users register their own " +
			"on the console's page Your log-in; here administrators see and remove them.",
		Columns: []string{"spec.user", "spec.origin", "status.active", "status.used"}, Example: PasskeySpec{User: "alice", Origin: "https://cloud.example.org"},
		Index: map[string]func(*passkeyRow) []string{"user": func(r *passkeyRow) []string { return []string{r.Spec.User} }},
		Actions: []kind.Action[PasskeySpec, PasskeyStatus]{{Verb: "confirm", Doc: "prove that the browser made the key; from then on log-ins ask for a second factor",
			Level: kind.Admin, In: PasskeyAnswer{}, Change: k.confirmPasskey}},
		Check: k.checkPasskey, CheckDelete: func(ctx context.Context, tx store.Tx, row *passkeyRow) error {
			return k.guardUserID(ctx, tx, row.Spec.User)
		}, Changed: touch[PasskeySpec, PasskeyStatus]}
}

func (k *Kinds) checkPasskey(ctx context.Context, tx store.Tx, old, row *passkeyRow) error {
	if err := ref(tx, k.User, row.Domain, "spec.user", &row.Spec.User); err != nil || old != nil {
		return err
	}
	u, err := k.User.Get(tx, id.ID(row.Spec.User))
	if err != nil {
		return err
	}
	if err := k.guardUser(ctx, tx, u); err != nil {
		return err
	}
	have, err := k.passkeys(tx, u)
	if err != nil {
		return err
	}
	live := have[:0:0]
	for _, p := range have {
		if p.Status.Active {
			live = append(live, p)
		} else if err := k.Passkey.Remove(tx, p); err != nil { // it was never confirmed: the new one takes its place
			return err
		}
	}
	if len(live) >= maxPasskeys {
		return fail.New(fail.Quota, "%s has %d passkeys, the most", u.Name, len(live)).Then("remove one first")
	}
	party, err := k.party(row.Spec.Origin)
	if err != nil {
		return err
	}
	who, err := holderOf(u, live)
	if err != nil {
		return err
	}
	options, session, err := party.BeginRegistration(who, webauthn.WithExclusions(webauthn.Credentials(who.keys).CredentialDescriptors()))
	if err != nil {
		return err
	}
	session.Expires = k.now().Add(passkeyEnrol)
	if row.Status.Options, err = json.Marshal(options.Response); err != nil {
		return err
	}
	row.Status.Pending, err = json.Marshal(session)
	return err
}

// party is this cloud as a browser knows it at an address.
func (k *Kinds) party(origin string) (*webauthn.WebAuthn, error) {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return nil, fail.Field("spec.origin", "%q is not the address of a console", origin).Then("give it as https://HOST or https://HOST:PORT")
	}
	if net.ParseIP(u.Hostname()) != nil {
		return nil, fail.Field("spec.origin", "browsers have no passkeys for an address of digits").Then("open the console under a host name")
	}
	return webauthn.New(&webauthn.Config{RPID: u.Hostname(), RPDisplayName: Issuer, RPOrigins: []string{origin}, AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementDiscouraged, UserVerification: protocol.VerificationPreferred}})
}

// PasskeysAt tells whether browsers have passkeys at an address.
func (k *Kinds) PasskeysAt(origin string) bool {
	_, err := k.party(origin)
	return err == nil
}

// holder is a user as the library wants one.
type holder struct {
	id         []byte
	name, full string
	keys       []webauthn.Credential
}

func (h holder) WebAuthnID() []byte                         { return h.id }
func (h holder) WebAuthnName() string                       { return h.name }
func (h holder) WebAuthnDisplayName() string                { return h.full }
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

func holderOf(u *userRow, have []*passkeyRow) (h holder, err error) {
	h = holder{id: []byte(u.ID), name: u.Name, full: u.Name}
	for _, p := range have {
		var c webauthn.Credential
		if err := json.Unmarshal(p.Status.Key, &c); err != nil {
			return h, err
		}
		h.keys = append(h.keys, c)
	}
	return h, nil
}

func (k *Kinds) passkeys(tx store.Tx, u *userRow) ([]*passkeyRow, error) {
	return k.Passkey.List(tx, string(u.Domain), kind.Filter{Index: "user", Value: string(u.ID)})
}

func (k *Kinds) confirmPasskey(ctx context.Context, tx store.Tx, row *passkeyRow, in any) (string, error) {
	wrong := func(why string) error {
		return fail.Field("answer", "%s", why).Then("begin again, at %s", row.Spec.Origin)
	}
	if row.Status.Active {
		return "", fail.New(fail.Precondition, "this passkey was confirmed already")
	}
	if err := k.guardUserID(ctx, tx, row.Spec.User); err != nil { // what was begun for an operator, only operators end
		return "", err
	}
	var session webauthn.SessionData
	if err := json.Unmarshal(row.Status.Pending, &session); err != nil {
		return "", wrong("nothing was asked that this could answer")
	}
	if k.now().After(session.Expires) {
		return "", wrong("came later than " + passkeyEnrol.String())
	}
	u, err := k.User.Get(tx, id.ID(row.Spec.User))
	if err != nil || u == nil {
		return "", err
	}
	party, err := k.party(row.Spec.Origin)
	if err != nil {
		return "", err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(in.(*PasskeyAnswer).Answer))
	if err != nil {
		return "", wrong("is not what a browser answers")
	}
	session.Expires = time.Time{} // was looked at with the cloud's own clock
	key, err := party.CreateCredential(holder{id: []byte(u.ID), name: u.Name, full: u.Name}, session, parsed)
	if err != nil {
		return "", wrong("does not fit what was asked")
	}
	row.Status.Active, row.Status.Options, row.Status.Pending = true, nil, nil
	row.Status.Key, err = json.Marshal(key)
	return "", err
}
