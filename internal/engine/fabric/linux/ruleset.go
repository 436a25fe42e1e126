package linux

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// ruleset is an nftables table as it should be.
type ruleset struct {
	family nftables.TableFamily
	sets   map[string]*set
	chains map[string]*chain
}

// set is a set or a map. One with intervals never changes: its name says its content.
type set struct {
	key, data nftables.SetDatatype // data is zero for a set
	interval  bool
	limited   bool              // filled by packets: how many connections somebody has
	elements  map[string]string // key → value; a value that begins with "→" is the chain to go to
	until     map[string]string // of an interval: first key → last key
}

// chain is a list of rules; base is set where the kernel calls it.
type chain struct {
	base  *base
	rules [][]expr.Any
}

type base struct {
	kind     nftables.ChainType
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	drop     bool
}

func newRuleset(family nftables.TableFamily) *ruleset {
	return &ruleset{family: family, sets: map[string]*set{}, chains: map[string]*chain{}}
}

func (r *ruleset) set(name string, key, data nftables.SetDatatype) *set {
	s, ok := r.sets[name]
	if !ok {
		s = &set{key: key, data: data, elements: map[string]string{}, until: map[string]string{}}
		r.sets[name] = s
	}
	return s
}

func (r *ruleset) chain(name string) *chain {
	c, ok := r.chains[name]
	if !ok {
		c = &chain{}
		r.chains[name] = c
	}
	return c
}

func (r *ruleset) hook(name string, b base) *chain {
	c := r.chain(name)
	c.base = &b
	return c
}

// add appends a rule.
func (c *chain) add(parts ...[]expr.Any) {
	c.rules = append(c.rules, slices.Concat(parts...))
}

// jumpTo is a map's value that makes a packet go on in chain.
func jumpTo(chain string) string { return "→" + chain }

// let and refuse are a map's values that end a packet's way.
const let, refuse = "accept", "drop"

func (s *set) same(o *set) bool {
	return s.key == o.key && s.data == o.data && s.interval == o.interval && s.limited == o.limited
}

func (s *set) object(t *nftables.Table, name string) *nftables.Set {
	out := &nftables.Set{Table: t, Name: name, KeyType: s.key, DataType: s.data, IsMap: s.data.Bytes > 0 || s.data.Name == nftables.TypeVerdict.Name,
		Interval: s.interval, Concatenation: strings.Contains(s.key.Name, " . "), Dynamic: s.limited}
	if s.key == nftables.TypeIFName {
		out.KeyByteOrder = binaryutil.NativeEndian // so that nft(8) prints the names
	}
	if s.limited {
		out.Size = 1 << 16
	}
	return out
}

func (s *set) element(key, value string) []nftables.SetElement {
	e := nftables.SetElement{Key: []byte(key)}
	switch chain, ok := strings.CutPrefix(value, "→"); {
	case value == let:
		e.VerdictData = &expr.Verdict{Kind: expr.VerdictAccept}
	case value == refuse:
		e.VerdictData = &expr.Verdict{Kind: expr.VerdictDrop}
	case ok:
		e.VerdictData = &expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}
	case value != "":
		e.Val = []byte(value)
	}
	if !s.interval {
		return []nftables.SetElement{e}
	}
	last := s.until[key]
	if strings.Contains(s.key.Name, " . ") {
		e.KeyEnd = []byte(last)
		return []nftables.SetElement{e}
	}
	end, over := next([]byte(last))
	if over {
		return []nftables.SetElement{e}
	}
	return []nftables.SetElement{e, {Key: end, IntervalEnd: true}}
}

// next is the number after b; over tells that there is none.
func next(b []byte) (out []byte, over bool) {
	out = bytes.Clone(b)
	for i := len(out) - 1; i >= 0; i-- {
		out[i]++
		if out[i] != 0 {
			return out, false
		}
	}
	return out, true
}

// apply makes the table name equal to want in one transaction; had is what it is now, nil when that is not known.
func (s *space) apply(name string, had, want *ruleset) error {
	c, err := s.filter()
	if err != nil {
		return err
	}
	t := &nftables.Table{Family: want.family, Name: name}
	if had == nil {
		c.AddTable(t) // so that deleting it cannot fail
		c.DelTable(t)
		had = newRuleset(want.family)
	}
	c.AddTable(t)
	b := batch{Conn: c, table: t}
	err = b.change(had, want)
	if err == nil {
		err = c.Flush()
	}
	if err != nil {
		return fmt.Errorf("load the packet rules %s: %w", name, err)
	}
	return nil
}

func (s *space) dropTable(name string, family nftables.TableFamily) error {
	c, err := s.filter()
	if err != nil {
		return err
	}
	t := &nftables.Table{Family: family, Name: name}
	c.AddTable(t)
	c.DelTable(t)
	return c.Flush()
}

// batch collects the messages of one transaction.
type batch struct {
	*nftables.Conn
	table *nftables.Table
}

// change writes the difference in the order of who refers to whom: sets, chains, elements, rules; then away with what is
// left over, the other way round.
func (b batch) change(had, want *ruleset) error {
	gone := func(name string) bool { // a set of that name with another shape must go first
		h, ok := had.sets[name]
		return ok && (want.sets[name] == nil || !want.sets[name].same(h))
	}
	for _, name := range slices.Sorted(maps.Keys(want.sets)) {
		if w, h := want.sets[name], had.sets[name]; h == nil {
			if err := b.AddSet(w.object(b.table, name), nil); err != nil {
				return err
			}
		} else if gone(name) {
			return errors.New("the set " + name + " changed its shape under its name")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.chains)) {
		if had.chains[name] == nil {
			b.AddChain(want.chains[name].object(b.table, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.sets)) {
		old := &set{}
		if h := had.sets[name]; h != nil {
			old = h
		}
		if err := b.elements(name, old, want.sets[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.chains)) {
		w, h := want.chains[name], had.chains[name]
		if h != nil && sameRules(want.family, h.rules, w.rules) {
			continue
		}
		object := w.object(b.table, name)
		if h != nil {
			b.FlushChain(object)
		}
		for _, r := range w.rules {
			b.AddRule(&nftables.Rule{Table: b.table, Chain: object, Exprs: r})
		}
	}
	var old []*nftables.Chain
	for _, name := range slices.Sorted(maps.Keys(had.chains)) {
		if want.chains[name] == nil {
			old = append(old, had.chains[name].object(b.table, name))
		}
	}
	for _, c := range old {
		b.FlushChain(c)
	}
	for _, name := range slices.Sorted(maps.Keys(had.sets)) {
		if gone(name) {
			b.DelSet(had.sets[name].object(b.table, name))
		}
	}
	for _, c := range old {
		b.DelChain(c)
	}
	return nil
}

// elements changes what is in a set. A message holds a few hundred of them.
func (b batch) elements(name string, had, want *set) error {
	if want.limited {
		return nil
	}
	var out, in []nftables.SetElement
	for _, k := range slices.Sorted(maps.Keys(had.elements)) {
		if v, ok := want.elements[k]; !ok || v != had.elements[k] {
			out = append(out, had.element(k, had.elements[k])...)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(want.elements)) {
		if v, ok := had.elements[k]; !ok || v != want.elements[k] {
			in = append(in, want.element(k, want.elements[k])...)
		}
	}
	object := want.object(b.table, name)
	const many = 400
	for part := range slices.Chunk(out, many) {
		if err := b.SetDeleteElements(object, part); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(in, many) {
		if err := b.SetAddElements(object, part); err != nil {
			return err
		}
	}
	return nil
}

func (c *chain) object(t *nftables.Table, name string) *nftables.Chain {
	out := &nftables.Chain{Table: t, Name: name}
	if c.base != nil {
		policy := nftables.ChainPolicyAccept
		if c.base.drop {
			policy = nftables.ChainPolicyDrop
		}
		out.Type, out.Hooknum, out.Priority, out.Policy = c.base.kind, c.base.hook, &c.base.priority, &policy
	}
	return out
}

func sameRules(family nftables.TableFamily, a, b [][]expr.Any) bool {
	return slices.EqualFunc(a, b, func(x, y []expr.Any) bool { return canonical(family, x) == canonical(family, y) })
}

// canonical is a rule's text to compare it by: without what counts, and without the numbers that only the transaction knew.
func canonical(family nftables.TableFamily, rule []expr.Any) string {
	var b strings.Builder
	for _, e := range rule {
		switch x := e.(type) {
		case *expr.Counter:
			e = &expr.Counter{}
		case *expr.Lookup:
			y := *x
			y.SetID = 0
			e = &y
		case *expr.NAT: // the kernel gives back the end of a range of one, too
			y := *x
			y.RegAddrMax, y.RegProtoMax = max(y.RegAddrMin, y.RegAddrMax), max(y.RegProtoMin, y.RegProtoMax)
			e = &y
		case *expr.Dynset:
			y := *x
			y.SetID = 0
			e = &y
		}
		raw, err := expr.Marshal(byte(family), e)
		if err != nil {
			raw = []byte(err.Error())
		}
		fmt.Fprintf(&b, "%T%x;", e, raw)
	}
	return b.String()
}
