package keystone

import (
	"slices"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// options are Keystone's options of a user that this cloud has too: passwords that do not expire, and users who always need a
// second factor. A rule for several factors that asks for less is refused, for whoever has a factor is always asked for it.
func (b *userBody) options(s wire.Spec) error {
	for name, v := range b.Options {
		switch on, isFlag := v.(bool); {
		case name == "ignore_password_expiry" && (isFlag || v == nil):
			s["password_never_expires"] = on
		case name == "multi_factor_auth_enabled" && isFlag && !on:
			s["login_protection"] = false
		case name == "multi_factor_auth_enabled" && isFlag:
		case name == "multi_factor_auth_rules":
			need, err := factorRules(v)
			if err != nil {
				return err
			}
			if b.Options["multi_factor_auth_enabled"] != false {
				s["login_protection"] = need
			}
		case v == nil, v == false:
		default:
			return fail.Field("user.options."+name, "is not possible here").Then("the rules for all users of a domain: awan security-policy show rules; who needs a second factor: awan user update --login-protection")
		}
	}
	return nil
}

// factorRules tells whether rules ask for a second factor. As in Keystone, one that names a method that there is not can be
// met by nobody and counts for nothing.
func factorRules(v any) (bool, error) {
	rules, _ := v.([]any)
	need := false
	for _, r := range rules {
		methods, _ := r.([]any)
		known := len(methods) > 0
		for _, m := range methods {
			known = known && slices.Contains([]any{"password", "totp", "token", "application_credential", "mapped"}, m)
		}
		if !known {
			continue
		}
		if !slices.Contains(methods, any("totp")) {
			return false, fail.Field("user.options.multi_factor_auth_rules", "a rule without totp is not possible here: who has a second factor is asked for it on every way in by password").
				Then("leave the rules out, or name password and totp")
		}
		need = true
	}
	if len(rules) > 0 && !need {
		return false, fail.Field("user.options.multi_factor_auth_rules", "no rule can be met").Then("name password and totp")
	}
	return need, nil
}

// userOptions are the options as clients read them.
func userOptions(neverExpires, needsFactor bool) map[string]any {
	o := map[string]any{}
	if neverExpires {
		o["ignore_password_expiry"] = true
	}
	if needsFactor {
		o["multi_factor_auth_enabled"], o["multi_factor_auth_rules"] = true, [][]string{{"password", "totp"}}
	}
	return o
}
