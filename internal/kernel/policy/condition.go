package policy

import (
	"errors"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Condition is one operator on one key. It holds when a fact's value passes the test of one of the values; several
// conditions all have to hold.
//
// A key without a fact fails a test and passes a negated one (Not…); with IfExists it passes both. A fact with several
// values passes when one of them does, and passes a negated test when all of them do; ForAllValues: and ForAnyValue:
// say it explicitly (without a fact the first holds, the second does not).
type Condition struct {
	Operator string   // as written: "ForAnyValue:StringEqualsIfExists"
	Key      string   // as written: "g:ResourceTag/team"
	Values   []string // as written

	tests    []func(fact string) bool
	negated  bool
	ifExists bool
	each     quantifier
	absent   int // for operators that ask whether there is a fact: which answer they want
}

type quantifier int

const (
	unspecified quantifier = iota
	forAll
	forAny
)

// What the operators that ask for a fact's presence want.
const (
	_         = iota
	wantNone  // no fact
	wantSome  // a fact
	wantEmpty // no fact, or only empty values
	wantFull  // a value that is not empty
)

// holds evaluates the condition. Facts' keys that differ by letter case only are one key.
func (c *Condition) holds(facts map[string][]string) bool {
	known, passing, total, full := false, 0, 0, 0
	for k, values := range facts {
		if len(k) != len(c.Key) || !strings.EqualFold(k, c.Key) { // letters of the two cases have the same length
			continue
		}
		for _, v := range values {
			known = true
			total++
			if v != "" {
				full++
			}
			if c.passes(v) {
				passing++
			}
		}
	}
	switch {
	case c.absent != 0:
		return c.absent == wantNone && !known || c.absent == wantSome && known ||
			c.absent == wantEmpty && full == 0 || c.absent == wantFull && full > 0
	case !known && c.ifExists:
		return true
	case c.each == forAll:
		return passing == total
	case c.each == forAny:
		return passing > 0
	case c.negated:
		return passing == total
	}
	return passing > 0
}

// passes tests one value of the fact: against any of the condition's, or, negated, against none of them.
func (c *Condition) passes(fact string) bool {
	for _, t := range c.tests {
		if t(fact) {
			return !c.negated
		}
	}
	return c.negated
}

// operator makes the test for one value of a policy, or says what is wrong with the value.
type operator struct {
	negated  bool
	presence bool // asks whether there is a fact; the value is "true" or "false"
	compile  func(value string) (func(fact string) bool, error)
}

// operators maps each operator's name, without its decorations, to what it does.
var operators = allOperators()

func allOperators() map[string]operator {
	all := map[string]operator{
		"Bool":         {compile: boolean},
		"IpAddress":    {compile: address},
		"NotIpAddress": {compile: address, negated: true},
		"Null":         {presence: true}, "IsNull": {presence: true}, "IsNotNull": {presence: true}, "IsNullOrEmpty": {presence: true},
	}
	for name, test := range map[string]func(value string) (func(fact string) bool, error){
		"Equals":           text(func(f, v string) bool { return f == v }),
		"EqualsIgnoreCase": text(strings.EqualFold),
		"StartWith":        text(strings.HasPrefix),
		"EndWith":          text(strings.HasSuffix),
		"Like":             like,
		"Match":            like, // as 5.0 calls it
	} {
		all["String"+name] = operator{compile: test}
		all["StringNot"+name] = operator{compile: test, negated: true}
	}
	for name, test := range map[string]func(order int) bool{
		"Equals":            func(o int) bool { return o == 0 },
		"LessThan":          func(o int) bool { return o < 0 },
		"LessThanEquals":    func(o int) bool { return o <= 0 },
		"GreaterThan":       func(o int) bool { return o > 0 },
		"GreaterThanEquals": func(o int) bool { return o >= 0 },
	} {
		for _, family := range []string{"Number", "Numeric"} { // 1.1 and 5.0 name them differently
			all[family+name] = operator{compile: number(test)}
		}
		all["Date"+name] = operator{compile: date(test)}
	}
	for _, family := range []string{"Number", "Numeric", "Date"} {
		o := all[family+"Equals"]
		o.negated = true
		all[family+"NotEquals"] = o
	}
	return all
}

// Operators lists the names of the operators, sorted. Each may have the prefix ForAllValues: or ForAnyValue: and the
// suffixes AnyOf (which changes nothing) and IfExists, but for those that ask whether there is a fact.
func Operators() []string { return slices.Sorted(maps.Keys(operators)) }

func text(same func(fact, value string) bool) func(string) (func(string) bool, error) {
	return func(value string) (func(string) bool, error) {
		return func(fact string) bool { return same(fact, value) }, nil
	}
}

func like(value string) (func(string) bool, error) {
	return glob(value).match, nil
}

func number(want func(order int) bool) func(string) (func(string) bool, error) {
	parse := func(s string) (float64, bool) {
		n, err := strconv.ParseFloat(s, 64)
		return n, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
	}
	return func(value string) (func(string) bool, error) {
		v, ok := parse(value)
		if !ok {
			return nil, errors.New("not a number")
		}
		return func(fact string) bool {
			f, ok := parse(fact)
			order := 0
			if f < v {
				order = -1
			} else if f > v {
				order = 1
			}
			return ok && want(order)
		}, nil
	}
}

func date(want func(order int) bool) func(string) (func(string) bool, error) {
	parse := func(s string) (time.Time, bool) {
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly} {
			if t, err := time.Parse(layout, s); err == nil {
				return t, true
			}
		}
		return time.Time{}, false
	}
	return func(value string) (func(string) bool, error) {
		v, ok := parse(value)
		if !ok {
			return nil, errors.New(`not a date such as "2026-01-31T08:00:00Z"`)
		}
		return func(fact string) bool {
			f, ok := parse(fact)
			return ok && want(f.Compare(v))
		}, nil
	}
}

func boolean(value string) (func(string) bool, error) {
	if !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
		return nil, errors.New(`not "true" or "false"`)
	}
	return func(fact string) bool { return strings.EqualFold(fact, value) }, nil
}

func address(value string) (func(string) bool, error) {
	network, err := netip.ParsePrefix(value)
	if err != nil {
		one, err := netip.ParseAddr(value)
		if err != nil || one.Zone() != "" {
			return nil, errors.New(`not an address such as "192.0.2.7" or "192.0.2.0/24"`)
		}
		one = one.Unmap()
		network = netip.PrefixFrom(one, one.BitLen())
	}
	return func(fact string) bool {
		ip, err := netip.ParseAddr(fact)
		return err == nil && network.Contains(ip.Unmap().WithZone(""))
	}, nil
}

// globalKeys are the keys that every service's requests may have facts for; a trailing '/' takes a tag's key.
var globalKeys = []string{
	"g:CalledVia", "g:CurrentTime", "g:DomainId", "g:DomainName", "g:EnterpriseProjectId", "g:MFAAge", "g:MFAPresent",
	"g:PrincipalAccount", "g:PrincipalId", "g:PrincipalIsRootUser", "g:PrincipalIsService", "g:PrincipalOrgId",
	"g:PrincipalOrgPath", "g:PrincipalServiceName", "g:PrincipalTag/", "g:PrincipalType", "g:PrincipalUrn", "g:ProjectId",
	"g:ProjectName", "g:Referer", "g:RequestTag/", "g:RequestedRegion", "g:ResourceAccount", "g:ResourceOrgId",
	"g:ResourceOrgPath", "g:ResourceTag/", "g:SecureTransport", "g:ServiceName", "g:SourceAccount", "g:SourceIp",
	"g:SourceIdentity", "g:SourceUrn", "g:SourceVpc", "g:SourceVpce", "g:TagKeys", "g:TokenAge", "g:TokenIssueTime",
	"g:UserAgent", "g:UserId", "g:UserName", "g:ViaService", "g:VpcSourceIp",
}

// GlobalKeys lists the condition keys that begin with "g:"; one that ends in '/' takes a tag's key behind it.
func GlobalKeys() []string { return slices.Clone(globalKeys) }

// checkKey says what is wrong with a condition's key.
func checkKey(key string) error {
	service, name, ok := strings.Cut(key, ":")
	head, _, _ := strings.Cut(key, "/") // a tag's key behind it may be of any script
	foreign := func(r rune) bool { return r > '~' }
	if !ok || service == "" || name == "" || strings.ContainsAny(key, " \t\r\n*") || strings.ContainsFunc(head, foreign) {
		return errors.New(`not a condition key such as "g:ProjectName" or "obs:prefix"`)
	}
	if !strings.EqualFold(service, "g") {
		return nil // a service's own key
	}
	for _, k := range globalKeys {
		if strings.EqualFold(k, key) && !strings.HasSuffix(k, "/") ||
			strings.HasSuffix(k, "/") && len(key) > len(k) && strings.EqualFold(k, key[:len(k)]) {
			return nil
		}
	}
	return errors.New("unknown global condition key; one of " + strings.Join(globalKeys, ", "))
}

// newCondition compiles an operator with its values; at says which value is wrong, -1 for the operator.
func newCondition(name, key string, values []string) (c Condition, at int, err error) {
	c = Condition{Operator: name, Key: key, Values: values}
	if rest, ok := strings.CutPrefix(name, "ForAllValues:"); ok {
		c.each, name = forAll, rest
	} else if rest, ok := strings.CutPrefix(name, "ForAnyValue:"); ok {
		c.each, name = forAny, rest
	}
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	name, anyOf := strings.CutSuffix(name, "AnyOf")
	o, ok := operators[name]
	if !ok || o.presence && (c.each != unspecified || c.ifExists || anyOf) {
		return c, -1, errors.New("unknown operator; one of " + strings.Join(Operators(), ", ") +
			"; with IfExists behind or ForAllValues: or ForAnyValue: before it where it compares")
	}
	if o.presence {
		return c, 0, c.presence(name, values)
	}
	c.negated = o.negated
	for i, v := range values {
		if strings.Contains(v, "${") {
			return c, i, errors.New("variables are not supported")
		}
		t, err := o.compile(v)
		if err != nil {
			return c, i, err
		}
		c.tests = append(c.tests, t)
	}
	return c, 0, nil
}

func (c *Condition) presence(name string, values []string) error {
	if len(values) != 1 || values[0] != "true" && values[0] != "false" {
		return errors.New(`must be "true" or "false"`)
	}
	wants := map[string][2]int{"Null": {wantNone, wantSome}, "IsNull": {wantNone, wantSome},
		"IsNotNull": {wantSome, wantNone}, "IsNullOrEmpty": {wantEmpty, wantFull}}
	c.absent = wants[name][0]
	if values[0] == "false" {
		c.absent = wants[name][1]
	}
	return nil
}
