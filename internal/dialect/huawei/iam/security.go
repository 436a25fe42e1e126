package iam

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/huawei/iamv5"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
)

// securityRoutes are what an account demands of log-ins and passwords: one row, seen by parts.
func securityRoutes(a *wire.API) []wire.Route {
	k, base, compliance := a.Kinds.Rules.D, "/v3.0/OS-SECURITYPOLICY/domains/{domain_id}/", "/v3/domains/{domain_id}/config/security_compliance"
	out := []wire.Route{
		{Method: "GET", Path: compliance, Kind: k, Verb: call.Get, Do: showCompliance},
		{Method: "GET", Path: compliance + "/{option}", Kind: k, Verb: call.Get, Do: showComplianceOption},
	}
	for _, p := range parts3() {
		out = append(out, wire.Route{Method: "GET", Path: base + p.path, Kind: k, Verb: call.Get, Do: p.get},
			wire.Route{Method: "PUT", Path: base + p.path, Kind: k, Verb: call.Update, Do: p.put})
	}
	return out
}

// part is one of the views on the rules.
type part struct {
	path, name string
	view       func(ident.RulesSpec) any
	read       func(*wire.Exchange, *wire.Spec) error // the body, into a patch of the rules
}

func parts3() []part {
	return []part{
		{"password-policy", "password_policy", func(r ident.RulesSpec) any { return passwordView(r.Password) }, readPassword},
		{"login-policy", "login_policy", func(r ident.RulesSpec) any { return loginView(r.Login) }, readLogin},
		{"console-acl-policy", "console_acl_policy", func(r ident.RulesSpec) any { return iamv5.ACLOf(r.Console).Six() }, func(x *wire.Exchange, s *wire.Spec) error {
			var b iamv5.ACL
			err := x.Body("console_acl_policy", &b)
			(*s)["console_networks"] = b.Networks()
			return err
		}},
		{"api-acl-policy", "api_acl_policy", func(r ident.RulesSpec) any { return iamv5.ACLOf(r.API).Four() }, func(x *wire.Exchange, s *wire.Spec) error {
			var b struct {
				iamv5.ACL
				Endpoints []map[string]any `json:"allow_vpc_endpoints"`
			}
			if err := x.Body("api_acl_policy", &b); err != nil {
				return err
			}
			if len(b.Endpoints) > 0 {
				return fail.New(fail.Unsupported, "this cloud has no VPC endpoints to name").Then("name addresses instead")
			}
			(*s)["api_networks"] = b.Networks()
			return nil
		}},
		{"protect-policy", "protect_policy", func(r ident.RulesSpec) any { return protectView(r.Protection) }, readProtect},
	}
}

func rules(x *wire.Exchange) (ident.RulesSpec, error) {
	return iamv5.Rules(x, x.Param("domain_id"))
}

func (p part) get(x *wire.Exchange) error {
	r, err := rules(x)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, p.name, p.view(r))
}

func (p part) put(x *wire.Exchange) error {
	if err := iamv5.MayChangeRules(x, x.Param("domain_id")); err != nil {
		return err
	}
	s := wire.Spec{}
	if err := p.read(x, &s); err != nil {
		return err
	}
	r, err := iamv5.ChangeRules(x, x.Param("domain_id"), s)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, p.name, p.view(r))
}

func passwordView(r ident.PasswordRules) map[string]any {
	v := iamv5.PasswordView(r)
	v["number_of_recent_passwords_disallowed"] = v["password_reuse_prevention"]
	delete(v, "password_reuse_prevention")
	delete(v, "allow_user_to_change_password")
	return v
}

func readPassword(x *wire.Exchange, s *wire.Spec) error {
	var b struct {
		iamv5.PasswordBody
		Reuse *int64 `json:"number_of_recent_passwords_disallowed"`
	}
	if err := x.Body("password_policy", &b); err != nil {
		return err
	}
	p := b.Spec()
	wire.Set(p, "reuse", b.Reuse)
	(*s)["password"] = p
	return nil
}

func loginView(r ident.LoginRules) map[string]any {
	v := iamv5.LoginView(r)
	v["account_validity_period"] = v["user_validity_period"]
	delete(v, "user_validity_period")
	return v
}

func readLogin(x *wire.Exchange, s *wire.Spec) error {
	var b struct {
		iamv5.LoginBody
		Validity *int64 `json:"account_validity_period"`
	}
	if err := x.Body("login_policy", &b); err != nil {
		return err
	}
	l := b.Spec()
	wire.Set(l, "validity_days", b.Validity)
	(*s)["login"] = l
	return nil
}

// protectView tells whether people confirm critical operations by their second factor, and what they manage of their own. Nobody else
// confirms for them: that would want SMS or e-mail.
func protectView(r ident.ProtectionRules) map[string]any {
	may := func(v *bool) bool { return v == nil || *v }
	return map[string]any{"operation_protection": r.Operations, "admin_check": "off", "scene": "", "mobile": "", "email": "", "allow_user": map[string]bool{
		"manage_accesskey": may(r.OwnKeys), "manage_password": may(r.OwnPassword), "manage_email": may(r.OwnEmail), "manage_mobile": may(r.OwnPhone)}}
}

func readProtect(x *wire.Exchange, s *wire.Spec) error {
	var b struct {
		Protection *bool  `json:"operation_protection"`
		Admin      string `json:"admin_check"`
		Mobile     string `json:"mobile"`
		Email      string `json:"email"`
		Scene      string `json:"scene"`
		Allow      *struct {
			Keys     *bool `json:"manage_accesskey"`
			Password *bool `json:"manage_password"`
			Email    *bool `json:"manage_email"`
			Mobile   *bool `json:"manage_mobile"`
		} `json:"allow_user"`
	}
	if err := x.Body("protect_policy", &b); err != nil {
		return err
	}
	if b.Protection == nil {
		return fail.Field("protect_policy.operation_protection", "is required").Then("say true or false")
	}
	if *b.Protection && (b.Admin == "on" || b.Mobile != "" || b.Email != "") {
		return fail.Field("protect_policy.admin_check", "nobody else can confirm for a user here: this cloud sends no SMS and no e-mail for it").
			Then("leave it off; everybody confirms by the second factor of its own")
	}
	p := wire.Spec{"operations": *b.Protection}
	if a := b.Allow; a != nil {
		wire.Set(p, "own_keys", a.Keys)
		wire.Set(p, "own_password", a.Password)
		wire.Set(p, "own_email", a.Email)
		wire.Set(p, "own_phone", a.Mobile)
	}
	(*s)["protection"] = p
	return nil
}

// showCompliance tells what passwords must look like, as a regular expression.
func showCompliance(x *wire.Exchange) error {
	r, err := rules(x)
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "config", map[string]any{"security_compliance": compliance(r.Password)})
}

func showComplianceOption(x *wire.Exchange) error {
	r, err := rules(x)
	if err != nil {
		return err
	}
	option := x.Param("option")
	v, ok := compliance(r.Password)[option]
	if !ok {
		return fail.New(fail.NotFound, "there is no option %q", option).Then("ask for password_regex or password_regex_description")
	}
	return x.One(http.StatusOK, "config", map[string]any{option: v})
}
