package ident

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// MaxPolicyVersions is how many versions of a policy are kept.
const MaxPolicyVersions = 5

// VersionSpec describes a version of a policy. The default one is what the policy says.
type VersionSpec struct {
	Policy   string          `json:"policy" doc:"whose version it is" ref:"identity/policy" required:"true" immutable:"true"`
	Document json.RawMessage `json:"document" doc:"policy document" required:"true" immutable:"true"`
	Default  bool            `json:"default" doc:"this version is what the policy says; the one before stops to be that"`
}

// VersionStatus tells its number.
type VersionStatus struct {
	Number int `json:"number" doc:"1 is the first; numbers are not used again"`
}

type versionRow = kind.Row[VersionSpec, VersionStatus]

func (k *Kinds) versionKind() kind.Kind[VersionSpec, VersionStatus] {
	return kind.Kind[VersionSpec, VersionStatus]{Service: "identity", Name: "policy-version", Scope: kind.InDomain, AnyName: true,
		Doc:     "A version of a policy. At most five are kept; the default one is what the policy says.",
		Columns: []string{"spec.policy", "status.number", "spec.default"},
		Example: VersionSpec{Policy: "deployers", Document: json.RawMessage(`{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["app:*:*"]}]}`)},
		Index:   map[string]func(*versionRow) []string{"policy": func(r *versionRow) []string { return []string{r.Spec.Policy} }},
		Check:   k.checkVersion, CheckDelete: notDefault, Changed: k.versionChanged}
}

// Versions lists the versions of a policy, the oldest first. A policy that never had more than one has none stored.
func (k *Kinds) Versions(tx store.Tx, p *policyRow) ([]*versionRow, error) {
	rows, err := k.Version.List(tx, string(p.Domain), kind.Filter{Index: "policy", Value: string(p.ID)})
	slices.SortFunc(rows, func(a, b *versionRow) int { return a.Status.Number - b.Status.Number })
	return rows, err
}

func (k *Kinds) checkVersion(ctx context.Context, tx store.Tx, old, row *versionRow) error {
	if err := ref(tx, k.Policy, row.Domain, "spec.policy", &row.Spec.Policy); err != nil {
		return err
	}
	p, err := k.Policy.Get(tx, id.ID(row.Spec.Policy))
	if err != nil {
		return err
	}
	if p.Spec.System {
		return fail.New(fail.Denied, "policy %s comes with the cloud and cannot be changed", p.Name).Then("make one of your own")
	}
	if err := k.guardPolicy(ctx, tx, p.Domain, p.ID); err != nil {
		return err
	}
	if old != nil {
		if old.Spec.Default && !row.Spec.Default {
			return fail.Field("spec.default", "one version must be the default").Then("make another one the default")
		}
		return nil
	}
	if err := checkDocument("spec.document", row.Spec.Document); err != nil {
		return err
	}
	have, err := k.Versions(tx, p)
	if err != nil {
		return err
	}
	if len(have) == 0 { // what it says now becomes its first version
		first := &versionRow{Meta: newMeta(k.Version.D, p.Domain, "v1", row.Created)}
		first.Spec = VersionSpec{Policy: string(p.ID), Document: p.Spec.Document, Default: true}
		first.Status.Number = 1
		if err := k.Version.Put(tx, first); err != nil {
			return err
		}
		have = append(have, first)
	}
	if len(have) >= MaxPolicyVersions {
		return fail.New(fail.Quota, "policy %s has %d versions, the most", p.Name, len(have)).Then("delete one that is not the default")
	}
	row.Status.Number = have[len(have)-1].Status.Number + 1
	row.Name = fmt.Sprintf("v%d", row.Status.Number)
	return nil
}

func notDefault(ctx context.Context, _ store.Tx, row *versionRow) error {
	if row.Spec.Default && From(ctx).Method != BySystem {
		return fail.New(fail.Precondition, "this is the default version").Then("make another one the default first")
	}
	return nil
}

func (k *Kinds) versionChanged(_ context.Context, tx store.Tx, old, row *versionRow) error {
	if row == nil || !row.Spec.Default || old != nil && old.Spec.Default {
		return bump(tx)
	}
	p, err := k.Policy.Get(tx, id.ID(row.Spec.Policy))
	if err != nil {
		return err
	}
	all, err := k.Versions(tx, p)
	if err != nil {
		return err
	}
	for _, v := range all {
		if v.ID != row.ID && v.Spec.Default {
			v.Spec.Default = false
			if err := k.Version.Put(tx, v); err != nil {
				return err
			}
		}
	}
	p.Spec.Document = row.Spec.Document
	p.Generation++
	p.Updated = row.Updated
	if err := k.Policy.Put(tx, p); err != nil {
		return err
	}
	return bump(tx)
}

// policyChanged keeps the default version in step when the policy itself is written, and takes versions away with it.
func (k *Kinds) policyChanged(_ context.Context, tx store.Tx, old, row *policyRow) error {
	if old == nil {
		return bump(tx)
	}
	if row == nil {
		if err := k.forgetInferences(tx, old.Domain, old.ID); err != nil {
			return err
		}
	}
	all, err := k.Versions(tx, old)
	if err != nil {
		return err
	}
	for _, v := range all {
		switch {
		case row == nil:
			err = k.Version.Remove(tx, v)
		case v.Spec.Default:
			v.Spec.Document = row.Spec.Document
			err = k.Version.Put(tx, v)
		}
		if err != nil {
			return err
		}
	}
	return bump(tx)
}
