package ident

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// A grant to a user or a group of another domain lies in the domain in which it holds, whose administrators see it and can
// take it away. Only operators give such: nobody else knows users of two domains. Its policy may be of either domain; one of
// the visitor's own is changed by operators only from then on, so that a domain cannot widen what it was let into another for.

// Keys: visit/<user or group>/<grant> and visitof/<their domain>/<grant> find such grants. They hold nothing.
const (
	visitPrefix   = "visit/"
	visitOfPrefix = "visitof/"
)

// visitor finds whom a grant to another domain's user or group names.
func (k *Kinds) visitor(ctx context.Context, tx store.Tx, row *grantRow) error {
	s := &row.Spec
	if s.Agency != "" || s.Cloud {
		return fail.Field("spec.home", "goes with a user or a group, and not with cloud")
	}
	home, err := k.Domain.Find(tx, "-", s.Home)
	if err != nil {
		return err
	}
	if err := k.onlyOperators(ctx, tx, "this grant lets somebody of another domain into this one"); err != nil {
		return err
	}
	if home == nil || home.ID == row.Domain {
		return fail.Field("spec.home", "there is no other domain %q", s.Home).Then("leave it out for users and groups of this domain")
	}
	s.Home = string(home.ID)
	of := row.Domain // the policy's domain
	if own, err := k.Policy.Find(tx, string(row.Domain), s.Policy); err != nil || own == nil {
		if of = home.ID; err != nil {
			return err
		}
	}
	return errors.Join(ref(tx, k.Policy, of, "spec.policy", &s.Policy), ref(tx, k.User, home.ID, "spec.user", &s.User), ref(tx, k.Group, home.ID, "spec.group", &s.Group))
}

// grantChanged keeps the keys of grants to other domains' people.
func (k *Kinds) grantChanged(_ context.Context, tx store.Tx, old, row *grantRow) error {
	if g := cmp.Or(row, old); g.Spec.Home != "" {
		set := func(key string) error { return tx.Put(key, nil) }
		if row == nil {
			set = tx.Delete
		}
		for _, key := range []string{visitPrefix + g.Spec.Subject() + "/", visitOfPrefix + g.Spec.Home + "/"} {
			if err := set(key + string(g.ID)); err != nil {
				return err
			}
		}
	}
	return bump(tx)
}

func (k *Kinds) grantsAt(tx store.Tx, prefix string) ([]*grantRow, error) {
	var ids []id.ID
	for key := range tx.Scan(prefix, "") {
		ids = append(ids, id.ID(key[len(prefix):]))
	}
	if err := tx.ScanErr(); err != nil {
		return nil, err
	}
	var out []*grantRow
	for _, i := range ids {
		g, err := k.Grant.Get(tx, i)
		if err != nil {
			return nil, err
		}
		if g != nil {
			out = append(out, g)
		}
	}
	return out, nil
}

// Visits are the grants that a user or a group has in other domains.
func (k *Kinds) Visits(tx store.Tx, subject string) ([]*kind.Row[GrantSpec, None], error) {
	return k.grantsAt(tx, visitPrefix+subject+"/")
}

// forgetVisits takes them away; domain: those of all of a domain's people.
func (k *Kinds) forgetVisits(tx store.Tx, subject string, domain id.ID) error {
	prefix := visitPrefix + subject + "/"
	if domain != "" {
		prefix = visitOfPrefix + string(domain) + "/"
	}
	all, err := k.grantsAt(tx, prefix)
	if err != nil {
		return err
	}
	return k.removeGrants(tx, all)
}

// lentOut are the grants in other domains that give one of this domain's policies.
func (k *Kinds) lentOut(tx store.Tx, domain id.ID) ([]*grantRow, error) {
	all, err := k.grantsAt(tx, visitOfPrefix+string(domain)+"/")
	if err != nil {
		return nil, err
	}
	var out []*grantRow
	for _, g := range all {
		pol, err := k.Policy.Get(tx, id.ID(g.Spec.Policy))
		if err != nil {
			return nil, err
		}
		if pol != nil && pol.Domain == domain {
			out = append(out, g)
		}
	}
	return out, nil
}

// visiting reads what a user and its groups hold in other domains. Agencies, and what a user lends, stay at home.
func (s *Service) visiting(tx store.Tx, p Principal) ([]granted, error) {
	if p.Agency != "" || p.Lent() {
		return nil, nil
	}
	var out []granted
	for i, subject := range append([]string{string(p.User)}, p.Groups...) {
		rows, err := s.Kinds.Visits(tx, subject)
		if err != nil {
			return nil, err
		}
		for _, g := range rows {
			at, err := s.Kinds.Domain.Get(tx, g.Domain)
			if err != nil {
				return nil, err
			}
			pol, err := s.Kinds.Policy.Get(tx, id.ID(g.Spec.Policy))
			if err != nil {
				return nil, err
			}
			if at == nil || at.Spec.Disabled || pol == nil {
				continue
			}
			source := "user " + p.DomainName + "/" + p.UserName
			if i > 0 {
				source = "a group of " + p.DomainName
			}
			doc, err := s.attached(tx, pol.ID, source)
			if err != nil {
				return nil, err
			}
			all, err := s.withImplied(tx, granted{Attached: doc, policy: pol.ID, domain: g.Domain, project: id.ID(g.Spec.Project), enterprise: g.Spec.EnterpriseProject}, pol.Domain)
			if err != nil {
				return nil, err
			}
			if all, err = s.spread(tx, g, all); err != nil {
				return nil, err
			}
			out = append(out, all...)
		}
	}
	return out, nil
}

// Visits tells whether p holds anything in a domain that is not its own; project "" = anywhere in it.
func (s *Service) Visits(tx store.Tx, p Principal, domain, project id.ID) (bool, error) {
	if p.Method == BySystem || p.Nobody() {
		return false, nil
	}
	all, err := s.policies(tx, p)
	return slices.ContainsFunc(all, func(g granted) bool {
		return g.domain != "" && g.domain == domain && (project == "" || g.project == "" || g.project == project)
	}), err
}

// Visited are the domains, beside its own, in which p holds something.
func (s *Service) Visited(tx store.Tx, p Principal) (out []id.ID, err error) {
	all, err := s.policies(tx, p)
	for _, g := range all {
		if g.domain != "" && !slices.Contains(out, g.domain) {
			out = append(out, g.domain)
		}
	}
	return out, err
}
