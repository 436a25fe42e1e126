package ident_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
)

// TestAnAdministratorIsNoOperator: who manages the users of the operators' own domain cannot become an operator by it.
func TestAnAdministratorIsNoOperator(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	w.in("", call.Create, "group", "ops", m{})
	w.in("", call.Create, "policy", "ops", m{"document": json.RawMessage(`{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["*:*:list"]}]}`)})
	w.in("", call.Create, "policy", "wide", m{"document": json.RawMessage(`{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["*:*:*"]}]}`)})
	w.in("", call.Create, "grant", "", m{"policy": "ops", "group": "ops", "cloud": true})
	w.in("", call.Create, "user", "olga", m{"password": "correct horse", "groups": []string{"ops"}})
	w.in("", call.Create, "user", "ivan", m{"password": "correct horse"})
	w.in("", call.Create, "user", "plain", m{"password": "correct horse"})
	w.in("", call.Create, "mfa-device", "phone", m{"user": "olga"})
	w.in("", call.Create, "access-key", "", m{"user": "olga"})
	w.in("", call.Create, "grant", "", m{"policy": "identity-admin", "user": "ivan"})
	ivan, olga := w.logIn("awan", "ivan"), w.logIn("awan", "olga")

	find := func(kind string, of func(map[string]any) bool) string {
		t.Helper()
		r := w.must(w.Door.Do(t.Context(), &call.Call{Kind: w.Door.KindOf("identity/" + kind), Verb: call.List, Principal: w.Root}))
		for _, row := range r.Rows {
			b, _ := json.Marshal(row.SpecPtr())
			var spec map[string]any
			if json.Unmarshal(b, &spec) == nil && of(spec) {
				return string(row.M().ID)
			}
		}
		t.Fatalf("no such %s", kind)
		return ""
	}
	olgaID := string(olga.User)
	hers := func(s map[string]any) bool { return s["user"] == olgaID }
	for what, c := range map[string]struct {
		verb, kind, target string
		spec               any
	}{
		"her password":            {call.Update, "user", "olga", m{"password": "staple battery"}},
		"her being disabled":      {call.Update, "user", "olga", m{"disabled": true}},
		"her end":                 {call.Delete, "user", "olga", nil},
		"a key of hers":           {call.Create, "access-key", "", m{"user": "olga"}},
		"a credential of hers":    {call.Create, "application-credential", "c", m{"user": "olga", "project": "awan-1"}},
		"EC2 keys of hers":        {call.Create, "user-credential", "", m{"user": "olga", "type": "ec2", "project": "awan-1"}},
		"a factor of hers, new":   {call.Create, "mfa-device", "other", m{"user": "olga"}},
		"her factor":              {call.Delete, "mfa-device", find("mfa-device", hers), nil},
		"her key":                 {call.Update, "access-key", find("access-key", hers), m{"disabled": true}},
		"joining the group":       {call.Update, "user", "plain", m{"groups": []string{"ops"}}},
		"a new one in the group":  {call.Create, "user", "new", m{"groups": []string{"ops"}}},
		"the group":               {call.Delete, "group", "ops", nil},
		"their policy":            {call.Update, "policy", "ops", m{"document": json.RawMessage(`{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["*:*:*"]}]}`)}},
		"a version of it":         {call.Create, "policy-version", "", m{"policy": "ops", "default": true, "document": json.RawMessage(`{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["*:*:*"]}]}`)}},
		"what it implies":         {call.Create, "implied-policy", "", m{"policy": "ops", "implied": "wide"}},
		"their grant":             {call.Delete, "grant", find("grant", func(s map[string]any) bool { return s["cloud"] == true && s["group"] != "" }), nil},
		"the rules of log-in":     {call.Update, "security-policy", "rules", m{"mfa": "off"}},
		"a trust of hers to ivan": {call.Create, "trust", "", m{"trustor": "olga", "trustee": "ivan", "project": "awan-1", "policies": []string{"ops"}}},
	} {
		in := &call.Call{Kind: w.Door.KindOf("identity/" + c.kind), Verb: c.verb, Target: c.target, Principal: ivan}
		if c.spec != nil {
			in.Spec, _ = json.Marshal(c.spec)
		}
		if c.verb == call.Create {
			in.Name, in.Target = ptr(c.target), ""
		}
		_, err := w.Door.Do(t.Context(), in)
		if !fail.Is(err, fail.Denied) && !(c.kind == "trust" && fail.Is(err, fail.Invalid)) {
			t.Errorf("%s: %v", what, err)
		} else if c.kind != "trust" && !strings.Contains(err.Error(), "operator") {
			t.Errorf("%s is refused without a reason: %v", what, err)
		}
	}
	// What is no operator's, the administrator manages as before; and an operator may all of it.
	w.must(w.Door.Do(t.Context(), &call.Call{Kind: w.Door.KindOf("identity/user"), Verb: call.Update, Target: "plain", Principal: ivan, Spec: json.RawMessage(`{"password":"staple battery"}`)}))
	w.must(w.Door.Do(t.Context(), &call.Call{Kind: w.Door.KindOf("identity/user"), Verb: call.Update, Target: "olga", Principal: w.Root, Spec: json.RawMessage(`{"password":"staple battery"}`)}))
}

// TestAProvidersWordMakesNoOperator: whom a mapping puts into the operators' group has what the group may in the domain, not
// in the cloud.
func TestAProvidersWordMakesNoOperator(t *testing.T) {
	w := world{kerneltest.Start(t, nil), t}
	ops := w.in("", call.Create, "group", "ops", m{}).Row.M().ID
	w.in("", call.Create, "grant", "", m{"policy": "full-access", "group": "ops", "cloud": true})
	w.in("", call.Create, "user", "guest", m{"password": "correct horse"})
	w.in("", call.Create, "domain", "elsewhere", m{})
	p := w.logIn("awan", "guest")
	p.Federated, p.Groups = []string{string(ops)}, []string{string(ops)}
	if err := w.lists(p, "elsewhere"); !fail.Is(err, fail.NotFound) {
		t.Errorf("the guest sees another account: %v", err)
	}
	w.in("", call.Update, "user", "guest", m{"groups": []string{"ops"}})
	if err := w.lists(w.logIn("awan", "guest"), "elsewhere"); err != nil {
		t.Errorf("a member does not: %v", err)
	}
}
