package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/policy"
)

func parse(t testing.TB, text string) *policy.Document {
	t.Helper()
	d, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

// doc makes a document of statements.
func doc(t testing.TB, statements ...string) *policy.Document {
	t.Helper()
	return parse(t, `{"Version":"1.1","Statement":[`+strings.Join(statements, ",")+`]}`)
}

func TestDecide(t *testing.T) {
	const (
		read      = `{"Effect":"Allow","Action":["app:component:get","app:component:list"]}`
		write     = `{"Sid":"Write","Effect":"Allow","Action":["app:*:*"],"Resource":["app:*:*:component:web/*"]}`
		denyProd  = `{"Effect":"Deny","Action":["app:*:delete"],"Resource":["app:*:*:component:*/prod"]}`
		office    = `{"Effect":"Allow","Action":["ecs:*"],"Condition":{"IpAddress":{"g:SourceIp":["192.0.2.0/24"]},"Bool":{"g:MFAPresent":"true"}}}`
		others    = `{"Effect":"Allow","NotAction":["iam:*","*:*:delete*"]}`
		elsewhere = `{"Effect":"Deny","Action":["*"],"NotResource":["*:sea-1:*:*:*"]}`
		admin     = `{"Effect":"Allow","Action":["*:*:*"]}`
	)
	office7 := map[string][]string{"G:sourceIP": {"192.0.2.7"}, "g:MFAPresent": {"true"}}
	tests := []struct {
		name             string
		docs             []string
		action, resource string
		facts            map[string][]string
		allowed          bool
		reason           string
	}{
		{"nothing attached", nil, "app:component:get", "", nil, false, "denied: no statement allows app:component:get"},
		{"action listed", []string{read}, "app:component:get", "x:y:z:t:p", nil, true, "allowed by statement 1 of policy p1 (group dev)"},
		{"letter case of the action", []string{read}, "App:Component:GET", "", nil, true, "allowed by statement 1 of policy p1 (group dev)"},
		{"action not listed", []string{read}, "app:component:delete", "", nil, false, "denied: no statement allows app:component:delete"},
		{"action is no prefix", []string{read}, "app:component:getSecret", "", nil, false, "denied: no statement allows app:component:getSecret"},
		{"resource matches", []string{write}, "app:component:create", "app:sea-1:d1:component:web/shop", nil, true, `allowed by statement 1 "Write" of policy p1 (group dev)`},
		{"letter case of the service", []string{write}, "app:component:create", "APP:sea-1:d1:component:web/shop", nil, true, `allowed by statement 1 "Write" of policy p1 (group dev)`},
		{"letter case of the path", []string{write}, "app:component:create", "app:sea-1:d1:component:Web/shop", nil, false,
			`denied: no statement allows app:component:create; statement 1 "Write" of policy p1 (group dev) would, but not on this resource`},
		{"no resource given", []string{write}, "app:component:create", "", nil, false,
			`denied: no statement allows app:component:create; statement 1 "Write" of policy p1 (group dev) would, but not on this resource`},
		{"deny wins", []string{admin + "," + denyProd}, "app:component:delete", "app:sea-1:d1:component:web/prod", nil, false, "denied by statement 2 of policy p1 (group dev)"},
		{"deny wins from another policy", []string{denyProd, admin}, "app:component:delete", "app:sea-1:d1:component:web/prod", nil, false, "denied by statement 1 of policy p1 (group dev)"},
		{"deny speaks of something else", []string{denyProd, admin}, "app:component:delete", "app:sea-1:d1:component:web/test", nil, true, "allowed by statement 1 of policy p2 (group dev)"},
		{"condition holds", []string{office}, "ecs:servers:list", "", office7, true, "allowed by statement 1 of policy p1 (group dev)"},
		{"condition does not", []string{office}, "ecs:servers:list", "", map[string][]string{"g:SourceIp": {"192.0.3.7"}, "g:MFAPresent": {"true"}}, false,
			"denied: no statement allows ecs:servers:list; statement 1 of policy p1 (group dev) would, but its condition IpAddress on g:SourceIp does not hold"},
		{"NotAction", []string{others}, "ecs:servers:list", "", nil, true, "allowed by statement 1 of policy p1 (group dev)"},
		{"NotAction names it", []string{others}, "iam:users:list", "", nil, false, "denied: no statement allows iam:users:list"},
		{"NotAction names it too", []string{others}, "ecs:servers:deleteAll", "", nil, false, "denied: no statement allows ecs:servers:deleteAll"},
		{"NotResource", []string{admin, elsewhere}, "ecs:servers:list", "ecs:sea-2:d1:server:1", nil, false, "denied by statement 1 of policy p2 (group dev)"},
		{"NotResource names it", []string{admin, elsewhere}, "ecs:servers:list", "ecs:sea-1:d1:server:1", nil, true, "allowed by statement 1 of policy p1 (group dev)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var docs []policy.Attached
			for i, d := range test.docs {
				docs = append(docs, policy.Attached{Name: fmt.Sprint("p", i+1), Source: "group dev", Doc: doc(t, d)})
			}
			got := policy.Decide(policy.Request{Action: test.action, Resource: test.resource, Facts: test.facts}, docs)
			if got.Allowed != test.allowed || got.Reason != test.reason {
				t.Errorf("got %v, %s\nwant %v, %s", got.Allowed, got.Reason, test.allowed, test.reason)
			}
			if said := strings.HasPrefix(test.reason, "allowed by") || strings.HasPrefix(test.reason, "denied by"); said != (got.By != nil) {
				t.Errorf("By is %v", got.By)
			}
		})
	}
}

// TestConditions asks each operator: with facts that pass, with facts that fail, and without the fact.
func TestConditions(t *testing.T) {
	tests := []struct {
		operator, values string
		passes, fails    []string // each a fact's values, separated by '|'
		absent           bool
	}{
		{"StringEquals", `"a"`, []string{"a", "b|a"}, []string{"A", "", "ab"}, false},
		{"StringEquals", `["a","b"]`, []string{"a", "b"}, []string{"c"}, false},
		{"StringEqualsAnyOf", `["a","b"]`, []string{"a", "b"}, []string{"c"}, false},
		{"StringEqualsIfExists", `["a"]`, []string{"a"}, []string{"c"}, true},
		{"StringNotEquals", `["a","b"]`, []string{"c", "A"}, []string{"a", "b", "c|a"}, true},
		{"StringNotEqualsAnyOfIfExists", `["a","b"]`, []string{"c"}, []string{"a"}, true},
		{"StringEqualsIgnoreCase", `["aB"]`, []string{"Ab"}, []string{"b"}, false},
		{"StringNotEqualsIgnoreCase", `["aB"]`, []string{"b"}, []string{"Ab"}, true},
		{"StringStartWith", `["ab"]`, []string{"ab", "abc"}, []string{"a", "cab"}, false},
		{"StringNotStartWith", `["ab"]`, []string{"a"}, []string{"abc"}, true},
		{"StringEndWith", `["ab"]`, []string{"ab", "cab"}, []string{"b", "abc"}, false},
		{"StringEndWithIfExists", `["ab"]`, []string{"cab"}, []string{"abc"}, true},
		{"StringNotEndWith", `["ab"]`, []string{"b"}, []string{"cab"}, true},
		{"StringLike", `["a*b*c"]`, []string{"abc", "axxbyyc"}, []string{"ac", "abcd", "acb"}, false},
		{"StringMatch", `["*"]`, []string{"", "x"}, nil, false},
		{"StringNotMatch", `["a*"]`, []string{"b"}, []string{"ab"}, true},
		{"NumberEquals", `["10"]`, []string{"10", "1e1", "10.0"}, []string{"11", "ten", "NaN", ""}, false},
		{"NumberNotEquals", `["10"]`, []string{"11"}, []string{"10"}, true},
		{"NumberLessThan", `["10"]`, []string{"9.9", "-1"}, []string{"10", "x"}, false},
		{"NumberLessThanEquals", `["10"]`, []string{"10"}, []string{"10.1"}, false},
		{"NumberGreaterThan", `["10"]`, []string{"11"}, []string{"10"}, false},
		{"NumericGreaterThanEquals", `["10"]`, []string{"10"}, []string{"9"}, false},
		{"DateLessThan", `["2026-03-01T00:00:00Z"]`, []string{"2026-02-28T23:59:59Z", "2026-03-01T00:30:00+01:00"}, []string{"2026-03-01T00:00:00Z", "soon"}, false},
		{"DateGreaterThanEquals", `["2026-03-01"]`, []string{"2026-03-01T00:00Z"}, []string{"2026-02-28T23:00:00Z"}, false},
		{"DateNotEquals", `["2026-03-01"]`, []string{"2026-03-02"}, []string{"2026-03-01T00:00:00Z"}, true},
		{"Bool", `"true"`, []string{"true", "True"}, []string{"false", "", "1"}, false},
		{"IpAddress", `["192.0.2.0/24","2001:db8::/32"]`, []string{"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.9"}, []string{"192.0.3.1", "x", "192.0.2.0/25"}, false},
		{"IpAddress", `["192.0.2.7"]`, []string{"192.0.2.7"}, []string{"192.0.2.8"}, false},
		{"NotIpAddress", `["192.0.2.0/24"]`, []string{"192.0.3.1"}, []string{"192.0.2.1"}, true},
		{"Null", `"true"`, nil, []string{"", "a"}, true},
		{"Null", `"false"`, []string{"", "a"}, nil, false},
		{"IsNotNull", `"true"`, []string{"", "a"}, nil, false},
		{"IsNullOrEmpty", `"true"`, []string{"", "|"}, []string{"a", "|a"}, true},
		{"IsNullOrEmpty", `"false"`, []string{"a", "|a"}, []string{""}, false},
		{"ForAllValues:StringEquals", `["a","b"]`, []string{"a", "a|b"}, []string{"a|c"}, true},
		{"ForAnyValue:StringEquals", `["a","b"]`, []string{"c|b"}, []string{"c|d"}, false},
		{"ForAnyValue:StringNotEquals", `["a"]`, []string{"a|b"}, []string{"a"}, false},
		{"ForAllValues:StringNotEquals", `["a"]`, []string{"c|b"}, []string{"a|b"}, true},
		{"ForAnyValue:StringEqualsIfExists", `["a"]`, []string{"a|b"}, []string{"b"}, true},
	}
	for _, test := range tests {
		name := test.operator + " " + test.values
		d := doc(t, fmt.Sprintf(`{"Effect":"Allow","Action":["*"],"Condition":{%q:{"g:ResourceTag/Team":%s}}}`, test.operator, test.values))
		ask := func(facts map[string][]string) bool {
			return policy.Decide(policy.Request{Action: "a:b:c", Facts: facts}, []policy.Attached{{Name: "p", Doc: d}}).Allowed
		}
		for _, f := range test.passes {
			if !ask(map[string][]string{"g:resourcetag/team": strings.Split(f, "|"), "g:UserName": {"x"}}) {
				t.Errorf("%s: %q should pass", name, f)
			}
		}
		for _, f := range test.fails {
			if ask(map[string][]string{"g:ResourceTag/Team": strings.Split(f, "|")}) {
				t.Errorf("%s: %q should fail", name, f)
			}
		}
		for _, none := range []map[string][]string{nil, {"g:ResourceTag/Teams": {"a"}}, {"g:ResourceTag/Team": nil}} {
			if ask(none) != test.absent {
				t.Errorf("%s: without the fact it gives %v", name, !test.absent)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	stmt := func(s string) string { return `{"Version":"1.1","Statement":[` + s + `]}` }
	cond := func(c string) string { return stmt(`{"Effect":"Allow","Action":["*"],"Condition":` + c + `}`) }
	tests := []struct{ name, text, field, message string }{
		{"empty", ``, "", "the text ends too early"},
		{"cut off", `{"Version":"1.1"`, "", "the text ends too early"},
		{"no JSON", `{Version}`, "", "not JSON"},
		{"no object", `[]`, "", "must be a JSON object"},
		{"more behind it", stmt(`{"Effect":"Allow","Action":["*"]}`) + "{}", "", "more text behind the end"},
		{"not UTF-8", "{\"Version\":\"\xff\"}", "", "not UTF-8"},
		{"too deep", strings.Repeat(`{"a":`, 2000), "a.a.a.a.a.a.a.a.a", "nested too deeply"},
		{"no version", `{"Statement":[{"Effect":"Allow","Action":["*"]}]}`, "Version", "is missing"},
		{"unknown version", `{"Version":"2.0","Statement":[]}`, "Version", "must be one of 1.0, 1.1, 5.0"},
		{"version is a number", `{"Version":1.1,"Statement":[]}`, "Version", "must be one of"},
		{"no statement", `{"Version":"1.1"}`, "Statement", "is missing"},
		{"empty statement list", stmt(``), "Statement", "must be a list that is not empty"},
		{"unknown field", `{"Version":"1.1","Statements":[]}`, "Statements", "unknown field; one of Depends, Statement, Version"},
		{"letter case of a field", stmt(`{"effect":"Allow","Action":["*"]}`), "Statement[0].effect", "unknown field"},
		{"field twice", stmt(`{"Effect":"Deny","Effect":"Allow","Action":["*"]}`), "Statement[0].Effect", "is there twice"},
		{"unknown effect", stmt(`{"Effect":"allow","Action":["*"]}`), "Statement[0].Effect", "must be one of Allow, Deny"},
		{"no effect", stmt(`{"Action":["*"]}`), "Statement[0].Effect", "is missing"},
		{"no action", stmt(`{"Effect":"Allow"}`), "Statement[0]", "must have either Action or NotAction"},
		{"both actions", stmt(`{"Effect":"Allow","Action":["*"],"NotAction":["*"]}`), "Statement[0]", "must have either Action or NotAction"},
		{"both resources", stmt(`{"Effect":"Allow","Action":["*"],"Resource":["*"],"NotResource":["*"]}`), "Statement[0]", "must not have both"},
		{"empty action list", stmt(`{"Effect":"Allow","Action":[]}`), "Statement[0].Action", "must be a list that is not empty"},
		{"action is a string", stmt(`{"Effect":"Allow","Action":"*"}`), "Statement[0].Action", "must be a list"},
		{"bad action", stmt(`{"Effect":"Allow","Action":["ecs:*","list"]}`), "Statement[0].Action[1]", "not an action"},
		{"bad resource", stmt(`{"Effect":"Allow","Action":["*"],"Resource":["bucket"]}`), "Statement[0].Resource[0]", "not a resource"},
		{"variable", stmt(`{"Effect":"Allow","Action":["*"],"Resource":["obs:*:*:bucket:${g:UserName}"]}`), "Statement[0].Resource[0]", "variables are not supported"},
		{"second statement", stmt(`{"Effect":"Allow","Action":["*"]},{"Effect":"Allow","Action":[1]}`), "Statement[1].Action[0]", "must be a string"},
		{"bad sid", stmt(`{"Sid":"a b","Effect":"Allow","Action":["*"]}`), "Statement[0].Sid", "must be 1 to 64"},
		{"unknown operator", cond(`{"StringEqualz":{"g:UserName":["a"]}}`), "Statement[0].Condition.StringEqualz", "unknown operator; one of Bool, DateEquals"},
		{"operator's letter case", cond(`{"stringEquals":{"g:UserName":["a"]}}`), "Statement[0].Condition.stringEquals", "unknown operator"},
		{"IfExists of Null", cond(`{"NullIfExists":{"g:UserName":["true"]}}`), "Statement[0].Condition.NullIfExists", "unknown operator"},
		{"unknown global key", cond(`{"StringEquals":{"g:UserNames":["a"]}}`), "Statement[0].Condition.StringEquals.g:UserNames", "unknown global condition key; one of g:CalledVia"},
		{"tag key without a tag", cond(`{"StringEquals":{"g:ResourceTag/":["a"]}}`), "Statement[0].Condition.StringEquals.g:ResourceTag/", "unknown global condition key"},
		{"key of look-alikes", cond(`{"StringEquals":{"g:U\u017fername":["a"]}}`), "Statement[0].Condition.StringEquals.g:U\u017fername", "not a condition key"},
		{"no key", cond(`{"StringEquals":{"UserName":["a"]}}`), "Statement[0].Condition.StringEquals.UserName", "not a condition key"},
		{"key twice", cond(`{"StringEquals":{"g:UserName":["a"],"g:username":["a"]}}`), "Statement[0].Condition.StringEquals.g:username", "is there twice"},
		{"no values", cond(`{"StringEquals":{"g:UserName":[]}}`), "Statement[0].Condition.StringEquals.g:UserName", "must be a string, or a list"},
		{"number as value", cond(`{"NumberEquals":{"g:MFAAge":[5]}}`), "Statement[0].Condition.NumberEquals.g:MFAAge[0]", "must be a string"},
		{"no number", cond(`{"NumberEquals":{"g:MFAAge":["1","x"]}}`), "Statement[0].Condition.NumberEquals.g:MFAAge[1]", "not a number"},
		{"no date", cond(`{"DateLessThan":{"g:CurrentTime":["soon"]}}`), "Statement[0].Condition.DateLessThan.g:CurrentTime[0]", "not a date"},
		{"no boolean", cond(`{"Bool":{"g:MFAPresent":["yes"]}}`), "Statement[0].Condition.Bool.g:MFAPresent[0]", `not "true" or "false"`},
		{"no address", cond(`{"IpAddress":{"g:SourceIp":["10.0.0.0/33"]}}`), "Statement[0].Condition.IpAddress.g:SourceIp[0]", "not an address"},
		{"no truth", cond(`{"Null":{"g:MFAAge":["true","false"]}}`), "Statement[0].Condition.Null.g:MFAAge[0]", `must be "true" or "false"`},
		{"conditions in a list", cond(`[]`), "Statement[0].Condition", "must be an object of operators"},
		{"operator without keys", cond(`{"Bool":{}}`), "Statement[0].Condition.Bool", "must be an object of condition keys"},
		{"Depends in 1.1", `{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["*"]}],"Depends":[{"catalog":"BASE","display_name":"x"}]}`, "Depends", "only a role"},
	}
	for _, test := range tests {
		_, err := policy.Parse([]byte(test.text))
		e := fail.From(err)
		if !fail.Is(err, fail.Invalid) || e.Field != test.field || !strings.Contains(e.Message, test.message) {
			t.Errorf("%s: %v, want field %q and %q", test.name, err, test.field, test.message)
		}
	}
	long := stmt(`{"Effect":"Allow","Action":["` + strings.Repeat("a", policy.MaxChars) + `:b"]}`)
	if _, err := policy.Parse([]byte(long)); !fail.Is(err, fail.TooLarge) {
		t.Errorf("too long: %v", err)
	}
}

func TestParseAccepts(t *testing.T) {
	for name, text := range map[string]string{
		"role":            `{"Version":"1.0","Statement":[{"Action":["*:*:*"],"Effect":"Allow"}],"Depends":[{"catalog":"BASE","display_name":"Tenant Guest"}]}`,
		"custom policy":   `{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["obs:bucket:ListAllMyBuckets"],"Condition":{"StringEndWithIfExists":{"g:UserName":["specialCharacter"]},"Bool":{"g:MFAPresent":["true"]}},"Resource":["obs:*:*:bucket:*"]}]}`,
		"identity policy": `{"Version":"5.0","Statement":[{"Sid":"StatementIDExample","Effect":"Allow","Action":["ecs:servers:get"],"Resource":["ecs::a1b2:server:*"],"Condition":{"StringMatch":{"g:ResourceTag/team":"dev*"}}}]}`,
		"empty type":      `{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["servicestage::getLane"]}]}`,
	} {
		if d := parse(t, text); len(d.Statements) != 1 || d.Statements[0].Effect != policy.Allow {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// TestWildcards compares the matcher with a table that fills in every prefix, and times a pattern that is exponential
// for naive ones.
func TestWildcards(t *testing.T) {
	allows := func(rt testing.TB, pattern, resource string) bool {
		d := doc(rt, fmt.Sprintf(`{"Effect":"Allow","Action":["*"],"Resource":["s:*:*:t:%s"]}`, pattern))
		return policy.Decide(policy.Request{Action: "a:b:c", Resource: "s:r:d:t:" + resource}, []policy.Attached{{Doc: d}}).Allowed
	}
	rapid.Check(t, func(rt *rapid.T) {
		pattern := rapid.StringMatching(`[abé*?]{1,8}`).Draw(rt, "pattern")
		s := rapid.StringMatching(`[abé]{0,12}`).Draw(rt, "string")
		if got, want := allows(t, pattern, s), slow("s:*:*:t:"+pattern, "s:r:d:t:"+s); got != want {
			rt.Fatalf("%q on %q gives %v", pattern, s, got)
		}
	})
	for _, wild := range []string{"*a", "*?a"} {
		if allows(t, strings.Repeat(wild, 5000)+"*b", strings.Repeat("a", 20000)) {
			t.Error("matches without a b")
		}
	}
}

func slow(pattern, text string) bool {
	s := []rune(text)
	row := make([]bool, len(s)+1)
	row[0] = true
	for _, p := range pattern {
		next := make([]bool, len(s)+1)
		for i := range next {
			switch {
			case p == '*':
				next[i] = row[i] || i > 0 && next[i-1]
			case i > 0:
				next[i] = row[i-1] && (p == '?' || s[i-1] == p)
			}
		}
		row = next
	}
	return row[len(s)]
}

// TestOrderAndMonotony draws policies and requests: the order never matters, a Deny that speaks of the request always
// wins, taking an Allow away never grants, taking a Deny away never revokes.
func TestOrderAndMonotony(t *testing.T) {
	part := rapid.SampledFrom([]string{"a", "b", "*"})
	statement := rapid.Custom(func(rt *rapid.T) string {
		action := rapid.SampledFrom([]string{"Action", "NotAction"}).Draw(rt, "kind")
		s := fmt.Sprintf(`{"Effect":%q,%q:["%s:%s:%s"]`, rapid.SampledFrom([]string{"Allow", "Allow", "Deny"}).Draw(rt, "effect"), action,
			part.Draw(rt, "service"), part.Draw(rt, "type"), part.Draw(rt, "verb"))
		if rapid.Bool().Draw(rt, "on a resource") {
			s += fmt.Sprintf(`,"Resource":["a:*:*:%s:%s"]`, part.Draw(rt, "type"), part.Draw(rt, "path"))
		}
		if rapid.Bool().Draw(rt, "conditional") {
			s += fmt.Sprintf(`,"Condition":{%q:{"g:UserName":["%s"]}}`, rapid.SampledFrom([]string{"StringEquals", "StringNotEquals", "StringLikeIfExists"}).Draw(rt, "operator"), part.Draw(rt, "value"))
		}
		return s + "}"
	})
	rapid.Check(t, func(rt *rapid.T) {
		statements := rapid.SliceOfN(statement, 1, 6).Draw(rt, "statements")
		word := rapid.SampledFrom([]string{"a", "b"})
		req := policy.Request{
			Action:   word.Draw(rt, "service") + ":" + word.Draw(rt, "type") + ":" + word.Draw(rt, "verb"),
			Resource: "a:r:d:" + word.Draw(rt, "type") + ":" + word.Draw(rt, "path"),
		}
		if rapid.Bool().Draw(rt, "named") {
			req.Facts = map[string][]string{"g:UserName": {word.Draw(rt, "name")}}
		}
		decide := func(statements []string) policy.Decision {
			var docs []policy.Attached
			for i := 0; i < len(statements); i += 2 { // two a policy
				docs = append(docs, policy.Attached{Name: "p", Doc: doc(t, statements[i:min(i+2, len(statements))]...)})
			}
			return policy.Decide(req, docs)
		}
		got := decide(statements)
		if again := decide(rapid.Permutation(statements).Draw(rt, "order")); again.Allowed != got.Allowed {
			rt.Fatalf("in another order: %s, before: %s", again.Reason, got.Reason)
		}
		denied := false
		for i, s := range statements {
			alone := decide(statements[i : i+1])
			denied = denied || strings.HasPrefix(alone.Reason, "denied by")
			without := decide(slices.Delete(slices.Clone(statements), i, i+1))
			if deny := strings.Contains(s, `"Deny"`); deny && got.Allowed && !without.Allowed || !deny && !got.Allowed && without.Allowed {
				rt.Fatalf("without %s: %s, with it: %s", s, without.Reason, got.Reason)
			}
		}
		if denied && got.Allowed {
			rt.Fatalf("allowed against a Deny: %s", got.Reason)
		}
	})
}

func FuzzParseDecide(f *testing.F) {
	f.Add([]byte(`{"Version":"1.1","Statement":[{"Sid":"a","Effect":"Allow","Action":["ecs:*:*"],"Resource":["ecs:*:*:server:*"],"Condition":{"ForAnyValue:StringLikeIfExists":{"g:TagKeys":["a*b"]},"IpAddress":{"g:SourceIp":"192.0.2.0/24"},"DateLessThan":{"g:CurrentTime":["2026-01-01"]}}}]}`), "ecs:servers:list", "ecs:r:d:server:1", "192.0.2.1")
	f.Add([]byte(`{"Version":"5.0","Statement":[{"Effect":"Deny","NotAction":["*"],"NotResource":["*"],"Condition":{"Null":{"g:MFAAge":"true"},"NumberEquals":{"g:MFAAge":"1"},"Bool":{"g:MFAPresent":"true"}}}]}`), "a:b:c", "", "")
	f.Fuzz(func(t *testing.T, text []byte, action, resource, fact string) {
		d, err := policy.Parse(text)
		if err != nil {
			if e := fail.From(err); e.Kind != fail.Invalid && e.Kind != fail.TooLarge {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		if len(d.Statements) == 0 {
			t.Fatal("accepted without statements")
		}
		req := policy.Request{Action: action, Resource: resource, Facts: map[string][]string{}}
		for _, s := range d.Statements {
			for _, c := range s.Condition {
				req.Facts[c.Key] = []string{fact, fact + "x"}
			}
		}
		got := policy.Decide(req, []policy.Attached{{Name: "p", Doc: d}})
		if got.Allowed && (got.By == nil || d.Statements[got.By.Statement-1].Effect != policy.Allow) || got.Reason == "" {
			t.Fatalf("%+v", got)
		}
	})
}

// BenchmarkDecide20 decides by 20 statements: where most speak of other actions, and where all but the last speak of
// this one but for a condition.
func BenchmarkDecide20(b *testing.B) {
	for name, action := range map[string]string{"other actions": "svc%d:thing:get*", "same action": "app:component:ge*"} {
		b.Run(name, func(b *testing.B) {
			var statements []string
			for i := range 20 {
				if strings.Contains(action, "%d") {
					action = fmt.Sprintf(action, i)
				}
				effect := []string{"Allow", "Allow", "Allow", "Allow", "Deny"}[i%5]
				statements = append(statements, fmt.Sprintf(`{"Effect":%q,"Action":[%q,"svc%d:*:list","app:component:delete%d"],"Resource":["app:*:*:component:web/*"],"Condition":{"StringEquals":{"g:ProjectName":["p%d"]}}}`, effect, action, i, i, i))
			}
			statements[19] = `{"Effect":"Allow","Action":["app:*:*"],"Resource":["app:*:*:component:*"],"Condition":{"StringEquals":{"g:ProjectName":["sea"]},"IpAddress":{"g:SourceIp":["192.0.2.0/24"]}}}`
			docs := []policy.Attached{{Name: "p", Source: "group dev", Doc: doc(b, statements...)}}
			req := policy.Request{Action: "app:component:get", Resource: "app:sea-1:d1:component:web/shop", Facts: map[string][]string{
				"g:CurrentTime": {"2026-01-01T00:00:00Z"}, "g:DomainId": {"d1"}, "g:DomainName": {"acme"}, "g:ProjectId": {"p1"}, "g:ProjectName": {"sea"},
				"g:SourceIp": {"192.0.2.7"}, "g:UserId": {"u1"}, "g:UserName": {"alice"}, "g:MFAPresent": {"true"}, "g:MFAAge": {"60"}, "g:TokenAge": {"90"}, "g:PrincipalType": {"User"},
			}}
			b.ReportAllocs()
			for b.Loop() {
				if d := policy.Decide(req, docs); !d.Allowed {
					b.Fatal(d.Reason)
				}
			}
		})
	}
}

// TestAnAliasIsTheSameAction: a statement may use either name, and what it excludes it excludes by either.
func TestAnAliasIsTheSameAction(t *testing.T) {
	req := policy.Request{Action: "bucket:object:get", Resource: "bucket:r:d:object:photos/a", Also: []policy.Alias{{Action: "obs:object:GetObject", Resource: "obs:r:d:object:photos/a"}}}
	for text, want := range map[string]bool{
		`{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["obs:object:Get*"],"Resource":["obs:*:*:object:photos/*"]}]}`:                                        true,
		`{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["bucket:object:get"]}]}`:                                                                             true,
		`{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["obs:object:Get*"],"Resource":["obs:*:*:object:other/*"]}]}`:                                         false,
		`{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["*:*:*"]},{"Effect":"Deny","Action":["obs:object:GetObject"]}]}`:                                     false,
		`{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["*:*:*"]},{"Effect":"Deny","Action":["bucket:object:get"],"Resource":["obs:*:*:object:photos/a"]}]}`: false,
	} {
		doc, err := policy.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if d := policy.Decide(req, []policy.Attached{{Doc: doc}}); d.Allowed != want {
			t.Errorf("%s: %v", text, d.Reason)
		}
	}
}
