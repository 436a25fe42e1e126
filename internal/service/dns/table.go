package dns

import (
	"context"
	"strings"

	"github.com/miekg/dns"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// table is what the rows say, ready for questions. It never changes.
type table struct {
	public  view
	private map[id.ID]view // of a VPC
	parsed  map[id.ID]*set // by record set, for the next table
}

// view is the zones that one who asks can see, by name.
type view map[string]*zone

// zone is a zone with its records by name. A name that is there only because another one is below it has no records.
type zone struct {
	name      string // with the final dot, as every name here
	recursive bool
	soa       *dns.SOA
	nodes     map[string]*node
}

type node struct {
	sets map[uint16][]*set
}

// set is the records of one record set.
type set struct {
	revision int64
	weight   int
	rrs      []dns.RR
}

// reload makes the table anew from the rows.
func (s *Service) reload(ctx context.Context) (store.Rev, error) {
	was := s.table.Load()
	t := &table{public: view{}, private: map[id.ID]view{}, parsed: map[id.ID]*set{}}
	var rev store.Rev
	err := s.Store.View(ctx, func(tx store.Tx) error {
		rev = tx.Rev()
		rows, err := s.Zone.List(tx, "", kind.Filter{Shared: true})
		if err != nil {
			return err
		}
		zones := map[id.ID]*zone{}
		for _, r := range rows {
			if r.Spec.Disabled || r.State == kind.Deleting {
				continue
			}
			z := &zone{name: fqdn(r.Name), recursive: r.Spec.Recursive, nodes: map[string]*node{}}
			serial, err := s.serial(tx, r.ID)
			if err != nil {
				return err
			}
			rr, err := parse(r.Name, r.Spec.TTL, "SOA", s.soa(r, serial))
			if err != nil {
				s.Log.Error("a zone has no SOA that can be read; it is not answered", "zone", r.Name, "err", err)
				continue
			}
			z.soa = rr.(*dns.SOA)
			zones[r.ID] = z
			t.show(z, r)
		}
		records, err := s.Record.List(tx, "", kind.Filter{Shared: true})
		if err != nil {
			return err
		}
		for _, r := range records {
			if z := zones[id.ID(r.Spec.Zone)]; z != nil && !r.Spec.Disabled && r.Spec.Type != "SOA" {
				z.add(fqdn(r.Name), s.read(t, was, r))
			}
		}
		for _, z := range zones {
			z.add(z.name, &set{rrs: []dns.RR{z.soa}})
		}
		return nil
	})
	if err == nil {
		s.table.Store(t)
	}
	return rev, err
}

// show puts a zone where it is seen.
func (t *table) show(z *zone, r *zoneRow) {
	if r.Spec.Type == Public {
		t.public[z.name] = z
		return
	}
	for _, vpc := range r.Spec.VPCs {
		if t.private[id.ID(vpc)] == nil {
			t.private[id.ID(vpc)] = view{}
		}
		t.private[id.ID(vpc)][z.name] = z
	}
}

// read parses a row, unless it was parsed for the table before. What cannot be read is left out: checks made sure of it
// when it was stored.
func (s *Service) read(t, was *table, r *recordRow) *set {
	if p := was.parsed[r.ID]; p != nil && p.revision == r.Revision {
		t.parsed[r.ID] = p
		return p
	}
	out := &set{revision: r.Revision, weight: 1}
	if r.Spec.Weight != nil {
		out.weight = *r.Spec.Weight
	}
	for _, v := range r.Spec.Values {
		rr, err := parse(r.Name, r.Spec.TTL, r.Spec.Type, v)
		if err != nil {
			s.Log.Error("a record cannot be read; it is not answered", "name", r.Name, "type", r.Spec.Type, "err", err)
			continue
		}
		out.rrs = append(out.rrs, rr)
	}
	t.parsed[r.ID] = out
	return out
}

// add puts a set at its name, and makes the names between it and the zone.
func (z *zone) add(name string, x *set) {
	for above := name; above != z.name && above != ""; _, above, _ = strings.Cut(above, ".") {
		if z.nodes[above] == nil {
			z.nodes[above] = &node{sets: map[uint16][]*set{}}
		}
	}
	if z.nodes[name] == nil {
		z.nodes[name] = &node{sets: map[uint16][]*set{}}
	}
	if len(x.rrs) > 0 {
		typ := x.rrs[0].Header().Rrtype
		z.nodes[name].sets[typ] = append(z.nodes[name].sets[typ], x)
	}
}

// find gives the zone that a name is in, the closest.
func (v view) find(name string) *zone {
	for name != "" && name != "." {
		if z := v[name]; z != nil {
			return z
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return nil
}
