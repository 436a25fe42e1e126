package ident

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// CredentialSpec describes an application credential: what a program logs in with as its user, in one project, with
// some of its rights.
type CredentialSpec struct {
	User        string          `json:"user" doc:"who it acts as; you when empty" ref:"identity/user" immutable:"true"`
	Project     string          `json:"project" doc:"the one project it works in" ref:"identity/project" required:"true" immutable:"true"`
	Policies    []string        `json:"policies" doc:"of the policies that hold for the user in the project, those it may use; empty: all that hold when it is used" ref:"identity/policy" immutable:"true" max:"100"`
	Description string          `json:"description" doc:"what uses it" max:"255"`
	Expires     time.Time       `json:"expires" doc:"when it ends by itself; none: never" immutable:"true"`
	Secret      string          `json:"secret" doc:"its secret, of your choice; made when empty" secret:"true" min:"8" max:"255"`
	Manages     bool            `json:"manages" doc:"may make and delete keys and credentials of the user (unrestricted, as Keystone says)" immutable:"true"`
	Rules       json.RawMessage `json:"access_rules" doc:"a policy document that narrows it further" immutable:"true"`
	Consumer    string          `json:"consumer" doc:"the OAuth consumer whose access token it is: it works with that one's signature only; set by the cloud" ref:"identity/consumer" immutable:"true"`
	Requests    []string        `json:"requests" doc:"request rules of the user: it may make these requests and no others; empty: all" ref:"identity/request-rule" immutable:"true" max:"100"`
}

// CredentialStatus is what it logs in with.
type CredentialStatus struct {
	Secret string `json:"secret" doc:"shown once, when it is created" secret:"true"`
}

type credentialRow = kind.Row[CredentialSpec, CredentialStatus]

func (k *Kinds) credentialKind() kind.Kind[CredentialSpec, CredentialStatus] {
	return kind.Kind[CredentialSpec, CredentialStatus]{Service: "identity", Name: "application-credential", Scope: kind.InDomain, AnyName: true,
		Doc:     "What a program logs in with as its user, in one project, with some of its rights. The secret is shown once.",
		Columns: []string{"spec.user", "spec.project", "spec.expires"}, Example: CredentialSpec{Project: "awan-1", Policies: []string{"read-only"}},
		Index: map[string]func(*credentialRow) []string{
			"consumer": func(r *credentialRow) []string { return some(r.Spec.Consumer) },
			"user":     func(r *credentialRow) []string { return []string{r.Spec.User} },
			"project":  func(r *credentialRow) []string { return []string{r.Spec.Project} }},
		Prepare: makeCredential, Defaults: k.credentialOwner, Check: k.checkCredential, Changed: touch[CredentialSpec, CredentialStatus]}
}

func makeCredential(_ context.Context, old, row *credentialRow) error {
	if old != nil {
		if row.Spec.Secret != "" {
			return fail.Field("spec.secret", "cannot change").Then("make another credential")
		}
		return nil
	}
	row.Status.Secret, row.Spec.Secret = row.Spec.Secret, ""
	if row.Status.Secret == "" {
		row.Status.Secret = secret.NewToken()
	}
	return nil
}

func (k *Kinds) credentialOwner(ctx context.Context, _ store.Tx, row *credentialRow) error {
	if row.Spec.User == "" {
		row.Spec.User = string(From(ctx).User)
	}
	return nil
}

func (k *Kinds) checkCredential(ctx context.Context, tx store.Tx, old, row *credentialRow) error {
	s := &row.Spec
	if p := From(ctx); p.Lent() && !p.Manages && old == nil {
		return fail.New(fail.Denied, "this application credential or trust cannot make others").Then("use a token of the user")
	}
	if s.Consumer != "" && From(ctx).Method != BySystem {
		return fail.Field("spec.consumer", "an access token comes of a consumer's request and a user's consent").Then("leave it out")
	}
	if err := ref(tx, k.Consumer, row.Domain, "spec.consumer", &s.Consumer); err != nil {
		return err
	}
	if err := ref(tx, k.User, row.Domain, "spec.user", &s.User); err != nil {
		return err
	}
	if err := k.guardUserID(ctx, tx, s.User); err != nil {
		return err
	}
	if err := ref(tx, k.Project, row.Domain, "spec.project", &s.Project); err != nil {
		return err
	}
	for i := range s.Policies {
		if err := ref(tx, k.Policy, row.Domain, fmt.Sprintf("spec.policies[%d]", i), &s.Policies[i]); err != nil {
			return err
		}
	}
	if err := k.checkRequests(tx, row); err != nil {
		return err
	}
	if old == nil && !s.Expires.IsZero() && !k.now().Before(s.Expires) {
		return fail.Field("spec.expires", "is in the past")
	}
	if isDocument(s.Rules) {
		if err := checkDocument("spec.access_rules", s.Rules); err != nil {
			return err
		}
	}
	if old != nil {
		return nil
	}
	same, err := k.Credential.List(tx, string(row.Domain), kind.Filter{Index: "user", Value: s.User, Limit: 1, Where: func(r kind.AnyRow) bool {
		return r.M().ID != row.ID && r.M().Name == row.Name
	}})
	if err == nil && len(same) > 0 {
		return fail.New(fail.Exists, "the user has an application credential called %s already", row.Name).Then("choose another name")
	}
	return err
}
