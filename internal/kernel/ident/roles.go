package ident

import (
	"cmp"
	"slices"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Role is a policy that holds for somebody.
type Role struct {
	ID   id.ID
	Name string
}

// Roles lists the policies that hold for p in a project of a domain ("" = in the domain itself), by name.
func (s *Service) Roles(tx store.Tx, p Principal, domain, project id.ID) ([]Role, error) {
	all, err := s.policies(tx, p)
	if err != nil {
		return nil, err
	}
	var out []Role
	for _, g := range all {
		r := Role{g.policy, g.Name}
		if g.holds(p, domain, project, "") && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Role) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// holds tells whether a grant to p counts in a project of a domain, for what belongs to an enterprise project there
// ("" = for what belongs to none).
func (g granted) holds(p Principal, domain, project id.ID, enterprise string) bool {
	return g.cloud || domain == cmp.Or(g.domain, p.Domain) && (g.project == "" || g.project == project) && (g.enterprise == "" || g.enterprise == enterprise)
}

// Projects lists the projects in which some policy holds for p: those of its own domain first.
func (s *Service) Projects(tx store.Tx, p Principal) ([]*kind.Row[ProjectSpec, None], error) {
	all, err := s.policies(tx, p)
	if err != nil {
		return nil, err
	}
	abroad, err := s.Visited(tx, p)
	if err != nil {
		return nil, err
	}
	var out []*kind.Row[ProjectSpec, None]
	for _, domain := range append([]id.ID{p.Domain}, abroad...) {
		rows, err := s.Kinds.Project.List(tx, string(domain), kind.Filter{Where: func(r kind.AnyRow) bool {
			return slices.ContainsFunc(all, func(g granted) bool {
				return (domain == p.Domain || g.domain == domain) && g.holds(p, domain, r.M().ID, g.enterprise)
			}) && (!p.Lent() || p.Project == r.M().ID)
		}})
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, nil
}

// EnterpriseProjects lists the ids of the enterprise projects ("0" for the default one) that grants to p name.
func (s *Service) EnterpriseProjects(tx store.Tx, p Principal) ([]string, error) {
	all, err := s.policies(tx, p)
	var out []string
	for _, g := range all {
		if g.enterprise != "" && !slices.Contains(out, g.enterprise) {
			out = append(out, g.enterprise)
		}
	}
	return out, err
}

// SystemRoles lists the policies that hold for p in the whole cloud.
func (s *Service) SystemRoles(tx store.Tx, p Principal) ([]Role, error) {
	all, err := s.policies(tx, p)
	var out []Role
	for _, g := range all {
		if r := (Role{g.policy, g.Name}); g.cloud && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Role) int { return cmp.Compare(a.Name, b.Name) })
	return out, err
}
