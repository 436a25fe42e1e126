package linux

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
)

// portRules adds what concerns one port: where its packets are checked, and where refused ones are counted.
func (v vpcView) portRules(r *ruleset, name id.ID, p fabric.Port) {
	device := string(ifname(tapName(name)))
	r.set(setTaps, none, none).elements[device] = ""
	r.set(mapEgress, none, none).elements[device] = jumpTo(egressChain(name))
	r.set(mapIngress, none, none).elements[device] = jumpTo(ingressChain(name))
	r.set(mapRefuse, none, none).elements[device] = jumpTo(refuseChain(name))
	if p.Quarantine {
		r.set(setMute, none, none).elements[device] = ""
	}
	if p.FlowLog {
		r.set(setLogged, none, none).elements[device] = ""
	}
	v.sources(r, name, p, r.set(setSources, none, none))
	v.publicRules(r, p)
	refuse := r.chain(refuseChain(name))
	if p.FlowLog {
		refuse.add([]expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: 100, Unit: expr.LimitTimeSecond, Burst: 50}}, logTo("-"+string(name)))
	}
	refuse.add(count(), drop())

	for _, side := range []struct {
		chain string
		d     fabric.Direction
		load  func(bool, uint32) expr.Any
	}{{egressChain(name), fabric.Egress, destination}, {ingressChain(name), fabric.Ingress, source}} {
		c := r.chain(side.chain)
		switch s := v.subnet(p.Subnet); {
		case p.Quarantine:
		case p.Open:
			if side.d == fabric.Egress {
				c.add(goOn(arrive))
			} else {
				c.add(accept())
			}
			continue
		default:
			if s.Isolated {
				for _, x := range []netip.Prefix{s.CIDR, s.CIDR6} {
					if x.IsValid() {
						six := x.Addr().Is6()
						c.add(family(six), in(side.load(six, reg1), x, true), goOn(refuseChain(name)))
					}
				}
			}
			for _, g := range v.order(p.Groups, side.d) {
				v.group(r, g)
				c.add(call(g.chain()))
			}
		}
		c.add(goOn(refuseChain(name)))
	}
}

// step is the rules of one group that have one direction, one priority and one verdict.
type step struct {
	group     id.ID
	direction fabric.Direction
	priority  int
	deny      bool
}

func (s step) chain() string {
	verdict := "allow"
	if s.deny {
		verdict = "deny"
	}
	return fmt.Sprintf("g-%s-%s-%d-%s", s.group, s.direction, s.priority, verdict)
}

// order is how the rules of several groups follow each other.
func (v vpcView) order(groups []id.ID, d fabric.Direction) []step {
	found := map[step]bool{}
	for _, g := range groups {
		for _, rule := range v.w.Groups[g].Rules {
			if rule.Direction == d {
				found[step{g, d, rule.Priority, rule.Deny}] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b step) int {
		if c := cmp.Compare(a.priority, b.priority); c != 0 {
			return c
		}
		if a.deny != b.deny {
			if a.deny {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.group, b.group)
	})
}

// group adds the chain of a step, which all members of the group in this VPC share.
func (v vpcView) group(r *ruleset, s step) {
	if _, done := r.chains[s.chain()]; done {
		return
	}
	c := r.chain(s.chain())
	for _, rule := range v.w.Groups[s.group].Rules {
		if rule.Direction == s.direction && rule.Priority == s.priority && rule.Deny == s.deny {
			v.rule(r, c, rule)
		}
	}
}

func (v vpcView) rule(r *ruleset, c *chain, rule fabric.Rule) {
	match := family(rule.IPv6)
	n, _ := rule.Number()
	if n >= 0 {
		match = append(match, protocol(byte(n))...)
	}
	if (n == unix.IPPROTO_ICMP || n == unix.IPPROTO_ICMPV6) && rule.ICMPType >= 0 {
		match = append(match, icmpIs(0, byte(rule.ICMPType))...)
		if rule.ICMPCode >= 0 {
			match = append(match, icmpIs(1, byte(rule.ICMPCode))...)
		}
	}
	switch {
	case len(rule.Ports) == 1:
		match = append(match, between(rule.Ports[0].From, rule.Ports[0].To)...)
	case len(rule.Ports) > 1:
		match = append(match, toPort(reg1), &expr.Lookup{SourceRegister: reg1, SetName: portSet(r, rule.Ports)})
	}
	verdict, load, key := accept(), source(rule.IPv6, reg1), expr.MetaKeyOIFNAME
	if rule.Direction == fabric.Egress {
		verdict, load, key = goOn(arrive), destination(rule.IPv6, reg1), expr.MetaKeyIIFNAME
	}
	if rule.Deny {
		verdict = choose(key, mapRefuse) // counted where it is refused
	}
	if len(rule.Remote) == 0 && rule.Group == "" {
		c.add(match, verdict)
		return
	}
	switch {
	case len(rule.Remote) == 1:
		c.add(match, in(load, rule.Remote[0], false), verdict)
	case len(rule.Remote) > 1:
		c.add(match, inSet(load, rangeSet(r, rule.Remote)), verdict)
	}
	if rule.Group != "" {
		c.add(match, inSet(load, v.members(r, rule.Group, rule.IPv6)), verdict)
	}
}

// members is the set of a group's addresses, which follows them.
func (v vpcView) members(r *ruleset, group id.ID, six bool) string {
	name := of("members", six) + "-" + string(group)
	if _, done := r.sets[name]; !done {
		s := r.set(name, addressKey[six], none)
		for _, a := range v.w.Members(v.id, group) {
			if a.Is6() == six {
				s.elements[string(a.AsSlice())] = ""
			}
		}
	}
	return name
}

// metering counts what goes over public addresses.
func (v vpcView) metering(r *ruleset) {
	for _, six := range []bool{false, true} {
		r.set(of("meterout", six), addressKey[six], nftables.TypeVerdict)
		r.set(of("meterin", six), addressKey[six], nftables.TypeVerdict)
	}
	if !v.outward() {
		return
	}
	c := r.hook("meter", base{kind: nftables.ChainTypeFilter, hook: nftables.ChainHookForward, priority: 20})
	for _, six := range []bool{false, true} {
		c.add(oif(outName), family(six), []expr.Any{source(six, reg1), verdictOf(reg1, of("meterout", six))})
		c.add(iif(outName), family(six), []expr.Any{destination(six, reg1), verdictOf(reg1, of("meterin", six))})
	}
	v.ownMetering(r)
	for _, name := range v.ports {
		p := v.w.Ports[name]
		for _, u := range p.Public {
			a := p.PublicTo(u)
			for _, way := range []string{"meterout", "meterin"} {
				chain := meterChain(way, u.Address)
				r.set(of(way, a.Is6()), none, none).elements[string(a.AsSlice())] = jumpTo(chain)
				if m := r.chain(chain); len(m.rules) == 0 {
					m.add(count(), accept())
				}
			}
		}
	}
}

// meterChain counts what goes over a public address; it is new for whoever has the address next.
func meterChain(way string, public netip.Addr) string { return way + "-" + public.String() }

func portSet(r *ruleset, ports []fabric.PortRange) string {
	var list [][2]string
	for _, p := range ports {
		list = append(list, [2]string{string(binary.BigEndian.AppendUint16(nil, p.From)), string(binary.BigEndian.AppendUint16(nil, p.To))})
	}
	elements, until := merge(list)
	return r.intervals("ports", nftables.TypeInetService, elements, until)
}

func rangeSet(r *ruleset, prefixes []netip.Prefix) string {
	var list [][2]string
	six := prefixes[0].Addr().Is6()
	for _, p := range prefixes {
		list = append(list, [2]string{string(p.Masked().Addr().AsSlice()), string(lastOf(p).AsSlice())})
	}
	elements, until := merge(list)
	return r.intervals(of("ranges", six), addressKey[six], elements, until)
}

// merge joins ranges that overlap or touch: the kernel takes none of those.
func merge(list [][2]string) (elements, until map[string]string) {
	elements, until = map[string]string{}, map[string]string{}
	slices.SortFunc(list, func(a, b [2]string) int { return cmp.Compare(a[0], b[0]) })
	first, last := "", ""
	for i, x := range list {
		if after, over := next([]byte(last)); i > 0 && (over || x[0] <= string(after)) {
			last = max(last, x[1])
		} else {
			first, last = x[0], x[1]
		}
		elements[first], until[first] = "", last
	}
	return elements, until
}

// lastOf is the last address of a range.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func digest(list ...map[string]string) string {
	h := sha256.New()
	for _, m := range list {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(h, "%q%q;", k, m[k])
		}
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// logTo hands a packet's beginning to whoever follows the flows.
func logTo(prefix string) []expr.Any {
	return []expr.Any{&expr.Log{Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_PREFIX | 1<<unix.NFTA_LOG_SNAPLEN,
		Group: flowGroup, Snaplen: 64, Data: []byte(prefix)}}
}

const flowGroup = 77
