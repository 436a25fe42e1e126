package scan

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Exception lets one vulnerability pass.
type Exception struct {
	ID      string    `json:"id" doc:"the vulnerability, by its id or an alias" required:"true" example:"CVE-2024-0001"`
	Package string    `json:"package" doc:"in this package only; empty: in any"`
	Reason  string    `json:"reason" doc:"why it may pass" required:"true" max:"1000"`
	Until   time.Time `json:"until,omitzero" doc:"when the exception ends; empty: never"`
}

// PolicySpec says which images may not be released.
type PolicySpec struct {
	Environment string      `json:"environment" doc:"the environment it holds in; empty: in every one of the project" ref:"app/environment"`
	Block       Severity    `json:"block" doc:"a finding at least this grave refuses a release" enum:"critical,high,medium,low" default:"high"`
	Unknown     Severity    `json:"unknown" doc:"how a finding counts whose list does not say how grave it is" enum:"critical,high,medium,low" default:"medium"`
	Exceptions  []Exception `json:"exceptions" doc:"vulnerabilities that may pass" max:"500"`
}

// PolicyStatus is empty.
type PolicyStatus struct{}

type policyRow = kind.Row[PolicySpec, PolicyStatus]

func (s *Service) policyKind() kind.Kind[PolicySpec, PolicyStatus] {
	return kind.Kind[PolicySpec, PolicyStatus]{
		Service: "registry", Name: "scan-policy", Plural: "scan-policies", Scope: kind.InProject,
		Doc:     "Refuses releases of images with known flaws, but for exceptions that say why and until when.",
		Columns: []string{"spec.environment", "spec.block"}, Example: PolicySpec{Block: High},
		Check: func(_ context.Context, _ store.Tx, _, r *policyRow) error {
			for i, e := range r.Spec.Exceptions {
				if e.ID == "" || strings.TrimSpace(e.Reason) == "" {
					return fail.Field(fmt.Sprintf("spec.exceptions.%d", i), "an exception needs an id and a reason")
				}
			}
			return nil
		},
	}
}

// Guard refuses an image that a policy of the project forbids in an environment. It scans the image when need be.
func (s *Service) Guard(ctx context.Context, m *kind.Meta, environment, image string) error {
	var policies []*policyRow
	err := s.Store.View(ctx, func(tx store.Tx) error {
		all, err := s.Policy.List(tx, string(m.Project), kind.Filter{})
		for _, p := range all {
			if p.Spec.Environment == "" || p.Spec.Environment == environment {
				policies = append(policies, p)
			}
		}
		return err
	})
	if err != nil || len(policies) == 0 {
		return err
	}
	repository, d := split(image) // releases name images by path and digest
	st, err := s.examine(ctx, repository, d)
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "the image cannot be scanned, and scan policy %s wants it to be", policies[0].Name)
	}
	for _, p := range policies {
		if st.Lists == "" {
			return fail.New(fail.Precondition, "scan policy %s refuses the release: %s, so nothing is known of the image", p.Name, NoList).
				Then("the operator loads one: awan vulnerability-list load --name NAME -f FILE")
		}
		if bad := p.Spec.blocked(st.Findings, s.Now()); len(bad) > 0 {
			return refusal(p, bad)
		}
	}
	return nil
}

// blocked gives the findings that refuse a release.
func (p *PolicySpec) blocked(findings []Finding, now time.Time) (out []Finding) {
	for _, f := range findings {
		sev := f.Severity
		if sev == Unknown {
			sev = p.Unknown
		}
		if rank[sev] < rank[p.Block] || slices.ContainsFunc(p.Exceptions, func(e Exception) bool {
			return (e.ID == f.ID || slices.Contains(f.Aliases, e.ID)) && (e.Package == "" || e.Package == f.Package) && (e.Until.IsZero() || now.Before(e.Until))
		}) {
			continue
		}
		out = append(out, f)
	}
	return out
}

func refusal(p *policyRow, bad []Finding) error {
	const shown = 5
	var parts []string
	for _, f := range bad[:min(shown, len(bad))] {
		fixed := "no fixed version is known"
		if f.Fixed != "" {
			fixed = "fixed in " + f.Fixed
		}
		parts = append(parts, fmt.Sprintf("%s %s has %s (%s, %s)", f.Package, f.Version, f.ID, f.Severity, fixed))
	}
	more := ""
	if n := len(bad) - shown; n > 0 {
		more = fmt.Sprintf(", and %d more", n)
	}
	return fail.New(fail.Precondition, "scan policy %s refuses the release: %s%s", p.Name, strings.Join(parts, "; "), more).
		Then("build with the fixed versions, or add an exception with a reason to the policy")
}
