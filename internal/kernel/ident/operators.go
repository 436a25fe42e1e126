package ident

import (
	"context"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// An operator of the whole cloud is a user of some domain like others, whose administrators manage its users. Whoever could
// set an operator's password there, make keys for it, take its second factor away, put people into its group or widen its
// policy would be an operator too. So all that is for operators only; what users do with their own, the cloud does for them.

// onlyOperators refuses callers who are none.
func (k *Kinds) onlyOperators(ctx context.Context, tx store.Tx, what string) error {
	p := From(ctx)
	if err := k.service.MarkCloud(tx, &p); err != nil || p.Cloud() {
		return err
	}
	return fail.New(fail.Denied, "%s, so only an operator may do this", what).Then("ask one; users change their own password and second factor themselves")
}

// guardUser refuses what would change how an operator logs in.
func (k *Kinds) guardUser(ctx context.Context, tx store.Tx, users ...*userRow) error {
	for _, u := range users {
		if u == nil {
			continue
		}
		p := Principal{User: u.ID, UserName: u.Name, Domain: u.Domain, Groups: u.Spec.Groups}
		all, err := k.service.readPolicies(tx, p) // not the cached ones: the groups may be those that it is to have
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(g granted) bool { return g.cloud }) {
			return k.onlyOperators(ctx, tx, u.Name+" is, or would be, an operator of the cloud")
		}
	}
	return nil
}

// guardUserID is guardUser for who is named by id.
func (k *Kinds) guardUserID(ctx context.Context, tx store.Tx, user string) error {
	u, err := k.User.Get(tx, id.ID(user))
	if err != nil {
		return err
	}
	return k.guardUser(ctx, tx, u)
}

// cloudGrants are those of a domain that hold in the whole cloud.
func (k *Kinds) cloudGrants(tx store.Tx, domain id.ID) ([]*grantRow, error) {
	return k.Grant.List(tx, string(domain), kind.Filter{Where: func(r kind.AnyRow) bool { return r.(*grantRow).Spec.Cloud }})
}

// guardGroup refuses what would change a group of operators.
func (k *Kinds) guardGroup(ctx context.Context, tx store.Tx, g *groupRow) error {
	grants, err := k.cloudGrants(tx, g.Domain)
	if err != nil || !slices.ContainsFunc(grants, func(r *grantRow) bool { return r.Spec.Group == string(g.ID) }) {
		return err
	}
	return k.onlyOperators(ctx, tx, "group "+g.Name+" is of operators of the cloud")
}

// guardPolicy refuses what would change what operators may do: a policy that is granted in the whole cloud, or that such a
// one implies.
func (k *Kinds) guardPolicy(ctx context.Context, tx store.Tx, domain, pol id.ID) error {
	grants, err := k.cloudGrants(tx, domain)
	if err != nil {
		return err
	}
	abroad, err := k.lentOut(tx, domain)
	if err != nil {
		return err
	}
	for _, g := range append(grants, abroad...) {
		all, err := k.service.withImplied(tx, granted{policy: id.ID(g.Spec.Policy)}, domain)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(a granted) bool { return a.policy == pol }) {
			return k.onlyOperators(ctx, tx, "operators of the cloud hold this policy, or it holds in another domain")
		}
	}
	return nil
}

// guardRules refuses to loosen what operators need to log in.
func (k *Kinds) guardRules(ctx context.Context, tx store.Tx, domain id.ID) error {
	grants, err := k.cloudGrants(tx, domain)
	if err != nil || len(grants) == 0 {
		return err
	}
	return k.onlyOperators(ctx, tx, "operators of the cloud log in by these rules")
}
