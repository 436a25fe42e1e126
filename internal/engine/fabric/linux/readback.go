package linux

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
)

// seenRules is a table as the kernel has it, as texts to compare.
type seenRules struct {
	sets   map[string]map[string]bool
	chains map[string]seenChain
}

type seenChain struct {
	base  string
	rules []string
}

// read fetches a table; os.ErrNotExist when there is none.
func (s *space) read(name string, family nftables.TableFamily) (*seenRules, error) {
	c, err := s.filter()
	if err != nil {
		return nil, err
	}
	tables, err := c.ListTablesOfFamily(family)
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	i := slices.IndexFunc(tables, func(t *nftables.Table) bool { return t.Name == name })
	if i < 0 {
		return nil, os.ErrNotExist
	}
	t := tables[i]
	out := &seenRules{sets: map[string]map[string]bool{}, chains: map[string]seenChain{}}
	chains, err := c.ListChainsOfTableFamily(family)
	if err != nil {
		return nil, fmt.Errorf("list the chains: %w", err)
	}
	for _, ch := range chains {
		if ch.Table.Name != name {
			continue
		}
		rules, err := c.GetRules(t, ch)
		if err != nil {
			return nil, fmt.Errorf("list the rules of %s: %w", ch.Name, err)
		}
		seen := seenChain{base: baseText(ch)}
		for _, r := range rules {
			seen.rules = append(seen.rules, canonical(family, r.Exprs))
		}
		out.chains[ch.Name] = seen
	}
	sets, err := c.GetSets(t)
	if err != nil {
		return nil, fmt.Errorf("list the sets: %w", err)
	}
	for _, set := range sets {
		seen := map[string]bool{}
		if !set.Dynamic {
			list, err := c.GetSetElements(set)
			if err != nil {
				return nil, fmt.Errorf("list the elements of %s: %w", set.Name, err)
			}
			for _, e := range list {
				value := string(e.Val)
				if strings.HasPrefix(value, "\x08\x00\x01\x00") && len(value) >= 8 { // a verdict: its code, and maybe a chain
					value = fmt.Sprintf("verdict %d", int32(binary.BigEndian.Uint32([]byte(value[4:8]))))
					switch value {
					case "verdict 1":
						value = let
					case "verdict 0":
						value = refuse
					}
					if len(e.Val) > 12 {
						value = jumpTo(strings.TrimRight(string(e.Val[12:]), "\x00"))
					}
				}
				seen[elementText(e, value)] = true
			}
		}
		out.sets[set.Name] = seen
	}
	return out, nil
}

func elementText(e nftables.SetElement, value string) string {
	end := string(e.KeyEnd)
	if end == string(e.Key) {
		end = ""
	}
	return fmt.Sprintf("%x %x %t %q", e.Key, end, e.IntervalEnd, value)
}

func baseText(c *nftables.Chain) string {
	if c.Hooknum == nil {
		return ""
	}
	policy, priority := nftables.ChainPolicyAccept, nftables.ChainPriority(0)
	if c.Policy != nil {
		policy = *c.Policy
	}
	if c.Priority != nil {
		priority = *c.Priority
	}
	return fmt.Sprintf("%s at hook %d, priority %d, policy %d", c.Type, *c.Hooknum, priority, policy)
}

// difference tells in words what a table has that it should not have, and what it lacks.
func difference(seen *seenRules, want *ruleset) []differs {
	var out []differs
	for _, name := range slices.Sorted(maps.Keys(want.chains)) {
		w := want.chains[name]
		s, ok := seen.chains[name]
		if !ok {
			out = append(out, differs{name, "the chain " + name + " is missing"})
			continue
		}
		if b := baseText(w.object(&nftables.Table{}, name)); b != s.base {
			out = append(out, differs{name, fmt.Sprintf("the chain %s is %s, not %s", name, s.base, b)})
		}
		var rules []string
		for _, r := range w.rules {
			rules = append(rules, canonical(want.family, r))
		}
		if foreign := without(s.rules, rules); foreign > 0 {
			out = append(out, differs{name, fmt.Sprintf("the chain %s has %d rules that nobody ordered", name, foreign)})
		}
		if lost := without(rules, s.rules); lost > 0 {
			out = append(out, differs{name, fmt.Sprintf("the chain %s lacks %d of its rules", name, lost)})
		}
		if without(s.rules, rules)+without(rules, s.rules) == 0 && !slices.Equal(s.rules, rules) {
			out = append(out, differs{name, "the chain " + name + " has its rules in another order"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen.chains)) {
		if want.chains[name] == nil {
			out = append(out, differs{name, "there is a chain " + name + " that nobody ordered"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.sets)) {
		w := want.sets[name]
		s, ok := seen.sets[name]
		if !ok {
			out = append(out, differs{name, "the set " + name + " is missing"})
			continue
		}
		elements := map[string]bool{}
		if !w.limited {
			for k, v := range w.elements {
				for _, e := range w.element(k, v) {
					elements[elementText(e, v)] = true
				}
			}
		}
		foreign, lost := 0, 0
		for e := range s {
			if !elements[e] {
				foreign++
			}
		}
		for e := range elements {
			if !s[e] {
				lost++
			}
		}
		if foreign > 0 {
			out = append(out, differs{name, fmt.Sprintf("the set %s has %d elements that nobody ordered", name, foreign)})
		}
		if lost > 0 {
			out = append(out, differs{name, fmt.Sprintf("the set %s lacks %d of its elements", name, lost)})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen.sets)) {
		if want.sets[name] == nil {
			out = append(out, differs{name, "there is a set " + name + " that nobody ordered"})
		}
	}
	return out
}

// without counts those of a that b does not have.
func without(a, b []string) int {
	have := map[string]int{}
	for _, x := range b {
		have[x]++
	}
	n := 0
	for _, x := range a {
		if have[x]--; have[x] < 0 {
			n++
		}
	}
	return n
}
