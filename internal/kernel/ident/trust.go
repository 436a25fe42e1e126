package ident

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// TrustSpec describes a trust: some of one user's rights in one project, lent to another user of the same domain.
type TrustSpec struct {
	Trustor       string    `json:"trustor" doc:"who lends; you, and nobody lends for others" ref:"identity/user" immutable:"true"`
	Trustee       string    `json:"trustee" doc:"who may act with them" ref:"identity/user" required:"true" immutable:"true"`
	Project       string    `json:"project" doc:"the one project in which they are lent" ref:"identity/project" required:"true" immutable:"true"`
	Policies      []string  `json:"policies" doc:"the policies that are lent; the trustor must have each in the project, for as long as the trust is used" ref:"identity/policy" required:"true" immutable:"true" min:"1" max:"100"`
	Impersonation bool      `json:"impersonation" doc:"the trustee acts in the trustor's name; the audit log tells both" immutable:"true"`
	Expires       time.Time `json:"expires" doc:"when it ends by itself; none: never" immutable:"true"`
	Uses          int64     `json:"uses" doc:"how many tokens may be had with it; 0: any number" immutable:"true" min:"0"`
}

// TrustStatus is what is left of it.
type TrustStatus struct {
	Left int64 `json:"uses_left" doc:"how many tokens may still be had, where their number is limited"`
}

type trustRow = kind.Row[TrustSpec, TrustStatus]

func (k *Kinds) trustKind() kind.Kind[TrustSpec, TrustStatus] {
	return kind.Kind[TrustSpec, TrustStatus]{Service: "identity", Name: "trust", Scope: kind.InDomain, AnyName: true,
		Doc:     "Some of one user's rights in one project, lent to another user of the same domain until it is deleted, used up or over.",
		Columns: []string{"spec.trustor", "spec.trustee", "spec.project", "spec.expires", "status.uses_left"},
		Example: TrustSpec{Trustee: "robot", Project: "awan-1", Policies: []string{"read-only"}},
		Index: map[string]func(*trustRow) []string{
			"trustor": func(r *trustRow) []string { return []string{r.Spec.Trustor} },
			"trustee": func(r *trustRow) []string { return []string{r.Spec.Trustee} },
			"project": func(r *trustRow) []string { return []string{r.Spec.Project} }},
		Check: k.checkTrust, Changed: touch[TrustSpec, TrustStatus]}
}

func (k *Kinds) checkTrust(ctx context.Context, tx store.Tx, old, row *trustRow) error {
	s, by := &row.Spec, From(ctx)
	if s.Trustor == "" {
		s.Trustor = string(by.User)
	}
	for _, err := range []error{ref(tx, k.User, row.Domain, "spec.trustor", &s.Trustor), ref(tx, k.User, row.Domain, "spec.trustee", &s.Trustee),
		ref(tx, k.Project, row.Domain, "spec.project", &s.Project)} {
		if err != nil {
			return err
		}
	}
	for i := range s.Policies {
		if err := ref(tx, k.Policy, row.Domain, fmt.Sprintf("spec.policies[%d]", i), &s.Policies[i]); err != nil {
			return err
		}
	}
	if old != nil {
		return nil
	}
	switch {
	case s.Trustor != string(by.User) || !by.Whole():
		return fail.Field("spec.trustor", "users lend their own rights, and only when they log in themselves").Then("let the trustor make the trust")
	case s.Trustor == s.Trustee:
		return fail.Field("spec.trustee", "has these rights already: it is who lends them")
	case !s.Expires.IsZero() && !k.now().Before(s.Expires):
		return fail.Field("spec.expires", "is in the past")
	}
	slices.Sort(s.Policies)
	s.Policies = slices.Compact(s.Policies)
	row.Status.Left = s.Uses
	trustor, err := k.service.principal(tx, id.ID(s.Trustor))
	if err != nil {
		return err
	}
	lacking, err := k.service.notHeld(tx, trustor, row)
	if err == nil && lacking != "" {
		err = fail.Field("spec.policies", "you do not have the policy %s in the project", lacking).Then("lend what you have: awan policy simulate tells what you may")
	}
	return err
}

// notHeld names a policy of a trust that its trustor does not have any more; "" = there is none.
func (s *Service) notHeld(tx store.Tx, trustor Principal, t *trustRow) (string, error) {
	have, err := s.Roles(tx, trustor, t.Domain, id.ID(t.Spec.Project))
	if err != nil {
		return "", err
	}
	for _, p := range t.Spec.Policies {
		if !slices.ContainsFunc(have, func(r Role) bool { return string(r.ID) == p }) {
			row, err := s.Kinds.Policy.Get(tx, id.ID(p))
			if row == nil || err != nil {
				return p, err
			}
			return row.Name, nil
		}
	}
	return "", nil
}

// ofTrust is who acts with a trust, while it and both users hold and the trustor still has what it lent.
func (s *Service) ofTrust(tx store.Tx, trust id.ID) (p Principal, t *trustRow, err error) {
	gone := func(why string) error {
		return fail.New(fail.Unauthenticated, "the trust %s", why).Then("ask the trustor for another one")
	}
	if t, err = s.Kinds.Trust.Get(tx, trust); err != nil {
		return p, nil, err
	}
	if t == nil {
		return p, nil, gone("is no more")
	}
	if !t.Spec.Expires.IsZero() && !s.now().Before(t.Spec.Expires) {
		return p, nil, gone("is over")
	}
	trustor, err := s.principal(tx, id.ID(t.Spec.Trustor))
	if err != nil {
		return p, nil, err
	}
	trustee, err := s.principal(tx, id.ID(t.Spec.Trustee))
	if err != nil {
		return p, nil, err
	}
	lacking, err := s.notHeld(tx, trustor, t)
	if err != nil {
		return p, nil, err
	}
	if lacking != "" {
		return p, nil, gone("lends the policy " + lacking + ", which its trustor does not have any more")
	}
	p = trustee
	p.By = Actor{User: trustor.User, Name: trustor.UserName, Domain: trustor.Domain, DomainName: trustor.DomainName}
	if t.Spec.Impersonation {
		p = trustor
		p.By = Actor{User: trustee.User, Name: trustee.UserName, Domain: trustee.Domain, DomainName: trustee.DomainName}
	}
	p.Trust, p.Project, p.lender = t.ID, id.ID(t.Spec.Project), &trustor
	return p, t, nil
}

// ByTrust is what p becomes with a trust of which it is the trustee. The second is when the trust ends; zero: it does not.
func (s *Service) ByTrust(tx store.Tx, p Principal, trust string) (Principal, time.Time, error) {
	none := fail.Field("trust", "there is no trust %q of which you are the trustee", trust)
	if !p.Whole() {
		return Principal{}, time.Time{}, fail.New(fail.Denied, "only a user who logs in itself can use a trust").Then("send the trustee's password, or a token of its own")
	}
	tid, ok := id.Parse(trust)
	if !ok {
		return Principal{}, time.Time{}, none
	}
	row, err := s.Kinds.Trust.Get(tx, tid)
	if err != nil {
		return Principal{}, time.Time{}, err
	}
	if row == nil || row.Spec.Trustee != string(p.User) {
		return Principal{}, time.Time{}, none
	}
	q, row, err := s.ofTrust(tx, tid)
	if err != nil {
		return Principal{}, time.Time{}, err
	}
	q.Method, q.MFA, q.Issued, q.Key, q.Token = p.Method, p.MFA, p.Issued, p.Key, p.Token
	return q, row.Spec.Expires, nil
}

// UseTrust counts a token that is had with a trust, in the transaction that stores it.
func (s *Service) UseTrust(tx store.Tx, trust id.ID) error {
	row, err := s.Kinds.Trust.Get(tx, trust)
	if err != nil {
		return err
	}
	if row == nil {
		return fail.New(fail.Unauthenticated, "the trust is no more").Then("ask the trustor for another one")
	}
	if row.Spec.Uses == 0 {
		return nil
	}
	if row.Status.Left <= 0 {
		return fail.New(fail.Denied, "the trust is used up").Then("ask the trustor for another one")
	}
	row.Status.Left--
	return s.Kinds.Trust.Put(tx, row)
}

// lent are the rights that a trust lends: those of its policies, and what they imply, in its project and nowhere else.
func (s *Service) lent(tx store.Tx, p Principal) ([]granted, error) {
	t, err := s.Kinds.Trust.Get(tx, p.Trust)
	if t == nil || err != nil {
		return nil, err
	}
	wanted := map[id.ID]bool{}
	for _, pol := range t.Spec.Policies {
		all, err := s.withImplied(tx, granted{policy: id.ID(pol)}, t.Domain)
		if err != nil {
			return nil, err
		}
		for _, a := range all {
			wanted[a.policy] = true
		}
	}
	held, err := s.policies(tx, *p.lender)
	if err != nil {
		return nil, err
	}
	var out []granted
	for _, g := range held {
		if wanted[g.policy] && (g.cloud || g.project == "" || g.project == p.Project) {
			g.project, g.cloud = p.Project, false
			g.Source = "lent by user " + p.lender.UserName + ", who has it as " + g.Source
			out = append(out, g)
		}
	}
	return out, nil
}

// forgetTrusts removes those that an index holds under a value.
func (k *Kinds) forgetTrusts(tx store.Tx, domain id.ID, index, value string) error {
	rows, err := k.Trust.List(tx, string(domain), kind.Filter{Index: index, Value: value})
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := k.Trust.Remove(tx, r); err != nil {
			return err
		}
	}
	return nil
}
