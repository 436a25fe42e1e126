package network

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/fabric"
)

// groupChanged gives a new group its four rules, and takes a gone one's rules away.
func (s *Service) groupChanged(ctx context.Context, tx store.Tx, old, r *groupRow) error {
	if r == nil {
		rules, err := users(tx, s.Rule, &old.Meta, "group", string(old.ID), 0)
		if err != nil {
			return err
		}
		for _, rule := range rules {
			if err := orphan(tx, s.Rule, rule); err != nil {
				return err
			}
		}
		return nil
	}
	if old != nil || r.Spec.Bare {
		return nil
	}
	return s.defaultRules(ctx, tx, r)
}

// defaultRules let everything out, and in what members of the group send.
func (s *Service) defaultRules(ctx context.Context, tx store.Tx, g *groupRow) error {
	for _, v6 := range []bool{false, true} {
		for _, rule := range []RuleSpec{{Direction: "egress", RemotePrefix: everywhere(v6)}, {Direction: "ingress", RemoteGroup: string(g.ID)}} {
			rule.Group, rule.IPv6, rule.Action, rule.Priority = string(g.ID), v6, "allow", 100
			if err := child(ctx, tx, s.Rule, &g.Meta, &ruleRow{Spec: rule}); err != nil {
				return err
			}
		}
	}
	return nil
}

func everywhere(v6 bool) string {
	if v6 {
		return "::/0"
	}
	return "0.0.0.0/0"
}

// groupUnused refuses to delete a group that something uses, or will: the project's own is what ports without another get.
func (s *Service) groupUnused(_ context.Context, tx store.Tx, r *groupRow) error {
	d, _, err := readDefaults(tx, r.Project)
	if err != nil {
		return err
	}
	if d.Group == r.ID {
		return fail.New(fail.Precondition, "%s is the project's default security group, which stays", r.Name).Then("change its rules, or use another group")
	}
	return s.groupUser(tx, r)
}

// groupUser refuses when something uses a group, and says what.
func (s *Service) groupUser(tx store.Tx, r *groupRow) error {
	if err := unused(tx, s.Port, &r.Meta, "group", "take the group off the port first"); err != nil {
		return err
	}
	rules, err := users(tx, s.Rule, &r.Meta, "remote", string(r.ID), 0)
	if err != nil {
		return err
	}
	for _, rule := range rules {
		if rule.Spec.Group != string(r.ID) {
			return fail.New(fail.Precondition, "rule %s of group %s names it", rule.ID, rule.Spec.Group).Then("delete the rule first")
		}
	}
	return nil
}

func (s *Service) groupShown(tx store.Tx, r *groupRow) error {
	rules, err := users(tx, s.Rule, &r.Meta, "group", string(r.ID), 0)
	r.Status.Rules = len(rules)
	return err
}

// ruleDefaults gives the ids of what the rule names.
func (s *Service) ruleDefaults(ctx context.Context, tx store.Tx, r *ruleRow) error {
	sp := &r.Spec
	if sp.Group == DefaultGroup || sp.RemoteGroup == DefaultGroup {
		if _, err := s.defaultGroup(ctx, tx, &r.Meta); err != nil {
			return err
		}
	}
	g, err := refer(tx, s.Group, &r.Meta, "spec.group", sp.Group)
	if err != nil {
		return err
	}
	sp.Group = string(g.ID)
	if sp.RemoteGroup != "" {
		if g, err = refer(tx, s.Group, &r.Meta, "spec.remote_group", sp.RemoteGroup); err != nil {
			return err
		}
		sp.RemoteGroup = string(g.ID)
	}
	if sp.RemoteAddressGroup != "" {
		a, err := refer(tx, s.AddressGroup, &r.Meta, "spec.remote_address_group", sp.RemoteAddressGroup)
		if err != nil {
			return err
		}
		if a.Spec.IPv6 != sp.IPv6 {
			return fail.Field("spec.remote_address_group", "holds %s addresses, the rule is of %s", family(a.Spec.IPv6), family(sp.IPv6))
		}
		sp.RemoteAddressGroup = string(a.ID)
	}
	sp.Protocol, sp.Ports = lower(sp.Protocol), strings.ReplaceAll(sp.Ports, " ", "")
	if slices.Contains([]string{"any", "all", "-1", "0"}, sp.Protocol) {
		sp.Protocol = ""
	}
	if sp.RemotePrefix != "" {
		p, err := addressOrPrefix("spec.remote_prefix", sp.RemotePrefix)
		if err != nil {
			return err
		}
		sp.RemotePrefix = p.String()
	}
	return nil
}

// protocols are those with a name, and the numbers that the engine knows them by where it has no name for them.
var protocols = map[string]string{"tcp": "tcp", "udp": "udp", "icmp": "icmp", "icmpv6": "icmpv6", "ipv6-icmp": "icmpv6", "6": "tcp", "17": "udp", "1": "icmp",
	"58": "icmpv6", "ah": "51", "dccp": "33", "egp": "8", "esp": "50", "gre": "47", "igmp": "2", "ipip": "4", "ipv6-encap": "41", "ipv6-frag": "44", "ipv6-nonxt": "59",
	"ipv6-opts": "60", "ipv6-route": "43", "ospf": "89", "pgm": "113", "rsvp": "46", "sctp": "132", "udplite": "136", "vrrp": "112"}

// protocol is what the engine calls a rule's protocol.
func (sp *RuleSpec) protocol() string {
	p, ok := protocols[sp.Protocol]
	if !ok {
		p = sp.Protocol
	}
	if sp.IPv6 && p == "icmp" {
		return "icmpv6"
	}
	return p
}

func (s *Service) checkRule(_ context.Context, tx store.Tx, _, r *ruleRow) error {
	sp := &r.Spec
	if _, named := protocols[sp.Protocol]; !named && sp.Protocol != "" {
		if n, err := strconv.Atoi(sp.Protocol); err != nil || n < 1 || n > 255 {
			return fail.Field("spec.protocol", "%q is not a protocol", sp.Protocol).Then("give tcp, udp, icmp, icmpv6, a number from 1 to 255, or nothing for any")
		}
	}
	p := sp.protocol()
	if p == "icmpv6" && !sp.IPv6 {
		return fail.Field("spec.protocol", "icmpv6 is of IPv6, the rule is of IPv4").Then("set ipv6")
	}
	if sp.Ports != "" {
		if p != "tcp" && p != "udp" {
			return fail.Field("spec.ports", "only tcp and udp have ports").Then("give the protocol too")
		}
		if _, err := portRanges(sp.Ports); err != nil {
			return err
		}
	}
	if (sp.ICMPType != nil || sp.ICMPCode != nil) && p != "icmp" && p != "icmpv6" {
		return fail.Field("spec.icmp_type", "only icmp and icmpv6 have types").Then("give the protocol too")
	}
	if sp.ICMPCode != nil && sp.ICMPType == nil {
		return fail.Field("spec.icmp_type", "is required with icmp_code")
	}
	if len(some(sp.RemotePrefix, sp.RemoteGroup, sp.RemoteAddressGroup)) > 1 {
		return fail.Field("spec.remote_prefix", "more than one other side is given").Then("give remote_prefix, remote_group or remote_address_group")
	}
	if sp.RemotePrefix != "" {
		if q := netip.MustParsePrefix(sp.RemotePrefix); q.Addr().Is6() != sp.IPv6 {
			return fail.Field("spec.remote_prefix", "%s is of %s, the rule is of %s", q, family(q.Addr().Is6()), family(sp.IPv6)).Then("set ipv6=%t", q.Addr().Is6())
		}
	}
	return s.onlyRule(tx, r)
}

// onlyRule refuses a rule that its group has already.
func (s *Service) onlyRule(tx store.Tx, r *ruleRow) error {
	rules, err := users(tx, s.Rule, &r.Meta, "group", r.Spec.Group, 0)
	if err != nil {
		return err
	}
	for _, o := range rules {
		if o.ID != r.ID && o.Spec.sense() == r.Spec.sense() {
			return fail.New(fail.Exists, "the group has this very rule already: %s", o.ID).Then("change that one")
		}
	}
	return nil
}

// sense is what a rule means.
func (sp *RuleSpec) sense() string {
	q := *sp
	q.Description, q.Protocol = "", sp.protocol()
	icmp := func(n *int) int {
		if n == nil {
			return -1
		}
		return *n
	}
	t, c := icmp(q.ICMPType), icmp(q.ICMPCode)
	q.ICMPType, q.ICMPCode = nil, nil
	if q.RemotePrefix == everywhere(q.IPv6) {
		q.RemotePrefix = ""
	}
	return fmt.Sprintf("%+v %d %d", q, t, c)
}

// portRanges reads "22,80-90".
func portRanges(s string) ([]fabric.PortRange, error) {
	var out []fabric.PortRange
	for part := range strings.SplitSeq(s, ",") {
		a, b, two := strings.Cut(part, "-")
		if !two {
			b = a
		}
		from, err1 := strconv.ParseUint(a, 10, 16)
		to, err2 := strconv.ParseUint(b, 10, 16)
		if err1 != nil || err2 != nil || from < 1 || from > to {
			return nil, fail.Field("spec.ports", "%q is not a port or a range of ports", part).Then("write 22,80-90 say, with numbers from 1 to 65535")
		}
		out = append(out, fabric.PortRange{From: uint16(from), To: uint16(to)})
	}
	if len(out) > 20 {
		return nil, fail.Field("spec.ports", "%d ranges are too many; the most is 20", len(out))
	}
	return out, nil
}

func (s *Service) checkAddresses(_ context.Context, _ store.Tx, _, r *addressesRow) error {
	if len(r.Spec.Addresses) > r.Spec.Max {
		return fail.Field("spec.addresses", "%d are too many; the most is %d", len(r.Spec.Addresses), r.Spec.Max).Then("raise max, up to 100")
	}
	for i, a := range r.Spec.Addresses {
		if _, err := addressesOf(fmt.Sprintf("spec.addresses[%d]", i), a, r.Spec.IPv6); err != nil {
			return err
		}
	}
	return nil
}

// addressesOf reads an address, a range A-B or a prefix.
func addressesOf(field, s string, v6 bool) ([]netip.Prefix, error) {
	var out []netip.Prefix
	if a, b, two := strings.Cut(s, "-"); two {
		first, err := address(field, a)
		if err != nil {
			return nil, err
		}
		end, err := address(field, b)
		if err != nil {
			return nil, err
		}
		if first.Is6() != end.Is6() || end.Less(first) {
			return nil, fail.Field(field, "%s does not go from a lower to a higher address", s)
		}
		out = span(first, end)
	} else {
		p, err := addressOrPrefix(field, s)
		if err != nil {
			return nil, err
		}
		out = []netip.Prefix{p}
	}
	if out[0].Addr().Is6() != v6 {
		return nil, fail.Field(field, "%s is not of %s", s, family(v6))
	}
	return out, nil
}

func (s *Service) addressesUnused(_ context.Context, tx store.Tx, r *addressesRow) error {
	return unused(tx, s.Rule, &r.Meta, "address-group", "delete the rule first")
}
