package ident

import (
	"sync"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// cache holds what was read at one state of identity. Every change of identity bumps the stored revision in its own
// transaction, so that a reader who sees the change also sees that the cache is of before it, in every process.
type cache struct {
	mu        sync.Mutex
	policies  map[string][]granted      // by subject and what narrows it
	rules     map[id.ID]RulesSpec       // by domain
	keys      map[string]signer         // by access key
	tokens    map[string]knownToken     // by hash of the token
	temporary map[string]knownTemporary // by temporary access key
	places    map[id.ID]Place           // by project
}

// maxCached bounds each map, so that a flood of different callers cannot fill the memory.
const maxCached = 50_000

func newCache() *cache {
	return &cache{policies: map[string][]granted{}, rules: map[id.ID]RulesSpec{}, keys: map[string]signer{}, tokens: map[string]knownToken{},
		temporary: map[string]knownTemporary{}, places: map[id.ID]Place{}}
}

// cached gives the cache that is right for what tx reads.
func (s *Service) cached(tx store.Tx) (*cache, error) {
	b, _, err := tx.Get(revKey)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cache == nil || s.rev != string(b) {
		s.rev, s.cache = string(b), newCache()
	}
	return s.cache, nil
}

// lookup gives what m holds for key, or reads and keeps it.
func lookup[K comparable, V any](c *cache, m map[K]V, key K, read func() (V, error)) (V, error) {
	c.mu.Lock()
	v, ok := m[key]
	c.mu.Unlock()
	if ok {
		return v, nil
	}
	v, err := read()
	if err != nil {
		return v, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(m) >= maxCached {
		clear(m)
	}
	m[key] = v
	return v, nil
}

// FirstDomain is the domain that answers to "default", as Keystone's first one does: the one that is called so, in any case;
// "" = there is none.
func (s *Service) FirstDomain(tx store.Tx) (id.ID, error) {
	c, err := s.cached(tx)
	if err != nil {
		return "", err
	}
	p, err := lookup(c, c.places, "default", func() (p Place, err error) {
		for _, name := range []string{"default", "Default", "DEFAULT"} {
			row, err := s.Kinds.Domain.Find(tx, "-", name)
			if err != nil || row != nil {
				if row != nil {
					p.Domain = row.ID
				}
				return p, err
			}
		}
		return p, nil
	})
	return p.Domain, err
}

// Place is a project with what it is in. The zero value is none.
type Place struct {
	ID         id.ID
	Name       string
	Domain     id.ID
	DomainName string
	Endpoints  []string // that its tokens' catalog shows; none: all
}

// PlaceOf finds a project by its id.
func (s *Service) PlaceOf(tx store.Tx, project id.ID) (Place, error) {
	c, err := s.cached(tx)
	if err != nil {
		return Place{}, err
	}
	return lookup(c, c.places, project, func() (p Place, err error) {
		row, err := s.Kinds.Project.Get(tx, project)
		if row == nil || err != nil {
			return p, err
		}
		p = Place{ID: row.ID, Name: row.Name, Domain: row.Domain, Endpoints: row.Spec.Endpoints}
		d, err := s.Kinds.Domain.Get(tx, row.Domain)
		if d != nil {
			p.DomainName = d.Name
		}
		return p, err
	})
}
