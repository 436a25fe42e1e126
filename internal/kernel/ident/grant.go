package ident

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// GrantSpec gives a policy to a user, a group or an agency.
type GrantSpec struct {
	Policy            string `json:"policy" doc:"the policy given" ref:"identity/policy" required:"true" immutable:"true"`
	User              string `json:"user" doc:"the user it is given to" ref:"identity/user" immutable:"true"`
	Group             string `json:"group" doc:"or the group" ref:"identity/group" immutable:"true"`
	Agency            string `json:"agency" doc:"or the agency" ref:"identity/agency" immutable:"true"`
	Home              string `json:"home" doc:"the domain of that user or group where it is not this one: only operators of the cloud let people of other domains in" ref:"identity/domain" immutable:"true"`
	Project           string `json:"project" doc:"holds in this project only; empty: in the domain and all its projects" ref:"identity/project" immutable:"true"`
	EnterpriseProject string `json:"enterprise_project" doc:"holds for the resources of this enterprise project only; 0 is the default one" immutable:"true"`
	Inherited         bool   `json:"inherited" doc:"holds in the projects below that project, at any depth, and not in it" immutable:"true"`
	Cloud             bool   `json:"cloud" doc:"holds in every domain: for operators of the cloud" immutable:"true"`
}

// Subject is whom the policy is given to.
func (g GrantSpec) Subject() string { return g.User + g.Group + g.Agency }

type grantRow = kind.Row[GrantSpec, None]

func (k *Kinds) grantKind() kind.Kind[GrantSpec, None] {
	return kind.Kind[GrantSpec, None]{Service: "identity", Name: "grant", Scope: kind.InDomain, AnyName: true,
		Doc:     "Gives a policy to a user, a group or an agency: in the whole domain, in one project, or for one enterprise project's resources.",
		Columns: []string{"spec.policy", "spec.user", "spec.group", "spec.agency", "spec.home", "spec.project", "spec.enterprise_project"},
		Example: GrantSpec{Policy: "app-developer", User: "alice"},
		Index: map[string]func(*grantRow) []string{
			"subject":            func(r *grantRow) []string { return []string{r.Spec.Subject()} },
			"policy":             func(r *grantRow) []string { return []string{r.Spec.Policy} },
			"project":            func(r *grantRow) []string { return some(r.Spec.Project) },
			"enterprise-project": func(r *grantRow) []string { return some(r.Spec.EnterpriseProject) }},
		Check: k.checkGrant, CheckDelete: k.mayTake, Changed: k.grantChanged}
}

// some is the list of a value that may be missing.
func some(v string) []string {
	if v == "" {
		return nil
	}
	return []string{v}
}

func (k *Kinds) checkGrant(ctx context.Context, tx store.Tx, _, row *grantRow) error {
	s := &row.Spec
	given := 0
	for _, v := range []string{s.User, s.Group, s.Agency} {
		if v != "" {
			given++
		}
	}
	if given != 1 {
		return fail.Field("spec.user", "give either a user, a group or an agency")
	}
	if s.Project != "" && s.EnterpriseProject != "" {
		return fail.Field("spec.enterprise_project", "give either a project or an enterprise project")
	}
	if s.Inherited && s.Project == "" {
		return fail.Field("spec.inherited", "what holds in a domain holds in all its projects anyway").Then("leave it out, or name a project")
	}
	if s.Cloud && (s.Project != "" || s.EnterpriseProject != "" || s.Agency != "") {
		return fail.Field("spec.cloud", "a grant for the whole cloud names no project and goes to no agency")
	}
	if s.Home != "" {
		if err := k.visitor(ctx, tx, row); err != nil {
			return err
		}
		return k.checkPlace(ctx, tx, row)
	}
	for _, err := range []error{
		ref(tx, k.Policy, row.Domain, "spec.policy", &s.Policy), ref(tx, k.User, row.Domain, "spec.user", &s.User),
		ref(tx, k.Group, row.Domain, "spec.group", &s.Group), ref(tx, k.Agency, row.Domain, "spec.agency", &s.Agency)} {
		if err != nil {
			return err
		}
	}
	return k.checkPlace(ctx, tx, row)
}

// checkPlace is about where a grant holds, and whether there is such a one already.
func (k *Kinds) checkPlace(ctx context.Context, tx store.Tx, row *grantRow) error {
	s := &row.Spec
	if err := ref(tx, k.Project, row.Domain, "spec.project", &s.Project); err != nil {
		return err
	}
	if s.EnterpriseProject != "" {
		ep, err := k.FindEnterpriseProject(tx, row.Domain, "spec.enterprise_project", s.EnterpriseProject)
		if err != nil {
			return err
		}
		s.EnterpriseProject = shownEnterprise(ep)
	}
	if s.Cloud {
		by := From(ctx)
		if err := k.service.MarkCloud(tx, &by); err != nil { // as of this transaction: the context tells who asks, not what they may
			return err
		}
		if !by.Cloud() {
			return fail.Field("spec.cloud", "only an operator of the cloud can make another one")
		}
	}
	same, err := k.Grant.List(tx, string(row.Domain), kind.Filter{Index: "subject", Value: s.Subject(), Where: func(r kind.AnyRow) bool {
		o := r.(*grantRow)
		return o.ID != row.ID && o.Spec == *s
	}})
	if err == nil && len(same) > 0 {
		return fail.New(fail.Exists, "this policy is granted there already, as grant %s", same[0].ID)
	}
	return err
}

// mayTake leaves operators' grants to operators.
func (k *Kinds) mayTake(ctx context.Context, tx store.Tx, row *grantRow) error {
	if !row.Spec.Cloud {
		return nil
	}
	return k.onlyOperators(ctx, tx, "this grant makes an operator of the cloud")
}

// forgetGrants takes away what was granted to a user, group or agency.
func (k *Kinds) forgetGrants(tx store.Tx, domain id.ID, subject string) error {
	if err := k.forgetVisits(tx, subject, ""); err != nil {
		return err
	}
	return k.forgetGrantsBy(tx, domain, "subject", subject)
}

func (k *Kinds) forgetGrantsBy(tx store.Tx, domain id.ID, index, value string) error {
	grants, err := k.Grant.List(tx, string(domain), kind.Filter{Index: index, Value: value})
	if err != nil {
		return err
	}
	return k.removeGrants(tx, grants)
}

func (k *Kinds) removeGrants(tx store.Tx, grants []*grantRow) error {
	for _, g := range grants {
		if err := k.Grant.Remove(tx, g); err != nil {
			return err
		}
		if err := k.grantChanged(context.Background(), tx, g, nil); err != nil {
			return err
		}
	}
	return nil
}
