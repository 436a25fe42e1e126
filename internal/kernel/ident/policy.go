package ident

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/policy"
	"github.com/awancloud/awan/internal/kernel/store"
)

// PolicySpec describes what may be done.
type PolicySpec struct {
	Description string          `json:"description" doc:"what it allows" max:"255"`
	Foreign     string          `json:"foreign" form:"-" doc:"what a client of another cloud's API said that this cloud gives back and does not use" max:"8192"`
	Document    json.RawMessage `json:"document" doc:"policy document: Version, Statement[Effect, Action, Resource, Condition]" required:"true"`
	System      bool            `json:"system" doc:"comes with the cloud and cannot be changed" immutable:"true"`
}

// PolicyStatus is what is known of a policy.
type PolicyStatus struct {
	LastUsed time.Time `json:"last_used,omitzero" doc:"when it last allowed something, exact to a minute; none: never"`
}

type policyRow = kind.Row[PolicySpec, PolicyStatus]

func (k *Kinds) policyKind() kind.Kind[PolicySpec, PolicyStatus] {
	return kind.Kind[PolicySpec, PolicyStatus]{Service: "identity", Name: "policy", Plural: "policies", Scope: kind.InDomain, NamePat: NamePattern,
		Doc: "What may be done: a policy document in Huawei Cloud's grammar.", Columns: []string{"spec.system", "spec.description", "status.last_used"},
		Example: PolicySpec{Document: json.RawMessage(`{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["app:*:get","app:*:list"]}]}`)},
		Check:   k.checkPolicy, CheckDelete: k.policyUnused, Changed: k.policyChanged,
		Shown: func(tx store.Tx, r *policyRow) (err error) {
			r.Status.LastUsed, err = k.service.PolicyUsed(tx, r.ID)
			return err
		},
		Actions: k.policyActions()}
}

func (k *Kinds) checkPolicy(ctx context.Context, tx store.Tx, old, row *policyRow) error {
	system := From(ctx).Method == BySystem
	if row.Spec.System && !system {
		if old != nil {
			return fail.New(fail.Denied, "policy %s comes with the cloud and cannot be changed", row.Name).Then("make one of your own")
		}
		return fail.Field("spec.system", "only the cloud itself makes system policies")
	}
	if old != nil {
		if err := k.guardPolicy(ctx, tx, row.Domain, row.ID); err != nil {
			return err
		}
	}
	return checkDocument("spec.document", row.Spec.Document)
}

// isDocument tells whether a field of any JSON was given.
func isDocument(b json.RawMessage) bool { return len(b) > 0 && string(b) != "null" }

// checkDocument refuses what is no policy document; field is where it stands.
func checkDocument(field string, doc json.RawMessage) error {
	_, err := policy.Parse(doc)
	if err == nil {
		return nil
	}
	e := fail.From(err)
	return &fail.Error{Kind: e.Kind, Field: strings.TrimSuffix(field+"."+e.Field, "."), Message: e.Message, Next: e.Next, Cause: err}
}

func (k *Kinds) policyUnused(ctx context.Context, tx store.Tx, row *policyRow) error {
	if row.Spec.System && From(ctx).Method != BySystem {
		return fail.New(fail.Denied, "policy %s comes with the cloud and cannot be deleted", row.Name)
	}
	abroad, err := k.lentOut(tx, row.Domain)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(abroad, func(g *grantRow) bool { return g.Spec.Policy == string(row.ID) }); i >= 0 {
		return fail.New(fail.Precondition, "policy %s is granted in another domain", row.Name).Then("let an operator of the cloud delete grant %s first", abroad[i].ID)
	}
	used, err := k.Grant.List(tx, string(row.Domain), kind.Filter{Index: "policy", Value: string(row.ID), Limit: 1})
	if err == nil && len(used) > 0 {
		return fail.New(fail.Precondition, "policy %s is still granted", row.Name).Then("delete grant %s first", used[0].ID)
	}
	return err
}
