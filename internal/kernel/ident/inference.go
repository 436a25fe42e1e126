package ident

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// InferenceSpec says that whoever is given one policy has another too, in the same place.
type InferenceSpec struct {
	Policy  string `json:"policy" doc:"who is given this policy" ref:"identity/policy" required:"true" immutable:"true"`
	Implied string `json:"implied" doc:"has this one too" ref:"identity/policy" required:"true" immutable:"true"`
}

type inferenceRow = kind.Row[InferenceSpec, None]

func (k *Kinds) inferenceKind() kind.Kind[InferenceSpec, None] {
	return kind.Kind[InferenceSpec, None]{Service: "identity", Name: "implied-policy", Plural: "implied-policies", Scope: kind.InDomain, AnyName: true,
		Doc:     "Says that a policy implies another: whoever is given the one has the other too, wherever that is.",
		Columns: []string{"spec.policy", "spec.implied"}, Example: InferenceSpec{Policy: "app-developer", Implied: "read-only"},
		Index: map[string]func(*inferenceRow) []string{
			"policy":  func(r *inferenceRow) []string { return []string{r.Spec.Policy} },
			"implied": func(r *inferenceRow) []string { return []string{r.Spec.Implied} }},
		Check: k.checkInference, CheckDelete: func(ctx context.Context, tx store.Tx, row *inferenceRow) error {
			return k.guardPolicy(ctx, tx, row.Domain, id.ID(row.Spec.Policy))
		}, Changed: touch[InferenceSpec, None]}
}

func (k *Kinds) checkInference(ctx context.Context, tx store.Tx, old, row *inferenceRow) error {
	if err := ref(tx, k.Policy, row.Domain, "spec.policy", &row.Spec.Policy); err != nil {
		return err
	}
	if err := ref(tx, k.Policy, row.Domain, "spec.implied", &row.Spec.Implied); err != nil || old != nil {
		return err
	}
	if err := k.guardPolicy(ctx, tx, row.Domain, id.ID(row.Spec.Policy)); err != nil {
		return err
	}
	for rest, first := []id.ID{id.ID(row.Spec.Implied)}, true; len(rest) > 0; rest, first = rest[1:], false {
		if string(rest[0]) == row.Spec.Policy {
			if first {
				return fail.Field("spec.implied", "a policy cannot imply itself")
			}
			return fail.Field("spec.implied", "the policy implies this one already, over others").Then("take one of those steps away first")
		}
		next, err := k.implied(tx, row.Domain, rest[0])
		if err != nil {
			return err
		}
		rest = append(rest, next...)
	}
	same, err := k.implied(tx, row.Domain, id.ID(row.Spec.Policy))
	for _, p := range same {
		if string(p) == row.Spec.Implied {
			return fail.New(fail.Exists, "the one policy implies the other already")
		}
	}
	return err
}

// implied lists what a policy implies itself.
func (k *Kinds) implied(tx store.Tx, domain, pol id.ID) (out []id.ID, err error) {
	rows, err := k.Inference.List(tx, string(domain), kind.Filter{Index: "policy", Value: string(pol)})
	for _, r := range rows {
		out = append(out, id.ID(r.Spec.Implied))
	}
	return out, err
}

// forgetInferences removes what names a policy.
func (k *Kinds) forgetInferences(tx store.Tx, domain, pol id.ID) error {
	for _, index := range []string{"policy", "implied"} {
		rows, err := k.Inference.List(tx, string(domain), kind.Filter{Index: index, Value: string(pol)})
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := k.Inference.Remove(tx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// withImplied is a granted policy and all that it implies, each once.
func (s *Service) withImplied(tx store.Tx, g granted, domain id.ID) ([]granted, error) {
	out := []granted{g}
	seen := map[id.ID]bool{g.policy: true}
	for i := 0; i < len(out); i++ {
		next, err := s.Kinds.implied(tx, domain, out[i].policy)
		if err != nil {
			return nil, err
		}
		for _, n := range next {
			if seen[n] {
				continue
			}
			seen[n] = true
			also := g
			if also.Attached, err = s.attached(tx, n, g.Source+", implied by "+out[i].Name); err != nil {
				return nil, err
			}
			if also.policy = n; also.Doc != nil {
				out = append(out, also)
			}
		}
	}
	return out, nil
}
