package ident

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// NamePattern is the rule for names of people and accounts: wider than a DNS label, without '/' and control characters.
const NamePattern = `^[A-Za-z0-9_][A-Za-z0-9_.@ -]{0,63}$`

// None is the status of a kind that has none.
type None struct{}

// Kinds are identity's resources.
type Kinds struct {
	Domain     kind.Table[DomainSpec, None]
	Project    kind.Table[ProjectSpec, None]
	User       kind.Table[UserSpec, UserStatus]
	Group      kind.Table[GroupSpec, None]
	Policy     kind.Table[PolicySpec, PolicyStatus]
	Version    kind.Table[VersionSpec, VersionStatus]
	Grant      kind.Table[GrantSpec, None]
	Key        kind.Table[KeySpec, KeyStatus]
	Credential kind.Table[CredentialSpec, CredentialStatus]
	Agency     kind.Table[AgencySpec, AgencyStatus]
	Device     kind.Table[DeviceSpec, DeviceStatus]
	Passkey    kind.Table[PasskeySpec, PasskeyStatus]
	Rules      kind.Table[RulesSpec, None]
	Enterprise kind.Table[EnterpriseSpec, None]
	Tag        kind.Table[TagSpec, None]

	UserCredential  kind.Table[UserCredentialSpec, UserCredentialStatus]
	RegisteredLimit kind.Table[RegisteredLimitSpec, None]
	Limit           kind.Table[LimitSpec, None]
	Inference       kind.Table[InferenceSpec, None]
	Trust           kind.Table[TrustSpec, TrustStatus]
	Request         kind.Table[RequestSpec, None]
	Blob            kind.Table[BlobSpec, None]
	Consumer        kind.Table[ConsumerSpec, ConsumerStatus]

	Services map[string]string // those that agencies may trust, each also by the names of other clouds' clients: "ecs" is "compute"

	service *Service    // nil where kinds are only described
	others  []*kind.Def // every kind of the cloud
	region  string

	furniture []Furniture
}

// All lists the definitions.
func (k *Kinds) All() []*kind.Def {
	return []*kind.Def{k.Domain.D, k.Project.D, k.User.D, k.Group.D, k.Policy.D, k.Version.D, k.Grant.D, k.Key.D, k.Credential.D,
		k.Agency.D, k.Device.D, k.Passkey.D, k.Rules.D, k.Enterprise.D, k.Tag.D, k.UserCredential.D, k.RegisteredLimit.D, k.Limit.D, k.Inference.D,
		k.Trust.D, k.Request.D, k.Blob.D, k.Consumer.D}
}

// Know tells which kinds the cloud has, and its region's name, for what is about all of them. The door calls it.
func (k *Kinds) Know(all []*kind.Def, region string) { k.others, k.region = all, region }

func (k *Kinds) now() time.Time { return k.service.now() }

func (k *Kinds) view(ctx context.Context, fn func(store.Tx) error) error {
	return k.service.store.View(ctx, fn)
}

func (k *Kinds) unseal(owner id.ID, field string, row id.ID, sealed string) (string, error) {
	return k.service.unseal(owner, field, row, sealed)
}

// touch marks that who-may-do-what changed, so that every cached answer is out of date.
func touch[S, T any](_ context.Context, tx store.Tx, _, _ *kind.Row[S, T]) error { return bump(tx) }

// NewKinds makes identity's kinds. passwords may be nil where kinds are only described, not used.
func NewKinds(passwords *secret.Passwords) *Kinds {
	k := new(Kinds)
	k.Domain = table(k.domainKind())
	k.Project = table(k.projectKind())
	k.User = table(k.userKind(passwords))
	k.Group = table(k.groupKind())
	k.Policy = table(k.policyKind())
	k.Version = table(k.versionKind())
	k.Grant = table(k.grantKind())
	k.Key = table(k.accessKeyKind())
	k.Credential = table(k.credentialKind())
	k.Agency = table(k.agencyKind())
	k.Device = table(k.deviceKind())
	k.Passkey = table(k.passkeyKind())
	k.Rules = table(k.rulesKind())
	k.Enterprise = table(k.enterpriseKind())
	k.Tag = table(k.tagKind())
	k.UserCredential = table(k.userCredentialKind())
	k.RegisteredLimit = table(k.registeredLimitKind())
	k.Limit = table(k.limitKind())
	k.Inference = table(k.inferenceKind())
	k.Trust = table(k.trustKind())
	k.Request = table(k.requestKind())
	k.Blob = table(k.blobKind())
	k.Consumer = table(k.consumerKind())
	return k
}

func table[S, T any](d kind.Kind[S, T]) kind.Table[S, T] { return kind.TableOf[S, T](d.Def()) }

// ref turns a name or id that a field holds into the id, in the row's domain.
func ref[S, T any](tx store.Tx, t kind.Table[S, T], domain id.ID, field string, value *string) error {
	if *value == "" {
		return nil
	}
	r, err := t.Find(tx, string(domain), *value)
	if err != nil {
		return err
	}
	if r == nil {
		return fail.Field(field, "there is no %s %q", t.D.Name, *value).Then("see awan %s list", t.D.Name)
	}
	*value = string(r.ID)
	return nil
}
